#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster.h"
#include "kafka/group_consumer.h"

enum { PARTITIONS = 4, MAX_PARTITIONS = 8, TURN_MS = 20 };

/* A member of a group, and what it was told. */
struct member {
	struct group_consumer *consumer;
	bool assigned[MAX_PARTITIONS];
	unsigned assignments, revocations, losses;
	int64_t next[MAX_PARTITIONS]; /* after the last record or end */
	unsigned records[MAX_PARTITIONS];
	char last_value[64];
	struct {
		unsigned count;
		int64_t next, low, high;
	} gap;
	int64_t start; /* partitions are started here as they are assigned; -1: they are not */
	unsigned stop_after; /* records of a partition; 0: never */
	bool broken;
};

struct fixture {
	struct cluster cluster;
	struct member members[2];
};

static void on_assigned(void *context, uint32_t topic, int32_t partition)
{
	struct member *member = context;

	member->broken |= topic != 0 || member->assigned[partition];
	member->assigned[partition] = true;
	member->assignments++;
	member->next[partition] = member->start;
}

static void forget(struct member *member)
{
	memset(member->assigned, 0, sizeof(member->assigned));
}

static void on_revoked(void *context)
{
	struct member *member = context;

	forget(member);
	member->revocations++;
}

static void on_lost(void *context)
{
	struct member *member = context;

	forget(member);
	member->losses++;
}

/* Tokens are pointers into `next`. */
static void on_record(void *context, void *token, const struct record *record)
{
	struct member *member = context;

	member->broken |= !member->assigned[record->partition] ||
			  token != &member->next[record->partition] ||
			  record->offset < member->next[record->partition];
	member->next[record->partition] = record->offset + 1;
	member->records[record->partition]++;
	snprintf(member->last_value, sizeof(member->last_value), "%.*s", (int)record->value.len,
		 record->value.base);
	if (member->records[record->partition] == member->stop_after)
		group_consumer_stop(member->consumer, 0, record->partition);
}

static void on_end(void *context, void *token, int64_t next)
{
	struct member *member = context;
	int64_t *at = token;

	member->broken |= next < *at;
	*at = next;
}

static void on_gap(void *context, void *token, int64_t next, int64_t low, int64_t high)
{
	struct member *member = context;

	(void)token;
	member->gap.count++;
	member->gap.next = next;
	member->gap.low = low;
	member->gap.high = high;
}

static void join_group(struct fixture *f, struct member *member, int64_t start)
{
	const char *const topics[] = {f->cluster.topic};
	const struct group_consumer_sink sink = {on_assigned, on_revoked, on_lost, on_record,
						 on_end,      on_gap,     member};

	memset(member, 0, sizeof(*member));
	member->start = start;
	assert_int_equal(group_consumer_open(&f->cluster.settings, f->cluster.topic, topics, 1,
					     &sink, &member->consumer),
			 0);
}

static void leave_group(struct member *member)
{
	assert_false(member->broken);
	group_consumer_close(member->consumer, CLUSTER_PATIENCE_MS);
	member->consumer = NULL;
}

static void open_cluster(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	cluster_open(&f->cluster);
	cluster_set(&f->cluster, "session.timeout.ms", "6000");
	cluster_set(&f->cluster, "heartbeat.interval.ms", "200");
	cluster_create(&f->cluster, f->cluster.topic, PARTITIONS);
}

/* Polls all members until it is so. */
static void poll_until(struct fixture *f, bool (*is_so)(const struct fixture *f))
{
	uint64_t deadline_ms = clock_monotonic_ms() + CLUSTER_PATIENCE_MS;

	while (!is_so(f)) {
		for (int i = 0; i < 2; i++)
			if (f->members[i].consumer)
				group_consumer_poll(f->members[i].consumer, TURN_MS, true);
		if (clock_monotonic_ms() > deadline_ms)
			fail_msg("it did not come to be");
	}
}

static unsigned count_assigned(const struct member *member)
{
	unsigned count = 0;

	for (int i = 0; i < MAX_PARTITIONS; i++)
		count += member->assigned[i];
	return count;
}

static bool first_has_all(const struct fixture *f)
{
	return count_assigned(&f->members[0]) == PARTITIONS;
}

static bool each_has_half(const struct fixture *f)
{
	return count_assigned(&f->members[0]) == PARTITIONS / 2 &&
	       count_assigned(&f->members[1]) == PARTITIONS / 2;
}

static void start(struct member *member, int32_t partition, int64_t offset)
{
	member->next[partition] = offset;
	group_consumer_start(member->consumer, 0, partition, offset, &member->next[partition]);
}

static bool first_is_at_ten(const struct fixture *f)
{
	return f->members[0].next[1] == 10;
}

/* What is assigned is read when it is started, from where the caller says, whatever was committed.
 */
