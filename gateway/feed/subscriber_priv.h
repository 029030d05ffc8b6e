/*
 * subscriber_priv: a subscriber's inside, for fanout.c and the subscriber's own files.
 *
 * States:
 *     WAITING    the feed has not caught up with Kafka yet: it is not known where "latest" is
 *     REPLAYING  a job reads what the window no longer has; `own` is where its last chunk ends
 *     LIVE       reads the window from `cursor`
 *     ENDED      nothing comes after `pending` and `last_words`
 */
#ifndef SLUICE_FEED_SUBSCRIBER_PRIV_H
#define SLUICE_FEED_SUBSCRIBER_PRIV_H

#include "feed/fanout_priv.h"
#include "feed/subscriber.h"

enum subscriber_state {
	SUBSCRIBER_WAITING,
	SUBSCRIBER_REPLAYING,
	SUBSCRIBER_LIVE,
	SUBSCRIBER_ENDED
};

/* Bytes that are this subscriber's alone and go out before anything of the window. */
struct pending {
	size_t len;
	size_t at;       /* written so far */
	uint32_t events; /* counted as deliveries when all is written */
	char bytes[];
};

/* How it ends by itself. */
struct subscriber_ending {
	struct checks *when; /* a reference: with the first event that passes; NULL: none */
	bool is_bounded;     /* with what there was at its attachment */
	bool is_marked;      /* what that was is known: */
	uint64_t sequence;   /* of the first entry after it */
	struct position at;  /* that belongs to it */
};

struct subscriber {
	/* What every delivery looks at comes first, in two lines of the processor's cache. */
	struct carrier *carrier;
	struct fanout_feed *at;
	uint64_t cursor;    /* sequence number of the next entry to look at */
	uint64_t until;     /* entries from here on are not known to match; cursor == until: idle */
	const char *peeked; /* what comes after `frame_at`, until consumed */
	uint32_t frame_at;  /* bytes of the cursor's frame that are written */
	uint32_t look_bytes; /* of records that its checks may refuse before it rests */
	uint8_t state;       /* enum subscriber_state */
	uint8_t reason;      /* enum close_reason, for ENDED */
	bool told;           /* carrier->ready() was called and not all is peeked */
	bool aborted;
	bool filtered;      /* has route keys */
	uint8_t slice_mode; /* enum replay_mode with which the job reads its next chunk */
	bool tracked;
	bool held;             /* `reached` is what was reached before `pending`, or at the end */
	bool unplaced;         /* REPLAYING, and `own` is not yet where it begins */
	bool has_stale_cursor; /* until attached */
	bool recheck;          /* REPLAYING, and the log is another one since */
	bool rests;            /* in the fanout's list */
	struct pending *pending;
	struct position *own;             /* NULL: the window's own ids are right */
	struct checks *checks;            /* a reference; NULL: none */
	struct conflation *conflation;    /* NULL: it gets every event */
	struct subscriber_ending *ending; /* NULL: it does not end by itself */
	uint64_t progress_ms;             /* when it last took something, or had nothing to take */
	uint64_t sent_ms;                 /* when something was last sent */
	uint64_t event_ms;                /* when it last got an event, or began */

	struct pending *last_words; /* becomes pending at the next frame's boundary */
	struct replay_job *job;     /* while REPLAYING */
	char *reached;              /* an event id; NULL: not known */
	struct position *asked;     /* Last-Event-ID's, until attached */
	char *custom_id;            /* likewise */
	char *welcome;              /* a frame; NULL: there is none, or it was said */
	int64_t since_ms;           /* -1: none */
	uint32_t last;              /* STREAM_START_LAST's N */
	uint32_t key_count;
	char *keys; /* the route keys' bytes, as in struct route_keys */
	uint32_t keys_len;
	uint32_t place_in_all, place_in_roster;
	struct index_node *nodes; /* key_count of them; NULL where unfiltered or one */
	struct index_node node;   /* the only one */
	struct subscriber *dirty; /* links those that a dispatch touched */
	TAILQ_ENTRY(subscriber) resting;
	uint64_t max_age_at_ms; /* UINT64_MAX: never */
	int64_t expires_unix_ms;
};

/* There is something to peek: tells the carrier once. */
void subscriber_tell(struct subscriber *subscriber);
/* Entry `sequence` is for it; those between this and the last offer are not. For filtered ones. */
void subscriber_offer(struct subscriber *subscriber, uint64_t sequence);
/* It has not ended, and there is nothing to peek, or not yet. */
bool subscriber_is_idle(const struct subscriber *subscriber);
/* Appends to what is sent before anything else of the window; it never gets inside a frame. */
void subscriber_push(struct subscriber *subscriber, struct slice bytes, uint32_t events);
/* The same for the frame at the cursor, which is half written and in `segment`; nothing is pending.
 */
