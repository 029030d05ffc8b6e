#include "http/stream_filter_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "event/percent.h"
#include "event/user_filter.h"
#include "http/problem_priv.h"

/* What user_filter's subject has room for: 255 characters of up to four bytes. */
enum { MAX_SUBJECT_BYTES = 4 * 255 };

struct stream_filter {
	struct http_stream_watcher watcher; /* first */
	struct filter_hold hold;
	struct filter_registry *registry;
	struct subscriber *subscriber; /* NULL: it has not begun */
	struct checks *checks;         /* until then */
	struct checks *bound;          /* since then: the stream's own */
};

bool stream_filter_refuse(struct http_request *request, const struct stream_caller *caller,
			  const char *name, int rc, const struct pattern_error *error)
{
	char detail[100];

	snprintf(detail, sizeof(detail), "The token lacks a claim that this stream's %s needs.",
		 name);
	if (rc == ERROR_NOT_FOUND && caller->claims)
		problem_reply(request, 403, detail, NULL, 0);
	else if (rc == ERROR_NOT_FOUND)
		stream_reply_unauthorized(request, caller);
	else
		problem_reply(request, 400, error->reason, NULL, 0);
	return false;
}

/* The client's own, ?filter= and the body, and the stream's. */
struct filters {
	struct pattern *patterns[3];
	size_t count;
};

static bool refuse_client_filter(struct http_request *request, const char *where,
				 const struct pattern_error *error)
{
	char detail[600];

	snprintf(detail, sizeof(detail), "The %s is no pattern for this stream: %s%s%s.", where,
		 error->pointer, *error->pointer ? ": " : "", error->reason);
	problem_reply(request, 400, detail, NULL, 0);
	return false;
}

static bool refuse_unwanted(struct http_request *request, const char *where)
{
	char detail[100];

	snprintf(detail, sizeof(detail),
		 "This stream takes no filter of a client's: leave the %s out.", where);
	problem_reply(request, 400, detail, NULL, 0);
	return false;
}

static bool add_client_filter(struct http_request *request, const struct stream *stream,
			      const char *where, struct slice text, struct filters *filters)
{
	struct pattern_error error = {"", ""};

	if (!stream->client_filters)
		return refuse_unwanted(request, where);
	if (text.len > STREAM_FILTER_MAX_BYTES) {
		snprintf(error.reason, sizeof(error.reason), "it has more than %d bytes",
			 STREAM_FILTER_MAX_BYTES);
		return refuse_client_filter(request, where, &error);
	}
	if (user_filter_compile(text, &filters->patterns[filters->count], &error))
		return refuse_client_filter(request, where, &error);
	filters->count++;
	return true;
}

static bool add_parameter(struct http_request *request, struct slice query,
			  const struct stream *stream, struct filters *filters)
{
	static const char where[] = "filter parameter";
	const struct pattern_error undecodable = {"", "it is not percent-encoded UTF-8"};
	const struct pattern_error repeated = {
	    "", "it comes twice; write all of it as one pattern, and alternatives with \"$or\""};
	struct buffer text = {0};
	int rc = query.base ? percent_find(query, "filter", &text) : ERROR_NOT_FOUND;
	bool added = true;

	if (query.base && percent_count(query, "filter") > 1)
		added = refuse_client_filter(request, where, &repeated);
	else if (!rc)
		added = add_client_filter(request, stream, where, buffer_slice(&text), filters);
	else if (rc != ERROR_NOT_FOUND)
		added = refuse_client_filter(request, where, &undecodable);
	buffer_free(&text);
	return added;
}

static bool add_own(struct http_request *request, const struct stream *stream,
		    const struct stream_caller *caller, const json_t *variables,
		    struct filters *filters)
{
	struct pattern_error error = {"", ""};
	int rc;

	if (!stream->filter || !pattern_is_inexact(stream->filter))
		return true;
	rc = pattern_bind(stream->filter, variables, &filters->patterns[filters->count], &error);
	if (rc)
		return stream_filter_refuse(request, caller, "filter", rc, &error);
	filters->count++;
	return true;
}

