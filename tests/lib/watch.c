#include "lib/watch.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

/* For tests that fail; those that pass never wait so long. */
enum { PATIENCE_MS = 20000 };

static void take_event(void *context, struct sse_client *client, const struct sse_event *event)
{
	struct watch *watch = context;
	struct watch_event *kept;

	(void)client;
	watch->events = mem_realloc(watch->events, (watch->count + 1) * sizeof(*watch->events));
	kept = &watch->events[watch->count++];
	kept->type = mem_strndup(event->type.base, event->type.len);
	kept->data = mem_alloc(event->data.len + 1);
	memcpy(kept->data, event->data.base, event->data.len);
	kept->data[event->data.len] = '\0';
	kept->data_len = event->data.len;
	kept->id = mem_strndup(event->last_event_id.base ? event->last_event_id.base : "",
			       event->last_event_id.len);
}

static void take_comment(void *context, struct sse_client *client, struct slice text)
{
	struct watch *watch = context;

	(void)client;
	if (!watch->count)
		watch->early_comments++;
	free(watch->comment);
	watch->comment = mem_strndup(text.base ? text.base : "", text.len);
}

void watch_open(struct watch *watch, struct sse_client_loop *loop, const char *base,
		const char *path, const struct sse_client_options *rest)
{
	struct sse_client_options options = {0};
	struct buffer url = {0};

	if (rest)
		options = *rest;
	buffer_append_text(&url, base);
	buffer_append_text(&url, path);
	options.url = buffer_text(&url);
	options.on_event = take_event;
	options.on_comment = take_comment;
	options.context = watch;
	watch->loop = loop;
	watch->client = sse_client_open(loop, &options);
	buffer_free(&url);
}

static void report(const struct watch *watch, const char *what)
{
	struct sse_client_facts facts = sse_client_facts(watch->client);

	fprintf(stderr, "%s did not come: status %ld, last event id \"%.*s\", %.*s\n", what,
		facts.status, (int)facts.last_event_id.len, facts.last_event_id.base,
		(int)facts.body.len, facts.body.base);
	for (size_t i = 0; i < watch->count; i++)
		fprintf(stderr, "  %zu: %s: %.200s\n", i, watch->events[i].type,
			watch->events[i].data);
}

struct wait {
	const struct watch *watch;
	size_t count;
	const char *id;
};

static bool has_ended(void *context)
{
	const struct wait *wait = context;

	return sse_client_facts(wait->watch->client).state == SSE_CLIENT_CLOSED;
}

static bool has_count(void *context)
{
	const struct wait *wait = context;

	return wait->watch->count >= wait->count;
}

static bool has_count_or_ended(void *context)
{
	return has_count(context) || has_ended(context);
}

bool watch_until(struct watch *watch, size_t count)
{
	struct wait wait = {watch, count, NULL};

	sse_client_loop_until(watch->loop, has_count_or_ended, &wait, PATIENCE_MS);
	if (!has_count(&wait))
		report(watch, "the event");
	return has_count(&wait);
}

static bool has_other_id(void *context)
{
	const struct wait *wait = context;

	return !slice_equal(sse_client_facts(wait->watch->client).last_event_id,
			    slice_of(wait->id));
}

bool watch_until_id_changes(struct watch *watch, const char *id)
{
	struct wait wait = {watch, 0, id};
	bool changed = sse_client_loop_until(watch->loop, has_other_id, &wait, PATIENCE_MS);

	if (!changed)
		report(watch, "another id");
	return changed;
}

bool watch_until_closed(struct watch *watch)
{
	struct wait wait = {watch, 0, NULL};
	bool closed = sse_client_loop_until(watch->loop, has_ended, &wait, PATIENCE_MS);

	if (!closed)
		report(watch, "the end");
	return closed;
}

bool watch_open_connected(struct watch *watch, struct sse_client_loop *loop, const char *base,
			  const char *path, const struct sse_client_options *rest)
{
	watch_open(watch, loop, base, path, rest);
	return watch_until(watch, 1) && strcmp(watch->events[0].type, "connected") == 0;
}

size_t watch_count(const struct watch *watch, const char *type)
{
	size_t count = 0;

	for (size_t i = 0; i < watch->count; i++)
		count += !strcmp(watch->events[i].type, type);
	return count;
}

void watch_close(struct watch *watch)
{
	sse_client_close(watch->client);
	for (size_t i = 0; i < watch->count; i++) {
		free(watch->events[i].type);
		free(watch->events[i].data);
		free(watch->events[i].id);
	}
	free(watch->events);
	free(watch->comment);
	*watch = (struct watch){0};
}
