/*
 * stream_priv: the steps of opening a stream. A request runs through them in this order, and the
 * first that fails answers it:
 *
 *     method, Accept        stream_handler.c
 *     token -> claims       stream_auth.c (may have to wait for a key)
 *     parameters, access    stream_handler.c
 *     Last-Event-ID         stream_handler.c
 *     feed, route keys      stream_handler.c
 *     head, subscriber      stream_handler.c
 */
#ifndef SLUICE_HTTP_STREAM_PRIV_H
#define SLUICE_HTTP_STREAM_PRIV_H

#include "http/app_priv.h"

/* Who asks: claims NULL where nobody said. */
struct stream_caller {
	json_t *claims; /* owned */
	int64_t expires_unix_ms;
	const char *why_not; /* NULL, or why the token that was given does not count */
};

/*
 * Checks the request's token and calls stream_open() with the caller, at once or when the key is
 * there; or answers the request itself.
 */
void stream_authenticate(struct http_request *request, const struct route *route);

/* `caller` is borrowed. */
void stream_open(struct http_request *request, const struct route *route,
		 const struct stream_caller *caller);

/* 401 with WWW-Authenticate (RFC 6750, 3). `why` NULL: no token was given. */
void stream_reply_unauthorized(struct http_request *request, const char *why);

#endif
