/*
 * cluster: the Kafka of these tests: librdkafka's mock cluster of three brokers, with its faults,
 * or the real broker that SLUICE_TEST_KAFKA=host:port names. Topics get names of their own, so that
 * a real broker can serve many runs.
 */
#ifndef SLUICE_TESTS_UNIT_KAFKA_CLUSTER_H
#define SLUICE_TESTS_UNIT_KAFKA_CLUSTER_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "kafka/kafka_settings.h"

/* Kafka's API keys (protocol guide), for faults. */
enum { CLUSTER_PRODUCE = 0, CLUSTER_FETCH = 1, CLUSTER_LIST_OFFSETS = 2, CLUSTER_METADATA = 3 };
enum { CLUSTER_BROKERS = 3, CLUSTER_PATIENCE_MS = 30000 };

struct cluster {
	rd_kafka_t *owner;             /* of the mock, or NULL */
	rd_kafka_mock_cluster_t *mock; /* NULL: a real broker */
	rd_kafka_t *producer;
	char servers[256];
	char topic[64];
	struct kafka_property properties[8];
	struct kafka_settings settings;
};

#define cluster_check(condition)                                                                   \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("%s:%d: %s", __FILE__, __LINE__, #condition);                     \
	} while (0)

static inline rd_kafka_t *cluster_client(const char *servers)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char reason[256];

	rd_kafka_conf_set(conf, "bootstrap.servers", servers, reason, sizeof(reason));
	rd_kafka_conf_set(conf, "linger.ms", "0", reason, sizeof(reason));
	rd_kafka_conf_set(conf, "log_level", "0", reason, sizeof(reason));
	return rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
}

static inline void cluster_set(struct cluster *cluster, const char *name, const char *value)
{
	struct kafka_property *property = &cluster->properties[cluster->settings.property_count++];

	property->name = strdup(name);
	property->value = strdup(value);
}

static inline void cluster_open(struct cluster *cluster)
{
	const char *real = getenv("SLUICE_TEST_KAFKA");
	static int number;

	memset(cluster, 0, sizeof(*cluster));
	if (!real) {
		cluster->owner = cluster_client("");
		cluster->mock = rd_kafka_mock_cluster_new(cluster->owner, CLUSTER_BROKERS);
		/* With less, metadata requests create the topics that they ask for. */
		rd_kafka_mock_set_apiversion(cluster->mock, CLUSTER_METADATA, 0, 4);
		real = rd_kafka_mock_cluster_bootstraps(cluster->mock);
	}
	snprintf(cluster->servers, sizeof(cluster->servers), "%s", real);
	snprintf(cluster->topic, sizeof(cluster->topic), "t-%d-%d-%lld", (int)getpid(), number++,
		 (long long)clock_unix_ms());
	cluster->producer = cluster_client(cluster->servers);
	cluster->settings.properties = cluster->properties;
	cluster_set(cluster, "bootstrap.servers", cluster->servers);
	/* The mock's empty fetches wait that long whatever is produced meanwhile. */
	cluster_set(cluster, "fetch.wait.max.ms", "10");
}

static inline void cluster_close(struct cluster *cluster)
{
	rd_kafka_destroy(cluster->producer);
	if (cluster->mock) {
		rd_kafka_mock_cluster_destroy(cluster->mock);
		rd_kafka_destroy(cluster->owner);
	}
	for (size_t i = 0; i < cluster->settings.property_count; i++) {
		free(cluster->properties[i].name);
		free(cluster->properties[i].value);
	}
}

static inline void cluster_create(struct cluster *cluster, const char *topic, int partitions)
{
	rd_kafka_queue_t *answers;
	rd_kafka_NewTopic_t *wanted;
	rd_kafka_event_t *answer;
	char reason[256];

	if (cluster->mock) {
		cluster_check(
		    !rd_kafka_mock_topic_create(cluster->mock, topic, partitions, CLUSTER_BROKERS));
		return;
	}
	answers = rd_kafka_queue_new(cluster->producer);
	wanted = rd_kafka_NewTopic_new(topic, partitions, 1, reason, sizeof(reason));
	rd_kafka_CreateTopics(cluster->producer, &wanted, 1, NULL, answers);
	answer = rd_kafka_queue_poll(answers, CLUSTER_PATIENCE_MS);
	cluster_check(answer && !rd_kafka_event_error(answer));
	rd_kafka_event_destroy(answer);
	rd_kafka_NewTopic_destroy(wanted);
	rd_kafka_queue_destroy(answers);
}

/* `count` records "value-N" with key "key-N" on a partition; returns when they are stored. */
static inline void cluster_fill(struct cluster *cluster, const char *topic, int partition,
				int first, int count)
{
	for (int i = first; i < first + count; i++) {
		char key[32], value[32];
		rd_kafka_resp_err_t error;

		snprintf(key, sizeof(key), "key-%d", i);
		snprintf(value, sizeof(value), "value-%d", i);
		error = rd_kafka_producev(
		    cluster->producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
		    RD_KAFKA_V_KEY(key, strlen(key)), RD_KAFKA_V_VALUE(value, strlen(value)),
		    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
		cluster_check(!error);
	}
	cluster_check(!rd_kafka_flush(cluster->producer, CLUSTER_PATIENCE_MS));
}

/* Records of `bytes` each, one batch a record: the mock lets go of old batches beyond 5 MiB a
 * partition. */
static inline void cluster_fill_large(struct cluster *cluster, const char *topic, int count,
				      size_t bytes)
{
	char *value = calloc(1, bytes);

	memset(value, 'x', bytes);
	for (int i = 0; i < count; i++) {
		cluster_check(
		    !rd_kafka_producev(cluster->producer, RD_KAFKA_V_TOPIC(topic),
				       RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE(value, bytes),
				       RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END));
		cluster_check(!rd_kafka_flush(cluster->producer, CLUSTER_PATIENCE_MS));
	}
	free(value);
}

/* Faults need the mock. */
static inline void cluster_need_mock(struct cluster *cluster)
{
	if (cluster->mock)
		return;
	cluster_close(cluster);
	skip();
}

#endif
