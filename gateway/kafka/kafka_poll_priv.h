/*
 * kafka_poll: librdkafka's messages in batches, and as records.
 *
 * librdkafka 2.0.2 stops fetching when its queue has reached queued.max.messages.kbytes or
 * queued.min.messages, and looks again up to a second later though the queue is long empty (its
 * issue 2879; fetch.queue.backoff.ms came with 2.2). Where the reader is slower than the broker
 * that is most of the time. So the thread that fetches is woken whenever half of a limit has been
 * taken.
 */
#ifndef SLUICE_KAFKA_KAFKA_POLL_PRIV_H
#define SLUICE_KAFKA_KAFKA_POLL_PRIV_H

#include <librdkafka/rdkafka.h>

#include "event/record.h"

enum { KAFKA_POLL_BATCH = 1000, KAFKA_POLL_MAX_HEADERS = 256 };

struct kafka_poll {
	rd_kafka_t *kafka; /* borrowed */
	rd_kafka_queue_t *queue;
	rd_kafka_message_t *messages[KAFKA_POLL_BATCH];
	size_t count;
	uint64_t arrived_us; /* of the batch */
	uint64_t limit_bytes, limit_messages;
	uint64_t taken_bytes, taken_messages;                 /* since the last nudge */
	struct record_header headers[KAFKA_POLL_MAX_HEADERS]; /* of the record converted last */
};

/* Zero-initialise it; partitions are started into poll->queue. Close before the client; it may be
 * opened again. */
void kafka_poll_open(struct kafka_poll *poll, rd_kafka_t *kafka);
void kafka_poll_close(struct kafka_poll *poll);

/*
 * Waits up to timeout_ms for a message, or until rd_kafka_queue_yield(), then takes all that are
 * there, up to a batch. The messages are the poll's, until kafka_poll_release(). Returns how many.
 * Thread: the queue's reader.
 */
size_t kafka_poll_wait(struct kafka_poll *poll, int timeout_ms);
void kafka_poll_release(struct kafka_poll *poll);

/* Half of a limit has been taken: the caller lists the partitions that it reads, and nudges. */
bool kafka_poll_wants_nudge(const struct kafka_poll *poll);
/* Wakes the threads that fetch these partitions. Doesn't block. */
void kafka_poll_nudge(struct kafka_poll *poll, rd_kafka_topic_partition_list_t *partitions);

/*
 * A message without error as a record; everything is borrowed from the message and the poll, until
 * the next call. Of more than KAFKA_POLL_MAX_HEADERS headers the first ones are kept.
 */
void kafka_poll_record(struct kafka_poll *poll, const rd_kafka_message_t *message,
		       struct record *record);

#endif
