/*
 * slice: a borrowed run of bytes, not terminated.
 */
#ifndef SLUICE_BASE_SLICE_H
#define SLUICE_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
	const char *base;
	size_t len;
};

#define SLICE_LIT(text) ((struct slice){(text), sizeof(text) - 1})

static inline struct slice slice_of(const char *text)
{
	return (struct slice){text, strlen(text)};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.base, b.base, a.len) == 0);
}

/* Where `c` stands first in [from, to); `to` where it does not. */
static inline size_t slice_find(struct slice text, size_t from, size_t to, char c)
{
	const char *found = from < to ? memchr(text.base + from, c, to - from) : NULL;

	return found ? (size_t)(found - text.base) : to;
}

/* ASCII case-insensitive, as HTTP compares field names (RFC 9110, 5.1). */
bool slice_equal_ascii_case(struct slice a, struct slice b);

#endif
