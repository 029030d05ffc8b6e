#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster.h"
#include "kafka/ingest.h"
#include "recorder.h"

enum { HOUR_MS = 3600 * 1000 };

struct fixture {
	struct cluster cluster;
	struct recorder *recorder;
	struct ingest *ingest;
	int token;
};

static void open_ingest(struct fixture *f)
{
	struct ingest_sink sink;

	f->recorder = recorder_new();
	sink = recorder_sink(f->recorder);
	assert_int_equal(ingest_new(&f->cluster.settings, &sink, &f->ingest), 0);
}

static void close_ingest(struct fixture *f)
{
	ingest_stop(f->ingest);
	ingest_free(f->ingest);
	assert_string_equal(f->recorder->broken, "");
	recorder_free(f->recorder);
	cluster_close(&f->cluster);
}

/* A topic with partitions, wanted from its end, and read. */
static void open_topic(struct fixture *f, int partitions, uint32_t warm_ms)
{
	cluster_create(&f->cluster, f->cluster.topic, partitions);
	open_ingest(f);
	ingest_want(f->ingest, f->cluster.topic, warm_ms, &f->token);
	ingest_start(f->ingest);
	assert_true(recorder_wait(f->recorder, RECORDER_CAUGHT_UP, 1));
}

struct look {
	const char *topic;
	bool found;
	bool caught_up;
	char problem[128];
	uint32_t partition_count;
	int64_t lag;
};

static void on_topic(void *context, const struct ingest_topic_state *state)
{
	struct look *look = context;

	if (strcmp(state->topic, look->topic) != 0)
		return;
	look->found = true;
	look->caught_up = state->caught_up;
	look->partition_count = state->partition_count;
	look->lag = state->lag;
	snprintf(look->problem, sizeof(look->problem), "%s", state->problem ? state->problem : "");
}

static struct look look_at(struct fixture *f)
{
	struct look look = {.topic = f->cluster.topic};

	ingest_each_topic(f->ingest, on_topic, &look);
	return look;
}

/* Until the topic's problem is this ("": none). */
static bool wait_problem(struct fixture *f, const char *problem)
{
	for (int i = 0; i < CLUSTER_PATIENCE_MS / 10; i++) {
		struct look look = look_at(f);

		if (look.found && !strcmp(look.problem, problem))
			return true;
		usleep(10000);
	}
	return false;
}

/* Until so many partitions are read. */
static bool wait_partitions(struct fixture *f, uint32_t count)
{
	for (int i = 0; i < CLUSTER_PATIENCE_MS / 10; i++) {
		if (look_at(f).partition_count == count)
			return true;
		usleep(10000);
	}
	return false;
}

/* Every record of one partition from `first` on, once and in order. */
static void assert_values(struct fixture *f, int first, int count)
{
	assert_true(recorder_wait(f->recorder, RECORDER_RECORD, (size_t)count));
	for (int i = 0; i < count; i++) {
		struct recorder_entry entry = recorder_get(f->recorder, RECORDER_RECORD, (size_t)i);
		char value[64];

		snprintf(value, sizeof(value), "value-%d", first + i);
		assert_string_equal(entry.value, value);
	}
	assert_int_equal(recorder_count(f->recorder, RECORDER_RECORD), count);
}

/* With nothing to warm up, each partition starts at its end and only new records come. */
static void test_ingest_without_warm_reads_from_end(void **state)
{
	struct fixture f;

	(void)state;
	cluster_open(&f.cluster);
	cluster_create(&f.cluster, f.cluster.topic, 3);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 5);
	open_ingest(&f);
	ingest_want(f.ingest, f.cluster.topic, 0, &f.token);
	ingest_start(f.ingest);
	assert_true(recorder_wait(f.recorder, RECORDER_CAUGHT_UP, 1));
	assert_int_equal(recorder_count(f.recorder, RECORDER_PARTITION), 3);
	for (size_t i = 0; i < 3; i++) {
		struct recorder_entry start = recorder_get(f.recorder, RECORDER_PARTITION, i);

		assert_int_equal(start.from, start.partition == 0 ? 5 : 0);
		assert_ptr_equal(start.token, &f.token);
	}
	cluster_fill(&f.cluster, f.cluster.topic, 0, 5, 3);
	assert_values(&f, 5, 3);
	assert_int_equal(look_at(&f).partition_count, 3);
	assert_true(look_at(&f).caught_up);
	close_ingest(&f);
}

