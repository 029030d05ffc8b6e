/* What only a real Kafka has: transactions, retention, topics that are deleted and grow, a broker
 * that is killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <unistd.h>

#include "kafka/ingest.h"
#include "kafka/replay_reader.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "unit/kafka/recorder.h"

enum { PATIENCE_MS = 60000, TIMEOUT_MS = 20000, PLENTY = 1000000 };

static struct kafka_broker broker;

struct fixture {
	const char *topic;
	struct kafka_property properties[2];
	struct kafka_settings settings;
	struct recorder *recorder;
	struct ingest *ingest;
	int token;
};

static int start_broker(void **state)
{
	(void)state;
	kafka_broker_start(&broker);
	return 0;
}

static int stop_broker(void **state)
{
	(void)state;
	kafka_broker_fini(&broker);
	return 0;
}

static void init_settings(struct fixture *f)
{
	static char servers[] = "bootstrap.servers";

	f->properties[0] = (struct kafka_property){servers, broker.bootstrap};
	f->settings = (struct kafka_settings){.properties = f->properties, .property_count = 1};
}

/* Wants the topic from its end, or from its beginning with `warm`, and waits until it has caught
 * up. */
static void open_ingest(struct fixture *f, const char *topic, bool warm)
{
	static char name[] = "topic.metadata.refresh.interval.ms", value[] = "500";
	struct ingest_sink sink;

	init_settings(f);
	f->topic = topic;
	f->properties[f->settings.property_count++] = (struct kafka_property){name, value};
	f->recorder = recorder_new();
	sink = recorder_sink(f->recorder);
	assert_int_equal(ingest_new(&f->settings, &sink, &f->ingest), 0);
	ingest_want(f->ingest, topic, warm ? PATIENCE_MS * 60 : 0, &f->token);
	ingest_start(f->ingest);
	assert_true(recorder_wait(f->recorder, RECORDER_CAUGHT_UP, 1));
}

static void close_ingest(struct fixture *f)
{
	ingest_stop(f->ingest);
	ingest_free(f->ingest);
	assert_string_equal(f->recorder->broken, "");
	recorder_free(f->recorder);
}

static void send_to(struct kafka_producer *producer, const char *topic, int32_t partition,
		    const char *prefix, int first, int count)
{
	for (int i = first; i < first + count; i++) {
		char value[64];
		int len = snprintf(value, sizeof(value), "%s-%d", prefix, i);
		const struct kafka_message message = {
		    .topic = topic, .partition = partition, .value = {value, (size_t)len}};

		kafka_producer_send(producer, &message);
	}
}

static void send_all(const char *topic, int32_t partition, const char *prefix, int first, int count)
{
	struct kafka_producer *producer = kafka_producer_new(broker.bootstrap, NULL);

	send_to(producer, topic, partition, prefix, first, count);
	kafka_producer_flush(producer);
	kafka_producer_free(producer);
}

/* The record calls from the n-th on are prefix-first, prefix-(first+1), … */
static void assert_values(struct fixture *f, size_t n, const char *prefix, int first, int count)
{
	assert_true(recorder_wait(f->recorder, RECORDER_RECORD, n + (size_t)count));
	for (int i = 0; i < count; i++) {
		struct recorder_entry entry =
		    recorder_get(f->recorder, RECORDER_RECORD, n + (size_t)i);
		char value[64];

		snprintf(value, sizeof(value), "%s-%d", prefix, first + i);
		assert_string_equal(entry.value, value);
	}
	assert_int_equal(recorder_count(f->recorder, RECORDER_RECORD), n + (size_t)count);
}

struct look {
	char problem[128];
	uint32_t partition_count;
};

static void on_topic(void *context, const struct ingest_topic_state *state)
{
	struct look *look = context;

	snprintf(look->problem, sizeof(look->problem), "%s", state->problem ? state->problem : "");
	look->partition_count = state->partition_count;
}

/* Until the topic's problem is this ("": none) and so many partitions are read (-1: any number). */
static bool wait_state(struct fixture *f, const char *problem, int partition_count)
{
	for (int i = 0; i < PATIENCE_MS / 10; i++) {
		struct look look = {.problem = "?"};

		ingest_each_topic(f->ingest, on_topic, &look);
		if (!strcmp(look.problem, problem) &&
		    (partition_count < 0 || look.partition_count == (uint32_t)partition_count))
			return true;
		usleep(10000);
	}
	return false;
}

