#include "http/request_priv.h"

#include "auth/auth.h"
#include "base/buffer.h"
#include "base/log.h"
#include "base/metrics.h"
#include "http/bundle_priv.h"
#include "http/problem_priv.h"
#include "http/request_fields_priv.h"

struct slice http_request_field(const struct http_request *request, const char *name)
{
	struct slice wanted = slice_of(name);

	for (size_t i = 0; i < request->field_count; i++)
		if (slice_equal(request->fields[i].name, wanted))
			return request->fields[i].value;
	return (struct slice){NULL, 0};
}

/* "http://host/path" -> "/path"; a target of another form is left as it is. */
static struct slice strip_authority(struct slice target)
{
	static const struct slice schemes[] = {{"http://", 7}, {"https://", 8}};

	for (size_t i = 0; i < 2; i++) {
		size_t at = schemes[i].len;

		if (target.len < at ||
		    !slice_equal_ascii_case((struct slice){target.base, at}, schemes[i]))
			continue;
		while (at < target.len && target.base[at] != '/' && target.base[at] != '?')
			at++;
		return (struct slice){target.base + at, target.len - at};
	}
	return target;
}

bool request_set_target(struct http_request *request, struct slice target)
{
	struct slice rest = strip_authority(target);
	const char *mark = rest.len ? memchr(rest.base, '?', rest.len) : NULL;
	bool had_authority = rest.base != target.base;

	request->query = (struct slice){NULL, 0};
	if (mark) {
		request->query.base = mark + 1;
		request->query.len = (size_t)(rest.base + rest.len - mark) - 1;
		rest.len = (size_t)(mark - rest.base);
	}
	if (had_authority && rest.len == 0)
		rest = SLICE_LIT("/");
	request->path = rest;
	return rest.len && (rest.base[0] == '/' || (slice_equal(rest, SLICE_LIT("*")) && !mark));
}

bool request_is_head(const struct http_request *request)
{
	return slice_equal(request->method, SLICE_LIT("HEAD"));
}

bool request_status_has_no_content(int status)
{
	return status < 200 || status == 204 || status == 304;
}

void request_count_response(int status)
{
	static const enum metrics_counter classes[] = {METRIC_RESPONSES_2XX, METRIC_RESPONSES_3XX,
						       METRIC_RESPONSES_4XX, METRIC_RESPONSES_5XX};

	if (status >= 200 && status < 600)
		metrics_add(classes[status / 100 - 2], 1);
}

/* Without the query, which may hold a token. */
static void count_and_log(const struct http_request *request, int status)
{
	request_count_response(status);
	log_event(LOG_DEBUG, "request", "answered", LOG_SLICE("method", request->method),
		  LOG_SLICE("path", request->path), LOG_INT("status", status),
		  LOG_INT("version", request->version), LOG_STR("peer", request->peer));
}

void http_reply(struct http_request *request, const struct http_response *response)
{
	count_and_log(request, response->status);
	request->ops->reply(request, response);
}

void http_stream(struct http_request *request, const struct http_response *head,
		 http_stream_started started, void *context)
{
	count_and_log(request, head->status);
	request->ops->stream(request, head, started, context);
}

void http_stream_watch(struct http_stream *stream, struct http_stream_watcher *watcher)
{
	watcher->next = stream->watchers;
	stream->watchers = watcher;
}

struct slice http_stream_peek(struct http_stream *stream, size_t max)
{
	if (stream->subscriber)
		return subscriber_peek(stream->subscriber, max);
	return stream->bundle ? bundle_peek(stream->bundle, max) : (struct slice){NULL, 0};
}

void http_stream_consume(struct http_stream *stream, size_t n)
{
	if (stream->subscriber)
		subscriber_consume(stream->subscriber, n);
	else
		bundle_consume(stream->bundle, n);
}

bool http_stream_ended(const struct http_stream *stream)
{
	if (stream->subscriber)
		return subscriber_ended(stream->subscriber);
	return !stream->bundle || bundle_ended(stream->bundle);
}

void http_stream_drop(struct http_stream *stream, enum close_reason reason)
{
	struct subscriber *subscriber = stream->subscriber;
	struct http_stream_watcher *next;

	if (stream->bundle)
		bundle_free(stream->bundle, reason);
	stream->bundle = NULL;
	if (!subscriber)
		return;
	stream->subscriber = NULL;
	for (struct http_stream_watcher *watcher = stream->watchers; watcher; watcher = next) {
		next = watcher->next;
		watcher->ended(watcher, subscriber);
	}
	stream->watchers = NULL;
	subscriber_free(subscriber, reason);
	auth_holder_free(stream->holder);
	stream->holder = NULL;
}

void request_refuse(struct http_request *request, int status, const char *detail)
{
	static const struct http_field type = {SLICE_LIT("content-type"),
					       SLICE_LIT("application/problem+json")};
	struct buffer body = {0};

	problem_append(&body, status, detail);
	http_reply(request, &(struct http_response){.status = status,
						    .fields = &type,
						    .field_count = 1,
						    .body = buffer_slice(&body)});
	buffer_free(&body);
}
