/*
 * fanout_priv: what fanout.c, fanout_feed.c and the files of subscriber share. One loop's thread.
 */
#ifndef SLUICE_FEED_FANOUT_PRIV_H
#define SLUICE_FEED_FANOUT_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "event/position.h"
#include "feed/conflation_priv.h"
#include "feed/fanout.h"
#include "feed/feed.h"
#include "feed/feeds.h"
#include "feed/index_priv.h"
#include "feed/replay_priv.h"
#include "feed/subscriber.h"

struct checks;
struct documents;

/* A growing list of subscribers; each knows its place in it, so that leaving is a swap with the
 * last. */
struct roster {
	struct subscriber **members;
	uint32_t count, capacity;
};

/* A feed with subscribers on this loop. */
struct fanout_feed {
	struct fanout *fanout;
	struct feed *feed;        /* a reference */
	uint64_t version;         /* of the window, when last looked at */
	uint64_t dispatched;      /* sequence number: all before was offered to every subscriber */
	struct position position; /* that belongs to `dispatched` */
	struct position before;   /* the same before the dispatch under way */
	struct buffer id;         /* of `position`, encoded when it is needed */
	bool id_is_fresh;
	bool attached; /* `dispatched` is set: the feed was ready once */
	struct index index;
	struct roster unfiltered; /* without keys and without checks */
	struct roster checked;    /* without keys, with checks */
	struct conflation_feed conflation;
	uint64_t number; /* never that of another one on this loop */
	uint32_t subscriber_count;
	struct fanout_feed *following;
};

struct fanout {
	struct feeds *feeds;
	struct replay *replay;
	const struct fanout_settings *settings;
	void (*wake)(void *context);
	void *wake_context;
	int reader;      /* epoch slot */
	uint64_t now_ms; /* of the last turn or tick */
	struct fanout_feed *feeds_here;
	uint64_t feed_count; /* ever */
	struct documents *documents;
	struct conflation_loop conflation;
	struct roster all;
	uint32_t swept; /* where the tick's sweep goes on in `all` */
	uint32_t ticks;
	TAILQ_HEAD(, subscriber) resting; /* go on in their turn */
	struct replay_job *retry;         /* failed: submitted again once a second */
	unsigned seed;                    /* of the jitter */
	char *scratch;                    /* FANOUT_SCRATCH_BYTES */
	pthread_mutex_t inbox_lock;
	struct replay_job *inbox; /* guarded by inbox_lock */
};

void roster_add(struct roster *roster, struct subscriber *subscriber, uint32_t *place);
/* The subscriber that is in this place now; the same one where it was the last. */
struct subscriber *roster_remove(struct roster *roster, uint32_t place);

/* From 0 to `most`, at random. */
uint64_t fanout_jitter(struct fanout *fanout, uint64_t most);
/* When a client that is sent away is to come back. */
uint64_t fanout_retry_ms(struct fanout *fanout);

/* The feed's share on this loop, made on first use. Takes over the reference on `feed`. */
struct fanout_feed *fanout_feed_enter(struct fanout *fanout, struct feed *feed);
void fanout_feed_leave(struct fanout_feed *at);
/* The event id of at->position. Borrowed until the next turn. */
struct slice fanout_feed_id(struct fanout_feed *at);
/* Do the checks let the event pass? */
bool fanout_feed_passes(struct fanout_feed *at, const struct checks *checks,
			const struct window_segment *segment, const struct window_entry *entry);
/* Catches up with the window: afterwards at->dispatched and at->position are the newest. */
void fanout_feed_dispatch(struct fanout_feed *at);

/* A job comes back. Thread: any. */
void fanout_deliver(struct fanout *fanout, struct replay_job *job);

#endif
