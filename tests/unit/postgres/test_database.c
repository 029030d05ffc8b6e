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

static int64_t run_for_number(struct database *database, const struct database_statement *statement,
			      const struct database_param *params, size_t count)
{
	struct database_result *result;
	int64_t number;

	cluster_must(database, database_run(database, statement, params, count, &result));
	assert_int_equal(database_result_count(result), 1);
	number = database_get_int8(result, 0, 0);
	database_result_free(result);
	return number;
}

/* Whatever bytes a text, a bytea or a jsonb holds, they come back; an empty one is not null. */
static void test_database_bytes_come_back_as_they_were(void **state)
{
	static const struct database_statement text = {"text", "select $1, length($1)"};
	static const struct database_statement bytes = {"bytes", "select $1, length($1)"};
	static const struct database_statement json = {"json", "select $1::text, 0"};
	static const struct {
		const struct database_statement *statement;
		struct slice value;
	} rows[] = {
	    {&text, {"", 0}},
	    {&text, SLICE_LIT("plain")},
	    {&text, SLICE_LIT("a\r\nb\tc'; drop table x; --\\ \"$1\" %s")},
	    {&text, SLICE_LIT("gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x98\x80 \xef\xbf\xbf")},
	    {&bytes, {"", 0}},
	    {&bytes, SLICE_LIT("\0\r\n\xff\xfe\\x00'\0")},
	    {&json, SLICE_LIT("{\"a\": [1, null, \"x\\r\\n'\"]}")},
	    {&json, SLICE_LIT("\"\xc3\xbc\"")},
	};
	struct database *database = open_database();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct slice value = rows[i].value;
		const struct database_param param =
		    rows[i].statement == &text    ? database_text(value)
		    : rows[i].statement == &bytes ? database_bytes(value)
						  : database_json(value);
		struct database_result *result;

		cluster_must(database,
			     database_run(database, rows[i].statement, &param, 1, &result));
		assert_false(database_is_null(result, 0, 0));
		assert_true(slice_equal(database_get_bytes(result, 0, 0), value));
		database_result_free(result);
	}
	database_free(database);
}

/* A text of a mebibyte is one parameter and one field like any other. */
static void test_database_long_text_comes_back(void **state)
{
	static const struct database_statement twice = {"twice", "select $1 || $1"};
	const size_t len = 1 << 20;
	char *text = mem_alloc(len);
	struct database *database = open_database();
	struct database_result *result;
	struct database_param param;

	(void)state;
	memset(text, 'x', len);
	param = database_text((struct slice){text, len});
	cluster_must(database, database_run(database, &twice, &param, 1, &result));
	assert_int_equal(database_get_bytes(result, 0, 0).len, 2 * len);
	database_result_free(result);
	free(text);
	database_free(database);
}

/* What is no text in UTF-8 or no JSON is refused by the server; the connection is as good as
 * before. */
static void test_database_malformed_values_are_refused(void **state)
{
	static const struct database_statement text = {"text", "select length($1)"};
	static const struct database_statement json = {"json", "select $1::text"};
	static const struct {
		const struct database_statement *statement;
		struct slice value;
		const char *sqlstate;
	} rows[] = {
	    {&text, SLICE_LIT("\xff"), "22021"},         {&text, SLICE_LIT("a\0b"), "22021"},
	    {&text, SLICE_LIT("\xed\xa0\x80"), "22021"}, {&json, SLICE_LIT(""), "22P02"},
	    {&json, SLICE_LIT("{\"a\":"), "22P02"},      {&json, SLICE_LIT("{} {}"), "22P02"},
	    {&json, SLICE_LIT("\"\\u0000\""), "22P05"},  {&json, SLICE_LIT("\"\xc3\""), "22021"},
	};
	struct database *database = open_database();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct database_param param = rows[i].statement == &text
							? database_text(rows[i].value)
							: database_json(rows[i].value);

		assert_int_equal(database_run(database, rows[i].statement, &param, 1, NULL),
				 ERROR_POSTGRES);
		assert_string_equal(database_sqlstate(database), rows[i].sqlstate);
		assert_string_not_equal(database_error(database), "");
	}
	cluster_must(database, database_execute(database, "select 1"));
	database_free(database);
}

