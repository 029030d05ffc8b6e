#include "feed/window.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"
#include "feed/key_sketch_priv.h"

/*
 * A segment is closed when its frames, entries or keys are full. An eighth of the budget keeps a
 * small window useful; 256 KiB is past the point where a larger contiguous write(2) gains anything.
 */
enum {
	SEGMENT_MIN_BYTES = 8 * 1024,
	SEGMENT_MAX_BYTES = 256 * 1024,
	BYTES_AN_ENTRY = 64,
	BYTES_A_KEY = 2, /* a key's share of a segment is one in so many bytes of its frames */
};

struct segment {
	struct window_segment shown; /* first: what readers see */
	_Atomic uint32_t visible;    /* entries that readers may look at */
	uint32_t count;
	uint32_t entry_capacity;
	uint32_t frames_len, frames_capacity;
	uint32_t keys_len, keys_capacity;
	char *frames;
	char *keys;
	struct window_entry *entries;
	struct key_sketch *sketch;
	uint64_t retired; /* epoch stamp */
	struct segment *next_retired;
};

struct window {
	struct epoch *epoch;
	uint64_t budget;
	uint32_t segment_bytes;
	uint32_t segment_keys_bytes;     /* keys and records */
	uint64_t capacity;               /* slots in the ring */
	_Atomic(struct segment *) *ring; /* segment number n is at n % capacity */
	_Atomic uint64_t oldest, newest; /* segment numbers, [oldest, newest) */
	_Atomic uint64_t tail;           /* sequence number */
	_Atomic uint64_t version;
	uint64_t next;  /* writer: sequence number of the next entry */
	uint64_t bytes; /* writer: of all live segments */
	uint64_t shown; /* writer: segment number up to which all is visible and closed */
	struct segment *retired_first, **retired_last; /* writer: in the order of retirement */
	pthread_mutex_t head_lock;                     /* guards what follows */
	uint64_t head;
	struct position head_position;
	uint64_t head_bytes;
	uint64_t head_oldest_us;
};

struct window *window_new(uint64_t budget, uint32_t topic_count, bool keeps_records,
			  struct epoch *epoch)
{
	struct window *window = MEM_NEW(struct window);
	uint64_t bytes = budget / 8;

	if (bytes < SEGMENT_MIN_BYTES)
		bytes = SEGMENT_MIN_BYTES;
	if (bytes > SEGMENT_MAX_BYTES)
		bytes = SEGMENT_MAX_BYTES;
	window->epoch = epoch;
	window->budget = budget;
	window->segment_bytes = (uint32_t)bytes;
	/* A record is about as long as its frame. */
	window->segment_keys_bytes = (uint32_t)(bytes / BYTES_A_KEY + (keeps_records ? bytes : 0));
	window->capacity = 2 * budget / bytes + 4;
	window->ring = mem_zalloc(window->capacity * sizeof(window->ring[0]));
	window->retired_last = &window->retired_first;
	pthread_mutex_init(&window->head_lock, NULL);
	position_init(&window->head_position, topic_count);
	return window;
}

static void segment_free(struct segment *segment)
{
	position_fini(&segment->shown.start);
	free(segment->frames);
	free(segment->keys);
	free(segment->entries);
	free(segment->sketch);
	free(segment);
}

static uint64_t segment_bytes(const struct segment *segment)
{
	return sizeof(*segment) + segment->frames_capacity + segment->keys_capacity +
	       segment->entry_capacity * sizeof(struct window_entry) +
	       key_sketch_bytes(segment->sketch);
}

static struct segment *ring_get(const struct window *window, uint64_t number)
{
	return atomic_load_explicit(&window->ring[number % window->capacity], memory_order_acquire);
}

static void free_passed(struct window *window)
{
	struct segment *segment;

	while ((segment = window->retired_first) && epoch_passed(window->epoch, segment->retired)) {
		window->retired_first = segment->next_retired;
		if (!window->retired_first)
			window->retired_last = &window->retired_first;
		segment_free(segment);
	}
}

/* The slot keeps its pointer: a reader that has already read `oldest` may still follow it. */
static void evict_oldest(struct window *window)
{
	uint64_t number = atomic_load_explicit(&window->oldest, memory_order_relaxed);
	struct segment *segment = ring_get(window, number);

	atomic_store(&window->tail, segment->shown.first + segment->count);
	atomic_store(&window->oldest, number + 1);
	window->bytes -= segment_bytes(segment);
	segment->retired = epoch_retire(window->epoch);
	segment->next_retired = NULL;
	*window->retired_last = segment;
	window->retired_last = &segment->next_retired;
}

void window_reset(struct window *window)
{
	while (atomic_load(&window->oldest) != atomic_load(&window->newest))
		evict_oldest(window);
}

