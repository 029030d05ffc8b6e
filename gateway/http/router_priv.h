/*
 * router: which stream a path names. Immutable after it is made; any thread.
 */
#ifndef SLUICE_HTTP_ROUTER_PRIV_H
#define SLUICE_HTTP_ROUTER_PRIV_H

#include "event/stream.h"

struct router;

/* The streams are borrowed. */
struct router *router_new(struct stream *const *streams, size_t count);
void router_free(struct router *router);

/* What matched: the most specific template's stream and the path's raw values. */
struct route {
	const struct stream *stream; /* NULL: several, which the request's query names */
	struct slice values[PATH_TEMPLATE_MAX_PARAMS]; /* borrowed from the path */
};
/* False: no stream has this path. */
bool router_find(const struct router *router, struct slice path, struct route *route);

#endif
