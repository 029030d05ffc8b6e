/* On a real PostgreSQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "postgres/tokens.h"
#include "unit/postgres/journal_fixture.h"

static struct database *database;

static int open_database(void **state)
{
	if (fixture_reset(state))
		return -1;
	database = database_new(&cluster.settings, "sluice test");
	return 0;
}

static int close_database(void **state)
{
	(void)state;
	database_free(database);
	return 0;
}

static const uint8_t *digest_of(uint8_t number)
{
	static uint8_t digest[TOKENS_SHA256_BYTES];

	memset(digest, number, sizeof(digest));
	return digest;
}

static int64_t create(uint8_t number, const char *subject, const char *claims, int64_t expires_us)
{
	const struct tokens_new token = {
	    .sha256 = {(const char *)digest_of(number), TOKENS_SHA256_BYTES},
	    .subject = slice_of(subject),
	    .claims = slice_of(claims),
	    .expires_us = expires_us,
	};
	int64_t id;

	assert_int_equal(tokens_create(database, &token, &id), 0);
	return id;
}

/* What a list or a look-up gave, as text: each row's number, subject, claims and state. */
static void append_row(void *context, const struct tokens_row *row)
{
	struct buffer *out = context;

	assert_int_equal(row->sha256.len, TOKENS_SHA256_BYTES);
	assert_true(row->id > 0 && row->created_us > 1700000000000000);
	buffer_append_format(out, "%d %.*s %.*s%s%s\n", row->sha256.base[0], (int)row->subject.len,
			     row->subject.base, (int)row->claims.len,
			     row->claims.base ? row->claims.base : "",
			     row->expires_us == TOKENS_NEVER ? "" : " expires",
			     row->revoked_us == TOKENS_NEVER ? "" : " revoked");
}

static void assert_list(const char *subject, const char *expected)
{
	struct buffer out = {0};
	const struct slice wanted = subject ? slice_of(subject) : (struct slice){NULL, 0};

	assert_int_equal(tokens_list(database, wanted, append_row, &out), 0);
	assert_string_equal(buffer_text(&out), expected);
	buffer_free(&out);
}

/* What was created comes back by its digest and in the list, and nothing else does. */
static void test_tokens_created_are_found_and_listed(void **state)
{
	uint8_t digests[2 * TOKENS_SHA256_BYTES];
	struct buffer out = {0};

	(void)state;
	create(1, "ada", "{}", TOKENS_NEVER);
	create(2, "ada", "{\"role\":[\"a\",null]}", 1900000000123456);
	create(3, "O'Brien \"\\\xc3\xa9\n", "{\"a\":1e3}", TOKENS_NEVER);
	assert_list("ada", "1 ada {}\n2 ada {\"role\": [\"a\", null]} expires\n");
	assert_list(NULL, "1 ada {}\n2 ada {\"role\": [\"a\", null]} expires\n"
			  "3 O'Brien \"\\\xc3\xa9\n {\"a\": 1000}\n");
	assert_list("nobody", "");
	memcpy(digests, digest_of(3), TOKENS_SHA256_BYTES);
	memcpy(digests + TOKENS_SHA256_BYTES, digest_of(9), TOKENS_SHA256_BYTES);
	assert_int_equal(tokens_find(database, digests, 2, append_row, &out), 0);
	assert_string_equal(buffer_text(&out), "3 O'Brien \"\\\xc3\xa9\n {\"a\": 1000}\n");
	buffer_free(&out);
}

/* A list longer than a page is whole, and in order. */
static void test_tokens_long_list_is_whole(void **state)
{
	struct buffer out = {0};

	(void)state;
	fixture_execute("insert into token (sha256, subject)"
			" select sha256(i::text::bytea), 's' from generate_series(1, 9000) i");
	assert_int_equal(tokens_list(database, SLICE_LIT("s"), append_row, &out), 0);
	size_t lines = 0;
	for (size_t i = 0; i < out.len; i++)
		lines += out.base[i] == '\n';
	assert_int_equal(lines, 9000);
	buffer_free(&out);
}

/* Its times; the slices are gone. */
static void keep_row(void *context, const struct tokens_row *row)
{
	*(struct tokens_row *)context = *row;
}

/* Times are exact to the microsecond, and those that no clock shows do not break the reading. */
static void test_tokens_times_are_exact(void **state)
{
	static const struct {
		const char *sql;
		int64_t expires_us;
	} rows[] = {
	    {"null", TOKENS_NEVER},
	    {"'2030-03-04 05:06:07.123456Z'", 1898831167123456},
	    {"'1970-01-01 00:00:00Z'", 0},
	    {"'1960-01-01 00:00:00Z'", 0},
	    {"'-infinity'", 0},
	    {"'infinity'", 253402214400000000},
	    {"'294000-01-01 00:00:00Z'", 253402214400000000},
	};
	struct tokens_row row;

	(void)state;
	create(1, "ada", "{}", TOKENS_NEVER);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char sql[128];

		snprintf(sql, sizeof(sql), "update token set expires_at = %s", rows[i].sql);
		fixture_execute(sql);
		assert_int_equal(tokens_find(database, digest_of(1), 1, keep_row, &row), 0);
		assert_int_equal(row.expires_us, rows[i].expires_us);
	}
	create(2, "bob", "{}", 1898831167123456);
	assert_int_equal(tokens_find(database, digest_of(2), 1, keep_row, &row), 0);
	assert_int_equal(row.expires_us, 1898831167123456);
}