void window_free(struct window *window)
{
	struct segment *segment;

	if (!window)
		return;
	window_reset(window);
	while ((segment = window->retired_first)) {
		window->retired_first = segment->next_retired;
		segment_free(segment);
	}
	position_fini(&window->head_position);
	pthread_mutex_destroy(&window->head_lock);
	free(window->ring);
	free(window);
}

static uint32_t at_least(uint32_t a, size_t b)
{
	return a > b ? a : (uint32_t)b;
}

static struct segment *segment_new(const struct window *window, size_t frame_len, size_t keys_len,
				   const struct position *start)
{
	struct segment *segment = MEM_NEW(struct segment);

	segment->frames_capacity = at_least(window->segment_bytes, frame_len);
	segment->keys_capacity = at_least(window->segment_keys_bytes, keys_len);
	segment->entry_capacity = window->segment_bytes / BYTES_AN_ENTRY;
	segment->frames = mem_alloc(segment->frames_capacity);
	segment->keys = mem_alloc(segment->keys_capacity);
	segment->entries = mem_alloc(segment->entry_capacity * sizeof(segment->entries[0]));
	segment->sketch = key_sketch_new(segment->entry_capacity);
	segment->shown.first = window->next;
	segment->shown.frames = segment->frames;
	segment->shown.keys = segment->keys;
	segment->shown.entries = segment->entries;
	segment->shown.sketch = segment->sketch;
	position_copy(&segment->shown.start, start);
	return segment;
}

static bool segment_has_room(const struct segment *segment, size_t frame_len, size_t keys_len)
{
	return segment->count < segment->entry_capacity &&
	       segment->frames_capacity - segment->frames_len >= frame_len &&
	       segment->keys_capacity - segment->keys_len >= keys_len;
}

/* Keeps the newest segment whatever the budget says, so that what was just appended can be read. */
static void make_room(struct window *window, uint64_t bytes)
{
	uint64_t newest = atomic_load_explicit(&window->newest, memory_order_relaxed);
	uint64_t count = newest - atomic_load_explicit(&window->oldest, memory_order_relaxed);

	while (count > 1 &&
	       (count >= window->capacity - 1 || window->bytes + bytes > window->budget)) {
		evict_oldest(window);
		count--;
	}
}

/* The segment that has room for one more entry; opens a new one where the last is full. */
static struct segment *writable_segment(struct window *window, const struct window_entry *entry,
					size_t frame_len, size_t keys_len,
					const struct position *position, int64_t previous_next)
{
	uint64_t newest = atomic_load_explicit(&window->newest, memory_order_relaxed);
	struct segment *segment = NULL;
	struct position start;

	if (newest != atomic_load_explicit(&window->oldest, memory_order_relaxed)) {
		segment = ring_get(window, newest - 1);
		if (segment_has_room(segment, frame_len, keys_len))
			return segment;
	}
	position_copy(&start, position);
	position_set(&start, entry->topic, entry->partition, previous_next);
	segment = segment_new(window, frame_len, keys_len, &start);
	position_fini(&start);
	make_room(window, segment_bytes(segment));
	window->bytes += segment_bytes(segment);
	atomic_store_explicit(&window->ring[newest % window->capacity], segment,
			      memory_order_release);
	atomic_store(&window->newest, newest + 1);
	return segment;
}

/* The entry keeps the hash of its only key. */
static void sketch_keys(struct key_sketch *sketch, const struct route_keys *keys,
			struct window_entry *entry)
{
	struct slice key;
	size_t at = 0;

	while (route_keys_next(keys, &at, &key)) {
		uint64_t hash = route_key_hash(key);

		key_sketch_add(sketch, hash);
		if (keys->count == 1)
			entry->key_hash = hash;
	}
}

void window_append(struct window *window, const struct window_entry *entry,
		   const struct route_keys *keys, struct slice record, struct slice frame,
		   const struct position *position, int64_t previous_next)
{
	size_t keys_len = keys ? keys->bytes.len : 0;
	struct segment *segment = writable_segment(window, entry, frame.len, keys_len + record.len,
						   position, previous_next);
	struct window_entry *slot = &segment->entries[segment->count];

	assert(frame.len <= UINT32_MAX / 2 && keys_len + record.len <= UINT32_MAX / 2);
	*slot = *entry;
	slot->frame_at = segment->frames_len;
	slot->frame_len = (uint32_t)frame.len;
	slot->keys_at = segment->keys_len;
	slot->keys_len = (uint32_t)keys_len;
	slot->record_len = (uint32_t)record.len;
	slot->key_count = keys ? keys->count : 0;
	if (slot->key_count)
		sketch_keys(segment->sketch, keys, slot);
	else
		key_sketch_add_all(segment->sketch);
	memcpy(segment->frames + segment->frames_len, frame.base, frame.len);
	segment->frames_len += (uint32_t)frame.len;
	if (keys_len)
		memcpy(segment->keys + segment->keys_len, keys->bytes.base, keys_len);
	segment->keys_len += (uint32_t)keys_len;
	if (record.len)
		memcpy(segment->keys + segment->keys_len, record.base, record.len);
	segment->keys_len += (uint32_t)record.len;
	segment->count++;
	window->next++;
}

