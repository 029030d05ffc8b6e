/*
 * utf8: where bytes stop being UTF-8 (Unicode 15, 3.9, table 3-7).
 */
#ifndef SLUICE_BASE_UTF8_H
#define SLUICE_BASE_UTF8_H

#include "base/slice.h"

/* U+FFFD, what stands for bytes that are not UTF-8. */
#define UTF8_REPLACEMENT SLICE_LIT("\xef\xbf\xbd")

/*
 * The length of the longest well-formed prefix. `ill_formed` is set to the length of the maximal
 * subpart that follows it, which one U+FFFD replaces; 0 where all is well-formed. Thread: any.
 */
size_t utf8_span(struct slice text, size_t *ill_formed);

bool utf8_is_valid(struct slice text);

#endif
