#include "kafka/embedded_broker.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "kafka_conf_priv.h"

enum { METADATA_KEY = 3, METADATA_VERSION = 4 };

struct embedded_broker {
	rd_kafka_t *owner; /* the mock cluster needs a client to live in */
	rd_kafka_mock_cluster_t *cluster;
};

static int create_topics(struct embedded_broker *broker, const struct embedded_broker_topic *topics,
			 size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int partitions = topics[i].partition_count ? topics[i].partition_count
							   : EMBEDDED_BROKER_PARTITIONS;
		rd_kafka_resp_err_t error =
		    rd_kafka_mock_topic_create(broker->cluster, topics[i].name, partitions, 1);

		if (error) {
			log_event(LOG_ERROR, "embedded_broker", rd_kafka_err2str(error),
				  LOG_STR("topic", topics[i].name));
			return ERROR_KAFKA;
		}
	}
	return 0;
}

int embedded_broker_start(const struct embedded_broker_topic *topics, size_t count,
			  struct embedded_broker **made)
{
	static const struct kafka_settings none = {0};
	struct embedded_broker *broker = MEM_NEW(struct embedded_broker);
	char reason[256] = "librdkafka started no mock cluster";

	if (!kafka_conf_open_client(&none, KAFKA_PRODUCER, NULL, &broker->owner, reason))
		broker->cluster = rd_kafka_mock_cluster_new(broker->owner, 1);
	if (!broker->cluster)
		log_event(LOG_ERROR, "embedded_broker", reason);
	if (!broker->cluster || create_topics(broker, topics, count)) {
		embedded_broker_stop(broker);
		return ERROR_KAFKA;
	}
	/* The mock announces less of the protocol than it knows. By this version a client says
	 * whether a topic is to be created: a subscription to a topic that does not exist must not
	 * make it. */
	rd_kafka_mock_set_apiversion(broker->cluster, METADATA_KEY, 0, METADATA_VERSION);
	*made = broker;
	return 0;
}

void embedded_broker_stop(struct embedded_broker *broker)
{
	if (broker->cluster)
		rd_kafka_mock_cluster_destroy(broker->cluster);
	if (broker->owner)
		rd_kafka_destroy(broker->owner);
	free(broker);
}

const char *embedded_broker_servers(const struct embedded_broker *broker)
{
	return rd_kafka_mock_cluster_bootstraps(broker->cluster);
}
