#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "postgres/journal.h"

/* What is in a database stays findable: these never change. */
static void test_journal_routes_are_the_same_for_ever(void **state)
{
	(void)state;
	assert_int_equal(journal_route(SLICE_LIT("")), INT64_C(-4284306253180710581));
	assert_int_equal(journal_route(SLICE_LIT("s\0\0\0\2u1")), INT64_C(6790344509266051451));
	assert_int_not_equal(journal_route(SLICE_LIT("a")), journal_route(SLICE_LIT("b")));
}

static void check_round(const struct record_header *headers, size_t count)
{
	struct record record = {.headers = headers, .header_count = count};
	struct record_header decoded[JOURNAL_MAX_HEADERS];
	struct buffer bytes = {0};

	journal_headers_encode(&record, &bytes);
	assert_int_equal(journal_headers_decode(buffer_slice(&bytes), decoded), count);
	for (size_t i = 0; i < count; i++) {
		assert_true(slice_equal(decoded[i].name, headers[i].name));
		assert_true(slice_equal(decoded[i].value, headers[i].value));
		assert_int_equal(!decoded[i].value.base, !headers[i].value.base);
	}
	buffer_free(&bytes);
}

/* Headers come back as they were: null and empty values, any bytes, equal names; none are nothing.
 */
static void test_journal_headers_come_back_as_they_were(void **state)
{
	static const struct record_header headers[] = {
	    {{"type", 4}, {"created", 7}},
	    {{"type", 4}, {NULL, 0}},
	    {{"", 0}, {"", 0}},
	    {{"bad", 3}, {"\r\n\0\xff", 4}},
	};

	(void)state;
	check_round(headers, 4);
	check_round(headers, 0);
}

/* Bytes that no encoding gives are refused, never read beyond. */
static void test_journal_headers_malformed_are_refused(void **state)
{
	static const struct slice rows[] = {
	    SLICE_LIT("\0"),
	    SLICE_LIT("\0\0\0\1"),
	    SLICE_LIT("\0\0\0\1a"),
	    SLICE_LIT("\0\0\0\1a\0\0\0"),
	    SLICE_LIT("\0\0\0\1a\0\0\0\2b"),
	    SLICE_LIT("\0\0\0\1a\xff\xff\xff\xfe"),
	    SLICE_LIT("\xff\xff\xff\xff"),
	    SLICE_LIT("\0\0\0\1a\xff\xff\xff\xff\0"),
	};
	struct record_header headers[JOURNAL_MAX_HEADERS];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (journal_headers_decode(rows[i], headers) != ERROR_INVALID)
			fail_msg("row %zu", i);
}

/* More headers than fit are refused. */
static void test_journal_headers_beyond_the_limit_are_refused(void **state)
{
	struct record_header headers[JOURNAL_MAX_HEADERS];
	struct buffer bytes = {0};

	(void)state;
	for (int i = 0; i < JOURNAL_MAX_HEADERS; i++)
		buffer_append(&bytes, "\0\0\0\0\0\0\0\0", 8);
	assert_int_equal(journal_headers_decode(buffer_slice(&bytes), headers),
			 JOURNAL_MAX_HEADERS);
	buffer_append(&bytes, "\0\0\0\0\0\0\0\0", 8);
	assert_int_equal(journal_headers_decode(buffer_slice(&bytes), headers), ERROR_INVALID);
	buffer_free(&bytes);
}

/* Route keys come back as they were, none as well; what no encoding gives is refused. */
static void test_journal_routes_come_back_as_they_were(void **state)
{
	static const struct slice malformed[] = {SLICE_LIT("\0"), SLICE_LIT("\0\0\0\1"),
						 SLICE_LIT("\0\0\0\1ab"),
						 SLICE_LIT("\0\0\0\1a\xff\xff\xff\xff")};
	static const struct slice text = SLICE_LIT("\0\0\0\2\0\xff\0\0\0\0");
	struct route_keys routes = {0};
	struct buffer bytes = {0};
	struct slice key;
	size_t at = 0;

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(journal_routes_decode(text, &routes), 0);
	assert_int_equal(routes.count, 2);
	assert_true(route_keys_next(&routes, &at, &key));
	assert_true(slice_equal(key, SLICE_LIT("\0\xff")));
	assert_true(route_keys_next(&routes, &at, &key));
	assert_int_equal(key.len, 0);
	journal_routes_encode(&routes, &bytes);
	assert_true(slice_equal(buffer_slice(&bytes), text));
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		assert_int_equal(journal_routes_decode(malformed[i], &routes), ERROR_INVALID);
		assert_int_equal(routes.count, 0);
	}
	assert_int_equal(journal_routes_decode((struct slice){0}, &routes), 0);
	assert_int_equal(routes.count, 0);
	buffer_free(&bytes);
	route_keys_free(&routes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_journal_routes_are_the_same_for_ever),
	    cmocka_unit_test(test_journal_routes_come_back_as_they_were),
	    cmocka_unit_test(test_journal_headers_come_back_as_they_were),
	    cmocka_unit_test(test_journal_headers_malformed_are_refused),
	    cmocka_unit_test(test_journal_headers_beyond_the_limit_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
