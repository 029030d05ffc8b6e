/*
 * kafka_producer: writes records to a broker, idempotent or in transactions.
 *
 * Failures end the program, but for a broker that is away: the producer waits for it (up to 2
 * minutes). Thread: one at a time.
 */
#ifndef SLUICE_TESTS_LIB_KAFKA_PRODUCER_H
#define SLUICE_TESTS_LIB_KAFKA_PRODUCER_H

#include <librdkafka/rdkafka.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct kafka_producer;

struct kafka_header {
	const char *name;
	struct slice value;
};

struct kafka_message {
	const char *topic;
	int32_t partition;  /* RD_KAFKA_PARTITION_UA: by the key */
	struct slice key;   /* base NULL: none */
	struct slice value; /* base NULL: a tombstone */
	const struct kafka_header *headers;
	size_t header_count;
	int64_t timestamp_ms; /* 0: now */
};

/* `transactional_id` NULL: an idempotent producer without transactions. */
struct kafka_producer *kafka_producer_new(const char *bootstrap, const char *transactional_id);
void kafka_producer_free(struct kafka_producer *producer);

/* Queues one record, all of it copied. */
void kafka_producer_send(struct kafka_producer *producer, const struct kafka_message *message);
/* The same with texts: key NULL: none; partition by the key. */
void kafka_producer_send_text(struct kafka_producer *producer, const char *topic, const char *key,
			      const char *value);
/* Returns when the broker has all that was sent. */
void kafka_producer_flush(struct kafka_producer *producer);

void kafka_producer_begin(struct kafka_producer *producer);
void kafka_producer_commit(struct kafka_producer *producer);
void kafka_producer_abort(struct kafka_producer *producer);

#endif
