/*
 * The worst patterns that the limits allow, with the worst events for them. What they cost is
 * counted in steps (gateway/event/pattern_weight_priv.h), which no load of the machine changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "event/document.h"
#include "event/pattern_weight_priv.h"
#include "event/user_filter.h"
#include "pattern_scope.h"

enum { CLIENT_BYTES = 4096, EVENT_BYTES = 128 * 1024 };

/* `repeated`, with each # in it the number of the repetition, between two texts. */
static void repeat(const char *before, const char *repeated, size_t times, const char *after,
		   struct buffer *out)
{
	buffer_clear(out);
	buffer_append_text(out, before);
	for (size_t i = 0; i < times; i++)
		for (const char *at = repeated; *at; at++) {
			if (*at == '#')
				buffer_append_format(out, "%zu", i);
			else
				buffer_append(out, at, 1);
		}
	buffer_append_text(out, after);
}

/* What a weight is multiplied with. */
static uint64_t size_of(const json_t *json)
{
	uint64_t size =
	    1 + (json_is_string(json) ? json_string_length(json) / PATTERN_STEP_BYTES : 0);
	const char *name;
	json_t *member;

	for (size_t i = 0; i < json_array_size(json); i++)
		size += size_of(json_array_get(json, i));
	json_object_foreach((json_t *)(uintptr_t)json, name, member) size += size_of(member);
	return size;
}

struct row {
	const char *before, *repeated, *after; /* the pattern */
	const char *value_before, *value_repeated, *value_after;
};

#define TEXT_70  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define INTEGERS "[", "1,", "1]"
#define TEXTS    "[", "\"a\",", "1]"
#define OBJECTS  "[", "{},", "{}]"

