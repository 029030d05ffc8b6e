/*
 * pattern_wildcard: text in which "*" stands for any bytes, also none; "\*" and "\\" for
 * themselves.
 *
 * Kept as the pieces between the stars. Matching looks for one piece after the other from left to
 * right and never turns back, so that its time is that of the search for each piece.
 */
#ifndef SLUICE_EVENT_PATTERN_WILDCARD_PRIV_H
#define SLUICE_EVENT_PATTERN_WILDCARD_PRIV_H

#include <stdbool.h>

#include "base/error.h"
#include "base/slice.h"

enum { PATTERN_WILDCARD_MAX_PIECES = 64 };

struct pattern_wildcard {
	char *bytes;          /* owned: all pieces, one after the other */
	struct slice *pieces; /* owned; in `bytes` */
	size_t piece_count;   /* stars and 1 */
};

/* Errors: ERROR_INVALID; `reason` (256 bytes). */
MUST_CHECK int pattern_wildcard_compile(struct slice text, struct pattern_wildcard *wildcard,
					char *reason);
bool pattern_wildcard_matches(const struct pattern_wildcard *wildcard, struct slice text);
void pattern_wildcard_fini(struct pattern_wildcard *wildcard);

#endif
