#include "event/route_set_priv.h"

#include <assert.h>

enum {
	LOOSE_ENTRIES = 2 * PATTERN_MAX_ROUTE_KEYS,
	LOOSE_BYTES = 2 * PATTERN_MAX_ROUTE_KEY_BYTES,
	/* Below this, comparing each with each is cheaper than a table. */
	FEW_ENTRIES = 12,
	/* A power of two above LOOSE_ENTRIES and one more full set, so that a free slot is always
	   found. */
	TABLE_SLOTS = 4096,
};

/* Where the kept entries stand, plus 1, by hash. */
struct table {
	uint32_t slots[TABLE_SLOTS];
};

struct route_set route_set_start(const struct route_keys *keys)
{
	return (struct route_set){.at = keys->bytes.len};
}

struct route_set route_set_unit(struct route_keys *keys)
{
	struct route_set set = route_set_start(keys);

	route_set_close(keys, &set, route_set_open(keys));
	return set;
}

void route_set_clear(struct route_keys *keys, struct route_set *set)
{
	keys->bytes.len = set->at;
	set->count = 0;
}

size_t route_set_open(struct route_keys *keys)
{
	size_t opened = keys->bytes.len;

	buffer_reserve(&keys->bytes, sizeof(uint32_t));
	keys->bytes.len += sizeof(uint32_t);
	return opened;
}

void route_set_close(struct route_keys *keys, struct route_set *set, size_t opened)
{
	size_t len = keys->bytes.len - opened - sizeof(uint32_t);
	uint32_t stored = (uint32_t)len;

	assert(len <= UINT32_MAX);
	memcpy(keys->bytes.base + opened, &stored, sizeof(stored));
	set->count++;
}

/* The entry's tuple; the next one starts where it ends. */
static struct slice tuple_at(const struct route_keys *keys, size_t at)
{
	uint32_t len;

	memcpy(&len, keys->bytes.base + at, sizeof(len));
	return (struct slice){keys->bytes.base + at + sizeof(len), len};
}

static size_t entry_bytes(struct slice tuple)
{
	return sizeof(uint32_t) + tuple.len;
}

/* True where one of the `kept` entries from `at` on is the tuple. */
static bool is_among(const struct route_keys *keys, size_t at, uint32_t kept, struct slice tuple)
{
	while (kept--) {
		struct slice other = tuple_at(keys, at);

		if (slice_equal(other, tuple))
			return true;
		at += entry_bytes(other);
	}
	return false;
}

/* True where the table knows an entry with this tuple; else notes `at` as where it is kept. */
static bool is_known(struct table *table, const struct route_keys *keys, struct slice tuple,
		     size_t at)
{
	uint32_t slot = (uint32_t)route_key_hash(tuple) & (TABLE_SLOTS - 1);

	for (; table->slots[slot]; slot = (slot + 1) & (TABLE_SLOTS - 1))
		if (slice_equal(tuple_at(keys, table->slots[slot] - 1), tuple))
			return true;
	table->slots[slot] = (uint32_t)at + 1;
	return false;
}

/* Moves the entries that are no repeats together; without a table, by comparing each with each. */
static void keep_first(struct route_keys *keys, struct route_set *set, struct table *table)
{
	size_t from = set->at, to = set->at;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < set->count; i++) {
		struct slice tuple = tuple_at(keys, from);
		size_t bytes = entry_bytes(tuple);
		bool repeat =
		    table ? is_known(table, keys, tuple, to) : is_among(keys, set->at, kept, tuple);

		if (!repeat) {
			memmove(keys->bytes.base + to, keys->bytes.base + from, bytes);
			to += bytes;
			kept++;
		}
		from += bytes;
	}
	keys->bytes.len = to;
	set->count = kept;
}

static void keep_first_of_many(struct route_keys *keys, struct route_set *set)
{
	struct table table = {0};

	assert(set->count < TABLE_SLOTS && keys->bytes.len < UINT32_MAX);
	keep_first(keys, set, &table);
}

void route_set_remove_repeats(struct route_keys *keys, struct route_set *set)
{
	if (set->count > FEW_ENTRIES)
		keep_first_of_many(keys, set);
	else if (set->count > 1)
		keep_first(keys, set, NULL);
}

bool route_set_is_loose(const struct route_keys *keys, const struct route_set *set)
{
	return set->count > LOOSE_ENTRIES || keys->bytes.len - set->at > LOOSE_BYTES;
}

/* False where it is too much. */
static bool take_work(struct route_keys *keys, size_t tuples, size_t bytes)
{
	enum { BYTES_FOR_ONE = 64 };

	keys->work += tuples + bytes / BYTES_FOR_ONE;
	return keys->work <= PATTERN_MAX_ROUTE_KEY_WORK;
}

int route_set_tighten(struct route_keys *keys, struct route_set *set)
{
	bool bounded = take_work(keys, 0, keys->bytes.len - set->at);

	route_set_remove_repeats(keys, set);
	if (bounded && set->count <= PATTERN_MAX_ROUTE_KEYS &&
	    keys->bytes.len - set->at <= PATTERN_MAX_ROUTE_KEY_BYTES)
		return 0;
	route_set_clear(keys, set);
	return ERROR_LIMIT;
}

/* Appends all pairs. The bytes are reserved before, so that the sets don't move while they are
 * read. */
static void append_product(struct route_keys *keys, const struct route_set *left,
			   const struct route_set *right)
{
	struct route_set product = route_set_start(keys);
	size_t at = left->at;

	for (uint32_t i = 0; i < left->count; i++) {
		struct slice head = tuple_at(keys, at);
		size_t right_at = right->at;

		for (uint32_t k = 0; k < right->count; k++) {
			struct slice tail = tuple_at(keys, right_at);
			size_t opened = route_set_open(keys);

			buffer_append_slice(&keys->bytes, head);
			buffer_append_slice(&keys->bytes, tail);
			route_set_close(keys, &product, opened);
			right_at += entry_bytes(tail);
		}
		at += entry_bytes(head);
	}
}

/* Moves what stands on the stack from `from` on down to `to`. */
static void move_down(struct route_keys *keys, size_t to, size_t from)
{
	size_t bytes = keys->bytes.len - from;

	memmove(keys->bytes.base + to, keys->bytes.base + from, bytes);
	keys->bytes.len = to + bytes;
}

static bool is_unit(const struct route_set *set, size_t bytes)
{
	return set->count == 1 && bytes == sizeof(uint32_t);
}

int route_set_multiply(struct route_keys *keys, struct route_set *left,
		       const struct route_set *right)
{
	size_t left_bytes = right->at - left->at;
	size_t right_bytes = keys->bytes.len - right->at;
	size_t tuples = (size_t)left->count * right->count;
	size_t bytes =
	    left_bytes * right->count + right_bytes * left->count - tuples * sizeof(uint32_t);

	if (tuples > PATTERN_MAX_ROUTE_KEYS || bytes > PATTERN_MAX_ROUTE_KEY_BYTES) {
		route_set_clear(keys, left);
		return ERROR_LIMIT;
	}
	if (is_unit(right, right_bytes)) {
		keys->bytes.len = right->at;
		return 0;
	}
	if (is_unit(left, left_bytes)) {
		move_down(keys, left->at, right->at);
	} else if (!take_work(keys, tuples, bytes)) {
		route_set_clear(keys, left);
		return ERROR_LIMIT;
	} else {
		size_t product_at = keys->bytes.len;

		buffer_reserve(&keys->bytes, bytes);
		append_product(keys, left, right);
		move_down(keys, left->at, product_at);
	}
	left->count = (uint32_t)tuples;
	return 0;
}
