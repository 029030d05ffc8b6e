#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "event/document.h"
#include "event/mapping.h"

static struct mapping *compile(const char *text)
{
	json_t *source = text ? json_loads(text, JSON_ALLOW_NUL, NULL) : NULL;
	char pointer[256], reason[256];
	struct mapping *mapping = NULL;

	if (mapping_compile(source, &mapping, pointer, reason))
		fail_msg("%s: %s: %s", text, pointer, reason);
	json_decref(source);
	return mapping;
}

static const struct record_header headers[] = {
    {{"type", 4}, {"created", 7}},
    {{"retry", 5}, {"2500", 4}},
    {{"bad", 3}, {"a\r\nb\0c", 6}},
};

static struct record make_record(struct slice value)
{
	return (struct record){
	    .topic = SLICE_LIT("orders"),
	    .partition = 3,
	    .offset = 17,
	    .timestamp_ms = 5,
	    .has_key = true,
	    .has_value = value.base,
	    .key = SLICE_LIT("{\"id\":\"k1\"}"),
	    .value = value,
	    .headers = headers,
	    .header_count = sizeof(headers) / sizeof(headers[0]),
	};
}

struct frame_row {
	const char *mapping;
	struct slice value;
	const char *expected;
};

/* The frame of the record by the mapping, built from no more than the parts that it asks for. */
static void check_frame(const struct frame_row *row)
{
	struct mapping *mapping = compile(row->mapping);
	struct record record = make_record(row->value);
	unsigned parts = mapping_parts(mapping);
	struct buffer frame = {0};
	json_t *document = NULL;

	if (parts)
		assert_int_equal(document_build(&record, parts, &document), 0);
	mapping_append_frame(mapping, &record, document, SLICE_LIT("ID"), &frame);
	if (!slice_equal(buffer_slice(&frame), slice_of(row->expected)))
		fail_msg("%s gives:\n%s", row->mapping ? row->mapping : "nothing",
			 buffer_text(&frame));
	buffer_free(&frame);
	json_decref(document);
	mapping_free(mapping);
}

#define CHECK_TABLE(rows)                                                                          \
	for (size_t i = 0; i < sizeof(rows) / sizeof((rows)[0]); i++)                              \
	check_frame(&(rows)[i])

/* Without `data` the value is the data as it is, whether JSON or not; lines end where a browser
 * ends them. */
static void test_mapping_default_is_the_whole_value(void **state)
{
	static const struct frame_row rows[] = {
	    {NULL, SLICE_LIT("{\"a\": 1.10}"), "id: ID\ndata: {\"a\": 1.10}\n\n"},
	    {"{}", SLICE_LIT("{\"a\": 1.10}"), "id: ID\ndata: {\"a\": 1.10}\n\n"},
	    {"{\"event\":\"order\"}", SLICE_LIT("x"), "id: ID\nevent: order\ndata: x\n\n"},
	    {NULL, SLICE_LIT("a\nb\r\nc"), "id: ID\ndata: a\ndata: b\ndata: c\n\n"},
	    {NULL, SLICE_LIT(""), "id: ID\ndata: \n\n"},
	    {NULL, {NULL, 0}, "id: ID\ndata: \n\n"},
	    {NULL, SLICE_LIT("\xff"), "id: ID\ndata: \xef\xbf\xbd\n\n"},
	};

	(void)state;
	CHECK_TABLE(rows);
}

/* Pointers give text or compact JSON, constants give themselves, and what is not found gives no
 * field. */
