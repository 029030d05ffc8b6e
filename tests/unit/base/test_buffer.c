#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include <stdlib.h>

#include "base/buffer.h"

static void check_content(struct buffer *buffer, struct slice expected)
{
	assert_int_equal(buffer->len, expected.len);
	assert_memory_equal(buffer_text(buffer), expected.base, expected.len);
	assert_int_equal(buffer_text(buffer)[expected.len], '\0');
}

/* An empty buffer can be read, cleared and freed like any other. */
static void test_buffer_empty_is_usable(void **state)
{
	struct buffer buffer = {0};

	(void)state;
	buffer_append(&buffer, NULL, 0);
	buffer_append_slice(&buffer, (struct slice){0});
	buffer_clear(&buffer);
	check_content(&buffer, SLICE_LIT(""));
	buffer_free(&buffer);
	buffer_free(&buffer);
	assert_null(buffer.base);
	assert_int_equal(buffer.capacity, 0);
}

/* What every kind of append adds stands in order, with NUL as a byte like the rest. */
static void test_buffer_append_keeps_order(void **state)
{
	struct buffer buffer = {0};

	(void)state;
	buffer_append(&buffer, "a\0b", 3);
	buffer_append_slice(&buffer, SLICE_LIT("|slice"));
	buffer_append_text(&buffer, "|text");
	buffer_append_format(&buffer, "|%d %s", -7, "format");
	buffer_append_u64(&buffer, 0);
	check_content(&buffer, SLICE_LIT("a\0b|slice|text|-7 format0"));
	buffer_clear(&buffer);
	buffer_append_text(&buffer, "again");
	check_content(&buffer, SLICE_LIT("again"));
	buffer_free(&buffer);
}

/* Bytes survive every reallocation. */
static void test_buffer_growing_keeps_content(void **state)
{
	struct buffer buffer = {0};

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		buffer_append(&buffer, (char[]){(char)(i % 251)}, 1);
	assert_int_equal(buffer.len, 100000);
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal((unsigned char)buffer.base[i], i % 251);
	buffer_free(&buffer);
}

/* A format that is longer than the first capacity is not cut. */
static void test_buffer_long_format_is_complete(void **state)
{
	struct buffer buffer = {0};

	(void)state;
	buffer_append_format(&buffer, "%0500d", 1);
	assert_int_equal(buffer.len, 500);
	assert_int_equal(buffer.base[499], '1');
	buffer_free(&buffer);
}

/* Reserving gives room for that many bytes and counts none of them. */
static void test_buffer_reserve_counts_nothing(void **state)
{
	struct buffer buffer = {0};
	char *to = buffer_reserve(&buffer, 1000);

	(void)state;
	memset(to, 'x', 1000);
	assert_int_equal(buffer.len, 0);
	buffer.len = 1000;
	assert_ptr_equal(buffer_reserve(&buffer, 0), buffer.base + 1000);
	buffer_free(&buffer);
}

/* Numbers from one digit to all twenty. */
static void test_buffer_u64_gives_its_digits(void **state)
{
	static const struct {
		uint64_t number;
		const char *text;
	} rows[] = {{0, "0"}, {9, "9"}, {10, "10"}, {UINT64_MAX, "18446744073709551615"}};
	struct buffer buffer = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buffer_clear(&buffer);
		buffer_append_u64(&buffer, rows[i].number);
		assert_string_equal(buffer_text(&buffer), rows[i].text);
	}
	buffer_free(&buffer);
}

/* A JSON string escapes what RFC 8259 wants, and is UTF-8 whatever went in. */
static void test_buffer_json_string_is_escaped(void **state)
{
	static const struct {
		struct slice text;
		const char *json;
	} rows[] = {
	    {{NULL, 0}, "\"\""},
	    {SLICE_LIT("plain"), "\"plain\""},
	    {SLICE_LIT("\"\\/"), "\"\\\"\\\\/\""},
	    {SLICE_LIT("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\""},
	    {SLICE_LIT("a\0b\x1f\x7f"), "\"a\\u0000b\\u001f\x7f\""},
	    {SLICE_LIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
	     "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
	    {SLICE_LIT("a\xff\"\xc3"), "\"a\xef\xbf\xbd\\\"\xef\xbf\xbd\""},
	    {SLICE_LIT("\xe2\x82x"), "\"\xef\xbf\xbdx\""},
	    {SLICE_LIT("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
	};
	struct buffer buffer = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buffer_clear(&buffer);
		buffer_append_json_string(&buffer, rows[i].text);
		assert_string_equal(buffer_text(&buffer), rows[i].json);
	}
	buffer_free(&buffer);
}

/* Any JSON value is appended without a space or a line break. */
static void test_buffer_json_is_compact(void **state)
{
	static const char *const rows[] = {"{\"a\":[1,2.5,null]}", "\"a\\nb\"", "true", "[]"};
	struct buffer buffer = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *json = json_loads(rows[i], JSON_DECODE_ANY, NULL);

		buffer_clear(&buffer);
		buffer_append_json(&buffer, json);
		assert_string_equal(buffer_text(&buffer), rows[i]);
		json_decref(json);
	}
	buffer_free(&buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_buffer_empty_is_usable),
	    cmocka_unit_test(test_buffer_append_keeps_order),
	    cmocka_unit_test(test_buffer_growing_keeps_content),
	    cmocka_unit_test(test_buffer_long_format_is_complete),
	    cmocka_unit_test(test_buffer_reserve_counts_nothing),
	    cmocka_unit_test(test_buffer_u64_gives_its_digits),
	    cmocka_unit_test(test_buffer_json_string_is_escaped),
	    cmocka_unit_test(test_buffer_json_is_compact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
