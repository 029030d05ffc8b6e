#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "pattern_scope.h"

/* Compiles and frees; the error is left as it was where there is none. */
static int try_compile(const char *text, size_t len, const struct pattern_scope *scope,
		       struct pattern_error *error)
{
	json_error_t json_error;
	json_t *source = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &json_error);
	struct pattern *pattern = NULL;
	int rc;

	if (!source)
		fail_msg("%s: %s", json_error.text, text);
	rc = pattern_compile(source, scope, &pattern, error);
	if (rc)
		assert_null(pattern);
	pattern_free(pattern);
	json_decref(source);
	return rc;
}

/* Each refusal says where in the source it is and what would be right. */
static void test_pattern_compile_malformed_source_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *source;
		const char *pointer;
		const char *reason; /* a part of it */
	} rows[] = {
	    {"[]", "", "a pattern is an object"},
	    {"null", "", "a pattern is an object"},
	    {"\"x\"", "", "a pattern is an object"},
	    {"{}", "", "name at least one field"},
	    {"{\"value\":{}}", "/value", "name at least one field"},
	    {"{\"value\":[]}", "/value", "list at least one value"},
	    {"{\"value\":\"a\"}", "/value", "a list of values, such as [\"a\"]"},
	    {"{\"value\":{\"a\":1}}", "/value/a", "a list of values"},
	    {"{\"value\":{\"a\":null}}", "/value/a", "a list of values"},
	    {"{\"value\":[[\"a\"]]}", "/value/0", "a list in a list"},
	    {"{\"value\":[1,{}]}", "/value/1", "an operator is an object of one member"},
	    {"{\"value\":[1,{\"prefix\":1}]}", "/value/1", "\"prefix\" takes a string"},
	    {"{\"value\":[1,{\"prefix\":\"{path.x\"}]}", "/value/1", "{ without }"},
	    {"{\"value\":[1,{\"numeric\":[\"{path.x}\",1]}]}", "/value/1", "\"numeric\" takes"},
	    {"{\"value\":{\"a\":[{\"above\":1}]}}", "/value/a/0",
	     "there is no operator \"above\"; known are \"prefix\""},
	    {"{\"$or\":[{\"value\":[1]}]}", "/$or", "a list of objects, two at least"},
	    {"{\"$or\":[{\"value\":[1]},{\"valeu\":[1]}]}", "/$or/1/valeu", "unknown field"},
	    {"{\"value\":{\"$or\":[{\"a\":[1]},7]}}", "/value/$or/1", "a list of objects"},
	    {"{\"valeu\":[1]}", "/valeu", "unknown field \"valeu\"; known are \"topic\""},
	    {"{\"value\":{\"a/b\":{\"c~d\":[1,{}]}}}", "/value/a~1b/c~0d/1", "an operator is"},
	    {"{\"value\":[\"{path.unknown1}\"]}", "/value/0", "{path.unknown1} is not known here"},
	    {"{\"value\":[\"{body.x}\"]}", "/value/0", "{body.x} is not known here"},
	    {"{\"value\":[\"{x}\"]}", "/value/0", "{x} is no variable: write {path.name}"},
	    {"{\"value\":[\"{}\"]}", "/value/0", "{} is no variable"},
	    {"{\"value\":[\"{.x}\"]}", "/value/0", "is no variable"},
	    {"{\"value\":[\"{path.}\"]}", "/value/0", "is no variable"},
	    {"{\"value\":[\"{path.a\\u0000b}\"]}", "/value/0", "is no variable"},
	    {"{\"value\":[\"{path.x\"]}", "/value/0", "{ without }"},
	    {"{\"value\":[\"{\"]}", "/value/0", "{ without }"},
	    {"{\"value\":[\"a{{{\"]}", "/value/0", "{ without }"},
	    {"{\"value\":[\"a}\"]}", "/value/0", "a single }"},
	    {"{\"value\":[\"{path.x}}\"]}", "/value/0", "a single }"},
	    {"{\"value\":[\"{path.x}{claims.y}{\"]}", "/value/0", "{ without }"},
	    {"{\"value\":[1,{\"at-least\":3}]}", "/value/1", "\"at-least\" takes one variable"},
	    {"{\"value\":[{\"at-least\":null}]}", "/value/0", "\"at-least\" takes one variable"},
	    {"{\"value\":[{\"at-least\":\"\"}]}", "/value/0", "\"at-least\" takes one variable"},
	    {"{\"value\":[{\"at-least\":\"warn\"}]}", "/value/0", "takes one variable"},
	    {"{\"value\":[{\"at-least\":[\"{query.level}\"]}]}", "/value/0", "takes one variable"},
	    {"{\"value\":[{\"at-least\":{}}]}", "/value/0", "takes one variable"},
	    {"{\"value\":[{\"at-least\":\"{{query.level}}\"}]}", "/value/0", "one variable"},
	    {"{\"value\":[{\"at-least\":\"x{query.level}\"}]}", "/value/0", "one variable"},
	    {"{\"value\":[{\"at-least\":\"{query.level}{query.level}\"}]}", "/value/0",
	     "takes one variable"},
	    {"{\"value\":[{\"at-least\":\"{query.plain}\"}]}", "/value/0",
	     "of a stream's parameter that has an \"enum\" and \"ordered\": true"},
	    {"{\"value\":[{\"at-least\":\"{claims.level}\"}]}", "/value/0", "one variable"},
	    {"{\"value\":[{\"at-least\":\"{query.unknown1}\"}]}", "/value/0",
	     "{query.unknown1} is not known here"},
	    {"{\"value\":[{\"at-least\":\"{query.level\"}]}", "/value/0", "{ without }"},
	    {"{\"value\":[{\"at-least\":\"{query.level}\",\"prefix\":\"a\"}]}", "/value/0",
	     "an operator is an object of one member"},
	    {"{\"value\":[{\"anything-but\":{\"at-least\":\"{query.level}\"}}]}", "/value/0",
	     "\"anything-but\" takes"},
	    {"{\"value\":[{\"prefix\":{\"at-least\":\"{query.level}\"}}]}", "/value/0",
	     "\"prefix\" takes a string"},
	    {"{\"value\":{\"at-least\":[\"x\"],\"a\":[{\"at-least\":1}]}}", "/value/a/0",
	     "takes one variable"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pattern_error error = {0};
		size_t len = strlen(rows[i].source);

		if (try_compile(rows[i].source, len, &test_scope, &error) != ERROR_INVALID)
			fail_msg("accepted: %s", rows[i].source);
		if (strcmp(error.pointer, rows[i].pointer) || !strstr(error.reason, rows[i].reason))
			fail_msg("%s: \"%s\": %s", rows[i].source, error.pointer, error.reason);
	}
}

