#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/config.h"
#include "event/document.h"
#include "event/stream.h"

/* A stream of `members` beside a path and topics that are right. */
#define STREAM(members) "{\"path\": \"/u/{id}/o\", \"topics\": [\"orders\"]" members "}"

static struct stream read_stream(const char *text)
{
	struct config_errors errors = {0};
	struct stream stream;

	if (config_read(&stream_table, &stream, "f", slice_of(text), &errors)) {
		config_errors_print(&errors, "f", stderr);
		fail_msg("refused: %s", text);
	}
	return stream;
}

static char *errors_of(const char *text)
{
	struct config_errors errors = {0};
	struct stream stream;
	char *printed;
	size_t len;
	FILE *out = open_memstream(&printed, &len);

	if (config_read(&stream_table, &stream, "f", slice_of(text), &errors) == 0)
		config_fini(&stream_table, &stream);
	config_errors_print(&errors, "f", out);
	config_errors_free(&errors);
	fclose(out);
	return printed;
}

static void check_errors(const char *text, const char *expected)
{
	char *errors = errors_of(text);

	if (strcmp(errors, expected))
		fail_msg("%s\n  gives: %s\n  not: %s", text, errors, expected);
	free(errors);
}

/* A stream needs a path and topics; all else has its default, and nobody may subscribe. */
static void test_stream_smallest_has_defaults_and_is_closed(void **state)
{
	struct stream stream = read_stream("{\"path\": \"/o\", \"topics\": [\"orders\"]}");

	(void)state;
	assert_int_equal(stream.access, STREAM_CLOSED);
	assert_null(stream.filter);
	assert_non_null(stream.mapping);
	assert_int_equal(stream.parts, 0);
	assert_int_equal(stream.start, STREAM_START_LATEST);
	assert_int_equal(stream.on_gap, STREAM_GAP_EARLIEST);
	assert_int_equal(stream.heartbeat_ms, 15000);
	assert_int_equal(stream.heartbeat_as, STREAM_HEARTBEAT_ID);
	assert_null(stream.welcome);
	assert_int_equal(stream.max_age_ms, 0);
	assert_int_equal(stream.idle_timeout_ms, 0);
	assert_int_equal(stream.window_bytes, 64 << 20);
	assert_int_equal(stream.max_event_bytes, 1 << 20);
	assert_int_equal(stream.tombstones, STREAM_TOMBSTONES_EVENT);
	assert_int_equal(stream.too_large, STREAM_FAULT_ERROR);
	assert_int_equal(stream.undecodable, STREAM_FAULT_SKIP);
	assert_int_equal(stream.topic_count, 1);
	assert_int_equal(stream.param_count, 0);
	config_fini(&stream_table, &stream);
}

/* Everything that a stream may say is read and compiled. */
static void test_stream_whole_is_read(void **state)
{
	struct stream stream = read_stream(
	    "{\"path\": \"/users/{user_id}/orders\", \"topics\": [\"orders\", \"returns\"],"
	    " \"params\": {\"user_id\": {\"in\": \"path\", \"type\": \"integer\", \"minimum\": 1},"
	    "  \"x-tenant\": {\"in\": \"header\", \"required\": true},"
	    "  \"level\": {\"type\": \"number\", \"default\": 2.5, \"enum\": [1, 2.5]}},"
	    " \"access\": {\"claims\": {\"sub\": [\"{path.user_id}\"]}},"
	    " \"filter\": {\"key\": {\"id\": [\"{path.user_id}\"]}, \"topic\": [\"orders\"],"
	    "  \"headers\": {\"t\": [\"{header.x-tenant}\"]}, \"partition\": [0],"
	    "  \"value\": {\"level\": [\"{query.level}\"], \"by\": [\"{claims.name}\"]}},"
	    " \"event\": {\"event\": \"/value/type\", \"retry\": 5000}, \"start\": {\"last\": 10},"
	    " \"on_gap\": \"close\", \"heartbeat\": \"1s\", \"window\": \"1MiB\","
	    " \"max_event\": \"64KiB\", \"description\": \"d\","
	    " \"journal\": {\"retain\": \"100d\"}}");

	(void)state;
	assert_int_equal(stream.param_count, 3);
	assert_true(stream.params[0].required && stream.params[0].has_minimum);
	assert_int_equal(stream.params[1].in, STREAM_PARAM_HEADER);
	assert_int_equal(stream.params[2].in, STREAM_PARAM_QUERY);
	assert_int_equal(stream.access, STREAM_PATTERN);
	assert_true(pattern_has_variables(stream.access_pattern));
	assert_int_equal(stream.parts, DOCUMENT_TOPIC | DOCUMENT_PARTITION | DOCUMENT_KEY_JSON |
					   DOCUMENT_HEADERS | DOCUMENT_VALUE);
	assert_int_equal(stream.start, STREAM_START_LAST);
	assert_int_equal(stream.start_last, 10);
	assert_int_equal(stream.on_gap, STREAM_GAP_CLOSE);
	assert_int_equal(stream.journal_retain_ms, UINT64_C(100) * 86400000);
	config_fini(&stream_table, &stream);
}

