#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "cluster.h"
#include "postgres/migrate.h"
#include "postgres/migrator.h"

static int empty_database(void **state)
{
	(void)state;
	cluster_execute("drop schema public cascade; create schema public");
	return 0;
}

static int apply_with(const struct postgres_settings *settings, unsigned *applied, char why[512])
{
	struct database *database = database_new(settings, "sluice migrate");
	int rc = migrate_apply(database, applied, why);

	database_free(database);
	return rc;
}

static int apply(unsigned *applied, char why[512])
{
	return apply_with(&cluster.settings, applied, why);
}

/* The status as text, the caller's to free. */
static char *status(int *rc, char why[512])
{
	struct database *database = database_new(&cluster.settings, "sluice test");
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	why[0] = '\0';
	*rc = migrate_print_status(database, out, why);
	fclose(out);
	database_free(database);
	return text;
}

static size_t count_lines(const char *text)
{
	size_t count = 0;

	for (; (text = strchr(text, '\n')); text++)
		count++;
	return count;
}

/* An empty database gets them all, recorded with their checksums; the second time there is nothing
 * to do. */
static void test_migrate_empty_database_gets_all(void **state)
{
	unsigned applied = 0;
	char why[512];

	(void)state;
	assert_int_equal(apply(&applied, why), 0);
	assert_true(applied >= 4);
	assert_int_equal(cluster_ask("select count(*) from sluice_migration where number > 0 and "
				     "length(sha256) = 32 and applied_at <= now()"),
			 applied);
	assert_int_equal(cluster_ask("select count(*) from token"), 0);
	assert_int_equal(apply(&applied, why), 0);
	assert_int_equal(applied, 0);
}

/* The recorded checksum is the SHA-256 of the file's bytes. */
static void test_migrate_checksum_is_the_files(void **state)
{
	unsigned applied;
	char why[512], sql[256];
	char *bytes;
	size_t len;
	FILE *hex = open_memstream(&bytes, &len), *file = fopen("migrations/0002_tokens.sql", "r");
	int c;

	(void)state;
	assert_non_null(file);
	fputs("create table file as select '\\x", hex);
	while ((c = getc(file)) != EOF)
		fprintf(hex, "%02x", c);
	fputs("'::bytea as bytes", hex);
	fclose(file);
	fclose(hex);
	assert_int_equal(apply(&applied, why), 0);
	cluster_execute(bytes);
	free(bytes);
	snprintf(sql, sizeof(sql),
		 "select count(*) from sluice_migration, file where number = 2 and name = "
		 "'0002_tokens' and sluice_migration.sha256 = sha256(bytes)");
	assert_int_equal(cluster_ask(sql), 1);
}

/* The status names each with its state, and changes nothing. */
static void test_migrate_status_tells_states(void **state)
{
	unsigned applied;
	char why[512];
	char *text;
	int rc;

	(void)state;
	text = status(&rc, why);
	assert_int_equal(rc, ERROR_CONFLICT);
	assert_non_null(strstr(why, "missing"));
	assert_non_null(strstr(text, "0001 0001_journal missing\n"));
	free(text);
	assert_int_equal(cluster_ask("select (to_regclass('sluice_migration') is null)::int"), 1);
	assert_int_equal(apply(&applied, why), 0);
	text = status(&rc, why);
	assert_int_equal(rc, 0);
	assert_null(strstr(text, "missing"));
	assert_int_equal(count_lines(text), applied);
	assert_non_null(strstr(text, "0001 0001_journal 2"));
	free(text);
}

