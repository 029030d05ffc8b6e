#include <stdlib.h>

#include "event/pattern_priv.h"
#include "event/pattern_weight_priv.h"

static int walk_node(const struct pattern_node *node, const json_t *value, struct route_keys *keys,
		     struct route_set *set);

/* As jansson's own constants are: this count of references stays as it is. */
static json_t unknown = {JSON_NULL, (size_t)-1};

json_t *pattern_unknown(void)
{
	return &unknown;
}

static bool value_holds(const struct pattern_leaf *leaf, const struct pattern_value *value)
{
	pattern_steps += pattern_steps_search(leaf->constants.count);
	if (pattern_constants_hold(&leaf->constants, value))
		return true;
	for (size_t i = 0; i < leaf->operator_count; i++)
		if (pattern_operator_holds(&leaf->operators[i], value))
			return true;
	return false;
}

/* True where the value, or one in the array, holds; *found where there is one at all. */
static bool any_holds(const struct pattern_leaf *leaf, const json_t *json, bool *found)
{
	size_t count = json_is_array(json) ? json_array_size(json) : 0;
	struct pattern_value value;

	pattern_steps++;
	for (size_t i = 0; i < count; i++)
		if (any_holds(leaf, json_array_get(json, i), found))
			return true;
	if (!pattern_value_read(json, &value))
		return false;
	*found = true;
	return value_holds(leaf, &value);
}

static bool leaf_holds(const struct pattern_leaf *leaf, const json_t *json)
{
	bool found = false;

	return any_holds(leaf, json, &found) || (!found && leaf->asks_for_absence);
}

static bool or_holds(const struct pattern_node *node, const json_t *object)
{
	for (size_t i = 0; i < node->alternative_count; i++)
		if (pattern_node_holds(&node->alternatives[i], object))
			return true;
	return false;
}

/* NULL where `object` has none, or is none. */
static const json_t *look_up(const struct pattern_field *field, const json_t *object)
{
	pattern_steps += pattern_steps_lookup(field->name_len);
	return json_is_object(object) ? json_object_getn(object, field->name, field->name_len)
				      : NULL;
}

static bool fields_hold(const struct pattern_node *node, const json_t *object)
{
	for (size_t i = 0; i < node->field_count; i++) {
		const struct pattern_field *field = &node->fields[i];

		if (field->node.kind == PATTERN_NODE_OR
			? !or_holds(&field->node, object)
			: !pattern_node_holds(&field->node, look_up(field, object)))
			return false;
	}
	return true;
}

bool pattern_node_holds(const struct pattern_node *node, const json_t *value)
{
	size_t count = json_is_array(value) ? json_array_size(value) : 0;

	if (value == &unknown)
		return true;
	if (node->kind == PATTERN_NODE_LEAF)
		return leaf_holds(&node->leaf, value);
	pattern_steps++;
	for (size_t i = 0; i < count; i++)
		if (pattern_node_holds(node, json_array_get(value, i)) != node->only_absence)
			return !node->only_absence;
	return count ? node->only_absence : fields_hold(node, value);
}

/* As if it stood in the list alone. */
static bool operator_holds(struct pattern_operator *operator, const json_t * json)
{
	const struct pattern_leaf alone = {
	    .operators = operator,
	    .operator_count = 1,
	    .asks_for_absence = pattern_operator_asks_for_absence(operator),
	};

	return leaf_holds(&alone, json);
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
	if (!rc && leaf->inexact)
		rc = pattern_push_mark(PATTERN_MARK_INEXACT, keys, set);
	for (size_t i = 0; !rc && i < leaf->operator_count; i++)
		if (operator_holds(&leaf->operators[i], json))
			rc = pattern_push_mark((int64_t)i, keys, set);
	if (!rc && (leaf->test_count || leaf->constants.count))
		rc = pattern_push_scalars(json, keys, set);
	return rc ? rc : route_set_tighten(keys, set);
}

/* The union over the elements: all of the object's fields must hold in one of them. */
static int walk_elements(const struct pattern_node *node, const json_t *array,
			 struct route_keys *keys, struct route_set *set)
{
	*set = route_set_start(keys);
	for (size_t i = 0; i < json_array_size(array); i++) {
		struct route_set more;
		int rc = walk_node(node, json_array_get(array, i), keys, &more);

		if (!rc)
			rc = pattern_unite(keys, set, &more);
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
	if (field->node.kind != PATTERN_NODE_OR)
		return walk_node(&field->node, look_up(field, object), keys, set);
	if (field->node.has_variables)
		return pattern_add_alternatives(&field->node, walk_node, object, keys, set);
	*set = or_holds(&field->node, object) ? route_set_unit(keys) : route_set_start(keys);
	return 0;
}

/*
 * `value` is NULL where the event has nothing. The walk goes on then, and in what is no object,
 * because a condition on an optional variable holds there too for a request that leaves it out.
 */
static int walk_node(const struct pattern_node *node, const json_t *value, struct route_keys *keys,
		     struct route_set *set)
{
	if (!node->has_variables) {
		*set =
		    pattern_node_holds(node, value) ? route_set_unit(keys) : route_set_start(keys);
		return 0;
	}
	pattern_steps++;
	if (value == &unknown)
		return ERROR_INVALID;
	if (node->kind == PATTERN_NODE_LEAF)
		return walk_variable_leaf(&node->leaf, value, keys, set);
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
