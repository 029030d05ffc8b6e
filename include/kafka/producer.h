/*
 * producer: writes records to Kafka, for `sluice produce`, sample data and tests. The gateway
 * itself only reads.
 */
#ifndef SLUICE_KAFKA_PRODUCER_H
#define SLUICE_KAFKA_PRODUCER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "event/record.h"
#include "kafka/kafka_settings.h"

struct producer;

struct producer_message {
	const char *topic;
	bool has_key;   /* false: the key is null, and the partition is chosen at random */
	bool has_value; /* false: a tombstone */
	struct slice key;
	struct slice value;
	const struct record_header *headers;
	size_t header_count;
};

/* What became of the messages since the last report. */
struct producer_report {
	uint64_t delivered;
	uint64_t failed;
	char reason[256]; /* of the first that failed; empty where none did */
};

/* Errors: ERROR_INVALID, ERROR_KAFKA: librdkafka refuses the settings; `reason` says why. */
MUST_CHECK int producer_open(const struct kafka_settings *settings, struct producer **producer,
			     char reason[256]);

/*
 * Queues a copy; waits while librdkafka's queue is full. What becomes of it is said by
 * producer_flush(). Errors: ERROR_KAFKA, `reason` says why (the message is too large, ...). Thread:
 * one at a time, as all of these.
 */
MUST_CHECK int producer_send(struct producer *producer, const struct producer_message *message,
			     char reason[256]);

/*
 * Waits up to timeout_ms until every message is delivered or has failed, and fills `report`.
 * Errors: ERROR_KAFKA: some have failed; ERROR_PENDING: some are still under way (and counted by a
 * later report).
 */
MUST_CHECK int producer_flush(struct producer *producer, uint32_t timeout_ms,
			      struct producer_report *report);

/* Drops what is still queued: flush first. */
void producer_close(struct producer *producer);

#endif