/* What is not as the tables want it is refused, and says so. */
static void test_tokens_unfit_rows_are_refused(void **state)
{
	static char long_subject[257], long_claims[9000];
	const struct {
		const char *what;
		struct tokens_new token;
	} rows[] = {
	    {"a digest that is short", {SLICE_LIT("abc"), SLICE_LIT("s"), SLICE_LIT("{}"), 0}},
	    {"no subject", {{long_subject, 32}, SLICE_LIT(""), SLICE_LIT("{}"), 0}},
	    {"a subject that is long",
	     {{long_subject, 32}, {long_subject, 256}, SLICE_LIT("{}"), 0}},
	    {"a subject with NUL", {{long_subject, 32}, SLICE_LIT("a\0b"), SLICE_LIT("{}"), 0}},
	    {"a subject that is no UTF-8",
	     {{long_subject, 32}, SLICE_LIT("\xc3("), SLICE_LIT("{}"), 0}},
	    {"claims that are no JSON", {{long_subject, 32}, SLICE_LIT("s"), SLICE_LIT("{"), 0}},
	    {"claims that are no object", {{long_subject, 32}, SLICE_LIT("s"), SLICE_LIT("[]"), 0}},
	    {"claims with NUL",
	     {{long_subject, 32}, SLICE_LIT("s"), SLICE_LIT("{\"a\":\"\\u0000\"}"), 0}},
	    {"claims that are long", {{long_subject, 32}, SLICE_LIT("s"), {long_claims, 8999}, 0}},
	};

	(void)state;
	memset(long_subject, 's', 256);
	memset(long_claims, 'c', 8999);
	memcpy(long_claims, "{\"a\":\"", 6);
	memcpy(long_claims + 8997, "\"}", 2);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t id = -1;

		print_message("%s\n", rows[i].what);
		assert_int_equal(tokens_create(database, &rows[i].token, &id), ERROR_POSTGRES);
		assert_int_equal(id, -1);
		assert_true(*database_error(database));
	}
	assert_list(NULL, "");
}

/* A token is revoked by its id, once and for good; one that is not there is told from it. */
static void test_tokens_are_revoked_by_id(void **state)
{
	struct tokens_row first, again;
	int64_t id = create(1, "ada", "{}", TOKENS_NEVER);

	(void)state;
	create(2, "ada", "{}", TOKENS_NEVER);
	assert_int_equal(tokens_revoke(database, id + 1000), ERROR_NOT_FOUND);
	assert_int_equal(tokens_revoke(database, -1), ERROR_NOT_FOUND);
	assert_int_equal(tokens_revoke(database, id), 0);
	assert_list(NULL, "1 ada {} revoked\n2 ada {}\n");
	assert_int_equal(tokens_find(database, digest_of(1), 1, keep_row, &first), 0);
	assert_int_equal(tokens_revoke(database, id), 0);
	assert_int_equal(tokens_find(database, digest_of(1), 1, keep_row, &again), 0);
	assert_int_equal(first.revoked_us, again.revoked_us);
}

static void append_revocation(void *context, const struct tokens_revocation *revocation)
{
	buffer_append_format(context, "%s %.*s%s\n",
			     revocation->kind == TOKENS_JTI ? "jti" : "subject",
			     (int)revocation->value.len, revocation->value.base,
			     revocation->expires_us == TOKENS_NEVER ? "" : " expires");
}

static void assert_revocations(const char *expected)
{
	struct buffer out = {0};

	assert_int_equal(tokens_list_revocations(database, append_revocation, &out), 0);
	assert_string_equal(buffer_text(&out), expected);
	buffer_free(&out);
}

static int64_t from_now_us(int64_t seconds)
{
	return 1000 * (clock_unix_ms() + 1000 * seconds);
}

/* A subject loses its tokens; those that are made after it are told from them by their times. */
static void test_tokens_of_a_subject_are_revoked_together(void **state)
{
	struct tokens_row row;
	uint64_t revoked = 0;

	(void)state;
	create(1, "ada", "{}", TOKENS_NEVER);
	create(2, "ada", "{}", TOKENS_NEVER);
	create(3, "bob", "{}", TOKENS_NEVER);
	assert_int_equal(
	    tokens_revoke_subject(database, SLICE_LIT("ada"), from_now_us(100), &revoked), 0);
	assert_int_equal(revoked, 2);
	create(4, "ada", "{}", TOKENS_NEVER);
	assert_list(NULL, "1 ada {} revoked\n2 ada {} revoked\n3 bob {}\n4 ada {}\n");
	assert_revocations("subject ada expires\n");
	assert_int_equal(tokens_find(database, digest_of(4), 1, keep_row, &row), 0);
	assert_int_equal(fixture_count("select count(*) from token t, revocation r where"
				       " t.subject = r.value and t.created_at > r.revoked_at"),
			 1);
}

