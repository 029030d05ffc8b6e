/*
 * http1: HTTP/1.1 and 1.0 on a connection: one request each, then it is closed or becomes a stream.
 *
 * http1.c reads the head, bounded in time and size, and refuses what libh2o would not take; libh2o
 * parses it, reads the body, bounded likewise, and writes the answer. For a stream the socket is
 * taken over from libh2o after the head (http1_stream.c), so that an idle stream costs the socket
 * and a struct connection.
 */
#ifndef SLUICE_HTTP_HTTP1_PRIV_H
#define SLUICE_HTTP_HTTP1_PRIV_H

#include <h2o.h>

#include "feed/close_reason.h"

struct connection;

/* The connection's first bytes are read from here on. */
void http1_begin(struct connection *connection);
/* The head took too long. */
void http1_head_expire(struct connection *connection);

/* http1_request.c: makes libh2o call the server's request hook, and bounds what it reads. Once for
 * a server. */
void http1_register(h2o_globalconf_t *config);
/* REQUEST, and the server stops: the handler is told that the client is gone. */
void http1_give_up(struct connection *connection);

/* http1_stream.c: the socket is ours, the head is written. */
void http1_stream_begin(struct connection *connection);
void http1_stream_pump(struct connection *connection);
/* Frees the subscriber and closes. */
void http1_stream_end(struct connection *connection, enum close_reason reason);

#endif
