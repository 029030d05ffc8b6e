#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cluster.h"

static struct database *open_database(void)
{
	return database_new(&cluster.settings, "sluice test");
}

/* The header, a row of one integer and the trailer of PostgreSQL's binary COPY. */
#define COPY_HEADER  "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
#define COPY_ROW     "\0\1\0\0\0\4\0\0\0\7"
#define COPY_TRAILER "\377\377"

static const char copy_numbers[] = "copy numbers (n) from stdin (format binary)";

/* Rows that are copied are there, counted, and in the transaction. */
static void test_database_copied_rows_are_there(void **state)
{
	struct database *database = open_database();
	uint64_t rows = 0;

	(void)state;
	cluster_execute("drop table if exists numbers; create table numbers (n integer)");
	cluster_must(database, database_begin(database));
	cluster_must(database, database_copy_begin(database, copy_numbers));
	cluster_must(database, database_copy_put(database, SLICE_LIT(COPY_HEADER)));
	for (int i = 0; i < 1000; i++)
		cluster_must(database, database_copy_put(database, SLICE_LIT(COPY_ROW COPY_ROW)));
	cluster_must(database, database_copy_put(database, SLICE_LIT(COPY_TRAILER)));
	cluster_must(database, database_copy_end(database, &rows));
	assert_int_equal(rows, 2000);
	assert_int_equal(cluster_ask("select count(*) from numbers"), 0);
	cluster_must(database, database_commit(database));
	assert_int_equal(cluster_ask("select sum(n) from numbers"), 14000);
	database_free(database);
}

/* More than any buffer holds goes through. */
static void test_database_large_copy_goes_through(void **state)
{
	const size_t len = 1 << 20;
	struct database *database = open_database();
	char *line = mem_alloc(len);
	uint64_t rows = 0;

	(void)state;
	memset(line, 'x', len);
	line[len - 1] = '\n';
	cluster_must(database, database_execute(database, "create temp table large (t text)"));
	cluster_must(database, database_copy_begin(database, "copy large from stdin"));
	for (int i = 0; i < 32; i++)
		cluster_must(database, database_copy_put(database, (struct slice){line, len}));
	cluster_must(database, database_copy_end(database, &rows));
	assert_int_equal(rows, 32);
	free(line);
	database_free(database);
}

/* What the server does not take it says at the end, however much came after. */
static void test_database_copy_of_nonsense_is_refused_at_its_end(void **state)
{
	struct database *database = open_database();
	uint64_t rows = 7;

	(void)state;
	cluster_execute("drop table if exists numbers; create table numbers (n integer)");
	cluster_must(database, database_begin(database));
	cluster_must(database, database_copy_begin(database, copy_numbers));
	for (int i = 0; i < 100; i++)
		cluster_must(database, database_copy_put(database, SLICE_LIT("nonsense")));
	assert_int_equal(database_copy_end(database, &rows), ERROR_POSTGRES);
	assert_string_equal(database_sqlstate(database), "22P04");
	assert_int_equal(rows, 7);
	database_rollback(database);
	cluster_must(database, database_execute(database, "select 1"));
	database_free(database);
}

/* A COPY that is left in the middle is undone by the rollback. */
static void test_database_copy_that_is_left_is_undone(void **state)
{
	struct database *database = open_database();

	(void)state;
	cluster_execute("drop table if exists numbers; create table numbers (n integer)");
	cluster_must(database, database_begin(database));
	cluster_must(database, database_copy_begin(database, copy_numbers));
	cluster_must(database, database_copy_put(database, SLICE_LIT(COPY_HEADER COPY_ROW)));
	database_rollback(database);
	cluster_must(database, database_execute(database, "select 1"));
	assert_int_equal(cluster_ask("select count(*) from numbers"), 0);
	database_free(database);
}

/* A server that dies in the middle of a COPY fails the rest of it, whichever call notices. */
static void test_database_copy_to_a_killed_server_fails(void **state)
{
	struct database *database = open_database();
	uint64_t rows = 7;
	int rc;

	(void)state;
	cluster_execute("drop table if exists numbers; create table numbers (n integer)");
	cluster_must(database, database_begin(database));
	cluster_must(database, database_copy_begin(database, copy_numbers));
	cluster_must(database, database_copy_put(database, SLICE_LIT(COPY_HEADER COPY_ROW)));
	cluster_kill();
	rc = database_copy_put(database, SLICE_LIT(COPY_ROW));
	assert_true(rc == 0 || rc == ERROR_UNAVAILABLE);
	assert_int_equal(database_copy_end(database, &rows), ERROR_UNAVAILABLE);
	assert_int_equal(rows, 7);
	database_rollback(database);
	cluster_start();
	cluster_must(database, database_connect(database));
	assert_int_equal(cluster_ask("select count(*) from numbers"), 0);
	database_free(database);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_database_copied_rows_are_there),
	    cmocka_unit_test(test_database_large_copy_goes_through),
	    cmocka_unit_test(test_database_copy_of_nonsense_is_refused_at_its_end),
	    cmocka_unit_test(test_database_copy_that_is_left_is_undone),
	    cmocka_unit_test(test_database_copy_to_a_killed_server_fails),
	};

	return cmocka_run_group_tests(tests, cluster_open, cluster_close);
}