/* A warm start reads what is younger than that. The mock knows no offsets by time: there it begins
 * at the end. */
static void test_ingest_with_warm_reads_from_then(void **state)
{
	struct fixture f;
	bool mock;

	(void)state;
	cluster_open(&f.cluster);
	mock = f.cluster.mock != NULL;
	cluster_create(&f.cluster, f.cluster.topic, 1);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 100);
	open_ingest(&f);
	ingest_want(f.ingest, f.cluster.topic, HOUR_MS, &f.token);
	ingest_start(f.ingest);
	assert_true(recorder_wait(f.recorder, RECORDER_CAUGHT_UP, 1));
	assert_int_equal(recorder_get(f.recorder, RECORDER_PARTITION, 0).from, mock ? 100 : 0);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 100, 1);
	assert_values(&f, mock ? 100 : 0, mock ? 1 : 101);
	close_ingest(&f);
}

/* A topic that is not there yet is a problem, then read from its beginning, without a restart. */
static void test_ingest_unknown_topic_is_read_from_its_beginning_later(void **state)
{
	struct fixture f;

	(void)state;
	cluster_open(&f.cluster);
	open_ingest(&f);
	ingest_want(f.ingest, f.cluster.topic, 0, &f.token);
	ingest_start(f.ingest);
	assert_true(wait_problem(&f, "the topic does not exist"));
	assert_true(recorder_wait(f.recorder, RECORDER_CAUGHT_UP, 1));
	cluster_create(&f.cluster, f.cluster.topic, 2);
	cluster_fill(&f.cluster, f.cluster.topic, 1, 0, 10);
	assert_values(&f, 0, 10);
	assert_true(wait_problem(&f, ""));
	assert_int_equal(recorder_count(f.recorder, RECORDER_CAUGHT_UP), 1);
	close_ingest(&f);
}

struct parts {
	int seen;
	bool right[4];
};

static void on_parts(void *context, const struct record *record)
{
	struct parts *parts = context;
	bool right = record->arrived_us != 0 && record->timestamp_ms > 0 && record->partition == 0;

	switch (parts->seen) {
	case 0:
		right &= record->has_key && record->has_value && !record->key.len &&
			 !record->value.len && !record->header_count;
		break;
	case 1:
		right &= !record->has_key && !record->has_value;
		break;
	case 2:
		right &= record->key.len == 3 && !memcmp(record->key.base, "a\0b", 3) &&
			 record->value.len == 3 && !memcmp(record->value.base, "\xff\r\n", 3);
		break;
	case 3:
		right &= record->header_count == 3 &&
			 slice_equal(record->headers[0].name, SLICE_LIT("one")) &&
			 slice_equal(record->headers[0].value, SLICE_LIT("1\0")) &&
			 slice_equal(record->headers[1].name, SLICE_LIT("one")) &&
			 !record->headers[1].value.len && !record->headers[2].value.len;
		break;
	default:
		return;
	}
	parts->right[parts->seen++] = right;
}

