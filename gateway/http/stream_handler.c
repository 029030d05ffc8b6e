#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "event/event_id.h"
#include "event/percent.h"
#include "http/accept_priv.h"
#include "http/cors_priv.h"
#include "http/problem_priv.h"
#include "http/stream_cursor_priv.h"
#include "http/stream_filter_priv.h"
#include "http/stream_priv.h"
#include "http/stream_since_priv.h"

#define ALLOW "GET, HEAD, OPTIONS"

enum { CUSTOM_ID_MAX_BYTES = 1024 };

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

/* What one request's opening needs, freed at its end. */
struct opening {
	struct http_request *request;
	const struct route *route;
	struct stream_caller *caller;
	struct buffer *decoded; /* values that were percent-decoded */
	size_t decoded_count;
	const char *undecodable; /* the query parameter that is not */
	json_t *variables;
	struct feed *feed; /* a reference */
	struct route_keys keys;
	struct position position; /* of Last-Event-ID */
	bool has_position;
	struct buffer last_event_id;
	bool is_custom_id;
	int64_t since_ms; /* -1: not asked for */
	struct stream_cursor_key cursor;
	bool has_stale_cursor;
	struct checks *bound;         /* a reference; NULL: route keys alone decide */
	struct stream_filter *filter; /* NULL: nothing narrows the stream for its subject */
};

static void opening_fini(struct opening *opening, struct feeds *feeds)
{
	for (size_t i = 0; i < opening->decoded_count; i++)
		buffer_free(&opening->decoded[i]);
	free(opening->decoded);
	json_decref(opening->variables);
	if (opening->feed)
		feeds_close(feeds, opening->feed);
	route_keys_free(&opening->keys);
	if (opening->has_position)
		position_fini(&opening->position);
	buffer_free(&opening->last_event_id);
	stream_cursor_key_fini(&opening->cursor);
	checks_unref(opening->bound);
	stream_filter_free(opening->filter);
}

/* Every step answers the request itself where it fails, and returns false then. */
static bool fail(struct opening *opening, int status, const char *detail)
{
	problem_reply(opening->request, status, detail, NULL, 0);
	return false;
}

static struct buffer *new_decoded(struct opening *opening)
{
	opening->decoded = mem_realloc(opening->decoded,
				       (opening->decoded_count + 1) * sizeof(opening->decoded[0]));
	opening->decoded[opening->decoded_count] = (struct buffer){0};
	return &opening->decoded[opening->decoded_count++];
}

static struct slice filled(struct buffer *buffer)
{
	buffer_text(buffer);
	return buffer_slice(buffer);
}

static struct slice query_value(void *context, const char *name)
{
	struct opening *opening = context;
	struct buffer *value = new_decoded(opening);
	int rc = opening->request->query.base ? percent_find(opening->request->query, name, value)
					      : ERROR_NOT_FOUND;

	if (rc == ERROR_INVALID)
		opening->undecodable = name;
	return rc ? (struct slice){0} : filled(value);
}

/* Field names come in lower case; the configuration may write them in any. */
static struct slice header_value(void *context, const char *name)
{
	const struct http_request *request = ((struct opening *)context)->request;

	for (size_t i = 0; i < request->field_count; i++)
		if (slice_equal_ascii_case(request->fields[i].name, slice_of(name)))
			return request->fields[i].value;
	return (struct slice){0};
}

static bool read_params(struct opening *opening)
{
	const struct stream *stream = opening->route->stream;
	struct slice values[PATH_TEMPLATE_MAX_PARAMS] = {{0}};
	const struct stream_request request = {values, query_value, header_value, opening};
	char reason[256];
	int rc;

	for (size_t i = 0; i < path_template_param_count(stream->path); i++) {
		struct buffer *value = new_decoded(opening);

		if (percent_decode(opening->route->values[i], false, value))
			return fail(opening, 400,
				    "The path has a % without two hex digits, or is not UTF-8.");
		values[i] = filled(value);
	}
	rc = stream_read_params(stream, &request, &opening->variables, reason);
	if (opening->undecodable)
		return fail(opening, 400,
			    "The query has a % without two hex digits, or is not UTF-8.");
	if (rc)
		return fail(opening, 400, reason);
	if (opening->caller->claims)
		json_object_set(opening->variables, "claims", opening->caller->claims);
	return true;
}

