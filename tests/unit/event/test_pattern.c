#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
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

static struct pattern *compile(const char *text)
{
	struct pattern_error error;
	struct pattern *pattern = NULL;
	json_t *source = parse(text);

	if (pattern_compile(source, &test_scope, &pattern, &error))
		fail_msg("%s: %s: %s", text, error.pointer, error.reason);
	json_decref(source);
	return pattern;
}

struct match_row {
	const char *pattern;
	const char *document;
	const char *variables;
	bool matches;
};

static void check_match(const struct match_row *row)
{
	struct pattern *pattern = compile(row->pattern);
	json_t *document = parse(row->document);
	json_t *variables = parse(row->variables ? row->variables : "{}");

	if (pattern_matches(pattern, document, variables) != row->matches)
		fail_msg("%s with %s for %s is not %s", row->pattern, row->document,
			 row->variables ? row->variables : "{}", row->matches ? "true" : "false");
	json_decref(variables);
	json_decref(document);
	pattern_free(pattern);
}

#define CHECK_TABLE(rows)                                                                          \
	for (size_t i = 0; i < sizeof(rows) / sizeof((rows)[0]); i++)                              \
	check_match(&(rows)[i])

/* A leaf holds where the event has one of its values, of the same type and byte for byte. */
static void test_pattern_constants_match_equal_values(void **state)
{
	static const struct match_row rows[] = {
	    {"{\"value\":[\"a\"]}", "{\"value\":\"a\"}", NULL, true},
	    {"{\"value\":[\"a\"]}", "{\"value\":\"b\"}", NULL, false},
	    {"{\"value\":[\"a\"]}", "{\"value\":\"A\"}", NULL, false},
	    {"{\"value\":[\"a\"]}", "{\"value\":\"a \"}", NULL, false},
	    {"{\"value\":[\"a\"]}", "{\"value\":\"\"}", NULL, false},
	    {"{\"value\":[\"\"]}", "{\"value\":\"\"}", NULL, true},
	    {"{\"value\":[\"\"]}", "{\"value\":null}", NULL, false},
	    {"{\"value\":[\"a\",\"b\"]}", "{\"value\":\"b\"}", NULL, true},
	    {"{\"value\":[\"b\",\"a\",\"c\",\"a\"]}", "{\"value\":\"c\"}", NULL, true},
	    {"{\"value\":[\"1\"]}", "{\"value\":1}", NULL, false},
	    {"{\"value\":[1]}", "{\"value\":\"1\"}", NULL, false},
	    {"{\"value\":[true]}", "{\"value\":true}", NULL, true},
	    {"{\"value\":[true]}", "{\"value\":false}", NULL, false},
	    {"{\"value\":[true]}", "{\"value\":\"true\"}", NULL, false},
	    {"{\"value\":[true]}", "{\"value\":1}", NULL, false},
	    {"{\"value\":[false]}", "{\"value\":0}", NULL, false},
	    {"{\"value\":[null]}", "{\"value\":null}", NULL, true},
	    {"{\"value\":[null]}", "{}", NULL, false},
	    {"{\"value\":[null]}", "{\"value\":{}}", NULL, false},
	    {"{\"value\":[null]}", "{\"value\":[]}", NULL, false},
	    {"{\"value\":[\"a\",1,null,true]}", "{\"value\":1}", NULL, true},
	    {"{\"value\":[\"a\"]}", "{\"value\":{\"a\":\"a\"}}", NULL, false},
	    {"{\"value\":[\"a\\r\\n\"]}", "{\"value\":\"a\\r\\n\"}", NULL, true},
	    {"{\"value\":[\"a\\u0000b\"]}", "{\"value\":\"a\\u0000b\"}", NULL, true},
	    {"{\"value\":[\"a\\u0000b\"]}", "{\"value\":\"a\\u0000c\"}", NULL, false},
	    {"{\"value\":[\"a\"]}", "{\"value\":\"a\\u0000\"}", NULL, false},
	    {"{\"value\":[\"\\u00e9\"]}", "{\"value\":\"\xc3\xa9\"}", NULL, true},
	    {"{\"value\":[\"\\u00e9\"]}", "{\"value\":\"e\\u0301\"}", NULL, false},
	    {"{\"value\":[\"{{a}}\"]}", "{\"value\":\"{a}\"}", NULL, true},
	    {"{\"value\":[\"{{path.x}}\"]}", "{\"value\":\"b\"}", "{\"path\":{\"x\":\"b\"}}",
	     false},
	};

	(void)state;
	CHECK_TABLE(rows);
}

