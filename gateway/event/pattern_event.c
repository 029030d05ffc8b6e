#include <stdlib.h>

#include "event/pattern_priv.h"

static int walk_node(const struct pattern_node *node, const json_t *value, struct route_keys *keys,
		     struct route_set *set);

static int compare_constant(const void *wanted, const void *constant)
{
	return pattern_value_compare(wanted, &((const struct pattern_constant *)constant)->value);
}

/* True where the value, or an element of the array, is one of the constants. */
static bool leaf_holds(const struct pattern_leaf *leaf, const json_t *json)
{
	struct pattern_value value;

	for (size_t i = 0; i < json_array_size(json); i++)
		if (leaf_holds(leaf, json_array_get(json, i)))
			return true;
	return pattern_value_read(json, &value) &&
	       bsearch(&value, leaf->constants, leaf->constant_count, sizeof(leaf->constants[0]),
		       compare_constant);
}

static int push_scalars(const json_t *json, struct route_keys *keys, struct route_set *set)
{
	struct pattern_value value;
	int rc = 0;

	for (size_t i = 0; !rc && i < json_array_size(json); i++)
		rc = push_scalars(json_array_get(json, i), keys, set);
	if (!rc && pattern_value_read(json, &value))
		rc = pattern_push_value(&value, keys, set);
	return rc;
}

/* Which of the event's values a request accepts is the request's matter, constants beside a
 * variable too. */
static int walk_variable_leaf(const struct pattern_leaf *leaf, const json_t *json,
			      struct route_keys *keys, struct route_set *set)
{
	static const struct pattern_value wildcard = {.kind = PATTERN_VALUE_WILDCARD};
	int rc = 0;

	*set = route_set_start(keys);
	if (leaf->optional)
		rc = pattern_push_value(&wildcard, keys, set);
	if (!rc)
		rc = push_scalars(json, keys, set);
	return rc ? rc : route_set_tighten(keys, set);
}

static int walk_leaf(const struct pattern_node *node, const json_t *json, struct route_keys *keys,
		     struct route_set *set)
{
	if (node->has_variables)
		return walk_variable_leaf(&node->leaf, json, keys, set);
	*set = leaf_holds(&node->leaf, json) ? route_set_unit(keys) : route_set_start(keys);
	return 0;
}

/* The union over the elements: all of the object's fields must hold in one of them. */
static int walk_elements(const struct pattern_node *node, const json_t *array,
			 struct route_keys *keys, struct route_set *set)
{
	*set = route_set_start(keys);
	for (size_t i = 0; i < json_array_size(array); i++) {
		struct route_set more;
		int rc = walk_node(node, json_array_get(array, i), keys, &more);

		if (!rc) {
			set->count += more.count;
			if (set->count && !node->has_variables)
				return 0;
			if (route_set_is_loose(keys, set))
				rc = route_set_tighten(keys, set);
		}
		if (rc) {
			route_set_clear(keys, set);
			return rc;
		}
	}
	return route_set_tighten(keys, set);
}

static int walk_field(const struct pattern_field *field, const json_t *object,
		      struct route_keys *keys, struct route_set *set)
{
	return walk_node(&field->node, json_object_get(object, field->name), keys, set);
}

/*
 * `value` is NULL where the event has nothing. The walk goes on then, and in what is no object,
 * because a condition on an optional variable holds there too for a request that leaves it out.
 */
static int walk_node(const struct pattern_node *node, const json_t *value, struct route_keys *keys,
		     struct route_set *set)
{
	if (node->kind == PATTERN_NODE_LEAF)
		return walk_leaf(node, value, keys, set);
	if (json_array_size(value))
		return walk_elements(node, value, keys, set);
	return pattern_multiply_fields(node, walk_field, value, keys, set);
}

int pattern_event_keys(const struct pattern *pattern, const json_t *document,
		       struct route_keys *keys)
{
	struct route_set set;
	int rc;

	route_keys_clear(keys);
	rc = walk_node(&pattern->root, document, keys, &set);
	if (!rc)
		keys->count = set.count;
	return rc;
}
