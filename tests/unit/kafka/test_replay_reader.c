#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster.h"
#include "kafka/replay_reader.h"

enum { MAX_RANGES = 8, TIMEOUT_MS = 20000, FOREVER_MS = 1 << 30, PLENTY = 1000000 };

struct fixture {
	struct cluster cluster;
	struct replay_reader *reader;
	struct replay_range ranges[MAX_RANGES];
	size_t count;
	/* What the visitor saw. */
	size_t records;
	size_t of_range[MAX_RANGES];
	int64_t next[MAX_RANGES];
	size_t stop_after; /* records; 0: never */
	bool broken;
};

static bool on_record(void *context, size_t range, const struct record *record)
{
	struct fixture *f = context;
	char value[32];

	snprintf(value, sizeof(value), "value-%d", (int)record->offset);
	f->broken |= range >= f->count || record->offset < f->next[range] ||
		     record->offset >= f->ranges[range].until ||
		     record->partition != f->ranges[range].partition ||
		     !slice_equal(record->topic, slice_of(f->ranges[range].topic)) ||
		     !slice_equal(record->value, slice_of(value));
	f->records++;
	f->of_range[range]++;
	return f->records != f->stop_after;
}

static void on_progress(void *context, size_t range, int64_t next)
{
	struct fixture *f = context;

	f->broken |= next < f->next[range] || next > f->ranges[range].until;
	f->next[range] = next;
}

static void open_reader(struct fixture *f, int partitions)
{
	memset(f, 0, sizeof(*f));
	cluster_open(&f->cluster);
	cluster_create(&f->cluster, f->cluster.topic, partitions);
	f->reader = replay_reader_new(&f->cluster.settings);
}

static void close_reader(struct fixture *f)
{
	assert_false(f->broken);
	replay_reader_free(f->reader);
	cluster_close(&f->cluster);
}

static void add_range(struct fixture *f, int32_t partition, int64_t from, int64_t until)
{
	f->next[f->count] = from;
	f->ranges[f->count++] = (struct replay_range){f->cluster.topic, partition, from, until};
}

static void clear_ranges(struct fixture *f)
{
	f->count = 0;
	f->records = 0;
	f->stop_after = 0;
	memset(f->of_range, 0, sizeof(f->of_range));
}

static int read_ranges(struct fixture *f, uint64_t budget, uint32_t timeout_ms)
{
	const struct replay_visitor visitor = {on_record, on_progress, f};

	return replay_reader_read(f->reader, f->ranges, f->count, budget, timeout_ms, &visitor);
}

/* Exactly [from, until) of each partition, in order, with the progress at until in the end. */
static void test_replay_reader_ranges_are_read_exactly(void **state)
{
	struct fixture f;

	(void)state;
	open_reader(&f, 3);
	for (int i = 0; i < 3; i++)
		cluster_fill(&f.cluster, f.cluster.topic, i, 0, 300);
	add_range(&f, 2, 0, 300);
	add_range(&f, 0, 10, 20);
	add_range(&f, 1, 299, 300);
	assert_int_equal(read_ranges(&f, PLENTY, TIMEOUT_MS), 0);
	assert_int_equal(f.of_range[0], 300);
	assert_int_equal(f.of_range[1], 10);
	assert_int_equal(f.of_range[2], 1);
	for (size_t i = 0; i < f.count; i++)
		assert_int_equal(f.next[i], f.ranges[i].until);
	close_reader(&f);
}

/* Ranges with nothing in them, and no ranges at all, are done at once. */
static void test_replay_reader_empty_ranges_are_done(void **state)
{
	struct fixture f;

	(void)state;
	open_reader(&f, 2);
	assert_int_equal(read_ranges(&f, 0, TIMEOUT_MS), 0);
	add_range(&f, 0, 5, 5);
	add_range(&f, 1, 0, 0);
	assert_int_equal(read_ranges(&f, 0, TIMEOUT_MS), 0);
	assert_int_equal(f.records, 0);
	assert_int_equal(f.next[0], 5);
	close_reader(&f);
}

/* The budget ends the read after so many records; what is read later goes on from there. */
static void test_replay_reader_budget_ends_the_read(void **state)
{
	struct fixture f;
	int64_t next;

	(void)state;
	open_reader(&f, 1);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 100);
	add_range(&f, 0, 0, 100);
	assert_int_equal(read_ranges(&f, 40, TIMEOUT_MS), ERROR_LIMIT);
	assert_int_equal(f.records, 40);
	assert_int_equal(f.next[0], 40);
	next = f.next[0];
	clear_ranges(&f);
	add_range(&f, 0, next, 100);
	assert_int_equal(read_ranges(&f, 60, TIMEOUT_MS), 0);
	assert_int_equal(f.records, 60);
	close_reader(&f);
}

/* A visitor that has enough ends the read; its last record counts, and nothing of it is left for
 * the next read. */
