#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>

#include "cluster.h"
#include "postgres/notifications.h"

/* Follows the one row of its table. */
struct follower {
	const struct database_statement *read;
	_Atomic int64_t seen;
	_Atomic int resyncs, notified;
	_Atomic int refuse; /* as many notifications as that fail */
	char payload[8192]; /* the last */
};

static const struct database_statement read_followed = {"followed", "select n from followed"};
static const struct database_statement read_late = {"late", "select n from late"};
static const struct database_statement read_asleep = {"asleep", "select 1 from pg_sleep(600)"};

static int follow_resync(void *context, struct database *database)
{
	struct follower *follower = context;
	struct database_result *result;
	int rc = database_run(database, follower->read, NULL, 0, &result);

	if (rc)
		return rc;
	atomic_store(&follower->seen, database_get_int8(result, 0, 0));
	database_result_free(result);
	atomic_fetch_add(&follower->resyncs, 1);
	return 0;
}

static int follow_notified(void *context, struct database *database, struct slice payload)
{
	struct follower *follower = context;

	if (atomic_load(&follower->refuse)) {
		atomic_fetch_sub(&follower->refuse, 1);
		return ERROR_INVALID;
	}
	snprintf(follower->payload, sizeof(follower->payload), "%.*s", (int)payload.len,
		 payload.base);
	atomic_fetch_add(&follower->notified, 1);
	return database_execute(database, "select 1");
}

static void add_follower(struct notifications *notifications, const char *channel,
			 struct follower *follower)
{
	notifications_add(notifications, &(struct notifications_channel){
					     channel, follow_resync, follow_notified, follower});
}

static void await_ready(struct notifications *notifications)
{
	char why[256];

	cluster_await_that(notifications_ready(notifications, why));
}

static struct notifications *open_follower(struct follower *follower)
{
	struct notifications *notifications = notifications_new(&cluster.settings);

	cluster_execute("drop table if exists followed; create table followed as select 0 as n");
	add_follower(notifications, "sluice_test", follower);
	notifications_start(notifications);
	await_ready(notifications);
	return notifications;
}

static void close_follower(struct notifications *notifications)
{
	notifications_stop(notifications);
	notifications_free(notifications);
}

/* Each channel is resynced once at the start, and hears its own notifications only. */
static void test_notifications_reach_their_channel(void **state)
{
	struct notifications *notifications = notifications_new(&cluster.settings);
	struct follower first = {.read = &read_followed}, second = {.read = &read_followed};

	(void)state;
	cluster_execute("create table followed as select 7 as n");
	add_follower(notifications, "sluice_first", &first);
	add_follower(notifications, "sluice_second", &second);
	notifications_start(notifications);
	await_ready(notifications);
	assert_int_equal(atomic_load(&first.seen), 7);
	assert_int_equal(atomic_load(&second.seen), 7);
	cluster_execute("notify sluice_first, 'a'; notify sluice_other, 'x'; "
			"notify sluice_second, 'b'; notify sluice_first, 'c'");
	cluster_await_that(atomic_load(&first.notified) == 2 && atomic_load(&second.notified) == 1);
	notifications_stop(notifications);
	assert_string_equal(first.payload, "c");
	assert_string_equal(second.payload, "b");
	assert_int_equal(atomic_load(&first.resyncs), 1);
	assert_int_equal(atomic_load(&second.resyncs), 1);
	notifications_free(notifications);
}

/* A payload comes as it was sent, up to the longest that PostgreSQL takes. */
static void test_notifications_payload_comes_as_it_was_sent(void **state)
{
	struct follower follower = {.read = &read_followed};
	struct notifications *notifications = open_follower(&follower);

	(void)state;
	cluster_execute("select pg_notify('sluice_test', E'\\r\\n\\t''\"\\\\\xc3\xbc')");
	cluster_await_that(atomic_load(&follower.notified) == 1);
	assert_string_equal(follower.payload, "\r\n\t'\"\\\xc3\xbc");
	cluster_execute("select pg_notify('sluice_test', repeat('x', 7999))");
	cluster_await_that(atomic_load(&follower.notified) == 2);
	assert_int_equal(strlen(follower.payload), 7999);
	cluster_execute("notify sluice_test");
	cluster_await_that(atomic_load(&follower.notified) == 3);
	close_follower(notifications);
	assert_string_equal(follower.payload, "");
}

/* What is told while the connection is gone is known after the resync. */
static void test_notifications_lost_ones_are_made_up(void **state)
{
	struct follower follower = {.read = &read_followed};
	struct notifications *notifications = open_follower(&follower);

	(void)state;
	for (int i = 1; i <= 6; i++) {
		char sql[128];

		if (i % 3 == 0)
			cluster_kill();
		else
			cluster_stop();
		cluster_start();
		snprintf(sql, sizeof(sql), "update followed set n = %d; notify sluice_test", i);
		cluster_execute(sql);
		cluster_await_that(atomic_load(&follower.resyncs) == 1 + i ||
				   atomic_load(&follower.notified));
		cluster_await("select count(*) from pg_stat_activity where application_name = "
			      "'sluice notifications'",
			      1);
		await_ready(notifications);
	}
	cluster_stop();
	cluster_start();
	cluster_await_that(atomic_load(&follower.seen) == 6);
	close_follower(notifications);
}

