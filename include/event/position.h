/*
 * position: for every topic-partition of a feed, the next offset to read.
 *
 * Topics are numbered in the order of the feed's list, partitions as Kafka numbers them. A
 * partition that is not in a position counts as 0. Owned by one thread; copied by value with
 * position_copy().
 */
#ifndef SLUICE_EVENT_POSITION_H
#define SLUICE_EVENT_POSITION_H

#include <stdbool.h>
#include <stdint.h>

struct position_topic {
	uint32_t partition_count;
	int64_t *next; /* owned; partition_count of them */
};

struct position {
	uint32_t topic_count;
	struct position_topic *topics; /* owned */
};

enum { POSITION_MAX_PARTITIONS = 100000, POSITION_MAX_TOPICS = 256 };

void position_init(struct position *position, uint32_t topic_count);
void position_copy(struct position *to, const struct position *from);   /* `to` is uninitialised */
void position_assign(struct position *to, const struct position *from); /* `to` is initialised */
void position_fini(struct position *position);

int64_t position_get(const struct position *position, uint32_t topic, uint32_t partition);
/* Makes room for a topic or partition that was not there. */
void position_set(struct position *position, uint32_t topic, uint32_t partition, int64_t next);

/* Forgets the topic's partitions from `count` on. */
void position_truncate(struct position *position, uint32_t topic, uint32_t count);

/* True where every partition of `a` is at or before `b`. */
bool position_at_or_before(const struct position *a, const struct position *b);
/* Moves each partition of `to` forward to `from`'s where that is higher. */
void position_merge(struct position *to, const struct position *from);
/* Moves each partition of `to` back to `most`'s where that is lower. */
void position_limit(struct position *to, const struct position *most);

#endif
