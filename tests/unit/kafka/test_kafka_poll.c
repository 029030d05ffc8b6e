#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "cluster.h"
#include "kafka/kafka_conf_priv.h"
#include "kafka/kafka_poll_priv.h"

enum { FOREVER_MS = 1 << 30 };

struct fixture {
	struct cluster cluster;
	rd_kafka_t *kafka;
	rd_kafka_topic_t *topic;
	struct kafka_poll poll;
};

/* A reader of one partition from its beginning. */
static void open_poll(struct fixture *f, const char *limit)
{
	char reason[256];

	memset(f, 0, sizeof(*f));
	cluster_open(&f->cluster);
	cluster_set(&f->cluster, "queued.min.messages", limit);
	cluster_create(&f->cluster, f->cluster.topic, 1);
	assert_int_equal(
	    kafka_conf_open_client(&f->cluster.settings, KAFKA_REPLAY, NULL, &f->kafka, reason), 0);
	f->topic = rd_kafka_topic_new(f->kafka, f->cluster.topic, NULL);
	kafka_poll_open(&f->poll, f->kafka);
	assert_int_equal(rd_kafka_consume_start_queue(f->topic, 0, 0, f->poll.queue), 0);
}

static void close_poll(struct fixture *f)
{
	rd_kafka_consume_stop(f->topic, 0);
	rd_kafka_topic_destroy(f->topic);
	kafka_poll_close(&f->poll);
	rd_kafka_destroy(f->kafka);
	cluster_close(&f->cluster);
}

/* The first message ends the wait, however long that may be: a batch is what is there, not what
 * could still come. */
static void test_kafka_poll_wait_returns_with_what_is_there(void **state)
{
	struct fixture f;
	size_t records = 0;

	(void)state;
	open_poll(&f, "1000");
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 3);
	while (records < 3) {
		assert_true(kafka_poll_wait(&f.poll, FOREVER_MS) > 0);
		assert_int_not_equal(f.poll.arrived_us, 0);
		for (size_t i = 0; i < f.poll.count; i++)
			records += f.poll.messages[i]->err ? 0 : 1;
		kafka_poll_release(&f.poll);
	}
	assert_int_equal(records, 3);
	close_poll(&f);
}

/* With nothing there it returns when its time is over, with nothing. */
static void test_kafka_poll_wait_without_messages_returns_none(void **state)
{
	struct fixture f;

	(void)state;
	open_poll(&f, "1000");
	while (kafka_poll_wait(&f.poll, 2000) > 0)
		kafka_poll_release(&f.poll);
	assert_int_equal(kafka_poll_wait(&f.poll, 0), 0);
	assert_int_equal(f.poll.count, 0);
	close_poll(&f);
}

static void *yield(void *context)
{
	rd_kafka_queue_yield(context);
	return NULL;
}

/* Another thread ends the wait, also when it is earlier than the wait. */
static void test_kafka_poll_wait_is_ended_by_yield(void **state)
{
	struct fixture f;
	pthread_t thread;

	(void)state;
	open_poll(&f, "1000");
	while (kafka_poll_wait(&f.poll, 2000) > 0)
		kafka_poll_release(&f.poll);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(pthread_create(&thread, NULL, yield, f.poll.queue), 0);
		if (i % 2)
			pthread_join(thread, NULL);
		assert_int_equal(kafka_poll_wait(&f.poll, FOREVER_MS), 0);
		if (i % 2 == 0)
			pthread_join(thread, NULL);
	}
	close_poll(&f);
}

/* Half of the limit of messages asks for a nudge, which starts the count again. */
static void test_kafka_poll_wants_nudge_after_half_a_limit(void **state)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	struct fixture f;
	size_t taken = 0;

	(void)state;
	open_poll(&f, "100");
	cluster_fill(&f.cluster, f.cluster.topic, 0, 0, 60);
	while (taken < 50) {
		assert_false(kafka_poll_wants_nudge(&f.poll));
		taken += kafka_poll_wait(&f.poll, FOREVER_MS);
		kafka_poll_release(&f.poll);
	}
	assert_true(kafka_poll_wants_nudge(&f.poll));
	rd_kafka_topic_partition_list_add(list, f.cluster.topic, 0);
	kafka_poll_nudge(&f.poll, list);
	assert_false(kafka_poll_wants_nudge(&f.poll));
	rd_kafka_topic_partition_list_destroy(list);
	close_poll(&f);
}

static void produce_headers(struct fixture *f, size_t count)
{
	rd_kafka_headers_t *headers = rd_kafka_headers_new(count);

	for (size_t i = 0; i < count; i++)
		rd_kafka_header_add(headers, "name", -1, &i, sizeof(i));
	assert_int_equal(rd_kafka_producev(f->cluster.producer, RD_KAFKA_V_TOPIC(f->cluster.topic),
					   RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_HEADERS(headers),
					   RD_KAFKA_V_END),
			 0);
	assert_int_equal(rd_kafka_flush(f->cluster.producer, CLUSTER_PATIENCE_MS), 0);
}

/* Waits for a record; errors, such as a partition's end, may stand before it in the same batch. */
static const rd_kafka_message_t *next_record(struct kafka_poll *poll)
{
	for (;;) {
		assert_true(kafka_poll_wait(poll, FOREVER_MS) > 0);
		for (size_t i = 0; i < poll->count; i++) {
			if (!poll->messages[i]->err)
				return poll->messages[i];
		}
		kafka_poll_release(poll);
	}
}

/* More headers than a record has room for: the first ones are kept. */
static void test_kafka_poll_record_with_too_many_headers_keeps_the_first(void **state)
{
	static const size_t counts[] = {KAFKA_POLL_MAX_HEADERS, KAFKA_POLL_MAX_HEADERS + 1, 5000};
	struct fixture f;

	(void)state;
	open_poll(&f, "1000");
	for (size_t i = 0; i < 3; i++) {
		struct record record = {0};

		produce_headers(&f, counts[i]);
		kafka_poll_record(&f.poll, next_record(&f.poll), &record);
		assert_int_equal(record.header_count, KAFKA_POLL_MAX_HEADERS);
		for (size_t j = 0; j < record.header_count; j++)
			assert_memory_equal(record.headers[j].value.base, &j, sizeof(j));
		kafka_poll_release(&f.poll);
	}
	close_poll(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_kafka_poll_wait_returns_with_what_is_there),
	    cmocka_unit_test(test_kafka_poll_wait_without_messages_returns_none),
	    cmocka_unit_test(test_kafka_poll_wait_is_ended_by_yield),
	    cmocka_unit_test(test_kafka_poll_wants_nudge_after_half_a_limit),
	    cmocka_unit_test(test_kafka_poll_record_with_too_many_headers_keeps_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
