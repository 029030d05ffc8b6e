/* Replays from the journal on a real Kafka and a real PostgreSQL: what Kafka has deleted, what only
 * one of the two has, and the starts that look for something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal_replay.h"
#include "lib/watch.h"

/* A user's client that has got its first events and goes away; then much happens. */
static void miss_much(struct subscriber *subscriber, uint32_t much)
{
	subscriber_init(subscriber, "/users/u3", 3);
	subscribe(subscriber, 0, "/users/u3", NULL);
	assert_true(sse_client_loop_until(loop, is_connected, subscriber, PATIENCE_MS));
	send_events(1000);
	owe_from(subscriber, 0);
	expect_all(subscriber);
	unsubscribe(subscriber);
	send_events(much);
	owe_from(subscriber, 1000);
}

/* Kafka has deleted all, both gateways are killed and have begun anew: the missed events come from
 * the journal alone, whichever gateway is asked. */
static void test_journal_replay_gives_what_kafka_has_deleted(void **state)
{
	struct subscriber subscriber;

	(void)state;
	miss_much(&subscriber, 20000);
	wait_journaled();
	forget_in_kafka(0);
	for (int i = 0; i < REPLICAS; i++) {
		gateway_process_kill(&replicas[i]);
		start_replica(i);
	}
	subscribe(&subscriber, 1, "/users/u3", subscriber.last_event_id);
	expect_all(&subscriber);
	assert_true(metric_of_all("sluice_replays_total{source=\"journal\"}") == 1);
	assert_true(metric_of_all("sluice_replays_total{source=\"kafka\"}") == 0);
	/* An index, not the topic: nobody else's events were looked at. */
	assert_true(metric_of_all("sluice_replay_records_total{source=\"journal\"}") < 3000);
	send_events(500);
	owe_from(&subscriber, sent - 500);
	expect_all(&subscriber);
	assert_int_equal(subscriber.gaps, 0);
	subscriber_fini(&subscriber);
}

/* PostgreSQL is stopped: Kafka serves the same, and that is counted. */
static void test_journal_replay_without_postgres_is_kafkas(void **state)
{
	struct subscriber subscriber;
	double from_journal;

	(void)state;
	miss_much(&subscriber, 5000);
	from_journal = metric_of_all("sluice_replays_total{source=\"journal\"}");
	private_postgres_stop(postgres.cluster);
	subscribe(&subscriber, 1, "/users/u3", subscriber.last_event_id);
	expect_all(&subscriber);
	assert_int_equal(subscriber.gaps, 0);
	assert_true(metric_of_all("sluice_replays_total{source=\"journal\"}") == from_journal);
	assert_true(metric_of_all("sluice_replays_total{source=\"kafka\"}") >= 1);
	assert_true(metric_of_all("sluice_journal_fallbacks_total") >= 1);
	postgres_server_restart(&postgres);
	subscriber_fini(&subscriber);
}

/* PostgreSQL is away for a moment, and Kafka has nothing: it is waited for, and nothing is lost. */
static void test_journal_replay_waits_for_postgres_where_kafka_has_nothing(void **state)
{
	struct subscriber subscriber;

	(void)state;
	miss_much(&subscriber, 5000);
	wait_journaled();
	forget_in_kafka(0);
	private_postgres_kill(postgres.cluster);
	subscribe(&subscriber, 1, "/users/u3", subscriber.last_event_id);
	for (int i = 0; i < 50; i++)
		sse_client_loop_run(loop, TURN_MS);
	assert_false(ledger_complete(&subscriber.ledger));
	postgres_server_restart(&postgres);
	expect_all(&subscriber);
	assert_int_equal(subscriber.gaps, 0);
	subscriber_fini(&subscriber);
}

/* The journal ends in the middle of what was missed: it and Kafka have a part each. */
static void test_journal_replay_that_is_behind_goes_on_in_kafka(void **state)
{
	struct subscriber subscriber;

	(void)state;
	miss_much(&subscriber, 8000);
	wait_journaled();
	forget_in_kafka(0);
	private_postgres_pause(postgres.cluster);
	send_events(8000);
	owe_from(&subscriber, sent - 8000);
	private_postgres_resume(postgres.cluster);
	subscribe(&subscriber, 1, "/users/u3", subscriber.last_event_id);
	expect_all(&subscriber);
	assert_int_equal(subscriber.gaps, 0);
	subscriber_fini(&subscriber);
}

static void expect_from(const char *path, int user, uint32_t from)
{
	struct subscriber subscriber;

	subscriber_init(&subscriber, path, user);
	owe_from(&subscriber, from);
	subscribe(&subscriber, 0, path, NULL);
	expect_all(&subscriber);
	assert_int_equal(subscriber.gaps, 0);
	assert_int_equal(subscriber.connected, 1);
	subscriber_fini(&subscriber);
}

/* ?since= by a time and by a duration: Kafka's time index finds the place, and what Kafka has
 * deleted comes from the journal. */
static void test_journal_replay_since_begins_at_the_time(void **state)
{
	char text[25], path[128];
	uint32_t from = 7000;

	(void)state;
	send_events(12000);
	clock_format_rfc3339(time_of(from), text);
	snprintf(path, sizeof(path), "/plain?since=%s", text);
	expect_from(path, -1, from);
	expect_from("/plain?since=2h", -1, 0);
	wait_journaled();
	forget_in_kafka(3);
	snprintf(path, sizeof(path), "/all?since=%s", text);
	expect_from(path, -1, from);
	snprintf(path, sizeof(path), "/users/u5?since=%s", text);
	expect_from(path, 5, from);
	expect_from("/all?since=2h", -1, 0);
	expect_from("/all?since=1s", -1, sent);
}