/* Numbers are compared by what they are worth, int64 to its last digit. */
static void test_pattern_numbers_match_by_value(void **state)
{
	static const struct match_row rows[] = {
	    {"{\"value\":[300]}", "{\"value\":300.0}", NULL, true},
	    {"{\"value\":[300]}", "{\"value\":3.0e2}", NULL, true},
	    {"{\"value\":[300.0]}", "{\"value\":300}", NULL, true},
	    {"{\"value\":[3e2]}", "{\"value\":300}", NULL, true},
	    {"{\"value\":[300]}", "{\"value\":300.5}", NULL, false},
	    {"{\"value\":[0]}", "{\"value\":-0.0}", NULL, true},
	    {"{\"value\":[-1]}", "{\"value\":1}", NULL, false},
	    {"{\"value\":[0.1]}", "{\"value\":0.10}", NULL, true},
	    {"{\"value\":[0.1]}", "{\"value\":1e-1}", NULL, true},
	    {"{\"value\":[0.1]}", "{\"value\":0.2}", NULL, false},
	    {"{\"value\":[1e300]}", "{\"value\":1.0e300}", NULL, true},
	    {"{\"value\":[1e300]}", "{\"value\":1e301}", NULL, false},
	    {"{\"value\":[9007199254740993]}", "{\"value\":9007199254740993}", NULL, true},
	    {"{\"value\":[9007199254740993]}", "{\"value\":9007199254740992}", NULL, false},
	    {"{\"value\":[9223372036854775807]}", "{\"value\":9223372036854775807}", NULL, true},
	    {"{\"value\":[9223372036854775807]}", "{\"value\":9223372036854775806}", NULL, false},
	    {"{\"value\":[9223372036854775807]}", "{\"value\":9223372036854775808.0}", NULL, false},
	    {"{\"value\":[-9223372036854775808]}", "{\"value\":9223372036854775808.0}", NULL,
	     false},
	    {"{\"value\":[-9223372036854775808]}", "{\"value\":-9223372036854775808.0}", NULL,
	     true},
	    {"{\"value\":[9223372036854775808e0]}", "{\"value\":9.223372036854775808e18}", NULL,
	     true},
	};

	(void)state;
	CHECK_TABLE(rows);
}

/* Objects are "and" of their fields; what the event has beside them does not matter. */
static void test_pattern_objects_match_where_all_fields_do(void **state)
{
	static const struct match_row rows[] = {
	    {"{\"value\":{\"a\":[1],\"b\":[2]}}", "{\"value\":{\"a\":1,\"b\":2,\"c\":3}}", NULL,
	     true},
	    {"{\"value\":{\"a\":[1],\"b\":[2]}}", "{\"value\":{\"a\":1,\"b\":3}}", NULL, false},
	    {"{\"value\":{\"a\":[1],\"b\":[2]}}", "{\"value\":{\"a\":1}}", NULL, false},
	    {"{\"value\":{\"a\":{\"b\":[1]}}}", "{\"value\":{\"a\":{\"b\":1}}}", NULL, true},
	    {"{\"value\":{\"a\":{\"b\":[1]}}}", "{\"value\":{\"a.b\":1}}", NULL, false},
	    {"{\"value\":{\"a\":{\"b\":[1]}}}", "{\"value\":{\"a\":1}}", NULL, false},
	    {"{\"value\":{\"a\":{\"b\":[1]}}}", "{\"value\":{\"a\":null}}", NULL, false},
	    {"{\"value\":{\"a\":{\"b\":[1]}}}", "{}", NULL, false},
	    {"{\"value\":{\"\":[1]}}", "{\"value\":{\"\":1}}", NULL, true},
	    {"{\"topic\":[\"t\"],\"value\":{\"a\":[1]}}", "{\"topic\":\"t\",\"value\":{\"a\":1}}",
	     NULL, true},
	    {"{\"topic\":[\"t\"],\"value\":{\"a\":[1]}}", "{\"topic\":\"u\",\"value\":{\"a\":1}}",
	     NULL, false},
	};

	(void)state;
	CHECK_TABLE(rows);
}

/* In an array any element will do, but conditions on one array of objects must hold in the same
 * element. */
static void test_pattern_arrays_match_by_one_element(void **state)
{
#define ITEMS "{\"value\":{\"items\":{\"sku\":[\"a\"],\"qty\":[2]}}}"
	static const struct match_row rows[] = {
	    {"{\"value\":[\"a\"]}", "{\"value\":[\"b\",\"a\"]}", NULL, true},
	    {"{\"value\":[\"a\"]}", "{\"value\":[\"b\",\"c\"]}", NULL, false},
	    {"{\"value\":[\"a\"]}", "{\"value\":[]}", NULL, false},
	    {"{\"value\":[\"a\"]}", "{\"value\":[{\"a\":\"a\"},[[\"a\"]]]}", NULL, true},
	    {"{\"value\":[300]}", "{\"value\":[1,300.0]}", NULL, true},
	    {ITEMS, "{\"value\":{\"items\":{\"sku\":\"a\",\"qty\":2}}}", NULL, true},
	    {ITEMS, "{\"value\":{\"items\":[{\"sku\":\"b\"},{\"sku\":\"a\",\"qty\":2}]}}", NULL,
	     true},
	    {ITEMS, "{\"value\":{\"items\":[{\"sku\":\"a\",\"qty\":1},{\"sku\":\"b\",\"qty\":2}]}}",
	     NULL, false},
	    {ITEMS, "{\"value\":{\"items\":[[{\"sku\":\"a\",\"qty\":2}]]}}", NULL, true},
	    {ITEMS, "{\"value\":{\"items\":[[{\"sku\":\"a\"}],[{\"qty\":2}]]}}", NULL, false},
	    {ITEMS, "{\"value\":{\"items\":[{\"sku\":[\"b\",\"a\"],\"qty\":[1,2]}]}}", NULL, true},
	    {ITEMS, "{\"value\":{\"items\":[1,\"a\",null,[]]}}", NULL, false},
	    {ITEMS, "{\"value\":{\"items\":[]}}", NULL, false},
	    {"{\"value\":{\"a\":{\"b\":{\"c\":[1],\"d\":[2]},\"e\":[3]}}}",
	     "{\"value\":{\"a\":[{\"b\":[{\"c\":1,\"d\":2}],\"e\":4},{\"b\":[{\"c\":1},{\"d\":2}],"
	     "\"e\":3}]}}",
	     NULL, false},
	    {"{\"value\":{\"a\":{\"b\":{\"c\":[1],\"d\":[2]},\"e\":[3]}}}",
	     "{\"value\":{\"a\":[{\"b\":[{\"c\":2},{\"c\":1,\"d\":2}],\"e\":3}]}}", NULL, true},
	};
#undef ITEMS

	(void)state;
	CHECK_TABLE(rows);
}

