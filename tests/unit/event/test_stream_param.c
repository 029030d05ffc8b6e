/* Parameters whose values have an order, and filters that ask for "at least" one of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/config.h"
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

static void check_errors(const char *text, const char *expected)
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
	if (strcmp(printed, expected))
		fail_msg("%s\n  gives: %s\n  not: %s", text, printed, expected);
	free(printed);
}

/* An order needs values that can have one. */
static void test_stream_param_order_without_sense_is_refused(void **state)
{
	static const struct {
		const char *params, *errors;
	} rows[] = {
	    {"\"x\": {\"ordered\": true}",
	     "f:2: /params/x/ordered: needs \"enum\", a list of the values from the least to the "
	     "most\n"},
	    {"\"x\": {\"type\": \"boolean\", \"enum\": [false, true], \"ordered\": true}",
	     "f:2: /params/x/ordered: is not for \"type\": \"boolean\"\n"},
	    {"\"x\": {\"enum\": [\"a\", \"b\", \"a\"], \"ordered\": true}",
	     "f:2: /params/x/enum: has a value twice, so that \"ordered\" does not say where it "
	     "stands\n"},
	    {"\"x\": {\"type\": \"number\", \"enum\": [1, 2, 1.0], \"ordered\": true}",
	     "f:2: /params/x/enum: has a value twice, so that \"ordered\" does not say where it "
	     "stands\n"},
	    {"\"x\": {\"enum\": [1], \"ordered\": true}",
	     "f:2: /params/x/enum: must be an array of at least one string, as \"type\" says\n"},
	    {"\"x\": {\"enum\": [\"a\"], \"ordered\": 1}",
	     "f:2: /params/x/ordered: is 1, but must be true or false\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[512];

		snprintf(text, sizeof(text), STREAM(", \"params\": {\n%s}"), rows[i].params);
		check_errors(text, rows[i].errors);
	}
}

/* More values than a request may have route keys cannot be asked for. */
static void test_stream_param_order_of_too_many_values_is_refused(void **state)
{
	struct buffer text = {0};

	(void)state;
	buffer_append_text(&text, "{\"path\": \"/o\", \"topics\": [\"o\"], \"params\": {\"x\": "
				  "{\"type\": \"integer\", \"ordered\": true, \"enum\": [0");
	for (int i = 1; i <= PATTERN_MAX_ROUTE_KEYS; i++)
		buffer_append_format(&text, ",%d", i);
	buffer_append_text(&text, "]}}}");
	check_errors(buffer_text(&text), "f:1: /params/x/enum: has more than 1024 values, too many "
					 "to be \"ordered\"\n");
	buffer_free(&text);
}

/* Only a declared parameter with an order can be asked for "at least". */
static void test_stream_param_without_order_is_refused_in_at_least(void **state)
{
	static const struct {
		const char *filter, *errors;
	} rows[] = {
	    {"{\"value\": [{\"at-least\": \"{query.level}\"}]}",
	     "f:3: /filter/value/0: \"at-least\" takes one variable, such as \"{query.level}\", of "
	     "a stream's parameter that has an \"enum\" and \"ordered\": true\n"},
	    {"{\"value\": [1, {\"at-least\": \"{query.leval}\"}]}",
	     "f:3: /filter/value/1: \"{query.leval}\" is not declared; did you mean "
	     "\"{query.level}\"?\n"},
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

static struct slice ask(void *context, const char *name)
{
	assert_string_equal(name, "q");
	return *(struct slice *)context;
}

static json_t *read_request(const struct stream *stream, struct slice query)
{
	static const struct slice path = {"7", 1};
	const struct stream_request request = {&path, ask, ask, &query};
	json_t *variables;
	char reason[256];

	if (stream_read_params(stream, &request, &variables, reason))
		fail_msg("%s", reason);
	return variables;
}

#define Q(members) STREAM(", \"params\": {\"q\": {\"in\": \"query\"" members "}}")

#define LEVELS     "\"enum\": [\"debug\", \"info\", \"warn\", \"error\"], \"ordered\": true"

/* A parameter with an order stands in a filter for its value and those after it in the enum. */
static void test_stream_param_with_order_has_the_values_from_its_own_on(void **state)
{
	static const struct {
		const char *stream;
		struct slice query;
		const char *at_least;
	} rows[] = {
	    {Q(", " LEVELS), SLICE_LIT("debug"),
	     "{\"query.q\":[\"debug\",\"info\",\"warn\",\"error\"]}"},
	    {Q(", " LEVELS), SLICE_LIT("warn"), "{\"query.q\":[\"warn\",\"error\"]}"},
	    {Q(", " LEVELS), SLICE_LIT("error"), "{\"query.q\":[\"error\"]}"},
	    {Q(", " LEVELS), {NULL, 0}, NULL},
	    {Q(", \"enum\": [\"a\", \"b\"], \"ordered\": true, \"default\": \"b\""),
	     {NULL, 0},
	     "{\"query.q\":[\"b\"]}"},
	    {Q(", \"enum\": [\"a\", \"b\"], \"ordered\": false"), SLICE_LIT("a"), NULL},
	    {Q(", \"type\": \"number\", \"enum\": [9, 0.5, 2], \"ordered\": true"),
	     SLICE_LIT("5e-1"), "{\"query.q\":[0.5,2]}"},
	    {Q(", \"type\": \"integer\", \"enum\": [3], \"ordered\": true"), SLICE_LIT("3"),
	     "{\"query.q\":[3]}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct stream stream = read_stream(rows[i].stream);
		json_t *variables = read_request(&stream, rows[i].query);
		json_t *at_least = json_object_get(variables, "at-least");
		char *text = at_least ? json_dumps(at_least, JSON_COMPACT) : NULL;

		if (rows[i].at_least)
			assert_string_equal(text, rows[i].at_least);
		else
			assert_null(text);
		free(text);
		json_decref(variables);
		config_fini(&stream_table, &stream);
	}
}

/* What no request could ever bring is told at once; a number, and what a token may hold, is right.
 */
static void test_stream_param_text_in_numeric_is_refused(void **state)
{
	(void)state;
	check_errors(
	    STREAM(", \"params\": {\"least\": {\"type\": \"string\"}},\n\"filter\": {\"value\": "
		   "[{\"numeric\": [\">\", 0, \"<\", \"{query.least}\"]}]}"),
	    "f:2: /filter/value/0: \"numeric\" compares numbers: declare {query.least} with "
	    "\"type\": \"integer\" or \"number\"\n");
	check_errors(
	    STREAM(", \"params\": {\"least\": {\"type\": \"number\"}},\n\"filter\": {\"value\": "
		   "[{\"numeric\": [\">\", \"{query.least}\", \"<\", \"{claims.most}\"]}]}"),
	    "");
}

/* From the request to the event: a filter, and an access rule, with "at-least". */
static void test_stream_param_at_least_lets_the_levels_from_its_own_on_pass(void **state)
{
	static const char *const levels[] = {"debug", "info", "warn", "error"};
	struct stream stream = read_stream(
	    STREAM(", \"params\": {\"q\": {" LEVELS "}}, "
		   "\"filter\": {\"value\": {\"level\": [{\"at-least\": \"{query.q}\"}]}}, "
		   "\"access\": {\"claims\": {\"level\": [{\"at-least\": \"{query.q}\"}]}}"));
	json_t *variables = read_request(&stream, SLICE_LIT("warn"));

	(void)state;
	assert_false(pattern_is_inexact(stream.filter));
	for (size_t i = 0; i < 4; i++) {
		json_t *event = json_pack("{s:{s:s}}", "value", "level", levels[i]);

		assert_int_equal(pattern_matches(stream.filter, event, variables), i >= 2);
		json_object_set_new(variables, "claims", json_pack("{s:s}", "level", levels[i]));
		assert_int_equal(pattern_matches(stream.access_pattern, variables, variables),
				 i >= 2);
		json_decref(event);
	}
	json_decref(variables);
	config_fini(&stream_table, &stream);
}

/* A level that is a number is never equal to a key. */
static void test_stream_param_at_least_of_a_number_with_the_key_is_refused(void **state)
{
	(void)state;
	check_errors(STREAM(", \"params\": {\"n\": {\"type\": \"integer\", \"enum\": [1, 2], "
			    "\"ordered\": true}},\n\"filter\": {\"key\": [{\"at-least\": "
			    "\"{query.n}\"}]}"),
		     "f:2: /filter/key/0: the key is a string and never equal to a number or "
		     "boolean: declare \"n\" with \"type\": \"string\"\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_stream_param_text_in_numeric_is_refused),
	    cmocka_unit_test(test_stream_param_order_without_sense_is_refused),
	    cmocka_unit_test(test_stream_param_order_of_too_many_values_is_refused),
	    cmocka_unit_test(test_stream_param_without_order_is_refused_in_at_least),
	    cmocka_unit_test(test_stream_param_with_order_has_the_values_from_its_own_on),
	    cmocka_unit_test(test_stream_param_at_least_lets_the_levels_from_its_own_on_pass),
	    cmocka_unit_test(test_stream_param_at_least_of_a_number_with_the_key_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
