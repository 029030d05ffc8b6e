#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "cluster.h"

static struct database *open_database(void)
{
	return database_new(&cluster.settings, "sluice test");
}

/* A rollback that cannot be said to the server any more still leaves the first failure to be told.
 */
static void test_database_rollback_keeps_the_reason(void **state)
{
	struct database *database = open_database();

	(void)state;
	cluster_must(database, database_begin(database));
	assert_int_equal(database_execute(database, "select 1 / 0"), ERROR_POSTGRES);
	cluster_kill();
	database_rollback(database);
	assert_string_equal(database_sqlstate(database), "22012");
	assert_string_equal(database_error(database), "division by zero");
	cluster_start();
	cluster_must(database, database_connect(database));
	database_free(database);
}

/* A session that says nothing inside a transaction loses its locks. */
static void test_database_silent_transaction_is_ended(void **state)
{
	struct postgres_settings hasty = cluster.settings;
	struct database *database = database_new(&hasty, "sluice silent");

	(void)state;
	hasty.statement_timeout_ms = 100;
	cluster_must(database, database_begin(database));
	cluster_await("select count(*) from pg_stat_activity where application_name = "
		      "'sluice silent'",
		      0);
	assert_int_equal(database_commit(database), ERROR_UNAVAILABLE);
	cluster_must(database, database_execute(database, "select 1"));
	database_free(database);
}

/* A server that no longer answers is given up in time, and found again when it does. */
static void test_database_paused_server_is_given_up(void **state)
{
	struct postgres_settings hasty = cluster.settings;
	struct database *database = database_new(&hasty, "sluice hasty");

	(void)state;
	hasty.statement_timeout_ms = hasty.connect_timeout_ms = 100;
	cluster_must(database, database_execute(database, "select 1"));
	private_postgres_pause(cluster.postgres);
	assert_int_equal(database_execute(database, "select 1"), ERROR_UNAVAILABLE);
	assert_non_null(strstr(database_error(database), "does not answer"));
	assert_int_equal(database_connect(database), ERROR_UNAVAILABLE);
	private_postgres_resume(cluster.postgres);
	hasty.connect_timeout_ms = CLUSTER_PATIENCE_MS;
	cluster_must(database, database_connect(database));
	database_free(database);
}

/* A connection that broke while nobody used it is replaced before anybody notices. */
static void test_database_restart_while_idle_is_not_noticed(void **state)
{
	struct database *database = open_database();

	(void)state;
	for (int i = 0; i < 3; i++) {
		cluster_must(database, database_execute(database, "select 1"));
		i % 2 ? cluster_kill() : cluster_stop();
		cluster_start();
	}
	cluster_must(database, database_execute(database, "select 1"));
	database_free(database);
}

/* Killed in the middle of a transaction: nothing of it is there, and what follows it in the code
 * does not run outside of it. */
static void test_database_transaction_that_was_lost_stays_lost(void **state)
{
	struct database *database = open_database();
	uint64_t rows;

	(void)state;
	cluster_execute("create table lost (n integer)");
	cluster_must(database, database_begin(database));
	cluster_must(database, database_execute(database, "insert into lost values (1)"));
	cluster_kill();
	cluster_start();
	assert_int_equal(database_execute(database, "insert into lost values (2)"),
			 ERROR_UNAVAILABLE);
	assert_int_equal(database_execute(database, "insert into lost values (3)"),
			 ERROR_UNAVAILABLE);
	assert_int_equal(database_copy_begin(database, "copy lost from stdin"), ERROR_UNAVAILABLE);
	assert_int_equal(database_copy_put(database, SLICE_LIT("4\n")), ERROR_UNAVAILABLE);
	assert_int_equal(database_copy_end(database, &rows), ERROR_UNAVAILABLE);
	assert_int_equal(database_commit(database), ERROR_UNAVAILABLE);
	assert_int_equal(cluster_ask("select count(*) from lost"), 0);
	cluster_must(database, database_connect(database));
	cluster_must(database, database_execute(database, "insert into lost values (5)"));
	assert_int_equal(cluster_ask("select count(*) from lost"), 1);
	database_free(database);
}