/* A variable stands for the request's value with its type. */
static void test_pattern_variables_match_the_requests_value(void **state)
{
#define USER  "{\"value\":{\"user\":[\"{path.user}\"]}}"
#define MIXED "{\"value\":{\"user\":[\"{path.user}\",\"public\",7]}}"
#define PAIR  "{\"key\":[\"{path.key}\"],\"value\":{\"user\":[\"{path.user}\"]}}"
	static const struct match_row rows[] = {
	    {USER, "{\"value\":{\"user\":\"u1\"}}", "{\"path\":{\"user\":\"u1\"}}", true},
	    {USER, "{\"value\":{\"user\":\"u1\"}}", "{\"path\":{\"user\":\"u2\"}}", false},
	    {USER, "{\"value\":{\"user\":42}}", "{\"path\":{\"user\":42}}", true},
	    {USER, "{\"value\":{\"user\":42.0}}", "{\"path\":{\"user\":42}}", true},
	    {USER, "{\"value\":{\"user\":42}}", "{\"path\":{\"user\":\"42\"}}", false},
	    {USER, "{\"value\":{\"user\":true}}", "{\"path\":{\"user\":true}}", true},
	    {USER, "{\"value\":{}}", "{\"path\":{\"user\":\"u1\"}}", false},
	    {USER, "{\"value\":{\"user\":{\"id\":\"u1\"}}}", "{\"path\":{\"user\":\"u1\"}}", false},
	    {USER, "{\"value\":{\"user\":[\"u1\",\"u2\"]}}", "{\"path\":{\"user\":\"u2\"}}", true},
	    {USER, "{\"value\":[{\"user\":\"u1\"},{\"user\":\"u2\"}]}",
	     "{\"path\":{\"user\":\"u2\"}}", true},
	    {USER, "{\"value\":{\"user\":\"*\"}}", "{\"path\":{\"user\":\"u1\"}}", false},
	    {USER, "{\"value\":{\"user\":\"\"}}", "{\"path\":{\"user\":\"\"}}", true},
	    {USER, "{\"value\":{\"user\":\"{path.user}\"}}", "{\"path\":{\"user\":\"u1\"}}", false},
	    {USER, "{\"value\":{\"user\":\"a\\u0000b\"}}", "{\"path\":{\"user\":\"a\\u0000c\"}}",
	     false},
	    {MIXED, "{\"value\":{\"user\":\"public\"}}", "{\"path\":{\"user\":\"u1\"}}", true},
	    {MIXED, "{\"value\":{\"user\":\"u1\"}}", "{\"path\":{\"user\":\"u1\"}}", true},
	    {MIXED, "{\"value\":{\"user\":7.0}}", "{\"path\":{\"user\":\"u1\"}}", true},
	    {MIXED, "{\"value\":{\"user\":\"u2\"}}", "{\"path\":{\"user\":\"u1\"}}", false},
	    {MIXED, "{\"value\":{\"user\":[\"u2\",\"public\"]}}", "{\"path\":{\"user\":\"u1\"}}",
	     true},
	    {PAIR, "{\"key\":\"k\",\"value\":{\"user\":\"u\"}}",
	     "{\"path\":{\"key\":\"k\",\"user\":\"u\"}}", true},
	    {PAIR, "{\"key\":\"u\",\"value\":{\"user\":\"k\"}}",
	     "{\"path\":{\"key\":\"k\",\"user\":\"u\"}}", false},
	    {PAIR, "{\"key\":\"ab\",\"value\":{\"user\":\"c\"}}",
	     "{\"path\":{\"key\":\"a\",\"user\":\"bc\"}}", false},
	    {PAIR, "{\"key\":\"asb\",\"value\":{\"user\":\"c\"}}",
	     "{\"path\":{\"key\":\"a\",\"user\":\"bsc\"}}", false},
	};
#undef PAIR
#undef MIXED
#undef USER

	(void)state;
	CHECK_TABLE(rows);
}

/* Several variables of one array of objects belong to the same element too. */
static void test_pattern_variables_in_an_array_match_in_one_element(void **state)
{
#define PATTERN                                                                                    \
	"{\"value\":{\"to\":{\"id\":[\"{path.id}\"],\"role\":[\"{path.role}\"],\"on\":[true]}}}"
#define EVENT                                                                                      \
	"{\"value\":{\"to\":[{\"id\":1,\"role\":\"a\",\"on\":true},{\"id\":2,\"role\":\"b\","      \
	"\"on\":true},"                                                                            \
	"{\"id\":3,\"role\":\"c\",\"on\":false},{\"id\":[4,5],\"role\":[\"d\",\"e\"],\"on\":["     \
	"false,true]}]}}"
	static const struct match_row rows[] = {
	    {PATTERN, EVENT, "{\"path\":{\"id\":1,\"role\":\"a\"}}", true},
	    {PATTERN, EVENT, "{\"path\":{\"id\":2,\"role\":\"b\"}}", true},
	    {PATTERN, EVENT, "{\"path\":{\"id\":1,\"role\":\"b\"}}", false},
	    {PATTERN, EVENT, "{\"path\":{\"id\":3,\"role\":\"c\"}}", false},
	    {PATTERN, EVENT, "{\"path\":{\"id\":4,\"role\":\"e\"}}", true},
	    {PATTERN, EVENT, "{\"path\":{\"id\":4,\"role\":\"a\"}}", false},
	};
#undef EVENT
#undef PATTERN

	(void)state;
	CHECK_TABLE(rows);
}