static const struct row rows[] = {
    /* Many alternatives, side by side and one in the other. */
    {"{\"$or\":[", "{\"value\":[2]},", "{\"value\":[3]}]}", INTEGERS},
    {"{\"value\":{\"$or\":[", "{\"a\":[2]},", "{\"b\":[3]}]}}", OBJECTS},
    {"{\"value\":{\"$or\":[", "{\"a\":{\"b\":{\"c\":[{\"exists\":false}]}},\"d\":[1]},",
     "{\"b\":[3]}]}}", OBJECTS},
    /* Operators in one list: numbers, short and long texts, texts that almost match. */
    {"{\"value\":[", "{\"numeric\":[\"<\",0]},", "9]}", INTEGERS},
    {"{\"value\":[", "{\"anything-but\":[1,#]},", "9]}", INTEGERS},
    {"{\"value\":[{\"anything-but\":{\"prefix\":[", "\"b\",", "\"a\"]}}]}", TEXTS},
    {"{\"value\":[{\"anything-but\":{\"suffix\":[", "\"b\",", "\"a\"]}}]}", TEXTS},
    {"{\"value\":[{\"anything-but\":{\"equals-ignore-case\":[", "\"b\",", "\"A\"]}}]}", TEXTS},
    {"{\"value\":[{\"anything-but\":{\"wildcard\":[", "\"*b*\",", "\"*a\"]}}]}", TEXTS},
    {"{\"value\":[{\"anything-but\":{\"wildcard\":[", "\"*a*a*a*a*a*a*a*a*a*a*a*a*b\",",
     "\"*a\"]}}]}", "[", "\"" TEXT_70 "\",", "1]"},
    {"{\"value\":[", "{\"wildcard\":\"*a*a*a*b" TEXT_70 "*\"},", "9]}", "\"", "a", "\""},
    {"{\"value\":[", "{\"wildcard\":\"*" TEXT_70 "b" TEXT_70 "*\"},", "9]}", "\"", "a", "\""},
    {"{\"value\":[", "{\"suffix\":{\"equals-ignore-case\":\"b" TEXT_70 "\"}},", "9]}", "[",
     "\"" TEXT_70 "A\",", "1]"},
    {"{\"value\":[", "{\"equals-ignore-case\":\"" TEXT_70 "b\"},", "9]}", "[", "\"" TEXT_70 "\",",
     "1]"},
    {"{\"value\":[", "{\"cidr\":\"1::/16\"},", "9]}", "[", "\"::1\",", "1]"},
    {"{\"value\":[", "{\"cidr\":\"9.9.9.9/8\"},", "9]}", "[", "\"10.1.2.3\",", "1]"},
    /* What a list of constants costs grows with its logarithm. */
    {"{\"value\":[", "1#,", "9]}", INTEGERS},
    {"{\"value\":[", "\"1#\",", "9]}", TEXTS},
    /* Conditions that hold where there is nothing, so that an empty object costs them all. */
    {"{\"value\":{", "\"f#\":[{\"exists\":false}],", "\"zz\":[1]}}", OBJECTS},
    {"{\"value\":{", "\"f#\":[{\"exists\":false}],", "\"zz\":[1]}}", INTEGERS},
    {"{\"value\":{", "\"f#\":{\"a\":{\"b\":[{\"exists\":false}]}},", "\"zz\":[1]}}", OBJECTS},
    {"{\"value\":{\"a\":[1],", "\"f#\":[{\"exists\":false}],", "\"zz\":[1]}}", "[", "{\"a\":1},",
     "1]"},
    /* A name that is hashed for each object. */
    {"{\"value\":{\"", "n", "\":[1]}}", "[", "{\"a\":1},", "1]"},
    /* Arrays in arrays, and objects in them, on which a way back would multiply. */
    {"{\"value\":{\"$or\":[", "{\"a\":{\"b\":[2],\"c\":[2]}},", "{\"a\":{\"b\":[3],\"c\":[3]}}]}}",
     "[", "{\"a\":[[{\"b\":2},{\"c\":2}],[{\"b\":3}]]},", "1]"},
    {"{\"value\":[", "{\"anything-but\":1},", "9]}", "[", "[[[[1]]]],", "1]"},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

/* NULL: it is refused. */
static struct pattern *compile_row(const struct row *row, size_t times, bool client)
{
	struct buffer text = {0};
	struct pattern_error error;
	struct pattern *pattern = NULL;
	json_t *source;

	repeat(row->before, row->repeated, times, row->after, &text);
	if (client) {
		if (text.len > CLIENT_BYTES ||
		    user_filter_compile(buffer_slice(&text), &pattern, &error))
			pattern = NULL;
	} else {
		source = json_loadb(text.base, text.len, 0, NULL);
		assert_non_null(source);
		if (pattern_compile(source, NULL, &pattern, &error))
			pattern = NULL;
		json_decref(source);
	}
	buffer_free(&text);
	return pattern;
}

/* With as many repetitions as the limits allow. */
static struct pattern *compile_largest(const struct row *row, bool client)
{
	size_t bytes = client ? CLIENT_BYTES : PATTERN_MAX_BYTES;
	size_t low = 0, high = bytes / strlen(row->repeated) + 1;

	while (low + 1 < high) {
		size_t middle = (low + high) / 2;
		struct pattern *pattern = compile_row(row, middle, client);

		*(pattern ? &low : &high) = middle;
		pattern_free(pattern);
	}
	assert_in_range(low, 1, bytes);
	return compile_row(row, low, client);
}

static json_t *build_event(const struct row *row, size_t bytes)
{
	struct buffer text = {0}, value = {0};
	json_t *event;

	repeat(row->value_before, row->value_repeated, bytes / strlen(row->value_repeated),
	       row->value_after, &value);
	buffer_append_text(&text, "{\"value\":");
	buffer_append_slice(&text, buffer_slice(&value));
	buffer_append_text(&text, "}");
	event = document_parse(buffer_slice(&text));
	assert_non_null(event);
	assert_in_range(size_of(event), 1, text.len / 2);
	buffer_free(&value);
	buffer_free(&text);
	return event;
}

/* The bound holds, and the row comes near to it: it is a bad one indeed. */
static void check_row(size_t number, bool client, size_t bytes)
{
	struct pattern *pattern = compile_largest(&rows[number], client);
	json_t *event = build_event(&rows[number], bytes);
	uint64_t bound = pattern_weight(pattern) * size_of(event), steps = pattern_steps;

	(void)pattern_holds(pattern, event);
	steps = pattern_steps - steps;
	if (steps > bound || steps < bound / 8)
		fail_msg("row %zu takes %llu steps of %llu, with a weight of %u", number,
			 (unsigned long long)steps, (unsigned long long)bound,
			 pattern_weight(pattern));
	json_decref(event);
	pattern_free(pattern);
}

/* Of what a client may send, nothing takes more steps than a fixed number for each byte. */
static void test_pattern_worst_client_filters_are_bounded_by_their_weight(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++)
		check_row(i, true, EVENT_BYTES);
}

/* The largest event that streams take by default. */
static void test_pattern_worst_client_filter_with_a_large_event_is_bounded(void **state)
{
	(void)state;
	check_row(0, true, 1024 * 1024);
}

/* What stands in a configuration may be more, and is bounded likewise. */
static void test_pattern_worst_configured_patterns_are_bounded_by_their_weight(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS; i++)
		check_row(i, false, EVENT_BYTES / 16);
}

