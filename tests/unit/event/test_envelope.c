#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "event/document.h"
#include "event/envelope.h"

enum { MAX_HEADERS = 8 };
#define NOTHING ((struct slice){0})
#define NO_HEADERS                                                                                 \
	{                                                                                          \
		{                                                                                  \
			{NULL, 0},                                                                 \
			{                                                                          \
				NULL, 0                                                            \
			}                                                                          \
		}                                                                                  \
	}

struct row {
	struct slice key, value; /* base NULL: null, a tombstone */
	struct record_header headers[MAX_HEADERS];
	size_t header_count;
	const char *expected;
};

static struct record record_of(const struct row *row)
{
	return (struct record){
	    .topic = SLICE_LIT("orders"),
	    .partition = 3,
	    .offset = 17,
	    .timestamp_ms = 1767225600123,
	    .has_key = row->key.base,
	    .has_value = row->value.base,
	    .key = row->key,
	    .value = row->value,
	    .headers = row->headers,
	    .header_count = row->header_count,
	};
}

static void check_json(struct slice text)
{
	json_t *json =
	    json_loadb(text.base, text.len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);

	assert_true(json_is_object(json));
	assert_true(utf8_is_valid(text));
	assert_true(slice_find(text, 0, text.len, '\n') == text.len);
	assert_true(slice_find(text, 0, text.len, '\r') == text.len);
	json_decref(json);
}

typedef void append_function(const struct envelope_content *content, struct buffer *out);

/* The same whether the record was decoded for something else or not. */
static void check_content(append_function *append, struct envelope_content content,
			  const char *expected)
{
	json_t *document;

	for (int decoded = 0; decoded < 2; decoded++) {
		struct buffer out = {0};

		document = NULL;
		if (decoded && document_build(content.record, DOCUMENT_VALUE, &document))
			break;
		content.document = document;
		append(&content, &out);
		if (!slice_equal(buffer_slice(&out), slice_of(expected)))
			fail_msg("%s\n  is not: %s", buffer_text(&out), expected);
		check_json(buffer_slice(&out));
		buffer_free(&out);
		json_decref(document);
	}
}

static void check_row(append_function *append, const struct row *row)
{
	const struct record record = record_of(row);

	check_content(append, (struct envelope_content){.record = &record}, row->expected);
}

#define CHECK_TABLE(append, rows)                                                                  \
	for (size_t i = 0; i < sizeof(rows) / sizeof((rows)[0]); i++)                              \
	check_row(append, &(rows)[i])

#define RECORD(rest)                                                                               \
	"{\"topic\":\"orders\",\"partition\":3,\"offset\":17,\"timestamp\":1767225600123," rest
#define VALUE(text) RECORD("\"key\":null,\"headers\":{},") text "}"

/* JSON keeps its own bytes but for whitespace that breaks lines; what is no JSON is a string, what
 * is no text base64. */
