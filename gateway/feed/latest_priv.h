/*
 * latest: the newest entry of each record key in a part of a window, in the window's order.
 *
 * Holds sequence numbers and hashes; whether two keys are the same, the window says: a key is that
 * of its topic, a null key is one too, and the key of an entry that has left the window is like no
 * other. A notice is never superseded. One loop's thread.
 */
#ifndef SLUICE_FEED_LATEST_PRIV_H
#define SLUICE_FEED_LATEST_PRIV_H

#include <stddef.h>

#include "feed/window.h"

struct latest;

struct latest *latest_new(void);
void latest_free(struct latest *latest);

/* Forgets all; what is put from now on is this window's (borrowed). `by_key`: which keeps at least
 * the records' keys (feed/kept_record_priv.h); else all events have one key. */
void latest_begin(struct latest *latest, const struct window *window, bool by_key);
/* A later entry than all that were put before: it takes the place of the one with its key. */
void latest_put(struct latest *latest, const struct window_segment *segment,
		const struct window_entry *entry);
/* Forgets what is older than `sequence`. */
void latest_forget(struct latest *latest, uint64_t sequence);

/*
 * The sequence numbers from `from` on, oldest first: at most `max` of them into `out`. How many
 * there are in all, which may be more. Costs as much as there are.
 */
size_t latest_list(const struct latest *latest, uint64_t from, uint64_t *out, size_t max);
size_t latest_count(const struct latest *latest);

#endif