/* What filter and event look at decides how a record is read. */
static void test_stream_parts_are_what_filter_and_event_look_at(void **state)
{
	static const struct {
		const char *text;
		unsigned parts;
	} rows[] = {
	    {STREAM(""), 0},
	    {STREAM(",\"filter\": {\"key\": [\"{path.id}\"]}"), DOCUMENT_KEY},
	    {STREAM(",\"filter\": {\"key\": [\"a\", null]}"), DOCUMENT_KEY},
	    {STREAM(",\"filter\": {\"key\": {\"a\": [1]}}"), DOCUMENT_KEY_JSON},
	    {STREAM(",\"event\": {\"event\": \"/key/a\"}"), DOCUMENT_KEY_JSON},
	    {STREAM(",\"filter\": {\"value\": [1]}"), DOCUMENT_VALUE},
	    {STREAM(",\"filter\": {\"key\": [\"a\"]}, \"event\": {\"id\": \"/value/id\"}"),
	     DOCUMENT_KEY | DOCUMENT_VALUE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct stream stream = read_stream(rows[i].text);

		if (stream.parts != rows[i].parts)
			fail_msg("%s looks at %u", rows[i].text, stream.parts);
		config_fini(&stream_table, &stream);
	}
}

/* Parameters of the path that are not declared are required strings. */
static void test_stream_undeclared_path_param_is_a_string(void **state)
{
	struct stream stream = read_stream(
	    "{\"path\": \"/{a}/{b}\", \"topics\": [\"t\"], \"params\": {\"b\": {\"in\": \"path\","
	    " \"type\": \"boolean\"}}}");

	(void)state;
	assert_int_equal(stream.param_count, 2);
	assert_string_equal(stream.params[1].name, "a");
	assert_int_equal(stream.params[1].type, PATTERN_STRING);
	assert_int_equal(stream.params[0].type, PATTERN_BOOLEAN);
	assert_true(stream.params[0].required && stream.params[1].required);
	config_fini(&stream_table, &stream);
}

/* A filter leaves out a condition on a parameter that a request may lack, and on no other. */
static void test_stream_filter_leaves_out_optional_params(void **state)
{
	static const struct {
		const char *param;
		uint32_t count; /* of tuples that a request without the parameter accepts */
	} rows[] = {{"{}", 1}, {"{\"required\": true}", 0}, {"{\"default\": \"d\"}", 0}};
	json_t *nothing = json_pack("{s:{}, s:{}}", "path", "query");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct route_keys keys = {0};
		struct stream stream;
		char text[256];

		snprintf(text, sizeof(text),
			 STREAM(", \"params\": {\"q\": %s}, \"filter\": {\"key\": "
				"[\"{query.q}\"]}"),
			 rows[i].param);
		stream = read_stream(text);
		assert_int_equal(pattern_request_keys(stream.filter, nothing, &keys), 0);
		assert_int_equal(keys.count, rows[i].count);
		route_keys_free(&keys);
		config_fini(&stream_table, &stream);
	}
	json_decref(nothing);
}