static void test_envelope_record_embeds_the_value_as_it_is(void **state)
{
	static const struct row rows[] = {
	    {NOTHING, NOTHING, NO_HEADERS, 0, VALUE("\"value\":null")},
	    {NOTHING, SLICE_LIT(""), NO_HEADERS, 0, VALUE("\"value\":\"\"")},
	    {NOTHING, SLICE_LIT("null"), NO_HEADERS, 0, VALUE("\"value\":null")},
	    {NOTHING, SLICE_LIT("{\"a\": 1.10, \"a\": [1e2]}"), NO_HEADERS, 0,
	     VALUE("\"value\":{\"a\": 1.10, \"a\": [1e2]}")},
	    {NOTHING, SLICE_LIT("{\n \"a \\\" \\\\\" :\r\n\t[1 , \"x\\n y\"] }\n"), NO_HEADERS, 0,
	     VALUE("\"value\":{\"a \\\" \\\\\":[1,\"x\\n y\"]}")},
	    {NOTHING, SLICE_LIT("18446744073709551616"), NO_HEADERS, 0,
	     VALUE("\"value\":18446744073709551616")},
	    {NOTHING, SLICE_LIT("[-0, 1E-400, 123456789012345678901234567890.5]"), NO_HEADERS, 0,
	     VALUE("\"value\":[-0, 1E-400, 123456789012345678901234567890.5]")},
	    {NOTHING, SLICE_LIT("1e999"), NO_HEADERS, 0, VALUE("\"value\":\"1e999\"")},
	    {NOTHING, SLICE_LIT("01"), NO_HEADERS, 0, VALUE("\"value\":\"01\"")},
	    {NOTHING, SLICE_LIT("{} {}"), NO_HEADERS, 0, VALUE("\"value\":\"{} {}\"")},
	    {NOTHING, SLICE_LIT("\"\\ud800\""), NO_HEADERS, 0,
	     VALUE("\"value\":\"\\\"\\\\ud800\\\"\"")},
	    {NOTHING, SLICE_LIT("\"\\u0000\""), NO_HEADERS, 0, VALUE("\"value\":\"\\u0000\"")},
	    {NOTHING, SLICE_LIT("a\"b\\c\r\nd\0e\x7f"), NO_HEADERS, 0,
	     VALUE("\"value\":\"a\\\"b\\\\c\\r\\nd\\u0000e\x7f\"")},
	    {NOTHING, SLICE_LIT("{\"a\":\"\xc3\"}"), NO_HEADERS, 0,
	     VALUE("\"value_base64\":\"eyJhIjoiwyJ9\"")},
	    {NOTHING, SLICE_LIT("\xff"), NO_HEADERS, 0, VALUE("\"value_base64\":\"/w==\"")},
	    {NOTHING, SLICE_LIT("\xc0\x80"), NO_HEADERS, 0, VALUE("\"value_base64\":\"wIA=\"")},
	    {NOTHING, SLICE_LIT("\xed\xa0\x80"), NO_HEADERS, 0, VALUE("\"value_base64\":\"7aCA\"")},
	};

	(void)state;
	CHECK_TABLE(envelope_append_record, rows);
}

#define KEYED(text)  RECORD(text ",\"headers\":{},\"value\":1}")
#define HEADED(text) RECORD("\"key\":null,\"headers\":" text ",\"value\":1}")

/* A key is text or base64, never JSON; headers too, several of a name in their order. */
static void test_envelope_record_has_key_and_headers(void **state)
{
	static const struct row rows[] = {
	    {SLICE_LIT("42"), SLICE_LIT("1"), NO_HEADERS, 0, KEYED("\"key\":\"42\"")},
	    {SLICE_LIT(""), SLICE_LIT("1"), NO_HEADERS, 0, KEYED("\"key\":\"\"")},
	    {SLICE_LIT("{\"id\":1}"), SLICE_LIT("1"), NO_HEADERS, 0,
	     KEYED("\"key\":\"{\\\"id\\\":1}\"")},
	    {SLICE_LIT("\0\r\n"), SLICE_LIT("1"), NO_HEADERS, 0,
	     KEYED("\"key\":\"\\u0000\\r\\n\"")},
	    {SLICE_LIT("\0\x80\xff"), SLICE_LIT("1"), NO_HEADERS, 0,
	     KEYED("\"key_base64\":\"AID/\"")},
	    {NOTHING,
	     SLICE_LIT("1"),
	     {{SLICE_LIT("a"), SLICE_LIT("b")}},
	     1,
	     HEADED("{\"a\":\"b\"}")},
	    {NOTHING, SLICE_LIT("1"), {{SLICE_LIT(""), SLICE_LIT("")}}, 1, HEADED("{\"\":\"\"}")},
	    {NOTHING, SLICE_LIT("1"), {{SLICE_LIT("a"), NOTHING}}, 1, HEADED("{\"a\":null}")},
	    {NOTHING,
	     SLICE_LIT("1"),
	     {{SLICE_LIT("a"), SLICE_LIT("\xff\xfe")}},
	     1,
	     HEADED("{\"a\":{\"base64\":\"//4=\"}}")},
	    {NOTHING,
	     SLICE_LIT("1"),
	     {{SLICE_LIT("a"), SLICE_LIT("1")},
	      {SLICE_LIT("b"), SLICE_LIT("\"\n")},
	      {SLICE_LIT("a"), SLICE_LIT("\xff")},
	      {SLICE_LIT("a"), NOTHING}},
	     4,
	     HEADED("{\"a\":[\"1\",{\"base64\":\"/w==\"},null],\"b\":\"\\\"\\n\"}")},
	    {NOTHING,
	     SLICE_LIT("1"),
	     {{SLICE_LIT("\xff"), SLICE_LIT("1")}, {SLICE_LIT("\xfe"), SLICE_LIT("2")}},
	     2,
	     HEADED("{\"\xef\xbf\xbd\":[\"1\",\"2\"]}")},
	};

	(void)state;
	CHECK_TABLE(envelope_append_record, rows);
}

