/*
 * checks: what must hold of a record besides its route keys: patterns that narrow a subscriber.
 *
 * Immutable, with counted references. Thread: any.
 */
#ifndef SLUICE_FEED_CHECKS_H
#define SLUICE_FEED_CHECKS_H

#include <jansson.h>
#include <stdbool.h>

#include "event/record.h"

struct checks;
struct pattern;

/* All of the patterns have to match; they are without variables (pattern_bind()). Takes them over,
 * not the array. None at all: everything passes. The reference is the caller's. */
struct checks *checks_new(struct pattern *const *patterns, size_t count);
/* One pattern, which is borrowed. The reference is the caller's. */
struct checks *checks_new_borrowed(const struct pattern *pattern);
/* Nothing passes. The reference is the caller's. */
struct checks *checks_new_closed(void);

/* NULL is no checks, everything passes: each of these takes it. */

/* What passes both. The reference is the caller's. */
struct checks *checks_both(struct checks *a, struct checks *b);
struct checks *checks_ref(struct checks *checks);
void checks_unref(struct checks *checks);
bool checks_match(const struct checks *checks, const struct record *record);

/* The same, where somebody else knows the record: `document` gives it with these parts (enum
 * document_part, or-ed), borrowed, or NULL where it cannot be decoded so. Not for NULL. */
bool checks_match_documents(const struct checks *checks,
			    const json_t *(*document)(void *context, unsigned parts),
			    void *context);

#endif
