/*
 * kafka_poll: librdkafka's messages in batches, and as records.
 */
#ifndef SLUICE_KAFKA_KAFKA_POLL_PRIV_H
#define SLUICE_KAFKA_KAFKA_POLL_PRIV_H

#include <librdkafka/rdkafka.h>

#include "event/record.h"

enum { KAFKA_POLL_BATCH = 1000, KAFKA_POLL_MAX_HEADERS = 256 };

struct kafka_poll {
	rd_kafka_queue_t *queue; /* borrowed */
	rd_kafka_message_t *messages[KAFKA_POLL_BATCH];
	size_t count;
	uint64_t arrived_us;                                  /* of the batch */
	struct record_header headers[KAFKA_POLL_MAX_HEADERS]; /* of the record converted last */
};

/*
 * Waits up to timeout_ms for a message, or until rd_kafka_queue_yield(), then takes all that are
 * there, up to a batch. The messages are the poll's, until kafka_poll_release(). Thread: the
 * queue's reader.
 */
size_t kafka_poll_wait(struct kafka_poll *poll, int timeout_ms);
void kafka_poll_release(struct kafka_poll *poll);

/*
 * A message without error as a record; everything is borrowed from the message and the poll, until
 * the next call. Of more than KAFKA_POLL_MAX_HEADERS headers the first ones are kept.
 */
void kafka_poll_record(struct kafka_poll *poll, const rd_kafka_message_t *message,
		       struct record *record);

#endif