bool stream_filter_bind(struct http_request *request, struct slice query,
			const struct stream *stream, const struct stream_caller *caller,
			const json_t *variables, struct checks **bound)
{
	struct filters filters = {.count = 0};

	*bound = NULL;
	if (add_parameter(request, query, stream, &filters) &&
	    (!request->body.len ||
	     add_client_filter(request, stream, "body", request->body, &filters)) &&
	    add_own(request, stream, caller, variables, &filters)) {
		if (filters.count)
			*bound = checks_new(filters.patterns, filters.count);
		return true;
	}
	while (filters.count)
		pattern_free(filters.patterns[--filters.count]);
	return false;
}

/* base NULL: there is none that a filter can be for. */
static struct slice subject_of(const struct stream_caller *caller)
{
	const json_t *sub = json_object_get(caller->claims, "sub");
	struct slice subject = {json_string_value(sub), json_string_length(sub)};

	if (!subject.len || subject.len > MAX_SUBJECT_BYTES ||
	    memchr(subject.base, '\0', subject.len))
		return (struct slice){0};
	return subject;
}

bool stream_filter_waits(struct http_request *request, const struct stream *stream,
			 const struct stream_caller *caller)
{
	struct slice subject = subject_of(caller);

	return stream->user_filters && subject.base &&
	       filter_registry_ask(app_of(request)->parts.filters, subject) == ERROR_PENDING;
}

static bool refuse(struct http_request *request)
{
	const struct http_field retry = {SLICE_LIT("retry-after"), SLICE_LIT("2")};

	problem_reply(request, 503,
		      "What this subject may see cannot be looked up now; try again later.", &retry,
		      1);
	return false;
}

bool stream_filter_open(struct http_request *request, const struct stream *stream,
			const struct stream_caller *caller, struct stream_filter **opened)
{
	struct app_loop *loop = app_loop_of(request);
	struct slice subject = subject_of(caller);
	struct stream_filter *filter;

	*opened = NULL;
	if (!stream->user_filters)
		return true;
	if (!subject.base) {
		problem_reply(request, 403,
			      "The token names no subject (sub) that this stream could be narrowed "
			      "for.",
			      NULL, 0);
		return false;
	}
	filter = MEM_NEW(struct stream_filter);
	filter->registry = loop->app->parts.filters;
	if (filter_registry_hold(filter->registry, &loop->filters, subject, stream, &filter->hold,
				 &filter->checks)) {
		free(filter);
		return refuse(request);
	}
	*opened = filter;
	return true;
}

struct checks *stream_filter_checks(const struct stream_filter *filter)
{
	return filter ? filter->checks : NULL;
}

void stream_filter_free(struct stream_filter *filter)
{
	if (!filter)
		return;
	filter_registry_drop(filter->registry, &filter->hold);
	checks_unref(filter->checks);
	checks_unref(filter->bound);
	free(filter);
}

static void on_end(struct http_stream_watcher *watcher, struct subscriber *subscriber)
{
	(void)subscriber;
	stream_filter_free((struct stream_filter *)watcher);
}

void stream_filter_begin(struct stream_filter *filter, struct http_stream *stream,
			 struct checks *bound)
{
	if (!filter)
		return;
	filter->bound = checks_ref(bound);
	filter->subscriber = stream->subscriber;
	checks_unref(filter->checks);
	filter->checks = NULL;
	filter->watcher.ended = on_end;
	http_stream_watch(stream, &filter->watcher);
}

/* Takes the reference over. */
static void change(struct stream_filter *filter, struct checks *checks)
{
	struct checks *both;

	if (!filter->subscriber) {
		checks_unref(filter->checks);
		filter->checks = checks;
		return;
	}
	both = checks_both(filter->bound, checks);
	subscriber_set_checks(filter->subscriber, both);
	checks_unref(both);
	checks_unref(checks);
}

void stream_filter_turn(struct app_loop *loop)
{
	uint64_t generation = atomic_load(&loop->app->filter_generation);
	struct filter_hold *hold;
	struct checks *checks;

	if (generation == loop->filter_generation)
		return;
	loop->filter_generation = generation;
	while ((
	    hold = filter_registry_next_changed(loop->app->parts.filters, &loop->filters, &checks)))
		change(
		    (struct stream_filter *)((char *)hold - offsetof(struct stream_filter, hold)),
		    checks);
	stream_auth_retry(loop);
}