static struct pattern *compile_text(const char *text)
{
	json_t *source = json_loads(text, 0, NULL);
	struct pattern_error error;
	struct pattern *pattern = NULL;

	if (pattern_compile(source, &test_scope, &pattern, &error))
		fail_msg("%s: %s", text, error.reason);
	json_decref(source);
	return pattern;
}

/* A weight is that of the place to which the most nodes look, with what each of them may do. */
static void test_pattern_worst_weight_is_what_one_value_may_cost(void **state)
{
	static const struct {
		const char *pattern;
		unsigned weight;
	} table[] = {
	    {"{\"value\":[1]}", 3},
	    {"{\"value\":[1,2,3,4,5,6,7]}", 5},
	    {"{\"value\":[1],\"key\":[1],\"topic\":[1]}", 3},
	    {"{\"value\":{\"a\":[1],\"b\":[1],\"c\":[1]}}", 5},
	    {"{\"value\":{\"a\":[{\"exists\":false}],\"b\":[{\"exists\":false}],\"c\":[1]}}", 9},
	    {"{\"value\":[{\"prefix\":\"a\"},{\"prefix\":\"b\"}]}", 4},
	    {"{\"value\":[{\"wildcard\":\"a*\"},{\"wildcard\":\"b*\"}]}", 10},
	    {"{\"value\":[{\"anything-but\":{\"wildcard\":[\"a*\",\"b*\"]}}]}", 11},
	    {"{\"$or\":[{\"value\":[1]},{\"value\":[1]},{\"value\":[1]},{\"key\":[1]}]}", 13},
	    {"{\"value\":{\"$or\":[{\"a\":{\"b\":[1]}},{\"a\":{\"b\":[2]}}],\"a\":{\"b\":[3]}}}",
	     17},
	    {"{\"$or\":[{\"value\":[{\"wildcard\":\"a*\"}]},{\"value\":[{\"wildcard\":\"b*\"}]}]}",
	     12},
	    {"{\"value\":[\"{path.x}\",{\"prefix\":\"a\"},{\"prefix\":\"b\"}]}", 6},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct pattern *pattern = compile_text(table[i].pattern);

		if (pattern_weight(pattern) != table[i].weight)
			fail_msg("%s weighs %u", table[i].pattern, pattern_weight(pattern));
		pattern_free(pattern);
	}
}

static int try_prefixes(size_t count, bool client, struct pattern_error *error)
{
	struct buffer text = {0};
	struct pattern *pattern = NULL;
	json_t *source;
	int rc;

	repeat("{\"value\":[{\"anything-but\":{\"prefix\":[", "\"#\",", count - 1, "\"a\"]}}]}",
	       &text);
	source = json_loadb(text.base, text.len, 0, NULL);
	rc = client ? user_filter_compile(buffer_slice(&text), &pattern, error)
		    : pattern_compile(source, NULL, &pattern, error);
	pattern_free(pattern);
	json_decref(source);
	buffer_free(&text);
	return rc;
}

/* At the limit a pattern is taken, above it it is refused with what would be right. */
static void test_pattern_worst_weight_above_the_limit_is_refused(void **state)
{
	enum { OTHERS = 3 }; /* the look-up, the leaf, "anything-but" itself */
	struct pattern_error error = {"", ""};

	(void)state;
	assert_int_equal(try_prefixes(USER_FILTER_MAX_WEIGHT - OTHERS, true, &error), 0);
	assert_int_equal(try_prefixes(USER_FILTER_MAX_WEIGHT - OTHERS + 1, true, &error),
			 ERROR_LIMIT);
	assert_string_equal(error.pointer, "");
	assert_string_equal(error.reason, "it may take 65 steps for each value of an event, and 64 "
					  "at most: take fewer operators for one field, or fewer "
					  "alternatives");
	assert_int_equal(try_prefixes(PATTERN_MAX_WEIGHT - OTHERS, false, &error), 0);
	assert_int_equal(try_prefixes(PATTERN_MAX_WEIGHT - OTHERS + 1, false, &error), ERROR_LIMIT);
	assert_string_equal(error.pointer, "");
	assert_non_null(strstr(error.reason, "1025 steps"));
}