void window_begin(struct window *window, uint32_t topic, uint32_t partition, int64_t next)
{
	uint64_t newest = atomic_load_explicit(&window->newest, memory_order_relaxed);

	for (uint64_t n = atomic_load_explicit(&window->oldest, memory_order_relaxed); n < newest;
	     n++)
		position_set(&ring_get(window, n)->shown.start, topic, partition, next);
}

static void show_appended(struct window *window)
{
	uint64_t newest = atomic_load_explicit(&window->newest, memory_order_relaxed);
	uint64_t oldest = atomic_load_explicit(&window->oldest, memory_order_relaxed);

	for (uint64_t n = window->shown > oldest ? window->shown : oldest; n < newest; n++) {
		struct segment *segment = ring_get(window, n);

		atomic_store_explicit(&segment->visible, segment->count, memory_order_release);
		window->shown = n;
	}
}

static uint64_t oldest_arrival(const struct window *window)
{
	uint64_t oldest = atomic_load_explicit(&window->oldest, memory_order_relaxed);

	if (oldest == atomic_load_explicit(&window->newest, memory_order_relaxed))
		return 0;
	return ring_get(window, oldest)->entries[0].arrived_us;
}

void window_publish(struct window *window, const struct position *position)
{
	show_appended(window);
	pthread_mutex_lock(&window->head_lock);
	window->head = window->next;
	position_assign(&window->head_position, position);
	window->head_bytes = window->bytes;
	window->head_oldest_us = oldest_arrival(window);
	atomic_fetch_add(&window->version, 1);
	pthread_mutex_unlock(&window->head_lock);
	free_passed(window);
}

uint64_t window_version(const struct window *window)
{
	return atomic_load(&window->version);
}

uint64_t window_head(struct window *window, struct position *position, uint64_t *version)
{
	uint64_t head;

	pthread_mutex_lock(&window->head_lock);
	head = window->head;
	position_assign(position, &window->head_position);
	*version = atomic_load(&window->version);
	pthread_mutex_unlock(&window->head_lock);
	return head;
}

uint64_t window_tail(const struct window *window)
{
	return atomic_load(&window->tail);
}

/* NULL where segment `number` was evicted: its slot in the ring may hold a later one by now. */
static const struct segment *segment_if_there(const struct window *window, uint64_t number)
{
	const struct segment *segment = ring_get(window, number);

	return atomic_load(&window->oldest) <= number ? segment : NULL;
}

const struct window_segment *window_find(const struct window *window, uint64_t sequence,
					 uint64_t *end)
{
	uint64_t low = atomic_load(&window->oldest), high = atomic_load(&window->newest);
	const struct segment *found = NULL;

	/* Nearly everybody reads the newest segment. */
	if (low < high && (found = segment_if_there(window, high - 1)) &&
	    found->shown.first <= sequence)
		low = high;
	else
		found = NULL;
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		const struct segment *segment = segment_if_there(window, middle);

		if (!segment || segment->shown.first <= sequence) {
			found = segment;
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	if (!found)
		return NULL;
	*end = found->shown.first + atomic_load_explicit(&found->visible, memory_order_acquire);
	return sequence < *end ? &found->shown : NULL;
}

bool window_seek(const struct window *window, const struct position *position, uint64_t head,
		 const struct position *at_head, uint64_t *sequence)
{
	uint64_t oldest = atomic_load(&window->oldest);

	if (position_at_or_before(at_head, position)) {
		*sequence = head;
		return true;
	}
	for (uint64_t n = atomic_load(&window->newest); n-- > oldest;) {
		const struct segment *segment = segment_if_there(window, n);

		if (!segment)
			return false;
		if (segment->shown.first > head ||
		    !position_at_or_before(&segment->shown.start, position))
			continue;
		*sequence = segment->shown.first;
		return true;
	}
	return false;
}

bool window_segment_may_have(const struct window_segment *segment, uint64_t key_hash)
{
	return key_sketch_may_have(segment->sketch, key_hash);
}

struct window_stats window_stats(struct window *window)
{
	struct window_stats stats;
	uint64_t tail;

	pthread_mutex_lock(&window->head_lock);
	stats.bytes = window->head_bytes;
	stats.oldest_arrived_us = window->head_oldest_us;
	tail = atomic_load(&window->tail);
	stats.entries = window->head > tail ? window->head - tail : 0;
	pthread_mutex_unlock(&window->head_lock);
	return stats;
}