static void test_mapping_fields_come_from_pointers_and_constants(void **state)
{
#define VALUE                                                                                      \
	SLICE_LIT("{ \"type\": \"t\", \"p\": { \"b\": [1, true, null], \"a\": \"\\u00e9\" }, "     \
		  "\"n\": 7, \"z\": null }")
	static const struct frame_row rows[] = {
	    {"{\"event\":\"/value/type\",\"data\":\"/value/p\"}", VALUE,
	     "id: ID\nevent: t\ndata: {\"b\":[1,true,null],\"a\":\"\xc3\xa9\"}\n\n"},
	    {"{\"data\":\"/value/p/a\"}", VALUE, "id: ID\ndata: \xc3\xa9\n\n"},
	    {"{\"data\":\"/value/p/b/1\"}", VALUE, "id: ID\ndata: true\n\n"},
	    {"{\"data\":\"/value/n\",\"event\":\"/value/n\"}", VALUE,
	     "id: ID\nevent: 7\ndata: 7\n\n"},
	    {"{\"data\":\"/value/z\",\"event\":\"/value/z\"}", VALUE, "id: ID\ndata: null\n\n"},
	    {"{\"data\":\"/value/x\",\"event\":\"/value/x\"}", VALUE, "id: ID\n\n"},
	    {"{\"data\":\"changed\"}", VALUE, "id: ID\ndata: changed\n\n"},
	    {"{\"data\":\"\"}", VALUE, "id: ID\ndata: \n\n"},
	    {"{\"data\":\"a\\nb\"}", VALUE, "id: ID\ndata: a\ndata: b\n\n"},
	    {"{\"data\":\"//value/type\",\"event\":\"//\"}", VALUE,
	     "id: ID\nevent: /\ndata: /value/type\n\n"},
	    {"{\"data\":\"/key\"}", VALUE, "id: ID\ndata: {\"id\":\"k1\"}\n\n"},
	    {"{\"data\":\"/key/id\"}", VALUE, "id: ID\ndata: k1\n\n"},
	    {"{\"data\":\"/headers/type\",\"event\":\"/headers/none\"}", VALUE,
	     "id: ID\ndata: created\n\n"},
	    {"{\"data\":\"/topic\",\"event\":\"/partition\"}", VALUE,
	     "id: ID\nevent: 3\ndata: orders\n\n"},
	    {"{\"data\":\"/offset\",\"event\":\"/timestamp\"}", VALUE,
	     "id: ID\nevent: 5\ndata: 17\n\n"},
	    {"{\"data\":\"/value/p\"}", {NULL, 0}, "id: ID\n\n"},
	};
#undef VALUE

	(void)state;
	CHECK_TABLE(rows);
}

/* No text of a record can end its line in `event` or `id`, and so write fields of its own. */
static void test_mapping_line_breaks_are_dropped_from_event_and_id(void **state)
{
	static const struct frame_row rows[] = {
	    {"{\"event\":\"/value\",\"data\":\"\"}",
	     SLICE_LIT("\"a\\r\\nid: 1\\n\\ndata: x\\u0000\""),
	     "id: ID\nevent: aid: 1data: x\ndata: \n\n"},
	    {"{\"id\":\"/value\",\"data\":\"\"}", SLICE_LIT("\"\\na\\rb\\u0000c\""),
	     "id: abc\ndata: \n\n"},
	    {"{\"event\":\"/headers/bad\",\"data\":\"\"}", SLICE_LIT("1"),
	     "id: ID\nevent: abc\ndata: \n\n"},
	    {"{\"event\":\"/value\",\"data\":\"\"}", SLICE_LIT("{\"a\\n\":\"\\r\"}"),
	     "id: ID\nevent: {\"a\\n\":\"\\r\"}\ndata: \n\n"},
	    {"{\"event\":\"/value\",\"data\":\"\"}", SLICE_LIT("\"\\r\\n\""), "id: ID\ndata: \n\n"},
	};

	(void)state;
	CHECK_TABLE(rows);
}

/* The record's own id is used where it has one; an empty one would make the browser forget its
 * place. */
