#include "kafka_conf_priv.h"

#include <stdbool.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"

struct preset {
	const char *name;
	const char *value;
};

static const struct preset common[] = {
    {"client.id", "sluice"},
    {"socket.keepalive.enable", "true"},
    /* A broker that comes back is found within two seconds, not ten. */
    {"reconnect.backoff.max.ms", "2000"},
    /* Brokers close idle connections as a matter of course. */
    {"log.connection.close", "false"},
    {NULL, NULL},
};

static const struct preset ingest[] = {
    /* A partition that is started waits for the fetch that is under way; new records end that fetch
       at once in any case. */
    {"fetch.wait.max.ms", "100"},
    {"fetch.error.backoff.ms", "50"},
    {"topic.metadata.refresh.interval.ms", "10000"},
    {"queued.max.messages.kbytes", "65536"},
    {"queued.min.messages", "100000"},
    {NULL, NULL},
};

static const struct preset replay[] = {
    /* Replays end before the log's end, so there is nothing to wait for but the last reader's
       forgotten fetch. */
    {"fetch.wait.max.ms", "10"},
    {"fetch.error.backoff.ms", "50"},
    {"topic.metadata.refresh.interval.ms", "60000"},
    /* What a reader holds at most: this much queued and as much again on its way (librdkafka caps
       fetch.max.bytes by it). */
    {"queued.max.messages.kbytes", "2048"},
    {"queued.min.messages", "10000"},
    {NULL, NULL},
};

static const struct preset group[] = {
    {"fetch.wait.max.ms", "100"},
    {"fetch.error.backoff.ms", "50"},
    {"topic.metadata.refresh.interval.ms", "10000"},
    /* What waits in memory while its reader waits for something else. */
    {"queued.max.messages.kbytes", "16384"},
    {"queued.min.messages", "50000"},
    {NULL, NULL},
};

static const struct preset member[] = {
    {"topic.metadata.refresh.interval.ms", "10000"},
    /* What a replica that died had is taken over after ten seconds. */
    {"session.timeout.ms", "10000"},
    {"heartbeat.interval.ms", "1000"},
    {"max.poll.interval.ms", "120000"},
    {NULL, NULL},
};

static const struct preset producer[] = {
    {"linger.ms", "5"},
    {"message.timeout.ms", "30000"},
    {NULL, NULL},
};

static const struct preset consumer_owned[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"},
    {"enable.partition.eof", "true"},
    {"isolation.level", "read_committed"},
    {"allow.auto.create.topics", "false"},
    {NULL, NULL},
};

static const struct preset member_owned[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"allow.auto.create.topics", "false"},
    /* Each topic's partitions are dealt out in turn, so that many small topics are shared, too. */
    {"partition.assignment.strategy", "roundrobin"},
    {NULL, NULL},
};

static const struct preset producer_owned[] = {{NULL, NULL}};

static const struct {
	rd_kafka_type_t type;
	const struct preset *defaults;
	const struct preset *owned;
} roles[] = {
    [KAFKA_INGEST] = {RD_KAFKA_CONSUMER, ingest, consumer_owned},
    [KAFKA_REPLAY] = {RD_KAFKA_CONSUMER, replay, consumer_owned},
    [KAFKA_GROUP] = {RD_KAFKA_CONSUMER, group, consumer_owned},
    [KAFKA_MEMBER] = {RD_KAFKA_CONSUMER, member, member_owned},
    [KAFKA_PRODUCER] = {RD_KAFKA_PRODUCER, producer, producer_owned},
};

static void apply(rd_kafka_conf_t *conf, const struct preset *presets)
{
	for (; presets->name; presets++)
		rd_kafka_conf_set(conf, presets->name, presets->value, NULL, 0);
}

static int apply_user(rd_kafka_conf_t *conf, const struct kafka_settings *settings,
		      char reason[256])
{
	for (size_t i = 0; i < settings->property_count; i++) {
		const struct kafka_property *property = &settings->properties[i];

		if (rd_kafka_conf_set(conf, property->name, property->value, reason, 256) !=
		    RD_KAFKA_CONF_OK)
			return ERROR_INVALID;
	}
	return 0;
}

