/*
 * ingest: what its two threads share.
 *
 *     callers     want, unwant                     -> the list of topics (lock)
 *     discovery   metadata, offsets                -> commands (lock) -> reader
 *     reader      librdkafka's queue, commands     -> the sink; "lost" partitions (lock) ->
 * discovery
 *
 * The sink is called without the lock: its owner holds its own lock when it calls want and unwant.
 */
#ifndef SLUICE_KAFKA_INGEST_PRIV_H
#define SLUICE_KAFKA_INGEST_PRIV_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "kafka/ingest.h"
#include "kafka_conf_priv.h"
#include "kafka_poll_priv.h"

enum { INGEST_NO_OFFSET = -1 };

/* Written by the reader, under the lock where others look. */
struct ingest_partition {
	_Atomic int64_t next; /* INGEST_NO_OFFSET: not started */
	int64_t goal;         /* the end at first discovery, or INGEST_NO_OFFSET */
	bool fetched;         /* librdkafka has it started */
	bool lost;            /* waits for discovery to name a new offset */
	const char *problem;  /* what fetching it fails with, or NULL */
};

struct ingest_topic {
	struct ingest_topic *following;
	char *name;
	void *token;
	uint32_t warm_ms;
	rd_kafka_topic_t *handle; /* made by discovery, destroyed by the reader */

	/* Under the lock. */
	bool unwanted;
	bool caught_up;
	const char *problem;                  /* discovery's, or NULL */
	uint64_t due_ms;                      /* when discovery looks again; monotonic */
	uint64_t looked_ms;                   /* when it looked last, or 0 */
	struct ingest_partition **partitions; /* grown by the reader; it reads without the lock */
	uint32_t partition_count;

	/* Discovery's. */
	bool looked;             /* Kafka has answered whether it exists */
	bool from_start;         /* it did not exist when first looked up */
	bool discovered;         /* all of first_count have been started */
	int64_t first_look_ms;   /* wall clock */
	uint32_t first_count;    /* partitions at first discovery; 0: none yet */
	uint32_t absent_answers; /* in a row */
	bool *planned;           /* partitions whose start was posted */
	uint32_t planned_count;

	/* The reader's. */
	uint32_t goals_left;
	bool goals_known;
};

enum ingest_command_type {
	INGEST_START,      /* partition at offset, with goal */
	INGEST_MOVE,       /* partition goes on at offset, if it still stands at from */
	INGEST_DISCOVERED, /* all goals have been posted */
	INGEST_HALT,       /* all of the topic's partitions stop, until they are moved */
	INGEST_FORGET,     /* the topic; it is freed */
};

struct ingest_command {
	struct ingest_command *following;
	enum ingest_command_type type;
	struct ingest_topic *topic;
	int32_t partition;
	int64_t offset;
	int64_t goal;
	int64_t from; /* INGEST_NO_OFFSET: wherever it stands */
};

struct ingest {
	rd_kafka_t *kafka;
	struct kafka_poll poll;   /* all partitions' queue; the reader's */
	rd_kafka_queue_t *events; /* librdkafka's own, for discovery to sleep on */
	struct kafka_health health;
	struct ingest_sink sink;
	uint32_t refresh_ms;
	pthread_t reader, discovery;
	bool started;
	_Atomic bool stopping;

	pthread_mutex_t lock;
	struct ingest_topic *topics;
	const char *problem; /* of the cluster, or NULL */
	struct ingest_command *commands, **commands_end;

	/* The reader's: topics by handle, sorted. */
	struct ingest_topic **by_handle;
	size_t handle_count;
};

/* The threads' bodies; the argument is the ingest. */
void *ingest_reader_run(void *ingest);
void *discovery_run(void *ingest);

/* Posts to the reader; `command` is copied. Thread: discovery. */
void ingest_post(struct ingest *ingest, const struct ingest_command *command);
/* Takes all posted commands, in order; the caller frees them. Thread: reader. */
struct ingest_command *ingest_take_commands(struct ingest *ingest);
/* Makes discovery look at the topic soon. Thread: any, under the lock. */
void ingest_wake_discovery(struct ingest *ingest, struct ingest_topic *topic);
/* Everything but the handle and what is shared with the sink. */
void ingest_topic_free(struct ingest_topic *topic);

#endif
