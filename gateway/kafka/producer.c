#include "kafka/producer.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "kafka_conf_priv.h"

enum { FULL_WAIT_MS = 100 };

struct producer {
	struct kafka_health health; /* first: it is the client's opaque, and leads back here */
	rd_kafka_t *kafka;
	struct producer_report report;
};

static void on_delivery(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *opaque)
{
	struct producer *producer = opaque;

	(void)kafka;
	if (!message->err) {
		producer->report.delivered++;
		return;
	}
	if (!producer->report.failed++)
		snprintf(producer->report.reason, sizeof(producer->report.reason), "%s: %s",
			 rd_kafka_topic_name(message->rkt), kafka_conf_error_text(message->err));
}

int producer_open(const struct kafka_settings *settings, struct producer **made, char reason[256])
{
	struct producer *producer = MEM_NEW(struct producer);
	rd_kafka_conf_t *conf;
	int error = kafka_conf_new(settings, KAFKA_PRODUCER, &conf, reason);

	if (!error) {
		rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
		error = kafka_conf_open(conf, KAFKA_PRODUCER, &producer->health, &producer->kafka,
					reason);
	}
	if (error) {
		free(producer);
		return error;
	}
	*made = producer;
	return 0;
}

static rd_kafka_headers_t *copy_headers(const struct producer_message *message)
{
	rd_kafka_headers_t *headers;

	if (!message->header_count)
		return NULL;
	headers = rd_kafka_headers_new(message->header_count);
	for (size_t i = 0; i < message->header_count; i++) {
		const struct record_header *header = &message->headers[i];

		rd_kafka_header_add(headers, header->name.base, (ssize_t)header->name.len,
				    header->value.base, (ssize_t)header->value.len);
	}
	return headers;
}

/* librdkafka takes a pointer's presence for the field's: an empty key is not a null key. */
static const void *bytes_of(bool present, struct slice slice)
{
	if (!present)
		return NULL;
	return slice.base ? slice.base : "";
}

/* librdkafka's interface lacks const: with MSG_F_COPY it only reads. */
static void *writable(const void *bytes)
{
	return (void *)(uintptr_t)bytes;
}

static rd_kafka_resp_err_t enqueue(struct producer *producer,
				   const struct producer_message *message)
{
	rd_kafka_headers_t *headers = copy_headers(message);
	const void *key = bytes_of(message->has_key, message->key);
	const void *value = bytes_of(message->has_value, message->value);
	rd_kafka_resp_err_t error = rd_kafka_producev(
	    producer->kafka, RD_KAFKA_V_TOPIC(message->topic),
	    RD_KAFKA_V_KEY(writable(key), message->key.len),
	    RD_KAFKA_V_VALUE(writable(value), message->value.len), RD_KAFKA_V_HEADERS(headers),
	    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);

	if (error && headers)
		rd_kafka_headers_destroy(headers);
	return error;
}

int producer_send(struct producer *producer, const struct producer_message *message,
		  char reason[256])
{
	rd_kafka_resp_err_t error;

	while ((error = enqueue(producer, message)) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		rd_kafka_poll(producer->kafka, FULL_WAIT_MS);
	rd_kafka_poll(producer->kafka, 0);
	if (!error)
		return 0;
	snprintf(reason, 256, "%s", kafka_conf_error_text(error));
	return ERROR_KAFKA;
}

int producer_flush(struct producer *producer, uint32_t timeout_ms, struct producer_report *report)
{
	rd_kafka_resp_err_t error = rd_kafka_flush(producer->kafka, (int)timeout_ms);

	*report = producer->report;
	memset(&producer->report, 0, sizeof(producer->report));
	if (report->failed)
		return ERROR_KAFKA;
	return error ? ERROR_PENDING : 0;
}

void producer_close(struct producer *producer)
{
	rd_kafka_purge(producer->kafka, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
	/* Their delivery reports, or librdkafka warns of what is "still in queue". */
	rd_kafka_poll(producer->kafka, 0);
	rd_kafka_destroy(producer->kafka);
	free(producer);
}
