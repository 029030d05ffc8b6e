/*
 * pattern_constants: a set of constant values, kept sorted.
 */
#ifndef SLUICE_EVENT_PATTERN_CONSTANTS_PRIV_H
#define SLUICE_EVENT_PATTERN_CONSTANTS_PRIV_H

#include "event/pattern_value_priv.h"

struct pattern_constant {
	struct pattern_value value;
	char *text; /* owned: a string's bytes; else NULL */
};

struct pattern_constants {
	struct pattern_constant *items;
	size_t count;
};

/* A string's bytes are copied. */
void pattern_constants_add(struct pattern_constants *constants, const struct pattern_value *value);
/* After the last one was added, before the first is looked for. */
void pattern_constants_sort(struct pattern_constants *constants);
bool pattern_constants_hold(const struct pattern_constants *constants,
			    const struct pattern_value *value);
void pattern_constants_fini(struct pattern_constants *constants);

#endif