static void test_replay_reader_cancelled_leaves_nothing_behind(void **state)
{
	struct fixture f;

	(void)state;
	open_reader(&f, 2);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 500);
	cluster_fill(&f.cluster, f.cluster.topic, 1, 0, 500);
	for (int i = 1; i <= 5; i++) {
		clear_ranges(&f);
		add_range(&f, 0, 0, 500);
		add_range(&f, 1, 0, 500);
		f.stop_after = (size_t)i * 7;
		assert_int_equal(read_ranges(&f, PLENTY, TIMEOUT_MS), ERROR_CANCELLED);
		assert_int_equal(f.records, f.stop_after);
		assert_int_equal(f.next[0] + f.next[1], f.records);
	}
	clear_ranges(&f);
	add_range(&f, 1, 100, 110);
	assert_int_equal(read_ranges(&f, PLENTY, TIMEOUT_MS), 0);
	assert_int_equal(f.records, 10);
	close_reader(&f);
}

/* Beyond the end nothing comes: the time runs out, with what there was. */
static void test_replay_reader_beyond_end_times_out(void **state)
{
	struct fixture f;

	(void)state;
	open_reader(&f, 1);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 10);
	add_range(&f, 0, 0, 20);
	assert_int_equal(read_ranges(&f, PLENTY, 500), ERROR_KAFKA);
	assert_int_equal(f.next[0], 10);
	close_reader(&f);
}

/* An offset that the log does not have, in one of two partitions, is Kafka's error and ends the
 * read at once; the next read is not told of it again. */
static void test_replay_reader_offset_out_of_range_fails_once(void **state)
{
	struct fixture f;

	(void)state;
	open_reader(&f, 2);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 10);
	cluster_fill(&f.cluster, f.cluster.topic, 1, 0, 10);
	for (int i = 0; i < 20; i++) {
		clear_ranges(&f);
		add_range(&f, 0, 100, 200);
		add_range(&f, 1, 100, 200);
		assert_int_equal(read_ranges(&f, PLENTY, FOREVER_MS), ERROR_KAFKA);
		clear_ranges(&f);
		add_range(&f, 0, 0, 10);
		add_range(&f, 1, 0, 10);
		assert_int_equal(read_ranges(&f, PLENTY, FOREVER_MS), 0);
		assert_int_equal(f.records, 20);
	}
	close_reader(&f);
}

/* A partition that does not exist is Kafka's error and no wait, also beside one that does and that
 * was read before; it has no bounds. */
static void test_replay_reader_unknown_partition_fails(void **state)
{
	struct fixture f;
	int64_t low = -7, high = -7;

	(void)state;
	open_reader(&f, 1);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 10);
	for (int i = 0; i < 2; i++) {
		clear_ranges(&f);
		add_range(&f, 7, 0, 10);
		assert_int_equal(read_ranges(&f, PLENTY, FOREVER_MS), ERROR_KAFKA);
		assert_int_equal(f.records, 0);
		clear_ranges(&f);
		add_range(&f, 0, 0, 10);
		add_range(&f, 7, 0, 10);
		assert_int_equal(read_ranges(&f, PLENTY, FOREVER_MS), ERROR_KAFKA);
		assert_int_equal(f.records, 10);
		assert_int_equal(f.next[0], 10);
	}
	assert_int_equal(
	    replay_reader_bounds(f.reader, f.cluster.topic, 7, TIMEOUT_MS, &low, &high),
	    ERROR_NOT_FOUND);
	assert_int_equal(low, -7);
	assert_int_equal(high, -7);
	close_reader(&f);
}

/* A topic that does not exist is Kafka's error and no wait; it is not known to lack partitions. */
static void test_replay_reader_unknown_topic_fails(void **state)
{
	struct fixture f;
	int64_t low = -7, high = -7;

	(void)state;
	open_reader(&f, 1);
	strcat(f.cluster.topic, "-other");
	for (int i = 0; i < 2; i++) {
		clear_ranges(&f);
		add_range(&f, 0, 0, 10);
		assert_int_equal(read_ranges(&f, PLENTY, FOREVER_MS), ERROR_KAFKA);
	}
	assert_int_equal(
	    replay_reader_bounds(f.reader, f.cluster.topic, 0, TIMEOUT_MS, &low, &high),
	    ERROR_KAFKA);
	close_reader(&f);
}

/* A broker that calls an offset out of range and then doesn't say what it has is asked again: the
 * range is still exact. */
static void test_replay_reader_out_of_range_without_bounds_is_retried(void **state)
{
	struct fixture f;

	(void)state;
	open_reader(&f, 1);
	cluster_need_mock(&f.cluster);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 50);
	rd_kafka_mock_push_request_errors(f.cluster.mock, CLUSTER_FETCH, 1,
					  RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE);
	rd_kafka_mock_push_request_errors(f.cluster.mock, CLUSTER_LIST_OFFSETS, 1,
					  RD_KAFKA_RESP_ERR_UNKNOWN);
	add_range(&f, 0, 5, 50);
	assert_int_equal(read_ranges(&f, PLENTY, FOREVER_MS), 0);
	assert_int_equal(f.records, 45);
	close_reader(&f);
}