/* What an event's route keys take: the result, the steps of the pattern, the work on the sets. */
static void check_event_keys(const char *pattern_text, json_t *event, int expected)
{
	/* What is over when it is noticed: one product, or one set. */
	enum { LAST = PATTERN_MAX_ROUTE_KEYS + 3 * PATTERN_MAX_ROUTE_KEY_BYTES / 64 };
	struct pattern *pattern = compile_text(pattern_text);
	struct route_keys keys = {0};
	uint64_t steps = pattern_steps;

	assert_int_equal(pattern_event_keys(pattern, event, &keys), expected);
	assert_in_range(pattern_steps - steps, 1, pattern_weight(pattern) * size_of(event));
	assert_in_range(keys.work, expected ? PATTERN_MAX_ROUTE_KEY_WORK : 0,
			PATTERN_MAX_ROUTE_KEY_WORK + LAST);
	route_keys_free(&keys);
	pattern_free(pattern);
	json_decref(event);
}

static json_t *event_of(const char *before, const char *repeated, size_t times, const char *after)
{
	struct buffer text = {0};
	json_t *event;

	repeat(before, repeated, times, after, &text);
	event = document_parse(buffer_slice(&text));
	assert_non_null(event);
	buffer_free(&text);
	return event;
}

/* Products of lists, which repeat so that no limit on the outcome ends them; long texts that are
 * joined again and again. */
static void test_pattern_worst_route_keys_of_an_event_are_bounded(void **state)
{
	static const char one[] = "{\"value\":[\"{path.x}\"]}";
	static const char two[] = "{\"value\":{\"a\":[\"{path.x}\"],\"b\":[\"{path.y}\"]}}";
	static const char lists[] = "{\"a\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15],"
				    "\"b\":[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]},";
	static const char text[] =
	    "\"#-" TEXT_70 TEXT_70 TEXT_70 TEXT_70 TEXT_70 TEXT_70 TEXT_70 "\",";
	struct buffer texts = {0};

	(void)state;
	check_event_keys(two, event_of("{\"value\":[", lists, 500, "1]}"), 0);
	check_event_keys(two, event_of("{\"value\":[", lists, 9000, "1]}"), ERROR_LIMIT);
	check_event_keys(one, event_of("{\"value\":[", "1,", 500000, "1]}"), 0);
	repeat("{\"value\":[", text, 1000, "", &texts);
	check_event_keys(one, event_of(buffer_text(&texts), "1,", 5000, "1]}"), 0);
	check_event_keys(one, event_of(buffer_text(&texts), "1,", 100000, "1]}"), ERROR_LIMIT);
	buffer_free(&texts);
}

/* A walk for route keys takes no more steps than a plain match may. */
static void test_pattern_worst_walks_for_route_keys_are_bounded_by_the_weight(void **state)
{
	struct buffer text = {0};

	(void)state;
	repeat("{\"value\":[\"{path.x}\",", "{\"prefix\":\"b\"},", 300, "9]}", &text);
	check_event_keys(buffer_text(&text), event_of("{\"value\":[", "\"a\",", 1000, "1]}"), 0);
	repeat("{\"value\":{", "\"f#\":[\"{query.opt1}\",{\"prefix\":\"b\"}],", 200,
	       "\"zz\":[\"{query.opt2}\"]}}", &text);
	check_event_keys(buffer_text(&text), event_of("{\"value\":[", "1,", 300, "1]}"), 0);
	buffer_free(&text);
}

/* A token's lists multiply in a text; where the last one is empty, there is no text to count. */
static void test_pattern_worst_bound_texts_of_many_lists_are_refused(void **state)
{
	struct pattern *pattern = compile_text(
	    "{\"key\":[{\"prefix\":\"{claims.x}{claims.x}{claims.x}{claims.x}{claims.y}\"}]}");
	json_t *variables = event_of("{\"claims\":{\"y\":[],\"x\":[", "\"#\",", 1000, "\"a\"]}}");
	struct pattern_error error = {"", ""};
	struct pattern *bound = NULL;

	(void)state;
	assert_int_equal(pattern_bind(pattern, variables, &bound, &error), ERROR_LIMIT);
	assert_non_null(strstr(error.reason, "too many combinations"));
	assert_null(bound);
	json_decref(variables);
	pattern_free(pattern);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pattern_worst_client_filters_are_bounded_by_their_weight),
	    cmocka_unit_test(test_pattern_worst_client_filter_with_a_large_event_is_bounded),
	    cmocka_unit_test(test_pattern_worst_configured_patterns_are_bounded_by_their_weight),
	    cmocka_unit_test(test_pattern_worst_weight_is_what_one_value_may_cost),
	    cmocka_unit_test(test_pattern_worst_weight_above_the_limit_is_refused),
	    cmocka_unit_test(test_pattern_worst_route_keys_of_an_event_are_bounded),
	    cmocka_unit_test(test_pattern_worst_walks_for_route_keys_are_bounded_by_the_weight),
	    cmocka_unit_test(test_pattern_worst_bound_texts_of_many_lists_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
