/*
 * fuzz_pattern: pattern JSON, a NUL or newline, event JSON. The event's and the request's route
 * keys must meet exactly where a naive reading of the pattern, with the variables put in, holds.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "event/pattern.h"
#include "event/pattern_weight_priv.h"

/* Two requests: one that brings everything, one that lacks what it may lack and a claim. */
static const char *const requests[] = {
    "{\"path\":{\"x\":\"a\",\"n\":1},\"query\":{\"opt\":\"b\"},\"claims\":{\"l\":[\"a\",1,null,["
    "true]],\"s\":\"c\"},\"at-least\":{\"path.n\":[1,3],\"query.opt\":[\"b\",\"a\"]}}",
    "{\"path\":{\"x\":\"b\",\"n\":2.5},\"claims\":{\"l\":[]},\"at-least\":{\"path.n\":[2.5]}}",
};

static int find(void *context, struct slice name, enum pattern_variable_type *type, bool *optional)
{
	static const char *const known[] = {
	    "path.x",   "path.n",          "query.opt",         "claims.l",
	    "claims.s", "at-least.path.n", "at-least.query.opt"};

	(void)context;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!slice_equal(name, slice_of(known[i])))
			continue;
		*type = PATTERN_ANY;
		*optional = strstr(known[i], "query.") != NULL;
		return 0;
	}
	return ERROR_NOT_FOUND;
}

/* x87's 64-bit mantissa holds int64 and double alike, so this is another way to the same order. */
static bool equal_numbers(const json_t *a, const json_t *b)
{
	long double x =
	    json_is_integer(a) ? (long double)json_integer_value(a) : json_real_value(a);
	long double y =
	    json_is_integer(b) ? (long double)json_integer_value(b) : json_real_value(b);

	return x == y;
}

static bool equal_scalars(const json_t *a, const json_t *b)
{
	if (json_is_number(a) && json_is_number(b))
		return equal_numbers(a, b);
	if (json_is_object(a) || json_is_object(b) || json_is_array(a) || json_is_array(b))
		return false;
	return json_equal(a, b);
}

/* `event` may be an array of arrays: any scalar in it counts. */
static bool any_is(const json_t *event, const json_t *wanted)
{
	for (size_t i = 0; i < json_array_size(event); i++)
		if (any_is(json_array_get(event, i), wanted))
			return true;
	return event && equal_scalars(event, wanted);
}

static bool any_is_any(const json_t *event, const json_t *wanted)
{
	for (size_t i = 0; i < json_array_size(wanted); i++)
		if (any_is_any(event, json_array_get(wanted, i)))
			return true;
	return any_is(event, wanted);
}

enum verdict { NO, YES, LEFT_OUT, LACKING };

/* What the variable that is all of `text` stands for. `*whole` is false where the text is none. */
static const json_t *resolve(const char *text, const json_t *variables, bool *whole, bool *optional)
{
	static const struct {
		const char *text, *root, *name;
	} known[] = {
	    {"{path.x}", "path", "x"},       {"{path.n}", "path", "n"},
	    {"{query.opt}", "query", "opt"}, {"{claims.l}", "claims", "l"},
	    {"{claims.s}", "claims", "s"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(text, known[i].text))
			continue;
		*whole = true;
		*optional = known[i].text[1] == 'q';
		return json_object_get(json_object_get(variables, known[i].root), known[i].name);
	}
	*whole = false;
	return NULL;
}

/* The variable between the braces of {"at-least": "{query.opt}"}; NULL: it is something else. */
static json_t *at_least(const json_t *value)
{
	const char *text = json_string_value(json_object_get(value, "at-least"));

	return text && json_object_size(value) == 1 ? json_stringn(text + 1, strlen(text) - 2)
						    : NULL;
}

static const json_t *resolve_at_least(const json_t *value, const json_t *variables, bool *whole,
				      bool *optional)
{
	json_t *name = at_least(value);
	const json_t *wanted =
	    json_object_get(json_object_get(variables, "at-least"), json_string_value(name));

	*whole = name != NULL;
	*optional = name && json_string_value(name)[0] == 'q';
	json_decref(name);
	return wanted;
}

static enum verdict naive_value(const json_t *value, const json_t *event, const json_t *variables)
{
	bool whole = false, optional = false;
	const json_t *wanted = json_is_string(value)
				   ? resolve(json_string_value(value), variables, &whole, &optional)
				   : resolve_at_least(value, variables, &whole, &optional);

	if (!whole)
		return any_is(event, value) ? YES : NO;
	if (!wanted)
		return optional ? LEFT_OUT : LACKING;
	return any_is_any(event, wanted) ? YES : NO;
}

static enum verdict naive_leaf(const json_t *list, const json_t *event, const json_t *variables)
{
	enum verdict all = NO;

	for (size_t i = 0; i < json_array_size(list); i++) {
		enum verdict one = naive_value(json_array_get(list, i), event, variables);

		all = one > all ? one : all;
	}
	return all;
}

static bool naive_holds(json_t *pattern, const json_t *event, const json_t *variables);

static bool naive_fields(json_t *pattern, const json_t *event, const json_t *variables)
{
	const char *name;
	json_t *below;

	json_object_foreach(
	    pattern, name,
	    below) if (!naive_holds(below, json_object_get(event, name), variables)) return false;
	return true;
}

static bool naive_holds(json_t *pattern, const json_t *event, const json_t *variables)
{
	if (json_is_array(pattern)) {
		enum verdict verdict = naive_leaf(pattern, event, variables);

		return verdict == YES || verdict == LEFT_OUT;
	}
	if (!json_array_size(event))
		return naive_fields(pattern, event, variables);
	for (size_t i = 0; i < json_array_size(event); i++)
		if (naive_holds(pattern, json_array_get(event, i), variables))
			return true;
	return false;
}