static void produce_parts(struct fixture *f)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(3);
	rd_kafka_t *producer = f->cluster.producer;
	const char *topic = f->cluster.topic;

	rd_kafka_header_add(headers, "one", -1, "1\0", 2);
	rd_kafka_header_add(headers, "one", -1, "", 0);
	rd_kafka_header_add(headers, "null", -1, NULL, 0);
	assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic),
					   RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_KEY("", 0),
					   RD_KAFKA_V_VALUE((char[]){""}, 0), RD_KAFKA_V_END),
			 0);
	assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic),
					   RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_END),
			 0);
	assert_int_equal(
	    rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
			      RD_KAFKA_V_KEY("a\0b", 3), RD_KAFKA_V_VALUE((char[]){"\xff\r\n"}, 3),
			      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
	    0);
	assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(topic),
					   RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_HEADERS(headers),
					   RD_KAFKA_V_END),
			 0);
	assert_int_equal(rd_kafka_flush(producer, CLUSTER_PATIENCE_MS), 0);
}

/* Null and empty stay apart in keys and values; bytes and headers arrive as they were written. */
static void test_ingest_record_parts_arrive_as_written(void **state)
{
	struct parts parts = {0};
	struct fixture f;

	(void)state;
	cluster_open(&f.cluster);
	open_topic(&f, 1, 0);
	f.recorder->on_record_context = &parts;
	f.recorder->on_record = on_parts;
	produce_parts(&f);
	assert_true(recorder_wait(f.recorder, RECORDER_RECORD, 4));
	for (int i = 0; i < 4; i++)
		assert_true(parts.right[i]);
	close_ingest(&f);
}

/* After unwant and forgotten nothing comes; wanted again under another token, it starts at the end
 * again. */
static void test_ingest_unwanted_topic_is_forgotten_and_wanted_again(void **state)
{
	struct fixture f;
	int second;

	(void)state;
	cluster_open(&f.cluster);
	open_topic(&f, 2, 0);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 5);
	assert_values(&f, 0, 5);
	ingest_unwant(f.ingest, f.cluster.topic);
	ingest_unwant(f.ingest, f.cluster.topic);
	ingest_want(f.ingest, f.cluster.topic, 0, &second);
	assert_true(recorder_wait(f.recorder, RECORDER_FORGOTTEN, 1));
	assert_true(recorder_wait(f.recorder, RECORDER_CAUGHT_UP, 2));
	cluster_fill(&f.cluster, f.cluster.topic, 0, 5, 5);
	assert_values(&f, 0, 10);
	assert_ptr_equal(recorder_get(f.recorder, RECORDER_RECORD, 4).token, &f.token);
	assert_ptr_equal(recorder_get(f.recorder, RECORDER_RECORD, 5).token, &second);
	assert_int_equal(recorder_count(f.recorder, RECORDER_FORGOTTEN), 1);
	close_ingest(&f);
}

/* A topic that is unwanted before it was looked at is forgotten all the same. */
static void test_ingest_unwanted_at_once_is_forgotten(void **state)
{
	struct fixture f;

	(void)state;
	cluster_open(&f.cluster);
	open_ingest(&f);
	ingest_want(f.ingest, f.cluster.topic, 0, &f.token);
	ingest_unwant(f.ingest, f.cluster.topic);
	ingest_start(f.ingest);
	assert_true(recorder_wait(f.recorder, RECORDER_FORGOTTEN, 1));
	assert_false(look_at(&f).found);
	close_ingest(&f);
}

struct unwanter {
	struct fixture *f;
};

static void unwant_on_record(void *context, const struct record *record)
{
	struct unwanter *unwanter = context;

	(void)record;
	ingest_unwant(unwanter->f->ingest, unwanter->f->cluster.topic);
}

/* The sink's owner unwants from inside a call, with its own lock held: nothing waits for itself. */
static void test_ingest_unwant_from_inside_the_sink_is_taken(void **state)
{
	struct unwanter unwanter;
	struct fixture f;

	(void)state;
	cluster_open(&f.cluster);
	open_topic(&f, 1, 0);
	unwanter.f = &f;
	f.recorder->on_record_context = &unwanter;
	f.recorder->on_record = unwant_on_record;
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 1);
	assert_true(recorder_wait(f.recorder, RECORDER_FORGOTTEN, 1));
	close_ingest(&f);
}

/* Stopped with records on their way, no call comes afterwards; what is wanted or posted then is
 * only freed. */