/* A request that lacks an optional variable is not held to the condition, in events without the
 * field either. */
static void test_pattern_optional_variable_left_out_drops_the_condition(void **state)
{
#define LEVEL "{\"value\":{\"level\":[\"{query.opt_level}\"]}}"
#define BOTH  "{\"value\":{\"a\":[\"{query.opt_a}\",\"all\"],\"b\":[\"{query.opt_b}\"],\"c\":[1]}}"
#define DEEP  "{\"value\":{\"x\":{\"y\":{\"z\":[\"{query.opt_z}\"]}}}}"
	static const struct match_row rows[] = {
	    {LEVEL, "{\"value\":{\"level\":\"info\"}}", "{}", true},
	    {LEVEL, "{\"value\":{\"level\":\"info\"}}", "{\"query\":{}}", true},
	    {LEVEL, "{\"value\":{}}", "{}", true},
	    {LEVEL, "{\"value\":\"text\"}", "{}", true},
	    {LEVEL, "{\"value\":null}", "{}", true},
	    {LEVEL, "{}", "{}", true},
	    {LEVEL, "{\"value\":{\"level\":\"info\"}}", "{\"query\":{\"opt_level\":\"info\"}}",
	     true},
	    {LEVEL, "{\"value\":{\"level\":\"info\"}}", "{\"query\":{\"opt_level\":\"warn\"}}",
	     false},
	    {LEVEL, "{\"value\":{}}", "{\"query\":{\"opt_level\":\"info\"}}", false},
	    {LEVEL, "{\"value\":{\"level\":\"info\"}}", "{\"query\":{\"opt_level\":\"*\"}}", false},
	    {BOTH, "{\"value\":{\"a\":1,\"b\":2,\"c\":1}}", "{}", true},
	    {BOTH, "{\"value\":{\"c\":1}}", "{}", true},
	    {BOTH, "{\"value\":{\"a\":1,\"b\":2,\"c\":2}}", "{}", false},
	    {BOTH, "{\"value\":{\"a\":1,\"b\":2,\"c\":1}}", "{\"query\":{\"opt_b\":2}}", true},
	    {BOTH, "{\"value\":{\"a\":1,\"b\":2,\"c\":1}}", "{\"query\":{\"opt_a\":2}}", false},
	    {BOTH, "{\"value\":{\"a\":\"all\",\"b\":2,\"c\":1}}", "{\"query\":{\"opt_a\":2}}",
	     true},
	    {BOTH, "{\"value\":{\"a\":\"none\",\"b\":2,\"c\":1}}", "{}", true},
	    {DEEP, "{\"value\":{\"x\":[]}}", "{}", true},
	    {DEEP, "{\"value\":{\"x\":[1,[],{\"y\":null}]}}", "{}", true},
	    {DEEP, "{\"value\":{\"x\":[{\"y\":[{\"z\":1}]}]}}", "{\"query\":{\"opt_z\":1}}", true},
	    {DEEP, "{\"value\":{\"x\":[]}}", "{\"query\":{\"opt_z\":1}}", false},
	};
#undef DEEP
#undef BOTH
#undef LEVEL

	(void)state;
	CHECK_TABLE(rows);
}

/* Each element of a claim that is a list is accepted; a token without the claim sees nothing. */
static void test_pattern_claims_match_as_scalars_and_lists(void **state)
{
#define TENANT "{\"value\":{\"tenant\":[\"{claims.tenant}\"]}}"
#define OPEN   "{\"value\":{\"tenant\":[\"{claims.tenant}\",\"public\"]}}"
#define ROLES  "{\"value\":{\"role\":[\"{claims.realm_access.roles}\"]}}"
#define URL    "{\"value\":{\"id\":[\"{claims.https://a.example/x.id}\"]}}"
	static const struct match_row rows[] = {
	    {TENANT, "{\"value\":{\"tenant\":\"a\"}}", "{\"claims\":{\"tenant\":\"a\"}}", true},
	    {TENANT, "{\"value\":{\"tenant\":\"b\"}}", "{\"claims\":{\"tenant\":[\"a\",\"b\"]}}",
	     true},
	    {TENANT, "{\"value\":{\"tenant\":\"c\"}}", "{\"claims\":{\"tenant\":[\"a\",\"b\"]}}",
	     false},
	    {TENANT, "{\"value\":{\"tenant\":\"a\"}}", "{\"claims\":{\"tenant\":[]}}", false},
	    {TENANT, "{\"value\":{\"tenant\":\"a\"}}", "{\"claims\":{\"tenant\":{\"a\":\"a\"}}}",
	     false},
	    {TENANT, "{\"value\":{\"tenant\":\"a\"}}", "{\"claims\":{}}", false},
	    {TENANT, "{\"value\":{\"tenant\":\"a\"}}", "{}", false},
	    {TENANT, "{\"value\":{}}", "{}", false},
	    {TENANT, "{\"value\":{\"tenant\":null}}", "{}", false},
	    {TENANT, "{\"value\":{\"tenant\":null}}", "{\"claims\":{\"tenant\":null}}", true},
	    {TENANT, "{\"value\":{\"tenant\":\"*\"}}", "{}", false},
	    {OPEN, "{\"value\":{\"tenant\":\"public\"}}", "{\"claims\":{\"tenant\":\"a\"}}", true},
	    {OPEN, "{\"value\":{\"tenant\":\"public\"}}", "{\"claims\":{\"tenant\":[]}}", true},
	    {OPEN, "{\"value\":{\"tenant\":\"public\"}}", "{\"claims\":{}}", false},
	    {ROLES, "{\"value\":{\"role\":\"r\"}}",
	     "{\"claims\":{\"realm_access\":{\"roles\":[\"r\"]}}}", true},
	    {ROLES, "{\"value\":{\"role\":\"r\"}}", "{\"claims\":{\"realm_access.roles\":\"r\"}}",
	     true},
	    {ROLES, "{\"value\":{\"role\":\"r\"}}", "{\"claims\":{\"realm_access\":\"r\"}}", false},
	    {URL, "{\"value\":{\"id\":5}}", "{\"claims\":{\"https://a.example/x\":{\"id\":5}}}",
	     true},
	    {URL, "{\"value\":{\"id\":5}}", "{\"claims\":{\"https://a.example/x.id\":5}}", true},
	};
#undef URL
#undef ROLES
#undef OPEN
#undef TENANT

	(void)state;
	CHECK_TABLE(rows);
}

