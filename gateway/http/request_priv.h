/*
 * request: one HTTP request, whichever version carries it, and the two ways to answer.
 *
 * Handlers know no carrier: HTTP/1.1 (http1.c) and HTTP/2 (http2.c) fill in a request and give its
 * ops. Thread: the loop's.
 */
#ifndef SLUICE_HTTP_REQUEST_PRIV_H
#define SLUICE_HTTP_REQUEST_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "feed/subscriber.h"

struct bundle;
struct http_loop;
struct http_listener_settings;

struct http_field {
	struct slice name; /* lower case */
	struct slice value;
};

struct http_stream;

/* Embedded in what wants to know of a stream's end. */
struct http_stream_watcher {
	struct http_stream_watcher *next;
	/* Called once, on every way that a stream can end; `subscriber` is freed after it. */
	void (*ended)(struct http_stream_watcher *watcher, struct subscriber *subscriber);
};

/* A stream that has begun: a carrier with its subscriber, or with a bundle of them. Owned by
 * http1.c, http2.c, or the bundle. */
struct http_stream {
	struct carrier carrier;        /* first */
	struct subscriber *subscriber; /* set by the started callback; freed by the carrier */
	struct bundle *bundle;         /* likewise, in its place; of a bundle's own ones NULL */
	struct http_stream_watcher *watchers;
	struct auth_holder *holder; /* owned; NULL: nothing can revoke the stream's token */
};

/* The largest body that a handler wants: a client's filter (http/stream_filter_priv.h). A larger
 * one is answered 413 by the carrier. */
enum { HTTP_MAX_BODY_BYTES = 4096 };
#define HTTP_BODY_TOO_LARGE "The request's body is too large: it may have 4096 bytes."
_Static_assert(HTTP_MAX_BODY_BYTES == 4096, "the text says how many");

struct http_request {
	struct http_loop *loop;
	const struct http_listener_settings *listener;
	struct slice method;
	struct slice path;  /* raw, as sent, without the query; starts with "/" (or is "*") */
	struct slice query; /* raw, without the "?"; base NULL: there is none */
	const struct http_field *fields; /* borrowed for the life of the request */
	size_t field_count;
	struct slice body; /* whole, and borrowed for as long; len 0: there is none */
	const char *peer;  /* numeric address, for the log */
	int version;       /* 10, 11 or 20 */
	const struct http_request_ops *ops;
	/* For a handler that answers later: called when the client goes before the answer; the
	 * request is gone after it. */
	void (*on_gone)(struct http_request *request);
	void *handler_data;
	/* Of a request for several streams: the address of the one that is being looked at, which
	 * problems name. Empty: all of it. */
	struct slice about;
};

struct http_response {
	int status;
	const struct http_field *fields; /* copied */
	size_t field_count;
	struct slice body;  /* copied */
	bool has_no_length; /* HEAD of a stream, which has none (RFC 9110, 8.6) */
};

/* What the started callback gets is NULL where the client went in the meantime. */
typedef void (*http_stream_started)(void *context, struct http_stream *stream);

struct http_request_ops {
	void (*reply)(struct http_request *request, const struct http_response *response);
	void (*stream)(struct http_request *request, const struct http_response *head,
		       http_stream_started started, void *context);
};

/* The field's value; base NULL where the request has none; the first of several. `name` in lower
 * case. */
struct slice http_request_field(const struct http_request *request, const char *name);

/*
 * Answers and ends the request, which is gone after the call. content-length, date and server are
 * added; HEAD gets no body; an HTTP/1.1 connection is closed afterwards (connection: close). Counts
 * the response.
 */
void http_reply(struct http_request *request, const struct http_response *response);

/*
 * Sends the head and response->body as the stream's first bytes, then calls `started` once, now or
 * later on this thread. The request is gone after the call. On HTTP/1.1 the body ends with the
 * connection (RFC 9112, 6.3): frames are the same bytes on both carriers. `started` calls
 * subscriber_new() with &stream->carrier and sets stream->subscriber; the carrier pumps after it
 * returns.
 */
void http_stream(struct http_request *request, const struct http_response *head,
		 http_stream_started started, void *context);

/* For the started callback: `watcher` is told of the stream's end. */
void http_stream_watch(struct http_stream *stream, struct http_stream_watcher *watcher);

/* The carriers': as subscriber_peek() and its kin. One that has nothing yet, or nothing any more,
 * has ended. */
struct slice http_stream_peek(struct http_stream *stream, size_t max);
void http_stream_consume(struct http_stream *stream, size_t n);
bool http_stream_ended(const struct http_stream *stream);

/* The carriers': tells the watchers and frees the subscriber or bundle, and the holder, where there
 * are. */
void http_stream_drop(struct http_stream *stream, enum close_reason reason);

#endif
