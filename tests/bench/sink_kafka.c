#include <err.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bench/sink.h"

enum { FLUSH_MS = 20000, ROOM_MS = 100, KEY_BYTES = 64 };

struct kafka_sink {
	struct sink sink; /* first */
	rd_kafka_t *kafka;
	char *topic, *key;
	uint32_t keys, turn;
};

static void on_delivery(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *opaque)
{
	(void)kafka;
	(void)opaque;
	if (message->err)
		errx(1, "an event is lost: %s", rd_kafka_err2str(message->err));
}

/* NULL: none. */
static const char *next_key(struct kafka_sink *to, char text[KEY_BYTES])
{
	const char *place = to->key ? strchr(to->key, '%') : NULL;

	if (!place)
		return to->key;
	snprintf(text, KEY_BYTES, "%.*s%u%s", (int)(place - to->key), to->key, to->turn, place + 1);
	to->turn = (to->turn + 1) % to->keys;
	return text;
}

static rd_kafka_resp_err_t produce(struct kafka_sink *to, const char *key, const char *payload,
				   uint32_t len)
{
	int32_t partition = to->keys > 1 ? RD_KAFKA_PARTITION_UA : 0;

	return rd_kafka_producev(to->kafka, RD_KAFKA_V_TOPIC(to->topic),
				 RD_KAFKA_V_PARTITION(partition),
				 RD_KAFKA_V_KEY((void *)(uintptr_t)key, key ? strlen(key) : 0),
				 RD_KAFKA_V_VALUE((void *)(uintptr_t)payload, len),
				 RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
}

static void publish(struct sink *sink, const char *payload, uint32_t len)
{
	struct kafka_sink *to = (struct kafka_sink *)sink;
	char text[KEY_BYTES];
	const char *key = next_key(to, text);
	rd_kafka_resp_err_t error;

	while ((error = produce(to, key, payload, len)) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
		rd_kafka_poll(to->kafka, ROOM_MS);
	if (error)
		errx(1, "produce: %s", rd_kafka_err2str(error));
	rd_kafka_poll(to->kafka, 0);
}

static void close_kafka(struct sink *sink)
{
	struct kafka_sink *to = (struct kafka_sink *)sink;

	if (rd_kafka_flush(to->kafka, FLUSH_MS))
		errx(1, "events are not taken");
	rd_kafka_destroy(to->kafka);
	free(to->topic);
	free(to->key);
	free(to);
}

/* Metadata first, so that the first event does not wait for it. */
static void warm(struct kafka_sink *to)
{
	rd_kafka_topic_t *topic = rd_kafka_topic_new(to->kafka, to->topic, NULL);
	const struct rd_kafka_metadata *metadata;

	if (rd_kafka_metadata(to->kafka, 0, topic, &metadata, FLUSH_MS))
		errx(1, "no broker");
	rd_kafka_metadata_destroy(metadata);
	rd_kafka_topic_destroy(topic);
}

struct sink *sink_open_kafka(const char *brokers, const char *topic, const char *key, uint32_t keys)
{
	struct kafka_sink *to = MEM_NEW(struct kafka_sink);
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char reason[256];

	to->sink = (struct sink){publish, close_kafka};
	to->topic = mem_strdup(topic);
	to->key = key ? mem_strdup(key) : NULL;
	to->keys = keys;
	if (rd_kafka_conf_set(conf, "bootstrap.servers", brokers, reason, sizeof(reason)) ||
	    rd_kafka_conf_set(conf, "linger.ms", "0", reason, sizeof(reason)) ||
	    rd_kafka_conf_set(conf, "acks", "1", reason, sizeof(reason)))
		errx(1, "%s", reason);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	to->kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
	if (!to->kafka)
		errx(1, "%s", reason);
	warm(to);
	return &to->sink;
}