/* Numbers keep their sign and their width; smallint is read as the wider ones are. */
static void test_database_numbers_come_back_as_they_were(void **state)
{
	static const struct database_statement numbers = {
	    "numbers", "select $1, $2, $3, $4, (-7)::smallint, $5 and not $6"};
	const struct database_param params[] = {
	    database_int4(INT32_MIN), database_int4(INT32_MAX), database_int8(INT64_MIN),
	    database_int8(INT64_MAX), database_bool(true),      database_bool(false),
	};
	struct database *database = open_database();
	struct database_result *result;

	(void)state;
	cluster_must(database, database_run(database, &numbers, params, 6, &result));
	assert_true(database_get_int4(result, 0, 0) == INT32_MIN);
	assert_true(database_get_int4(result, 0, 1) == INT32_MAX);
	assert_true(database_get_int8(result, 0, 2) == INT64_MIN);
	assert_true(database_get_int8(result, 0, 3) == INT64_MAX);
	assert_int_equal(database_get_int4(result, 0, 4), -7);
	assert_true(database_get_bool(result, 0, 5));
	database_result_free(result);
	database_free(database);
}

/* Each way to write null is one, and reading it gives nothing. */
static void test_database_nulls_are_nulls(void **state)
{
	static const struct database_statement nulls = {
	    "nulls", "select $1, $2, $3, $4::bigint, $4 is null"};
	const struct slice none = {NULL, 0};
	const struct database_param params[] = {database_text(none), database_bytes(none),
						database_json(none), database_null()};
	struct database *database = open_database();
	struct database_result *result;

	(void)state;
	cluster_must(database, database_run(database, &nulls, params, 4, &result));
	for (size_t i = 0; i < 4; i++) {
		assert_true(database_is_null(result, 0, i));
		assert_null(database_get_bytes(result, 0, i).base);
	}
	assert_int_equal(database_get_int8(result, 0, 3), 0);
	assert_true(database_get_bool(result, 0, 4));
	database_result_free(result);
	database_free(database);
}

/* Arrays arrive with all elements, nulls among them, and empty ones are empty, not null. */
static void test_database_arrays_arrive_whole(void **state)
{
	static const struct database_statement arrays = {
	    "arrays", "select $1[1] = -1 and $1[3] = 9223372036854775807 and cardinality($1) = 3 "
		      "and $2[2] = -2147483648 and cardinality($2) = 2 "
		      "and $3[1] = E'a,\"}\\n' and $3[2] is null and $3[3] = '' "
		      "and cardinality($3) = 3 "
		      "and cardinality($4) = 0 and cardinality($5) = 0 and cardinality($6) = 0"};
	const int64_t wide[] = {-1, 0, INT64_MAX};
	const int32_t narrow[] = {1, INT32_MIN};
	const struct slice texts[] = {SLICE_LIT("a,\"}\n"), {NULL, 0}, {"", 0}};
	struct buffer scratch[6] = {{0}};
	const struct database_param params[] = {
	    database_int8_array(&scratch[0], wide, 3),  database_int4_array(&scratch[1], narrow, 2),
	    database_text_array(&scratch[2], texts, 3), database_int8_array(&scratch[3], NULL, 0),
	    database_int4_array(&scratch[4], NULL, 0),  database_text_array(&scratch[5], NULL, 0),
	};
	struct database *database = open_database();
	struct database_result *result;

	(void)state;
	cluster_must(database, database_run(database, &arrays, params, 6, &result));
	assert_true(database_get_bool(result, 0, 0));
	database_result_free(result);
	for (size_t i = 0; i < 6; i++)
		buffer_free(&scratch[i]);
	database_free(database);
}

/* An INSERT says how many rows it touched. */
static void test_database_touched_rows_are_counted(void **state)
{
	static const struct database_statement insert = {
	    "insert", "insert into touched select generate_series(1, $1)"};
	const struct database_param param = database_int4(3);
	struct database *database = open_database();
	struct database_result *result;

	(void)state;
	cluster_must(database, database_execute(database, "create temp table touched (n integer)"));
	cluster_must(database, database_run(database, &insert, &param, 1, &result));
	assert_int_equal(database_result_touched(result), 3);
	assert_int_equal(database_result_count(result), 0);
	database_result_free(result);
	database_free(database);
}

