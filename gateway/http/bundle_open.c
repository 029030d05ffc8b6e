#include "http/bundle_open_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/bundle_list_priv.h"
#include "http/bundle_priv.h"
#include "http/problem_priv.h"
#include "http/stream_opening_priv.h"

/* What outlives the request until the head is sent. */
struct beginning {
	struct bundle *bundle;
	size_t count;
	struct {
		struct stream_beginning *stream; /* NULL: it has ended for good */
		uint64_t feed_hash;
	} members[COMBINED_ID_MAX_PARTS];
};

bool bundle_waits(struct http_request *request, const struct stream_caller *caller)
{
	const struct app *app = app_of(request);
	struct bundle_list list = {0};
	struct bundle_list_problem problem;
	bool waits = false;

	if (bundle_list_read(app->router, request->query, &list, &problem))
		for (size_t i = 0; !waits && i < list.count; i++)
			waits = stream_filter_waits(request, list.items[i].route.stream, caller);
	bundle_list_fini(&list);
	return waits;
}

static bool read_list(struct http_request *request, struct bundle_list *list)
{
	struct bundle_list_problem problem;

	if (bundle_list_read(app_of(request)->router, request->query, list, &problem))
		return true;
	request->about = problem.about;
	problem_reply(request, problem.status, problem.detail, NULL, 0);
	return false;
}

static bool fail(struct http_request *request, const char *detail)
{
	problem_reply(request, 400, detail, NULL, 0);
	return false;
}

static bool read_id(struct http_request *request, struct combined_id *id)
{
	struct slice field = http_request_field(request, "last-event-id");
	struct buffer text = {0};
	const char *reason;
	char detail[256] = "";

	if (field.base)
		buffer_append_slice(&text, field);
	else if (stream_resume_find_id(request->query, &text))
		snprintf(detail, sizeof(detail), "%s", STREAM_RESUME_ID_WANTED);
	if (text.len && combined_id_decode(id, buffer_slice(&text), &reason))
		snprintf(detail, sizeof(detail), "Last-Event-ID is not one of these streams': %s.",
			 reason);
	buffer_free(&text);
	return !*detail || fail(request, detail);
}

/* One that has ended for good is looked at like the others, and not begun. */
static bool open_member(struct http_request *request, struct stream_caller *caller,
			const struct bundle_item *item, const struct combined_id *id,
			struct beginning *beginning)
{
	struct buffer part = {0};
	struct stream_opening opening = {
	    .request = request,
	    .route = &item->route,
	    .caller = caller,
	    .loop = app_loop_of(request),
	    .query = item->query,
	    .is_member = true,
	};
	bool opened;

	combined_id_get(id, beginning->count, &part);
	opening.given_id = buffer_slice(&part);
	request->about = buffer_slice(&item->address);
	opened = stream_opening_read(&opening);
	if (opened) {
		request->about = (struct slice){NULL, 0};
		beginning->members[beginning->count].feed_hash = opening.terms.feed->hash;
		if (!opening.is_final)
			beginning->members[beginning->count].stream =
			    stream_beginning_new(&opening);
		beginning->count++;
	}
	stream_opening_fini(&opening);
	buffer_free(&part);
	return opened;
}

static void free_beginning(struct beginning *beginning)
{
	for (size_t i = 0; i < beginning->count; i++)
		if (beginning->members[i].stream)
			stream_begin(beginning->members[i].stream, NULL);
	if (beginning->bundle)
		bundle_free(beginning->bundle, CLOSE_CLIENT);
	free(beginning);
}

/* A http_stream_started. */
static void begin(void *context, struct http_stream *stream)
{
	struct beginning *beginning = context;

	for (size_t i = 0; stream && i < beginning->count; i++) {
		if (!beginning->members[i].stream)
			continue;
		stream_begin(beginning->members[i].stream,
			     bundle_member(beginning->bundle, i, beginning->members[i].feed_hash));
		beginning->members[i].stream = NULL;
	}
	if (stream) {
		bundle_begin(beginning->bundle, &stream->carrier);
		stream->bundle = beginning->bundle;
		beginning->bundle = NULL;
	}
	free_beginning(beginning);
}

static bool has_all_ended(const struct beginning *beginning)
{
	for (size_t i = 0; i < beginning->count; i++)
		if (beginning->members[i].stream)
			return false;
	return true;
}

/* Takes the id over. */
static void open_list(struct http_request *request, struct stream_caller *caller,
		      const struct bundle_list *list, const struct slice *addresses,
		      struct combined_id *id)
{
	struct beginning *beginning = MEM_NEW(struct beginning);

	for (size_t i = 0; i < list->count; i++) {
		if (open_member(request, caller, &list->items[i], id, beginning))
			continue;
		free_beginning(beginning);
		return;
	}
	if (has_all_ended(beginning)) {
		free_beginning(beginning);
		stream_resume_reply_final(request);
		return;
	}
	beginning->bundle = bundle_new(addresses, id);
	stream_answer(request, NULL, begin, beginning);
}

void bundle_open(struct http_request *request, struct stream_caller *caller)
{
	struct slice addresses[COMBINED_ID_MAX_PARTS];
	struct bundle_list list = {0};
	struct combined_id id = {.count = 0};

	if (read_list(request, &list)) {
		for (size_t i = 0; i < list.count; i++)
			addresses[i] = buffer_slice(&list.items[i].address);
		combined_id_init(&id, addresses, list.count);
		if (read_id(request, &id))
			open_list(request, caller, &list, addresses, &id);
	}
	combined_id_fini(&id);
	bundle_list_fini(&list);
}
