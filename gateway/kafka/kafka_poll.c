#include "kafka_poll_priv.h"

#include <stdlib.h>

#include "base/clock.h"

static uint64_t number_of(rd_kafka_t *kafka, const char *property)
{
	char text[32] = "";
	size_t size = sizeof(text);

	if (rd_kafka_conf_get(rd_kafka_conf(kafka), property, text, &size) != RD_KAFKA_CONF_OK)
		return UINT64_MAX;
	return strtoull(text, NULL, 10);
}

void kafka_poll_open(struct kafka_poll *poll, rd_kafka_t *kafka)
{
	poll->kafka = kafka;
	poll->queue = rd_kafka_queue_new(kafka);
	poll->limit_bytes = number_of(kafka, "queued.max.messages.kbytes") * 1024;
	poll->limit_messages = number_of(kafka, "queued.min.messages");
	poll->taken_bytes = 0;
	poll->taken_messages = 0;
}

void kafka_poll_close(struct kafka_poll *poll)
{
	rd_kafka_queue_destroy(poll->queue);
}

size_t kafka_poll_wait(struct kafka_poll *poll, int timeout_ms)
{
	rd_kafka_message_t *first = rd_kafka_consume_queue(poll->queue, timeout_ms);
	ssize_t more;

	if (!first)
		return 0;
	poll->arrived_us = clock_monotonic_us();
	poll->messages[0] = first;
	/* The batch call alone would wait until the batch is full, for as long as it may: it only
	 * takes what is there. */
	more =
	    rd_kafka_consume_batch_queue(poll->queue, 0, poll->messages + 1, KAFKA_POLL_BATCH - 1);
	poll->count = 1 + (more > 0 ? (size_t)more : 0);
	return poll->count;
}

void kafka_poll_release(struct kafka_poll *poll)
{
	for (size_t i = 0; i < poll->count; i++) {
		poll->taken_bytes += poll->messages[i]->len;
		rd_kafka_message_destroy(poll->messages[i]);
	}
	poll->taken_messages += poll->count;
	poll->count = 0;
}

bool kafka_poll_wants_nudge(const struct kafka_poll *poll)
{
	return poll->taken_bytes >= poll->limit_bytes / 2 ||
	       poll->taken_messages >= poll->limit_messages / 2;
}

void kafka_poll_nudge(struct kafka_poll *poll, rd_kafka_topic_partition_list_t *partitions)
{
	poll->taken_bytes = 0;
	poll->taken_messages = 0;
	for (int i = 0; i < partitions->cnt; i++)
		partitions->elems[i].offset = RD_KAFKA_OFFSET_END;
	/* A request to each leader, whose answer nobody waits for: it wakes the thread that would
	 * send it. */
	if (partitions->cnt)
		rd_kafka_offsets_for_times(poll->kafka, partitions, 0);
}

static size_t list_headers(const rd_kafka_message_t *message, struct record_header *headers)
{
	rd_kafka_headers_t *list;
	const char *name;
	const void *value;
	size_t len;
	size_t count = 0;

	if (rd_kafka_message_headers(message, &list) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return 0;
	while (count < KAFKA_POLL_MAX_HEADERS &&
	       rd_kafka_header_get_all(list, count, &name, &value, &len) ==
		   RD_KAFKA_RESP_ERR_NO_ERROR) {
		headers[count].name = slice_of(name);
		headers[count].value = (struct slice){value, value ? len : 0};
		count++;
	}
	return count;
}

void kafka_poll_record(struct kafka_poll *poll, const rd_kafka_message_t *message,
		       struct record *record)
{
	rd_kafka_timestamp_type_t type;

	*record = (struct record){
	    .topic = slice_of(rd_kafka_topic_name(message->rkt)),
	    .partition = message->partition,
	    .offset = message->offset,
	    .timestamp_ms = rd_kafka_message_timestamp(message, &type),
	    .arrived_us = poll->arrived_us,
	    .has_key = message->key != NULL,
	    .has_value = message->payload != NULL,
	    .key = {message->key, message->key ? message->key_len : 0},
	    .value = {message->payload, message->payload ? message->len : 0},
	    .headers = poll->headers,
	    .header_count = list_headers(message, poll->headers),
	};
}
