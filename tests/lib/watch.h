/*
 * watch: an SSE client that keeps all that it gets, for tests that look at every event.
 *
 * Zero-initialise it, watch_close() it at the end. Thread: the one that runs the loop.
 */
#ifndef SLUICE_TESTS_LIB_WATCH_H
#define SLUICE_TESTS_LIB_WATCH_H

#include "lib/sse_client.h"

struct watch_event {
	char *type;
	char *data; /* as a string; it may hold NULs */
	size_t data_len;
	char *id; /* the last event id after it */
};

struct watch {
	struct sse_client_loop *loop;
	struct sse_client *client;
	struct watch_event *events;
	size_t count;
	size_t early_comments; /* before the first event */
	char *comment;         /* the last one; NULL: none */
};

/* Connects at the loop's next run. `rest` is all but the URL and the callbacks; NULL: HTTP/1.1
 * without more. */
void watch_open(struct watch *watch, struct sse_client_loop *loop, const char *base,
		const char *path, const struct sse_client_options *rest);
/* Waits for the client's event number `count`. False: it did not come in time, and standard error
 * says what did. */
bool watch_until(struct watch *watch, size_t count);
/* Waits for a block that makes the last event id another one than `id`, with or without an event.
 */
bool watch_until_id_changes(struct watch *watch, const char *id);
/* Waits for the client to be closed for good, with a status that is no 200. */
bool watch_until_closed(struct watch *watch);
/* Opens and waits for the first event, which is `connected`. */
bool watch_open_connected(struct watch *watch, struct sse_client_loop *loop, const char *base,
			  const char *path, const struct sse_client_options *rest);
/* How many of its events have this type. */
size_t watch_count(const struct watch *watch, const char *type);
void watch_close(struct watch *watch);

#endif