/* Revocations are listed and found as long as they last, and no second one cuts the first short. */
static void test_tokens_revocations_last_until_they_expire(void **state)
{
	struct buffer out = {0};

	(void)state;
	assert_int_equal(tokens_revoke_jti(database, SLICE_LIT("a'b"), from_now_us(100)), 0);
	assert_int_equal(tokens_revoke_jti(database, SLICE_LIT("forever"), TOKENS_NEVER), 0);
	assert_int_equal(tokens_revoke_jti(database, SLICE_LIT("forever"), from_now_us(100)), 0);
	assert_revocations("jti a'b expires\njti forever\n");
	fixture_execute("update revocation set expires_at = now() where value = 'a''b'");
	assert_revocations("jti forever\n");
	assert_int_equal(
	    tokens_find_revocation(database, TOKENS_JTI, SLICE_LIT("a'b"), append_revocation, &out),
	    0);
	assert_int_equal(tokens_find_revocation(database, TOKENS_SUBJECT, SLICE_LIT("forever"),
						append_revocation, &out),
			 0);
	assert_int_equal(out.len, 0);
	assert_int_equal(tokens_find_revocation(database, TOKENS_JTI, SLICE_LIT("forever"),
						append_revocation, &out),
			 0);
	assert_string_equal(buffer_text(&out), "jti forever\n");
	buffer_free(&out);
	/* The next one takes those out that have expired. */
	assert_int_equal(fixture_count("select count(*) from revocation"), 2);
	assert_int_equal(tokens_revoke_jti(database, SLICE_LIT("c"), TOKENS_NEVER), 0);
	assert_int_equal(fixture_count("select count(*) from revocation"), 2);
}

/* More than a page of them, and of both kinds, are all listed. */
static void test_tokens_long_list_of_revocations_is_whole(void **state)
{
	struct buffer out = {0};
	size_t lines = 0;

	(void)state;
	fixture_execute("insert into revocation (kind, value)"
			" select k, i::text from generate_series(1, 4500) i,"
			" unnest(array['jti', 'subject']) k");
	assert_int_equal(tokens_list_revocations(database, append_revocation, &out), 0);
	for (size_t i = 0; i < out.len; i++)
		lines += out.base[i] == '\n';
	assert_int_equal(lines, 9000);
	buffer_free(&out);
}

/* Each change is told on the channel: under the old name and the new one. */
static void test_tokens_changes_are_told(void **state)
{
	static const struct {
		const char *sql;
		const char *told;
	} rows[] = {
	    {"insert into token (sha256, subject) values (decode(repeat('01', 32), 'hex'), 's')",
	     "token:01;"},
	    {"update token set revoked_at = now()", "token:01;"},
	    {"update token set sha256 = decode(repeat('02', 32), 'hex')", "token:01;token:02;"},
	    {"delete from token", "token:02;"},
	    {"insert into revocation (kind, value) values ('jti', 'a:b')", "jti:a:b;"},
	    {"update revocation set expires_at = now()", "jti:a:b;"},
	    {"update revocation set kind = 'subject', value = 'c'", "jti:a:b;subject:c;"},
	    {"delete from revocation", "subject:c;"},
	};

	(void)state;
	fixture_execute("listen " TOKENS_CHANNEL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer told = {0};
		PGnotify *notification;

		fixture_execute(rows[i].sql);
		while ((notification = PQnotifies(fixture_sql))) {
			/* Of a digest two digits are enough. */
			size_t len = strlen(notification->extra);

			buffer_append_format(&told, "%.*s;", len > 60 ? 8 : (int)len,
					     notification->extra);
			PQfreemem(notification);
		}
		assert_string_equal(buffer_text(&told), rows[i].told);
		buffer_free(&told);
	}
	fixture_execute("unlisten *");
}

int main(void)
{
#define ON_TABLES(test) cmocka_unit_test_setup_teardown(test, open_database, close_database)
	const struct CMUnitTest tests[] = {
	    ON_TABLES(test_tokens_created_are_found_and_listed),
	    ON_TABLES(test_tokens_long_list_is_whole),
	    ON_TABLES(test_tokens_times_are_exact),
	    ON_TABLES(test_tokens_unfit_rows_are_refused),
	    ON_TABLES(test_tokens_are_revoked_by_id),
	    ON_TABLES(test_tokens_of_a_subject_are_revoked_together),
	    ON_TABLES(test_tokens_revocations_last_until_they_expire),
	    ON_TABLES(test_tokens_long_list_of_revocations_is_whole),
	    ON_TABLES(test_tokens_changes_are_told),
	};

	return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