/* What was selected is the value, also where nothing was found; no timestamp is null. */
static void test_envelope_selection_is_the_value(void **state)
{
	const struct row row = {NOTHING, SLICE_LIT("\xff"), NO_HEADERS, 0, NULL};
	struct record record = record_of(&row);
	json_t *selection = json_loads("{\"b\": [1.5, \"\\u0000\"]}", JSON_ALLOW_NUL, NULL);

	(void)state;
	check_content(
	    envelope_append_record,
	    (struct envelope_content){.record = &record, .selected = true, .selection = selection},
	    VALUE("\"value\":{\"b\":[1.5,\"\\u0000\"]}"));
	check_content(envelope_append_record,
		      (struct envelope_content){.record = &record, .selected = true},
		      VALUE("\"value\":null"));
	record.timestamp_ms = -1;
	check_content(envelope_append_record,
		      (struct envelope_content){.record = &record, .selected = true},
		      "{\"topic\":\"orders\",\"partition\":3,\"offset\":17,\"timestamp\":null,"
		      "\"key\":null,\"headers\":{},\"value\":null}");
	json_decref(selection);
}

/* A hundred thousand headers of two names are two lists. */
static void test_envelope_many_headers_are_lists(void **state)
{
	enum { MANY = 100000 };
	struct record_header *headers = mem_alloc(MANY * sizeof(*headers));
	struct record record = {.topic = SLICE_LIT("t"), .headers = headers, .header_count = MANY};
	struct buffer out = {0};
	json_t *json;

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		headers[i] = (struct record_header){{"a", i % 2}, SLICE_LIT("v")};
	envelope_append_record(&(struct envelope_content){.record = &record}, &out);
	json = json_loadb(out.base, out.len, 0, NULL);
	assert_int_equal(json_array_size(document_at(json, "/headers/a")), MANY / 2);
	assert_int_equal(json_array_size(document_at(json, "/headers/")), MANY / 2);
	json_decref(json);
	free(headers);
	buffer_free(&out);
}

#define EVENT(rest)                                                                                \
	"{\"specversion\":\"1.0\",\"id\":\"orders/3/17\",\"source\":\"/topics/orders\","           \
	"\"type\":\"kafka.record\",\"time\":\"2026-01-01T00:00:00.123Z\"," rest

/* A record that is no CloudEvent gets what one must have. */
static void test_envelope_cloudevent_of_a_plain_record_has_what_is_required(void **state)
{
	static const struct row rows[] = {
	    {NOTHING, SLICE_LIT("{\"a\": 1}"), NO_HEADERS, 0,
	     EVENT("\"datacontenttype\":\"application/json\",\"data\":{\"a\": 1}}")},
	    {SLICE_LIT("k1"), SLICE_LIT("text"), NO_HEADERS, 0,
	     EVENT(
		 "\"partitionkey\":\"k1\",\"datacontenttype\":\"text/plain\",\"data\":\"text\"}")},
	    {SLICE_LIT("\xff"), SLICE_LIT("\xff"), NO_HEADERS, 0,
	     EVENT("\"datacontenttype\":\"application/octet-stream\",\"data_base64\":\"/w==\"}")},
	    {SLICE_LIT("a\nb"), NOTHING, NO_HEADERS, 0, EVENT("\"data\":null}")},
	    {SLICE_LIT(""), NOTHING, NO_HEADERS, 0, EVENT("\"data\":null}")},
	};

	(void)state;
	CHECK_TABLE(envelope_append_cloudevent, rows);
}

#define CE(name, value)                                                                            \
	{                                                                                          \
		SLICE_LIT("ce_" name), SLICE_LIT(value)                                            \
	}
#define TYPED(text, rest) EVENT("\"datacontenttype\":\"" text "\",") rest "}"