static void test_ingest_stopped_while_busy_calls_no_more(void **state)
{
	struct fixture f;
	size_t records;
	uint64_t flushes;

	(void)state;
	cluster_open(&f.cluster);
	open_topic(&f, 4, 0);
	for (int i = 0; i < 4; i++)
		cluster_fill(&f.cluster, f.cluster.topic, i, 0, 2000);
	assert_true(recorder_wait(f.recorder, RECORDER_RECORD, 100));
	ingest_unwant(f.ingest, f.cluster.topic);
	ingest_stop(f.ingest);
	records = f.recorder->count;
	flushes = f.recorder->flushes;
	ingest_want(f.ingest, "late", 0, &f);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 10);
	assert_int_equal(f.recorder->count, records);
	assert_int_equal(f.recorder->flushes, flushes);
	close_ingest(&f);
}

/* Started with nothing wanted, and freed without ever having been started. */
static void test_ingest_without_topics_starts_and_stops(void **state)
{
	struct fixture f;

	(void)state;
	cluster_open(&f.cluster);
	open_ingest(&f);
	ingest_start(f.ingest);
	ingest_stop(f.ingest);
	ingest_free(f.ingest);
	recorder_free(f.recorder);
	open_ingest(&f);
	ingest_want(f.ingest, f.cluster.topic, 0, &f.token);
	close_ingest(&f);
}

/* A name that Kafka would never allow is a problem of that topic alone. */
static void test_ingest_impossible_topic_name_is_a_problem(void **state)
{
	struct fixture f;
	char name[600];

	(void)state;
	cluster_open(&f.cluster);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	open_topic(&f, 1, 0);
	ingest_want(f.ingest, name, 0, &f);
	snprintf(f.cluster.topic, sizeof(f.cluster.topic), "%s", "unused");
	for (int i = 0; i < CLUSTER_PATIENCE_MS / 10; i++) {
		struct look look = {.topic = name};

		ingest_each_topic(f.ingest, on_topic, &look);
		if (*look.problem) {
			assert_string_equal(look.problem, "Kafka allows no topic of this name");
			ingest_unwant(f.ingest, name);
			assert_true(recorder_wait(f.recorder, RECORDER_FORGOTTEN, 1));
			close_ingest(&f);
			return;
		}
		usleep(10000);
	}
	fail();
}

/* A property that librdkafka refuses fails the start, and nothing is left behind. */
static void test_ingest_bad_property_fails(void **state)
{
	struct cluster cluster;
	struct ingest_sink sink = {0};
	struct ingest *ingest = NULL;

	(void)state;
	cluster_open(&cluster);
	cluster_set(&cluster, "no.such.thing", "x");
	assert_int_equal(ingest_new(&cluster.settings, &sink, &ingest), ERROR_INVALID);
	assert_null(ingest);
	cluster_close(&cluster);
}

/* Whatever a fetch fails with for a while, every record comes once; nothing of it is a gap. */
static void test_ingest_fetch_faults_lose_and_repeat_nothing(void **state)
{
	static const rd_kafka_resp_err_t faults[] = {
	    RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
	    RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,     RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
	    RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,      RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE,
	    RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,        RD_KAFKA_RESP_ERR_UNKNOWN,
	    RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,      RD_KAFKA_RESP_ERR__TRANSPORT,
	};
	struct fixture f;

	(void)state;
	cluster_open(&f.cluster);
	cluster_need_mock(&f.cluster);
	open_topic(&f, 1, 0);
	for (int i = 0; i < (int)(sizeof(faults) / sizeof(*faults)); i++) {
		rd_kafka_mock_push_request_errors(f.cluster.mock, CLUSTER_FETCH, 3, faults[i],
						  faults[i], faults[i]);
		cluster_fill(&f.cluster, f.cluster.topic, 0, i * 100, 100);
		assert_values(&f, 0, (i + 1) * 100);
	}
	assert_int_equal(recorder_count(f.recorder, RECORDER_GAP), 0);
	assert_true(wait_problem(&f, ""));
	close_ingest(&f);
}