/* Text with variables stands for the string that they make. */
static void test_pattern_text_with_variables_matches_the_string(void **state)
{
#define TEXT     "{\"key\":[\"tenant-{claims.tenant}:{path.n}\"]}"
#define OPTIONAL "{\"key\":[\"x-{query.opt_x}\"]}"
	static const struct match_row rows[] = {
	    {TEXT, "{\"key\":\"tenant-a:7\"}", "{\"claims\":{\"tenant\":\"a\"},\"path\":{\"n\":7}}",
	     true},
	    {TEXT, "{\"key\":\"tenant-a:7\"}",
	     "{\"claims\":{\"tenant\":\"a\"},\"path\":{\"n\":7.0}}", true},
	    {TEXT, "{\"key\":\"tenant-a:0.1\"}",
	     "{\"claims\":{\"tenant\":\"a\"},\"path\":{\"n\":0.1}}", true},
	    {TEXT, "{\"key\":\"tenant-true:7\"}",
	     "{\"claims\":{\"tenant\":true},\"path\":{\"n\":7}}", true},
	    {TEXT, "{\"key\":\"tenant-b:8\"}",
	     "{\"claims\":{\"tenant\":[\"a\",\"b\"]},\"path\":{\"n\":[7,8]}}", true},
	    {TEXT, "{\"key\":\"tenant-b:9\"}",
	     "{\"claims\":{\"tenant\":[\"a\",\"b\"]},\"path\":{\"n\":[7,8]}}", false},
	    {TEXT, "{\"key\":\"tenant-null:7\"}",
	     "{\"claims\":{\"tenant\":null},\"path\":{\"n\":7}}", false},
	    {TEXT, "{\"key\":\"tenant-:7\"}", "{\"claims\":{\"tenant\":\"\"},\"path\":{\"n\":7}}",
	     true},
	    {TEXT, "{\"key\":\"tenant-:7\"}", "{\"path\":{\"n\":7}}", false},
	    {OPTIONAL, "{\"key\":\"anything\"}", "{}", true},
	    {OPTIONAL, "{\"key\":\"x-1\"}", "{\"query\":{\"opt_x\":1}}", true},
	    {OPTIONAL, "{\"key\":\"x-2\"}", "{\"query\":{\"opt_x\":1}}", false},
	    {"{\"key\":[\"{{{path.n}}}\"]}", "{\"key\":\"{7}\"}", "{\"path\":{\"n\":7}}", true},
	    {"{\"key\":[\"{path.a}{path.b}\"]}", "{\"key\":\"12\"}", "{\"path\":{\"a\":1,\"b\":2}}",
	     true},
	};
#undef OPTIONAL
#undef TEXT

	(void)state;
	CHECK_TABLE(rows);
}

/* An access rule is the same language over what the request brings. */
static void test_pattern_access_rule_matches_claims_with_the_path(void **state)
{
#define OWN   "{\"path\":{\"user\":[\"{claims.sub}\"]}}"
#define ADMIN "{\"claims\":{\"roles\":[\"admin\",\"root\"]}}"
	static const struct match_row rows[] = {
	    {OWN, "{\"path\":{\"user\":\"u\"}}", "{\"claims\":{\"sub\":\"u\"}}", true},
	    {OWN, "{\"path\":{\"user\":\"u\"}}", "{\"claims\":{\"sub\":\"v\"}}", false},
	    {OWN, "{\"path\":{\"user\":\"u\"}}", "{\"claims\":{}}", false},
	    {ADMIN, "{\"claims\":{\"roles\":[\"user\",\"admin\"]}}", NULL, true},
	    {ADMIN, "{\"claims\":{\"roles\":\"root\"}}", NULL, true},
	    {ADMIN, "{\"claims\":{\"roles\":[\"user\"]}}", NULL, false},
	    {ADMIN, "{\"claims\":{}}", NULL, false},
	};
#undef ADMIN
#undef OWN

	(void)state;
	CHECK_TABLE(rows);
}

