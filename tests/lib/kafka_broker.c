#include "lib/kafka_broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/clock.h"

enum { START_TIMEOUT_MS = 60000, REQUEST_TIMEOUT_MS = 30000, STOP_TIMEOUT_MS = 20000 };

/*
 * One thread of each kind, small indexes, quick deletions. A broker that was killed registers again
 * when its session is over: 9 s by default.
 */
static const char PROPERTIES[] =
    "process.roles=broker,controller\n"
    "node.id=1\n"
    "controller.listener.names=CONTROLLER\n"
    "listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
    "inter.broker.listener.name=CLIENT\n"
    "auto.create.topics.enable=false\n"
    "delete.topic.enable=true\n"
    "offsets.topic.replication.factor=1\n"
    "offsets.topic.num.partitions=1\n"
    "transaction.state.log.replication.factor=1\n"
    "transaction.state.log.min.isr=1\n"
    "transaction.state.log.num.partitions=1\n"
    "broker.session.timeout.ms=2000\n"
    "broker.heartbeat.interval.ms=300\n"
    "group.initial.rebalance.delay.ms=0\n"
    "num.network.threads=1\n"
    "num.io.threads=2\n"
    "background.threads=1\n"
    "num.replica.fetchers=1\n"
    "num.recovery.threads.per.data.dir=1\n"
    "log.cleaner.enable=false\n"
    "log.segment.bytes=16777216\n"
    "log.index.size.max.bytes=1048576\n"
    "log.segment.delete.delay.ms=100\n";

static const char LOGGING[] = "log4j.rootLogger=WARN,stderr\n"
			      "log4j.appender.stderr=org.apache.log4j.ConsoleAppender\n"
			      "log4j.appender.stderr.Target=System.err\n"
			      "log4j.appender.stderr.layout=org.apache.log4j.PatternLayout\n"
			      "log4j.appender.stderr.layout.ConversionPattern=%d %p %c{1}: %m%n\n";

/* What the storage tool would write; the tool costs a second JVM start. */
static const char META[] = "version=1\n"
			   "cluster.id=c2x1aWNlLXRlc3QtY2x1cw\n"
			   "node.id=1\n"
			   "directory.id=c2x1aWNlLXRlc3QtZm9sZA\n";

static void write_in(const char *folder, const char *name, const char *text)
{
	char path[CHILD_PATH_BYTES + 32];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	child_write_file(path, text);
}

static void write_configuration(struct kafka_broker *broker)
{
	struct buffer text = {0};
	uint16_t client = child_free_port(), controller = child_free_port();
	char data[CHILD_PATH_BYTES + 8];

	snprintf(broker->bootstrap, sizeof(broker->bootstrap), "127.0.0.1:%u", client);
	snprintf(data, sizeof(data), "%s/data", broker->folder);
	mkdir(data, 0700);
	buffer_append_text(&text, PROPERTIES);
	buffer_append_format(&text,
			     "listeners=CLIENT://127.0.0.1:%u,CONTROLLER://127.0.0.1:%u\n"
			     "advertised.listeners=CLIENT://127.0.0.1:%u\n"
			     "controller.quorum.voters=1@127.0.0.1:%u\n"
			     "log.dirs=%s\n",
			     client, controller, client, controller, data);
	write_in(broker->folder, "server.properties", buffer_text(&text));
	write_in(broker->folder, "log4j.properties", LOGGING);
	write_in(data, "meta.properties", META);
	buffer_free(&text);
}

static rd_kafka_t *new_admin(const char *bootstrap)
{
	static const char *const settings[][2] = {{"reconnect.backoff.ms", "50"},
						  {"reconnect.backoff.max.ms", "200"},
						  {"log_level", "0"}};
	char reason[256];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], reason, sizeof(reason)))
			child_die("%s", reason);
	rd_kafka_conf_set_log_cb(conf, NULL);
	if (rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, reason, sizeof(reason)))
		child_die("%s", reason);
	rd_kafka_t *admin = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
	if (!admin)
		child_die("%s", reason);
	return admin;
}

