#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "event/document.h"
#include "event/pattern.h"

static const struct record_header headers[] = {
    {{"type", 4}, {"old", 3}},
    {{"empty", 5}, {NULL, 0}},
    {{"type", 4}, {"new", 3}},
    {{"bad\xff", 4}, {"\xc3", 1}},
};

static struct record make_record(struct slice key, struct slice value)
{
	return (struct record){
	    .topic = SLICE_LIT("orders"),
	    .partition = 3,
	    .offset = 17,
	    .timestamp_ms = 1767225600000,
	    .has_key = key.base,
	    .has_value = value.base,
	    .key = key,
	    .value = value,
	    .headers = headers,
	    .header_count = sizeof(headers) / sizeof(headers[0]),
	};
}

static void check_document(const struct record *record, unsigned parts, const char *expected)
{
	json_t *document = NULL;
	char *text;

	assert_int_equal(document_build(record, parts, &document), 0);
	text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text, expected);
	free(text);
	json_decref(document);
}

/* Only the parts asked for are built; JSON overrides text. */
static void test_document_parts_are_built_as_asked(void **state)
{
	struct record record = make_record(SLICE_LIT("42"), SLICE_LIT("{\"a\":[1,2.5,null]}"));

	(void)state;
	check_document(&record, 0, "{}");
	check_document(&record, DOCUMENT_TOPIC, "{\"topic\":\"orders\"}");
	check_document(&record, DOCUMENT_PARTITION | DOCUMENT_OFFSET | DOCUMENT_TIMESTAMP,
		       "{\"offset\":17,\"partition\":3,\"timestamp\":1767225600000}");
	check_document(&record, DOCUMENT_KEY, "{\"key\":\"42\"}");
	check_document(&record, DOCUMENT_KEY_JSON, "{\"key\":42}");
	check_document(&record, DOCUMENT_KEY | DOCUMENT_KEY_JSON, "{\"key\":42}");
	check_document(&record, DOCUMENT_VALUE, "{\"value\":{\"a\":[1,2.5,null]}}");
	check_document(&record, DOCUMENT_VALUE_TEXT, "{\"value\":\"{\\\"a\\\":[1,2.5,null]}\"}");
	check_document(&record, DOCUMENT_VALUE | DOCUMENT_VALUE_TEXT,
		       "{\"value\":{\"a\":[1,2.5,null]}}");
}

/* A null key and a tombstone are null in every form; a record without a timestamp has no such
 * field. */
static void test_document_absent_parts_are_null(void **state)
{
	struct record record = make_record((struct slice){0}, (struct slice){0});

	(void)state;
	record.timestamp_ms = -1;
	check_document(&record, DOCUMENT_KEY | DOCUMENT_VALUE_TEXT,
		       "{\"key\":null,\"value\":null}");
	check_document(&record, DOCUMENT_KEY_JSON | DOCUMENT_VALUE,
		       "{\"key\":null,\"value\":null}");
	check_document(&record, DOCUMENT_TIMESTAMP, "{}");
}

/* The last of equal header names wins, and names and values are repaired like all text. */
static void test_document_headers_are_strings(void **state)
{
	struct record record = make_record(SLICE_LIT("k"), SLICE_LIT("v"));

	(void)state;
	check_document(
	    &record, DOCUMENT_HEADERS,
	    "{\"headers\":{\"bad\xef\xbf\xbd\":\"\xef\xbf\xbd\",\"empty\":\"\",\"type\":\"new\"}}");
}