static bool wait_problem(struct fixture *f, const char *problem)
{
	return wait_state(f, problem, -1);
}

/* Waits until the partition's end has been told beyond an offset. */
static bool wait_end(struct fixture *f, int64_t next)
{
	for (size_t n = 0;; n++) {
		if (!recorder_wait(f->recorder, RECORDER_END, n + 1))
			return false;
		if (recorder_get(f->recorder, RECORDER_END, n).from >= next)
			return true;
	}
}

/* Aborted records never come; the position moves past them and past the markers. */
static void test_ingest_aborted_transaction_is_passed_over(void **state)
{
	struct fixture f;
	struct kafka_producer *producer;

	(void)state;
	kafka_broker_create_topic(&broker, "aborted", 1);
	open_ingest(&f, "aborted", false);
	producer = kafka_producer_new(broker.bootstrap, "aborted");
	kafka_producer_begin(producer);
	send_to(producer, "aborted", 0, "yes", 0, 10);
	kafka_producer_commit(producer);
	kafka_producer_begin(producer);
	send_to(producer, "aborted", 0, "no", 0, 10);
	kafka_producer_flush(producer);
	kafka_producer_abort(producer);
	kafka_producer_begin(producer);
	send_to(producer, "aborted", 0, "yes", 10, 10);
	kafka_producer_commit(producer);
	kafka_producer_free(producer);
	assert_values(&f, 0, "yes", 0, 20);
	assert_true(wait_end(&f, 33));
	close_ingest(&f);
}

/* A log that ends with aborted records and a marker is caught up with all the same. */
static void test_ingest_warm_start_over_aborted_tail_catches_up(void **state)
{
	struct fixture f;
	struct kafka_producer *producer;

	(void)state;
	kafka_broker_create_topic(&broker, "tail", 1);
	send_all("tail", 0, "yes", 0, 5);
	producer = kafka_producer_new(broker.bootstrap, "tail");
	kafka_producer_begin(producer);
	send_to(producer, "tail", 0, "no", 0, 5);
	kafka_producer_flush(producer);
	kafka_producer_abort(producer);
	kafka_producer_free(producer);
	open_ingest(&f, "tail", true);
	assert_int_equal(recorder_get(f.recorder, RECORDER_PARTITION, 0).from, 0);
	assert_values(&f, 0, "yes", 0, 5);
	assert_true(wait_end(&f, 11));
	close_ingest(&f);
}

/* What is behind an open transaction waits for it; then all comes in the log's order. */
static void test_ingest_open_transaction_holds_back_what_follows(void **state)
{
	struct fixture f;
	struct kafka_producer *producer;

	(void)state;
	kafka_broker_create_topic(&broker, "open", 1);
	open_ingest(&f, "open", false);
	producer = kafka_producer_new(broker.bootstrap, "open");
	kafka_producer_begin(producer);
	send_to(producer, "open", 0, "v", 0, 3);
	kafka_producer_flush(producer);
	send_all("open", 0, "v", 3, 3);
	kafka_broker_create_topic(&broker, "open-mark", 1);
	assert_int_equal(recorder_count(f.recorder, RECORDER_RECORD), 0);
	kafka_producer_commit(producer);
	kafka_producer_free(producer);
	assert_values(&f, 0, "v", 0, 6);
	close_ingest(&f);
}

/* Records that were deleted before they could be read are a gap, told once, and what is left comes.
 */
static void test_ingest_deleted_records_are_a_gap(void **state)
{
	struct fixture f;
	struct kafka_producer *producer;
	struct recorder_entry gap;

	(void)state;
	kafka_broker_create_topic(&broker, "deleted", 1);
	open_ingest(&f, "deleted", false);
	send_all("deleted", 0, "v", 0, 10);
	assert_values(&f, 0, "v", 0, 10);
	/* An open transaction stands in the way while retention goes past it. */
	producer = kafka_producer_new(broker.bootstrap, "deleted");
	kafka_producer_begin(producer);
	send_to(producer, "deleted", 0, "v", 10, 1);
	kafka_producer_flush(producer);
	send_all("deleted", 0, "v", 11, 20);
	kafka_broker_delete_records(&broker, "deleted", 0, 25);
	assert_true(recorder_wait(f.recorder, RECORDER_GAP, 1));
	kafka_producer_abort(producer);
	kafka_producer_free(producer);
	gap = recorder_get(f.recorder, RECORDER_GAP, 0);
	assert_int_equal(gap.from, 10);
	assert_int_equal(gap.to, 25);
	assert_values(&f, 10, "v", 25, 6);
	assert_int_equal(recorder_count(f.recorder, RECORDER_GAP), 1);
	close_ingest(&f);
}

