/*
 * pattern_case: text compared without regard to case, by Unicode's simple lower-case mapping.
 */
#ifndef SLUICE_EVENT_PATTERN_CASE_PRIV_H
#define SLUICE_EVENT_PATTERN_CASE_PRIV_H

#include "base/slice.h"

/* Both are UTF-8. Thread: any. */
bool pattern_case_equal(struct slice a, struct slice b);
bool pattern_case_starts(struct slice text, struct slice prefix);
bool pattern_case_ends(struct slice text, struct slice suffix);

#endif