/* Binary mode: headers are attributes; what can be none is left out, and none comes twice. */
static void test_envelope_cloudevent_binary_mode_reads_headers(void **state)
{
	static const struct row rows[] = {
	    {NOTHING,
	     SLICE_LIT("1"),
	     {CE("specversion", "0.3"), CE("id", "i"), CE("source", "/s"), CE("type", "t"),
	      CE("time", "2020-01-01T00:00:00Z"), CE("subject", "x"), CE("dataschema", "urn:y"),
	      CE("partitionkey", "p")},
	     8,
	     "{\"specversion\":\"1.0\",\"id\":\"i\",\"source\":\"/s\",\"type\":\"t\","
	     "\"time\":\"2020-01-01T00:00:00Z\",\"subject\":\"x\",\"dataschema\":\"urn:y\","
	     "\"partitionkey\":\"p\",\"datacontenttype\":\"application/json\",\"data\":1}"},
	    {NOTHING,
	     SLICE_LIT("1"),
	     {CE("Upper", "1"),
	      CE("data", "1"),
	      CE("data_base64", "1"),
	      CE("", "1"),
	      CE("a-b", "1"),
	      {SLICE_LIT("CE_x"), SLICE_LIT("1")},
	      {SLICE_LIT("ce"), SLICE_LIT("1")},
	      {SLICE_LIT("other"), SLICE_LIT("1")}},
	     8,
	     TYPED("application/json", "\"data\":1")},
	    {NOTHING,
	     SLICE_LIT("1"),
	     {CE("id", ""),
	      CE("type", "\xff"),
	      CE("source", "a\nb"),
	      CE("a", "\xc2\x85"),
	      CE("b", "\x7f"),
	      {SLICE_LIT("ce_c"), NOTHING},
	      CE("d", "\0")},
	     7,
	     TYPED("application/json", "\"data\":1")},
	    {NOTHING,
	     SLICE_LIT("1"),
	     {CE("ext1", "a"), CE("ext1", "\xc2\xa0\"")},
	     2,
	     EVENT(
		 "\"ext1\":\"\xc2\xa0\\\"\",\"datacontenttype\":\"application/json\",\"data\":1}")},
	};

	(void)state;
	CHECK_TABLE(envelope_append_cloudevent, rows);
}

#define TYPE(value)                                                                                \
	{                                                                                          \
		SLICE_LIT("content-type"), SLICE_LIT(value)                                        \
	}

/* The content type decides what the data is: JSON, text, or bytes. */
static void test_envelope_cloudevent_data_is_what_its_type_says(void **state)
{
	static const struct row rows[] = {
	    {NOTHING,
	     SLICE_LIT("1"),
	     {TYPE("application/json; charset=utf-8")},
	     1,
	     TYPED("application/json; charset=utf-8", "\"data\":1")},
	    {NOTHING,
	     SLICE_LIT("{}"),
	     {TYPE("application/vnd.a+JSON ;x=y")},
	     1,
	     TYPED("application/vnd.a+JSON ;x=y", "\"data\":{}")},
	    {NOTHING,
	     SLICE_LIT("no"),
	     {TYPE("text/json")},
	     1,
	     TYPED("text/json", "\"data_base64\":\"bm8=\"")},
	    {NOTHING,
	     SLICE_LIT(""),
	     {TYPE("application/json")},
	     1,
	     TYPED("application/json", "\"data_base64\":\"\"")},
	    {NOTHING,
	     SLICE_LIT("1"),
	     {TYPE("text/plain")},
	     1,
	     TYPED("text/plain", "\"data\":\"1\"")},
	    {NOTHING,
	     SLICE_LIT("\xff"),
	     {TYPE("text/plain")},
	     1,
	     TYPED("text/plain", "\"data_base64\":\"/w==\"")},
	    {NOTHING,
	     NOTHING,
	     {TYPE("application/json")},
	     1,
	     TYPED("application/json", "\"data\":null")},
	    {NOTHING,
	     SLICE_LIT("1"),
	     {TYPE("text/plain"), TYPE("application/json")},
	     2,
	     TYPED("application/json", "\"data\":1")},
	    {NOTHING,
	     SLICE_LIT("1"),
	     {TYPE("application/json"), CE("datacontenttype", "text/x")},
	     2,
	     TYPED("application/json", "\"data\":1")},
	    {NOTHING, SLICE_LIT("1"), {TYPE("a\r\nb")}, 1, TYPED("application/json", "\"data\":1")},
	    {NOTHING,
	     SLICE_LIT("x"),
	     {TYPE("application/cloudevents+avro")},
	     1,
	     TYPED("application/cloudevents+avro", "\"data\":\"x\"")},
	};

	(void)state;
	CHECK_TABLE(envelope_append_cloudevent, rows);
}

