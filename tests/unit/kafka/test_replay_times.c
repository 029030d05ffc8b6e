/* The mock keeps no timestamps: it knows the logs' ends. The times themselves are looked up in
 * tests/integration/85_journal_replay.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster.h"
#include "kafka/replay_reader.h"

enum { TIMEOUT_MS = 20000, SHORT_MS = 500, COUNT = 4 };

/* The year 2100. */
#define FUTURE_MS INT64_C(4102444800000)

/* Nothing is as new as that: each partition is left at its end; one that is not there, at 0. */
static void test_replay_times_without_a_record_are_the_ends(void **state)
{
	struct cluster cluster;
	struct replay_reader *reader;
	struct replay_range ranges[COUNT];

	(void)state;
	cluster_open(&cluster);
	cluster_create(&cluster, cluster.topic, COUNT - 1);
	cluster_fill(&cluster, cluster.topic, 1, 0, 5);
	cluster_fill(&cluster, cluster.topic, 2, 0, 17);
	reader = replay_reader_new(&cluster.settings);
	for (int32_t p = 0; p < COUNT; p++)
		ranges[p] = (struct replay_range){cluster.topic, p, 3, 4};
	assert_int_equal(replay_reader_seek_time(reader, ranges, COUNT, FUTURE_MS, TIMEOUT_MS), 0);
	assert_int_equal(ranges[0].from, 0);
	assert_int_equal(ranges[1].from, 5);
	assert_int_equal(ranges[2].from, 17);
	assert_int_equal(ranges[3].from, 0);
	replay_reader_free(reader);
	cluster_close(&cluster);
}

/* A broker that does not answer is an error, and nothing has moved. */
static void test_replay_times_without_an_answer_move_nothing(void **state)
{
	struct cluster cluster;
	struct replay_reader *reader;
	struct replay_range range;

	(void)state;
	cluster_open(&cluster);
	cluster_need_mock(&cluster);
	cluster_create(&cluster, cluster.topic, 1);
	cluster_fill(&cluster, cluster.topic, 0, 0, 5);
	for (int32_t broker = 1; broker <= CLUSTER_BROKERS; broker++)
		rd_kafka_mock_broker_set_down(cluster.mock, broker);
	reader = replay_reader_new(&cluster.settings);
	range = (struct replay_range){cluster.topic, 0, 3, 4};
	assert_int_equal(replay_reader_seek_time(reader, &range, 1, FUTURE_MS, SHORT_MS),
			 ERROR_KAFKA);
	assert_int_equal(range.from, 3);
	replay_reader_free(reader);
	cluster_close(&cluster);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_replay_times_without_a_record_are_the_ends),
	    cmocka_unit_test(test_replay_times_without_an_answer_move_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
