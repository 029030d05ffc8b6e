/*
 * conflation: at most one event an interval, or one of each key, and always the newest.
 *
 * A subscriber with an interval has its cursor at the first entry that it was offered and has not
 * got, like any that is behind, but takes nothing of the window as it lies there. When its interval
 * is over and the client has taken what there was, the newest of what it was offered go into
 * `pending`, in the window's order. The first event after a silence goes out at once, what comes
 * after it at the interval's end: the newest is never lost.
 *
 * What keeps the promise: what goes out in the window's order has the window's ids, and what it
 * supersedes is before it. `level`, or the subscriber's own position, is before the cursor and
 * after all that was sent; it stands for the subscriber in heartbeats, cursors and at its end, and
 * where the window was faster the subscriber reads again from there. Ids never run ahead of what is
 * not sent yet.
 *
 * All on the loop's thread.
 */
#ifndef SLUICE_FEED_CONFLATION_PRIV_H
#define SLUICE_FEED_CONFLATION_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event/position.h"

struct fanout;
struct fanout_feed;
struct latest;
struct subscriber;
struct window_entry;
struct window_segment;

enum {
	CONFLATION_MAX_DUE = 4096, /* events of one subscriber that wait for its client */
	/* Of one, as long as half of them are of different keys; more are found in the window
	 * again, which for one with checks is as dear as it was to look at each of them. */
	CONFLATION_MAX_NOTED = 2048,
	CONFLATION_SLOTS = 8,
};

/* Shared by those that were level with the same dispatch. */
struct conflation_level {
	uint32_t references;
	struct position position;
};

/* One subscriber's. */
struct conflation {
	uint32_t interval_ms;
	bool by_key;
	bool spared;     /* what it is behind with goes out as it is */
	bool walks;      /* what it was offered is not all noted: the window is asked */
	bool armed;      /* in its loop's slots */
	uint64_t due_ms; /* the earliest time of its next event */
	struct conflation_level *level; /* a reference; where subscriber->own is not it */
	uint64_t offered;               /* how many there were, where not all is for it */
	uint64_t *noted; /* sequence numbers of the newest; by key, where not all is for it */
	size_t noted_count, noted_capacity;
	uint64_t *due; /* sequence numbers that go out as the client takes them; NULL: none */
	size_t due_count, due_at;
	uint64_t due_until; /* they stand for all before it */
	uint64_t ends_at;   /* the stream ends with this one, which is the last that is due */
	struct subscriber *next, **link;
};

/* A loop's: those that wait for the end of their interval, by the tick at which they are looked at.
 */
struct conflation_loop {
	struct subscriber *slots[CONFLATION_SLOTS];
	uint64_t tick;
	struct latest *scratch;
};
void conflation_loop_init(struct conflation_loop *loop);
void conflation_loop_fini(struct conflation_loop *loop);

/* A feed's, on one loop; zeroed at first. */
struct conflation_feed {
	uint32_t by_key;       /* subscribers that want the newest of each key of it all */
	struct latest *latest; /* for those, of what was dispatched since the first of them came */
	uint64_t notices;      /* sequence number after the last notice */
	struct conflation_level *level; /* of the dispatch under way; NULL: nobody needed it yet */
};
void conflation_feed_fini(struct fanout_feed *at);
/* A dispatch begins: at->before is set. */
void conflation_feed_begin(struct fanout_feed *at);
/* It comes to this entry. */
void conflation_feed_pass(struct fanout_feed *at, const struct window_segment *segment,
			  const struct window_entry *entry, uint64_t sequence);

/* The stream says whether it is by key. */
void conflation_open(struct subscriber *subscriber, uint32_t interval_ms);
void conflation_close(struct subscriber *subscriber);

/* Entry `sequence` is for it, and subscriber->until is not moved yet. */
void conflation_offer(struct subscriber *subscriber, uint64_t sequence);
/* The same for all from subscriber->until on to what was dispatched. */
void conflation_offer_all(struct subscriber *subscriber);
/* What the window has of it now goes out as it is; what comes after that is conflated. */
void conflation_spare(struct subscriber *subscriber);
/* Its checks are others: what it was offered is looked at again. */
void conflation_reconsider(struct subscriber *subscriber);
/* A replay gives it events. */
void conflation_replayed(struct subscriber *subscriber);
/* A replay begins: nothing counts as offered. */
void conflation_forget(struct subscriber *subscriber);
/* What it was offered until now has been taken. */
void conflation_note_nothing(struct conflation *conflation);
/* What waits for its client waits no more. */
void conflation_drop_due(struct conflation *conflation);
void conflation_set_level(struct conflation *conflation, struct conflation_level *level);
/* The reference is the caller's; `position` is copied. */
struct conflation_level *conflation_level_new(const struct position *position);
/* Where it stands, LIVE and with something offered. Initialises *position. */
void conflation_position(const struct subscriber *subscriber, struct position *position);
/* What goes out is known without a look at all of the window from its cursor on. */
bool conflation_is_noted(const struct subscriber *subscriber);
/* It is LIVE and was offered what it has not got. */
bool conflation_lags(const struct subscriber *subscriber);

/* conflation_wait.c: until the interval is over. */

/* What it was offered has to wait. */
bool conflation_waits(const struct subscriber *subscriber);
/* Has it looked at when its interval is over, where it waits. */
void conflation_arm(struct subscriber *subscriber);
void conflation_disarm(struct conflation *conflation);
/* Every FANOUT_TICK_MS: those whose interval is over are told. */
void conflation_tick(struct fanout *fanout);

/* conflation_flush.c: what goes out. */

/* LIVE and nothing is pending: makes `pending` of what is due. */
void conflation_flush(struct subscriber *subscriber);
/* False: the window no longer has all of it. */
bool conflation_put_noted(const struct subscriber *subscriber, struct latest *latest);

#endif