/* Records that retention removed before they were read are told as a gap; reading goes on behind
 * it. */
static void test_ingest_retention_that_was_faster_is_a_gap(void **state)
{
	rd_kafka_resp_err_t faults[1000];
	struct recorder_entry gap;
	struct fixture f;

	(void)state;
	cluster_open(&f.cluster);
	cluster_need_mock(&f.cluster);
	open_topic(&f, 1, 0);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 10);
	assert_true(recorder_wait(f.recorder, RECORDER_RECORD, 10));
	for (size_t i = 0; i < 1000; i++)
		faults[i] = RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
	rd_kafka_mock_push_request_errors_array(f.cluster.mock, CLUSTER_FETCH, 1000, faults);
	cluster_fill_large(&f.cluster, f.cluster.topic, 40, 200 * 1000);
	rd_kafka_mock_clear_request_errors(f.cluster.mock, CLUSTER_FETCH);
	assert_true(recorder_wait(f.recorder, RECORDER_GAP, 1));
	gap = recorder_get(f.recorder, RECORDER_GAP, 0);
	assert_int_equal(gap.from, 10);
	assert_true(gap.to > 10);
	assert_true(recorder_wait(f.recorder, RECORDER_RECORD, 10 + 50 - (size_t)gap.to));
	assert_int_equal(recorder_get(f.recorder, RECORDER_RECORD, 10).from, gap.to);
	assert_int_equal(recorder_count(f.recorder, RECORDER_GAP), 1);
	assert_true(wait_problem(&f, ""));
	close_ingest(&f);
}

/* A topic that Kafka no longer knows for a while was deleted: what comes under its name is another
 * log, from its beginning. */
static void test_ingest_topic_made_anew_is_a_gap_backwards(void **state)
{
	struct recorder_entry gap;
	struct fixture f;

	(void)state;
	cluster_open(&f.cluster);
	cluster_need_mock(&f.cluster);
	cluster_set(&f.cluster, "topic.metadata.refresh.interval.ms", "200");
	open_topic(&f, 1, 0);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 10);
	assert_true(recorder_wait(f.recorder, RECORDER_RECORD, 10));
	rd_kafka_mock_topic_set_error(f.cluster.mock, f.cluster.topic,
				      RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	assert_true(wait_problem(&f, "the topic does not exist"));
	assert_true(wait_partitions(&f, 0));
	rd_kafka_mock_topic_set_error(f.cluster.mock, f.cluster.topic, 0);
	assert_true(recorder_wait(f.recorder, RECORDER_GAP, 1));
	gap = recorder_get(f.recorder, RECORDER_GAP, 0);
	assert_int_equal(gap.from, 10);
	assert_int_equal(gap.to, 0);
	assert_true(recorder_wait(f.recorder, RECORDER_RECORD, 20));
	assert_true(wait_problem(&f, ""));
	close_ingest(&f);
}

/* All brokers gone: a problem that is said; back again: no record is missing and none comes twice.
 */
static void test_ingest_broker_loss_is_survived(void **state)
{
	struct fixture f;

	(void)state;
	cluster_open(&f.cluster);
	cluster_need_mock(&f.cluster);
	open_topic(&f, 1, 0);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 10);
	assert_values(&f, 0, 10);
	for (int i = 1; i <= CLUSTER_BROKERS; i++)
		rd_kafka_mock_broker_set_down(f.cluster.mock, i);
	assert_true(wait_problem(&f, "no broker is reachable"));
	for (int i = 1; i <= CLUSTER_BROKERS; i++)
		rd_kafka_mock_broker_set_up(f.cluster.mock, i);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 10, 10);
	assert_values(&f, 0, 20);
	assert_true(wait_problem(&f, ""));
	close_ingest(&f);
}

