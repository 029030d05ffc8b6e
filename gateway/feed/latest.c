#include "feed/latest_priv.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "feed/kept_record_priv.h"

enum { MIN_SLOTS = 64, KEPT_SLOTS = 4096 };

/* Numbers of nodes; 0 is none: the first node is only the place where lists end. */
struct node {
	uint64_t hash, sequence;
	uint32_t next; /* in its bucket, or in the list of those that are free */
	uint32_t newer, older;
};

/* `nodes` and `buckets` have `slots` each, a power of two. */
struct latest {
	const struct window *window;
	bool by_key;
	uint32_t slots, used, free, count;
	struct node *nodes;
	uint32_t *buckets;
};

static void allocate(struct latest *latest, uint32_t slots)
{
	latest->slots = slots;
	latest->nodes = mem_realloc(latest->nodes, slots * sizeof(latest->nodes[0]));
	free(latest->buckets);
	latest->buckets = mem_zalloc(slots * sizeof(latest->buckets[0]));
}

struct latest *latest_new(void)
{
	return MEM_NEW(struct latest);
}

void latest_free(struct latest *latest)
{
	if (!latest)
		return;
	free(latest->nodes);
	free(latest->buckets);
	free(latest);
}

void latest_begin(struct latest *latest, const struct window *window, bool by_key)
{
	latest->window = window;
	latest->by_key = by_key;
	if (!latest->slots || latest->slots > KEPT_SLOTS)
		allocate(latest, MIN_SLOTS);
	else
		memset(latest->buckets, 0, latest->slots * sizeof(latest->buckets[0]));
	latest->nodes[0] = (struct node){0};
	latest->used = 1;
	latest->free = 0;
	latest->count = 0;
}

size_t latest_count(const struct latest *latest)
{
	return latest->count;
}

static uint32_t *bucket_of(const struct latest *latest, uint64_t hash)
{
	return &latest->buckets[hash & (latest->slots - 1)];
}

static void grow(struct latest *latest)
{
	allocate(latest, 2 * latest->slots);
	for (uint32_t n = latest->nodes[0].newer; n; n = latest->nodes[n].newer) {
		uint32_t *bucket = bucket_of(latest, latest->nodes[n].hash);

		latest->nodes[n].next = *bucket;
		*bucket = n;
	}
}

/* A node that is in no list. */
static uint32_t take_node(struct latest *latest)
{
	uint32_t n = latest->free;

	latest->count++;
	if (n) {
		latest->free = latest->nodes[n].next;
		return n;
	}
	if (latest->used == latest->slots)
		grow(latest);
	return latest->used++;
}

/* The first node's neighbours are the oldest, as its `newer`, and the newest, as its `older`. */
static void link_newest(struct latest *latest, uint32_t n)
{
	struct node *ends = &latest->nodes[0], *node = &latest->nodes[n];

	node->newer = 0;
	node->older = ends->older;
	latest->nodes[ends->older].newer = n;
	ends->older = n;
}

static void unlink_node(struct latest *latest, uint32_t n)
{
	const struct node *node = &latest->nodes[n];

	latest->nodes[node->newer].older = node->older;
	latest->nodes[node->older].newer = node->newer;
}

/* An event's key, and the hash of what tells it from others. */
struct key {
	uint16_t topic;
	bool present;
	struct slice bytes;
};

static struct key key_of(const struct window_segment *segment, const struct window_entry *entry)
{
	struct key key = {.topic = entry->topic};

	key.present = kept_record_key(window_record(segment, entry), &key.bytes);
	return key;
}

static uint64_t hash_of(const struct key *key)
{
	/* Any odd number that stirs the bits. */
	const uint64_t stir = UINT64_C(0x9e3779b97f4a7c15);

	return route_key_hash(key->bytes) + (key->topic * UINT64_C(2) + key->present) * stir;
}

static bool has_key(const struct latest *latest, const struct node *node, const struct key *key)
{
	uint64_t end;
	const struct window_segment *segment = window_find(latest->window, node->sequence, &end);
	const struct window_entry *entry;
	struct key other;

	if (!segment)
		return false;
	entry = window_entry_at(segment, node->sequence);
	if (entry->kind != WINDOW_EVENT)
		return false;
	other = key_of(segment, entry);
	return other.topic == key->topic && other.present == key->present &&
	       slice_equal(other.bytes, key->bytes);
}

static uint32_t find(const struct latest *latest, uint64_t hash, const struct key *key)
{
	uint32_t n = *bucket_of(latest, hash);

	while (n && (latest->nodes[n].hash != hash || !has_key(latest, &latest->nodes[n], key)))
		n = latest->nodes[n].next;
	return n;
}

static void add(struct latest *latest, uint64_t hash, uint64_t sequence)
{
	uint32_t n = take_node(latest), *bucket = bucket_of(latest, hash);

	latest->nodes[n] = (struct node){.hash = hash, .sequence = sequence, .next = *bucket};
	*bucket = n;
	link_newest(latest, n);
}

/* Where all have one key, the newest event is where its hash says, whatever became of its entry. */
static uint32_t find_any(const struct latest *latest)
{
	return latest->by_key ? 0 : *bucket_of(latest, 0);
}

void latest_put(struct latest *latest, const struct window_segment *segment,
		const struct window_entry *entry)
{
	uint64_t sequence = segment->first + (uint64_t)(entry - segment->entries), hash = 0;
	uint32_t n;

	if (entry->kind != WINDOW_EVENT) {
		add(latest, UINT64_MAX, sequence);
		return;
	}
	if (latest->by_key) {
		const struct key key = key_of(segment, entry);

		hash = hash_of(&key);
		n = find(latest, hash, &key);
	} else {
		n = find_any(latest);
	}
	if (!n) {
		add(latest, hash, sequence);
		return;
	}
	unlink_node(latest, n);
	latest->nodes[n].sequence = sequence;
	link_newest(latest, n);
}

static void remove_node(struct latest *latest, uint32_t n)
{
	struct node *node = &latest->nodes[n];
	uint32_t *link = bucket_of(latest, node->hash);

	while (*link != n)
		link = &latest->nodes[*link].next;
	*link = node->next;
	unlink_node(latest, n);
	node->next = latest->free;
	latest->free = n;
	latest->count--;
}

void latest_forget(struct latest *latest, uint64_t sequence)
{
	uint32_t oldest;

	while ((oldest = latest->nodes[0].newer) && latest->nodes[oldest].sequence < sequence)
		remove_node(latest, oldest);
}

size_t latest_list(const struct latest *latest, uint64_t from, uint64_t *out, size_t max)
{
	const struct node *nodes = latest->nodes;
	uint32_t n = nodes[0].older;
	size_t count = 0;

	for (; n && nodes[n].sequence >= from; n = nodes[n].older)
		count++;
	n = nodes[n].newer;
	for (size_t i = 0; i < count && i < max; i++, n = nodes[n].newer)
		out[i] = nodes[n].sequence;
	return count;
}
