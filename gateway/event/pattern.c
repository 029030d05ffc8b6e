#include <stdlib.h>

#include "event/pattern_priv.h"

static void leaf_fini(struct pattern_leaf *leaf)
{
	for (size_t i = 0; i < leaf->constant_count; i++)
		free(leaf->constants[i].text);
	for (size_t i = 0; i < leaf->test_count; i++)
		pattern_text_fini(&leaf->tests[i]);
	free(leaf->constants);
	free(leaf->tests);
}

static void node_fini(struct pattern_node *node)
{
	if (node->kind == PATTERN_NODE_LEAF) {
		leaf_fini(&node->leaf);
		return;
	}
	for (size_t i = 0; i < node->field_count; i++) {
		free(node->fields[i].name);
		node_fini(&node->fields[i].node);
	}
	free(node->fields);
}

void pattern_free(struct pattern *pattern)
{
	if (!pattern)
		return;
	node_fini(&pattern->root);
	free(pattern);
}

bool pattern_has_variables(const struct pattern *pattern)
{
	return pattern->root.has_variables;
}

bool pattern_looks_at(const struct pattern *pattern, const char *field, bool *below)
{
	for (size_t i = 0; i < pattern->root.field_count; i++) {
		const struct pattern_field *top = &pattern->root.fields[i];

		if (strcmp(top->name, field))
			continue;
		if (below)
			*below = top->node.kind == PATTERN_NODE_OBJECT;
		return true;
	}
	return false;
}

int pattern_push_value(const struct pattern_value *value, struct route_keys *keys,
		       struct route_set *set)
{
	size_t opened = route_set_open(keys);

	pattern_value_append(value, &keys->bytes);
	route_set_close(keys, set, opened);
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

bool pattern_matches(const struct pattern *pattern, const json_t *document, const json_t *variables)
{
	struct route_keys event = {0}, request = {0};
	bool matches = !pattern_event_keys(pattern, document, &event) &&
		       !pattern_request_keys(pattern, variables, &request) &&
		       route_keys_intersect(&event, &request);

	route_keys_free(&event);
	route_keys_free(&request);
	return matches;
}