static void test_mapping_custom_id_replaces_the_position(void **state)
{
	static const struct frame_row rows[] = {
	    {"{\"id\":\"/value/id\",\"data\":\"d\"}", SLICE_LIT("{\"id\":\"e-1\"}"),
	     "id: e-1\ndata: d\n\n"},
	    {"{\"id\":\"/value/id\",\"data\":\"d\"}", SLICE_LIT("{\"id\":12}"),
	     "id: 12\ndata: d\n\n"},
	    {"{\"id\":\"/value/id\",\"data\":\"d\"}", SLICE_LIT("{\"id\":\"\"}"),
	     "id: ID\ndata: d\n\n"},
	    {"{\"id\":\"/value/id\",\"data\":\"d\"}", SLICE_LIT("{\"id\":\"\\n\"}"),
	     "id: ID\ndata: d\n\n"},
	    {"{\"id\":\"/value/id\",\"data\":\"d\"}", SLICE_LIT("{\"id\":null}"),
	     "id: ID\ndata: d\n\n"},
	    {"{\"id\":\"/value/id\",\"data\":\"d\"}", SLICE_LIT("{}"), "id: ID\ndata: d\n\n"},
	};
	struct mapping *with = compile("{\"id\":\"/value/id\"}"),
		       *without = compile("{\"data\":\"d\"}");

	(void)state;
	CHECK_TABLE(rows);
	assert_true(mapping_has_custom_id(with));
	assert_false(mapping_has_custom_id(without));
	mapping_free(with);
	mapping_free(without);
	mapping_free(NULL);
}

/* `retry` is sent only as milliseconds that a browser can wait. */
static void test_mapping_retry_is_sent_where_there_is_one(void **state)
{
#define AT "{\"data\":\"\",\"retry\":\"/value\"}"
	static const struct frame_row rows[] = {
	    {"{\"data\":\"\",\"retry\":5000}", SLICE_LIT("1"), "id: ID\nretry: 5000\ndata: \n\n"},
	    {"{\"data\":\"\",\"retry\":0}", SLICE_LIT("1"), "id: ID\nretry: 0\ndata: \n\n"},
	    {"{\"data\":\"\",\"retry\":\"/headers/retry\"}", SLICE_LIT("1"),
	     "id: ID\nretry: 2500\ndata: \n\n"},
	    {AT, SLICE_LIT("100"), "id: ID\nretry: 100\ndata: \n\n"},
	    {AT, SLICE_LIT("100.0"), "id: ID\nretry: 100\ndata: \n\n"},
	    {AT, SLICE_LIT("\"2147483647\""), "id: ID\nretry: 2147483647\ndata: \n\n"},
	    {AT, SLICE_LIT("2147483648"), "id: ID\ndata: \n\n"},
	    {AT, SLICE_LIT("\"2147483648\""), "id: ID\ndata: \n\n"},
	    {AT, SLICE_LIT("\"99999999999999999999\""), "id: ID\ndata: \n\n"},
	    {AT, SLICE_LIT("1e300"), "id: ID\ndata: \n\n"},
	    {AT, SLICE_LIT("-1"), "id: ID\ndata: \n\n"},
	    {AT, SLICE_LIT("\"-1\""), "id: ID\ndata: \n\n"},
	    {AT, SLICE_LIT("\"\""), "id: ID\ndata: \n\n"},
	    {AT, SLICE_LIT("\"1\\n2\""), "id: ID\ndata: \n\n"},
	    {AT, SLICE_LIT("null"), "id: ID\ndata: \n\n"},
	    {AT, SLICE_LIT("[1]"), "id: ID\ndata: \n\n"},
	};
#undef AT

	(void)state;
	CHECK_TABLE(rows);
}

/* A mapping asks for no more of the record than its pointers need. */
static void test_mapping_parts_are_those_of_its_pointers(void **state)
{
	static const struct {
		const char *mapping;
		unsigned parts;
	} rows[] = {
	    {NULL, 0},
	    {"{}", 0},
	    {"{\"event\":\"a\",\"data\":\"//value\",\"retry\":1}", 0},
	    {"{\"event\":\"/topic\"}", DOCUMENT_TOPIC},
	    {"{\"event\":\"/key\"}", DOCUMENT_KEY},
	    {"{\"event\":\"/key/type\"}", DOCUMENT_KEY_JSON},
	    {"{\"event\":\"/headers/type\",\"retry\":\"/headers/retry\"}", DOCUMENT_HEADERS},
	    {"{\"event\":\"/partition\",\"data\":\"/offset\",\"id\":\"/value\",\"retry\":\"/"
	     "timestamp\"}",
	     DOCUMENT_PARTITION | DOCUMENT_OFFSET | DOCUMENT_VALUE | DOCUMENT_TIMESTAMP},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mapping *mapping = compile(rows[i].mapping);

		if (mapping_parts(mapping) != rows[i].parts)
			fail_msg("%s: %x", rows[i].mapping, mapping_parts(mapping));
		mapping_free(mapping);
	}
}

