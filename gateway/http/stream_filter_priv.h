/*
 * stream_filter: what an open stream has to check of each record beside its route keys: the
 * stream's own filter where that is inexact, bound to the request's values; what the client narrows
 * it by; and what narrows it for its token's subject ("user_filters": true).
 *
 *     bind    the stream's own filter, and the client's
 *     wait    stream_auth.c parks the request until the subject's filters are known
 *     open    the request holds them; or it is answered, as nothing opens without
 *     begin   the stream is open: what changes is applied to its subscriber
 *     end     the watcher lets go
 */
#ifndef SLUICE_HTTP_STREAM_FILTER_PRIV_H
#define SLUICE_HTTP_STREAM_FILTER_PRIV_H

#include "http/filter_registry_priv.h"
#include "http/stream_priv.h"

struct stream_filter;

/*
 * The stream's own filter where that is inexact, and its query's ?filter= and the request's body
 * where the stream takes filters: all of them hold. *bound is the caller's reference; NULL where
 * route keys alone decide. False: nothing could ever match, or the pattern is wrong, and the
 * request is answered.
 */
enum { STREAM_FILTER_MAX_BYTES = HTTP_MAX_BODY_BYTES };
bool stream_filter_bind(struct http_request *request, struct slice query,
			const struct stream *stream, const struct stream_caller *caller,
			const json_t *variables, struct checks **bound);

/* Answers a request to whose values a pattern of the stream, `name`, cannot be bound; false. */
bool stream_filter_refuse(struct http_request *request, const struct stream_caller *caller,
			  const char *name, int rc, const struct pattern_error *error);

/* Whether the request has to wait until the filters of its subject are known. */
bool stream_filter_waits(struct http_request *request, const struct stream *stream,
			 const struct stream_caller *caller);
/* *filter is the caller's; NULL where the stream has none. False: they are not known, or there is
 * no subject, and the request is answered. */
bool stream_filter_open(struct http_request *request, const struct stream *stream,
			const struct stream_caller *caller, struct stream_filter **filter);
/* For subscriber_new(); borrowed. NULL is allowed, and is what nothing narrows has. */
struct checks *stream_filter_checks(const struct stream_filter *filter);
/* The stream has its subscriber; takes the filter over. `bound` is borrowed. NULL is allowed. */
void stream_filter_begin(struct stream_filter *filter, struct http_stream *stream,
			 struct checks *bound);
/* One that has not begun. NULL is allowed. */
void stream_filter_free(struct stream_filter *filter);

#endif
