/*
 * stream_cursor: `?cursor=NAME`: the gateway remembers where a subject stands.
 *
 *     read    what cursor the request names, and for whom
 *     claim   the request is parked, and the worker claims the cursor; then stream_open() runs
 *             through its steps again with the answer
 *     begin   the stream is open: every now and then its position is given to the saver
 *     end     the watcher gives the last position to it
 */
#ifndef SLUICE_HTTP_STREAM_CURSOR_PRIV_H
#define SLUICE_HTTP_STREAM_CURSOR_PRIV_H

#include "http/stream_priv.h"
#include "postgres/cursor_saver.h"

/* The cursors of one loop's streams, and the requests of its that claim one. NULL: there is no
 * PostgreSQL. */
struct stream_cursors;

struct stream_cursors *stream_cursors_new(const struct app_parts *parts, struct http_loop *loop);
/* All requests and streams of the loop are gone. */
void stream_cursors_free(struct stream_cursors *cursors);
/* Opens the streams whose cursors are claimed by now. */
void stream_cursors_turn(struct stream_cursors *cursors);
void stream_cursors_tick(struct stream_cursors *cursors, uint64_t now_ms);

/* What a claim came to. */
struct stream_cursor_claim {
	int rc; /* cursors_claim()'s */
	int64_t generation;
	struct slice event_id; /* where the cursor stands; empty: nowhere yet */
};

/* Zero-initialise. */
struct stream_cursor_key {
	struct cursors_key key; /* name.len 0: the request names none */
	struct buffer name, parameters;
};
void stream_cursor_key_fini(struct stream_cursor_key *key);

/* `query` and `variables` are the stream's. False: the cursor can't be had, and the request is
 * answered. */
bool stream_cursor_read(struct http_request *request, struct slice query,
			const struct stream *stream, const struct stream_caller *caller,
			const json_t *variables, struct stream_cursor_key *key);
/* Parks the request or answers it. `event_id`: where the cursor stands from now on; empty: where it
 * stood. All is copied, but for the caller's holder, which is taken over. */
void stream_cursor_claim(struct http_request *request, const struct route *route,
			 struct stream_caller *caller, const struct cursors_key *key,
			 struct slice event_id);
/* Answers a request whose claim has failed. */
void stream_cursor_refuse(struct http_request *request, int rc);

/* The stream has its subscriber, which is tracked. Takes `life` over. */
void stream_cursor_begin(struct stream_cursors *cursors, struct http_stream *stream,
			 struct cursor_life *life);

#endif