/* Each refusal names its field and says what would be right. */
static void test_mapping_malformed_source_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *source;
		const char *pointer;
		const char *reason; /* a part of it */
	} rows[] = {
	    {"\"/value\"", "", "an object of event, data, id, retry and envelope"},
	    {"null", "", "an object of event, data, id, retry and envelope"},
	    {"{\"dat\":\"x\"}", "/dat", "known are event, data, id, retry and envelope"},
	    {"{\"a/b\":1}", "/a~1b", "known are event, data, id, retry and envelope"},
	    {"{\"event\":1}", "/event", "must be a string"},
	    {"{\"event\":null}", "/event", "must be a string"},
	    {"{\"event\":\"a\\nb\"}", "/event", "one line"},
	    {"{\"event\":\"a\\u0000b\"}", "/event", "NUL"},
	    {"{\"data\":{}}", "/data", "must be a string"},
	    {"{\"data\":\"/\"}", "/data", "a pointer starts with /value"},
	    {"{\"data\":\"/valu\"}", "/data", "\"/valu\" points at nothing"},
	    {"{\"data\":\"/value2/a\"}", "/data", "a text that starts with / is written //"},
	    {"{\"data\":\"/topic/a\"}", "/data", "\"/topic\" has nothing below it"},
	    {"{\"data\":\"/value/a~b\"}", "/data", "~ is written ~0"},
	    {"{\"data\":\"/value/a~\"}", "/data", "~ is written ~0"},
	    {"{\"id\":\"x\"}", "/id", "must be a JSON pointer"},
	    {"{\"retry\":-1}", "/retry", "from 0 to 2147483647"},
	    {"{\"retry\":2147483648}", "/retry", "from 0 to 2147483647"},
	    {"{\"retry\":1.5}", "/retry", "an integer"},
	    {"{\"retry\":\"5000\"}", "/retry", "an integer"},
	    {"{\"retry\":null}", "/retry", "an integer"},
	    {"{\"retry\":\"//value\"}", "/retry", "an integer"},
	    {"{\"envelope\":\"cloudevent\"}", "/envelope", "\"record\" or \"cloudevents\""},
	    {"{\"envelope\":true}", "/envelope", "\"none\", \"record\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *source = json_loads(rows[i].source, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		char pointer[256] = "", reason[256] = "";
		struct mapping *mapping = NULL;

		if (mapping_compile(source, &mapping, pointer, reason) != ERROR_INVALID || mapping)
			fail_msg("accepted: %s", rows[i].source);
		if (strcmp(pointer, rows[i].pointer) || !strstr(reason, rows[i].reason))
			fail_msg("%s: \"%s\": %s", rows[i].source, pointer, reason);
		json_decref(source);
	}
}

