#include "http/accept_priv.h"

/* Takes the next part of a list off the rest, without the blanks around it; false at the end. */
static bool next_part(struct slice *rest, char separator, struct slice *part)
{
	size_t end = slice_find(*rest, 0, rest->len, separator), from = 0, to = end;

	if (!rest->len)
		return false;
	while (from < to && (rest->base[from] == ' ' || rest->base[from] == '\t'))
		from++;
	while (to > from && (rest->base[to - 1] == ' ' || rest->base[to - 1] == '\t'))
		to--;
	*part = (struct slice){rest->base + from, to - from};
	end += end < rest->len;
	*rest = (struct slice){rest->base + end, rest->len - end};
	return true;
}

/* How exactly a media range names text/event-stream; 0: not at all. */
static unsigned media_range_rank(struct slice range)
{
	static const char *const fitting[] = {"*/*", "text/*", "text/event-stream"};

	for (unsigned i = 0; i < sizeof(fitting) / sizeof(fitting[0]); i++)
		if (slice_equal_ascii_case(range, slice_of(fitting[i])))
			return i + 1;
	return 0;
}

/* "q=0", "q=0.000" (RFC 9110, 12.4.2). */
static bool is_refused(struct slice parameters)
{
	struct slice part;
	size_t at = 2;

	while (next_part(&parameters, ';', &part)) {
		if (part.len <= 2 || (part.base[0] != 'q' && part.base[0] != 'Q') ||
		    part.base[1] != '=')
			continue;
		while (at < part.len && (part.base[at] == '0' || part.base[at] == '.'))
			at++;
		return at == part.len;
	}
	return false;
}

/* The range that names it most exactly decides (RFC 9110, 12.5.1). */
bool accept_event_stream(const struct http_request *request)
{
	struct slice accept = http_request_field(request, "accept");
	struct slice range, type;
	bool accepted = !accept.len;
	unsigned best = 0, rank;

	while (next_part(&accept, ',', &range)) {
		if (!next_part(&range, ';', &type))
			continue;
		rank = media_range_rank(type);
		if (rank <= best)
			continue;
		best = rank;
		accepted = !is_refused(range);
	}
	return accepted;
}

/* UTF-8 is all that JSON comes in (RFC 8259, 8.1); many clients say so. */
bool accept_is_json(const struct http_request *request)
{
	struct slice rest = http_request_field(request, "content-type"), part;

	if (!next_part(&rest, ';', &part) ||
	    !slice_equal_ascii_case(part, SLICE_LIT("application/json")))
		return false;
	while (next_part(&rest, ';', &part))
		if (part.len && !slice_equal_ascii_case(part, SLICE_LIT("charset=utf-8")) &&
		    !slice_equal_ascii_case(part, SLICE_LIT("charset=\"utf-8\"")))
			return false;
	return true;
}