static bool has_response(void *context)
{
	return sse_client_facts(context).status != 0;
}

/* What is no time is refused with what would be right; an id is stronger than a time. */
static void test_journal_replay_since_that_is_no_time_is_refused(void **state)
{
	struct subscriber subscriber;

	(void)state;
	subscriber_init(&subscriber, "/all", -1);
	subscribe(&subscriber, 0, "/all?since=yesterday", NULL);
	assert_true(sse_client_loop_until(loop, has_response, subscriber.client, PATIENCE_MS));
	for (int i = 0; i < 10; i++)
		sse_client_loop_run(loop, TURN_MS);
	assert_int_equal(sse_client_facts(subscriber.client).status, 400);
	assert_non_null(memmem(sse_client_facts(subscriber.client).body.base,
			       sse_client_facts(subscriber.client).body.len, "15m", 3));
	unsubscribe(&subscriber);
	subscribe(&subscriber, 0, "/all", NULL);
	assert_true(sse_client_loop_until(loop, is_connected, &subscriber, PATIENCE_MS));
	send_events(100);
	owe_from(&subscriber, 0);
	expect_all(&subscriber);
	unsubscribe(&subscriber);
	subscribe(&subscriber, 1, "/all?since=2h", subscriber.last_event_id);
	send_events(100);
	owe_from(&subscriber, 100);
	expect_all(&subscriber);
	subscriber_fini(&subscriber);
}

/* The last 40 of a user are 40, the newest, though Kafka has a few of them only. */
static void test_journal_replay_last_gives_the_newest(void **state)
{
	struct subscriber subscriber;
	uint32_t found = 0;

	(void)state;
	send_events(10000);
	wait_ingested(0);
	wait_journaled();
	forget_in_kafka(3);
	subscriber_init(&subscriber, "/last/u3", 3);
	for (uint32_t n = sent; n-- > 0 && found < 40;) {
		if (user_of(n) != 3)
			continue;
		ledger_owe(&subscriber.ledger, n);
		found++;
	}
	subscribe(&subscriber, 0, "/last/u3", NULL);
	expect_all(&subscriber);
	assert_int_equal(subscriber.gaps, 0);
	subscriber_fini(&subscriber);
}

/* A client that knows an id of the payload's only goes on after it, at another gateway; one that
 * nobody knows is a gap, and no error. */
static void test_journal_replay_maps_ids_of_the_payload(void **state)
{
	struct subscriber subscriber;

	(void)state;
	subscriber_init(&subscriber, "/ids", -1);
	subscribe(&subscriber, 0, "/ids", NULL);
	assert_true(sse_client_loop_until(loop, is_connected, &subscriber, PATIENCE_MS));
	/* One that falls out of the window comes back by event time, which is not the order of
	 * arrival. */
	while (sent < 2000) {
		send_events(100);
		owe_from(&subscriber, sent - 100);
		expect_all(&subscriber);
	}
	unsubscribe(&subscriber);
	/* By event time it is the last: the partitions may have come in another order. */
	snprintf(subscriber.last_event_id, sizeof(subscriber.last_event_id), "id-1999");
	send_events(8000);
	owe_from(&subscriber, 2000);
	wait_journaled();
	forget_in_kafka(0);
	subscribe(&subscriber, 1, "/ids", subscriber.last_event_id);
	expect_all(&subscriber);
	assert_int_equal(subscriber.gaps, 0);
	unsubscribe(&subscriber);
	ledger_fini(&subscriber.ledger);
	subscriber_init(&subscriber, "/ids", -1);
	owe_from(&subscriber, 0);
	subscribe(&subscriber, 1, "/ids", "id-of-nobody");
	expect_all(&subscriber);
	assert_int_equal(subscriber.gaps, 1);
	subscriber_fini(&subscriber);
}

/* The newest event of each key that is there, then what comes. */
static void test_journal_replay_current_gives_the_state(void **state)
{
	struct subscriber subscriber;
	enum { ROUND = PARTITIONS * USERS };

	(void)state;
	send_events(20 * ROUND);
	/* Those of the first key of each partition go. */
	for (uint32_t i = 0; i < PARTITIONS; i++)
		send_one(true);
	kafka_producer_flush(producer);
	wait_ingested(0);
	subscriber_init(&subscriber, "/state", -1);
	for (uint32_t n = sent - ROUND; n < sent - PARTITIONS; n++)
		ledger_owe(&subscriber.ledger, n);
	subscribe(&subscriber, 0, "/state", NULL);
	expect_all(&subscriber);
	send_events(100);
	owe_from(&subscriber, sent - 100);
	expect_all(&subscriber);
	assert_int_equal(subscriber.gaps, 0);
	unsubscribe(&subscriber);
	send_events(100);
	owe_from(&subscriber, sent - 100);
	subscribe(&subscriber, 1, "/state", subscriber.last_event_id);
	expect_all(&subscriber);
	subscriber_fini(&subscriber);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_journal_replay_gives_what_kafka_has_deleted),
	    TEST(test_journal_replay_without_postgres_is_kafkas),
	    TEST(test_journal_replay_waits_for_postgres_where_kafka_has_nothing),
	    TEST(test_journal_replay_that_is_behind_goes_on_in_kafka),
	    TEST(test_journal_replay_since_begins_at_the_time),
	    TEST(test_journal_replay_since_that_is_no_time_is_refused),
	    TEST(test_journal_replay_last_gives_the_newest),
	    TEST(test_journal_replay_maps_ids_of_the_payload),
	    TEST(test_journal_replay_current_gives_the_state),
	};

	return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
