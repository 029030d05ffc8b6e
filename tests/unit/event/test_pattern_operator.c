#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

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

/* Braces in an operator's text are written twice, as everywhere. */
static void test_pattern_operator_doubled_braces_are_braces(void **state)
{
	static const struct bound_row row = {"{\"key\":[{\"prefix\":\"{{a}}\"}]}",
					     "{\"key\":\"{a}b\"}", "{}", true};

	(void)state;
	check_bound(&row);
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
	    cmocka_unit_test(test_pattern_operator_doubled_braces_are_braces),
	    cmocka_unit_test(test_pattern_operator_too_many_combinations_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