static void test_group_consumer_reads_from_where_it_is_told(void **state)
{
	struct fixture f;
	struct member *member = &f.members[0];

	(void)state;
	open_cluster(&f);
	cluster_fill(&f.cluster, f.cluster.topic, 1, 0, 10);
	cluster_fill(&f.cluster, f.cluster.topic, 2, 0, 10);
	join_group(&f, member, 0);
	poll_until(&f, first_has_all);
	group_consumer_commit(member->consumer, 0, 1, 9);
	start(member, 1, 4);
	poll_until(&f, first_is_at_ten);
	assert_int_equal(member->records[1], 6);
	assert_string_equal(member->last_value, "value-9");
	assert_int_equal(member->records[2], 0);
	assert_int_equal(group_consumer_end(member->consumer, 0, 1, 3), 10);
	assert_null(group_consumer_problem(member->consumer));
	leave_group(member);
	cluster_close(&f.cluster);
}

/* A partition that is moved goes on at the new place, with nothing that was fetched before. */
static void test_group_consumer_moves_a_partition(void **state)
{
	struct fixture f;
	struct member *member = &f.members[0];

	(void)state;
	open_cluster(&f);
	cluster_fill(&f.cluster, f.cluster.topic, 1, 0, 10);
	join_group(&f, member, 0);
	poll_until(&f, first_has_all);
	for (int i = 0; i < 5; i++) {
		start(member, 1, 8);
		usleep(20000);
		start(member, 1, 2);
		member->records[1] = 0;
		poll_until(&f, first_is_at_ten);
		assert_int_equal(member->records[1], 8);
	}
	group_consumer_stop(member->consumer, 0, 1);
	leave_group(member);
	cluster_close(&f.cluster);
}

static bool first_has_three(const struct fixture *f)
{
	return f->members[0].records[1] >= 3;
}

/* A sink that stops a partition in the middle of what was fetched gets nothing more of it, until it
 * is started again. */
static void test_group_consumer_stops_in_the_middle(void **state)
{
	struct fixture f;
	struct member *member = &f.members[0];

	(void)state;
	open_cluster(&f);
	cluster_fill(&f.cluster, f.cluster.topic, 1, 0, 10);
	join_group(&f, member, 0);
	member->stop_after = 3;
	poll_until(&f, first_has_all);
	start(member, 1, 0);
	poll_until(&f, first_has_three);
	for (int i = 0; i < 10; i++)
		group_consumer_poll(member->consumer, TURN_MS, true);
	assert_int_equal(member->records[1], 3);
	start(member, 1, 3);
	poll_until(&f, first_is_at_ten);
	assert_int_equal(member->records[1], 10);
	leave_group(member);
	cluster_close(&f.cluster);
}

/* Without `take` no record comes, and the membership goes on. */
static void test_group_consumer_keeps_records_back(void **state)
{
	struct fixture f;
	struct member *member = &f.members[0];

	(void)state;
	open_cluster(&f);
	cluster_fill(&f.cluster, f.cluster.topic, 1, 0, 10);
	join_group(&f, member, 0);
	while (!first_has_all(&f))
		group_consumer_poll(member->consumer, TURN_MS, false);
	start(member, 1, 0);
	for (int i = 0; i < 20; i++)
		group_consumer_poll(member->consumer, TURN_MS, false);
	assert_int_equal(member->records[1], 0);
	poll_until(&f, first_is_at_ten);
	assert_int_equal(member->records[1], 10);
	leave_group(member);
	cluster_close(&f.cluster);
}

/* Two members share the partitions; when one leaves, the other one has all of them. How many
 * rebalances a group takes to settle is up to its coordinator. */
static void test_group_consumer_members_share(void **state)
{
	struct fixture f;

	(void)state;
	open_cluster(&f);
	join_group(&f, &f.members[0], 0);
	poll_until(&f, first_has_all);
	join_group(&f, &f.members[1], 0);
	poll_until(&f, each_has_half);
	for (int i = 0; i < PARTITIONS; i++)
		assert_true(f.members[0].assigned[i] != f.members[1].assigned[i]);
	assert_true(f.members[0].revocations >= 1);
	assert_int_equal(f.members[0].losses, 0);
	leave_group(&f.members[1]);
	poll_until(&f, first_has_all);
	leave_group(&f.members[0]);
	cluster_close(&f.cluster);
}

static bool first_has_a_gap(const struct fixture *f)
{
	return f->members[0].gap.count == 1;
}

/* An offset beyond the end is told with the log's bounds; started again it goes on. */
static void test_group_consumer_offset_beyond_the_end_is_a_gap(void **state)
{
	struct fixture f;
	struct member *member = &f.members[0];

	(void)state;
	open_cluster(&f);
	cluster_fill(&f.cluster, f.cluster.topic, 1, 0, 10);
	join_group(&f, member, 0);
	poll_until(&f, first_has_all);
	start(member, 1, 50);
	poll_until(&f, first_has_a_gap);
	assert_int_equal(member->gap.next, 50);
	assert_int_equal(member->gap.low, 0);
	assert_int_equal(member->gap.high, 10);
	start(member, 1, 0);
	poll_until(&f, first_is_at_ten);
	assert_int_equal(member->records[1], 10);
	assert_int_equal(member->gap.count, 1);
	leave_group(member);
	cluster_close(&f.cluster);
}