/* What does not fit is refused, by apply and by status, and apply does nothing. */
static void test_migrate_what_does_not_fit_is_refused(void **state)
{
	static const struct {
		const char *sql, *state, *why;
	} rows[] = {
	    {"update sluice_migration set sha256 = sha256('x') where number = 2",
	     "0002 0002_tokens changed\n", "0002_tokens was changed"},
	    {"update sluice_migration set sha256 = '' where number = 2",
	     "0002 0002_tokens changed\n", "0002_tokens was changed"},
	    {"update sluice_migration set name = '0002_keys' where number = 2",
	     "0002 0002_tokens changed\n", "0002_tokens was changed"},
	    {"insert into sluice_migration values (9999, '9999_future', sha256('x'))",
	     "9999 9999_future unknown\n", "9999_future is in the database, but"},
	    {"insert into sluice_migration values (0, E'a\\nb', '')", "unknown\n", "is in the"},
	};
	unsigned applied = 77;
	char why[512];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *text;
		int rc;

		empty_database(state);
		assert_int_equal(apply(&applied, why), 0);
		cluster_execute(rows[i].sql);
		cluster_execute("delete from sluice_migration where number = 1; "
				"drop table journal_event");
		applied = 77;
		assert_int_equal(apply(&applied, why), ERROR_CONFLICT);
		assert_int_equal(applied, 77);
		assert_non_null(strstr(why, rows[i].why));
		assert_int_equal(cluster_ask("select count(*) from sluice_migration "
					     "where number = 1"),
				 0);
		text = status(&rc, why);
		assert_int_equal(rc, ERROR_CONFLICT);
		assert_non_null(strstr(text, rows[i].state));
		assert_non_null(strstr(why, rows[i].why));
		free(text);
	}
}

/* One that fails leaves nothing of itself; those before it stay, and the rest follows when the
 * reason is gone. */
static void test_migrate_failed_one_leaves_nothing(void **state)
{
	unsigned applied;
	char why[512];

	(void)state;
	cluster_execute("create table revocation (n integer)");
	assert_int_equal(apply(&applied, why), ERROR_POSTGRES);
	assert_non_null(strstr(why, "0002_tokens: relation \"revocation\" already exists"));
	assert_int_equal(cluster_ask("select max(number) from sluice_migration"), 1);
	assert_int_equal(cluster_ask("select (to_regclass('token') is null)::int"), 1);
	cluster_execute("drop table revocation");
	assert_int_equal(apply(&applied, why), 0);
	assert_true(applied >= 3);
}

enum { REPLICAS = 4 };

struct replica {
	const struct postgres_settings *settings;
	pthread_t thread;
	unsigned applied;
	int rc;
	char why[512];
};

static void *run_replica(void *context)
{
	struct replica *replica = context;

	replica->rc = apply_with(replica->settings, &replica->applied, replica->why);
	return NULL;
}

/* Of several that start together each one succeeds, and each migration is applied once. */
static void test_migrate_replicas_together_do_it_once(void **state)
{
	struct replica replicas[REPLICAS] = {0};
	int64_t sum = 0;

	(void)state;
	for (size_t i = 0; i < REPLICAS; i++) {
		replicas[i].settings = &cluster.settings;
		pthread_create(&replicas[i].thread, NULL, run_replica, &replicas[i]);
	}
	for (size_t i = 0; i < REPLICAS; i++) {
		pthread_join(replicas[i].thread, NULL);
		if (replicas[i].rc)
			fail_msg("%s", replicas[i].why);
		sum += replicas[i].applied;
	}
	assert_int_equal(cluster_ask("select count(*) from sluice_migration"), sum);
}

/* Who waits for another's migrations waits longer than a statement may take. */
static void test_migrate_waits_for_others_as_long_as_it_takes(void **state)
{
	struct database *holder = database_new(&cluster.settings, "sluice holder");
	struct postgres_settings hasty = cluster.settings;
	struct replica replica = {.settings = &hasty};

	(void)state;
	hasty.statement_timeout_ms = 100;
	cluster_must(holder, database_execute(holder, "select pg_advisory_lock(126943837217637)"));
	pthread_create(&replica.thread, NULL, run_replica, &replica);
	cluster_await("select count(*) from pg_stat_activity where application_name = "
		      "'sluice migrate' and wait_event_type = 'Lock' and "
		      "clock_timestamp() - query_start > '2.5 s'",
		      1);
	database_free(holder);
	pthread_join(replica.thread, NULL);
	assert_int_equal(replica.rc, 0);
	assert_true(replica.applied >= 4);
}

