#include "event/pattern_weight_priv.h"

#include <stdlib.h>

#include "base/mem.h"
#include "event/pattern_priv.h"

_Thread_local uint64_t pattern_steps;

unsigned pattern_steps_search(size_t count)
{
	unsigned steps = 0;

	for (; count; count /= 2)
		steps++;
	return steps;
}

unsigned pattern_steps_lookup(size_t name_len)
{
	return 1 + (unsigned)(name_len / PATTERN_STEP_NAME_BYTES);
}

unsigned pattern_steps_operator(const struct pattern_operator *operator)
{
	unsigned steps;

	switch (operator->kind) {
	case PATTERN_PREFIX:
	case PATTERN_SUFFIX:
		return operator->ignores_case ? PATTERN_STEPS_TEXT : 1;
	case PATTERN_EQUALS_IGNORE_CASE:
	case PATTERN_WILDCARD:
	case PATTERN_CIDR:
		return PATTERN_STEPS_TEXT;
	case PATTERN_ANYTHING_BUT:
		steps = 1 + pattern_steps_search(operator->values.count);
		for (size_t i = 0; i < operator->operator_count; i++)
			steps += pattern_steps_operator(&operator->operators[i]);
		return steps;
	default:
		return 1;
	}
}

/* Beside a variable, operators are held against the values one by one. */
static bool is_walked(const struct pattern_leaf *leaf)
{
	return leaf->test_count || leaf->inexact;
}

/* What a node does where the event has nothing. */
struct absence {
	unsigned steps;
	bool holds;
};

static struct absence absence_of(const struct pattern_node *node);

static struct absence absence_of_or(const struct pattern_node *node)
{
	struct absence all = {0, false};

	for (size_t i = 0; i < node->alternative_count; i++) {
		struct absence one = absence_of(&node->alternatives[i]);

		all.steps += one.steps;
		all.holds = all.holds || one.holds;
	}
	return all;
}

/*
 * Fields are looked at until one fails. Where some are there, which cost what their own values
 * count, these are all that hold without a value, and one more.
 */
static struct absence absence_of_object(const struct pattern_node *node)
{
	struct absence all = {1, true};
	unsigned failing = 0;

	for (size_t i = 0; i < node->field_count; i++) {
		const struct pattern_field *field = &node->fields[i];
		struct absence one = absence_of(&field->node);

		if (field->node.kind != PATTERN_NODE_OR)
			one.steps += pattern_steps_lookup(field->name_len);
		all.holds = all.holds && one.holds;
		if (one.holds || field->node.kind == PATTERN_NODE_OR)
			all.steps += one.steps;
		else if (one.steps > failing)
			failing = one.steps;
	}
	all.steps += failing;
	return all;
}

static struct absence absence_of_leaf(const struct pattern_leaf *leaf)
{
	return (struct absence){
	    .steps = 1 + (is_walked(leaf) ? (unsigned)leaf->operator_count : 0),
	    .holds = leaf->asks_for_absence || leaf->optional || leaf->inexact,
	};
}

static struct absence absence_of(const struct pattern_node *node)
{
	switch (node->kind) {
	case PATTERN_NODE_OR:
		return absence_of_or(node);
	case PATTERN_NODE_OBJECT:
		return absence_of_object(node);
	default:
		return absence_of_leaf(&node->leaf);
	}
}

static unsigned leaf_steps(const struct pattern_leaf *leaf)
{
	unsigned steps = 1 + pattern_steps_search(leaf->constants.count);

	for (size_t i = 0; i < leaf->operator_count; i++)
		steps += pattern_steps_operator(&leaf->operators[i]) + is_walked(leaf);
	return steps;
}

/* Of one value, to which several nodes look: the steps, and the fields under it. */
struct place {
	unsigned steps;
	const struct pattern_field **fields;
	size_t field_count;
};

/* Alternatives look at the place that their "$or" stands in. */
static void add_fields(struct place *place, const struct pattern_node *object)
{
	for (size_t i = 0; i < object->field_count; i++) {
		const struct pattern_field *field = &object->fields[i];
		size_t bytes = (place->field_count + 1) * sizeof(place->fields[0]);

		if (field->node.kind == PATTERN_NODE_OR) {
			for (size_t k = 0; k < field->node.alternative_count; k++)
				add_fields(place, &field->node.alternatives[k]);
			continue;
		}
		place->fields = mem_realloc(place->fields, bytes);
		place->fields[place->field_count++] = field;
	}
}

static void add_node(struct place *place, const struct pattern_node *node)
{
	if (node->kind == PATTERN_NODE_LEAF) {
		place->steps += leaf_steps(&node->leaf);
	} else {
		place->steps += absence_of_object(node).steps;
		add_fields(place, node);
	}
}

static int compare_names(const void *a, const void *b)
{
	const struct pattern_field *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* The most steps of the place and of those under it; ends its use. */
static unsigned weigh_place(struct place *place)
{
	const struct pattern_field **fields = place->fields;
	unsigned most = place->steps;
	size_t i = 0;

	if (place->field_count)
		qsort(fields, place->field_count, sizeof(fields[0]), compare_names);
	while (i < place->field_count) {
		struct place below = {0};
		size_t first = i;
		unsigned steps;

		for (; i < place->field_count && !strcmp(fields[i]->name, fields[first]->name);
		     i++) {
			below.steps += pattern_steps_lookup(fields[i]->name_len);
			add_node(&below, &fields[i]->node);
		}
		steps = weigh_place(&below);
		most = steps > most ? steps : most;
	}
	free(fields);
	return most;
}

unsigned pattern_weigh(const struct pattern_node *root)
{
	struct place place = {0};

	add_node(&place, root);
	return weigh_place(&place);
}
