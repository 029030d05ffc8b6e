#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "event/user_filter.h"
#include "pattern_scope.h"

static json_t *parse(const char *text)
{
	json_error_t error;
	json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);

	if (!json)
		fail_msg("%s: %s", error.text, text);
	return json;
}

/* "true", "false", "invalid". */
static const char *answer(const char *pattern_text, const char *event_text)
{
	struct pattern_error error = {.reason = ""};
	struct pattern *pattern = NULL;
	json_t *source = parse(pattern_text), *event = parse(event_text);
	const char *found = "invalid";

	if (pattern_compile(source, NULL, &pattern, &error)) {
		assert_true(*error.reason);
	} else {
		struct route_keys keys = {0};

		found = pattern_holds(pattern, event) ? "true" : "false";
		assert_false(pattern_has_variables(pattern));
		assert_int_equal(pattern_event_keys(pattern, event, &keys), 0);
		assert_int_equal(keys.count, pattern_holds(pattern, event));
		route_keys_free(&keys);
	}
	pattern_free(pattern);
	json_decref(source);
	json_decref(event);
	return found;
}

/* Every row of the table of cases, one of which is a line of pattern_cases.tsv. */
static void test_pattern_operator_cases_are_answered_as_the_table_says(void **state)
{
	FILE *table = fopen("tests/unit/event/pattern_cases.tsv", "r");
	size_t rows = 0, capacity = 0;
	char *line = NULL;

	(void)state;
	assert_non_null(table);
	while (getline(&line, &capacity, table) > 0) {
		char *rest = line;
		const char *expected = strsep(&rest, "\t\n"), *pattern, *event;

		if (*expected == '#')
			continue;
		pattern = strsep(&rest, "\t\n");
		event = strsep(&rest, "\t\n");
		if (strcmp(answer(pattern, event), expected))
			fail_msg("%s with %s is not %s", pattern, event, expected);
		rows++;
	}
	assert_in_range(rows, 300, 10000);
	free(line);
	fclose(table);
}

struct bound_row {
	const char *pattern;
	const char *document;
	const char *variables;
	bool matches;
};

static void check_bound(const struct bound_row *row)
{
	json_t *source = parse(row->pattern), *document = parse(row->document);
	json_t *variables = parse(row->variables);
	struct pattern_error error;
	struct pattern *pattern = NULL;

	if (pattern_compile(source, &test_scope, &pattern, &error))
		fail_msg("%s: %s", row->pattern, error.reason);
	if (pattern_matches(pattern, document, variables) != row->matches)
		fail_msg("%s with %s for %s is not %s", row->pattern, row->document, row->variables,
			 row->matches ? "true" : "false");
	pattern_free(pattern);
	json_decref(variables);
	json_decref(document);
	json_decref(source);
}