void subscriber_push_begun(struct subscriber *subscriber, const struct window_segment *segment);
/* Ends it without another byte: the carrier is told to close. */
void subscriber_give_up(struct subscriber *subscriber, enum close_reason reason);
/* Neither keys nor checks: the window as it lies there is for it. */
static inline bool subscriber_takes_all(const struct subscriber *subscriber)
{
	return !subscriber->filtered && !subscriber->checks;
}
static inline bool subscriber_is_bounded(const struct subscriber *subscriber)
{
	return subscriber->ending && subscriber->ending->is_bounded;
}
/* How far it may read on: what was dispatched, as far as that is for it. */
static inline uint64_t subscriber_horizon(const struct subscriber *subscriber)
{
	return subscriber_is_bounded(subscriber) ? subscriber->ending->sequence
						 : subscriber->at->dispatched;
}
/* The position that belongs to it. */
static inline const struct position *
subscriber_horizon_position(const struct subscriber *subscriber)
{
	return subscriber_is_bounded(subscriber) ? &subscriber->ending->at
						 : &subscriber->at->position;
}
/* Moves the cursor over what is not for it, to what is in the segment; NULL at the end, where it
 * rests before that, or where it has left the window and was given up. */
const struct window_segment *subscriber_next_match(struct subscriber *subscriber);
/* An entry goes out to one subscriber: how many events that is. A notice counts as a gap. */
uint32_t subscriber_count_entry(const struct window_entry *entry);
/* What is not written yet of the frame at the cursor, which is in `segment`. */
struct slice subscriber_rest_of_frame(const struct subscriber *subscriber,
				      const struct window_segment *segment);

/* subscriber_match.c: which entries are for it. */

/* Is the entry for it? */
bool subscriber_matches(struct subscriber *subscriber, const struct window_segment *segment,
			const struct window_entry *entry);
/* False: nothing of the segment is for it. */
bool subscriber_may_match(struct subscriber *subscriber, const struct window_segment *segment);
/* The i-th of its index nodes. */
struct index_node *subscriber_node_at(struct subscriber *subscriber, uint32_t i);

/* subscriber_life.c: made, tended, freed. */

/* Once a second: heartbeat, the ends of its time, slowness. */
void subscriber_sweep(struct subscriber *subscriber, int64_t now_unix_ms);

/* subscriber_end.c: how it ends by itself. */

/* NULL: it does not. */
struct subscriber_ending *subscriber_ending_new(const struct feed *feed,
						const struct subscriber_start *start);
void subscriber_ending_free(struct subscriber_ending *ending);
/* It is being attached: where it is bounded, what there is now is all that it gets. */
void subscriber_mark_bound(struct subscriber *subscriber);
/* A job ends as its subscriber does. */
void subscriber_hand_ending(const struct subscriber *subscriber, struct replay_job *job);
/* The entry matches it: is it the last one? */
bool subscriber_ends_with(const struct subscriber *subscriber, const struct window_segment *segment,
			  const struct window_entry *entry);
/* Appends the last event's frame and the notice, both with `position`; it has ended behind them. */
void subscriber_append_last(struct subscriber *subscriber, const struct position *position,
			    struct slice frame, struct buffer *out);
/* It has, behind what is pending. The carrier is not told. */
void subscriber_set_ended(struct subscriber *subscriber, enum close_reason reason);
/* It is asked for what comes next. Where that is its last event, or it has had all that it gets,
 * the end is pending. */
void subscriber_meet_end(struct subscriber *subscriber);
/* It comes back after the entry, whose id could not say that it is the last one: where it is, it
 * has ended. */
void subscriber_end_after(struct subscriber *subscriber, uint64_t sequence);

/* subscriber_rest.c: checks are looked at event by event, and a client can ask for a window full of
 * them: the loop is not held up for one. */