static uint32_t count_event_keys(const char *pattern_text, const char *document_text, int expected)
{
	struct pattern *pattern = compile(pattern_text);
	json_t *document = parse(document_text);
	struct route_keys keys = {0};
	struct slice key;
	size_t at = 0;
	uint32_t count = 0;

	assert_int_equal(pattern_event_keys(pattern, document, &keys), expected);
	while (route_keys_next(&keys, &at, &key))
		count++;
	assert_int_equal(count, keys.count);
	route_keys_free(&keys);
	json_decref(document);
	pattern_free(pattern);
	return count;
}

/* The event side's tuples are the product over fields and the union over elements, each once. */
static void test_pattern_event_keys_are_counted_without_repeats(void **state)
{
	static const struct {
		const char *pattern;
		const char *document;
		uint32_t count;
	} rows[] = {
	    {"{\"value\":[1]}", "{\"value\":[1,1,1]}", 1},
	    {"{\"value\":[1]}", "{\"value\":2}", 0},
	    {"{\"value\":{\"a\":[1]}}", "{\"value\":[{\"a\":1},{\"a\":1}]}", 1},
	    {"{\"value\":[\"{path.x}\"]}", "{\"value\":\"a\"}", 1},
	    {"{\"value\":[\"{path.x}\"]}", "{\"value\":[\"a\",\"b\",\"a\",1,1.0,true,null]}", 5},
	    {"{\"value\":[\"{path.x}\"]}", "{}", 0},
	    {"{\"value\":[\"{path.x}\"]}", "{\"value\":{}}", 0},
	    {"{\"value\":[\"{query.opt_x}\"]}", "{}", 1},
	    {"{\"value\":[\"{query.opt_x}\"]}", "{\"value\":[1,2]}", 3},
	    {"{\"value\":{\"a\":[\"{path.x}\"],\"b\":[\"{path.y}\"]}}",
	     "{\"value\":{\"a\":[1,2],\"b\":[3,4,4]}}", 4},
	    {"{\"value\":{\"a\":[\"{path.x}\"],\"b\":[\"{path.y}\"]}}",
	     "{\"value\":[{\"a\":1,\"b\":3},{\"a\":2,\"b\":4},{\"a\":1,\"b\":3},{\"a\":5}]}", 2},
	    {"{\"value\":{\"a\":{\"c\":[\"{path.x}\"]},\"b\":[1]}}",
	     "{\"value\":{\"a\":[{\"c\":[1,2]},{\"c\":[2,3]}],\"b\":1}}", 3},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t count = count_event_keys(rows[i].pattern, rows[i].document, 0);

		if (count != rows[i].count)
			fail_msg("%s with %s: %u", rows[i].pattern, rows[i].document, count);
	}
}

/* `count` numbers from `from` on, each `times` times. The caller frees it. */
static char *number_list(const char *before, int from, int count, int times, const char *after)
{
	struct buffer text = {0};

	buffer_append_text(&text, before);
	for (int i = 0; i < count * times; i++)
		buffer_append_format(&text, "%s%d", i ? "," : "", from + i % count);
	buffer_append_text(&text, after);
	buffer_append(&text, "", 1);
	return text.base;
}

static void check_event_list(const char *pattern, char *document, int expected, uint32_t count)
{
	assert_int_equal(count_event_keys(pattern, document, expected), count);
	free(document);
}

/* The limit is on different tuples: repeats cost nothing, one too many refuses the event, unless
 * nothing matches anyway. */
static void test_pattern_event_keys_above_the_limit_are_refused(void **state)
{
	enum { MAX = PATTERN_MAX_ROUTE_KEYS };
	static const char one[] = "{\"value\":{\"a\":[\"{path.x}\"]}}";
	static const char guarded[] =
	    "{\"value\":{\"a\":[\"{path.x}\"],\"b\":[\"{path.y}\"],\"c\":[1]}}";

	(void)state;
	check_event_list(one, number_list("{\"value\":{\"a\":[", 0, MAX, 1, "]}}"), 0, MAX);
	check_event_list(one, number_list("{\"value\":{\"a\":[", 0, MAX, 9, "]}}"), 0, MAX);
	check_event_list(one, number_list("{\"value\":{\"a\":[", 0, MAX + 1, 1, "]}}"), ERROR_LIMIT,
			 0);
	check_event_list(one, number_list("{\"value\":{\"a\":[", 0, 9 * MAX, 1, "]}}"), ERROR_LIMIT,
			 0);
	check_event_list(guarded,
			 number_list("{\"value\":{\"b\":1,\"c\":1,\"a\":[", 0, MAX + 1, 1, "]}}"),
			 ERROR_LIMIT, 0);
	check_event_list(guarded,
			 number_list("{\"value\":{\"b\":1,\"c\":2,\"a\":[", 0, MAX + 1, 1, "]}}"),
			 0, 0);
	check_event_list(guarded, number_list("{\"value\":{\"c\":1,\"a\":[", 0, MAX + 1, 1, "]}}"),
			 0, 0);
	check_event_list(
	    guarded, number_list("{\"value\":{\"c\":1,\"b\":[1,2],\"a\":[", 0, MAX / 2, 1, "]}}"),
	    0, MAX);
	check_event_list(
	    guarded,
	    number_list("{\"value\":{\"c\":1,\"b\":[1,2],\"a\":[", 0, MAX / 2 + 1, 1, "]}}"),
	    ERROR_LIMIT, 0);
}

/* Long strings at a variable are bounded in bytes, where a few tuples would be enough to fill the
 * memory. */
