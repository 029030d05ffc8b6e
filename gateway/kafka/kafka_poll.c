#include "kafka_poll_priv.h"

#include "base/clock.h"

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
	for (size_t i = 0; i < poll->count; i++)
		rd_kafka_message_destroy(poll->messages[i]);
	poll->count = 0;
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
