/*
 * keyed: the newest event of each record key, as a frame without an id, of what a replay reads.
 *
 * A key is that of its topic; a null key is one too. A key has one partition, but for a time after
 * the topic was given more of them: of events of several partitions the newest is the one with the
 * highest event time. One thread.
 */
#ifndef SLUICE_FEED_KEYED_PRIV_H
#define SLUICE_FEED_KEYED_PRIV_H

#include "base/buffer.h"
#include "event/record.h"

struct feed;

/* One key's. */
struct keyed {
	uint32_t topic;
	int32_t partition;
	int64_t event_time_ms, offset;
	uint64_t arrival; /* in the order of putting */
	bool ends;        /* the stream, where it gets so far */
	size_t frame_len;
	char *frame;       /* owned; NULL: it is only what is looked for */
	uint32_t key_type; /* of the key, in place of the topic where there is but one */
	size_t key_len;
	char key[];
};

/* Zero-initialise. */
struct keyed_events {
	void *tree; /* of struct keyed */
	size_t count, bytes;
	uint64_t arrivals;
};
void keyed_fini(struct keyed_events *events);

/* The record's, with no frame. `by_key` false: all have one key. The caller's to keyed_free(), or
 * to put. */
struct keyed *keyed_new(const struct feed *feed, const struct record *record, bool by_key);
void keyed_free(void *keyed);

/* Takes out what has the key. False: that is newer. */
bool keyed_remove(struct keyed_events *events, const struct keyed *key);
/* Nothing has its key. Takes both over. */
void keyed_put(struct keyed_events *events, struct keyed *keyed, struct buffer *frame);

/* All of them, sorted by a qsort() comparison of struct keyed pointers; the caller's to free(). */
struct keyed **keyed_sort(const struct keyed_events *events,
			  int (*compare)(const void *a, const void *b));

#endif
