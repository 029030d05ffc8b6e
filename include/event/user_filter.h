/*
 * user_filter: a pattern that narrows what a token's subject receives: over topic, partition, key,
 * headers and value of a record, without variables. Pure. Thread: any.
 */
#ifndef SLUICE_EVENT_USER_FILTER_H
#define SLUICE_EVENT_USER_FILTER_H

#include "base/slice.h"
#include "event/pattern.h"

/* What may stand for one subject and stream; more is refused, and where it is there all the same
 * nothing passes. */
enum { USER_FILTER_MAX_PATTERNS = 64 };

/*
 * The most that pattern_weight() may say. A loop matches each subscriber's own filter with the
 * events that are for it: 100 KB of JSON take it some 10 ms at the worst, three times as long as to
 * parse them.
 */
enum { USER_FILTER_MAX_WEIGHT = 64 };

/* Compiles JSON text. Errors: ERROR_INVALID, ERROR_LIMIT; then `error` says where and why. */
MUST_CHECK int user_filter_compile(struct slice text, struct pattern **pattern,
				   struct pattern_error *error);

#endif
