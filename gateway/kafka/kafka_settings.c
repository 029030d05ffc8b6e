#include "kafka/kafka_settings.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

/* What a user may not set, and why. */
static const struct {
	const char *name;
	const char *why;
} owned[] = {
    {"group.id",
     "the journal's group is named by \"journal\": {\"group\": …}; nothing else uses one"},
    {"group.instance.id", "the journal's replicas come and go"},
    {"group.protocol.type", "the journal's group is one of consumers"},
    {"partition.assignment.strategy", "the journal's replicas must agree on it"},
    {"enable.auto.commit", "the gateway trusts no committed offsets"},
    {"auto.commit.enable", "the gateway trusts no committed offsets"},
    {"auto.commit.interval.ms", "the gateway trusts no committed offsets"},
    {"enable.auto.offset.store", "the gateway trusts no committed offsets"},
    {"offset.store.method", "the gateway trusts no committed offsets"},
    {"offset.store.path", "the gateway trusts no committed offsets"},
    {"auto.offset.reset", "subscribers are told of a gap; see \"on_gap\" of a stream"},
    {"enable.partition.eof", "the gateway needs to know the end of a partition"},
    {"isolation.level", "events are read_committed"},
    {"allow.auto.create.topics", "the gateway creates no topics"},
    {"transactional.id", "the gateway writes without transactions"},
    {"test.mock.num.brokers", "the embedded broker is started by --dev"},
    {"log.queue", "the gateway writes librdkafka's log into its own"},
    {"enabled_events", "the gateway handles librdkafka's events"},
};

static const char *why_owned(const char *name)
{
	for (size_t i = 0; i < sizeof(owned) / sizeof(*owned); i++) {
		if (!strcmp(owned[i].name, name))
			return owned[i].why;
	}
	return NULL;
}

int kafka_settings_check(const char *name, const char *value, char reason[256])
{
	const char *why = why_owned(name);
	rd_kafka_conf_res_t result;
	rd_kafka_conf_t *conf;

	if (why) {
		snprintf(reason, 256, "\"%s\" can't be set: %s", name, why);
		return ERROR_INVALID;
	}
	conf = rd_kafka_conf_new();
	result = rd_kafka_conf_set(conf, name, value, reason, 256);
	rd_kafka_conf_destroy(conf);
	return result == RD_KAFKA_CONF_OK ? 0 : ERROR_INVALID;
}
