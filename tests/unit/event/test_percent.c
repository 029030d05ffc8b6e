#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "event/percent.h"

/* What is well-formed gives its bytes; "+" is a space only where asked for. */
static void test_percent_decode_gives_the_bytes(void **state)
{
	static const struct {
		const char *raw, *text, *text_with_plus;
	} rows[] = {
	    {"", "", ""},
	    {"plain-_.~", "plain-_.~", "plain-_.~"},
	    {"a+b", "a+b", "a b"},
	    {"a%2Bb", "a+b", "a+b"},
	    {"%20%2f%2F", " //", " //"},
	    {"%0d%0a", "\r\n", "\r\n"},
	    {"%c3%A9\xc3\xa9", "\xc3\xa9\xc3\xa9", "\xc3\xa9\xc3\xa9"},
	    {"\xc3%a9", "\xc3\xa9", "\xc3\xa9"},
	    {"%2541", "%41", "%41"},
	};
	struct buffer out = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buffer_clear(&out);
		assert_int_equal(percent_decode(slice_of(rows[i].raw), false, &out), 0);
		assert_string_equal(buffer_text(&out), rows[i].text);
		buffer_clear(&out);
		assert_int_equal(percent_decode(slice_of(rows[i].raw), true, &out), 0);
		assert_string_equal(buffer_text(&out), rows[i].text_with_plus);
	}
	buffer_free(&out);
}

/* Half triplets, NUL in either form and what is not UTF-8 are refused, and nothing is appended. */
static void test_percent_decode_malformed_appends_nothing(void **state)
{
	static const struct slice rows[] = {
	    SLICE_LIT("%"),
	    SLICE_LIT("a%4"),
	    SLICE_LIT("%4g"),
	    SLICE_LIT("%g4"),
	    SLICE_LIT("%%41"),
	    SLICE_LIT("%-1"),
	    SLICE_LIT("%u0041"),
	    SLICE_LIT("%00"),
	    SLICE_LIT("a\0b"),
	    SLICE_LIT("%ff"),
	    SLICE_LIT("\x80"),
	    SLICE_LIT("%c3"),
	    {"%41", 2},
	    SLICE_LIT("%c0%80"),
	    SLICE_LIT("%ed%a0%80"),
	    SLICE_LIT("ok%e2%82"),
	    SLICE_LIT("%c3+%a9"),
	};
	struct buffer out = {0};

	(void)state;
	buffer_append_text(&out, "kept");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(percent_decode(rows[i], true, &out), ERROR_INVALID);
		assert_string_equal(buffer_text(&out), "kept");
	}
	buffer_free(&out);
}

/* Pairs as the URL standard's parser splits them: empty ones skipped, the first "=" divides. */
static void test_percent_next_pair_splits_the_query(void **state)
{
	static const struct {
		const char *query, *pairs;
	} rows[] = {
	    {"", ""},
	    {"&&&", ""},
	    {"a=1", "[a|1]"},
	    {"a=1&b=2", "[a|1][b|2]"},
	    {"a", "[a|]"},
	    {"a=", "[a|]"},
	    {"=1", "[|1]"},
	    {"=", "[|]"},
	    {"a==b", "[a|=b]"},
	    {"&a=1&&b&", "[a|1][b|]"},
	    {"a=1;b=2", "[a|1;b=2]"},
	    {"%26=%3D", "[%26|%3D]"},
	};
	struct slice query, name, value;
	struct buffer pairs = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t at = 0;

		query = slice_of(rows[i].query);
		buffer_clear(&pairs);
		while (percent_next_pair(query, &at, &name, &value))
			buffer_append_format(&pairs, "[%.*s|%.*s]", (int)name.len, name.base,
					     (int)value.len, value.base);
		assert_string_equal(buffer_text(&pairs), rows[i].pairs);
	}
	buffer_free(&pairs);
}

/* The first pair with the decoded name answers, and a malformed name or value does not hide it. */
static void test_percent_find_takes_the_first_of_a_name(void **state)
{
	static const struct {
		const char *query, *name;
		int rc;
		const char *value;
	} rows[] = {
	    {"a=1&b=2&a=3", "a", 0, "1"},
	    {"b=2&%61=x+y%2B", "a", 0, "x y+"},
	    {"user+id=7", "user id", 0, "7"},
	    {"a", "a", 0, ""},
	    {"%zz=1&a=2", "a", 0, "2"},
	    {"%00a=1&a=2", "a", 0, "2"},
	    {"b=%zz&a=2", "a", 0, "2"},
	    {"", "a", ERROR_NOT_FOUND, ""},
	    {"A=1&aa=2", "a", ERROR_NOT_FOUND, ""},
	    {"a=%zz&a=1", "a", ERROR_INVALID, ""},
	    {"a=%ff", "a", ERROR_INVALID, ""},
	    {"a=%00", "a", ERROR_INVALID, ""},
	};
	struct buffer out = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buffer_clear(&out);
		assert_int_equal(percent_find(slice_of(rows[i].query), rows[i].name, &out),
				 rows[i].rc);
		assert_string_equal(buffer_text(&out), rows[i].value);
	}
	assert_int_equal(percent_find((struct slice){0}, "a", &out), ERROR_NOT_FOUND);
	buffer_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_percent_decode_gives_the_bytes),
	    cmocka_unit_test(test_percent_decode_malformed_appends_nothing),
	    cmocka_unit_test(test_percent_next_pair_splits_the_query),
	    cmocka_unit_test(test_percent_find_takes_the_first_of_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