static void test_pattern_event_keys_of_too_many_bytes_are_refused(void **state)
{
	struct buffer text = {0};

	(void)state;
	buffer_append_text(&text, "{\"value\":{\"a\":[1,2,3,4,5],\"b\":\"");
	for (int i = 0; i < PATTERN_MAX_ROUTE_KEY_BYTES / 4; i++)
		buffer_append(&text, "x", 1);
	buffer_append_text(&text, "\"}}");
	assert_int_equal(
	    count_event_keys("{\"value\":{\"b\":[\"{path.x}\"]}}", buffer_text(&text), 0), 1);
	count_event_keys("{\"value\":{\"a\":[\"{path.y}\"],\"b\":[\"{path.x}\"]}}",
			 buffer_text(&text), ERROR_LIMIT);
	buffer_free(&text);
}

/* Objects in an array are joined as they come, far beyond the limit as long as they repeat. */
static void test_pattern_event_keys_of_many_equal_elements_are_joined(void **state)
{
	json_t *elements = json_array(), *document;
	struct pattern *pattern = compile("{\"value\":{\"a\":[\"{path.x}\"]}}");
	struct route_keys keys = {0};

	(void)state;
	for (int i = 0; i < 20000; i++)
		json_array_append_new(elements, json_pack("{s:[ii]}", "a", i % 700, i % 500));
	document = json_pack("{s:o}", "value", elements);
	assert_int_equal(pattern_event_keys(pattern, document, &keys), 0);
	assert_int_equal(keys.count, 700);
	json_array_append_new(elements, parse("{\"a\":[-1]}"));
	assert_int_equal(pattern_event_keys(pattern, document, &keys), 0);
	assert_int_equal(keys.count, 701);
	json_decref(document);
	route_keys_free(&keys);
	pattern_free(pattern);
}

static void check_request(const char *pattern_text, char *variables_text, int expected,
			  uint32_t count)
{
	struct pattern *pattern = compile(pattern_text);
	json_t *variables = parse(variables_text);
	struct route_keys keys = {0};

	assert_int_equal(pattern_request_keys(pattern, variables, &keys), expected);
	assert_int_equal(keys.count, count);
	route_keys_free(&keys);
	json_decref(variables);
	pattern_free(pattern);
	free(variables_text);
}

/* A token's lists are held to the limit on the request side, where texts of several lists multiply.
 */
static void test_pattern_request_keys_above_the_limit_are_refused(void **state)
{
	enum { MAX = PATTERN_MAX_ROUTE_KEYS };
	static const char one[] = "{\"value\":[\"{claims.x}\"]}";
	static const char text[] = "{\"value\":[\"{claims.x}-{claims.x}\"]}";
	static const char texts[] =
	    "{\"value\":[\"{claims.x}{claims.x}{claims.x}{claims.x}{claims.y}\"]}";

	(void)state;
	check_request(one, number_list("{\"claims\":{\"x\":[", 0, MAX, 3, "]}}"), 0, MAX);
	check_request(one, number_list("{\"claims\":{\"x\":[", 0, MAX + 1, 1, "]}}"), ERROR_LIMIT,
		      0);
	check_request(text, number_list("{\"claims\":{\"x\":[", 0, 32, 1, "]}}"), 0, MAX);
	check_request(text, number_list("{\"claims\":{\"x\":[", 0, 33, 1, "]}}"), ERROR_LIMIT, 0);
	check_request(texts, number_list("{\"claims\":{\"y\":[],\"x\":[", 0, 1, 1000, "]}}"),
		      ERROR_LIMIT, 0);
}

/* Sets too large to compare pair by pair are compared the same. */
static void test_pattern_large_sets_intersect_exactly(void **state)
{
	static const char pattern[] = "{\"value\":[\"{claims.x}\"]}";
	char *document = number_list("{\"value\":[", 0, 1000, 1, "]}");
	char *touching = number_list("{\"claims\":{\"x\":[", 999, 1000, 1, "]}}");
	char *apart = number_list("{\"claims\":{\"x\":[", 1000, 1000, 1, "]}}");

	(void)state;
	check_match(&(struct match_row){pattern, document, touching, true});
	check_match(&(struct match_row){pattern, document, apart, false});
	free(document);
	free(touching);
	free(apart);
}

/* Replacing the keys of one event by those of the next needs no new memory. */
static void test_pattern_event_keys_reuse_a_warm_buffer(void **state)
{
	struct pattern *pattern =
	    compile("{\"topic\":[\"t\"],\"value\":{\"user\":[\"{path.user}\"]}}");
	json_t *document = parse("{\"topic\":\"t\",\"value\":{\"user\":\"user-4711\"}}");
	struct route_keys keys = {0};
	const char *base;
	size_t capacity;

	(void)state;
	assert_int_equal(pattern_event_keys(pattern, document, &keys), 0);
	base = keys.bytes.base;
	capacity = keys.bytes.capacity;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(pattern_event_keys(pattern, document, &keys), 0);
		assert_int_equal(keys.count, 1);
	}
	assert_ptr_equal(keys.bytes.base, base);
	assert_int_equal(keys.bytes.capacity, capacity);
	route_keys_free(&keys);
	json_decref(document);
	pattern_free(pattern);
}

