#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "event/pattern_priv.h"

static void tests_fini(struct pattern_test *tests, size_t count)
{
	for (size_t i = 0; i < count; i++)
		pattern_text_fini(&tests[i]);
	free(tests);
}

static void leaf_fini(struct pattern_leaf *leaf)
{
	pattern_constants_fini(&leaf->constants);
	for (size_t i = 0; i < leaf->operator_count; i++)
		pattern_operator_fini(&leaf->operators[i]);
	free(leaf->operators);
	tests_fini(leaf->tests, leaf->test_count);
	tests_fini(leaf->operands, leaf->operand_count);
}

static void node_fini(struct pattern_node *node)
{
	switch (node->kind) {
	case PATTERN_NODE_LEAF:
		leaf_fini(&node->leaf);
		break;
	case PATTERN_NODE_OR:
		for (size_t i = 0; i < node->alternative_count; i++)
			node_fini(&node->alternatives[i]);
		free(node->alternatives);
		break;
	case PATTERN_NODE_OBJECT:
		for (size_t i = 0; i < node->field_count; i++) {
			free(node->fields[i].name);
			node_fini(&node->fields[i].node);
		}
		free(node->fields);
		break;
	}
}

void pattern_free(struct pattern *pattern)
{
	if (!pattern)
		return;
	node_fini(&pattern->root);
	json_decref(pattern->source);
	json_decref(pattern->optional);
	free(pattern);
}

unsigned pattern_weight(const struct pattern *pattern)
{
	return pattern->weight;
}

bool pattern_has_variables(const struct pattern *pattern)
{
	return pattern->root.has_variables;
}

bool pattern_is_inexact(const struct pattern *pattern)
{
	return pattern->inexact;
}

static bool looks_at(const struct pattern_node *object, const char *name, bool *below);

static bool field_looks_at(const struct pattern_field *field, const char *name, bool *below)
{
	bool found = false;

	if (field->node.kind == PATTERN_NODE_OR) {
		for (size_t i = 0; i < field->node.alternative_count; i++)
			found = looks_at(&field->node.alternatives[i], name, below) || found;
		return found;
	}
	if (strcmp(field->name, name))
		return false;
	*below = *below || field->node.kind == PATTERN_NODE_OBJECT;
	return true;
}

static bool looks_at(const struct pattern_node *object, const char *name, bool *below)
{
	bool found = false;

	for (size_t i = 0; i < object->field_count; i++)
		found = field_looks_at(&object->fields[i], name, below) || found;
	return found;
}

bool pattern_looks_at(const struct pattern *pattern, const char *field, bool *below)
{
	bool under = false;
	bool found = looks_at(&pattern->root, field, &under);

	if (found && below)
		*below = under;
	return found;
}

int pattern_push_value(const struct pattern_value *value, struct route_keys *keys,
		       struct route_set *set)
{
	size_t opened = route_set_open(keys);

	pattern_value_append(value, &keys->bytes);
	route_set_close(keys, set, opened);
	return route_set_is_loose(keys, set) ? route_set_tighten(keys, set) : 0;
}

int pattern_push_mark(int64_t number, struct route_keys *keys, struct route_set *set)
{
	const struct pattern_value mark = {.kind = PATTERN_VALUE_MARK, .integer = number};

	return pattern_push_value(&mark, keys, set);
}

int pattern_push_scalars(const json_t *json, struct route_keys *keys, struct route_set *set)
{
	struct pattern_value value;
	int rc = 0;

	for (size_t i = 0; !rc && i < json_array_size(json); i++)
		rc = pattern_push_scalars(json_array_get(json, i), keys, set);
	if (!rc && pattern_value_read(json, &value))
		rc = pattern_push_value(&value, keys, set);
	return rc;
}

int pattern_unite(struct route_keys *keys, struct route_set *set, const struct route_set *more)
{
	set->count += more->count;
	return route_set_is_loose(keys, set) ? route_set_tighten(keys, set) : 0;
}

int pattern_multiply_fields(const struct pattern_node *object, pattern_walk walk,
			    const json_t *context, struct route_keys *keys, struct route_set *set)
{
	int limited = 0;

	*set = route_set_unit(keys);
	for (size_t i = 0; i < object->field_count; i++) {
		struct route_set factor;
		int rc = walk(&object->fields[i], context, keys, &factor);

		if (!rc && !factor.count) {
			route_set_clear(keys, set);
			return 0;
		}
		if (!rc && limited)
			route_set_clear(keys, &factor);
		else if (!rc)
			rc = route_set_multiply(keys, set, &factor);
		if (rc)
			limited = rc;
	}
	if (limited)
		route_set_clear(keys, set);
	return limited;
}

static int walk_alternative(const struct pattern_node *node, size_t i, pattern_walk_object walk,
			    const json_t *context, struct route_keys *keys, struct route_set *set)
{
	struct route_set tuples;
	int rc;

	*set = route_set_start(keys);
	rc = pattern_push_mark((int64_t)i, keys, set);
	if (!rc)
		rc = walk(&node->alternatives[i], context, keys, &tuples);
	return rc ? rc : route_set_multiply(keys, set, &tuples);
}

int pattern_add_alternatives(const struct pattern_node *node, pattern_walk_object walk,
			     const json_t *context, struct route_keys *keys, struct route_set *set)
{
	*set = route_set_start(keys);
	for (size_t i = 0; i < node->alternative_count; i++) {
		struct route_set more;
		int rc = walk_alternative(node, i, walk, context, keys, &more);

		if (!rc)
			rc = pattern_unite(keys, set, &more);
		if (rc) {
			route_set_clear(keys, set);
			return rc;
		}
	}
	return route_set_tighten(keys, set);
}

bool pattern_holds(const struct pattern *pattern, const json_t *document)
{
	assert(!pattern->root.has_variables);
	return pattern_node_holds(&pattern->root, document);
}

static bool matches_bound(const struct pattern *pattern, const json_t *document,
			  const json_t *variables)
{
	struct pattern *bound;
	struct pattern_error error;
	bool matches;

	if (pattern_bind(pattern, variables, &bound, &error))
		return false;
	matches = pattern_holds(bound, document);
	pattern_free(bound);
	return matches;
}

bool pattern_matches(const struct pattern *pattern, const json_t *document, const json_t *variables)
{
	struct route_keys event = {0}, request = {0};
	bool matches = !pattern_event_keys(pattern, document, &event) &&
		       !pattern_request_keys(pattern, variables, &request) &&
		       route_keys_intersect(&event, &request);

	route_keys_free(&event);
	route_keys_free(&request);
	return matches && (!pattern->inexact || matches_bound(pattern, document, variables));
}

int pattern_refuse(struct pattern_error *error, struct buffer *pointer, int code,
		   const char *format, ...)
{
	va_list arguments;

	snprintf(error->pointer, sizeof(error->pointer), "%s", buffer_text(pointer));
	va_start(arguments, format);
	vsnprintf(error->reason, sizeof(error->reason), format, arguments);
	va_end(arguments);
	return code;
}
