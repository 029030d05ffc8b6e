#include "event/pattern_priv.h"

/*
 * A claim's name can hold dots (a namespaced claim is a URL), and dots also lead into objects
 * ("realm_access.roles"). An exact name comes first, then the way that leaves it at the earliest
 * dot.
 */
static const json_t *member(const json_t *object, const char *name)
{
	const json_t *found = json_object_get(object, name);

	for (const char *dot = strchr(name, '.'); !found && dot; dot = strchr(dot + 1, '.'))
		found = member(json_object_getn(object, name, (size_t)(dot - name)), dot + 1);
	return found;
}

const json_t *pattern_variable_find(const struct pattern_part *variable, const json_t *variables)
{
	return member(json_object_get(variables, variable->root), variable->name);
}

enum presence { PRESENT, LEFT_OUT, LACKING };

/* LACKING weighs more than LEFT_OUT: one value that must be there and isn't decides. */
static enum presence presence_in(const struct pattern_test *tests, size_t count,
				 const json_t *variables)
{
	enum presence presence = PRESENT;

	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < tests[i].part_count; k++) {
			const struct pattern_part *part = &tests[i].parts[k];

			if (part->literal || pattern_variable_find(part, variables))
				continue;
			if (!part->optional)
				return LACKING;
			presence = LEFT_OUT;
		}
	}
	return presence;
}

static enum presence presence_of(const struct pattern_leaf *leaf, const json_t *variables)
{
	enum presence values = presence_in(leaf->tests, leaf->test_count, variables);
	enum presence operands = presence_in(leaf->operands, leaf->operand_count, variables);

	return operands > values ? operands : values;
}

/* What it takes to make the texts of one test: lists in several variables multiply. */
struct texts {
	const struct pattern_test *test;
	const json_t *variables;
	struct route_keys *keys;
	struct route_set *set;
	struct buffer text;
	unsigned steps;
};

static int push_texts(struct texts *texts, size_t part);

static int push_texts_with(struct texts *texts, size_t part, const json_t *json)
{
	/* Lists of equal or useless elements make no tuples that a limit could count. */
	enum { MAX_STEPS = 4 * PATTERN_MAX_ROUTE_KEYS };
	size_t len = texts->text.len;
	struct pattern_value value;
	int rc = 0;

	if (++texts->steps > MAX_STEPS)
		return ERROR_LIMIT;
	for (size_t i = 0; !rc && i < json_array_size(json); i++)
		rc = push_texts_with(texts, part, json_array_get(json, i));
	if (!rc && pattern_value_read(json, &value) &&
	    pattern_value_append_text(&value, &texts->text))
		rc = push_texts(texts, part + 1);
	texts->text.len = len;
	return rc;
}

/* Pushes every text that the parts from `part` on make after what texts->text holds; leaves that as
 * it was. */
static int push_texts(struct texts *texts, size_t part)
{
	const struct pattern_part *at = &texts->test->parts[part];
	size_t len = texts->text.len;
	int rc;

	if (part == texts->test->part_count) {
		struct pattern_value value = {.kind = PATTERN_VALUE_STRING,
					      .text = buffer_slice(&texts->text)};

		return pattern_push_value(&value, texts->keys, texts->set);
	}
	if (!at->literal)
		return push_texts_with(texts, part, pattern_variable_find(at, texts->variables));
	buffer_append(&texts->text, at->literal, at->literal_len);
	rc = push_texts(texts, part + 1);
	texts->text.len = len;
	return rc;
}

static int push_test(const struct pattern_test *test, const json_t *variables,
		     struct route_keys *keys, struct route_set *set)
{
	struct texts texts = {.test = test, .variables = variables, .keys = keys, .set = set};
	int rc;

	if (test->kind == PATTERN_TEST_VARIABLE)
		/* A list in a token stands for each of its elements. */
		return pattern_push_scalars(pattern_variable_find(&test->parts[0], variables), keys,
					    set);
	rc = push_texts(&texts, 0);
	buffer_free(&texts.text);
	return rc;
}

static int push_accepted(const struct pattern_leaf *leaf, const json_t *variables,
			 struct route_keys *keys, struct route_set *set)
{
	int rc = 0;

	if (leaf->inexact)
		rc = pattern_push_mark(PATTERN_MARK_INEXACT, keys, set);
	for (size_t i = 0; !rc && i < leaf->operator_count; i++)
		rc = pattern_push_mark((int64_t)i, keys, set);
	for (size_t i = 0; !rc && i < leaf->constants.count; i++)
		rc = pattern_push_value(&leaf->constants.items[i].value, keys, set);
	for (size_t i = 0; !rc && i < leaf->test_count; i++)
		rc = push_test(&leaf->tests[i], variables, keys, set);
	return rc;
}

static int walk_leaf(const struct pattern_leaf *leaf, const json_t *variables,
		     struct route_keys *keys, struct route_set *set)
{
	static const struct pattern_value wildcard = {.kind = PATTERN_VALUE_WILDCARD};
	int rc = 0;

	*set = route_set_start(keys);
	switch (presence_of(leaf, variables)) {
	case LACKING:
		return 0;
	case LEFT_OUT:
		return pattern_push_value(&wildcard, keys, set);
	case PRESENT:
		rc = push_accepted(leaf, variables, keys, set);
		break;
	}
	if (rc)
		route_set_clear(keys, set);
	return rc ? rc : route_set_tighten(keys, set);
}

static int walk_object(const struct pattern_node *object, const json_t *variables,
		       struct route_keys *keys, struct route_set *set);

static int walk_field(const struct pattern_field *field, const json_t *variables,
		      struct route_keys *keys, struct route_set *set)
{
	if (!field->node.has_variables) {
		*set = route_set_unit(keys);
		return 0;
	}
	if (field->node.kind == PATTERN_NODE_LEAF)
		return walk_leaf(&field->node.leaf, variables, keys, set);
	if (field->node.kind == PATTERN_NODE_OR)
		return pattern_add_alternatives(&field->node, walk_object, variables, keys, set);
	return walk_object(&field->node, variables, keys, set);
}

static int walk_object(const struct pattern_node *object, const json_t *variables,
		       struct route_keys *keys, struct route_set *set)
{
	return pattern_multiply_fields(object, walk_field, variables, keys, set);
}

int pattern_request_keys(const struct pattern *pattern, const json_t *variables,
			 struct route_keys *keys)
{
	struct route_set set;
	int rc;

	route_keys_clear(keys);
	rc = walk_object(&pattern->root, variables, keys, &set);
	if (!rc)
		keys->count = set.count;
	return rc;
}
