#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster.h"
#include "kafka/embedded_broker.h"
#include "kafka/producer.h"
#include "kafka/replay_reader.h"

static struct producer *open_producer(struct cluster *cluster)
{
	struct producer *producer;
	char reason[256];

	cluster_open(cluster);
	cluster_create(cluster, cluster->topic, 1);
	assert_int_equal(producer_open(&cluster->settings, &producer, reason), 0);
	return producer;
}

struct seen {
	size_t count;
	bool right[3];
};

static bool on_record(void *context, size_t range, const struct record *record)
{
	struct seen *seen = context;
	bool right = false;

	(void)range;
	switch (seen->count) {
	case 0:
		right = slice_equal(record->key, SLICE_LIT("k")) &&
			slice_equal(record->value, SLICE_LIT("a\0b\r\n")) &&
			record->header_count == 1 &&
			slice_equal(record->headers[0].name, SLICE_LIT("name")) &&
			slice_equal(record->headers[0].value, SLICE_LIT("\xff"));
		break;
	case 1:
		right =
		    record->has_key && !record->key.len && record->has_value && !record->value.len;
		break;
	case 2:
		right = !record->has_key && !record->has_value;
		break;
	default:
		break;
	}
	seen->right[seen->count++ % 3] = right;
	return true;
}

static void on_progress(void *context, size_t range, int64_t next)
{
	(void)context;
	(void)range;
	(void)next;
}

static void read_back(struct cluster *cluster, struct seen *seen)
{
	struct replay_reader *reader = replay_reader_new(&cluster->settings);
	const struct replay_range range = {cluster->topic, 0, 0, 3};
	const struct replay_visitor visitor = {on_record, on_progress, seen};

	assert_int_equal(replay_reader_read(reader, &range, 1, 100, 20000, &visitor), 0);
	replay_reader_free(reader);
}

/* Keys, values, headers and what is null come back as they were sent. */
static void test_producer_messages_come_back_as_sent(void **state)
{
	const struct record_header header = {SLICE_LIT("name"), SLICE_LIT("\xff")};
	struct seen seen = {0};
	struct producer_report report;
	struct cluster cluster;
	struct producer *producer;
	char reason[256];

	(void)state;
	producer = open_producer(&cluster);
	const struct producer_message messages[] = {
	    {cluster.topic, true, true, SLICE_LIT("k"), SLICE_LIT("a\0b\r\n"), &header, 1},
	    {cluster.topic, true, true, {NULL, 0}, {NULL, 0}, NULL, 0},
	    {.topic = cluster.topic},
	};
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(producer_send(producer, &messages[i], reason), 0);
	assert_int_equal(producer_flush(producer, CLUSTER_PATIENCE_MS, &report), 0);
	assert_int_equal(report.delivered, 3);
	assert_int_equal(report.failed, 0);
	assert_string_equal(report.reason, "");
	read_back(&cluster, &seen);
	assert_int_equal(seen.count, 3);
	for (int i = 0; i < 3; i++)
		assert_true(seen.right[i]);
	producer_close(producer);
	cluster_close(&cluster);
}