/* Without a valid token an access rule may still hold, if it does not ask for claims; where it does
 * not hold, a token may be what is missing. */
static bool check_access(struct opening *opening)
{
	const struct stream *stream = opening->route->stream;
	const struct stream_caller *caller = opening->caller;

	if (stream->access == STREAM_PUBLIC)
		return true;
	if (stream->access == STREAM_CLOSED)
		return fail(opening, 403,
			    "This stream is closed: its configuration has no access rule.");
	if (!caller->why_not &&
	    pattern_matches(stream->access_pattern, opening->variables, opening->variables))
		return true;
	if (caller->claims)
		return fail(opening, 403, "The token does not give access to this stream.");
	stream_reply_unauthorized(opening->request, caller);
	return false;
}

/* Last-Event-ID from its field, or from the query for clients that can't set fields. */
static bool find_last_event_id(struct opening *opening)
{
	static const char *const names[] = {"lastEventId", "last_event_id"};
	struct slice field = http_request_field(opening->request, "last-event-id");

	if (field.base) {
		buffer_append_slice(&opening->last_event_id, field);
		return true;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int rc =
		    opening->request->query.base
			? percent_find(opening->request->query, names[i], &opening->last_event_id)
			: ERROR_NOT_FOUND;

		if (rc == ERROR_INVALID)
			return fail(opening, 400, "lastEventId is not percent-encoded UTF-8.");
		if (!rc)
			return true;
	}
	return true;
}

static bool fits_custom_id(const struct opening *opening)
{
	return mapping_has_custom_id(opening->route->stream->mapping) &&
	       opening->last_event_id.len <= CUSTOM_ID_MAX_BYTES;
}

static bool reply_final(struct opening *opening)
{
	struct http_field fields[CORS_MAX_FIELDS];
	size_t count = cors_fields(opening->request, fields);

	http_reply(opening->request,
		   &(struct http_response){.status = 204, .fields = fields, .field_count = count});
	return false;
}

/* NULL, or why the id is not a position in this feed. */
static const char *decode_position(struct opening *opening, struct slice id, unsigned *flags)
{
	const char *reason = NULL;

	if (event_id_decode(id, opening->feed->hash, flags, &opening->position, &reason))
		return reason;
	if (opening->position.topic_count != opening->feed->topic_count) {
		position_fini(&opening->position);
		return "it names other topics";
	}
	opening->has_position = true;
	return NULL;
}

static bool read_last_event_id(struct opening *opening)
{
	const char *reason;
	unsigned flags = 0;
	char detail[256];

	if (!find_last_event_id(opening))
		return false;
	if (!opening->last_event_id.len)
		return true;
	reason = decode_position(opening, buffer_slice(&opening->last_event_id), &flags);
	if (reason && fits_custom_id(opening)) {
		opening->is_custom_id = true;
		return true;
	}
	if (reason) {
		snprintf(detail, sizeof(detail), "Last-Event-ID is not one of this stream's: %s.",
			 reason);
		return fail(opening, 400, detail);
	}
	return flags & EVENT_ID_FINAL ? reply_final(opening) : true;
}

static bool read_since(struct opening *opening)
{
	struct slice query = opening->request->query;
	struct buffer since = {0};
	int rc = query.base ? percent_find(query, "since", &since) : ERROR_NOT_FOUND;

	opening->since_ms = -1;
	if (!rc)
		rc = stream_since_read(buffer_slice(&since), clock_unix_ms(), &opening->since_ms);
	buffer_free(&since);
	return !rc || rc == ERROR_NOT_FOUND || fail(opening, 400, STREAM_SINCE_WANTED);
}