/* Structured mode passes as it is, on one line; what only says so does not. */
static void test_envelope_cloudevent_structured_mode_passes(void **state)
{
#define STRUCTURED TYPE("application/cloudevents+json; charset=UTF-8")
	static const struct row rows[] = {
	    {NOTHING,
	     SLICE_LIT("{\"specversion\": \"1.0\", \"id\": 5}"),
	     {STRUCTURED},
	     1,
	     "{\"specversion\": \"1.0\", \"id\": 5}"},
	    {NOTHING,
	     SLICE_LIT("\r\n{\n\"data\" : {\"a\\n\":1}}"),
	     {STRUCTURED, CE("id", "i")},
	     2,
	     "{\"data\":{\"a\\n\":1}}"},
	    {NOTHING,
	     SLICE_LIT("[{}]"),
	     {STRUCTURED},
	     1,
	     TYPED("application/cloudevents+json; charset=UTF-8", "\"data\":[{}]")},
	    {NOTHING,
	     SLICE_LIT("{"),
	     {STRUCTURED},
	     1,
	     TYPED("application/cloudevents+json; charset=UTF-8", "\"data_base64\":\"ew==\"")},
	    {NOTHING,
	     NOTHING,
	     {STRUCTURED},
	     1,
	     TYPED("application/cloudevents+json; charset=UTF-8", "\"data\":null")},
	};

	(void)state;
	CHECK_TABLE(envelope_append_cloudevent, rows);
}

/* The event's type is the stream's where the record has none, and what was selected is JSON. */
static void test_envelope_cloudevent_takes_type_and_selection_of_the_stream(void **state)
{
	const struct row row = {
	    NOTHING, SLICE_LIT("{}"), {TYPE("application/cloudevents+json")}, 1, NULL};
	const struct record record = record_of(&row);
	json_t *selection = json_string("a\nb");

	(void)state;
	check_content(
	    envelope_append_cloudevent,
	    (struct envelope_content){.record = &record,
				      .selected = true,
				      .selection = selection,
				      .type = SLICE_LIT("order")},
	    "{\"specversion\":\"1.0\",\"id\":\"orders/3/17\",\"source\":\"/topics/orders\","
	    "\"type\":\"order\",\"time\":\"2026-01-01T00:00:00.123Z\","
	    "\"datacontenttype\":\"application/json\",\"data\":\"a\\nb\"}");
	json_decref(selection);
}

/* A tombstone's data is its key alone. */
static void test_envelope_key_stands_alone(void **state)
{
	static const struct row rows[] = {
	    {SLICE_LIT("k\"1"), NOTHING, NO_HEADERS, 0, "{\"key\":\"k\\\"1\"}"},
	    {SLICE_LIT("\xff"), NOTHING, NO_HEADERS, 0, "{\"key_base64\":\"/w==\"}"},
	    {NOTHING, NOTHING, NO_HEADERS, 0, "{\"key\":null}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct record record = record_of(&rows[i]);
		struct buffer out = {0};

		buffer_append_text(&out, "x");
		envelope_append_key(&record, &out);
		assert_string_equal(buffer_text(&out) + 1, rows[i].expected);
		buffer_free(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_envelope_record_embeds_the_value_as_it_is),
	    cmocka_unit_test(test_envelope_record_has_key_and_headers),
	    cmocka_unit_test(test_envelope_selection_is_the_value),
	    cmocka_unit_test(test_envelope_many_headers_are_lists),
	    cmocka_unit_test(test_envelope_cloudevent_of_a_plain_record_has_what_is_required),
	    cmocka_unit_test(test_envelope_cloudevent_binary_mode_reads_headers),
	    cmocka_unit_test(test_envelope_cloudevent_data_is_what_its_type_says),
	    cmocka_unit_test(test_envelope_cloudevent_structured_mode_passes),
	    cmocka_unit_test(test_envelope_cloudevent_takes_type_and_selection_of_the_stream),
	    cmocka_unit_test(test_envelope_key_stands_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