/* It may look at as much again in one go. */
void subscriber_refresh(struct subscriber *subscriber);
/* Likewise, and at as much as a search may take that cannot rest. */
void subscriber_refresh_for_search(struct subscriber *subscriber);
/* An interval's newest is looked for all at once: from `sequence` on that takes too long. */
bool subscriber_searches_long(struct subscriber *subscriber, uint64_t sequence);
/* Its checks have refused the entry: a look that gave nothing to write. */
void subscriber_spend_look(struct subscriber *subscriber, const struct window_entry *entry);
/* It has looked at enough for now. */
static inline bool subscriber_is_tired(const struct subscriber *subscriber)
{
	return subscriber->checks && !subscriber->look_bytes;
}
/* It is idle, and looks at nothing, until its turn comes to go on. */
void subscriber_rest(struct subscriber *subscriber);
void subscriber_leave_rest(struct subscriber *subscriber);
/* Some of those that rest go on; where others are left the loop has another turn soon. */
void subscriber_wake_resting(struct fanout *fanout);

/* subscriber_checks.c: what narrows it. */

/* Into and out of the list of its feed where those without route keys are found: by their checks,
 * or because they take all. */
void subscriber_enter_roster(struct subscriber *subscriber);
void subscriber_leave_roster(struct subscriber *subscriber);

/* subscriber_position.c: how far a tracked one has got. */

/* What is pending, or the position, is about to change: what was reached is kept, and counts. */
void subscriber_hold(struct subscriber *subscriber);
/* Nothing is pending any more: the position says how far it has got, where it has not ended. */
void subscriber_release(struct subscriber *subscriber);
/* The frame before the cursor was consumed: it is what was reached, also when what comes next has
 * left the window. */
void subscriber_pass_frames(struct subscriber *subscriber);
/* These were consumed, the last perhaps in part, and have left the window since the peek. */
void subscriber_pass_written(struct subscriber *subscriber, struct slice frames);
/* Is the frame's id a position? Where the stream takes its ids from the events, it is that of those
 * without one, and of notices. */
bool subscriber_has_window_id(const struct feed *feed, struct slice frame);

/* subscriber_resume.c: where a subscriber begins. */

/* `connected` was said, and the welcome with it. */
void subscriber_drop_welcome(struct subscriber *subscriber);

/* The feed is ready: decides where it begins. */
void subscriber_attach(struct subscriber *subscriber);
/* The id of the stream's own that it came with is not known: goes on where on_gap says. */
void subscriber_miss_custom_id(struct subscriber *subscriber);

/* subscriber_replay.c: the way through a replay job, and from there to the window. */

/* A position of its own, from now on; `own` is copied. */
void subscriber_set_own(struct subscriber *subscriber, const struct position *own);
/* LIVE from `own` on, where the window reaches back so far. */
bool subscriber_try_window(struct subscriber *subscriber, const struct position *own);
/* `own` is copied. */
void subscriber_begin_replay(struct subscriber *subscriber, const struct position *own,
			     enum replay_mode mode, uint32_t last);
/* The same for whatever a job can be asked for. */
void subscriber_ask_replay(struct subscriber *subscriber, const struct position *own,
			   const struct replay_wish *wish);
/* LIVE and with nothing of the window to write: reads again from `level`, where all before was
 * delivered; others are left alone. */
void subscriber_replay_from(struct subscriber *subscriber, const struct position *level);
/* Too far behind for its speed, yet moving: what the window is about to drop is read again for it.
 */
void subscriber_retreat_if_needed(struct subscriber *subscriber);
/* A topic was made anew: a position of its own may be one of the old log, and is compared with the
 * new one. */
void subscriber_recheck(struct subscriber *subscriber);
/* Its job has come back. */
void subscriber_take_chunk(struct subscriber *subscriber);
/* The chunk is written: asks for the next one, or goes live. */
void subscriber_go_on(struct subscriber *subscriber);
/* Its checks are others: the job reads on with them, from where the last chunk that came ends. */
void subscriber_renew_job(struct subscriber *subscriber);
/* It goes away: its job is freed, or told so. */
void subscriber_leave_replay(struct subscriber *subscriber);
/* The position of one who has everything before `sequence`, which is in `segment` or right after
 * it. Initialises *position. */
void subscriber_position_at(const struct window_segment *segment, uint64_t sequence,
			    struct position *position);

/* subscriber_merge.c: the window with ids of its own. */

/* LIVE with a position of its own: makes `pending` of the frames that come next, with its own ids.
 * Ends when the window's ids are right. */
void subscriber_merge(struct subscriber *subscriber);
/* Appends the frame with the id of another position, unless its id is the event's own. */
void subscriber_append_with_id(const struct subscriber *subscriber, const struct position *position,
			       struct slice frame, struct buffer *out);
/* A position of its own that says no more than the window's is none. */
void subscriber_drop_level_own(struct subscriber *subscriber);

#endif