/* A statement is prepared once a connection, and again after a new one. */
static void test_database_statement_is_prepared_once(void **state)
{
	static const struct database_statement count = {
	    "count", "select count(*) from pg_prepared_statements where name = 'count'"};
	struct database *database = open_database();

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3; i++)
			assert_int_equal(run_for_number(database, &count, NULL, 0), 1);
		cluster_stop();
		cluster_start();
	}
	database_free(database);
}

/* A table that changed under a prepared statement costs one failure, not the connection's life. */
static void test_database_plan_that_no_longer_fits_is_made_anew(void **state)
{
	static const struct database_statement all = {"all", "select * from changing"};
	struct database *database = open_database();

	(void)state;
	cluster_execute("create table changing as select 1 as n");
	assert_int_equal(run_for_number(database, &all, NULL, 0), 1);
	cluster_execute("alter table changing alter n type bigint");
	assert_int_equal(database_run(database, &all, NULL, 0, NULL), ERROR_POSTGRES);
	assert_int_equal(run_for_number(database, &all, NULL, 0), 1);
	database_free(database);
}

/* A refused statement says why, in one line and with its SQLSTATE. */
static void test_database_error_says_why(void **state)
{
	struct database *database = open_database();

	(void)state;
	assert_int_equal(database_execute(database, "select *\nfrom \"no\nsuch\""), ERROR_POSTGRES);
	assert_string_equal(database_error(database), "relation \"no such\" does not exist");
	assert_string_equal(database_sqlstate(database), "42P01");
	database_free(database);
}

/* A transaction that failed can be rolled back, and what it did is undone. */
static void test_database_failed_transaction_is_rolled_back(void **state)
{
	struct database *database = open_database();

	(void)state;
	cluster_execute("create table undone (n integer)");
	cluster_must(database, database_begin(database));
	cluster_must(database, database_execute(database, "insert into undone values (1)"));
	assert_int_equal(database_execute(database, "select 1 / 0"), ERROR_POSTGRES);
	assert_int_equal(database_execute(database, "select 1"), ERROR_POSTGRES);
	database_rollback(database);
	assert_string_equal(database_sqlstate(database), "25P02");
	cluster_must(database, database_begin(database));
	cluster_must(database, database_execute(database, "insert into undone values (2)"));
	cluster_must(database, database_commit(database));
	assert_int_equal(cluster_ask("select sum(n) from undone"), 2);
	database_free(database);
}

/* The server answers a commit of a failed transaction with a rollback: that is no success. */
static void test_database_commit_of_a_failed_transaction_fails(void **state)
{
	struct database *database = open_database();

	(void)state;
	cluster_must(database, database_begin(database));
	assert_int_equal(database_execute(database, "select 1 / 0"), ERROR_POSTGRES);
	assert_int_equal(database_commit(database), ERROR_POSTGRES);
	cluster_must(database, database_begin(database));
	cluster_must(database, database_commit(database));
	database_free(database);
}

/* A statement that takes too long is ended by the server, and the connection goes on. */
static void test_database_slow_statement_is_ended(void **state)
{
	struct postgres_settings hasty = cluster.settings;
	struct database *database = database_new(&hasty, "sluice hasty");

	(void)state;
	hasty.statement_timeout_ms = 100;
	assert_int_equal(database_execute(database, "select pg_sleep(600)"), ERROR_POSTGRES);
	assert_string_equal(database_sqlstate(database), "57014");
	cluster_must(database, database_execute(database, "select 1"));
	database_free(database);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_database_bytes_come_back_as_they_were),
	    cmocka_unit_test(test_database_long_text_comes_back),
	    cmocka_unit_test(test_database_malformed_values_are_refused),
	    cmocka_unit_test(test_database_numbers_come_back_as_they_were),
	    cmocka_unit_test(test_database_nulls_are_nulls),
	    cmocka_unit_test(test_database_arrays_arrive_whole),
	    cmocka_unit_test(test_database_touched_rows_are_counted),
	    cmocka_unit_test(test_database_statement_is_prepared_once),
	    cmocka_unit_test(test_database_plan_that_no_longer_fits_is_made_anew),
	    cmocka_unit_test(test_database_error_says_why),
	    cmocka_unit_test(test_database_failed_transaction_is_rolled_back),
	    cmocka_unit_test(test_database_commit_of_a_failed_transaction_fails),
	    cmocka_unit_test(test_database_slow_statement_is_ended),
	};

	return cmocka_run_group_tests(tests, cluster_open, cluster_close);
}
