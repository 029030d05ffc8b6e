#include "feed/key_sketch_priv.h"

#include "base/mem.h"

enum { BITS_A_KEY = 8 };

struct key_sketch *key_sketch_new(uint32_t keys)
{
	uint32_t words = 1;
	struct key_sketch *sketch;

	while (words * 64 / BITS_A_KEY < keys)
		words *= 2;
	sketch = mem_zalloc(sizeof(*sketch) + words * sizeof(sketch->bits[0]));
	sketch->words = words;
	return sketch;
}

size_t key_sketch_bytes(const struct key_sketch *sketch)
{
	return sizeof(*sketch) + sketch->words * sizeof(sketch->bits[0]);
}

/* The two bits of a key stand in one word. */
static uint64_t bits_of(uint64_t hash)
{
	return UINT64_C(1) << (hash & 63) | UINT64_C(1) << (hash >> 6 & 63);
}

static uint32_t word_of(const struct key_sketch *sketch, uint64_t hash)
{
	return (uint32_t)(hash >> 12) & (sketch->words - 1);
}

void key_sketch_add(struct key_sketch *sketch, uint64_t hash)
{
	atomic_fetch_or_explicit(&sketch->bits[word_of(sketch, hash)], bits_of(hash),
				 memory_order_relaxed);
}

void key_sketch_add_all(struct key_sketch *sketch)
{
	atomic_store_explicit(&sketch->has_all, true, memory_order_relaxed);
}

bool key_sketch_may_have(const struct key_sketch *sketch, uint64_t hash)
{
	uint64_t bits = bits_of(hash);

	return (atomic_load_explicit(&sketch->bits[word_of(sketch, hash)], memory_order_relaxed) &
		bits) == bits ||
	       atomic_load_explicit(&sketch->has_all, memory_order_relaxed);
}
