#include "http/router_priv.h"

#include <stdlib.h>

#include "base/mem.h"

/* The most specific first. */
struct router {
	size_t count;
	const struct stream *streams[];
};

static int by_specificity(const void *a, const void *b)
{
	const struct stream *const *left = a, *const *right = b;

	return path_template_compare((*left)->path, (*right)->path);
}

struct router *router_new(struct stream *const *streams, size_t count)
{
	struct router *router = mem_zalloc(sizeof(*router) + count * sizeof(router->streams[0]));

	router->count = count;
	for (size_t i = 0; i < count; i++)
		router->streams[i] = streams[i];
	qsort(router->streams, count, sizeof(router->streams[0]), by_specificity);
	return router;
}

void router_free(struct router *router)
{
	free(router);
}

bool router_find(const struct router *router, struct slice path, struct route *route)
{
	for (size_t i = 0; i < router->count; i++) {
		if (!path_template_match(router->streams[i]->path, path, route->values))
			continue;
		route->stream = router->streams[i];
		return true;
	}
	return false;
}