/* An envelope is put around what would be the data; the other fields stay as they are. */
static void test_mapping_envelope_is_around_the_data(void **state)
{
#define FRAME(rest) ENVELOPE("id: ID\nevent: e\n", rest)
#define ENVELOPE(fields, rest)                                                                     \
	fields "data: {\"topic\":\"orders\",\"partition\":3,\"offset\":17,"                        \
	       "\"timestamp\":5,\"key\":\"{\\\"id\\\":\\\"k1\\\"}\",\"headers\":{\"type\":"        \
	       "\"created\","                                                                      \
	       "\"retry\":\"2500\",\"bad\":\"a\\r\\nb\\u0000c\"}," rest "}\n\n"
	static const struct frame_row rows[] = {
	    {"{\"envelope\":\"none\"}", SLICE_LIT("x"), "id: ID\ndata: x\n\n"},
	    {"{\"event\":\"e\",\"envelope\":\"record\"}", SLICE_LIT("{\"a\":\n1.10}"),
	     FRAME("\"value\":{\"a\":1.10}")},
	    {"{\"event\":\"e\",\"envelope\":\"record\"}", {NULL, 0}, FRAME("\"value\":null")},
	    {"{\"event\":\"e\",\"envelope\":\"record\",\"data\":\"/value/a\"}",
	     SLICE_LIT("{\"a\":[1.10]}"), FRAME("\"value\":[1.1000000000000001]")},
	    {"{\"event\":\"e\",\"envelope\":\"record\",\"data\":\"/value/b\"}", SLICE_LIT("{}"),
	     FRAME("\"value\":null")},
	    {"{\"event\":\"e\",\"envelope\":\"record\",\"data\":\"a\\nb\"}", SLICE_LIT("{}"),
	     FRAME("\"value\":\"a\\nb\"")},
	    {"{\"id\":\"/value/n\",\"envelope\":\"record\",\"data\":\"/value/a\"}",
	     SLICE_LIT("{\"n\":7,\"a\":1}"), ENVELOPE("id: 7\n", "\"value\":1")},
	    {"{\"id\":\"/value/n\",\"envelope\":\"record\"}", SLICE_LIT("{\"a\":1}"),
	     ENVELOPE("id: ID\n", "\"value\":{\"a\":1}")},
	    {"{\"id\":\"/value/n\",\"envelope\":\"record\"}",
	     {NULL, 0},
	     ENVELOPE("id: ID\n", "\"value\":null")},
	    {"{\"event\":\"/headers/type\",\"envelope\":\"cloudevents\"}", SLICE_LIT("x"),
	     "id: ID\nevent: created\ndata: {\"specversion\":\"1.0\",\"id\":\"orders/3/17\","
	     "\"source\":\"/topics/orders\",\"type\":\"created\","
	     "\"time\":\"1970-01-01T00:00:00.005Z\",\"partitionkey\":\"{\\\"id\\\":\\\"k1\\\"}\","
	     "\"datacontenttype\":\"text/plain\",\"data\":\"x\"}\n\n"},
	};

	(void)state;
	CHECK_TABLE(rows);
}

/* The id of its own is the frame's, also where it is asked for alone; nothing where there is none.
 */
static void test_mapping_custom_id_is_the_frames(void **state)
{
	static const struct {
		const char *mapping, *value, *id;
	} rows[] = {
	    {"{\"id\": \"/value/id\"}", "{\"id\": \"a\\r\\u0000b\"}", "ab"},
	    {"{\"id\": \"/value/id\"}", "{\"id\": 17}", "17"},
	    {"{\"id\": \"/value/id\"}", "{\"id\": null}", ""},
	    {"{\"id\": \"/value/id\"}", "{}", ""},
	    {"{\"data\": \"/value/id\"}", "{\"id\": \"a\"}", ""},
	};
	struct buffer own = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mapping *mapping = compile(rows[i].mapping);
		struct record record = make_record(slice_of(rows[i].value));
		json_t *document = NULL;

		assert_int_equal(document_build(&record, mapping_parts(mapping), &document), 0);
		assert_true(
		    slice_equal(mapping_custom_id(mapping, document, &own), slice_of(rows[i].id)));
		json_decref(document);
		mapping_free(mapping);
	}
	buffer_free(&own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mapping_default_is_the_whole_value),
	    cmocka_unit_test(test_mapping_fields_come_from_pointers_and_constants),
	    cmocka_unit_test(test_mapping_line_breaks_are_dropped_from_event_and_id),
	    cmocka_unit_test(test_mapping_custom_id_replaces_the_position),
	    cmocka_unit_test(test_mapping_retry_is_sent_where_there_is_one),
	    cmocka_unit_test(test_mapping_parts_are_those_of_its_pointers),
	    cmocka_unit_test(test_mapping_malformed_source_is_refused_with_its_place),
	    cmocka_unit_test(test_mapping_custom_id_is_the_frames),
	    cmocka_unit_test(test_mapping_envelope_is_around_the_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
