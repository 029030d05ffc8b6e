/*
 * route_set: sets of tuples while they are computed, as a stack in a struct route_keys.
 *
 * A set is a run of entries at the end of keys->bytes; what is computed from two sets replaces
 * them. So a walk over a pattern needs no memory of its own, and none at all once the buffer has
 * grown. keys->count is not looked at.
 *
 * An entry is written as route_set_open(), bytes appended to keys->bytes, route_set_close(). All
 * sets are of the one thread that owns `keys`.
 */
#ifndef SLUICE_EVENT_ROUTE_SET_PRIV_H
#define SLUICE_EVENT_ROUTE_SET_PRIV_H

#include "event/pattern.h"

struct route_set {
	size_t at; /* where its first entry stands in keys->bytes */
	uint32_t count;
};

/* An empty set on top of the stack. */
struct route_set route_set_start(const struct route_keys *keys);
/* The set of the one empty tuple: what holds without a variable. */
struct route_set route_set_unit(struct route_keys *keys);
/* Empties the topmost set, and removes those above it. */
void route_set_clear(struct route_keys *keys, struct route_set *set);

size_t route_set_open(struct route_keys *keys);
void route_set_close(struct route_keys *keys, struct route_set *set, size_t opened);

/* Keeps the first of equal tuples of the topmost set, which has at most three times
 * PATTERN_MAX_ROUTE_KEYS. */
void route_set_remove_repeats(struct route_keys *keys, struct route_set *set);

/*
 * Removes repeats and holds the set against the limits. A set that is added to is tightened
 * whenever route_set_is_loose(), and once at the end. Errors: ERROR_LIMIT; the set is empty then.
 */
bool route_set_is_loose(const struct route_keys *keys, const struct route_set *set);
MUST_CHECK int route_set_tighten(struct route_keys *keys, struct route_set *set);

/* Replaces `left` and `right`, the two topmost sets, by the tuples of `left` each followed by each
 * of `right`, as `left`. Errors: ERROR_LIMIT; both are empty then. */
MUST_CHECK int route_set_multiply(struct route_keys *keys, struct route_set *left,
				  const struct route_set *right);

#endif
