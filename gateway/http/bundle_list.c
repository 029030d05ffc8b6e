#include "http/bundle_list_priv.h"

#include "event/percent.h"

void bundle_list_fini(struct bundle_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		buffer_free(&list->items[i].address);
	list->count = 0;
}

static bool has(struct slice query, const char *name)
{
	struct buffer value = {0};
	bool found = query.base && percent_find(query, name, &value) != ERROR_NOT_FOUND;

	buffer_free(&value);
	return found;
}

static bool is_s(struct slice raw)
{
	struct buffer name = {0};
	bool equal =
	    !percent_decode(raw, true, &name) && slice_equal(buffer_slice(&name), SLICE_LIT("s"));

	buffer_free(&name);
	return equal;
}

/* It becomes an event's type, with "#" before the stream's own one. */
static bool is_address(struct slice address)
{
	for (size_t i = 0; i < address.len; i++) {
		unsigned char c = (unsigned char)address.base[i];

		if (c < ' ' || c == 0x7f || c == '#')
			return false;
	}
	return address.len && address.base[0] == '/';
}

static bool is_named_before(const struct bundle_list *list, const struct bundle_item *item)
{
	for (const struct bundle_item *other = list->items; other < item; other++)
		if (slice_equal(buffer_slice(&other->address), buffer_slice(&item->address)))
			return true;
	return false;
}

/* It would be shown in the types of events, and in errors. */
static bool holds_token(struct slice address)
{
	size_t mark = slice_find(address, 0, address.len, '?');
	struct slice query = {address.base + mark, address.len - mark};

	if (!query.len)
		return false;
	query = (struct slice){query.base + 1, query.len - 1};
	return has(query, "access_token") || has(query, "token");
}

/* NULL, or what is wrong with it. */
static const char *read_item(const struct router *router, const struct bundle_list *list,
			     struct bundle_item *item, int *status)
{
	const struct slice address = buffer_slice(&item->address);
	size_t mark = slice_find(address, 0, address.len, '?');

	*status = 400;
	if (!is_address(address))
		return "An s is a stream's path, with its query where it has one: it begins with "
		       "\"/\" and holds neither \"#\" nor control characters.";
	if (is_named_before(list, item))
		return "It is named twice: each stream comes once.";
	if (mark < address.len)
		item->query = (struct slice){address.base + mark + 1, address.len - mark - 1};
	if (has(item->query, "cursor"))
		return "A cursor is of one stream that is read alone: leave cursor out.";
	*status = 404;
	if (!router_find(router, (struct slice){address.base, mark}, &item->route))
		return "No stream of the configuration has this path.";
	return NULL;
}

static bool refuse(struct bundle_list_problem *problem, int status, const char *detail)
{
	*problem = (struct bundle_list_problem){.status = status, .detail = detail};
	return false;
}

static bool add(const struct router *router, struct slice value, struct bundle_list *list,
		struct bundle_list_problem *problem)
{
	struct bundle_item *item = &list->items[list->count];
	const char *wrong;
	int status;

	_Static_assert(COMBINED_ID_MAX_PARTS == 16, "the text says how many");
	if (list->count == COMBINED_ID_MAX_PARTS)
		return refuse(problem, 400, "At most 16 streams come in one connection.");
	if (percent_decode(value, true, &item->address)) {
		buffer_free(&item->address);
		return refuse(problem, 400, "An s is not percent-encoded UTF-8.");
	}
	list->count++;
	if (holds_token(buffer_slice(&item->address)))
		return refuse(problem, 400,
			      "The token is the request's: write it beside the s, not into "
			      "one.");
	wrong = read_item(router, list, item, &status);
	if (!wrong)
		return true;
	(void)refuse(problem, status, wrong);
	problem->about = buffer_slice(&item->address);
	return false;
}

/* What is said of a stream says nothing of several. */
static bool check_outer(struct slice query, struct bundle_list_problem *problem)
{
	static const char *const of_one[] = {"since", "filter", "cursor"};

	for (size_t i = 0; i < sizeof(of_one) / sizeof(of_one[0]); i++)
		if (has(query, of_one[i]))
			return refuse(problem, 400,
				      "since and filter belong to one stream: write them into its "
				      "s, as in s=/path%3Fsince%3D15m. A cursor is of one stream "
				      "that is read alone.");
	return true;
}

bool bundle_list_names_any(struct slice query)
{
	return has(query, "s");
}

bool bundle_list_read(const struct router *router, struct slice query, struct bundle_list *list,
		      struct bundle_list_problem *problem)
{
	struct slice name, value;
	size_t at = 0;

	if (!check_outer(query, problem))
		return false;
	while (percent_next_pair(query, &at, &name, &value))
		if (is_s(name) && !add(router, value, list, problem))
			return false;
	return list->count || refuse(problem, 400,
				     "Name the streams, percent-encoded: "
				     "?s=/path/of/one&s=/path/of/another%3Fwith%3Dquery");
}
