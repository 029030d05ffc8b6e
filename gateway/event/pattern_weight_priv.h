/*
 * pattern_weight: what a match can cost, known from the pattern alone, and what it did cost.
 *
 * A step is about what it takes to look at one value or to hold one operator against it, some 4 ns.
 * An operator that reads a text byte by byte takes PATTERN_STEPS_TEXT, and as many again for each
 * PATTERN_STEP_BYTES of the value. A pattern's weight is the most steps for which one value of a
 * document can be the cause: of all nodes that look at the same place, as the alternatives of an
 * "$or" do. So a match takes at most the weight times the document's size, where a value (scalar,
 * array or object) counts 1 and each PATTERN_STEP_BYTES of its text 1 more. The size is not more
 * than half the bytes of the document's JSON.
 */
#ifndef SLUICE_EVENT_PATTERN_WEIGHT_PRIV_H
#define SLUICE_EVENT_PATTERN_WEIGHT_PRIV_H

#include <stddef.h>
#include <stdint.h>

struct pattern_node;
struct pattern_operator;

enum {
	PATTERN_STEPS_TEXT = 4,
	PATTERN_STEP_BYTES = 4,
	PATTERN_STEP_NAME_BYTES = 32, /* of a field's name, which is hashed for each look-up */
};

/* The steps that this thread has taken; they only grow. */
extern _Thread_local uint64_t pattern_steps;

/* Of a look-up among `count` sorted constants; of one of a field by its name. */
unsigned pattern_steps_search(size_t count);
unsigned pattern_steps_lookup(size_t name_len);
/* Of an operator, and all that is in it, for a value without text. */
unsigned pattern_steps_operator(const struct pattern_operator *operator);

/* The weight of a compiled pattern's root. */
unsigned pattern_weigh(const struct pattern_node *root);

#endif
