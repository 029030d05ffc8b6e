/*
 * index: a loop's own subscribers of a feed by route key. One thread.
 */
#ifndef SLUICE_FEED_INDEX_PRIV_H
#define SLUICE_FEED_INDEX_PRIV_H

#include <stdint.h>

#include "base/slice.h"

struct subscriber;

/* One subscriber under one of its keys. The key's bytes are borrowed from the subscriber. */
struct index_node {
	uint64_t hash;
	struct slice key;
	struct subscriber *subscriber;
	struct index_node *next;
};

struct index {
	struct index_node **buckets;
	size_t bucket_count; /* 0 or a power of two */
	size_t node_count;
};

/* Zero-initialise; index_fini() when empty. `node` is the caller's until index_remove(). */
void index_add(struct index *index, struct index_node *node);
void index_remove(struct index *index, struct index_node *node);
void index_fini(struct index *index);

/* The first node, or the one after `node`, with this key; NULL at the end. */
struct index_node *index_first(const struct index *index, uint64_t hash, struct slice key);
struct index_node *index_next(const struct index_node *node, uint64_t hash, struct slice key);

#endif