/* Deleted and made again at once, with fewer records than before: a gap back to 0, then the new
 * ones. */
static void test_ingest_recreated_shorter_topic_is_read_from_0(void **state)
{
	struct fixture f;

	(void)state;
	kafka_broker_create_topic(&broker, "shorter", 1);
	open_ingest(&f, "shorter", false);
	send_all("shorter", 0, "old", 0, 20);
	assert_values(&f, 0, "old", 0, 20);
	kafka_broker_delete_topic(&broker, "shorter");
	kafka_broker_create_topic(&broker, "shorter", 1);
	send_all("shorter", 0, "new", 0, 5);
	assert_true(recorder_wait(f.recorder, RECORDER_GAP, 1));
	assert_int_equal(recorder_get(f.recorder, RECORDER_GAP, 0).from, 20);
	assert_int_equal(recorder_get(f.recorder, RECORDER_GAP, 0).to, 0);
	assert_values(&f, 20, "new", 0, 5);
	assert_true(wait_problem(&f, ""));
	close_ingest(&f);
}

/* Seen as gone for a while: what comes after is new, even where it is longer than what was read. */
static void test_ingest_recreated_longer_topic_is_read_from_0(void **state)
{
	struct fixture f;

	(void)state;
	kafka_broker_create_topic(&broker, "longer", 2);
	open_ingest(&f, "longer", false);
	send_all("longer", 0, "old", 0, 5);
	assert_values(&f, 0, "old", 0, 5);
	kafka_broker_delete_topic(&broker, "longer");
	assert_true(wait_state(&f, "the topic does not exist", 0));
	kafka_broker_create_topic(&broker, "longer", 2);
	send_all("longer", 0, "new", 0, 50);
	assert_values(&f, 5, "new", 0, 50);
	assert_int_equal(recorder_count(f.recorder, RECORDER_GAP), 1);
	close_ingest(&f);
}

/* Partitions that are added while it runs are read from their beginning. */
static void test_ingest_added_partitions_are_read_from_0(void **state)
{
	struct fixture f;

	(void)state;
	kafka_broker_create_topic(&broker, "grown", 1);
	open_ingest(&f, "grown", false);
	kafka_broker_grow_topic(&broker, "grown", 3);
	send_all("grown", 2, "v", 0, 10);
	assert_values(&f, 0, "v", 0, 10);
	assert_true(recorder_wait(f.recorder, RECORDER_PARTITION, 3));
	assert_int_equal(recorder_count(f.recorder, RECORDER_CAUGHT_UP), 1);
	close_ingest(&f);
}

/* A broker that is killed and comes back, three times, under a producer that goes on: every record
 * once and in order. */
static void test_ingest_broker_killed_loses_and_repeats_nothing(void **state)
{
	struct fixture f;
	struct kafka_producer *producer;

	(void)state;
	kafka_broker_create_topic(&broker, "killed", 1);
	open_ingest(&f, "killed", false);
	producer = kafka_producer_new(broker.bootstrap, NULL);
	for (int i = 0; i < 3; i++) {
		send_to(producer, "killed", 0, "v", i * 200, 100);
		kafka_producer_flush(producer);
		kafka_broker_kill(&broker);
		send_to(producer, "killed", 0, "v", i * 200 + 100, 100);
		assert_true(wait_problem(&f, "no broker is reachable"));
		kafka_broker_restart(&broker);
		kafka_producer_flush(producer);
		assert_values(&f, 0, "v", 0, (i + 1) * 200);
		assert_true(wait_problem(&f, ""));
	}
	assert_int_equal(recorder_count(f.recorder, RECORDER_GAP), 0);
	kafka_producer_free(producer);
	close_ingest(&f);
}

struct visit {
	size_t records;
	int64_t next;
	bool aborted;
};

