/*
 * connection: one accepted socket, from accept to close. Its memory lives exactly as long as the
 * socket, so that every open socket is in the loop's list.
 *
 *     HANDSHAKE -> HEAD -> REQUEST -> REPLY                (libh2o closes)
 *                                  -> TAKEOVER -> STREAM -> LINGER
 *                       -> LINGER                          (a head that is refused)
 *               -> HTTP2 -> LINGER
 *     any -> CLOSING
 */
#ifndef SLUICE_HTTP_CONNECTION_PRIV_H
#define SLUICE_HTTP_CONNECTION_PRIV_H

#include <h2o.h>
#include <stdbool.h>

#include "feed/close_reason.h"
#include "http/request_priv.h"
#include "http/timer_list_priv.h"

struct http1_request;
struct http2_session;
struct http_loop;
struct listener;

enum connection_state {
	CONNECTION_HANDSHAKE, /* TLS */
	CONNECTION_HEAD,      /* http1_head.c reads a request's head, or HTTP/2's preface */
	CONNECTION_REQUEST,   /* libh2o has the socket; the handler may be at work */
	CONNECTION_REPLY,     /* libh2o writes the answer and closes */
	CONNECTION_TAKEOVER,  /* libh2o writes a stream's head */
	CONNECTION_STREAM,    /* http1_stream.c */
	CONNECTION_HTTP2,     /* http2.c */
	CONNECTION_LINGER,    /* the last bytes are written; waits for the client's end */
	CONNECTION_CLOSING,   /* h2o_socket_close() was called; over TLS the socket may live on for
				 the close_notify */
};

struct connection {
	struct http_loop *loop;
	h2o_socket_t *socket; /* NULL: closed, freed at the end of the turn */
	const struct http_listener_settings *settings;
	h2o_linklist_t link; /* the loop's connections, later its closed ones */
	h2o_linklist_t pump; /* the loop's pumps */
	struct timer timer;
	uint8_t state;        /* enum connection_state */
	bool waits_for_room;  /* STREAM: no pump until the socket takes more */
	bool aborted;         /* STREAM: the subscriber gave it up */
	uint32_t input_bytes; /* HEAD: scanned; STREAM and LINGER: discarded */
	union {
		struct http1_request *request; /* REQUEST, from the handler's call to its answer */
		struct {                       /* TAKEOVER */
			http_stream_started started;
			void *context;
		} takeover;
		struct http_stream stream;     /* STREAM */
		struct http2_session *session; /* HTTP2 */
		char *last_words;              /* LINGER: what is being written, owned */
	};
};

/* Takes the descriptor over. */
void connection_open(struct listener *listener, int fd);

/* Closes in good order (close_notify over TLS). Its state is left by the caller. Idempotent. */
void connection_close(struct connection *connection);
/* Resets: what the kernel holds for the client is thrown away. */
void connection_abort(struct connection *connection);
/*
 * Writes `bytes` (copied, may be empty), ends the sending side, and closes when the client has
 * closed or after LINGER_MS: closing at once with unread input would reset the connection and could
 * take these bytes from the client (RFC 9112, 9.6).
 */
void connection_finish(struct connection *connection, struct slice bytes);

/* The server stops: whatever it does, it ends now. */
void connection_stop(struct connection *connection);
/* The server drains: HTTP/2 gets GOAWAY, who has said nothing yet has LINGER_MS to do so. */
void connection_drain(struct connection *connection);

/* Writes what there is; from the loop's turn. */
void connection_pump(struct connection *connection);
/* Asks for a pump later in this turn, or in the next where one has just run. */
void connection_want_pump(struct connection *connection);

/* Throws away what was read and gives the buffer back, so that an idle connection keeps none. */
void connection_release_input(struct connection *connection);
/* The client's numeric address; IPv4 in IPv6 as IPv4. `text` holds INET6_ADDRSTRLEN bytes. */
void connection_format_peer(const struct connection *connection, char *text);

/* After the socket is gone, at the end of the turn. */
void connection_free(struct connection *connection);

/* timer_list's expire() of head, idle, slow and linger timers. */
void connection_expire(struct timer *timer);

#endif
