#include "http/stream_opening_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "event/percent.h"
#include "http/problem_priv.h"

void stream_opening_fini(struct stream_opening *opening)
{
	for (size_t i = 0; i < opening->decoded_count; i++)
		buffer_free(&opening->decoded[i]);
	free(opening->decoded);
	json_decref(opening->variables);
	buffer_free(&opening->last_event_id);
	stream_cursor_key_fini(&opening->cursor);
	stream_terms_fini(&opening->terms, opening->loop);
}

bool stream_opening_fail(struct stream_opening *opening, int status, const char *detail)
{
	problem_reply(opening->request, status, detail, NULL, 0);
	return false;
}

static struct buffer *new_decoded(struct stream_opening *opening)
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
	struct stream_opening *opening = context;
	struct buffer *value = new_decoded(opening);
	int rc = opening->query.base ? percent_find(opening->query, name, value) : ERROR_NOT_FOUND;

	if (rc == ERROR_INVALID)
		opening->undecodable = name;
	return rc ? (struct slice){0} : filled(value);
}

/* Field names come in lower case; the configuration may write them in any. */
static struct slice header_value(void *context, const char *name)
{
	const struct http_request *request = ((struct stream_opening *)context)->request;

	for (size_t i = 0; i < request->field_count; i++)
		if (slice_equal_ascii_case(request->fields[i].name, slice_of(name)))
			return request->fields[i].value;
	return (struct slice){0};
}

static bool read_params(struct stream_opening *opening)
{
	const struct stream *stream = opening->route->stream;
	struct slice values[PATH_TEMPLATE_MAX_PARAMS] = {{0}};
	const struct stream_request request = {values, query_value, header_value, opening};
	char reason[256];
	int rc;

	for (size_t i = 0; i < path_template_param_count(stream->path); i++) {
		struct buffer *value = new_decoded(opening);

		if (percent_decode(opening->route->values[i], false, value))
			return stream_opening_fail(
			    opening, 400,
			    "The path has a % without two hex digits, or is not UTF-8.");
		values[i] = filled(value);
	}
	rc = stream_read_params(stream, &request, &opening->variables, reason);
	if (opening->undecodable)
		return stream_opening_fail(
		    opening, 400, "The query has a % without two hex digits, or is not UTF-8.");
	if (rc)
		return stream_opening_fail(opening, 400, reason);
	if (opening->caller->claims)
		json_object_set(opening->variables, "claims", opening->caller->claims);
	return true;
}

/* Without a valid token an access rule may still hold, if it does not ask for claims; where it does
 * not hold, a token may be what is missing. */
static bool check_access(struct stream_opening *opening)
{
	const struct stream *stream = opening->route->stream;
	const struct stream_caller *caller = opening->caller;

	if (stream->access == STREAM_PUBLIC)
		return true;
	if (stream->access == STREAM_CLOSED)
		return stream_opening_fail(
		    opening, 403, "This stream is closed: its configuration has no access rule.");
	if (!caller->why_not &&
	    pattern_matches(stream->access_pattern, opening->variables, opening->variables))
		return true;
	if (caller->claims)
		return stream_opening_fail(opening, 403,
					   "The token does not give access to this stream.");
	stream_reply_unauthorized(opening->request, caller);
	return false;
}

static bool open_feed(struct stream_opening *opening)
{
	const struct stream *stream = opening->route->stream;
	const char *topic = NULL;

	if (stream->topic_param) {
		topic = json_string_value(json_object_get(
		    json_object_get(opening->variables, "path"), stream->topic_param));
		if (!topic || !stream_allows_topic(stream, slice_of(topic)))
			return stream_opening_fail(opening, 404, "This stream has no such topic.");
	}
	if (feeds_open(opening->loop->app->parts.feeds, stream, topic, &opening->terms.feed))
		return stream_opening_fail(opening, 503,
					   "Too many topics are open; try again later.");
	return true;
}

static bool make_keys(struct stream_opening *opening)
{
	const struct pattern *filter = opening->route->stream->filter;

	if (!feed_is_filtered(opening->terms.feed))
		return true;
	if (pattern_request_keys(filter, opening->variables, &opening->terms.keys))
		return stream_opening_fail(opening, 400,
					   "The request selects too many combinations of values.");
	if (opening->terms.keys.count)
		return true;
	if (opening->caller->claims)
		return stream_opening_fail(
		    opening, 403, "The token lacks a claim that this stream's filter needs.");
	stream_reply_unauthorized(opening->request, opening->caller);
	return false;
}

static bool bind_filters(struct stream_opening *opening)
{
	const struct stream *stream = opening->route->stream;

	return stream_filter_bind(opening->request, opening->query, stream, opening->caller,
				  opening->variables, &opening->terms.bound) &&
	       stream_filter_open(opening->request, stream, opening->caller,
				  &opening->terms.filter);
}

static bool render_welcome(struct stream_opening *opening)
{
	char detail[128];

	if (!stream_append_welcome(opening->route->stream, opening->variables,
				   &opening->terms.welcome))
		return true;
	snprintf(detail, sizeof(detail),
		 "What this request and its token hold makes the welcome event larger than %d "
		 "bytes.",
		 STREAM_WELCOME_MAX_BYTES);
	return stream_opening_fail(opening, 400, detail);
}

bool stream_opening_read(struct stream_opening *opening)
{
	return read_params(opening) && check_access(opening) && open_feed(opening) &&
	       stream_resume_read(opening) && make_keys(opening) && render_welcome(opening) &&
	       bind_filters(opening) && stream_extent_read(opening);
}
