/*
 * subscriber: one client's open stream: a cursor on its feed's window, and no queue.
 *
 * It belongs to one loop thread, as its fanout does; every function here is called on that thread.
 *
 * Life: subscriber_new() when the carrier has sent the response head; the feed side calls
 * carrier->ready when there is something to write; the carrier peeks and consumes; it ends by the
 * carrier (client gone), by the feed side (its last event, its age, an expired token, a gap), or by
 * subscriber_end(): then subscriber_ended() is true once the last bytes were consumed, and the
 * carrier closes. The carrier always calls subscriber_free(), and nobody else does.
 */
#ifndef SLUICE_FEED_SUBSCRIBER_H
#define SLUICE_FEED_SUBSCRIBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "feed/carrier.h"
#include "feed/close_reason.h"

struct buffer;
struct checks;
struct fanout;
struct feed;
struct position;
struct route_keys;
struct subscriber;

/* Where it begins, what it gets, and what ends it. Slices and positions are copied; of checks it
 * takes references of its own. */
struct subscriber_start {
	/* From Last-Event-ID; NULL: as the stream's `start` says. */
	const struct position *position;
	struct slice custom_id; /* a Last-Event-ID of a stream with ids of its own; else empty */
	bool has_since;         /* else, where there is no id: from this time on */
	int64_t since_ms;       /* since 1970, not negative */
	bool has_stale_cursor;  /* its cursor's position is another feed's: that is a gap, first */
	bool has_last;          /* the request says how many of the last events come first, for
				   STREAM_START_LAST; else the stream does */
	uint32_t last;          /* 0: none, as for STREAM_START_LATEST */
	struct slice welcome;  /* the frame that comes after `connected`, without an id; or empty */
	struct checks *checks; /* what narrows it; not NULL only where the stream keeps records */
	uint32_t interval_ms;  /* at most one event in so long, or one of each key where the
				  stream's interval is per key; 0: every event */
	bool is_bounded;       /* it ends when it has what there is at its attachment */
	struct checks *end_when; /* it ends with the first event that passes; NULL: the feed's own
				    count */
	bool tracked;            /* subscriber_position() will be asked */
};

/*
 * `keys` is taken over: its bytes are the subscriber's and *keys is zeroed. A reference on `feed`
 * is taken over too. The carrier must outlive the subscriber. `expires_unix_ms`: when the token
 * does; INT64_MAX: never.
 */
struct subscriber *subscriber_new(struct fanout *fanout, struct feed *feed, struct route_keys *keys,
				  const struct subscriber_start *start, int64_t expires_unix_ms,
				  struct carrier *carrier);

/*
 * What can be written now, up to `max` bytes (at least one frame or the rest of one begun, cut at
 * `max`), contiguous: in the window itself, or in the loop's scratch of FANOUT_SCRATCH_BYTES. Valid
 * until the next call on any subscriber of the loop, or the end of the turn. Empty: nothing now;
 * carrier->ready comes when there is. The same bytes are given until they are consumed: a carrier
 * may peek for the length first and peek again to copy.
 */
struct slice subscriber_peek(struct subscriber *subscriber, size_t max);

/* `n` of the bytes that the last peek gave were handed to the socket. */
void subscriber_consume(struct subscriber *subscriber, size_t n);

/* Its connection has taken bytes of others: while it does, nobody waits for this one. */
void subscriber_note_progress(struct subscriber *subscriber);

/*
 * Appends the event id up to which everything was consumed; a frame that is half written does not
 * count. Where a stream takes its ids from the events and a replay is half written, it may be an
 * earlier one. False, and nothing is appended, where there is none yet. The subscriber is tracked,
 * or has nothing to write.
 */
bool subscriber_position(struct subscriber *subscriber, struct buffer *id);

/*
 * Narrows it by other checks from the next event on that it looks at; what was handed to it before
 * is history. `checks` is borrowed, NULL: none. Not between a peek and its consume.
 */
void subscriber_set_checks(struct subscriber *subscriber, struct checks *checks);

/* True when it has ended and everything was consumed: the carrier closes the stream in good order
 * and frees it. */
bool subscriber_ended(const struct subscriber *subscriber);

/* Why one that has ended did. */
enum close_reason subscriber_close_reason(const struct subscriber *subscriber);

/*
 * Ends it from the feed side or the handler: `frame` (copied, complete SSE bytes, may be empty) is
 * the last thing that it gets, at the next frame's boundary. Idempotent: the first reason counts.
 */
void subscriber_end(struct subscriber *subscriber, enum close_reason reason, struct slice frame);

/* Ends it because its token does not count any more, with an event that says so. */
void subscriber_revoke(struct subscriber *subscriber);

/* The carrier's: `reason` counts only where it has not ended by itself before. Takes it out of the
 * fanout and frees it. */
void subscriber_free(struct subscriber *subscriber, enum close_reason reason);

#endif
