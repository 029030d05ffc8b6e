/*
 * http2: HTTP/2 (RFC 9113) on a connection, its frames by libnghttp2.
 *
 * http2.c is the session: bytes in, bytes out, limits, GOAWAY. http2_callbacks.c is what libnghttp2
 * calls. http2_stream.c is one of its streams, from the request (http2_request.c) to the end of the
 * answer.
 */
#ifndef SLUICE_HTTP_HTTP2_PRIV_H
#define SLUICE_HTTP_HTTP2_PRIV_H

#include <h2o/linklist.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "feed/close_reason.h"
#include "http/budget_priv.h"
#include "http/request_priv.h"
#include "http/timer_list_priv.h"

struct connection;
struct http2_request;

enum {
	/* What is gathered for one write; also what a socket without room makes a session hold. */
	HTTP2_OUTPUT_BYTES = 64 * 1024,
	/* Of one session's requests, from the first byte to the answer: 64 of the largest. */
	HTTP2_MAX_BODIES_BYTES = 64 * HTTP_MAX_BODY_BYTES,
	HTTP2_MAX_FIELDS = 100,
	HTTP2_MAX_CONTINUATIONS = 8,
};

/* What all sessions of a server share. */
struct http2_shared {
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option;
};
void http2_shared_init(struct http2_shared *shared);
void http2_shared_fini(struct http2_shared *shared);
/* http2_callbacks.c */
void http2_callbacks_set(nghttp2_session_callbacks *callbacks);

struct http2_session {
	struct connection *connection;
	nghttp2_session *nghttp2;
	h2o_linklist_t streams; /* struct http2_stream */
	uint32_t stream_count;
	bool greeted;           /* it has had a stream: from then on the idle timeout counts */
	bool writing;           /* the socket has no room, or libh2o writes */
	bool has_aborted;       /* a stream's subscriber has given it up */
	struct budget resets;   /* streams that either side resets */
	struct budget controls; /* frames that carry no request and no data */
	char *unsent;           /* owned: what the socket did not take */
	size_t unsent_len, unsent_at;
	size_t body_bytes; /* of all its requests */
	size_t data_at; /* in the loop's scratch: the head of the DATA frame that is being made */
};

/* The connection's input, if any, begins with the preface. */
void http2_begin(struct connection *connection);
/* Writes what there is to write. */
void http2_pump(struct connection *connection);
/* GOAWAY; running streams go on. */
void http2_drain(struct connection *connection);
/* No stream for the idle timeout. */
void http2_expire(struct connection *connection);
/* Ends every stream with `reason` and closes. */
void http2_end(struct connection *connection, enum close_reason reason);

/* Sets the connection's timer to what the session waits for: room, its first request, or any
 * request. */
void http2_session_set_timer(struct http2_session *session);

/* One more of something that is limited; false where the peer has used it up and the session has
 * been told to go. */
bool http2_session_spend(struct http2_session *session, struct budget *budget);

struct http2_stream {
	struct http_stream stream; /* first */
	struct http2_session *session;
	char *body; /* owned: the reply, or a stream's first bytes */
	int32_t id;
	bool is_stream; /* after the body comes the subscriber */
	bool waits;     /* its DATA is deferred until it is ready */
	bool aborted;   /* the subscriber gave it up */
	bool is_early;  /* the answer came before the request's end */
	uint32_t body_len, body_at;
	h2o_linklist_t link; /* the session's streams */
	struct timer timer;  /* until the request is whole, while a reply is written, or after it */
	struct http2_request *request; /* owned, until it is answered */
};

/* A request begins. The session's. */
struct http2_stream *http2_stream_new(struct http2_session *session, int32_t id);
/* It is answered before its end, which it gets LINGER_MS for; then it is reset without an error
 * (RFC 9113, 8.1). There are clients that drop an answer for a reset while they send, libcurl 7.88
 * among them. */
void http2_stream_linger(struct http2_stream *stream);
/* It is over, whoever ended it; `reason` where nobody has said another. Its memory goes at the end
 * of the turn. */
void http2_stream_close(struct http2_stream *stream, enum close_reason reason);

/* timer_list's expire() of reply_timers and reset_timers. */
void http2_stream_expire_reply(struct timer *timer);
void http2_stream_expire_linger(struct timer *timer);

/* Frees the subscriber where it has aborted. */
void http2_stream_drop_aborted(struct http2_stream *stream);

/* nghttp2_data_source_read_callback: makes the DATA frame in the loop's scratch. */
ssize_t http2_stream_read(nghttp2_session *nghttp2, int32_t id, uint8_t *buffer, size_t len,
			  uint32_t *flags, nghttp2_data_source *source, void *user_data);

static inline nghttp2_nv http2_pair(struct slice name, struct slice value)
{
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name.base, (uint8_t *)(uintptr_t)value.base,
			    name.len, value.len, NGHTTP2_NV_FLAG_NONE};
}

/* http2_request.c: what a stream receives, until it is answered. */

/* By these ops. The stream's. */
struct http2_request *http2_request_new(struct http2_stream *stream,
					const struct http_request_ops *ops);
/* The stream of a request that the ops get. */
struct http2_stream *http2_request_stream(struct http_request *request);
/* These five do nothing where it is answered already. A field: */
void http2_request_add_field(struct http2_stream *stream, struct slice name, struct slice value);
/* The fields are complete; `has_body`: more comes. */
void http2_request_end_fields(struct http2_stream *stream, bool has_body);
/* More of the body. */
void http2_request_take_body(struct http2_stream *stream, struct slice bytes);
/* It is complete: the handler is called. */
void http2_request_dispatch(struct http2_stream *stream);
/* timer_list's expire() of request_timers. */
void http2_request_expire(struct timer *timer);

/* It is answered: frees it. */
void http2_request_drop(struct http2_stream *stream);
/* Nobody can be answered any more: the handler is told, and it is freed. */
void http2_request_tell_gone(struct http2_stream *stream);

#endif
