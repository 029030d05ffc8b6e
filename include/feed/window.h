/*
 * window: a feed's recent events in memory, in the order of their arrival.
 *
 * Append-only segments of contiguous frames with a table of entries. One writer (the ingest
 * thread); readers (the loops) take no lock and keep nothing but sequence numbers between turns. A
 * segment that leaves the window is freed when all loops have passed it (feed/epoch.h). Sequence
 * numbers count entries from 0 and never go back.
 */
#ifndef SLUICE_FEED_WINDOW_H
#define SLUICE_FEED_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "event/pattern.h"
#include "event/position.h"
#include "feed/epoch.h"

enum window_kind {
	WINDOW_EVENT,  /* one record; goes to those whose keys match */
	WINDOW_NOTICE, /* to everybody: a gap in the log */
};

struct window_entry {
	uint64_t key_hash; /* of its only route key */
	uint64_t arrived_us;
	int64_t offset;
	uint32_t partition;
	uint16_t topic;
	uint8_t kind;       /* enum window_kind */
	uint32_t key_count; /* only where it is 1, key_hash says something */
	uint32_t keys_at;   /* in the segment's keys, laid out as in struct route_keys */
	uint32_t keys_len;
	uint32_t record_len; /* right after the keys; 0: the window keeps no records */
	uint32_t frame_at;   /* in the segment's frames, which follow each other without a space */
	uint32_t frame_len;
};

struct window_segment {
	uint64_t first;        /* sequence number of entries[0] */
	struct position start; /* the feed's position before entries[0] */
	const char *frames;
	const char *keys;
	const struct window_entry *entries;
	const struct key_sketch *sketch;
};

struct key_sketch;
struct window;

/* `budget` is in bytes and covers frames, entries, keys and records. `keeps_records` makes room for
 * those. `epoch` is borrowed. */
struct window *window_new(uint64_t budget, uint32_t topic_count, bool keeps_records,
			  struct epoch *epoch);
/* No reader may be left. */
void window_free(struct window *window);

/* Writer. */

/*
 * Appends, not yet visible. `keys` may be NULL (nobody is told apart by it). `record` is what is to
 * be kept of it beside the frame, or empty. `position` is the feed's after this entry, and
 * `previous_next` what its own partition's was before. Thread: the writer's.
 */
void window_append(struct window *window, const struct window_entry *entry,
		   const struct route_keys *keys, struct slice record, struct slice frame,
		   const struct position *position, int64_t previous_next);
/* A partition is read from `next` on: whoever has less of it is not served from here. Before there
 * are readers. Thread: the writer's. */
void window_begin(struct window *window, uint32_t topic, uint32_t partition, int64_t next);
/* Makes what was appended visible, together with the position; frees what the loops have passed.
 * Thread: the writer's. */
void window_publish(struct window *window, const struct position *position);
/* Drops everything: what is to come does not continue it (a topic was made anew). Thread: the
 * writer's. */
void window_reset(struct window *window);

/* Readers. */

/* Changes whenever window_publish() had something to say. Thread: any. */
uint64_t window_version(const struct window *window);
/* The sequence number after the last visible entry, and the position that belongs to it (assigned
 * to an initialised one). Takes a lock for the length of the copy. Thread: any. */
uint64_t window_head(struct window *window, struct position *position, uint64_t *version);
/* The oldest sequence number that is still there. Thread: any. */
uint64_t window_tail(const struct window *window);

/*
 * The segment that holds `sequence`, which is below a head that this reader has seen; NULL where it
 * has left the window. `*end` is the sequence number after the segment's last visible entry. Valid
 * until the reader's next epoch_quiesce(). Thread: a joined reader's.
 */
const struct window_segment *window_find(const struct window *window, uint64_t sequence,
					 uint64_t *end);

/* False: no entry of the segment is for one who has only this route key. Thread: a joined reader's.
 */
bool window_segment_may_have(const struct window_segment *segment, uint64_t key_hash);

/*
 * Where one who has read up to `position` goes on: every later event is at or after *sequence (some
 * before `position` too, to be skipped). False: the window no longer reaches back so far. `head` is
 * a head with `at_head` its position. Thread: a joined reader's.
 */
bool window_seek(const struct window *window, const struct position *position, uint64_t head,
		 const struct position *at_head, uint64_t *sequence);

static inline const struct window_entry *window_entry_at(const struct window_segment *segment,
							 uint64_t sequence)
{
	return &segment->entries[sequence - segment->first];
}

static inline struct slice window_frame(const struct window_segment *segment,
					const struct window_entry *entry)
{
	return (struct slice){segment->frames + entry->frame_at, entry->frame_len};
}

/* The entry's route keys; borrowed from the segment. */
static inline struct route_keys window_keys(const struct window_segment *segment,
					    const struct window_entry *entry)
{
	return (struct route_keys){
	    .bytes.base = (char *)(uintptr_t)segment->keys + entry->keys_at,
	    .bytes.len = entry->keys_len,
	    .count = entry->key_count,
	};
}

/* What was kept of the entry's record; borrowed from the segment. */
static inline struct slice window_record(const struct window_segment *segment,
					 const struct window_entry *entry)
{
	return (struct slice){segment->keys + entry->keys_at + entry->keys_len, entry->record_len};
}

/* For /metrics. Thread: any. */
struct window_stats {
	uint64_t bytes;
	uint64_t entries;
	uint64_t oldest_arrived_us; /* 0: empty */
};
struct window_stats window_stats(struct window *window);

#endif