/* How many partitions of the topic have a leader; -1: the topic (or the broker) is not there. */
static int count_leaders(struct kafka_broker *broker, const char *topic)
{
	const struct rd_kafka_metadata *metadata;
	int leaders = -1;
	if (rd_kafka_metadata(broker->admin, 1, NULL, &metadata, 500))
		return -1;
	for (int i = 0; i < metadata->topic_cnt; i++) {
		const struct rd_kafka_metadata_topic *found = &metadata->topics[i];
		if (strcmp(found->topic, topic) != 0 || found->err)
			continue;
		leaders = 0;
		for (int p = 0; p < found->partition_cnt; p++)
			leaders += found->partitions[p].leader >= 0;
	}
	rd_kafka_metadata_destroy(metadata);
	return leaders;
}

static void wait_for_leaders(struct kafka_broker *broker, const char *topic, int wanted)
{
	uint64_t deadline = clock_monotonic_ms() + REQUEST_TIMEOUT_MS;
	while (count_leaders(broker, topic) != wanted) {
		if (clock_monotonic_ms() > deadline)
			child_die("topic %s has not %d partitions with a leader", topic, wanted);
		child_sleep_ms(20);
	}
}

static bool answers(struct kafka_broker *broker)
{
	const struct rd_kafka_metadata *metadata;
	if (rd_kafka_metadata(broker->admin, 0, NULL, &metadata, 500))
		return false;
	bool there = metadata->broker_cnt > 0;
	rd_kafka_metadata_destroy(metadata);
	return there;
}

static void wait_until_ready(struct kafka_broker *broker)
{
	uint64_t deadline = clock_monotonic_ms() + START_TIMEOUT_MS;
	while (!answers(broker)) {
		if (!child_running(&broker->child)) {
			char *log = child_read_file(broker->child.log);
			child_die("Kafka ended:\n%s", log);
		}
		if (clock_monotonic_ms() > deadline)
			child_die("Kafka does not answer; its log is %s", broker->child.log);
		child_sleep_ms(20);
	}
}

void kafka_broker_restart(struct kafka_broker *broker)
{
	const char *jars = getenv("SLUICE_KAFKA_JARS");
	char classes[CHILD_PATH_BYTES], logging[CHILD_PATH_BYTES * 2], file[CHILD_PATH_BYTES + 32];
	if (!jars)
		child_die("SLUICE_KAFKA_JARS is not set; `make kafka` prints the folder");
	snprintf(classes, sizeof(classes), "%s/*", jars);
	snprintf(logging, sizeof(logging), "-Dlog4j.configuration=file:%s/log4j.properties",
		 broker->folder);
	snprintf(file, sizeof(file), "%s/server.properties", broker->folder);
	const char *argv[] = {"java",
			      "-Xms64m",
			      "-Xmx256m",
			      "-XX:TieredStopAtLevel=1",
			      logging,
			      "-XX:+UseSerialGC",
			      "-XX:-UsePerfData",
			      "-cp",
			      classes,
			      "kafka.Kafka",
			      file,
			      NULL};
	child_start(&broker->child, argv);
	wait_until_ready(broker);
}

void kafka_broker_start(struct kafka_broker *broker)
{
	memset(broker, 0, sizeof(*broker));
	child_init(&broker->child, "kafka");
	child_make_folder(broker->folder);
	write_configuration(broker);
	broker->admin = new_admin(broker->bootstrap);
	kafka_broker_restart(broker);
}

void kafka_broker_stop(struct kafka_broker *broker)
{
	child_stop(&broker->child, STOP_TIMEOUT_MS);
}

void kafka_broker_kill(struct kafka_broker *broker)
{
	child_kill(&broker->child);
}

void kafka_broker_fini(struct kafka_broker *broker)
{
	kafka_broker_kill(broker);
	rd_kafka_destroy(broker->admin);
	child_remove_folder(broker->folder);
}

static rd_kafka_event_t *wait_for_answer(rd_kafka_queue_t *answers_queue, const char *what)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(answers_queue, REQUEST_TIMEOUT_MS);
	if (!event)
		child_die("no answer to %s", what);
	if (rd_kafka_event_error(event))
		child_die("%s: %s", what, rd_kafka_event_error_string(event));
	rd_kafka_queue_destroy(answers_queue);
	return event;
}

