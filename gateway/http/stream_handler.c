#include "http/accept_priv.h"
#include "http/bundle_open_priv.h"
#include "http/cors_priv.h"
#include "http/problem_priv.h"
#include "http/stream_opening_priv.h"

#define ALLOW "GET, HEAD, OPTIONS"

void stream_handle(struct http_request *request, const struct route *route)
{
	const struct http_field allow = {SLICE_LIT("allow"), SLICE_LIT(ALLOW)};

	if (slice_equal(request->method, SLICE_LIT("OPTIONS")))
		cors_reply_options(request, ALLOW);
	else if (!slice_equal(request->method, SLICE_LIT("GET")) &&
		 !slice_equal(request->method, SLICE_LIT("HEAD")))
		problem_reply(request, 405, "A stream is read with GET.", &allow, 1);
	else if (!accept_event_stream(request))
		problem_reply(request, 406,
			      "A stream is text/event-stream; the Accept field does not allow it.",
			      NULL, 0);
	else
		stream_authenticate(request, route);
}

static bool claim_cursor(struct stream_opening *opening)
{
	const struct slice none = {0}, id = buffer_slice(&opening->last_event_id);

	stream_cursor_claim(opening->request, opening->route, opening->caller, &opening->cursor.key,
			    opening->has_position ? id : none);
	return false;
}

/* Who brings an id of its own does not depend on PostgreSQL: its cursor is claimed later. */
static bool take_cursor(struct stream_opening *opening)
{
	const struct stream_cursor_claim *claim = opening->caller->cursor;
	bool has_id = opening->last_event_id.len;

	if (slice_equal(opening->request->method, SLICE_LIT("HEAD")))
		return true;
	if (!stream_cursor_read(opening->request, opening->query, opening->route->stream,
				opening->caller, opening->variables, &opening->cursor))
		return false;
	if (!opening->cursor.key.name.len)
		return true;
	if (!claim)
		return claim_cursor(opening);
	if (claim->rc && !(has_id && claim->rc != ERROR_LIMIT)) {
		stream_cursor_refuse(opening->request, claim->rc);
		return false;
	}
	return has_id || stream_resume_from_cursor(opening, claim->event_id);
}

void stream_answer(struct http_request *request, http_stream_started started, void *context)
{
	struct http_field fields[3 + CORS_MAX_FIELDS] = {
	    {SLICE_LIT("content-type"), SLICE_LIT("text/event-stream")},
	    {SLICE_LIT("cache-control"), SLICE_LIT("no-store, no-transform")},
	    {SLICE_LIT("x-accel-buffering"), SLICE_LIT("no")},
	};
	size_t count = 3 + cors_fields(request, fields + 3);

	if (slice_equal(request->method, SLICE_LIT("HEAD"))) {
		http_reply(request, &(struct http_response){.status = 200,
							    .fields = fields,
							    .field_count = count,
							    .has_no_length = true});
		started(context, NULL);
	} else {
		http_stream(request,
			    &(struct http_response){.status = 200,
						    .fields = fields,
						    .field_count = count,
						    .body = SLICE_LIT(":\n\n")},
			    started, context);
	}
}

void stream_open(struct http_request *request, const struct route *route,
		 struct stream_caller *caller)
{
	struct stream_opening opening = {
	    .request = request,
	    .route = route,
	    .caller = caller,
	    .loop = app_loop_of(request),
	    .query = request->query,
	    .given_id = http_request_field(request, "last-event-id"),
	};

	if (!route->stream) {
		bundle_open(request, caller);
		return;
	}
	if (stream_opening_read(&opening) && take_cursor(&opening))
		stream_answer(request, stream_begin, stream_beginning_new(&opening));
	stream_opening_fini(&opening);
}
