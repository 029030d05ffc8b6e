/*
 * stream_priv: the steps of opening a stream. A request runs through them in this order, and the
 * first that fails answers it:
 *
 *     method, Accept, body  stream_handler.c
 *     token -> claims       stream_auth.c (may have to wait: for a key, a look-up, the filters of
 *                           the subject)
 *     parameters, access    stream_opening.c
 *     feed                  stream_opening.c
 *     Last-Event-ID, since  stream_resume.c
 *     route keys, welcome   stream_opening.c
 *     filters               stream_filter.c: the stream's, the client's, the subject's
 *     how much of it        stream_extent.c: last N, interval, follow, end_when
 *     cursor                stream_cursor.c (waits for PostgreSQL, and starts over)
 *     head                  stream_handler.c
 *     subscriber            stream_begin.c
 *
 * A request for several streams (bundle_open.c) goes through these for each of them, but for the
 * token and the head, of which there is one, and the cursor, which none can have.
 */
#ifndef SLUICE_HTTP_STREAM_PRIV_H
#define SLUICE_HTTP_STREAM_PRIV_H

#include "http/app_priv.h"

/* Who asks: claims NULL where nobody said. */
struct stream_caller {
	json_t *claims; /* owned */
	int64_t expires_unix_ms;
	const char *why_not;        /* NULL, or why the token that was given does not count */
	bool untold;                /* it may count: it could not be looked up */
	struct auth_holder *holder; /* owned; NULL: nothing can revoke it */
	const struct stream_cursor_claim *cursor; /* borrowed; NULL: none was claimed yet */
};
void stream_caller_fini(struct stream_caller *caller);

/*
 * Checks the request's token and calls stream_open() with the caller, at once or when the key
 * or the token is known; or answers the request itself.
 */
void stream_authenticate(struct http_request *request, const struct route *route);

/* `caller` is borrowed, but for the holder, which a stream that begins takes over. */
void stream_open(struct http_request *request, const struct route *route,
		 struct stream_caller *caller);

/* To one whose token does not count or is missing: 401 with WWW-Authenticate (RFC 6750, 3), or 503
 * where that is not known. */
void stream_reply_unauthorized(struct http_request *request, const struct stream_caller *caller);

/* Answers 200 for the stream (NULL: several); `started` gets what carries it, at HEAD nothing.
 * `context` is taken over. */
void stream_answer(struct http_request *request, const struct stream *stream,
		   http_stream_started started, void *context);

#endif