/* The first and the next offset, as they are now. */
static void test_replay_reader_bounds_follow_the_log(void **state)
{
	struct fixture f;
	int64_t low, high;

	(void)state;
	open_reader(&f, 1);
	assert_int_equal(
	    replay_reader_bounds(f.reader, f.cluster.topic, 0, TIMEOUT_MS, &low, &high), 0);
	assert_int_equal(low, 0);
	assert_int_equal(high, 0);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 12);
	assert_int_equal(
	    replay_reader_bounds(f.reader, f.cluster.topic, 0, TIMEOUT_MS, &low, &high), 0);
	assert_int_equal(low, 0);
	assert_int_equal(high, 12);
	close_reader(&f);
}

/* A question that the broker fails to answer never makes up bounds that the log does not have. */
static void test_replay_reader_bounds_with_faults_are_right_or_none(void **state)
{
	struct fixture f;

	(void)state;
	open_reader(&f, 1);
	cluster_need_mock(&f.cluster);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 12);
	for (int i = 0; i < 50; i++) {
		int64_t low = -7, high = -7;
		int error;

		rd_kafka_mock_push_request_errors(f.cluster.mock, CLUSTER_LIST_OFFSETS, 1,
						  RD_KAFKA_RESP_ERR_UNKNOWN);
		error = replay_reader_bounds(f.reader, f.cluster.topic, 0, TIMEOUT_MS, &low, &high);
		assert_true(error == 0 || error == ERROR_KAFKA);
		assert_int_equal(low, error ? -7 : 0);
		assert_int_equal(high, error ? -7 : 12);
	}
	close_reader(&f);
}

/* Fetches that fail for a while are made again: the range is still exact. */
static void test_replay_reader_fetch_faults_are_retried(void **state)
{
	static const rd_kafka_resp_err_t faults[] = {
	    RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
	    RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
	    RD_KAFKA_RESP_ERR_UNKNOWN,
	    RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
	    RD_KAFKA_RESP_ERR__TRANSPORT,
	};
	struct fixture f;

	(void)state;
	open_reader(&f, 1);
	cluster_need_mock(&f.cluster);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 50);
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		rd_kafka_mock_push_request_errors(f.cluster.mock, CLUSTER_FETCH, 2, faults[i],
						  faults[i]);
		clear_ranges(&f);
		add_range(&f, 0, 5, 50);
		assert_int_equal(read_ranges(&f, PLENTY, TIMEOUT_MS), 0);
		assert_int_equal(f.records, 45);
	}
	close_reader(&f);
}

/* More than the reader's queue holds is all read. */
static void test_replay_reader_more_than_the_queue_is_read(void **state)
{
	struct fixture f;

	(void)state;
	open_reader(&f, 1);
	cluster_set(&f.cluster, "queued.min.messages", "10");
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 5000);
	add_range(&f, 0, 0, 5000);
	assert_int_equal(read_ranges(&f, PLENTY, TIMEOUT_MS), 0);
	assert_int_equal(f.records, 5000);
	close_reader(&f);
}

/* A reader that was never used holds no client; with settings that librdkafka refuses each use
 * fails. */
static void test_replay_reader_bad_property_fails_on_use(void **state)
{
	struct fixture f;
	int64_t low, high;

	(void)state;
	open_reader(&f, 1);
	cluster_set(&f.cluster, "no.such.thing", "x");
	add_range(&f, 0, 0, 1);
	assert_int_equal(read_ranges(&f, PLENTY, TIMEOUT_MS), ERROR_KAFKA);
	assert_int_equal(replay_reader_bounds(f.reader, f.cluster.topic, 0, 100, &low, &high),
			 ERROR_KAFKA);
	close_reader(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_replay_reader_ranges_are_read_exactly),
	    cmocka_unit_test(test_replay_reader_empty_ranges_are_done),
	    cmocka_unit_test(test_replay_reader_budget_ends_the_read),
	    cmocka_unit_test(test_replay_reader_cancelled_leaves_nothing_behind),
	    cmocka_unit_test(test_replay_reader_beyond_end_times_out),
	    cmocka_unit_test(test_replay_reader_offset_out_of_range_fails_once),
	    cmocka_unit_test(test_replay_reader_unknown_partition_fails),
	    cmocka_unit_test(test_replay_reader_unknown_topic_fails),
	    cmocka_unit_test(test_replay_reader_out_of_range_without_bounds_is_retried),
	    cmocka_unit_test(test_replay_reader_bounds_follow_the_log),
	    cmocka_unit_test(test_replay_reader_bounds_with_faults_are_right_or_none),
	    cmocka_unit_test(test_replay_reader_fetch_faults_are_retried),
	    cmocka_unit_test(test_replay_reader_more_than_the_queue_is_read),
	    cmocka_unit_test(test_replay_reader_bad_property_fails_on_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
