#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/mem.h"
#include "event/json_template_priv.h"
#include "pattern_scope.h"

static const char variables_text[] =
    "{\"path\": {\"id\": 42}, \"query\": {\"level\": \"warn\", \"flag\": true, \"rate\": 0.1},"
    " \"header\": {\"x-tenant\": \"r\xc3\xa9\"},"
    " \"claims\": {\"sub\": \"ada\", \"roles\": [\"a\", \"b\"], \"none\": null, \"whole\": 3.0,"
    "  \"realm\": {\"name\": \"x\"}, \"a.b\": 1, \"list\": [],"
    "  \"lines\": \"a\\r\\nb\\nid: 1\\n\\n\", \"quoted\": \"\\\"}\\\\\", \"braces\": "
    "\"{{claims.sub}}\","
    "  \"nul\": \"a\\u0000b\", \"big\": 1e300}}";

static json_t *variables;

static int load_variables(void **state)
{
	(void)state;
	variables = json_loads(variables_text, JSON_ALLOW_NUL, NULL);
	assert_non_null(variables);
	return 0;
}

static int drop_variables(void **state)
{
	(void)state;
	json_decref(variables);
	return 0;
}

static int compile(const char *source, struct json_template **template, struct pattern_error *error)
{
	json_t *json = json_loads(source, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	int rc;

	assert_non_null(json);
	rc = json_template_compile(json, &test_scope, template, error);
	json_decref(json);
	return rc;
}

/* Strings hold variables: alone they stand for the typed value, in text for its text; all else is
 * as it was, and it is one line of JSON whatever the values hold. */
static void test_json_template_rendered_has_the_requests_values(void **state)
{
	static const struct {
		const char *source, *rendered;
	} rows[] = {
	    {"{}", "{}"},
	    {"[]", "[]"},
	    {"null", "null"},
	    {"\"\"", "\"\""},
	    {"[1, 2.50, -0.1, true, false, null]", "[1,2.5,-0.1,true,false,null]"},
	    {"{\"a\": {\"b\": [{}, \"c\"]}, \"d\": 1}", "{\"a\":{\"b\":[{},\"c\"]},\"d\":1}"},
	    {"\"{claims.sub}\"", "\"ada\""},
	    {"{\"me\": \"{claims.sub}\", \"id\": \"{path.id}\"}", "{\"me\":\"ada\",\"id\":42}"},
	    {"\"{query.flag}\"", "true"},
	    {"\"{query.rate}\"", "0.1"},
	    {"\"{claims.whole}\"", "3"},
	    {"\"{claims.big}\"", "1e+300"},
	    {"\"{claims.roles}\"", "[\"a\",\"b\"]"},
	    {"\"{claims.realm}\"", "{\"name\":\"x\"}"},
	    {"\"{claims.realm.name}\"", "\"x\""},
	    {"\"{claims.a.b}\"", "1"},
	    {"\"{header.x-tenant}\"", "\"r\xc3\xa9\""},
	    {"\"user {path.id} at {query.level}\"", "\"user 42 at warn\""},
	    {"\"{path.id}{path.id}\"", "\"4242\""},
	    {"\"roles: {claims.roles}\"", "\"roles: [\\\"a\\\",\\\"b\\\"]\""},
	    /* What the request lacks. */
	    {"\"{query.optional}\"", "null"},
	    {"\"{claims.lacking}\"", "null"},
	    {"\"{claims.none}\"", "null"},
	    {"\"<{query.optional}{claims.none}{claims.lacking}>\"", "\"<>\""},
	    {"\"{claims.list}\"", "[]"},
	    /* Braces, in the source and in values. */
	    {"\"{{claims.sub}}\"", "\"{claims.sub}\""},
	    {"\"{{{claims.sub}}}\"", "\"{ada}\""},
	    {"\"{claims.braces}\"", "\"{{claims.sub}}\""},
	    {"\"-{claims.braces}-\"", "\"-{{claims.sub}}-\""},
	    {"{\"{claims.sub}\": 1}", "{\"{claims.sub}\":1}"},
	    /* What would end a line, a string or the event. */
	    {"\"{claims.lines}\"", "\"a\\r\\nb\\nid: 1\\n\\n\""},
	    {"\"{claims.lines}!\"", "\"a\\r\\nb\\nid: 1\\n\\n!\""},
	    {"\"a\\r\\nb\"", "\"a\\r\\nb\""},
	    {"{\"a\\n\\\"\": \"{claims.quoted}\"}", "{\"a\\n\\\"\":\"\\\"}\\\\\"}"},
	    {"\"{claims.quoted}-\"", "\"\\\"}\\\\-\""},
	    {"\"{claims.nul}\"", "\"a\\u0000b\""},
	    {"\"{claims.nul}-\"", "\"a\\u0000b-\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json_template *template = NULL;
		struct pattern_error error = {"", ""};
		struct buffer out = {0};

		buffer_append_text(&out, "before");
		if (compile(rows[i].source, &template, &error))
			fail_msg("%s is refused: %s %s", rows[i].source, error.pointer,
				 error.reason);
		assert_int_equal(json_template_render(template, variables, &out), 0);
		if (strcmp(buffer_text(&out) + 6, rows[i].rendered))
			fail_msg("%s gives %s", rows[i].source, buffer_text(&out) + 6);
		assert_null(strpbrk(buffer_text(&out), "\r\n"));
		json_template_free(template);
		buffer_free(&out);
	}
}

/* A public stream's request may have no claims at all. */
static void test_json_template_without_claims_renders_null(void **state)
{
	struct json_template *template = NULL;
	struct pattern_error error;
	struct buffer out = {0};
	json_t *nothing = json_object();

	(void)state;
	assert_int_equal(compile("[\"{claims.sub}\", \"-{claims.sub}\"]", &template, &error), 0);
	assert_int_equal(json_template_render(template, nothing, &out), 0);
	assert_string_equal(buffer_text(&out), "[null,\"-\"]");
	json_template_free(template);
	buffer_free(&out);
	json_decref(nothing);
}

/* What is no template is refused, with its place. */
static void test_json_template_wrong_is_refused_with_its_place(void **state)
{
	static const struct {
		const char *source, *pointer, *reason;
	} rows[] = {
	    {"\"{\"", "", "a { without }"},
	    {"\"}\"", "", "closes nothing"},
	    {"{\"a\": [0, \"x{sub}\"]}", "/a/1", "is no variable"},
	    {"{\"a/b\": {\"~\": \"{claims.}\"}}", "/a~1b/~0", "is no variable"},
	    {"[\"{query.unknown1}\"]", "/0", "is not known here"},
	    {"[\"{claims.su\\u0000b}\"]", "/0", "is no variable"},
	    {"[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]", "/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0",
	     "deeper than 16"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct json_template *template = NULL;
		struct pattern_error error = {"", ""};

		assert_true(compile(rows[i].source, &template, &error) < 0);
		assert_null(template);
		if (strcmp(error.pointer, rows[i].pointer) || !strstr(error.reason, rows[i].reason))
			fail_msg("%s gives %s: %s", rows[i].source, error.pointer, error.reason);
	}
}

static char *text_of(const char *begin, const char *repeated, size_t count, const char *end)
{
	struct buffer text = {0};

	buffer_append_text(&text, begin);
	while (count--)
		buffer_append_text(&text, repeated);
	buffer_append_text(&text, end);
	buffer_text(&text);
	return text.base;
}

/* The source has at most 16 KiB. */
static void test_json_template_too_large_is_refused(void **state)
{
	struct json_template *template = NULL;
	struct pattern_error error = {"", ""};
	char *fits = text_of("\"", "x", JSON_TEMPLATE_MAX_BYTES - 2, "\"");
	char *larger = text_of("\"", "x", JSON_TEMPLATE_MAX_BYTES - 1, "\"");

	(void)state;
	assert_int_equal(compile(fits, &template, &error), 0);
	json_template_free(template);
	assert_int_equal(compile(larger, &template, &error), ERROR_LIMIT);
	assert_string_equal(error.reason, "has more than 16384 bytes as compact JSON");
	free(fits);
	free(larger);
}

/* Large values, or one that is there often, make no text beyond the limit; what was in the buffer
 * stays. */
static void test_json_template_large_values_are_limited(void **state)
{
	static const struct {
		const char *begin, *repeated, *end;
		size_t count, value_bytes;
		int rc;
	} rows[] = {
	    {"[", "\"{claims.v}\",", "1]", 1, JSON_TEMPLATE_MAX_RENDERED_BYTES - 6, 0},
	    {"[", "\"{claims.v}\",", "1]", 1, JSON_TEMPLATE_MAX_RENDERED_BYTES - 5, ERROR_LIMIT},
	    {"[", "\"{claims.v}\",", "1]", 1000, 1 << 20, ERROR_LIMIT},
	    {"\"", "{claims.v}", "\"", 1, JSON_TEMPLATE_MAX_RENDERED_BYTES - 2, 0},
	    {"\"", "{claims.v}", "\"", 1000, 1 << 20, ERROR_LIMIT},
	    {"\"-", "{claims.v}", "\"", 1, JSON_TEMPLATE_MAX_RENDERED_BYTES - 3, 0},
	    {"\"-", "{claims.v}", "\"", 1, JSON_TEMPLATE_MAX_RENDERED_BYTES - 2, ERROR_LIMIT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *source = text_of(rows[i].begin, rows[i].repeated, rows[i].count, rows[i].end);
		char *value = text_of("", "v", rows[i].value_bytes, "");
		json_t *claims = json_pack("{s:{s:s}}", "claims", "v", value);
		struct json_template *template = NULL;
		struct pattern_error error;
		struct buffer out = {0};

		buffer_append_text(&out, "before");
		assert_int_equal(compile(source, &template, &error), 0);
		assert_int_equal(json_template_render(template, claims, &out), rows[i].rc);
		assert_int_equal(out.len, rows[i].rc ? 6 : 6 + JSON_TEMPLATE_MAX_RENDERED_BYTES);
		/* A few values at most, not a thousand. */
		assert_true(out.capacity <= 8 << 20);
		json_template_free(template);
		buffer_free(&out);
		json_decref(claims);
		free(source);
		free(value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_json_template_rendered_has_the_requests_values),
	    cmocka_unit_test(test_json_template_without_claims_renders_null),
	    cmocka_unit_test(test_json_template_wrong_is_refused_with_its_place),
	    cmocka_unit_test(test_json_template_too_large_is_refused),
	    cmocka_unit_test(test_json_template_large_values_are_limited),
	};

	return cmocka_run_group_tests(tests, load_variables, drop_variables);
}