/* With nobody there calls fail at once and say so; as soon as there is one again it is found. */
static void test_database_absent_server_is_found_when_it_comes(void **state)
{
	struct database *database = open_database();

	(void)state;
	cluster_stop();
	assert_int_equal(database_connect(database), ERROR_UNAVAILABLE);
	assert_string_not_equal(database_error(database), "");
	assert_int_equal(database_begin(database), ERROR_UNAVAILABLE);
	database_rollback(database);
	cluster_start();
	cluster_must(database, database_connect(database));
	cluster_must(database, database_execute(database, "select 1"));
	database_free(database);
}

/* An administrator's kick is a lost connection, with the server's own words. */
static void test_database_terminated_session_is_a_loss(void **state)
{
	struct database *database = open_database();

	(void)state;
	assert_int_equal(
	    database_execute(database, "select pg_terminate_backend(pg_backend_pid())"),
	    ERROR_UNAVAILABLE);
	assert_string_equal(database_sqlstate(database), "57P01");
	cluster_must(database, database_connect(database));
	database_free(database);
}

static void *interrupt_when_asleep(void *context)
{
	cluster_await("select count(*) from pg_stat_activity where application_name = "
		      "'sluice asleep' and wait_event = 'PgSleep'",
		      1);
	database_interrupt(context);
	return NULL;
}

/* An interrupt ends what runs, here and before long on the server, and all that comes later. */
static void test_database_interrupt_ends_what_runs(void **state)
{
	struct postgres_settings patient = cluster.settings;
	struct database *database = database_new(&patient, "sluice asleep");
	pthread_t thread;
	uint64_t rows;

	(void)state;
	patient.statement_timeout_ms = 3600000;
	pthread_create(&thread, NULL, interrupt_when_asleep, database);
	cluster_must(database, database_begin(database));
	assert_int_equal(database_execute(database, "select pg_sleep(3600)"), ERROR_CANCELLED);
	pthread_join(thread, NULL);
	assert_int_equal(database_commit(database), ERROR_CANCELLED);
	database_rollback(database);
	assert_int_equal(database_connect(database), ERROR_CANCELLED);
	assert_int_equal(database_execute(database, "select 1"), ERROR_CANCELLED);
	assert_int_equal(database_copy_end(database, &rows), ERROR_CANCELLED);
	cluster_await("select count(*) from pg_stat_activity where application_name = "
		      "'sluice asleep'",
		      0);
	database_free(database);
}

static void *interrupt(void *context)
{
	database_interrupt(context);
	return NULL;
}

/* It also ends the waiting for a server that is away. */
static void test_database_interrupt_ends_waiting_for_a_server(void **state)
{
	struct database *database = open_database();
	pthread_t thread;
	int rc;

	(void)state;
	cluster_stop();
	assert_int_equal(database_connect(database), ERROR_UNAVAILABLE);
	pthread_create(&thread, NULL, interrupt, database);
	while ((rc = database_connect(database)) == ERROR_UNAVAILABLE)
		;
	assert_int_equal(rc, ERROR_CANCELLED);
	pthread_join(thread, NULL);
	cluster_start();
	database_free(database);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_database_rollback_keeps_the_reason),
	    cmocka_unit_test(test_database_silent_transaction_is_ended),
	    cmocka_unit_test(test_database_paused_server_is_given_up),
	    cmocka_unit_test(test_database_restart_while_idle_is_not_noticed),
	    cmocka_unit_test(test_database_transaction_that_was_lost_stays_lost),
	    cmocka_unit_test(test_database_absent_server_is_found_when_it_comes),
	    cmocka_unit_test(test_database_terminated_session_is_a_loss),
	    cmocka_unit_test(test_database_interrupt_ends_what_runs),
	    cmocka_unit_test(test_database_interrupt_ends_waiting_for_a_server),
	};

	return cmocka_run_group_tests(tests, cluster_open, cluster_close);
}
