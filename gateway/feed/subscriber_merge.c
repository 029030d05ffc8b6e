/* Frames of the window with ids of a subscriber's own position, until it is level with the window.
 */
#include <stdlib.h>

#include "event/frame.h"
#include "feed/subscriber_priv.h"

void subscriber_drop_level_own(struct subscriber *subscriber)
{
	if (!subscriber->own || subscriber->state != SUBSCRIBER_LIVE ||
	    subscriber->cursor != subscriber->until ||
	    !position_at_or_before(subscriber->own, subscriber_horizon_position(subscriber)))
		return;
	position_fini(subscriber->own);
	free(subscriber->own);
	subscriber->own = NULL;
}

void subscriber_append_with_id(const struct subscriber *subscriber, const struct position *position,
			       struct slice frame, struct buffer *out)
{
	if (subscriber_has_window_id(subscriber->at->feed, frame)) {
		feed_append_id_line(subscriber->at->feed, position, out);
		frame = frame_after_id(frame);
	}
	buffer_append_slice(out, frame);
}

/* Appends the next frames of one segment, up to the loop's usual portion. */
static uint32_t merge_segment(struct subscriber *subscriber, const struct window_segment *segment,
			      uint64_t end, struct buffer *out)
{
	struct position *own = subscriber->own;
	uint32_t events = 0;

	for (; subscriber->state == SUBSCRIBER_LIVE && subscriber->cursor < end &&
	       out->len < FANOUT_SCRATCH_BYTES && !subscriber_is_tired(subscriber);
	     subscriber->cursor++) {
		const struct window_entry *entry = window_entry_at(segment, subscriber->cursor);

		if (entry->offset < position_get(own, entry->topic, entry->partition))
			continue;
		position_set(own, entry->topic, entry->partition, entry->offset + 1);
		if (!subscriber_matches(subscriber, segment, entry))
			continue;
		if (subscriber_ends_with(subscriber, segment, entry))
			subscriber_append_last(subscriber, own, window_frame(segment, entry), out);
		else
			subscriber_append_with_id(subscriber, own, window_frame(segment, entry),
						  out);
		events += subscriber_count_entry(entry);
	}
	return events;
}

/* What is before `end` is for others. */
static void pass_over(struct subscriber *subscriber, uint64_t end)
{
	const struct fanout_feed *at = subscriber->at;
	const struct window_segment *next;
	uint64_t after;

	if (end == subscriber_horizon(subscriber))
		position_merge(subscriber->own, subscriber_horizon_position(subscriber));
	else if ((next = window_find(at->feed->window, end, &after)))
		position_merge(subscriber->own, &next->start);
	subscriber->cursor = end;
}

void subscriber_merge(struct subscriber *subscriber)
{
	struct buffer out = {0};
	uint32_t events = 0;
	bool lost = false;

	if (subscriber->state != SUBSCRIBER_LIVE)
		return;
	subscriber_hold(subscriber);
	while (subscriber->state == SUBSCRIBER_LIVE && subscriber->cursor < subscriber->until &&
	       out.len < FANOUT_SCRATCH_BYTES && !subscriber_is_tired(subscriber)) {
		uint64_t end;
		const struct window_segment *segment =
		    window_find(subscriber->at->feed->window, subscriber->cursor, &end);

		lost = !segment;
		if (lost)
			break;
		if (end > subscriber->until)
			end = subscriber->until;
		if (subscriber_may_match(subscriber, segment))
			events += merge_segment(subscriber, segment, end, &out);
		else
			pass_over(subscriber, end);
	}
	if (out.len)
		subscriber_push(subscriber, buffer_slice(&out), events);
	else if (lost)
		subscriber_begin_replay(subscriber, subscriber->own, REPLAY_RESUME, 0);
	else if (subscriber->cursor < subscriber->until)
		subscriber_rest(subscriber);
	if (!subscriber->pending)
		subscriber_release(subscriber);
	buffer_free(&out);
	subscriber_drop_level_own(subscriber);
}