/* The listener's own session is ended in the transaction that notifies: nobody hears it. */
static void test_notifications_ended_session_is_made_up(void **state)
{
	struct follower follower = {.read = &read_followed};
	struct notifications *notifications = open_follower(&follower);

	(void)state;
	cluster_execute("begin; update followed set n = 42; notify sluice_test; "
			"select pg_terminate_backend(pid, 60000) from pg_stat_activity "
			"where application_name = 'sluice notifications'; commit");
	cluster_await_that(atomic_load(&follower.seen) == 42 || atomic_load(&follower.notified));
	close_follower(notifications);
}

/* A notification that cannot be taken is made up by reading everything anew. */
static void test_notifications_refused_one_resyncs(void **state)
{
	struct follower follower = {.read = &read_followed, .refuse = 1};
	struct notifications *notifications = open_follower(&follower);

	(void)state;
	cluster_execute("update followed set n = 3; notify sluice_test, 'refused'");
	cluster_await_that(atomic_load(&follower.seen) == 3);
	assert_int_equal(atomic_load(&follower.resyncs), 2);
	assert_int_equal(atomic_load(&follower.notified), 0);
	cluster_execute("notify sluice_test, 'taken'");
	cluster_await_that(atomic_load(&follower.notified) == 1);
	close_follower(notifications);
}

/* Until its tables are there a channel is not ready and says why; then it is. */
static void test_notifications_wait_for_their_tables(void **state)
{
	struct notifications *notifications = notifications_new(&cluster.settings);
	struct follower follower = {.read = &read_late};
	char why[256];

	(void)state;
	assert_false(notifications_ready(notifications, why));
	add_follower(notifications, "sluice_test", &follower);
	notifications_start(notifications);
	cluster_await_that(!notifications_ready(notifications, why) &&
			   strstr(why, "\"late\" does not exist"));
	cluster_execute("create table late as select 5 as n");
	await_ready(notifications);
	assert_int_equal(atomic_load(&follower.seen), 5);
	close_follower(notifications);
}

/* With no server it is not ready and says why; when one comes it is. */
static void test_notifications_wait_for_the_server(void **state)
{
	struct notifications *notifications = notifications_new(&cluster.settings);
	struct follower follower = {.read = &read_followed};
	char why[256];

	(void)state;
	cluster_execute("drop table if exists followed; create table followed as select 0 as n");
	cluster_stop();
	add_follower(notifications, "sluice_test", &follower);
	notifications_start(notifications);
	cluster_await_that(!notifications_ready(notifications, why) &&
			   strstr(why, "connection to server"));
	cluster_start();
	await_ready(notifications);
	close_follower(notifications);
}

/* A server that is there and says nothing any more is noticed by the probe. */
static void test_notifications_silent_server_is_noticed(void **state)
{
	struct postgres_settings hasty = cluster.settings;
	struct notifications *notifications = notifications_new(&hasty);
	struct follower follower = {.read = &read_followed};
	char why[256];

	(void)state;
	hasty.statement_timeout_ms = 1000;
	cluster_execute("drop table if exists followed; create table followed as select 0 as n");
	add_follower(notifications, "sluice_test", &follower);
	notifications_start(notifications);
	await_ready(notifications);
	private_postgres_pause(cluster.postgres);
	cluster_await_that(!notifications_ready(notifications, why));
	private_postgres_resume(cluster.postgres);
	await_ready(notifications);
	assert_int_equal(atomic_load(&follower.resyncs), 2);
	close_follower(notifications);
}

/* A stop does not wait for what a channel is asking the server. */
static void test_notifications_stop_interrupts_a_channel(void **state)
{
	struct notifications *notifications = notifications_new(&cluster.settings);
	struct follower follower = {.read = &read_asleep};

	(void)state;
	add_follower(notifications, "sluice_test", &follower);
	notifications_start(notifications);
	cluster_await("select count(*) from pg_stat_activity where application_name = "
		      "'sluice notifications' and wait_event = 'PgSleep'",
		      1);
	close_follower(notifications);
	assert_int_equal(atomic_load(&follower.resyncs), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_notifications_reach_their_channel),
	    cmocka_unit_test(test_notifications_payload_comes_as_it_was_sent),
	    cmocka_unit_test(test_notifications_lost_ones_are_made_up),
	    cmocka_unit_test(test_notifications_ended_session_is_made_up),
	    cmocka_unit_test(test_notifications_refused_one_resyncs),
	    cmocka_unit_test(test_notifications_wait_for_their_tables),
	    cmocka_unit_test(test_notifications_wait_for_the_server),
	    cmocka_unit_test(test_notifications_silent_server_is_noticed),
	    cmocka_unit_test(test_notifications_stop_interrupts_a_channel),
	};

	return cmocka_run_group_tests(tests, cluster_open, cluster_close);
}