/* What the broker refuses is counted and said, once; the next report starts anew. */
static void test_producer_refused_message_is_reported(void **state)
{
	struct producer_report report;
	struct cluster cluster;
	struct producer *producer;
	char reason[256];

	(void)state;
	producer = open_producer(&cluster);
	cluster_need_mock(&cluster);
	const struct producer_message message = {
	    .topic = cluster.topic, .has_value = true, .value = SLICE_LIT("x")};
	rd_kafka_mock_push_request_errors(cluster.mock, CLUSTER_PRODUCE, 1,
					  RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
	assert_int_equal(producer_send(producer, &message, reason), 0);
	assert_int_equal(producer_flush(producer, CLUSTER_PATIENCE_MS, &report), ERROR_KAFKA);
	assert_int_equal(report.delivered, 0);
	assert_int_equal(report.failed, 1);
	assert_non_null(strstr(report.reason, "too large"));
	assert_int_equal(producer_send(producer, &message, reason), 0);
	assert_int_equal(producer_flush(producer, CLUSTER_PATIENCE_MS, &report), 0);
	assert_int_equal(report.delivered, 1);
	assert_string_equal(report.reason, "");
	producer_close(producer);
	cluster_close(&cluster);
}

/* A message that is too large is refused at once, with the reason. */
static void test_producer_overlong_message_is_refused(void **state)
{
	const size_t len = 2 * 1000 * 1000;
	struct cluster cluster;
	struct producer *producer;
	char reason[256] = "";
	char *value = calloc(1, len);

	(void)state;
	producer = open_producer(&cluster);
	const struct producer_message message = {
	    .topic = cluster.topic, .has_value = true, .value = {value, len}};
	assert_int_equal(producer_send(producer, &message, reason), ERROR_KAFKA);
	assert_true(*reason);
	producer_close(producer);
	cluster_close(&cluster);
	free(value);
}

/* With no broker the flush says that something is pending, and close doesn't wait for it. */
static void test_producer_without_broker_is_pending(void **state)
{
	struct kafka_property property = {(char[]){"bootstrap.servers"}, (char[]){"127.0.0.1:1"}};
	const struct kafka_settings settings = {.properties = &property, .property_count = 1};
	const struct producer_message message = {.topic = "t"};
	struct producer_report report;
	struct producer *producer;
	char reason[256];

	(void)state;
	assert_int_equal(producer_open(&settings, &producer, reason), 0);
	assert_int_equal(producer_send(producer, &message, reason), 0);
	assert_int_equal(producer_flush(producer, 50, &report), ERROR_PENDING);
	assert_int_equal(report.delivered + report.failed, 0);
	producer_close(producer);
}

/* Settings that librdkafka refuses are said in its words. */
static void test_producer_bad_property_fails(void **state)
{
	struct kafka_property property = {(char[]){"no.such.thing"}, (char[]){"x"}};
	const struct kafka_settings settings = {.properties = &property, .property_count = 1};
	struct producer *producer = NULL;
	char reason[256];

	(void)state;
	assert_int_equal(producer_open(&settings, &producer, reason), ERROR_INVALID);
	assert_non_null(strstr(reason, "no.such.thing"));
	assert_null(producer);
}

static int partitions_of(const char *servers, const char *topic)
{
	rd_kafka_t *client = cluster_client(servers);
	rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
	const struct rd_kafka_metadata *metadata;
	int count;

	assert_int_equal(rd_kafka_metadata(client, 0, handle, &metadata, CLUSTER_PATIENCE_MS), 0);
	count = metadata->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(metadata);
	rd_kafka_topic_destroy(handle);
	rd_kafka_destroy(client);
	return count;
}

/* The broker has the topics that it was started with, and makes those that a producer writes to. */
static void test_embedded_broker_has_its_topics(void **state)
{
	static const struct embedded_broker_topic topics[] = {
	    {"one", 1}, {"many", 12}, {"some", 0}};
	struct embedded_broker *broker;

	(void)state;
	assert_int_equal(embedded_broker_start(topics, 3, &broker), 0);
	assert_int_equal(strncmp(embedded_broker_servers(broker), "127.0.0.1:", 10), 0);
	assert_int_equal(partitions_of(embedded_broker_servers(broker), "one"), 1);
	assert_int_equal(partitions_of(embedded_broker_servers(broker), "many"), 12);
	assert_int_equal(partitions_of(embedded_broker_servers(broker), "some"),
			 EMBEDDED_BROKER_PARTITIONS);
	assert_int_equal(partitions_of(embedded_broker_servers(broker), "by-use"),
			 EMBEDDED_BROKER_PARTITIONS);
	embedded_broker_stop(broker);
}

/* A topic twice is refused, and nothing is left running. */
static void test_embedded_broker_repeated_topic_fails(void **state)
{
	static const struct embedded_broker_topic topics[] = {{"one", 1}, {"one", 2}};
	struct embedded_broker *broker = NULL;

	(void)state;
	assert_int_equal(embedded_broker_start(topics, 2, &broker), ERROR_KAFKA);
	assert_null(broker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_producer_messages_come_back_as_sent),
	    cmocka_unit_test(test_producer_refused_message_is_reported),
	    cmocka_unit_test(test_producer_overlong_message_is_refused),
	    cmocka_unit_test(test_producer_without_broker_is_pending),
	    cmocka_unit_test(test_producer_bad_property_fails),
	    cmocka_unit_test(test_embedded_broker_has_its_topics),
	    cmocka_unit_test(test_embedded_broker_repeated_topic_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
