/*
 * sse_client: EventSource clients as the HTML standard has them (WHATWG HTML, 9.2), many in one
 * thread.
 *
 * A client reconnects by itself with Last-Event-ID when its connection ends, and stops for good at
 * 204, at any other status than 200 and at a content type that is not text/event-stream. Tests can
 * cut its connection at any byte. libcurl carries it, over HTTP/1.1 or HTTP/2. Thread: the one that
 * calls sse_client_loop_run(); callbacks come from there.
 */
#ifndef SLUICE_TESTS_LIB_SSE_CLIENT_H
#define SLUICE_TESTS_LIB_SSE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "lib/sse_parser.h"

struct sse_client;
struct sse_client_loop;

struct sse_client_loop *sse_client_loop_new(void);
/* Closes the clients that are left. */
void sse_client_loop_free(struct sse_client_loop *loop);
/* Moves every client on; waits up to `timeout_ms` for something to happen. */
void sse_client_loop_run(struct sse_client_loop *loop, uint32_t timeout_ms);
/* Runs until `done` says so. False: it did not within `patience_ms`, which is for tests that fail,
 * not for those that pass. */
bool sse_client_loop_until(struct sse_client_loop *loop, bool (*done)(void *context), void *context,
			   uint32_t patience_ms);

enum sse_client_http {
	SSE_CLIENT_HTTP1,
	SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE,
	SSE_CLIENT_HTTP2_TLS /* by ALPN; the facts tell what it became */
};

struct sse_client_options {
	const char *url;
	enum sse_client_http http;
	const char *const *headers; /* "name: value"; NULL: none */
	size_t header_count;
	const char *method;        /* NULL: GET, or POST where there is a body */
	const char *body;          /* NULL: none; sent with every connection */
	const char *ca_file;       /* for https; NULL: the system's */
	const char *last_event_id; /* to begin with; NULL: none */
	bool own_connection;       /* HTTP/2: shares its connection with no other client */
	/* HTTP/2: shares a connection that is there, but waits for none that is being made. For
	 * loops with several servers, where libcurl 7.88 may leave those that wait waiting. */
	bool eager;
	uint32_t
	    retry_ms; /* before the server says otherwise; the standard leaves it to the client */
	uint32_t retry_limit_ms; /* what the server says is cut down to this; 0: obeyed */
	void (*on_event)(void *context, struct sse_client *client, const struct sse_event *event);
	void (*on_comment)(void *context, struct sse_client *client, struct slice text);
	void *context;
};

/* Everything in `options` is copied. It connects at the next run. */
struct sse_client *sse_client_open(struct sse_client_loop *loop,
				   const struct sse_client_options *options);
/* Not from its own callback. */
void sse_client_close(struct sse_client *client);

/* Lets go of the connection as a broken network would; it reconnects. Also from its own callback:
 * the rest of what came is lost. */
void sse_client_cut(struct sse_client *client);
/* The same after exactly `bytes` more of the body. */
void sse_client_cut_after(struct sse_client *client, uint64_t bytes);
/* Reads nothing more from its socket (its stream, on HTTP/2) until it is resumed. */
void sse_client_pause(struct sse_client *client, bool paused);
/* From its next connection on. */
void sse_client_set_url(struct sse_client *client, const char *url);

enum sse_client_state { SSE_CLIENT_CONNECTING, SSE_CLIENT_OPEN, SSE_CLIENT_CLOSED };

struct sse_client_facts {
	enum sse_client_state state;
	long status;       /* of the last response; 0: none came */
	long http_version; /* CURL_HTTP_VERSION_* of the last response */
	uint64_t opens;    /* connections that became event streams */
	uint64_t ends;     /* connections that ended, cut ones too */
	uint64_t events;
	uint64_t bytes; /* of bodies */
	uint32_t retry_ms;
	struct slice last_event_id;
	struct slice head; /* of the last response, as HTTP/1.1 or libcurl's rendering of HTTP/2 */
	struct slice body; /* of a response that is no event stream */
};

/* Slices are borrowed until the next run. */
struct sse_client_facts sse_client_facts(const struct sse_client *client);

#endif
