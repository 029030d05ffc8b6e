/*
 * A subscriber ends by itself in one of two ways: where it is bounded, when it has what there was
 * at its attachment; and with the first event that its end_when lets pass. What it still gets is
 * then pending, and it has ended behind that.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "event/frame.h"
#include "feed/checks.h"
#include "feed/ending_priv.h"
#include "feed/subscriber_priv.h"

struct subscriber_ending *subscriber_ending_new(const struct feed *feed,
						const struct subscriber_start *start)
{
	struct checks *when = start->end_when ? start->end_when : feed->end_when;
	struct subscriber_ending *ending;

	if (!when && !start->is_bounded)
		return NULL;
	ending = MEM_NEW(struct subscriber_ending);
	ending->when = checks_ref(when);
	ending->is_bounded = start->is_bounded;
	return ending;
}

void subscriber_ending_free(struct subscriber_ending *ending)
{
	if (!ending)
		return;
	checks_unref(ending->when);
	if (ending->is_marked)
		position_fini(&ending->at);
	free(ending);
}

void subscriber_mark_bound(struct subscriber *subscriber)
{
	struct subscriber_ending *ending = subscriber->ending;

	if (!subscriber_is_bounded(subscriber))
		return;
	ending->is_marked = true;
	ending->sequence = subscriber->at->dispatched;
	position_copy(&ending->at, &subscriber->at->position);
}

void subscriber_hand_ending(const struct subscriber *subscriber, struct replay_job *job)
{
	if (!subscriber->ending)
		return;
	job->end_when = checks_ref(subscriber->ending->when);
	if (!subscriber_is_bounded(subscriber))
		return;
	job->bound = MEM_NEW(struct position);
	position_copy(job->bound, &subscriber->ending->at);
}

bool subscriber_ends_with(const struct subscriber *subscriber, const struct window_segment *segment,
			  const struct window_entry *entry)
{
	return subscriber->ending && subscriber->ending->when && entry->kind == WINDOW_EVENT &&
	       fanout_feed_passes(subscriber->at, subscriber->ending->when, segment, entry);
}

void subscriber_set_ended(struct subscriber *subscriber, enum close_reason reason)
{
	subscriber->state = SUBSCRIBER_ENDED;
	subscriber->reason = (uint8_t)reason;
}

void subscriber_append_last(struct subscriber *subscriber, const struct position *position,
			    struct slice frame, struct buffer *out)
{
	const struct feed *feed = subscriber->at->feed;

	if (subscriber_has_window_id(feed, frame)) {
		ending_append_id_line(feed, position, out);
		frame = frame_after_id(frame);
	}
	buffer_append_slice(out, frame);
	ending_append_notice(feed, position, CLOSE_END_WHEN, out);
	subscriber_set_ended(subscriber, CLOSE_END_WHEN);
}

/* The cursor's event is the last one, and in `segment`. */
static void end_with(struct subscriber *subscriber, const struct window_segment *segment)
{
	const struct window_entry *entry = window_entry_at(segment, subscriber->cursor);
	struct position position;
	struct buffer out = {0};

	subscriber_hold(subscriber);
	subscriber_position_at(segment, subscriber->cursor + 1, &position);
	subscriber_append_last(subscriber, &position, window_frame(segment, entry), &out);
	subscriber_push(subscriber, buffer_slice(&out), subscriber_count_entry(entry));
	position_fini(&position);
	buffer_free(&out);
}

/* Without another event. */
static void end_at(struct subscriber *subscriber, const struct position *position,
		   enum close_reason reason)
{
	struct buffer out = {0};

	ending_append_notice(subscriber->at->feed, position, reason, &out);
	subscriber_push(subscriber, buffer_slice(&out), 0);
	subscriber_set_ended(subscriber, reason);
	buffer_free(&out);
}

static void end_backlog(struct subscriber *subscriber)
{
	struct position position;

	position_copy(&position, &subscriber->ending->at);
	if (subscriber->own)
		position_merge(&position, subscriber->own);
	end_at(subscriber, &position, CLOSE_BACKLOG);
	position_fini(&position);
}

void subscriber_meet_end(struct subscriber *subscriber)
{
	const struct window_segment *segment = NULL;

	/* What is left for an interval's end, its last event too, goes out by conflation_flush().
	 */
	if (subscriber->state != SUBSCRIBER_LIVE || subscriber->pending || subscriber->frame_at ||
	    conflation_lags(subscriber))
		return;
	if (!subscriber->conflation)
		segment = subscriber_next_match(subscriber);
	if (segment &&
	    subscriber_ends_with(subscriber, segment, window_entry_at(segment, subscriber->cursor)))
		end_with(subscriber, segment);
	else if (!segment && subscriber->state == SUBSCRIBER_LIVE &&
		 subscriber_is_bounded(subscriber) && subscriber->cursor == subscriber->until)
		end_backlog(subscriber);
}

void subscriber_end_after(struct subscriber *subscriber, uint64_t sequence)
{
	const struct fanout_feed *at = subscriber->at;
	uint64_t end;
	const struct window_segment *segment = window_find(at->feed->window, sequence, &end);
	const struct window_entry *entry = segment ? window_entry_at(segment, sequence) : NULL;

	if (entry && subscriber_matches(subscriber, segment, entry) &&
	    subscriber_ends_with(subscriber, segment, entry))
		end_at(subscriber, &at->position, CLOSE_END_WHEN);
}