static bool open_feed(struct opening *opening)
{
	const struct stream *stream = opening->route->stream;
	const char *topic = NULL;
	struct feed *feed;

	if (stream->topic_param) {
		topic = json_string_value(json_object_get(
		    json_object_get(opening->variables, "path"), stream->topic_param));
		if (!topic || !stream_allows_topic(stream, slice_of(topic)))
			return fail(opening, 404, "This stream has no such topic.");
	}
	if (feeds_open(app_of(opening->request)->parts.feeds, stream, topic, &feed))
		return fail(opening, 503, "Too many topics are open; try again later.");
	opening->feed = feed;
	return true;
}

static bool make_keys(struct opening *opening)
{
	const struct pattern *filter = opening->route->stream->filter;

	if (!feed_is_filtered(opening->feed))
		return true;
	if (pattern_request_keys(filter, opening->variables, &opening->keys))
		return fail(opening, 400, "The request selects too many combinations of values.");
	if (opening->keys.count)
		return true;
	if (opening->caller->claims)
		return fail(opening, 403,
			    "The token lacks a claim that this stream's filter needs.");
	stream_reply_unauthorized(opening->request, opening->caller);
	return false;
}

static bool resume_from_cursor(struct opening *opening, struct slice event_id)
{
	unsigned flags = 0;

	if (event_id.len)
		opening->has_stale_cursor = decode_position(opening, event_id, &flags) != NULL;
	return flags & EVENT_ID_FINAL ? reply_final(opening) : true;
}

static bool claim_cursor(struct opening *opening)
{
	const struct slice none = {0}, id = buffer_slice(&opening->last_event_id);

	stream_cursor_claim(opening->request, opening->route, opening->caller, &opening->cursor.key,
			    opening->has_position ? id : none);
	return false;
}

/* Who brings an id of its own does not depend on PostgreSQL: its cursor is claimed later. */
static bool take_cursor(struct opening *opening)
{
	const struct stream_cursor_claim *claim = opening->caller->cursor;
	bool has_id = opening->last_event_id.len;

	if (slice_equal(opening->request->method, SLICE_LIT("HEAD")))
		return true;
	if (!stream_cursor_read(opening->request, opening->route->stream, opening->caller,
				opening->variables, &opening->cursor))
		return false;
	if (!opening->cursor.key.name.len)
		return true;
	if (!claim)
		return claim_cursor(opening);
	if (claim->rc && !(has_id && claim->rc != ERROR_LIMIT)) {
		stream_cursor_refuse(opening->request, claim->rc);
		return false;
	}
	return has_id || resume_from_cursor(opening, claim->event_id);
}

/* What outlives the request until the head is sent. */
struct starting {
	struct app_loop *loop;
	struct feed *feed;
	struct route_keys keys;
	struct position position;
	bool has_position;
	struct buffer custom_id;
	int64_t since_ms;
	int64_t expires_unix_ms;
	struct auth_holder *holder;
	struct cursor_life *cursor; /* NULL: it has none */
	bool has_stale_cursor;
	struct checks *bound;
	struct stream_filter *filter;
};

/* What was revoked since the token was checked was not looked for here. */
static void keep_holder(struct http_stream *stream, struct starting *starting)
{
	stream->holder = starting->holder;
	starting->holder = NULL;
	if (auth_is_revoked(starting->loop->app->parts.auth, stream->holder))
		subscriber_revoke(stream->subscriber);
}