/* One thing wrong a row, with what would be right. */
static void test_stream_wrong_settings_are_refused(void **state)
{
	static const struct {
		const char *text, *errors;
	} rows[] = {
	    {"{}", "f:1: lacks \"path\": The path template, such as /users/{user_id}/orders.\n"
		   "f:1: lacks \"topics\": The Kafka topics; or the one entry \"{path.NAME}\": the "
		   "topic that the path names.\n"},
	    {"{\"path\": 1, \"topics\": [\"t\"]}",
	     "f:1: /path: is 1, but must be a path such as \"/users/{user_id}/orders\"\n"},
	    {"{\"path\": \"o\", \"topics\": [\"t\"]}",
	     "f:1: /path: is no path template: it does not start with \"/\"\n"},
	    {"{\"path\": \"/o\", \"topics\": []}",
	     "f:1: /topics: is an array, but must be an array of at least 1 of strings\n"},
	    {"{\"path\": \"/o\", \"topics\": [\"a b\", \"t\"]}",
	     "f:1: /topics/0: is no topic: a topic's name is made of 1 to 249 letters, digits, ., "
	     "_ "
	     "and -\n"},
	    {"{\"path\": \"/o\", \"topics\": [\"..\"]}",
	     "f:1: /topics/0: is no topic: a topic's name is made of 1 to 249 letters, digits, ., "
	     "_ "
	     "and -\n"},
	    {"{\"path\": \"/o\", \"topics\": [\"\", \"t\"]}",
	     "f:1: /topics/0: is \"\", but must be a string that is not empty\n"},
	    {"{\"path\": \"/{t}\", \"topics\": [\"{path.t}\"]}",
	     "f:1: lacks \"allow_topics\": name the topics that the path may ask for\n"},
	    {"{\"path\": \"/{t}\", \"topics\": [\"{path.x}\"], \"allow_topics\": [\"a\"]}",
	     "f:1: /topics/0: \"x\" is no parameter of the path: write {x} in it\n"},
	    {"{\"path\": \"/{t}\", \"topics\": [\"a\", \"{path.t}\"]}",
	     "f:1: /topics/1: a topic from the path must be the only entry\n"},
	    {"{\"path\": \"/{t}\", \"topics\": [\"{query.t}\"]}",
	     "f:1: /topics/0: the only variable here is a path parameter, \"{path.NAME}\"\n"},
	    {"{\"path\": \"/{t}\", \"topics\": [\"{path.t}\"], \"allow_topics\": [\"a\"],"
	     " \"params\": {\"t\": {\"in\": \"path\", \"type\": \"integer\"}}}",
	     "f:1: /topics/0: names a topic: declare \"t\" with \"type\": \"string\"\n"},
	    {STREAM(",\n\"allow_topics\": [\"a\"]"),
	     "f:2: /allow_topics: is for \"topics\": [\"{path.NAME}\"] only: take it out\n"},
	    {"{\"path\": \"/{t}\", \"topics\": [\"{path.t}\"], \"allow_topics\": [\"a*b\"]}",
	     "f:1: /allow_topics/0: is no topic or prefix: a topic's name is made of 1 to 249 "
	     "letters, digits, ., _ and -, and only a prefix ends with *\n"},
	    {STREAM(",\n\"access\": \"all\""),
	     "f:2: /access: is \"all\", but must be \"public\" or a pattern such as {\"claims\": "
	     "{\"sub\": [\"{path.user_id}\"]}}\n"},
	    {STREAM(",\n\"on_gap\": \"skip\""),
	     "f:2: /on_gap: is \"skip\", but must be one of \"earliest\", \"latest\", \"close\"\n"},
	    {STREAM(",\n\"hearbeat\": \"15s\""),
	     "f:2: /hearbeat: unknown setting; did you mean \"heartbeat\"?\n"},
	    {STREAM(",\n\"heartbeat\": \"10ms\""),
	     "f:2: /heartbeat: is \"10ms\", but must be a duration from 100ms to 1h, such as "
	     "\"15s\"\n"},
	    {STREAM(",\n\"window\": \"64KiB\",\n\"max_event\": \"128KiB\""),
	     "f:3: /max_event: is more than \"window\" holds: make it smaller, or \"window\" "
	     "larger\n"},
	    {STREAM(",\n\"journal\": {}"),
	     "f:2: /journal: lacks \"retain\": How long an event is kept there, at the least.\n"},
	    {STREAM(",\n\"journal\": {\"retain\": \"30s\"}"),
	     "f:2: /journal/retain: is \"30s\", but must be a duration from 1m to 366d\n"},
	    {STREAM(",\n\"event\": {\"evnt\": \"x\"}"),
	     "f:2: /event/evnt: unknown field; known are event, data, id, retry and envelope\n"},
	    {STREAM(",\n\"event\": {\n\"id\": \"constant\"}"),
	     "f:3: /event/id: must be a JSON pointer such as \"/value/id\": nobody can resume from "
	     "an id that all events share\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_errors(rows[i].text, rows[i].errors);
}

/* What becomes of records that are no plain events is read. */
static void test_stream_records_that_are_no_events_are_read(void **state)
{
	struct stream stream = read_stream(STREAM(", \"tombstones\": {\"event\": \"deleted\"},"
						  " \"too_large\": \"skip\","
						  " \"undecodable\": \"error\""));

	(void)state;
	assert_int_equal(stream.tombstones, STREAM_TOMBSTONES_NAMED);
	assert_string_equal(stream.tombstone_event, "deleted");
	assert_int_equal(stream.too_large, STREAM_FAULT_SKIP);
	assert_int_equal(stream.undecodable, STREAM_FAULT_ERROR);
	config_fini(&stream_table, &stream);
	stream = read_stream(STREAM(", \"tombstones\": \"skip\""));
	assert_int_equal(stream.tombstones, STREAM_TOMBSTONES_SKIP);
	assert_null(stream.tombstone_event);
	config_fini(&stream_table, &stream);
}

/* "tombstones" is one of two words, or an event's type. */
static void test_stream_wrong_tombstones_are_refused(void **state)
{
	static const char *const rows[] = {"\"events\"",
					   "null",
					   "true",
					   "{}",
					   "{\"event\": \"\"}",
					   "{\"event\": 1}",
					   "{\"event\": \"a\\nb\"}",
					   "{\"event\": \"a\\rb\"}",
					   "{\"event\": \"a\", \"data\": \"b\"}",
					   "{\"type\": \"a\"}"};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *errors;

		snprintf(text, sizeof(text), STREAM(",\n\"tombstones\": %s"), rows[i]);
		errors = errors_of(text);
		if (strncmp(errors, "f:2: /tombstones: ", 18) || !strstr(errors, "\"deleted\""))
			fail_msg("%s: %s", rows[i], errors);
		free(errors);
	}
}

/* What a stream says by itself, and when it ends by itself. */
static void test_stream_life_is_read(void **state)
{
	struct stream stream = read_stream(
	    STREAM(", \"welcome\": {\"data\": {\"me\": \"{claims.sub}\"}}, \"max_age\": \"1h\","
		   " \"idle_timeout\": \"5m\","
		   " \"heartbeat\": {\"every\": \"1s\", \"as\": \"event\"}"));

	(void)state;
	assert_non_null(stream.welcome);
	assert_string_equal(stream.welcome_event, "welcome");
	assert_int_equal(stream.heartbeat_ms, 1000);
	assert_int_equal(stream.heartbeat_as, STREAM_HEARTBEAT_EVENT);
	assert_string_equal(stream.heartbeat_event, "heartbeat");
	assert_int_equal(stream.max_age_ms, 3600000);
	assert_int_equal(stream.idle_timeout_ms, 300000);
	config_fini(&stream_table, &stream);
	stream = read_stream(STREAM(", \"heartbeat\": {\"as\": \"event\", \"event\": \"beat\"},"
				    " \"welcome\": {\"event\": \"hello\", \"data\": 1}"));
	assert_int_equal(stream.heartbeat_ms, 15000);
	assert_string_equal(stream.heartbeat_event, "beat");
	assert_string_equal(stream.welcome_event, "hello");
	config_fini(&stream_table, &stream);
	stream = read_stream(STREAM(", \"heartbeat\": \"2s\""));
	assert_int_equal(stream.heartbeat_ms, 2000);
	config_fini(&stream_table, &stream);
}

/* The same, wrong: a row each. */
static void test_stream_wrong_life_is_refused(void **state)
{
	static const struct {
		const char *members, *errors;
	} rows[] = {
	    {"\"welcome\": {}", "f:2: /welcome: lacks \"data\": The event's data; a string that "
				"is one variable stands for its value.\n"},
	    {"\"welcome\": {\"event\": \"a\\rid: 1\", \"data\": 1}",
	     "f:2: /welcome/event: must be one line\n"},
	    {"\"welcome\": {\"data\": [{\"a\": \"{query.leval}\"}]}",
	     "f:2: /welcome/data/0/a: \"{query.leval}\" is not declared; did you mean "
	     "\"{query.level}\"?\n"},
	    {"\"welcome\": {\"data\": \"{path.nobody}\"}",
	     "f:2: /welcome/data: \"{path.nobody}\" is not declared: add it to \"params\"\n"},
	    {"\"welcome\": {\"data\": \"{claims\"}",
	     "f:2: /welcome/data: a { without } starts no variable; {{ is a brace\n"},
	    {"\"heartbeat\": true",
	     "f:2: /heartbeat: is true, but must be a duration from 100ms to "
	     "1h, such as \"15s\"\n"},
	    {"\"heartbeat\": {\"every\": \"1ms\"}",
	     "f:2: /heartbeat/every: is \"1ms\", but must be a duration from 100ms to 1h, such as "
	     "\"15s\"\n"},
	    {"\"heartbeat\": {\"as\": \"retry\"}",
	     "f:2: /heartbeat/as: is \"retry\", but must be one "
	     "of \"id\", \"comment\", \"event\"\n"},
	    {"\"heartbeat\": {\"event\": \"beat\"}",
	     "f:2: /heartbeat/event: is the type of an event: write \"as\": \"event\" beside it\n"},
	    {"\"heartbeat\": {\"as\": \"event\", \"event\": \"a\\nb\"}",
	     "f:2: /heartbeat/event: must be one line\n"},
	    {"\"max_age\": \"1m\", \"idle_timeout\": \"1m\"",
	     "f:2: /idle_timeout: is never reached, as \"max_age\" is no longer: make it "
	     "shorter\n"},
	    {"\"max_age\": 1", "f:2: /max_age: is 1, but must be a duration from 1s to 30d\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[512];

		snprintf(text, sizeof(text), STREAM(", \"params\": {\"level\": {}},\n%s"),
			 rows[i].members);
		check_errors(text, rows[i].errors);
	}
}

/* The welcome is a frame without an id, on one line of data; one that is too large is none. */
static void test_stream_welcome_is_a_frame_of_the_requests_values(void **state)
{
	struct stream stream = read_stream(
	    STREAM(", \"welcome\": {\"event\": \"hello\", \"data\": {\"me\": \"{claims.sub}\"}}"));
	json_t *variables = json_pack("{s:{s:s}}", "claims", "sub", "a\r\n\nid: 1\n\n");
	struct buffer out = {0};
	char large[STREAM_WELCOME_MAX_BYTES];

	(void)state;
	assert_int_equal(stream_append_welcome(&stream, variables, &out), 0);
	assert_string_equal(buffer_text(&out), "event: hello\ndata: "
					       "{\"me\":\"a\\r\\n\\nid: 1\\n\\n\"}\n\n");
	memset(large, 'x', sizeof(large));
	json_object_set_new(json_object_get(variables, "claims"), "sub",
			    json_stringn(large, sizeof(large)));
	buffer_clear(&out);
	assert_int_equal(stream_append_welcome(&stream, variables, &out), ERROR_LIMIT);
	assert_int_equal(out.len, 0);
	buffer_free(&out);
	json_decref(variables);
	config_fini(&stream_table, &stream);
}

/* "start" is one of two words, or a count. */
static void test_stream_wrong_start_is_refused(void **state)
{
	static const char *const starts[] = {"\"lates\"",
					     "5",
					     "null",
					     "[]",
					     "{}",
					     "{\"last\": 0}",
					     "{\"last\": -1}",
					     "{\"last\": 1.5}",
					     "{\"last\": 1000001}",
					     "{\"last\": \"5\"}",
					     "{\"last\": 1e300}",
					     "{\"last\": 5, \"x\": 1}",
					     "{\"first\": 5}"};

	(void)state;
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		char text[256], *errors;

		snprintf(text, sizeof(text), STREAM(",\n\"start\": %s"), starts[i]);
		errors = errors_of(text);
		if (strncmp(errors, "f:2: /start: is ", 16) ||
		    !strstr(errors,
			    "must be \"latest\", \"earliest\", \"current\" or {\"last\": N}"))
			fail_msg("%s gives %s", starts[i], errors);
		free(errors);
	}
}

#define COUNTED ", \"params\": {\"n\": {\"type\": \"integer\", \"maximum\": 50}}"

/* How many of the last events come first may be a parameter's. */
static void test_stream_start_takes_its_count_from_a_parameter(void **state)
{
	struct stream stream =
	    read_stream(STREAM(COUNTED ", \"start\": {\"last\": \"{query.n}\"}"));
	json_t *variables = json_pack("{s:{s:i}}", "query", "n", 7);

	(void)state;
	assert_int_equal(stream.start, STREAM_START_LAST);
	assert_ptr_equal(stream.start_last_param, &stream.params[0]);
	assert_int_equal(json_integer_value(stream_param_value(stream.start_last_param, variables)),
			 7);
	json_object_clear(variables);
	assert_null(stream_param_value(stream.start_last_param, variables));
	json_decref(variables);
	config_fini(&stream_table, &stream);
}

/* With end_when the last event comes first where nothing else is said; and records are kept for it.
 */
static void test_stream_with_an_end_starts_with_the_last_event(void **state)
{
	static const struct {
		const char *members;
		enum stream_start start;
		uint32_t last;
	} rows[] = {
	    {"", STREAM_START_LAST, 1},
	    {", \"start\": {\"last\": 3}", STREAM_START_LAST, 3},
	    {", \"start\": \"earliest\"", STREAM_START_EARLIEST, 0},
	    {", \"start\": \"current\"", STREAM_START_CURRENT, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[512];
		struct stream stream;

		snprintf(text, sizeof(text),
			 STREAM(", \"end_when\": {\"value\": {\"id\": [\"{path.id}\"]}}%s"),
			 rows[i].members);
		stream = read_stream(text);
		assert_non_null(stream.end_when);
		assert_true(stream.keeps_records);
		assert_int_equal(stream.parts, 0);
		assert_int_equal(stream.start, rows[i].start);
		assert_int_equal(stream.start_last, rows[i].last);
		config_fini(&stream_table, &stream);
	}
}

/* A follow that is a boolean, wherever a request has it. */
static void test_stream_follow_is_a_boolean_parameter(void **state)
{
	struct stream stream = read_stream(
	    STREAM(", \"params\": {\"tail\": {\"in\": \"header\", \"type\": \"boolean\"}},"
		   " \"follow\": \"{header.tail}\""));

	(void)state;
	assert_string_equal(stream.follow_param->name, "tail");
	assert_null(stream.end_when);
	assert_false(stream.keeps_records);
	config_fini(&stream_table, &stream);
}

/* What a stream ends with, and what it starts with beside that, must make sense. */
static void test_stream_wrong_end_is_refused(void **state)
{
	static const struct {
		const char *text, *start;
	} rows[] = {
	    {STREAM(",\n\"end_when\": {\"vlue\": [1]}"), "f:2: /end_when/vlue: "},
	    {STREAM(",\n\"end_when\": {\"claims\": {\"sub\": [1]}}"), "f:2: /end_when/claims: "},
	    {STREAM(",\n\"end_when\": \"done\""), "f:2: /end_when: "},
	    {STREAM(",\n\"end_when\": null"), "f:2: /end_when: "},
	    {STREAM(",\n\"end_when\": {\"key\": [1]}"),
	     "f:2: /end_when/key/0: the key is a string"},
	    {STREAM(",\n\"end_when\": {\"value\": [\"{query.id}\"]}"),
	     "f:2: /end_when/value/0: \"{query.id}\" is not declared; did you mean "
	     "\"{path.id}\"?\n"},
	    {STREAM(",\n\"start\": \"latest\",\n\"end_when\": {\"value\": [1]}"),
	     "f:2: /start: is \"latest\", so that who comes after the event of \"end_when\""},
	    {STREAM(",\n\"follow\": true"), "f:2: /follow: is true or false, as a parameter: "},
	    {STREAM(",\n\"follow\": \"{query.follow}\""),
	     "f:2: /follow: \"{query.follow}\" is not declared: add it to \"params\"\n"},
	    {STREAM(",\n\"follow\": \"{path.id\""),
	     "f:2: /follow: is true or false, as a parameter: write \"{query.NAME}\"\n"},
	    {STREAM(",\n\"follow\": \"{path.id}\""),
	     "f:2: /follow: is true or false: declare \"id\" with \"type\": \"boolean\"\n"},
	    {STREAM(",\n\"start\": {\"last\": \"{query.n}\"}"),
	     "f:2: /start/last: \"{query.n}\" is not declared: add it to \"params\"\n"},
	    {STREAM(",\n\"start\": {\"last\": \"{path.id}\"}"),
	     "f:2: /start/last: is how many events: declare \"id\" with \"type\": \"integer\"\n"},
	    {STREAM(", \"params\": {\"n\": {\"type\": \"integer\", \"maximum\": 1000001}},"
		    "\n\"start\": {\"last\": \"{query.n}\"}"),
	     "f:2: /start/last: is 0 to 1000000 events: give \"n\" a \"maximum\" among them\n"},
	    {STREAM(", \"params\": {\"n\": {\"type\": \"integer\", \"default\": -1}},"
		    "\n\"start\": {\"last\": \"{query.n}\"}"),
	     "f:2: /start/last: is 0 to 1000000 events: give \"n\" a \"default\" among them\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *errors = errors_of(rows[i].text);

		if (strncmp(errors, rows[i].start, strlen(rows[i].start)))
			fail_msg("%s gives %s", rows[i].text, errors);
		free(errors);
	}
}

/* A parameter's declaration must make sense by itself and with the path. */
static void test_stream_wrong_params_are_refused(void **state)
{
	static const struct {
		const char *params, *errors;
	} rows[] = {
	    {"\"id\": {\"in\": \"query\"}",
	     "f:2: /params/id: stands in the path as {id}: declare it with \"in\": \"path\"\n"},
	    {"\"id\": {}",
	     "f:2: /params/id: stands in the path as {id}: declare it with \"in\": \"path\"\n"},
	    {"\"x\": {\"in\": \"path\"}",
	     "f:2: /params/x: is no parameter of the path: write {x} in it, or another \"in\"\n"},
	    {"\"x\": {\"in\": \"cookie\"}",
	     "f:2: /params/x/in: is \"cookie\", but must be one of \"path\", \"query\", "
	     "\"header\"\n"
	     "f:2: /params/x: is no parameter of the path: write {x} in it, or another \"in\"\n"},
	    {"\"x\": {\"type\": \"int\"}",
	     "f:2: /params/x/type: is \"int\", but must be one of \"string\", \"integer\", "
	     "\"number\", \"boolean\"\n"},
	    {"\"x\": {\"minimum\": 1}",
	     "f:2: /params/x/minimum: is for \"type\": \"integer\" and \"number\" only\n"},
	    {"\"x\": {\"maximum\": 1, \"type\": \"boolean\"}",
	     "f:2: /params/x/maximum: is for \"type\": \"integer\" and \"number\" only\n"},
	    {"\"x\": {\"type\": \"integer\", \"minimum\": 2, \"maximum\": 1}",
	     "f:2: /params/x/minimum: is more than \"maximum\", 1\n"},
	    {"\"x\": {\"type\": \"integer\", \"default\": \"1\"}",
	     "f:2: /params/x/default: is \"1\", but must be an integer\n"},
	    {"\"x\": {\"type\": \"integer\", \"default\": 3, \"maximum\": 2}",
	     "f:2: /params/x/default: is 3, but must be an integer of at most 2\n"},
	    {"\"x\": {\"type\": \"number\", \"default\": 0, \"minimum\": 0.5, \"maximum\": 2}",
	     "f:2: /params/x/default: is 0, but must be a number from 0.5 to 2\n"},
	    {"\"x\": {\"enum\": [\"a\", \"b\"], \"default\": \"c\"}",
	     "f:2: /params/x/default: is \"c\", but must be one of \"a\", \"b\"\n"},
	    {"\"x\": {\"type\": \"boolean\", \"default\": null}",
	     "f:2: /params/x/default: is null, but must be true or false\n"},
	    {"\"x\": {\"required\": true, \"default\": \"a\"}",
	     "f:2: /params/x/default: is never used with \"required\": true: take one out\n"},
	    {"\"id\": {\"in\": \"path\", \"default\": \"a\"}",
	     "f:2: /params/id/default: is never used: a request always has the path's "
	     "parameters\n"},
	    {"\"x\": {\"enum\": []}",
	     "f:2: /params/x/enum: must be an array of at least one string, as \"type\" says\n"},
	    {"\"x\": {\"enum\": \"a\"}",
	     "f:2: /params/x/enum: must be an array of at least one string, as \"type\" says\n"},
	    {"\"x\": {\"type\": \"integer\", \"enum\": [1, \"2\"]}",
	     "f:2: /params/x/enum: must be an array of at least one integer, as \"type\" says\n"},
	    {"\"token\": {\"in\": \"query\"}",
	     "f:2: /params/token: the gateway itself reads this query: take another name\n"},
	    {"\"authorization\": {\"in\": \"header\"}",
	     "f:2: /params/authorization: the gateway itself reads this header: take another "
	     "name\n"},
	    {"\"X-Tenant\": {\"in\": \"header\"}",
	     "f:2: /params/X-Tenant: a header's name is written in lower case here\n"},
	    {"\"a b\": {}",
	     "f:2: /params/a b: a name is made of 1 to 64 letters, digits, _, . and -\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[512];

		snprintf(text, sizeof(text), STREAM(", \"params\": {\n%s}"), rows[i].params);
		check_errors(text, rows[i].errors);
	}
}

/* A filter names declared parameters only, and compares what can be equal. */
static void test_stream_wrong_filters_are_refused(void **state)
{
	static const struct {
		const char *filter, *errors;
	} rows[] = {
	    {"{\"key\": [\"{query.leval}\"]}",
	     "f:3: /filter/key/0: \"{query.leval}\" is not declared; did you mean "
	     "\"{query.level}\"?\n"},
	    {"{\"key\": [\"{path.level}\"]}",
	     "f:3: /filter/key/0: \"{path.level}\" is not declared; did you mean "
	     "\"{query.level}\"?\n"},
	    {"{\"key\": [\"{header.whatever}\"]}",
	     "f:3: /filter/key/0: \"{header.whatever}\" is not declared: add it to \"params\"\n"},
	    {"{\"value\": {\"a\": [\"x-{path.idd}\"]}}",
	     "f:3: /filter/value/a/0: \"{path.idd}\" is not declared; did you mean "
	     "\"{path.id}\"?\n"},
	    {"{\"key\": [\"{query.level}\"]}",
	     "f:3: /filter/key/0: the key is a string and never equal to a number or boolean: "
	     "declare \"level\" with \"type\": \"string\"\n"},
	    {"{\"key\": [\"a\", 42]}", "f:3: /filter/key/1: the key is a string and never equal to "
				       "a number or boolean: write "
				       "the value in quotes\n"},
	    {"{\"topic\": [true]}",
	     "f:3: /filter/topic/0: the topic is a string and never equal to a number or boolean: "
	     "write the value in quotes\n"},
	    {"{\"headers\": {\"n\": [\"{query.level}\"]}}",
	     "f:3: /filter/headers/n/0: a header is a string and never equal to a number or "
	     "boolean: declare \"level\" with \"type\": \"string\"\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[512];

		snprintf(text, sizeof(text),
			 STREAM(", \"params\": {\"level\": {\"type\": \"integer\"}},\n"
				"\"access\": \"public\",\n\"filter\": %s"),
			 rows[i].filter);
		check_errors(text, rows[i].errors);
	}
}

/* What the pattern's own compiler refuses comes with its pointer; roots are those of each rule. */
static void test_stream_pattern_errors_have_their_place(void **state)
{
	static const struct {
		const char *text, *start;
	} rows[] = {
	    {STREAM(",\n\"filter\": {\"vlue\": [1]}"), "f:2: /filter/vlue: "},
	    {STREAM(",\n\"filter\": {\"claims\": {\"sub\": [1]}}"), "f:2: /filter/claims: "},
	    {STREAM(",\n\"access\": {\"value\": [1]}"), "f:2: /access/value: "},
	    {STREAM(",\n\"filter\": [1]"), "f:2: /filter: "},
	    {STREAM(",\n\"filter\": {\n\"value\": {\"a/b\": 7}}"), "f:3: /filter/value/a~1b: "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *errors = errors_of(rows[i].text);

		if (strncmp(errors, rows[i].start, strlen(rows[i].start)))
			fail_msg("%s gives %s", rows[i].text, errors);
		free(errors);
	}
}

/* A key can't be a string for the filter and JSON for the event. */
static void test_stream_key_as_text_and_json_is_refused(void **state)
{
	(void)state;
	check_errors(
	    STREAM(",\n\"filter\": {\"key\": [\"a\"]},\n\"event\": {\"event\": \"/key/a\"}"),
	    "f:3: /event: looks inside the key as JSON, but \"filter\" compares the key as "
	    "a string: let both look inside, or none\n");
}

/* A path that is wrong makes no errors of the variables that it would have had. */
static void test_stream_wrong_path_hides_no_other_error(void **state)
{
	(void)state;
	check_errors("{\"path\": \"u/{id}\", \"topics\": [\"t\"],\n\"filter\": {\"key\": "
		     "[\"{path.id}\"]},\n\"start\": 1}",
		     "f:1: /path: is no path template: it does not start with \"/\"\n"
		     "f:3: /start: is 1, but must be \"latest\", \"earliest\", \"current\" or "
		     "{\"last\": N}, N "
		     "from 1 to 1000000 events or \"{query.NAME}\"\n");
}

/* A topic from the path is one that the list allows, and a legal name. */
static void test_stream_allows_listed_topics_only(void **state)
{
	static const struct {
		const char *allowed;
		struct slice topic;
		bool allows;
	} rows[] = {
	    {"[\"a\", \"public.*\"]", SLICE_LIT("a"), true},
	    {"[\"a\", \"public.*\"]", SLICE_LIT("ab"), false},
	    {"[\"a\", \"public.*\"]", SLICE_LIT("public."), true},
	    {"[\"a\", \"public.*\"]", SLICE_LIT("public.x"), true},
	    {"[\"a\", \"public.*\"]", SLICE_LIT("public"), false},
	    {"[\"a\", \"public.*\"]", SLICE_LIT("Public.x"), false},
	    {"[\"a\", \"public.*\"]", SLICE_LIT("public.*"), false},
	    {"[\"public.*\"]", SLICE_LIT("public./../x"), false},
	    {"[\"public.*\"]", SLICE_LIT("public.\0"), false},
	    {"[\"*\"]", SLICE_LIT("anything"), true},
	    {"[\"*\"]", SLICE_LIT(""), false},
	    {"[\"*\"]", SLICE_LIT(".."), false},
	    {"[\"*\"]", SLICE_LIT("\xc3\xa9"), false},
	    {"[\"*\"]", SLICE_LIT("_own"), true},
	    {"[\"*\"]", SLICE_LIT("__consumer_offsets"), false},
	    {"[\"_*\"]", SLICE_LIT("__consumer_offsets"), false},
	    {"[\"__*\"]", SLICE_LIT("__consumer_offsets"), true},
	    {"[\"__consumer_offsets\"]", SLICE_LIT("__consumer_offsets"), true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct stream stream;
		char text[256];

		snprintf(text, sizeof(text),
			 "{\"path\": \"/{t}\", \"topics\": [\"{path.t}\"], \"allow_topics\": %s}",
			 rows[i].allowed);
		stream = read_stream(text);
		assert_string_equal(stream.topic_param, "t");
		assert_int_equal(stream.topic_count, 0);
		if (stream_allows_topic(&stream, rows[i].topic) != rows[i].allows)
			fail_msg("%s: %.*s", rows[i].allowed, (int)rows[i].topic.len,
				 rows[i].topic.base);
		config_fini(&stream_table, &stream);
	}
}

/* The longest name that Kafka takes is allowed, one byte more is not. */
static void test_stream_topic_length_is_limited(void **state)
{
	struct stream stream = read_stream(
	    "{\"path\": \"/{t}\", \"topics\": [\"{path.t}\"], \"allow_topics\": [\"*\"]}");
	char name[250];

	(void)state;
	memset(name, 'a', sizeof(name));
	assert_true(stream_allows_topic(&stream, (struct slice){name, 249}));
	assert_false(stream_allows_topic(&stream, (struct slice){name, 250}));
	config_fini(&stream_table, &stream);
}

/* What a request of these tests has; base NULL: absent. */
struct request {
	struct slice path, query, header;
};

static struct slice ask_query(void *context, const char *name)
{
	assert_string_equal(name, "q");
	return ((struct request *)context)->query;
}

static struct slice ask_header(void *context, const char *name)
{
	assert_string_equal(name, "h");
	return ((struct request *)context)->header;
}

static int read_request(const char *params, struct request *request, json_t **variables,
			char reason[256])
{
	const struct stream_request asked = {&request->path, ask_query, ask_header, request};
	char text[512];
	struct stream stream;
	int rc;

	snprintf(text, sizeof(text), STREAM(", \"params\": {%s}"), params);
	stream = read_stream(text);
	rc = stream_read_params(&stream, &asked, variables, reason);
	config_fini(&stream_table, &stream);
	return rc;
}

#define Q(members) "\"q\": {\"in\": \"query\"" members "}"

/* Values get their declared type; what is absent has its default or is left out. */
static void test_stream_params_are_typed(void **state)
{
	static const struct {
		const char *params;
		struct slice query;
		const char *variables;
	} rows[] = {
	    {Q(""), SLICE_LIT("a b"), "{\"q\":\"a b\"}"},
	    {Q(""), SLICE_LIT(""), "{\"q\":\"\"}"},
	    {Q(""), SLICE_LIT("\r\n\x7f"), "{\"q\":\"\\r\\n\x7f\"}"},
	    {Q(""), {NULL, 0}, "{}"},
	    {Q(",\"default\": \"d\""), {NULL, 0}, "{\"q\":\"d\"}"},
	    {Q(",\"default\": \"d\""), SLICE_LIT("e"), "{\"q\":\"e\"}"},
	    {Q(",\"type\": \"integer\""), SLICE_LIT("-42"), "{\"q\":-42}"},
	    {Q(",\"type\": \"integer\""), SLICE_LIT("9223372036854775807"),
	     "{\"q\":9223372036854775807}"},
	    {Q(",\"type\": \"number\""), SLICE_LIT("3"), "{\"q\":3}"},
	    {Q(",\"type\": \"number\""), SLICE_LIT("2.5e1"), "{\"q\":25.0}"},
	    {Q(",\"type\": \"number\", \"enum\": [1]"), SLICE_LIT("1.0"), "{\"q\":1.0}"},
	    {Q(",\"type\": \"boolean\""), SLICE_LIT("true"), "{\"q\":true}"},
	    {Q(",\"type\": \"boolean\", \"enum\": [false]"), SLICE_LIT("false"), "{\"q\":false}"},
	    {Q(",\"type\": \"integer\", \"minimum\": 1, \"maximum\": 3"), SLICE_LIT("3"),
	     "{\"q\":3}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct request request = {SLICE_LIT("7"), rows[i].query, {NULL, 0}};
		char reason[256], *text;
		json_t *variables;

		assert_int_equal(read_request(rows[i].params, &request, &variables, reason), 0);
		text = json_dumps(json_object_get(variables, "query"), JSON_COMPACT);
		assert_string_equal(text, rows[i].variables);
		assert_string_equal(
		    json_string_value(json_object_get(json_object_get(variables, "path"), "id")),
		    "7");
		free(text);
		json_decref(variables);
	}
}

/* What does not fit is refused with the parameter's name, its value and what would be right. */
static void test_stream_params_that_do_not_fit_are_refused(void **state)
{
	static const struct {
		const char *params;
		struct slice query;
		const char *reason;
	} rows[] = {
	    {Q(",\"required\": true"),
	     {NULL, 0},
	     "query parameter \"q\" is missing, but must be a string"},
	    {Q(",\"type\": \"integer\""), SLICE_LIT("1.0"),
	     "query parameter \"q\" is \"1.0\", but must be an integer"},
	    {Q(",\"type\": \"integer\""), SLICE_LIT("007"),
	     "query parameter \"q\" is \"007\", but must be an integer"},
	    {Q(",\"type\": \"integer\""), SLICE_LIT("+1"),
	     "query parameter \"q\" is \"+1\", but must be an integer"},
	    {Q(",\"type\": \"integer\""), SLICE_LIT(" 1"),
	     "query parameter \"q\" is \" 1\", but must be an integer"},
	    {Q(",\"type\": \"integer\""), SLICE_LIT("1\n"),
	     "query parameter \"q\" is \"1\\n\", but must be an integer"},
	    {Q(",\"type\": \"integer\""), SLICE_LIT("1\0002"),
	     "query parameter \"q\" is \"1\\u00002\", but must be an integer"},
	    {Q(",\"type\": \"integer\""), SLICE_LIT(""),
	     "query parameter \"q\" is \"\", but must be an integer"},
	    {Q(",\"type\": \"integer\""), SLICE_LIT("9223372036854775808"),
	     "query parameter \"q\" is \"9223372036854775808\", but must be an integer"},
	    {Q(",\"type\": \"integer\", \"minimum\": 1"), SLICE_LIT("0"),
	     "query parameter \"q\" is \"0\", but must be an integer of at least 1"},
	    {Q(",\"type\": \"number\""), SLICE_LIT("1e999"),
	     "query parameter \"q\" is \"1e999\", but must be a number"},
	    {Q(",\"type\": \"number\""), SLICE_LIT("0x10"),
	     "query parameter \"q\" is \"0x10\", but must be a number"},
	    {Q(",\"type\": \"boolean\""), SLICE_LIT("1"),
	     "query parameter \"q\" is \"1\", but must be true or false"},
	    {Q(",\"type\": \"boolean\""), SLICE_LIT("True"),
	     "query parameter \"q\" is \"True\", but must be true or false"},
	    {Q(",\"enum\": [\"a\", \"b\"]"), SLICE_LIT("c"),
	     "query parameter \"q\" is \"c\", but must be one of \"a\", \"b\""},
	    {Q(""), SLICE_LIT("a\0b"),
	     "query parameter \"q\" is \"a\\u0000b\", but must be a string"},
	    {Q(""), SLICE_LIT("a\xff"),
	     "query parameter \"q\" is \"a\xef\xbf\xbd\", but must be a string"},
	    {Q(",\"type\": \"integer\""),
	     SLICE_LIT(
		 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
	     "query parameter \"q\" is "
	     "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", but must be an "
	     "integer"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct request request = {SLICE_LIT("7"), rows[i].query, {NULL, 0}};
		char reason[256] = "";
		json_t *variables = NULL;

		assert_int_equal(read_request(rows[i].params, &request, &variables, reason),
				 ERROR_INVALID);
		assert_string_equal(reason, rows[i].reason);
		assert_null(variables);
	}
}

/* Headers and the path are asked for as the query is. */
static void test_stream_params_come_from_path_and_header(void **state)
{
	static const char params[] = "\"id\": {\"in\": \"path\", \"type\": \"integer\"},"
				     "\"h\": {\"in\": \"header\", \"type\": \"boolean\"}";
	struct request request = {SLICE_LIT("7"), {NULL, 0}, SLICE_LIT("true")};
	json_t *variables, *expected;
	char reason[256];

	(void)state;
	assert_int_equal(read_request(params, &request, &variables, reason), 0);
	expected =
	    json_pack("{s:{s:i}, s:{}, s:{s:b}}", "path", "id", 7, "query", "header", "h", 1);
	assert_true(json_equal(variables, expected));
	json_decref(variables);
	json_decref(expected);
	request.path = SLICE_LIT("x");
	assert_int_equal(read_request(params, &request, &variables, reason), ERROR_INVALID);
	assert_string_equal(reason, "path parameter \"id\" is \"x\", but must be an integer");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_stream_smallest_has_defaults_and_is_closed),
	    cmocka_unit_test(test_stream_whole_is_read),
	    cmocka_unit_test(test_stream_parts_are_what_filter_and_event_look_at),
	    cmocka_unit_test(test_stream_undeclared_path_param_is_a_string),
	    cmocka_unit_test(test_stream_filter_leaves_out_optional_params),
	    cmocka_unit_test(test_stream_wrong_settings_are_refused),
	    cmocka_unit_test(test_stream_records_that_are_no_events_are_read),
	    cmocka_unit_test(test_stream_wrong_tombstones_are_refused),
	    cmocka_unit_test(test_stream_life_is_read),
	    cmocka_unit_test(test_stream_wrong_life_is_refused),
	    cmocka_unit_test(test_stream_welcome_is_a_frame_of_the_requests_values),
	    cmocka_unit_test(test_stream_wrong_start_is_refused),
	    cmocka_unit_test(test_stream_start_takes_its_count_from_a_parameter),
	    cmocka_unit_test(test_stream_with_an_end_starts_with_the_last_event),
	    cmocka_unit_test(test_stream_follow_is_a_boolean_parameter),
	    cmocka_unit_test(test_stream_wrong_end_is_refused),
	    cmocka_unit_test(test_stream_wrong_params_are_refused),
	    cmocka_unit_test(test_stream_wrong_filters_are_refused),
	    cmocka_unit_test(test_stream_pattern_errors_have_their_place),
	    cmocka_unit_test(test_stream_key_as_text_and_json_is_refused),
	    cmocka_unit_test(test_stream_wrong_path_hides_no_other_error),
	    cmocka_unit_test(test_stream_allows_listed_topics_only),
	    cmocka_unit_test(test_stream_topic_length_is_limited),
	    cmocka_unit_test(test_stream_params_are_typed),
	    cmocka_unit_test(test_stream_params_that_do_not_fit_are_refused),
	    cmocka_unit_test(test_stream_params_come_from_path_and_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
