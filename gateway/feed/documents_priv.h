/*
 * documents: the newest events that a loop's checks have looked at, as JSON: what many subscribers
 * look at one after the other is decoded once.
 *
 * Bounded in number and in bytes of records; the event at hand is kept, whatever its size, in each
 * of the few ways in which checks look at it. One loop's thread.
 */
#ifndef SLUICE_FEED_DOCUMENTS_PRIV_H
#define SLUICE_FEED_DOCUMENTS_PRIV_H

#include <jansson.h>

#include "feed/window.h"

enum { DOCUMENTS_SLOTS = 256, DOCUMENTS_MAX_BYTES = 1024 * 1024 };

struct checks;
struct documents;

struct documents *documents_new(void);
void documents_free(struct documents *documents);
/* Forgets all. */
void documents_clear(struct documents *documents);

/* An event of a window that keeps records. `feed` tells feeds apart, and is never used again for
 * another one. */
struct documents_event {
	uint64_t feed;
	uint64_t sequence;
	char *const *topics;
	const struct window_segment *segment;
	const struct window_entry *entry;
};

/* Does the event pass? */
bool documents_match(struct documents *documents, const struct documents_event *event,
		     const struct checks *checks);

#endif
