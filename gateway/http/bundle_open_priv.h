/*
 * bundle_open: a request for several streams in one connection,
 * `GET /streams?s=/users/42/orders&s=/topics/alerts`.
 *
 * Its token is the request's; each stream is opened by the steps of stream_opening, and the first
 * that fails answers the request, with a problem that names it.
 */
#ifndef SLUICE_HTTP_BUNDLE_OPEN_PRIV_H
#define SLUICE_HTTP_BUNDLE_OPEN_PRIV_H

#include "http/stream_priv.h"

#define BUNDLE_PATH "/streams"

/* Whether the request has to wait until the filters of its subject are known. */
bool bundle_waits(struct http_request *request, const struct stream_caller *caller);

/* As stream_open(). */
void bundle_open(struct http_request *request, struct stream_caller *caller);

#endif