/* No broker at the start: the topics are looked up once there is one. */
static void test_ingest_broker_away_at_start_is_waited_for(void **state)
{
	struct fixture f;

	(void)state;
	cluster_open(&f.cluster);
	cluster_need_mock(&f.cluster);
	cluster_create(&f.cluster, f.cluster.topic, 2);
	for (int i = 1; i <= CLUSTER_BROKERS; i++)
		rd_kafka_mock_broker_set_down(f.cluster.mock, i);
	open_ingest(&f);
	ingest_want(f.ingest, f.cluster.topic, 0, &f.token);
	ingest_start(f.ingest);
	assert_true(wait_problem(&f, "no broker is reachable"));
	assert_int_equal(recorder_count(f.recorder, RECORDER_CAUGHT_UP), 0);
	for (int i = 1; i <= CLUSTER_BROKERS; i++)
		rd_kafka_mock_broker_set_up(f.cluster.mock, i);
	assert_true(recorder_wait(f.recorder, RECORDER_CAUGHT_UP, 1));
	assert_true(wait_problem(&f, ""));
	close_ingest(&f);
}

/* A partition that moves from broker to broker is read on where it was. */
static void test_ingest_leader_change_loses_and_repeats_nothing(void **state)
{
	struct fixture f;

	(void)state;
	cluster_open(&f.cluster);
	cluster_need_mock(&f.cluster);
	open_topic(&f, 1, 0);
	for (int i = 0; i < 6; i++) {
		rd_kafka_mock_partition_set_leader(f.cluster.mock, f.cluster.topic, 0,
						   1 + i % CLUSTER_BROKERS);
		cluster_fill(&f.cluster, f.cluster.topic, 0, i * 50, 50);
		assert_values(&f, 0, (i + 1) * 50);
	}
	close_ingest(&f);
}

/* A partition without a leader holds up itself and caught_up, not the others; found later, it
 * misses nothing written meanwhile. */
static void test_ingest_leaderless_partition_starts_later(void **state)
{
	struct fixture f;

	(void)state;
	cluster_open(&f.cluster);
	cluster_need_mock(&f.cluster);
	cluster_create(&f.cluster, f.cluster.topic, 2);
	rd_kafka_mock_partition_set_leader(f.cluster.mock, f.cluster.topic, 1, -1);
	open_ingest(&f);
	ingest_want(f.ingest, f.cluster.topic, 0, &f.token);
	ingest_start(f.ingest);
	assert_true(wait_problem(&f, "a partition has no leader"));
	assert_true(recorder_wait(f.recorder, RECORDER_PARTITION, 1));
	assert_int_equal(recorder_get(f.recorder, RECORDER_PARTITION, 0).partition, 0);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 5);
	assert_values(&f, 0, 5);
	assert_false(look_at(&f).caught_up);
	rd_kafka_mock_partition_set_leader(f.cluster.mock, f.cluster.topic, 1, 2);
	assert_true(recorder_wait(f.recorder, RECORDER_CAUGHT_UP, 1));
	assert_true(wait_problem(&f, ""));
	close_ingest(&f);
}

/* Rights that are missing are said, and the topic is read once they are given. */
static void test_ingest_missing_rights_are_a_problem(void **state)
{
	struct fixture f;

	(void)state;
	cluster_open(&f.cluster);
	cluster_need_mock(&f.cluster);
	cluster_create(&f.cluster, f.cluster.topic, 1);
	rd_kafka_mock_topic_set_error(f.cluster.mock, f.cluster.topic,
				      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
	open_ingest(&f);
	ingest_want(f.ingest, f.cluster.topic, 0, &f.token);
	ingest_start(f.ingest);
	assert_true(wait_problem(&f, "not authorized to read the topic"));
	rd_kafka_mock_topic_set_error(f.cluster.mock, f.cluster.topic, 0);
	assert_true(recorder_wait(f.recorder, RECORDER_CAUGHT_UP, 1));
	assert_true(wait_problem(&f, ""));
	close_ingest(&f);
}

/* The right to describe a topic is not the right to read it: then fetching says so, and recovers.
 */
static void test_ingest_unauthorized_fetch_is_a_problem_until_it_passes(void **state)
{
	rd_kafka_resp_err_t faults[1000];
	struct fixture f;

	(void)state;
	cluster_open(&f.cluster);
	cluster_need_mock(&f.cluster);
	open_topic(&f, 1, 0);
	for (size_t i = 0; i < 1000; i++)
		faults[i] = RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
	rd_kafka_mock_push_request_errors_array(f.cluster.mock, CLUSTER_FETCH, 1000, faults);
	assert_true(wait_problem(&f, "not authorized to read the topic"));
	rd_kafka_mock_clear_request_errors(f.cluster.mock, CLUSTER_FETCH);
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 5);
	assert_values(&f, 0, 5);
	assert_true(wait_problem(&f, ""));
	close_ingest(&f);
}