/* Text keeps every byte that is UTF-8; each ill-formed subpart becomes one U+FFFD. */
static void test_document_text_is_repaired(void **state)
{
	static const struct {
		struct slice text;
		const char *expected; /* as JSON */
	} rows[] = {
	    {SLICE_LIT(""), "\"\""},
	    {SLICE_LIT("a\r\nb"), "\"a\\r\\nb\""},
	    {SLICE_LIT("a\0b"), "\"a\\u0000b\""},
	    {SLICE_LIT("\xf0\x9f\x98\x80"), "\"\xf0\x9f\x98\x80\""},
	    {SLICE_LIT("a\xff"), "\"a\xef\xbf\xbd\""},
	    {SLICE_LIT("\xff\xfe"), "\"\xef\xbf\xbd\xef\xbf\xbd\""},
	    {SLICE_LIT("\xc0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\""},
	    {SLICE_LIT("\xed\xa0\x80!"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd!\""},
	    {SLICE_LIT("\xf0\x9f\x98"), "\"\xef\xbf\xbd\""},
	    {SLICE_LIT("\xf4\x90\x80\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct record record = make_record(rows[i].text, rows[i].text);
		struct buffer expected = {0};

		buffer_append_format(&expected, "{\"key\":%s,\"value\":%s}", rows[i].expected,
				     rows[i].expected);
		check_document(&record, DOCUMENT_KEY | DOCUMENT_VALUE_TEXT, buffer_text(&expected));
		buffer_free(&expected);
	}
}

/* What is not JSON is refused, and leaves the caller's document alone. */
static void test_document_malformed_json_is_refused(void **state)
{
	static const struct slice rows[] = {
	    SLICE_LIT(""),
	    SLICE_LIT(" "),
	    SLICE_LIT("{"),
	    SLICE_LIT("}"),
	    SLICE_LIT("{\"a\":1}}"),
	    SLICE_LIT("{\"a\":1}x"),
	    SLICE_LIT("{a:1}"),
	    SLICE_LIT("text"),
	    SLICE_LIT("\"a"),
	    SLICE_LIT("\"a\\"),
	    SLICE_LIT("\"\xff\""),
	    SLICE_LIT("\"\xed\xa0\x80\""),
	    SLICE_LIT("\"\\ud800\""),
	    SLICE_LIT("\"a\nb\""),
	    SLICE_LIT("1\0"),
	    SLICE_LIT("\xef\xbb\xbf{}"),
	    SLICE_LIT("01"),
	    SLICE_LIT("1e999"),
	    SLICE_LIT("018446744073709551616"),
	    SLICE_LIT("[18446744073709551616,]"),
	    SLICE_LIT("--18446744073709551616"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct record record = make_record(rows[i], rows[i]);
		json_t *document = NULL;

		if (document_build(&record, DOCUMENT_VALUE, &document) != ERROR_INVALID ||
		    document_build(&record, DOCUMENT_KEY_JSON, &document) != ERROR_INVALID)
			fail_msg("accepted: %.*s", (int)rows[i].len, rows[i].base);
		assert_null(document);
	}
}

/* Any JSON will do as a value, with escaped NULs and repeated names (the last wins). */
static void test_document_any_json_is_parsed(void **state)
{
	static const struct {
		struct slice value;
		const char *expected;
	} rows[] = {
	    {SLICE_LIT("null"), "{\"value\":null}"},
	    {SLICE_LIT(" 1 "), "{\"value\":1}"},
	    {SLICE_LIT("\"\""), "{\"value\":\"\"}"},
	    {SLICE_LIT("\"a\\u0000b\""), "{\"value\":\"a\\u0000b\"}"},
	    {SLICE_LIT("{\"a\":1,\"a\":2}"), "{\"value\":{\"a\":2}}"},
	    {SLICE_LIT("[\"[[[[\\\"{{{{\"]"), "{\"value\":[\"[[[[\\\"{{{{\"]}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct record record = make_record((struct slice){0}, rows[i].value);

		check_document(&record, DOCUMENT_VALUE, rows[i].expected);
	}
}

/* An integer beyond int64 is read as a real, and the other integers of the record stay exact. */
static void test_document_integers_beyond_int64_are_reals(void **state)
{
	struct record record = make_record(
	    (struct slice){0}, SLICE_LIT("{\"big\":18446744073709551615,\"small\":-"
					 "9223372036854775809,\"exact\":[9007199254740993,"
					 "9223372036854775807],\"text\":\"18446744073709551615 "
					 "\\\" 18446744073709551615\"}"));
	json_t *document;
	const json_t *exact;

	(void)state;
	assert_int_equal(document_build(&record, DOCUMENT_VALUE, &document), 0);
	assert_true(json_is_real(document_at(document, "/value/big")));
	assert_true(json_real_value(document_at(document, "/value/big")) == 0x1p64);
	assert_true(json_real_value(document_at(document, "/value/small")) == -0x1p63);
	exact = document_at(document, "/value/exact");
	assert_true(json_integer_value(json_array_get(exact, 0)) == 9007199254740993);
	assert_true(json_integer_value(json_array_get(exact, 1)) == INT64_MAX);
	assert_string_equal(json_string_value(document_at(document, "/value/text")),
			    "18446744073709551615 \" 18446744073709551615");
	json_decref(document);
}

/* 64 levels are a document, 65 are not, and no number of them uses up the stack. */
static void test_document_depth_is_bounded(void **state)
{
	static const struct {
		int levels;
		int expected;
	} rows[] = {{64, 0}, {65, ERROR_INVALID}, {1000000, ERROR_INVALID}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer text = {0};
		struct record record;
		json_t *document = NULL;

		for (int level = 0; level < rows[i].levels; level++)
			buffer_append_text(&text, level % 2 ? "[" : "{\"a\":");
		buffer_append_text(&text, "1");
		for (int level = rows[i].levels - 1; level >= 0; level--)
			buffer_append_text(&text, level % 2 ? "]" : "}");
		record = make_record((struct slice){0}, buffer_slice(&text));
		assert_int_equal(document_build(&record, DOCUMENT_VALUE, &document),
				 rows[i].expected);
		json_decref(document);
		buffer_free(&text);
	}
}

/* Pointers are looked up as RFC 6901 says; its own examples (section 5) are among the rows. */
static void test_document_pointers_find_what_they_name(void **state)
{
	static const struct {
		const char *pointer;
		const char *expected; /* as JSON; NULL: nothing */
	} rows[] = {
	    {"/foo", "[\"bar\",\"baz\"]"},
	    {"/foo/0", "\"bar\""},
	    {"/foo/1", "\"baz\""},
	    {"/", "0"},
	    {"/a~1b", "1"},
	    {"/c%d", "2"},
	    {"/e^f", "3"},
	    {"/g|h", "4"},
	    {"/i\\j", "5"},
	    {"/k\"l", "6"},
	    {"/ ", "7"},
	    {"/m~0n", "8"},
	    {"/o~01p", "9"},
	    {"/q//r", "10"},
	    {"/foo/2", NULL},
	    {"/foo/-", NULL},
	    {"/foo/00", NULL},
	    {"/foo/01", NULL},
	    {"/foo/+1", NULL},
	    {"/foo/ 1", NULL},
	    {"/foo/1x", NULL},
	    {"/foo/", NULL},
	    {"/foo/18446744073709551616", NULL},
	    {"/foo/4294967296", NULL},
	    {"/foo/0/bar", NULL},
	    {"/nothing", NULL},
	    {"/nothing/below", NULL},
	    {"foo", NULL},
	    {"/m~n", NULL},
	    {"/m~2n", NULL},
	    {"/m~", NULL},
	    {"/fo", NULL},
	    {"/fooo", NULL},
	};
	json_t *document = json_loads(
	    "{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,"
	    "\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,\"m~n\":8,\"o~1p\":9,\"q\":{\"\":{\"r\":10}}}",
	    0, NULL);

	(void)state;
	assert_ptr_equal(document_at(document, ""), document);
	assert_null(document_at(NULL, "/foo"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const json_t *found = document_at(document, rows[i].pointer);
		char *text = found ? json_dumps(found, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

		if (!text != !rows[i].expected || (text && strcmp(text, rows[i].expected)))
			fail_msg("%s: %s", rows[i].pointer, text ? text : "nothing");
		free(text);
	}
	json_decref(document);
}

/* What cannot be decoded is unknown, the rest as ever; a value that is left out cannot be. */
static void test_document_decodable_has_what_can_be_had(void **state)
{
	struct record record = make_record(SLICE_LIT("{"), SLICE_LIT("{\"a\":"));
	unsigned parts = DOCUMENT_KEY_JSON | DOCUMENT_VALUE | DOCUMENT_TOPIC;
	json_t *document = document_build_decodable(&record, parts);

	(void)state;
	assert_ptr_equal(json_object_get(document, "key"), pattern_unknown());
	assert_ptr_equal(json_object_get(document, "value"), pattern_unknown());
	assert_non_null(json_object_get(document, "topic"));
	json_decref(document);
	record.key = SLICE_LIT("5");
	record.has_value = false;
	document = document_build_decodable(&record, parts);
	assert_int_equal(json_integer_value(json_object_get(document, "key")), 5);
	assert_ptr_equal(json_object_get(document, "value"), json_null());
	json_decref(document);
	record.has_value = record.left_out = true;
	record.value = (struct slice){0};
	assert_int_equal(document_build(&record, DOCUMENT_VALUE_TEXT, &document), ERROR_INVALID);
	assert_int_equal(document_build(&record, DOCUMENT_VALUE, &document), ERROR_INVALID);
	check_document(&record, DOCUMENT_KEY, "{\"key\":\"5\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_document_parts_are_built_as_asked),
	    cmocka_unit_test(test_document_absent_parts_are_null),
	    cmocka_unit_test(test_document_headers_are_strings),
	    cmocka_unit_test(test_document_text_is_repaired),
	    cmocka_unit_test(test_document_malformed_json_is_refused),
	    cmocka_unit_test(test_document_any_json_is_parsed),
	    cmocka_unit_test(test_document_integers_beyond_int64_are_reals),
	    cmocka_unit_test(test_document_depth_is_bounded),
	    cmocka_unit_test(test_document_pointers_find_what_they_name),
	    cmocka_unit_test(test_document_decodable_has_what_can_be_had),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