/* A variable may stand anywhere in an operator, and beside one. */
static void test_pattern_operator_variables_stand_for_the_requests_values(void **state)
{
	static const struct bound_row rows[] = {
	    {"{\"key\":[{\"prefix\":\"{path.x}\"}]}", "{\"key\":\"abc\"}",
	     "{\"path\":{\"x\":\"ab\"}}", true},
	    {"{\"key\":[{\"prefix\":\"{path.x}\"}]}", "{\"key\":\"abc\"}",
	     "{\"path\":{\"x\":\"b\"}}", false},
	    {"{\"key\":[{\"prefix\":\"{path.x}\"}]}", "{\"key\":\"{path.x}\"}",
	     "{\"path\":{\"x\":\"b\"}}", false},
	    {"{\"key\":[{\"prefix\":\"t-{path.x}-\"}]}", "{\"key\":\"t-7-a\"}",
	     "{\"path\":{\"x\":7}}", true},
	    {"{\"key\":[{\"prefix\":{\"equals-ignore-case\":\"{path.x}\"}}]}", "{\"key\":\"ABC\"}",
	     "{\"path\":{\"x\":\"ab\"}}", true},
	    {"{\"key\":[{\"wildcard\":\"*{path.x}*\"}]}", "{\"key\":\"a*b\"}",
	     "{\"path\":{\"x\":\"*\"}}", true},
	    {"{\"key\":[{\"wildcard\":\"*{path.x}*\"}]}", "{\"key\":\"ab\"}",
	     "{\"path\":{\"x\":\"*\"}}", false},
	    {"{\"key\":[{\"wildcard\":\"*{path.x}\"}]}", "{\"key\":\"a\\\\\"}",
	     "{\"path\":{\"x\":\"\\\\\"}}", true},
	    {"{\"value\":[{\"numeric\":[\">=\",\"{path.x}\"]}]}", "{\"value\":5}",
	     "{\"path\":{\"x\":5}}", true},
	    {"{\"value\":[{\"numeric\":[\">=\",\"{path.x}\"]}]}", "{\"value\":4}",
	     "{\"path\":{\"x\":5}}", false},
	    {"{\"value\":[{\"numeric\":[\">=\",\"{path.x}\",\"<\",\"{path.y}\"]}]}",
	     "{\"value\":5}", "{\"path\":{\"x\":5,\"y\":6}}", true},
	    {"{\"value\":[{\"numeric\":[\">=\",\"{path.x}\"]}]}", "{\"value\":4}",
	     "{\"path\":{\"x\":[1,2]}}", false},
	    {"{\"value\":[{\"anything-but\":\"{path.x}\"}]}", "{\"value\":\"a\"}",
	     "{\"path\":{\"x\":\"b\"}}", true},
	    {"{\"value\":[{\"anything-but\":\"{path.x}\"}]}", "{\"value\":\"b\"}",
	     "{\"path\":{\"x\":\"b\"}}", false},
	    {"{\"value\":[{\"anything-but\":[\"{claims.x}\"]}]}", "{\"value\":\"b\"}",
	     "{\"claims\":{\"x\":[\"a\",\"b\"]}}", false},
	    {"{\"value\":[{\"anything-but\":[\"{claims.x}\"]}]}", "{\"value\":\"c\"}",
	     "{\"claims\":{\"x\":[\"a\",\"b\"]}}", true},
	    {"{\"value\":[{\"anything-but\":[\"{claims.x}\"]}]}", "{\"value\":\"c\"}",
	     "{\"claims\":{\"x\":[]}}", true},
	    {"{\"value\":[{\"anything-but\":{\"prefix\":\"{path.x}\"}}]}", "{\"value\":\"abc\"}",
	     "{\"path\":{\"x\":\"ab\"}}", false},
	    {"{\"value\":[{\"cidr\":\"{path.x}/8\"}]}", "{\"value\":\"10.1.1.1\"}",
	     "{\"path\":{\"x\":\"10.0.0.0\"}}", true},
	    {"{\"value\":[{\"cidr\":\"{path.x}\"}]}", "{\"value\":\"10.1.1.1\"}",
	     "{\"path\":{\"x\":\"no network\"}}", false},
	    {"{\"value\":[{\"prefix\":\"{claims.x}\"}]}", "{\"value\":\"bc\"}",
	     "{\"claims\":{\"x\":[\"a\",\"b\"]}}", true},
	    {"{\"value\":[{\"prefix\":\"{claims.x}\"}]}", "{\"value\":\"bc\"}", "{}", false},
	    {"{\"value\":[{\"prefix\":\"{query.opt1}\"}]}", "{\"value\":\"bc\"}", "{}", true},
	    {"{\"value\":[{\"prefix\":\"{query.opt1}\"}]}", "{}", "{}", true},
	    {"{\"value\":[{\"prefix\":\"{query.opt1}\"}]}", "{\"value\":\"bc\"}",
	     "{\"query\":{\"opt1\":\"c\"}}", false},
	    {"{\"value\":[{\"prefix\":\"{query.opt1}\"}],\"key\":[\"k\"]}", "{\"key\":\"l\"}", "{}",
	     false},
	    {"{\"value\":[{\"numeric\":[\">=\",\"{query.opt1}\"]}]}", "{\"value\":4}", "{}", true},
	    {"{\"value\":[{\"numeric\":[\">=\",\"{claims.x}\"]}]}", "{\"value\":4}", "{}", false},
	    {"{\"value\":[{\"anything-but\":[\"{query.opt1}\"]}]}", "{\"value\":4}", "{}", true},
	    /* Equality and operators in one list. */
	    {"{\"value\":[\"{path.x}\",{\"prefix\":\"z\"}]}", "{\"value\":\"zz\"}",
	     "{\"path\":{\"x\":\"a\"}}", true},
	    {"{\"value\":[\"{path.x}\",{\"prefix\":\"z\"}]}", "{\"value\":\"a\"}",
	     "{\"path\":{\"x\":\"a\"}}", true},
	    {"{\"value\":[\"{path.x}\",{\"prefix\":\"z\"}]}", "{\"value\":\"b\"}",
	     "{\"path\":{\"x\":\"a\"}}", false},
	    {"{\"value\":[\"{path.x}\",{\"exists\":false}]}", "{}", "{\"path\":{\"x\":\"a\"}}",
	     true},
	    {"{\"value\":[\"{path.x}\",\"q\",{\"prefix\":\"{path.y}\"}]}", "{\"value\":\"q\"}",
	     "{\"path\":{\"x\":\"a\",\"y\":\"b\"}}", true},
	    {"{\"value\":[\"{path.x}\",{\"prefix\":\"{path.y}\"}]}", "{\"value\":\"a\"}",
	     "{\"path\":{\"x\":\"a\",\"y\":\"b\"}}", true},
	    {"{\"value\":[\"{path.x}\",{\"prefix\":\"{path.y}\"}]}", "{\"value\":\"bb\"}",
	     "{\"path\":{\"x\":\"a\",\"y\":\"b\"}}", true},
	    {"{\"value\":[\"{path.x}\",{\"prefix\":\"{path.y}\"}]}", "{\"value\":\"c\"}",
	     "{\"path\":{\"x\":\"a\",\"y\":\"b\"}}", false},
	    /* $or with variables in its alternatives. */
	    {"{\"$or\":[{\"key\":[\"{path.x}\"]},{\"value\":[\"{path.y}\"]}]}",
	     "{\"key\":\"a\",\"value\":\"n\"}", "{\"path\":{\"x\":\"a\",\"y\":\"b\"}}", true},
	    {"{\"$or\":[{\"key\":[\"{path.x}\"]},{\"value\":[\"{path.y}\"]}]}",
	     "{\"key\":\"n\",\"value\":\"b\"}", "{\"path\":{\"x\":\"a\",\"y\":\"b\"}}", true},
	    {"{\"$or\":[{\"key\":[\"{path.x}\"]},{\"value\":[\"{path.y}\"]}]}",
	     "{\"key\":\"b\",\"value\":\"a\"}", "{\"path\":{\"x\":\"a\",\"y\":\"b\"}}", false},
	    {"{\"topic\":[\"t\"],\"$or\":[{\"key\":[\"{path.x}\"]},{\"value\":[\"c\"]}]}",
	     "{\"topic\":\"t\",\"key\":\"n\",\"value\":\"c\"}", "{\"path\":{\"x\":\"a\"}}", true},
	    {"{\"topic\":[\"t\"],\"$or\":[{\"key\":[\"{path.x}\"]},{\"value\":[\"c\"]}]}",
	     "{\"topic\":\"u\",\"key\":\"a\",\"value\":\"c\"}", "{\"path\":{\"x\":\"a\"}}", false},
	    {"{\"$or\":[{\"key\":[{\"prefix\":\"{path.x}\"}]},{\"value\":[\"c\"]}]}",
	     "{\"key\":\"ab\"}", "{\"path\":{\"x\":\"a\"}}", true},
	    {"{\"$or\":[{\"key\":[{\"prefix\":\"{path.x}\"}]},{\"value\":[\"c\"]}]}",
	     "{\"key\":\"b\",\"value\":\"d\"}", "{\"path\":{\"x\":\"a\"}}", false},
	    {"{\"$or\":[{\"key\":[{\"prefix\":\"{claims.x}\"}]},{\"value\":[\"c\"]}]}",
	     "{\"key\":\"b\",\"value\":\"c\"}", "{}", true},
	    {"{\"$or\":[{\"key\":[{\"prefix\":\"{query.opt1}\"}]},{\"value\":[\"c\"]}]}",
	     "{\"key\":\"b\",\"value\":\"d\"}", "{}", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_bound(&rows[i]);
}

#define LEVEL                                                                                      \
	"{\"query\":{\"level\":\"warn\"},\"path\":{\"x\":\"a\"},"                                  \
	"\"at-least\":{\"query.level\":[\"warn\",\"error\"]}}"
#define AT_LEAST "{\"at-least\":\"{query.level}\"}"

/* What the request's value and those after it are is the stream's to say; it stands for the list
 * of them, beside other values, and in a pattern that has to be bound too. */
static void test_pattern_operator_at_least_accepts_the_values_from_the_requests_on(void **state)
{
	static const struct bound_row rows[] = {
	    {"{\"key\":[" AT_LEAST "]}", "{\"key\":\"warn\"}", LEVEL, true},
	    {"{\"key\":[" AT_LEAST "]}", "{\"key\":\"error\"}", LEVEL, true},
	    {"{\"key\":[" AT_LEAST "]}", "{\"key\":\"info\"}", LEVEL, false},
	    {"{\"key\":[" AT_LEAST "]}", "{\"key\":\"{query.level}\"}", LEVEL, false},
	    {"{\"key\":[" AT_LEAST "]}", "{\"key\":null}", LEVEL, false},
	    {"{\"key\":[" AT_LEAST "]}", "{}", LEVEL, false},
	    {"{\"value\":{\"at-least\":[" AT_LEAST "]}}", "{\"value\":{\"at-least\":\"error\"}}",
	     LEVEL, true},
	    {"{\"value\":{\"l\":[" AT_LEAST "]}}", "{\"value\":[{\"l\":1},{\"l\":[\"error\"]}]}",
	     LEVEL, true},
	    {"{\"key\":[\"audit\"," AT_LEAST "]}", "{\"key\":\"audit\"}", LEVEL, true},
	    {"{\"key\":[" AT_LEAST ",{\"prefix\":\"x\"}]}", "{\"key\":\"xx\"}", LEVEL, true},
	    {"{\"key\":[" AT_LEAST ",{\"prefix\":\"x\"}]}", "{\"key\":\"info\"}", LEVEL, false},
	    {"{\"key\":[" AT_LEAST ",{\"prefix\":\"{path.x}\"}]}", "{\"key\":\"error\"}", LEVEL,
	     true},
	    {"{\"key\":[" AT_LEAST ",{\"prefix\":\"{path.x}\"}]}", "{\"key\":\"ab\"}", LEVEL, true},
	    {"{\"key\":[" AT_LEAST ",{\"prefix\":\"{path.x}\"}]}", "{\"key\":\"info\"}", LEVEL,
	     false},
	    {"{\"key\":[" AT_LEAST "],\"value\":[{\"prefix\":\"{path.x}\"}]}",
	     "{\"key\":\"error\",\"value\":\"ab\"}", LEVEL, true},
	    {"{\"key\":[" AT_LEAST "],\"value\":[{\"prefix\":\"{path.x}\"}]}",
	     "{\"key\":\"info\",\"value\":\"ab\"}", LEVEL, false},
	    {"{\"$or\":[{\"key\":[" AT_LEAST "]},{\"value\":[\"{path.x}\"]}]}",
	     "{\"key\":\"error\",\"value\":\"b\"}", LEVEL, true},
	    {"{\"$or\":[{\"key\":[" AT_LEAST "]},{\"value\":[\"{path.x}\"]}]}",
	     "{\"key\":\"info\",\"value\":\"b\"}", LEVEL, false},
	    {"{\"value\":[" AT_LEAST "]}", "{\"value\":3.0}",
	     "{\"query\":{\"level\":2},\"at-least\":{\"query.level\":[2,3]}}", true},
	    {"{\"value\":[" AT_LEAST "]}", "{\"value\":1}",
	     "{\"query\":{\"level\":2},\"at-least\":{\"query.level\":[2,3]}}", false},
	    /* One that may be absent leaves the condition out, another one can't be met. */
	    {"{\"key\":[{\"at-least\":\"{query.optlevel}\"}]}", "{\"key\":\"debug\"}", "{}", true},
	    {"{\"key\":[{\"at-least\":\"{query.optlevel}\"}]}", "{}", "{}", true},
	    {"{\"key\":[{\"at-least\":\"{query.optlevel}\"},{\"prefix\":\"{path.x}\"}]}",
	     "{\"key\":\"debug\"}", "{\"path\":{\"x\":\"a\"}}", true},
	    {"{\"key\":[{\"at-least\":\"{query.optlevel}\"}]}", "{\"key\":\"debug\"}",
	     "{\"query\":{\"optlevel\":\"warn\"},\"at-least\":{\"query.optlevel\":[\"warn\"]}}",
	     false},
	    {"{\"key\":[" AT_LEAST "]}", "{\"key\":\"error\"}", "{}", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_bound(&rows[i]);
}

/* Levels feed the index: a request has a route key for each value, and nothing is left to check. */
static void test_pattern_operator_at_least_is_decided_by_route_keys(void **state)
{
	json_t *source = parse("{\"key\":[" AT_LEAST "]}"), *variables = parse(LEVEL);
	struct route_keys keys = {0};
	struct pattern_error error;
	struct pattern *pattern = NULL;

	(void)state;
	assert_int_equal(pattern_compile(source, &test_scope, &pattern, &error), 0);
	assert_false(pattern_is_inexact(pattern));
	assert_int_equal(pattern_request_keys(pattern, variables, &keys), 0);
	assert_int_equal(keys.count, 2);
	route_keys_free(&keys);
	pattern_free(pattern);
	json_decref(source);
	json_decref(variables);
}

/* Where no stream's parameters are, it has nothing to compare with. */
static void test_pattern_operator_at_least_outside_a_stream_is_refused(void **state)
{
	static const char text[] = "{\"value\":[" AT_LEAST "]}";
	json_t *source = parse(text);
	struct pattern_error error = {"", ""};
	struct pattern *pattern = NULL;

	(void)state;
	assert_int_equal(pattern_compile(source, NULL, &pattern, &error), ERROR_INVALID);
	assert_non_null(strstr(error.reason, "\"at-least\" takes one variable"));
	assert_int_equal(user_filter_compile(SLICE_LIT(text), &pattern, &error), ERROR_INVALID);
	assert_string_equal(error.pointer, "/value/0");
	assert_non_null(
	    strstr(error.reason, "{query.level} is a variable, and none can be used here"));
	assert_null(pattern);
	json_decref(source);
}

/* Braces in an operator's text are written twice, as everywhere. */
static void test_pattern_operator_doubled_braces_are_braces(void **state)
{
	static const struct bound_row row = {"{\"key\":[{\"prefix\":\"{{a}}\"}]}",
					     "{\"key\":\"{a}b\"}", "{}", true};

	(void)state;
	check_bound(&row);
}

/* A condition that a request leaves out leaves the others as they are: of one element, not of the
 * whole array. Decided by keys, and by binding. */
static void test_pattern_operator_absence_beside_what_is_left_out_is_of_one_element(void **state)
{
	static const char document[] = "{\"value\":[{\"k\":1},{\"z\":1}]}";
	static const struct bound_row rows[] = {
	    {"{\"value\":{\"z\":[{\"exists\":false}],\"k\":[\"{query.optk}\"]}}", document, "{}",
	     true},
	    {"{\"value\":{\"z\":[{\"exists\":false}],\"k\":[{\"prefix\":\"{query.optk}\"}]}}",
	     document, "{}", true},
	    {"{\"value\":{\"z\":[{\"exists\":false}]},\"key\":[{\"prefix\":\"{query.optk}\"}]}",
	     document, "{}", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_bound(&rows[i]);
}

/* Lists in a token that multiply beyond the limit are refused, not computed. */
static void test_pattern_operator_too_many_combinations_are_refused(void **state)
{
	struct pattern_error error;
	struct pattern *pattern = NULL, *bound = NULL;
	json_t *source = parse("{\"key\":[{\"prefix\":\"{claims.x}{claims.x}{claims.x}\"}]}");
	json_t *many = json_array(), *variables;

	(void)state;
	for (int i = 0; i < 100; i++)
		json_array_append_new(many, json_integer(i));
	variables = json_pack("{s{so}}", "claims", "x", many);
	assert_int_equal(pattern_compile(source, &test_scope, &pattern, &error), 0);
	assert_true(pattern_is_inexact(pattern));
	assert_int_equal(pattern_bind(pattern, variables, &bound, &error), ERROR_LIMIT);
	pattern_free(pattern);
	json_decref(source);
	json_decref(variables);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pattern_operator_cases_are_answered_as_the_table_says),
	    cmocka_unit_test(test_pattern_operator_variables_stand_for_the_requests_values),
	    cmocka_unit_test(
		test_pattern_operator_at_least_accepts_the_values_from_the_requests_on),
	    cmocka_unit_test(test_pattern_operator_at_least_is_decided_by_route_keys),
	    cmocka_unit_test(test_pattern_operator_at_least_outside_a_stream_is_refused),
	    cmocka_unit_test(test_pattern_operator_doubled_braces_are_braces),
	    cmocka_unit_test(
		test_pattern_operator_absence_beside_what_is_left_out_is_of_one_element),
	    cmocka_unit_test(test_pattern_operator_too_many_combinations_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
