/*
 * pattern_value: a JSON scalar as patterns compare it. A view: strings stay where they are.
 *
 * Numbers are equal as numbers. An integral real in the range of int64 becomes the integer, so that
 * 300, 300.0 and 3.0e2 are one value; all others are compared as IEEE 754 doubles.
 */
#ifndef SLUICE_EVENT_PATTERN_VALUE_PRIV_H
#define SLUICE_EVENT_PATTERN_VALUE_PRIV_H

#include <jansson.h>
#include <stdint.h>

#include "base/buffer.h"

/* The tags that encoded values start with. They may come to stand in a database: never reuse one.
 */
enum pattern_value_kind {
	PATTERN_VALUE_WILDCARD = '*', /* the condition on an optional variable, left out */
	PATTERN_VALUE_MARK = '#',     /* an operator, or an alternative, by its number */
	PATTERN_VALUE_NULL = 'n',
	PATTERN_VALUE_FALSE = 'f',
	PATTERN_VALUE_TRUE = 't',
	PATTERN_VALUE_INTEGER = 'i',
	PATTERN_VALUE_REAL = 'r',
	PATTERN_VALUE_STRING = 's',
};

struct pattern_value {
	enum pattern_value_kind kind;
	int64_t integer;   /* for an INTEGER, a MARK */
	double real;       /* for a REAL, which is never an integer in the range of int64 */
	struct slice text; /* for a STRING; borrowed */
};

/* False where `json` is an array, an object or NULL. Thread: any. */
bool pattern_value_read(const json_t *json, struct pattern_value *value);

/* < 0, 0, > 0: a total order, for lookup only. */
int pattern_value_compare(const struct pattern_value *a, const struct pattern_value *b);

/* Appends the value: a tag, then numbers as 8 bytes big-endian, strings with a 4-byte length before
 * them. Equal values have equal bytes, and a run of values can be read in one way only. */
void pattern_value_append(const struct pattern_value *value, struct buffer *out);

/* Appends what the value reads as inside a text ("tenant-{claims.tenant}"). False, and nothing, for
 * null. */
bool pattern_value_append_text(const struct pattern_value *value, struct buffer *out);

#endif
