/*
 * key_sketch: which route keys a segment of a window may have, so that whoever looks for one key
 * passes over segments without it. A Bloom filter: it never says no wrongly.
 *
 * One writer, any number of readers without locks: what was added before an entry became visible is
 * seen by those who see the entry.
 */
#ifndef SLUICE_FEED_KEY_SKETCH_PRIV_H
#define SLUICE_FEED_KEY_SKETCH_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct key_sketch {
	_Atomic bool has_all;
	uint32_t words; /* a power of two */
	_Atomic uint64_t bits[];
};

/* For about so many keys: of 100 that were not added, some two are not told. free() it. */
struct key_sketch *key_sketch_new(uint32_t keys);
size_t key_sketch_bytes(const struct key_sketch *sketch);

/* Thread: the writer's. */
void key_sketch_add(struct key_sketch *sketch, uint64_t hash);
/* Something is there for every key. Thread: the writer's. */
void key_sketch_add_all(struct key_sketch *sketch);

/* Thread: any. */
bool key_sketch_may_have(const struct key_sketch *sketch, uint64_t hash);

#endif
