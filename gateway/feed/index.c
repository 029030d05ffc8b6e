#include "feed/index_priv.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"

enum { FIRST_BUCKETS = 64 };

static struct index_node **bucket_of(const struct index *index, uint64_t hash)
{
	return &index->buckets[hash & (index->bucket_count - 1)];
}

static void grow(struct index *index)
{
	struct index_node **old = index->buckets;
	size_t old_count = index->bucket_count;

	index->bucket_count = old_count ? 2 * old_count : FIRST_BUCKETS;
	index->buckets = mem_zalloc(index->bucket_count * sizeof(index->buckets[0]));
	for (size_t i = 0; i < old_count; i++) {
		struct index_node *node = old[i];

		while (node) {
			struct index_node *next = node->next;
			struct index_node **bucket = bucket_of(index, node->hash);

			node->next = *bucket;
			*bucket = node;
			node = next;
		}
	}
	free(old);
}

void index_add(struct index *index, struct index_node *node)
{
	struct index_node **bucket;

	if (index->node_count == index->bucket_count)
		grow(index);
	bucket = bucket_of(index, node->hash);
	node->next = *bucket;
	*bucket = node;
	index->node_count++;
}

void index_remove(struct index *index, struct index_node *node)
{
	struct index_node **at = bucket_of(index, node->hash);

	while (*at != node) {
		assert(*at);
		at = &(*at)->next;
	}
	*at = node->next;
	index->node_count--;
}

void index_fini(struct index *index)
{
	assert(index->node_count == 0);
	free(index->buckets);
}

static struct index_node *match(struct index_node *node, uint64_t hash, struct slice key)
{
	while (node && !(node->hash == hash && slice_equal(node->key, key)))
		node = node->next;
	return node;
}

struct index_node *index_first(const struct index *index, uint64_t hash, struct slice key)
{
	return index->bucket_count ? match(*bucket_of(index, hash), hash, key) : NULL;
}

struct index_node *index_next(const struct index_node *node, uint64_t hash, struct slice key)
{
	return match(node->next, hash, key);
}