static bool on_record(void *context, size_t range, const struct record *record)
{
	struct visit *visit = context;

	(void)range;
	visit->records++;
	visit->aborted |= record->value.len >= 2 && !memcmp(record->value.base, "no", 2);
	return true;
}

static void on_progress(void *context, size_t range, int64_t next)
{
	struct visit *visit = context;

	(void)range;
	visit->next = next;
}

/* A replay ends at `until` though markers and aborted records stand there, at the log's end and in
 * its middle. */
static void test_replay_reader_ends_among_aborted_records(void **state)
{
	static const int64_t untils[] = {5, 6, 8, 11, 12, 16, 17};
	static const size_t records[] = {5, 5, 5, 5, 5, 9, 10};
	struct fixture f;
	struct kafka_producer *producer;
	struct replay_reader *reader;
	int64_t low, high;

	(void)state;
	init_settings(&f);
	kafka_broker_create_topic(&broker, "among", 1);
	producer = kafka_producer_new(broker.bootstrap, "among");
	for (int i = 0; i < 3; i++) {
		kafka_producer_begin(producer);
		send_to(producer, "among", 0, i == 1 ? "no" : "yes", 0, 5);
		kafka_producer_flush(producer);
		if (i == 1)
			kafka_producer_abort(producer);
		else
			kafka_producer_commit(producer);
	}
	kafka_producer_free(producer);
	reader = replay_reader_new(&f.settings);
	for (size_t i = 0; i < sizeof(untils) / sizeof(*untils); i++) {
		const struct replay_range range = {"among", 0, 0, untils[i]};
		struct visit visit = {0};
		const struct replay_visitor visitor = {on_record, on_progress, &visit};

		assert_int_equal(
		    replay_reader_read(reader, &range, 1, PLENTY, TIMEOUT_MS, &visitor), 0);
		assert_int_equal(visit.records, records[i]);
		assert_int_equal(visit.next, untils[i]);
		assert_false(visit.aborted);
	}
	assert_int_equal(replay_reader_bounds(reader, "among", 0, TIMEOUT_MS, &low, &high), 0);
	assert_int_equal(low, 0);
	assert_int_equal(high, 18);
	replay_reader_free(reader);
}

/* A reader that was used before the broker was killed works after its return. */
static void test_replay_reader_survives_a_killed_broker(void **state)
{
	const struct replay_range range = {"survive", 0, 0, 100};
	struct fixture f;
	struct replay_reader *reader;
	struct visit visit = {0};
	const struct replay_visitor visitor = {on_record, on_progress, &visit};

	(void)state;
	init_settings(&f);
	kafka_broker_create_topic(&broker, "survive", 1);
	send_all("survive", 0, "v", 0, 100);
	reader = replay_reader_new(&f.settings);
	assert_int_equal(replay_reader_read(reader, &range, 1, PLENTY, TIMEOUT_MS, &visitor), 0);
	kafka_broker_kill(&broker);
	assert_int_equal(replay_reader_read(reader, &range, 1, PLENTY, 500, &visitor), ERROR_KAFKA);
	kafka_broker_restart(&broker);
	visit.records = 0;
	assert_int_equal(replay_reader_read(reader, &range, 1, PLENTY, TIMEOUT_MS, &visitor), 0);
	assert_int_equal(visit.records, 100);
	replay_reader_free(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ingest_aborted_transaction_is_passed_over),
	    cmocka_unit_test(test_ingest_warm_start_over_aborted_tail_catches_up),
	    cmocka_unit_test(test_ingest_open_transaction_holds_back_what_follows),
	    cmocka_unit_test(test_ingest_deleted_records_are_a_gap),
	    cmocka_unit_test(test_ingest_recreated_shorter_topic_is_read_from_0),
	    cmocka_unit_test(test_ingest_recreated_longer_topic_is_read_from_0),
	    cmocka_unit_test(test_ingest_added_partitions_are_read_from_0),
	    cmocka_unit_test(test_ingest_broker_killed_loses_and_repeats_nothing),
	    cmocka_unit_test(test_replay_reader_ends_among_aborted_records),
	    cmocka_unit_test(test_replay_reader_survives_a_killed_broker),
	};

	return cmocka_run_group_tests(tests, start_broker, stop_broker);
}
