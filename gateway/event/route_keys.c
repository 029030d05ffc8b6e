#include "event/pattern.h"
#include "event/route_set_priv.h"

void route_keys_clear(struct route_keys *keys)
{
	buffer_clear(&keys->bytes);
	keys->count = 0;
	keys->work = 0;
}

void route_keys_free(struct route_keys *keys)
{
	buffer_free(&keys->bytes);
	keys->count = 0;
}

bool route_keys_next(const struct route_keys *keys, size_t *at, struct slice *key)
{
	uint32_t len;

	if (*at == keys->bytes.len)
		return false;
	memcpy(&len, keys->bytes.base + *at, sizeof(len));
	*key = (struct slice){keys->bytes.base + *at + sizeof(len), len};
	*at += sizeof(len) + len;
	return true;
}

static bool contains(const struct route_keys *keys, struct slice wanted)
{
	struct slice key;
	size_t at = 0;

	while (route_keys_next(keys, &at, &key))
		if (slice_equal(key, wanted))
			return true;
	return false;
}

/* Neither has repeats, so one in both together is in each. */
static bool intersect_large(const struct route_keys *a, const struct route_keys *b)
{
	struct route_keys both = {0};
	struct route_set set = route_set_start(&both);
	bool shared;

	buffer_append_slice(&both.bytes, buffer_slice(&a->bytes));
	buffer_append_slice(&both.bytes, buffer_slice(&b->bytes));
	set.count = a->count + b->count;
	route_set_remove_repeats(&both, &set);
	shared = set.count < a->count + b->count;
	route_keys_free(&both);
	return shared;
}

bool route_keys_intersect(const struct route_keys *a, const struct route_keys *b)
{
	/* From about here on, hashing all of them is cheaper than comparing each with each. */
	enum { FEW_PAIRS = 256 };
	struct slice key;
	size_t at = 0;

	if ((uint64_t)a->count * b->count > FEW_PAIRS)
		return intersect_large(a, b);
	while (route_keys_next(a, &at, &key))
		if (contains(b, key))
			return true;
	return false;
}
