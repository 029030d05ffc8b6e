/*
 * pattern_operator: what a list of values can ask for besides equality, with Amazon EventBridge's
 * names and meaning.
 *
 *     {"prefix": "a"}  {"suffix": "z"}  {"equals-ignore-case": "a"}  {"wildcard": "a*z"}
 *     {"prefix": {"equals-ignore-case": "a"}}, likewise suffix
 *     {"numeric": [">", 0, "<=", 5]}    {"cidr": "10.0.0.0/8"}       {"exists": true}
 *     {"anything-but": …}  a string, a number, a list of either, or {"prefix": …}, {"suffix": …},
 *                          {"equals-ignore-case": …}, {"wildcard": …} with a string or a list
 *
 * Immutable once compiled. Thread: any.
 */
#ifndef SLUICE_EVENT_PATTERN_OPERATOR_PRIV_H
#define SLUICE_EVENT_PATTERN_OPERATOR_PRIV_H

#include "base/error.h"
#include "event/pattern_constants_priv.h"
#include "event/pattern_wildcard_priv.h"

enum pattern_operator_kind {
	PATTERN_PREFIX,
	PATTERN_SUFFIX,
	PATTERN_EQUALS_IGNORE_CASE,
	PATTERN_WILDCARD,
	PATTERN_ANYTHING_BUT,
	PATTERN_NUMERIC,
	PATTERN_EXISTS,
	PATTERN_CIDR,
};

/* Doubles and all of int64, exactly. */
struct pattern_range {
	long double low, high;
	bool has_low, has_high, low_included, high_included;
};

struct pattern_network {
	unsigned char address[16];
	int family; /* AF_INET, AF_INET6 */
	unsigned bits;
};

struct pattern_operator {
	enum pattern_operator_kind kind;
	bool ignores_case; /* PREFIX, SUFFIX */
	bool present;      /* EXISTS: what it asks for */
	char *text;        /* owned: PREFIX, SUFFIX, EQUALS_IGNORE_CASE */
	size_t text_len;
	struct pattern_wildcard wildcard;
	struct pattern_range range;
	struct pattern_network network;
	/* ANYTHING_BUT: none of these values, and none of these operators holds. */
	struct pattern_constants values;
	struct pattern_operator *operators;
	size_t operator_count;
};

enum { PATTERN_OPERATOR_REASON_BYTES = 256 };

/* `source`: an object. On ERROR_INVALID `reason` says what would be right, and nothing is kept. */
MUST_CHECK int pattern_operator_compile(const json_t *source, struct pattern_operator *operator,
					char * reason);
void pattern_operator_fini(struct pattern_operator *operator);

/* {"exists": false} */
bool pattern_operator_asks_for_absence(const struct pattern_operator *operator);
/* Does it hold for a value that is there? (EXISTS: the value is there.) */
bool pattern_operator_holds(const struct pattern_operator *operator,
			    const struct pattern_value * value);

#endif