/* Text with variables, and braces, is beyond the naive reading. */
static bool is_plain(json_t *pattern)
{
	const char *name;
	json_t *below;
	bool whole = true, optional;

	json_object_foreach(pattern, name, below) if (!is_plain(below)) return false;
	for (size_t i = 0; i < json_array_size(pattern); i++)
		if (!is_plain(json_array_get(pattern, i)))
			return false;
	if (!json_is_string(pattern) || !strpbrk(json_string_value(pattern), "{}"))
		return true;
	resolve(json_string_value(pattern), NULL, &whole, &optional);
	return whole;
}

static void check_no_repeats(const struct route_keys *keys)
{
	struct slice a, b;
	size_t at = 0;
	uint32_t count = 0;

	for (; route_keys_next(keys, &at, &a); count++)
		for (size_t other = at; route_keys_next(keys, &other, &b);)
			assert(!slice_equal(a, b));
	assert(count == keys->count && count <= PATTERN_MAX_ROUTE_KEYS);
}

/* An operator or "$or": beyond the naive reading, too. */
static bool has_operators(json_t *pattern)
{
	const char *name;
	json_t *below;

	json_object_foreach(pattern, name, below)
	{
		if (!strcmp(name, "$or") || has_operators(below))
			return true;
	}
	for (size_t i = 0; i < json_array_size(pattern); i++)
		if (json_is_object(json_array_get(pattern, i)) &&
		    !json_object_get(json_array_get(pattern, i), "at-least"))
			return true;
	return false;
}

/* What a weight is multiplied with. */
static uint64_t size_of(const json_t *json)
{
	uint64_t size = 1 + json_string_length(json) / PATTERN_STEP_BYTES;
	json_t *object = (json_t *)(uintptr_t)json, *member;
	const char *name;

	for (size_t i = 0; i < json_array_size(json); i++)
		size += size_of(json_array_get(json, i));
	json_object_foreach(object, name, member) size += size_of(member);
	return size;
}

/* However it is made, a pattern takes no more steps than its weight allows. */
static void check_steps(const struct pattern *pattern, const json_t *event)
{
	uint64_t bound = pattern_weight(pattern) * size_of(event), before = pattern_steps;
	struct route_keys keys = {0};

	(void)!pattern_event_keys(pattern, event, &keys);
	assert(pattern_steps - before <= bound);
	route_keys_free(&keys);
	before = pattern_steps;
	if (!pattern_has_variables(pattern))
		(void)pattern_holds(pattern, event);
	assert(pattern_steps - before <= bound);
}

/* Binding is another way to the same answer; keys never miss what it finds. */
static void check_bound(const struct pattern *pattern, const json_t *event, const json_t *variables,
			bool meet)
{
	struct pattern_error error = {"unset", "unset"};
	struct pattern *bound = NULL;
	bool holds;

	if (!pattern_has_variables(pattern)) {
		assert(pattern_holds(pattern, event) == meet);
		return;
	}
	switch (pattern_bind(pattern, variables, &bound, &error)) {
	case 0:
		check_steps(bound, event);
		holds = pattern_holds(bound, event);
		assert(pattern_is_inexact(pattern) ? meet || !holds : meet == holds);
		pattern_free(bound);
		break;
	case ERROR_NOT_FOUND:
		assert(pattern_is_inexact(pattern) || !meet);
		break;
	default:
		assert(error.reason[0] != 'u');
	}
}

static void check_request(const struct pattern *pattern, json_t *source, const json_t *event,
			  const json_t *variables)
{
	struct route_keys event_keys = {0}, request_keys = {0};
	int event_rc = pattern_event_keys(pattern, event, &event_keys);
	int request_rc = pattern_request_keys(pattern, variables, &request_keys);
	bool meet = route_keys_intersect(&event_keys, &request_keys);

	check_no_repeats(&event_keys);
	check_no_repeats(&request_keys);
	assert(pattern_is_inexact(pattern) ? meet || !pattern_matches(pattern, event, variables)
					   : pattern_matches(pattern, event, variables) == meet);
	if (!event_rc && !request_rc)
		check_bound(pattern, event, variables, meet);
	if (!pattern_has_variables(pattern))
		assert(!event_rc && !request_rc && event_keys.count <= 1 &&
		       request_keys.count == 1);
	if (!event_rc && !request_rc && is_plain(source) && !has_operators(source))
		assert(naive_holds(source, event, variables) == meet);
	route_keys_free(&event_keys);
	route_keys_free(&request_keys);
}

static void check(json_t *source, const json_t *event)
{
	const struct pattern_scope scope = {.find = find};
	struct pattern_error error = {"unset", "unset"};
	struct pattern *pattern = NULL;

	if (pattern_compile(source, &scope, &pattern, &error)) {
		assert(!pattern && error.pointer[0] != 'u' && error.reason[0]);
		return;
	}
	check_steps(pattern, event);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		json_t *variables = json_loads(requests[i], 0, NULL);

		check_request(pattern, source, event, variables);
		json_decref(variables);
	}
	pattern_free(pattern);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
	const char *text = (const char *)data;
	size_t end = 0;
	json_t *source, *event;

	while (end < size && text[end] != '\0' && text[end] != '\n')
		end++;
	if (end == size)
		return 0;
	source = json_loadb(text, end, flags, NULL);
	event = json_loadb(text + end + 1, size - end - 1, flags, NULL);
	if (source && event)
		check(source, event);
	json_decref(source);
	json_decref(event);
	return 0;
}