static void started(void *context, struct http_stream *stream)
{
	struct starting *starting = context;
	struct checks *checks =
	    checks_both(starting->bound, stream_filter_checks(starting->filter));
	const struct subscriber_start start = {
	    .position = starting->has_position ? &starting->position : NULL,
	    .custom_id = buffer_slice(&starting->custom_id),
	    .has_since = starting->since_ms >= 0,
	    .since_ms = starting->since_ms,
	    .has_stale_cursor = starting->has_stale_cursor,
	    .tracked = starting->cursor,
	    .checks = checks,
	};

	if (stream) {
		stream->subscriber =
		    subscriber_new(starting->loop->fanout, starting->feed, &starting->keys, &start,
				   starting->expires_unix_ms, &stream->carrier);
		stream_filter_begin(starting->filter, stream, starting->bound);
		keep_holder(stream, starting);
		if (starting->cursor)
			stream_cursor_begin(starting->loop->cursors, stream, starting->cursor);
		if (atomic_load(&starting->loop->app->draining))
			subscriber_end(stream->subscriber, CLOSE_DRAIN, (struct slice){0});
	} else {
		feeds_close(starting->loop->app->parts.feeds, starting->feed);
		route_keys_free(&starting->keys);
		stream_filter_free(starting->filter);
		if (starting->cursor)
			cursor_saver_end(starting->loop->app->parts.cursor_saver, starting->cursor,
					 (struct slice){0});
	}
	if (starting->has_position)
		position_fini(&starting->position);
	buffer_free(&starting->custom_id);
	auth_holder_free(starting->holder);
	checks_unref(checks);
	checks_unref(starting->bound);
	free(starting);
}

static struct cursor_life *begin_cursor(const struct opening *opening)
{
	const struct stream_cursor_claim *claim = opening->caller->cursor;

	if (!claim)
		return NULL;
	return cursor_saver_begin(app_of(opening->request)->parts.cursor_saver,
				  &opening->cursor.key, claim->rc ? 0 : claim->generation);
}

static void send_head(struct opening *opening, const struct http_field *fields, size_t count)
{
	struct starting *starting = MEM_NEW(struct starting);

	starting->loop = app_loop_of(opening->request);
	starting->feed = opening->feed;
	starting->keys = opening->keys;
	starting->position = opening->position;
	starting->has_position = opening->has_position;
	starting->since_ms = opening->since_ms;
	if (opening->is_custom_id) {
		starting->custom_id = opening->last_event_id;
		opening->last_event_id = (struct buffer){0};
	}
	starting->expires_unix_ms = opening->caller->expires_unix_ms;
	starting->holder = opening->caller->holder;
	opening->caller->holder = NULL;
	starting->cursor = begin_cursor(opening);
	starting->has_stale_cursor = opening->has_stale_cursor;
	starting->bound = opening->bound;
	starting->filter = opening->filter;
	opening->bound = NULL;
	opening->filter = NULL;
	opening->feed = NULL;
	opening->keys = (struct route_keys){0};
	opening->has_position = false;
	http_stream(
	    opening->request,
	    &(struct http_response){
		.status = 200, .fields = fields, .field_count = count, .body = SLICE_LIT(":\n\n")},
	    started, starting);
}

static void answer(struct opening *opening)
{
	struct http_field fields[3 + CORS_MAX_FIELDS] = {
	    {SLICE_LIT("content-type"), SLICE_LIT("text/event-stream")},
	    {SLICE_LIT("cache-control"), SLICE_LIT("no-store, no-transform")},
	    {SLICE_LIT("x-accel-buffering"), SLICE_LIT("no")},
	};
	size_t count = 3 + cors_fields(opening->request, fields + 3);

	if (slice_equal(opening->request->method, SLICE_LIT("HEAD")))
		http_reply(opening->request, &(struct http_response){.status = 200,
								     .fields = fields,
								     .field_count = count,
								     .has_no_length = true});
	else
		send_head(opening, fields, count);
}

void stream_open(struct http_request *request, const struct route *route,
		 struct stream_caller *caller)
{
	struct opening opening = {.request = request, .route = route, .caller = caller};
	struct feeds *feeds = app_of(request)->parts.feeds;

	if (read_params(&opening) && check_access(&opening) && open_feed(&opening) &&
	    read_last_event_id(&opening) && read_since(&opening) && make_keys(&opening) &&
	    stream_filter_bind(request, route->stream, caller, opening.variables, &opening.bound) &&
	    stream_filter_open(request, route->stream, caller, &opening.filter) &&
	    take_cursor(&opening))
		answer(&opening);
	opening_fini(&opening, feeds);
}