static void check_topics(const rd_kafka_topic_result_t **topics, size_t count, const char *what)
{
	for (size_t i = 0; i < count; i++)
		if (rd_kafka_topic_result_error(topics[i]))
			child_die("%s %s: %s", what, rd_kafka_topic_result_name(topics[i]),
				  rd_kafka_topic_result_error_string(topics[i]));
}

void kafka_broker_create_topic(struct kafka_broker *broker, const char *topic, int32_t partitions)
{
	char reason[256];
	size_t count;
	rd_kafka_queue_t *queue = rd_kafka_queue_new(broker->admin);
	rd_kafka_NewTopic_t *wanted =
	    rd_kafka_NewTopic_new(topic, partitions, 1, reason, sizeof(reason));
	if (!wanted)
		child_die("%s", reason);
	rd_kafka_CreateTopics(broker->admin, &wanted, 1, NULL, queue);
	rd_kafka_event_t *event = wait_for_answer(queue, "CreateTopics");
	const rd_kafka_topic_result_t **topics =
	    rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
	check_topics(topics, count, "creating");
	rd_kafka_event_destroy(event);
	rd_kafka_NewTopic_destroy(wanted);
	wait_for_leaders(broker, topic, partitions);
}

void kafka_broker_delete_topic(struct kafka_broker *broker, const char *topic)
{
	size_t count;
	rd_kafka_queue_t *queue = rd_kafka_queue_new(broker->admin);
	rd_kafka_DeleteTopic_t *unwanted = rd_kafka_DeleteTopic_new(topic);
	rd_kafka_DeleteTopics(broker->admin, &unwanted, 1, NULL, queue);
	rd_kafka_event_t *event = wait_for_answer(queue, "DeleteTopics");
	const rd_kafka_topic_result_t **topics =
	    rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event), &count);
	check_topics(topics, count, "deleting");
	rd_kafka_event_destroy(event);
	rd_kafka_DeleteTopic_destroy(unwanted);
	wait_for_leaders(broker, topic, -1);
}

void kafka_broker_grow_topic(struct kafka_broker *broker, const char *topic, int32_t partitions)
{
	char reason[256];
	size_t count;
	rd_kafka_queue_t *queue = rd_kafka_queue_new(broker->admin);
	rd_kafka_NewPartitions_t *wanted =
	    rd_kafka_NewPartitions_new(topic, (size_t)partitions, reason, sizeof(reason));
	if (!wanted)
		child_die("%s", reason);
	rd_kafka_CreatePartitions(broker->admin, &wanted, 1, NULL, queue);
	rd_kafka_event_t *event = wait_for_answer(queue, "CreatePartitions");
	const rd_kafka_topic_result_t **topics = rd_kafka_CreatePartitions_result_topics(
	    rd_kafka_event_CreatePartitions_result(event), &count);
	check_topics(topics, count, "growing");
	rd_kafka_event_destroy(event);
	rd_kafka_NewPartitions_destroy(wanted);
	wait_for_leaders(broker, topic, partitions);
}

void kafka_broker_delete_records(struct kafka_broker *broker, const char *topic, int32_t partition,
				 int64_t before)
{
	rd_kafka_queue_t *queue = rd_kafka_queue_new(broker->admin);
	rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(offsets, topic, partition)->offset = before;
	rd_kafka_DeleteRecords_t *wanted = rd_kafka_DeleteRecords_new(offsets);
	rd_kafka_DeleteRecords(broker->admin, &wanted, 1, NULL, queue);
	rd_kafka_event_t *event = wait_for_answer(queue, "DeleteRecords");
	const rd_kafka_topic_partition_list_t *result =
	    rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event));
	if (result->elems[0].err)
		child_die("deleting records of %s: %s", topic,
			  rd_kafka_err2str(result->elems[0].err));
	rd_kafka_event_destroy(event);
	rd_kafka_DeleteRecords_destroy(wanted);
	rd_kafka_topic_partition_list_destroy(offsets);
}

void kafka_broker_offsets(struct kafka_broker *broker, const char *topic, int32_t partition,
			  int64_t *low, int64_t *high)
{
	rd_kafka_resp_err_t error = rd_kafka_query_watermark_offsets(
	    broker->admin, topic, partition, low, high, REQUEST_TIMEOUT_MS);
	if (error)
		child_die("offsets of %s: %s", topic, rd_kafka_err2str(error));
}