/* So is one that the log no longer has. */
static void test_group_consumer_offset_before_the_beginning_is_a_gap(void **state)
{
	struct fixture f;
	struct member *member = &f.members[0];

	(void)state;
	open_cluster(&f);
	cluster_need_mock(&f.cluster);
	/* All on partition 0. */
	cluster_fill_large(&f.cluster, f.cluster.topic, 12, 900000);
	join_group(&f, member, 0);
	poll_until(&f, first_has_all);
	start(member, 0, 1);
	poll_until(&f, first_has_a_gap);
	assert_int_equal(member->gap.next, 1);
	assert_true(member->gap.low > 1);
	assert_int_equal(member->gap.high, 12);
	leave_group(member);
	cluster_close(&f.cluster);
}

/* Places by time are found for many partitions at once; the mock knows the end only. Of a
 * partition that is not there nothing is known. */
static void test_group_consumer_finds_places_by_time(void **state)
{
	struct fixture f;
	struct member *member = &f.members[0];
	struct group_consumer_place places[] = {
	    {0, 1, clock_unix_ms() + 3600000, -7},
	    {0, 2, clock_unix_ms() + 3600000, -7},
	    {0, 77, 0, -7},
	};

	(void)state;
	open_cluster(&f);
	cluster_fill(&f.cluster, f.cluster.topic, 1, 0, 10);
	join_group(&f, member, 0);
	poll_until(&f, first_has_all);
	group_consumer_find_times(member->consumer, places, 3, CLUSTER_PATIENCE_MS);
	assert_int_equal(places[0].offset, 10);
	assert_int_equal(places[1].offset, 0);
	assert_int_equal(places[2].offset, -1);
	leave_group(member);
	cluster_close(&f.cluster);
}

static bool first_has_a_problem(const struct fixture *f)
{
	return group_consumer_problem(f->members[0].consumer);
}

/* A topic that is not there is named as the problem, and read when it appears. */
static void test_group_consumer_waits_for_a_topic(void **state)
{
	struct fixture f;

	(void)state;
	open_cluster(&f);
	cluster_set(&f.cluster, "topic.metadata.refresh.interval.ms", "100");
	strcat(f.cluster.topic, "-late");
	join_group(&f, &f.members[0], 0);
	poll_until(&f, first_has_a_problem);
	assert_string_equal(group_consumer_problem(f.members[0].consumer),
			    "the topic does not exist");
	cluster_create(&f.cluster, f.cluster.topic, PARTITIONS);
	poll_until(&f, first_has_all);
	assert_null(group_consumer_problem(f.members[0].consumer));
	leave_group(&f.members[0]);
	cluster_close(&f.cluster);
}

/* A member that leaves while no broker answers is not held up for longer than it may. */
static void test_group_consumer_closes_without_a_broker(void **state)
{
	struct fixture f;

	(void)state;
	open_cluster(&f);
	cluster_need_mock(&f.cluster);
	join_group(&f, &f.members[0], 0);
	poll_until(&f, first_has_all);
	start(&f.members[0], 1, 0);
	for (int i = 1; i <= CLUSTER_BROKERS; i++)
		rd_kafka_mock_broker_set_down(f.cluster.mock, i);
	group_consumer_close(f.members[0].consumer, 200);
	cluster_close(&f.cluster);
}

/* A property that librdkafka refuses is refused. */
static void test_group_consumer_bad_settings_are_refused(void **state)
{
	const char *const topics[] = {"t"};
	const struct group_consumer_sink sink = {0};
	struct kafka_property property = {(char *)(uintptr_t) "bootstrap.serfers",
					  (char *)(uintptr_t) "a:1"};
	const struct kafka_settings settings = {.properties = &property, .property_count = 1};
	struct group_consumer *consumer;

	(void)state;
	assert_int_equal(group_consumer_open(&settings, "g", topics, 1, &sink, &consumer),
			 ERROR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_group_consumer_reads_from_where_it_is_told),
	    cmocka_unit_test(test_group_consumer_moves_a_partition),
	    cmocka_unit_test(test_group_consumer_stops_in_the_middle),
	    cmocka_unit_test(test_group_consumer_keeps_records_back),
	    cmocka_unit_test(test_group_consumer_members_share),
	    cmocka_unit_test(test_group_consumer_offset_beyond_the_end_is_a_gap),
	    cmocka_unit_test(test_group_consumer_offset_before_the_beginning_is_a_gap),
	    cmocka_unit_test(test_group_consumer_finds_places_by_time),
	    cmocka_unit_test(test_group_consumer_waits_for_a_topic),
	    cmocka_unit_test(test_group_consumer_closes_without_a_broker),
	    cmocka_unit_test(test_group_consumer_bad_settings_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
