#include "http/accept_priv.h"
#include "http/bundle_open_priv.h"
#include "http/cors_priv.h"
#include "http/problem_priv.h"
#include "http/stream_opening_priv.h"

#define ALLOW         "GET, HEAD, OPTIONS"
#define ALLOW_FILTERS ALLOW ", POST, QUERY"

/* What a stream that takes filters says of them. */
static const struct http_field filter_fields[] = {
    {SLICE_LIT("accept-query"), SLICE_LIT("application/json")},
    {SLICE_LIT("accept-post"), SLICE_LIT("application/json")},
};
enum { FILTER_FIELDS = sizeof(filter_fields) / sizeof(filter_fields[0]) };

static bool is_method(const struct http_request *request, const char *method)
{
	return slice_equal(request->method, slice_of(method));
}

/* `stream` NULL: several of them. */
static bool takes_filter(const struct stream *stream)
{
	return stream && stream->client_filters;
}

static const char *methods_of(const struct stream *stream)
{
	return takes_filter(stream) ? ALLOW_FILTERS : ALLOW;
}

static void reply_not_allowed(struct http_request *request, const struct stream *stream)
{
	const struct http_field allow = {SLICE_LIT("allow"), slice_of(methods_of(stream))};
	const char *detail = "A stream is read with GET.";

	if (!stream)
		detail = "Several streams are read with GET; a filter is written into the s of "
			 "its stream.";
	else if (takes_filter(stream))
		detail = "A stream is read with GET, or with POST or QUERY and a filter.";
	problem_reply(request, 405, detail, &allow, 1);
}

/* False: the body is none that the method can have, and the request is answered. */
static bool check_body(struct http_request *request, bool has_filter)
{
	if (!has_filter && request->body.len)
		problem_reply(request, 400,
			      "GET and HEAD have no body; a filter is sent with POST or QUERY, "
			      "where the stream takes one.",
			      NULL, 0);
	else if (has_filter && !request->body.len)
		problem_reply(request, 400,
			      "The body is empty, but must be a filter: a pattern in JSON.", NULL,
			      0);
	else if (has_filter && !accept_is_json(request))
		problem_reply(request, 415, "A filter's content-type is application/json.",
			      filter_fields, FILTER_FIELDS);
	else
		return true;
	return false;
}

void stream_handle(struct http_request *request, const struct route *route)
{
	const struct stream *stream = route->stream;
	bool has_filter =
	    takes_filter(stream) && (is_method(request, "POST") || is_method(request, "QUERY"));

	if (is_method(request, "OPTIONS"))
		cors_reply_options(request, methods_of(stream), filter_fields,
				   takes_filter(stream) ? FILTER_FIELDS : 0);
	else if (!has_filter && !is_method(request, "GET") && !is_method(request, "HEAD"))
		reply_not_allowed(request, stream);
	else if (!accept_event_stream(request))
		problem_reply(request, 406,
			      "A stream is text/event-stream; the Accept field does not allow it.",
			      NULL, 0);
	else if (check_body(request, has_filter))
		stream_authenticate(request, route);
}

static bool claim_cursor(struct stream_opening *opening)
{
	const struct slice none = {0}, id = buffer_slice(&opening->last_event_id);

	stream_cursor_claim(opening->request, opening->route, opening->caller, &opening->cursor.key,
			    opening->terms.has_position ? id : none);
	return false;
}

/* Who brings an id of its own does not depend on PostgreSQL: its cursor is claimed later. */
static bool take_cursor(struct stream_opening *opening)
{
	const struct stream_cursor_claim *claim = opening->caller->cursor;
	bool has_id = opening->last_event_id.len;

	if (is_method(opening->request, "HEAD"))
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

void stream_answer(struct http_request *request, const struct stream *stream,
		   http_stream_started started, void *context)
{
	struct http_field fields[3 + FILTER_FIELDS + CORS_MAX_FIELDS] = {
	    {SLICE_LIT("content-type"), SLICE_LIT("text/event-stream")},
	    {SLICE_LIT("cache-control"), SLICE_LIT("no-store, no-transform")},
	    {SLICE_LIT("x-accel-buffering"), SLICE_LIT("no")},
	};
	size_t count = 3 + cors_fields(request, fields + 3);

	for (size_t i = 0; takes_filter(stream) && i < FILTER_FIELDS; i++)
		fields[count++] = filter_fields[i];
	if (is_method(request, "HEAD")) {
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
		stream_answer(request, route->stream, stream_begin, stream_beginning_new(&opening));
	stream_opening_fini(&opening);
}
