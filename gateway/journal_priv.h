/*
 * journal, inside.
 *
 * journal.c: life, and the thread: when PostgreSQL is asked for what, and what happens when it does
 * not answer. journal_topics.c: who is assigned what, and records on their way into the batch.
 * journal_start.c: where partitions are read from. journal_report.c: what others are told.
 */
#ifndef SLUICE_JOURNAL_PRIV_H
#define SLUICE_JOURNAL_PRIV_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "event/pattern.h"
#include "feed/feeds.h"
#include "journal.h"
#include "kafka/group_consumer.h"
#include "postgres/journal_writer.h"

/* A journaled feed. */
struct journal_source {
	struct feed *feed; /* a reference */
	int32_t feed_id;   /* 0: not declared yet */
};

/* A feed that wants a topic. */
struct journal_wish {
	struct journal_source *source;
	uint32_t topic; /* the topic's number in the feed */
};

enum journal_partition_state {
	JOURNAL_WAITING, /* for PostgreSQL to say where it goes on */
	JOURNAL_READING,
	JOURNAL_GAP, /* what comes next is not in the log; PostgreSQL is to be told */
};

/* An assigned partition. */
struct journal_partition {
	struct journal_partition *following;
	struct journal_topic *topic;
	int32_t number;
	enum journal_partition_state state;
	int64_t low, high; /* of a JOURNAL_GAP */
	int64_t committed;
	uint64_t level_ms;          /* monotonic: when it was last at the log's end */
	struct journal_part *parts; /* by the topic's wishes */
};

struct journal_topic {
	char *name;
	uint32_t number; /* the group consumer's */
	struct journal_wish *wishes;
	uint32_t wish_count;
	/* What others look at, under the lock. */
	uint32_t partition_count;
	int64_t lag;
};

struct journal {
	struct journal_parts parts;
	struct journal_writer *writer;
	struct group_consumer *consumer;
	struct journal_source *sources;
	uint32_t source_count;
	struct journal_topic *topics;
	uint32_t topic_count;
	struct journal_partition *partitions;
	pthread_t thread;
	bool started;
	_Atomic bool stopping;

	/* The thread's. */
	bool failing;      /* PostgreSQL's last answer was none, or no */
	uint64_t retry_ms; /* monotonic: nothing is asked of it before */
	uint32_t backoff_ms;
	uint64_t batch_since_ms; /* monotonic: 0: there is no batch */
	uint64_t places_due_ms;  /* monotonic: Kafka is asked for places again */
	uint64_t report_due_ms, commit_due_ms;
	struct route_keys keys;
	struct buffer custom_id;

	pthread_mutex_t lock;
	pthread_cond_t ended; /* with `done` */
	bool done;
	struct journal_state state;
};

/* Makes topics and wishes of the sources. */
void journal_topics_make(struct journal *journal);
void journal_topics_free(struct journal *journal);
struct group_consumer_sink journal_topics_sink(struct journal *journal);
/* Forgets the batch and what was read; every partition is loaded again. */
void journal_topics_reload(struct journal *journal);

/* Brings partitions that wait or stand at a gap to where they are read. What Kafka does not say now
 * is asked again later. Errors: PostgreSQL's. */
MUST_CHECK int journal_start_waiting(struct journal *journal);
MUST_CHECK int journal_settle_gaps(struct journal *journal);
bool journal_has_gaps(const struct journal *journal);

/* Writes the batch, and counts. Errors: PostgreSQL's; after ERROR_CONFLICT everything is loaded
 * again. */
MUST_CHECK int journal_write(struct journal *journal);

/* Now and then: tells Kafka how far it is, and those who look. */
void journal_commit(struct journal *journal);
void journal_report(struct journal *journal);

#endif
