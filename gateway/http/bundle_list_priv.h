/*
 * bundle_list: the streams that a request for several names:
 * `?s=/users/42/orders&s=/topics/alerts`.
 *
 * Each `s` is the address of a stream as it would be asked for alone: a path, and a query of its
 * own where it has one, percent-encoded as a whole.
 */
#ifndef SLUICE_HTTP_BUNDLE_LIST_PRIV_H
#define SLUICE_HTTP_BUNDLE_LIST_PRIV_H

#include "base/buffer.h"
#include "event/combined_id.h"
#include "http/router_priv.h"

struct bundle_item {
	struct buffer address;
	struct slice query; /* raw, borrowed from the address; base NULL: it has none */
	struct route route; /* borrows from the address */
};

/* Zero-initialise. */
struct bundle_list {
	size_t count;
	struct bundle_item items[COMBINED_ID_MAX_PARTS];
};
void bundle_list_fini(struct bundle_list *list);

/* Why there is no list. */
struct bundle_list_problem {
	int status;
	const char *detail; /* constant */
	struct slice about; /* the address, borrowed from the list; empty: the request as a whole */
};

/* Whether there is an `s` in the request's query. */
bool bundle_list_names_any(struct slice query);
/* `query` is the request's. False: `problem` says why; the list is to be freed all the same. */
bool bundle_list_read(const struct router *router, struct slice query, struct bundle_list *list,
		      struct bundle_list_problem *problem);

#endif
