/* The test's own broker: what the other integration tests rely on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"

static struct kafka_broker broker;

static int start(void **state)
{
	(void)state;
	kafka_broker_start(&broker);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kafka_broker_fini(&broker);
	return 0;
}

/* Records that an idempotent producer flushed are on the partitions that were asked for. */
static void test_kafka_broker_flushed_records_are_stored(void **state)
{
	int64_t low, high;
	(void)state;
	kafka_broker_create_topic(&broker, "stored", 2);
	struct kafka_producer *producer = kafka_producer_new(broker.bootstrap, NULL);
	for (int i = 0; i < 1000; i++)
		kafka_producer_send(producer, &(struct kafka_message){.topic = "stored",
								      .partition = 1,
								      .value = SLICE_LIT("x")});
	kafka_producer_flush(producer);
	kafka_broker_offsets(&broker, "stored", 1, &low, &high);
	assert_int_equal(high, 1000);
	kafka_broker_offsets(&broker, "stored", 0, &low, &high);
	assert_int_equal(high, 0);
	kafka_producer_free(producer);
}

/* SIGKILL and a restart keep the data, the port, and a producer that was connected. */
static void test_kafka_broker_killed_and_restarted_keeps_records(void **state)
{
	int64_t low, high;
	(void)state;
	kafka_broker_create_topic(&broker, "kept", 1);
	struct kafka_producer *producer = kafka_producer_new(broker.bootstrap, NULL);
	kafka_producer_send_text(producer, "kept", "k", "before");
	kafka_producer_flush(producer);
	kafka_broker_kill(&broker);
	kafka_producer_send_text(producer, "kept", "k", "while it is away");
	kafka_broker_restart(&broker);
	kafka_producer_flush(producer);
	kafka_broker_offsets(&broker, "kept", 0, &low, &high);
	assert_int_equal(high, 2);
	kafka_producer_free(producer);
}

/* A commit and an abort each leave their control record behind. */
static void test_kafka_producer_transactions_leave_markers(void **state)
{
	int64_t low, high;
	(void)state;
	kafka_broker_create_topic(&broker, "transactions", 1);
	struct kafka_producer *producer = kafka_producer_new(broker.bootstrap, "tests");
	kafka_producer_begin(producer);
	kafka_producer_send_text(producer, "transactions", "k", "committed");
	kafka_producer_commit(producer);
	kafka_producer_begin(producer);
	kafka_producer_send_text(producer, "transactions", "k", "aborted");
	kafka_producer_flush(producer);
	kafka_producer_abort(producer);
	/* The broker answers before it has written the marker. */
	do
		kafka_broker_offsets(&broker, "transactions", 0, &low, &high);
	while (high < 4);
	assert_int_equal(high, 4);
	kafka_producer_free(producer);
}

/* Deleted records move the log's first offset; a topic can grow and go. */
static void test_kafka_broker_topics_shrink_grow_and_go(void **state)
{
	int64_t low, high;
	(void)state;
	kafka_broker_create_topic(&broker, "changed", 1);
	struct kafka_producer *producer = kafka_producer_new(broker.bootstrap, NULL);
	for (int i = 0; i < 10; i++)
		kafka_producer_send_text(producer, "changed", "k", "v");
	kafka_producer_flush(producer);
	kafka_broker_delete_records(&broker, "changed", 0, 7);
	kafka_broker_offsets(&broker, "changed", 0, &low, &high);
	assert_int_equal(low, 7);
	assert_int_equal(high, 10);
	kafka_broker_grow_topic(&broker, "changed", 3);
	kafka_broker_delete_topic(&broker, "changed");
	kafka_broker_create_topic(&broker, "changed", 1);
	kafka_broker_offsets(&broker, "changed", 0, &low, &high);
	assert_int_equal(high, 0);
	kafka_producer_free(producer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kafka_broker_flushed_records_are_stored),
	    cmocka_unit_test(test_kafka_broker_killed_and_restarted_keeps_records),
	    cmocka_unit_test(test_kafka_producer_transactions_leave_markers),
	    cmocka_unit_test(test_kafka_broker_topics_shrink_grow_and_go),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
