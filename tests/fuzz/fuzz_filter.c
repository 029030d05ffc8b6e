/*
 * fuzz_filter: a request's query string, a NUL or newline, an event. What ?filter= holds is
 * decoded, compiled and matched as a stream does it, and takes no more steps than its weight
 * allows.
 */
#include <assert.h>
#include <stdint.h>

#include "event/document.h"
#include "event/pattern_weight_priv.h"
#include "event/percent.h"
#include "event/user_filter.h"

/* As much as a stream takes (http/stream_filter_priv.h). */
enum { MAX_BYTES = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a weight is multiplied with. */
static uint64_t size_of(json_t *json)
{
	uint64_t size = 1 + json_string_length(json) / PATTERN_STEP_BYTES;
	const char *name;
	json_t *member;

	for (size_t i = 0; i < json_array_size(json); i++)
		size += size_of(json_array_get(json, i));
	json_object_foreach(json, name, member) size += size_of(member);
	return size;
}

static void check_steps(const struct pattern *pattern, json_t *event)
{
	struct route_keys keys = {0};
	uint64_t before = pattern_steps, bound = pattern_weight(pattern) * size_of(event);
	bool holds = pattern_holds(pattern, event);

	assert(pattern_steps - before <= bound);
	before = pattern_steps;
	assert(pattern_event_keys(pattern, event, &keys) == 0 && keys.count == holds);
	assert(pattern_steps - before <= bound);
	route_keys_free(&keys);
}

static void check_filter(struct slice text, json_t *event)
{
	struct pattern_error error = {"?", "?"};
	struct pattern *pattern = NULL;

	if (user_filter_compile(text, &pattern, &error)) {
		assert(!pattern && error.pointer[0] != '?' && error.reason[0] != '?');
		return;
	}
	assert(pattern_weight(pattern) <= USER_FILTER_MAX_WEIGHT);
	assert(!pattern_has_variables(pattern));
	check_steps(pattern, event);
	pattern_free(pattern);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice query = {(const char *)data, 0};
	struct buffer filter = {0};
	json_t *event;

	while (query.len < size && data[query.len] != '\0' && data[query.len] != '\n')
		query.len++;
	if (query.len == size)
		return 0;
	event = document_parse((struct slice){query.base + query.len + 1, size - query.len - 1});
	if (event && !percent_find(query, "filter", &filter) && filter.len <= MAX_BYTES)
		check_filter(buffer_slice(&filter), event);
	buffer_free(&filter);
	json_decref(event);
	return 0;
}
