#include "lib/kafka_producer.h"

#include <stdlib.h>

#include "base/mem.h"
#include "lib/child.h"

enum { TIMEOUT_MS = 120000, POLL_MS = 10 };

struct kafka_producer {
	rd_kafka_t *client;
	uint64_t failed;
};

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char reason[256];
	if (rd_kafka_conf_set(conf, name, value, reason, sizeof(reason)))
		child_die("%s", reason);
}

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *context)
{
	struct kafka_producer *producer = context;
	(void)client;
	/* Purged records of an aborted transaction are no failure. */
	if (message->err && message->err != RD_KAFKA_RESP_ERR__PURGE_QUEUE &&
	    message->err != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
		producer->failed++;
}

static void check(rd_kafka_error_t *error, const char *what)
{
	if (error)
		child_die("%s: %s", what, rd_kafka_error_string(error));
}

struct kafka_producer *kafka_producer_new(const char *bootstrap, const char *transactional_id)
{
	char reason[256];
	struct kafka_producer *producer = MEM_NEW(struct kafka_producer);
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	set(conf, "bootstrap.servers", bootstrap);
	set(conf, "enable.idempotence", "true");
	set(conf, "linger.ms", "1");
	set(conf, "partitioner", "murmur2_random");
	set(conf, "message.timeout.ms", transactional_id ? "60000" : "120000");
	set(conf, "reconnect.backoff.max.ms", "500");
	set(conf, "log_level", "0");
	if (transactional_id)
		set(conf, "transactional.id", transactional_id);
	rd_kafka_conf_set_log_cb(conf, NULL);
	rd_kafka_conf_set_opaque(conf, producer);
	rd_kafka_conf_set_dr_msg_cb(conf, delivered);
	producer->client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
	if (!producer->client)
		child_die("%s", reason);
	if (transactional_id)
		check(rd_kafka_init_transactions(producer->client, TIMEOUT_MS),
		      "init_transactions");
	return producer;
}

void kafka_producer_free(struct kafka_producer *producer)
{
	rd_kafka_destroy(producer->client);
	free(producer);
}

static rd_kafka_headers_t *make_headers(const struct kafka_message *message)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(message->header_count);
	for (size_t i = 0; i < message->header_count; i++)
		rd_kafka_header_add(headers, message->headers[i].name, -1,
				    message->headers[i].value.base,
				    (ssize_t)message->headers[i].value.len);
	return headers;
}

static rd_kafka_resp_err_t send_once(struct kafka_producer *producer,
				     const struct kafka_message *message)
{
	rd_kafka_headers_t *headers = make_headers(message);
	rd_kafka_resp_err_t error = rd_kafka_producev(
	    producer->client, RD_KAFKA_V_TOPIC(message->topic),
	    RD_KAFKA_V_PARTITION(message->partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
	    RD_KAFKA_V_KEY((void *)(uintptr_t)message->key.base, message->key.len),
	    RD_KAFKA_V_VALUE((void *)(uintptr_t)message->value.base, message->value.len),
	    RD_KAFKA_V_TIMESTAMP(message->timestamp_ms), RD_KAFKA_V_HEADERS(headers),
	    RD_KAFKA_V_END);
	if (error)
		rd_kafka_headers_destroy(headers);
	return error;
}

void kafka_producer_send(struct kafka_producer *producer, const struct kafka_message *message)
{
	rd_kafka_resp_err_t error;
	while ((error = send_once(producer, message)) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		rd_kafka_poll(producer->client, POLL_MS);
	if (error)
		child_die("producing to %s: %s", message->topic, rd_kafka_err2str(error));
	rd_kafka_poll(producer->client, 0);
}

void kafka_producer_send_text(struct kafka_producer *producer, const char *topic, const char *key,
			      const char *value)
{
	struct kafka_message message = {
	    .topic = topic, .partition = RD_KAFKA_PARTITION_UA, .value = slice_of(value)};
	if (key)
		message.key = slice_of(key);
	kafka_producer_send(producer, &message);
}

void kafka_producer_flush(struct kafka_producer *producer)
{
	if (rd_kafka_flush(producer->client, TIMEOUT_MS) || producer->failed)
		child_die("%llu records were not written", (unsigned long long)producer->failed);
}

void kafka_producer_begin(struct kafka_producer *producer)
{
	check(rd_kafka_begin_transaction(producer->client), "begin_transaction");
}

void kafka_producer_commit(struct kafka_producer *producer)
{
	check(rd_kafka_commit_transaction(producer->client, TIMEOUT_MS), "commit_transaction");
}

void kafka_producer_abort(struct kafka_producer *producer)
{
	check(rd_kafka_abort_transaction(producer->client, TIMEOUT_MS), "abort_transaction");
}