/* Without a server it fails and says why. */
static void test_migrate_absent_server_is_an_error(void **state)
{
	unsigned applied = 77;
	char why[512];
	char *text;
	int rc;

	(void)state;
	cluster_stop();
	assert_int_equal(apply(&applied, why), ERROR_UNAVAILABLE);
	assert_int_equal(applied, 77);
	assert_non_null(strstr(why, "connection to server"));
	text = status(&rc, why);
	assert_int_equal(rc, ERROR_UNAVAILABLE);
	assert_string_equal(text, "");
	free(text);
	cluster_start();
}

/* At the start of a gateway: done when it returns, where the server is there. */
static void test_migrator_applies_before_it_returns(void **state)
{
	struct migrator *migrator;
	char why[256];

	(void)state;
	assert_int_equal(migrator_start(&cluster.settings, &migrator), 0);
	assert_true(migrator_ready(migrator, why));
	migrator_stop(migrator);
	assert_true(cluster_ask("select count(*) from sluice_migration") >= 4);
}

/* Where it is not, the gateway goes on, and the migrations come when the server does. */
static void test_migrator_goes_on_until_the_server_comes(void **state)
{
	struct migrator *migrator;
	char why[256];

	(void)state;
	cluster_stop();
	assert_int_equal(migrator_start(&cluster.settings, &migrator), 0);
	assert_false(migrator_ready(migrator, why));
	assert_non_null(strstr(why, "connection to server"));
	cluster_start();
	cluster_await_that(migrator_ready(migrator, why));
	migrator_stop(migrator);
	assert_true(cluster_ask("select count(*) from sluice_migration") >= 4);
}

/* Nor does a statement that the server refuses end it: the reason may go away. */
static void test_migrator_goes_on_until_nothing_is_in_the_way(void **state)
{
	struct migrator *migrator;
	char why[256];

	(void)state;
	cluster_execute("create table revocation (n integer)");
	assert_int_equal(migrator_start(&cluster.settings, &migrator), 0);
	assert_false(migrator_ready(migrator, why));
	assert_non_null(strstr(why, "0002_tokens: relation \"revocation\" already exists"));
	cluster_execute("drop table revocation");
	cluster_await_that(migrator_ready(migrator, why));
	migrator_stop(migrator);
	assert_true(cluster_ask("select count(*) from sluice_migration") >= 4);
}

/* It may stop while it waits. */
static void test_migrator_stops_while_it_waits(void **state)
{
	struct migrator *migrator;

	(void)state;
	cluster_stop();
	assert_int_equal(migrator_start(&cluster.settings, &migrator), 0);
	migrator_stop(migrator);
	cluster_start();
}

/* What does not fit is no start. */
static void test_migrator_conflict_is_an_error(void **state)
{
	struct migrator *migrator;
	unsigned applied;
	char why[512];

	(void)state;
	assert_int_equal(apply(&applied, why), 0);
	cluster_execute("update sluice_migration set sha256 = '' where number = 1");
	assert_int_equal(migrator_start(&cluster.settings, &migrator), ERROR_CONFLICT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define MIGRATE_TEST(test) cmocka_unit_test_setup(test, empty_database)
	    MIGRATE_TEST(test_migrate_empty_database_gets_all),
	    MIGRATE_TEST(test_migrate_checksum_is_the_files),
	    MIGRATE_TEST(test_migrate_status_tells_states),
	    MIGRATE_TEST(test_migrate_what_does_not_fit_is_refused),
	    MIGRATE_TEST(test_migrate_failed_one_leaves_nothing),
	    MIGRATE_TEST(test_migrate_replicas_together_do_it_once),
	    MIGRATE_TEST(test_migrate_waits_for_others_as_long_as_it_takes),
	    MIGRATE_TEST(test_migrate_absent_server_is_an_error),
	    MIGRATE_TEST(test_migrator_applies_before_it_returns),
	    MIGRATE_TEST(test_migrator_goes_on_until_the_server_comes),
	    MIGRATE_TEST(test_migrator_goes_on_until_nothing_is_in_the_way),
	    MIGRATE_TEST(test_migrator_stops_while_it_waits),
	    MIGRATE_TEST(test_migrator_conflict_is_an_error),
	};

	return cmocka_run_group_tests(tests, cluster_open, cluster_close);
}