/* The order of fields in the source does not change a tuple's bytes. */
static void test_pattern_key_bytes_do_not_depend_on_source_order(void **state)
{
	struct pattern *a =
	    compile("{\"key\":[\"{path.k}\"],\"value\":{\"x\":[\"{path.x}\"],\"c\":[1]}}");
	struct pattern *b =
	    compile("{\"value\":{\"c\":[1],\"x\":[\"{path.x}\"]},\"key\":[\"{path.k}\"]}");
	json_t *document = parse("{\"key\":\"k\",\"value\":{\"c\":1,\"x\":2}}");
	struct route_keys keys_a = {0}, keys_b = {0};

	(void)state;
	assert_int_equal(pattern_event_keys(a, document, &keys_a), 0);
	assert_int_equal(pattern_event_keys(b, document, &keys_b), 0);
	assert_int_equal(keys_a.count, 1);
	assert_true(slice_equal(buffer_slice(&keys_a.bytes), buffer_slice(&keys_b.bytes)));
	route_keys_free(&keys_a);
	route_keys_free(&keys_b);
	json_decref(document);
	pattern_free(a);
	pattern_free(b);
}

/* A pattern says which fields it looks at, and whether under them. */
static void test_pattern_looks_at_its_top_level_fields(void **state)
{
	struct pattern *pattern = compile("{\"key\":[\"k\"],\"value\":{\"a\":[\"{path.x}\"]}}");
	struct pattern *constant = compile("{\"key\":[\"k\"]}");
	bool below = true;

	(void)state;
	assert_true(pattern_looks_at(pattern, "key", &below));
	assert_false(below);
	assert_true(pattern_looks_at(pattern, "value", &below));
	assert_true(below);
	assert_true(pattern_looks_at(pattern, "value", NULL));
	assert_false(pattern_looks_at(pattern, "topic", &below));
	assert_true(pattern_has_variables(pattern));
	assert_false(pattern_has_variables(constant));
	pattern_free(pattern);
	pattern_free(constant);
	pattern_free(NULL);
}

/* Whatever is asked of what is unknown holds, unless it has to say whose the event is; what is
 * known decides as ever. */
static void test_pattern_unknown_holds_but_says_nothing_of_variables(void **state)
{
	static const struct {
		const char *pattern; /* the key is "k", the value unknown */
		int rc;
		uint32_t count;
	} rows[] = {
	    {"{\"value\":[1]}", 0, 1},
	    {"{\"value\":{\"a\":{\"b\":[{\"exists\":false}]}}}", 0, 1},
	    {"{\"value\":{\"a\":[{\"anything-but\":[\"x\"]}]},\"key\":[\"k\"]}", 0, 1},
	    {"{\"value\":{\"a\":[1]},\"key\":[\"x\"]}", 0, 0},
	    {"{\"value\":{\"a\":[1]},\"key\":[\"{path.a}\"]}", 0, 1},
	    {"{\"$or\":[{\"key\":[\"x\"]},{\"value\":{\"a\":[1]}}]}", 0, 1},
	    {"{\"$or\":[{\"key\":[\"{path.a}\"]},{\"value\":{\"a\":[1]}}]}", 0, 2},
	    {"{\"value\":[\"{path.a}\"]}", ERROR_INVALID, 0},
	    {"{\"value\":{\"a\":[\"{query.opt}\"]}}", ERROR_INVALID, 0},
	    {"{\"value\":{\"a\":[{\"prefix\":\"{path.a}\"}]}}", ERROR_INVALID, 0},
	    {"{\"value\":[\"{path.a}\"],\"key\":[\"x\"]}", 0, 0},
	    {"{\"$or\":[{\"key\":[\"k\"]},{\"value\":{\"a\":[\"{path.a}\"]}}]}", ERROR_INVALID, 0},
	};
	json_t *document = json_pack("{s:s, s:o}", "key", "k", "value", pattern_unknown());
	struct route_keys keys = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pattern *pattern = compile(rows[i].pattern);
		int rc = pattern_event_keys(pattern, document, &keys);

		if (rc != rows[i].rc || keys.count != rows[i].count)
			fail_msg("%s: %d, %u keys", rows[i].pattern, rc, keys.count);
		pattern_free(pattern);
	}
	route_keys_free(&keys);
	json_decref(document);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pattern_constants_match_equal_values),
	    cmocka_unit_test(test_pattern_numbers_match_by_value),
	    cmocka_unit_test(test_pattern_objects_match_where_all_fields_do),
	    cmocka_unit_test(test_pattern_arrays_match_by_one_element),
	    cmocka_unit_test(test_pattern_variables_match_the_requests_value),
	    cmocka_unit_test(test_pattern_variables_in_an_array_match_in_one_element),
	    cmocka_unit_test(test_pattern_optional_variable_left_out_drops_the_condition),
	    cmocka_unit_test(test_pattern_claims_match_as_scalars_and_lists),
	    cmocka_unit_test(test_pattern_text_with_variables_matches_the_string),
	    cmocka_unit_test(test_pattern_access_rule_matches_claims_with_the_path),
	    cmocka_unit_test(test_pattern_event_keys_are_counted_without_repeats),
	    cmocka_unit_test(test_pattern_event_keys_above_the_limit_are_refused),
	    cmocka_unit_test(test_pattern_event_keys_of_too_many_bytes_are_refused),
	    cmocka_unit_test(test_pattern_event_keys_of_many_equal_elements_are_joined),
	    cmocka_unit_test(test_pattern_request_keys_above_the_limit_are_refused),
	    cmocka_unit_test(test_pattern_large_sets_intersect_exactly),
	    cmocka_unit_test(test_pattern_event_keys_reuse_a_warm_buffer),
	    cmocka_unit_test(test_pattern_key_bytes_do_not_depend_on_source_order),
	    cmocka_unit_test(test_pattern_looks_at_its_top_level_fields),
	    cmocka_unit_test(test_pattern_unknown_holds_but_says_nothing_of_variables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