/* The n-th question of a discovery fails, for each n: it is asked again until all is known. */
static void test_ingest_nth_discovery_fault_is_retried(void **state)
{
	static const int16_t kinds[] = {CLUSTER_METADATA, CLUSTER_LIST_OFFSETS};
	static const rd_kafka_resp_err_t errors[] = {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
						     RD_KAFKA_RESP_ERR__TRANSPORT};

	(void)state;
	for (int n = 0; n < 4; n++) {
		struct fixture f;

		cluster_open(&f.cluster);
		cluster_need_mock(&f.cluster);
		cluster_create(&f.cluster, f.cluster.topic, 3);
		rd_kafka_mock_push_request_errors(f.cluster.mock, kinds[n % 2], 2, errors[n / 2],
						  errors[n / 2]);
		open_ingest(&f);
		ingest_want(f.ingest, f.cluster.topic, 0, &f.token);
		ingest_start(f.ingest);
		assert_true(recorder_wait(f.recorder, RECORDER_CAUGHT_UP, 1));
		assert_int_equal(recorder_count(f.recorder, RECORDER_PARTITION), 3);
		cluster_fill(&f.cluster, f.cluster.topic, 2, 0, 5);
		assert_values(&f, 0, 5);
		close_ingest(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ingest_without_warm_reads_from_end),
	    cmocka_unit_test(test_ingest_with_warm_reads_from_then),
	    cmocka_unit_test(test_ingest_unknown_topic_is_read_from_its_beginning_later),
	    cmocka_unit_test(test_ingest_record_parts_arrive_as_written),
	    cmocka_unit_test(test_ingest_unwanted_topic_is_forgotten_and_wanted_again),
	    cmocka_unit_test(test_ingest_unwanted_at_once_is_forgotten),
	    cmocka_unit_test(test_ingest_unwant_from_inside_the_sink_is_taken),
	    cmocka_unit_test(test_ingest_stopped_while_busy_calls_no_more),
	    cmocka_unit_test(test_ingest_without_topics_starts_and_stops),
	    cmocka_unit_test(test_ingest_impossible_topic_name_is_a_problem),
	    cmocka_unit_test(test_ingest_bad_property_fails),
	    cmocka_unit_test(test_ingest_fetch_faults_lose_and_repeat_nothing),
	    cmocka_unit_test(test_ingest_retention_that_was_faster_is_a_gap),
	    cmocka_unit_test(test_ingest_topic_made_anew_is_a_gap_backwards),
	    cmocka_unit_test(test_ingest_broker_loss_is_survived),
	    cmocka_unit_test(test_ingest_broker_away_at_start_is_waited_for),
	    cmocka_unit_test(test_ingest_leader_change_loses_and_repeats_nothing),
	    cmocka_unit_test(test_ingest_leaderless_partition_starts_later),
	    cmocka_unit_test(test_ingest_missing_rights_are_a_problem),
	    cmocka_unit_test(test_ingest_unauthorized_fetch_is_a_problem_until_it_passes),
	    cmocka_unit_test(test_ingest_nth_discovery_fault_is_retried),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