/* Whatever stands in the source, pointer and reason are terminated within their bounds. */
static void test_pattern_compile_long_names_are_cut_in_the_error(void **state)
{
	struct pattern_error error;
	struct buffer text = {0};

	(void)state;
	for (int form = 0; form < 3; form++) {
		static const char *const before[] = {"{\"", "{\"value\":{\"", "{\"value\":[\"{"};
		static const char *const after[] = {"\":[1]}", "\":1}}", "}\"]}"};

		buffer_clear(&text);
		buffer_append_text(&text, before[form]);
		for (int i = 0; i < 1000; i++)
			buffer_append_text(&text, "\xc3\xa9");
		buffer_append_text(&text, after[form]);
		memset(&error, 'x', sizeof(error));
		assert_int_equal(try_compile(text.base, text.len, &test_scope, &error),
				 ERROR_INVALID);
		assert_non_null(memchr(error.pointer, '\0', sizeof(error.pointer)));
		assert_non_null(memchr(error.reason, '\0', sizeof(error.reason)));
	}
	buffer_free(&text);
}

/* Where no variable can be used, a brace is refused with the way to write one. */
static void test_pattern_compile_without_find_refuses_variables(void **state)
{
	static const struct pattern_scope scope = {.roots = NULL};
	static const char with[] = "{\"a\":[\"{path.x}\"]}", without[] = "{\"a\":[\"{{path.x}}\"]}";
	struct pattern_error error;

	(void)state;
	assert_int_equal(try_compile(with, strlen(with), &scope, &error), ERROR_INVALID);
	assert_non_null(strstr(error.reason, "none can be used here"));
	assert_int_equal(try_compile(without, strlen(without), &scope, &error), 0);
}

/* `repeated` as often as said, between two texts. */
static int try_repeated(const char *before, const char *repeated, int times, const char *after,
			struct pattern_error *error)
{
	struct buffer text = {0};
	int rc;

	buffer_append_text(&text, before);
	for (int i = 0; i < times; i++)
		buffer_append_text(&text, repeated);
	buffer_append_text(&text, after);
	rc = try_compile(text.base, text.len, &test_scope, error);
	buffer_free(&text);
	return rc;
}

/* A source at a limit is compiled, one past it is refused with what the limit is. */
static void test_pattern_compile_limits_hold_to_the_last_step(void **state)
{
	struct pattern_error error;

	(void)state;
	assert_int_equal(try_repeated("{\"value\":[1", ",1", PATTERN_MAX_VALUES - 1, "]}", &error),
			 0);
	assert_int_equal(try_repeated("{\"value\":[1", ",1", PATTERN_MAX_VALUES, "]}", &error),
			 ERROR_LIMIT);
	assert_string_equal(error.pointer, "/value/1024");
	assert_non_null(strstr(error.reason, "1024 values"));

	assert_int_equal(try_repeated("{\"value\":", "{\"a\":", PATTERN_MAX_DEPTH - 1,
				      "[1]}}}}}}}}}}}}}}}}", &error),
			 0);
	assert_int_equal(try_repeated("{\"value\":", "{\"a\":", PATTERN_MAX_DEPTH,
				      "[1]}}}}}}}}}}}}}}}}}", &error),
			 ERROR_LIMIT);
	assert_non_null(strstr(error.reason, "16 deep"));

	assert_int_equal(
	    try_repeated("{\"value\":[\"", "a", PATTERN_MAX_BYTES - 14, "\"]}", &error), 0);
	assert_int_equal(
	    try_repeated("{\"value\":[\"", "a", PATTERN_MAX_BYTES - 13, "\"]}", &error),
	    ERROR_LIMIT);
	assert_string_equal(error.pointer, "");
	assert_non_null(strstr(error.reason, "65536 bytes"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pattern_compile_malformed_source_is_refused_with_its_place),
	    cmocka_unit_test(test_pattern_compile_long_names_are_cut_in_the_error),
	    cmocka_unit_test(test_pattern_compile_without_find_refuses_variables),
	    cmocka_unit_test(test_pattern_compile_limits_hold_to_the_last_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