int kafka_conf_new(const struct kafka_settings *settings, enum kafka_role role,
		   rd_kafka_conf_t **made, char reason[256])
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();

	apply(conf, common);
	apply(conf, roles[role].defaults);
	if (apply_user(conf, settings, reason)) {
		rd_kafka_conf_destroy(conf);
		return ERROR_INVALID;
	}
	apply(conf, roles[role].owned);
	*made = conf;
	return 0;
}

/* By syslog's severities (RFC 5424, 6.2.1), which librdkafka uses. */
static const enum log_level levels[] = {
    LOG_ERROR, LOG_ERROR, LOG_ERROR, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_DEBUG,
};
enum { LEVEL_DEBUG = 7, LOG_KINDS = 32, LOG_PAUSE_MS = 5000 };

/* One limit a kind of line ("FAIL", "OFFSET", ...), so that a frequent kind doesn't hide a rare
 * one. */
static bool pass_limit(const char *kind, uint64_t *suppressed)
{
	static struct log_limit limits[LOG_KINDS];
	unsigned hash = 5381;

	for (const char *at = kind; *at; at++)
		hash = hash * 33 + (unsigned char)*at;
	return log_limit_pass(&limits[hash % LOG_KINDS], LOG_PAUSE_MS, suppressed);
}

static void on_log(const rd_kafka_t *kafka, int severity, const char *kind, const char *line)
{
	enum log_level level = levels[severity < 0 || severity > LEVEL_DEBUG ? 0 : severity];
	uint64_t suppressed = 0;

	(void)kafka;
	/* One set of properties serves consumers and producers; each says of the other's that it
	 * ignores them. */
	if (!strcmp(kind, "CONFWARN"))
		level = LOG_DEBUG;
	if (!log_enabled(level) || (level != LOG_DEBUG && !pass_limit(kind, &suppressed)))
		return;
	log_event(level, "librdkafka", line, LOG_STR("kind", kind),
		  LOG_INT("suppressed", suppressed));
}

static void on_error(rd_kafka_t *kafka, int error, const char *reason, void *opaque)
{
	struct kafka_health *health = opaque;

	(void)kafka;
	metrics_add(METRIC_KAFKA_ERRORS, 1);
	/* "All brokers are down" follows upon the cause and says less. */
	if (health && error != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		atomic_store(&health->last_error, error);
	log_event(error == RD_KAFKA_RESP_ERR__FATAL ? LOG_ERROR : LOG_DEBUG, "librdkafka", reason,
		  LOG_STR("error", rd_kafka_err2name((rd_kafka_resp_err_t)error)));
}

int kafka_conf_open(rd_kafka_conf_t *conf, enum kafka_role role, struct kafka_health *health,
		    rd_kafka_t **made, char reason[256])
{
	rd_kafka_t *kafka;

	rd_kafka_conf_set_log_cb(conf, on_log);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_opaque(conf, health);
	kafka = rd_kafka_new(roles[role].type, conf, reason, 256);
	if (!kafka) {
		rd_kafka_conf_destroy(conf);
		return ERROR_KAFKA;
	}
	*made = kafka;
	return 0;
}

int kafka_conf_open_client(const struct kafka_settings *settings, enum kafka_role role,
			   struct kafka_health *health, rd_kafka_t **kafka, char reason[256])
{
	rd_kafka_conf_t *conf;
	int error = kafka_conf_new(settings, role, &conf, reason);

	return error ? error : kafka_conf_open(conf, role, health, kafka, reason);
}

const char *kafka_conf_error_text(rd_kafka_resp_err_t error)
{
	switch (error) {
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
		return "the topic does not exist";
	case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
		return "Kafka allows no topic of this name";
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		return "not authorized to read the topic";
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
		return "not authorized to use the cluster";
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
		return "Kafka refused the credentials";
	case RD_KAFKA_RESP_ERR__SSL:
		return "the TLS handshake with Kafka failed";
	case RD_KAFKA_RESP_ERR__RESOLVE:
		return "the host name of a broker can't be resolved";
	case RD_KAFKA_RESP_ERR__TRANSPORT:
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
	case RD_KAFKA_RESP_ERR__TIMED_OUT:
	case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
		return "no broker is reachable";
	case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
		return "a partition has no leader";
	default:
		return rd_kafka_err2str(error);
	}
}
