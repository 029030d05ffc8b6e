#include <stdlib.h>

#include "base/mem.h"
#include "event/event_id.h"
#include "event/frame.h"
#include "feed/subscriber_priv.h"

static void encode(const struct subscriber *subscriber, const struct position *position,
		   struct buffer *id)
{
	event_id_encode(subscriber->at->feed->hash, 0, position, id);
}

/* An id that is the stream's own says nothing of where the others stand. */
static bool is_position(const struct feed *feed, struct slice id)
{
	struct position position;
	const char *reason;
	unsigned flags;

	if (!id.len || event_id_decode(id, feed->hash, &flags, &position, &reason))
		return false;
	position_fini(&position);
	return true;
}

bool subscriber_has_window_id(const struct feed *feed, struct slice frame)
{
	return !mapping_has_custom_id(feed->stream->mapping) || is_position(feed, frame_id(frame));
}

/* Where the last frame of `bytes` ends, and where it begins. What comes after it is not whole. */
static size_t frames_end(struct slice bytes)
{
	size_t end = bytes.len;

	while (end >= 2 && (bytes.base[end - 1] != '\n' || bytes.base[end - 2] != '\n'))
		end--;
	return end >= 2 ? end : 0;
}

/* The position that the last whole one of these frames carries; empty: none does. */
static struct slice last_id(const struct feed *feed, struct slice frames)
{
	frames.len = frames_end(frames);
	while (frames.len) {
		size_t start = frames_end((struct slice){frames.base, frames.len - 1});
		struct slice id = frame_id((struct slice){frames.base + start, frames.len - start});

		if (is_position(feed, id))
			return id;
		frames.len = start;
	}
	return (struct slice){0};
}

static bool append_reached(const struct subscriber *subscriber, struct buffer *id)
{
	if (subscriber->reached)
		buffer_append_text(id, subscriber->reached);
	return subscriber->reached;
}

static bool append_held(const struct subscriber *subscriber, struct buffer *id)
{
	const struct pending *pending = subscriber->pending;
	struct slice last = {0};

	if (pending)
		last = last_id(subscriber->at->feed, (struct slice){pending->bytes, pending->at});
	if (!last.len)
		return append_reached(subscriber, id);
	buffer_append_slice(id, last);
	return true;
}

/* Of everything before `sequence`, which is in the segment that holds `in` or right after it. */
static bool append_at(const struct subscriber *subscriber, uint64_t in, uint64_t sequence,
		      struct buffer *id)
{
	const struct feed *feed = subscriber->at->feed;
	struct position position;
	uint64_t end;
	const struct window_segment *segment = window_find(feed->window, in, &end);

	if (!segment)
		return false;
	if (sequence > segment->first && !mapping_has_custom_id(feed->stream->mapping)) {
		const struct window_entry *before = window_entry_at(segment, sequence - 1);

		buffer_append_slice(id, frame_id(window_frame(segment, before)));
		return true;
	}
	subscriber_position_at(segment, sequence, &position);
	encode(subscriber, &position, id);
	position_fini(&position);
	return true;
}

static bool append_live(const struct subscriber *subscriber, struct buffer *id)
{
	struct position merged;

	if (conflation_lags(subscriber)) {
		conflation_position(subscriber, &merged);
		encode(subscriber, &merged, id);
		position_fini(&merged);
		return true;
	}
	/* What has left the window says nothing of where it stood. */
	if (subscriber->cursor < subscriber->until && !subscriber->own)
		return append_at(subscriber, subscriber->cursor, subscriber->cursor, id) ||
		       append_reached(subscriber, id);
	if (!subscriber->own && !subscriber_is_bounded(subscriber)) {
		buffer_append_slice(id, fanout_feed_id(subscriber->at));
		return true;
	}
	position_copy(&merged,
		      subscriber->own ? subscriber->own : subscriber_horizon_position(subscriber));
	if (subscriber->cursor == subscriber->until)
		position_merge(&merged, subscriber_horizon_position(subscriber));
	encode(subscriber, &merged, id);
	position_fini(&merged);
	return true;
}

static bool append_position(const struct subscriber *subscriber, struct buffer *id)
{
	if (subscriber->held)
		return append_held(subscriber, id);
	if (subscriber->state == SUBSCRIBER_LIVE)
		return append_live(subscriber, id);
	if (subscriber->state != SUBSCRIBER_REPLAYING || subscriber->unplaced)
		return false;
	encode(subscriber, subscriber->own, id);
	return true;
}

static void keep(struct subscriber *subscriber, bool known, struct slice id)
{
	free(subscriber->reached);
	subscriber->reached = known ? mem_strndup(id.base, id.len) : NULL;
}

bool subscriber_position(struct subscriber *subscriber, struct buffer *id)
{
	size_t before = id->len;
	bool known = append_position(subscriber, id);

	if (known && subscriber->tracked && !subscriber->held)
		keep(subscriber, true, (struct slice){id->base + before, id->len - before});
	return known;
}

void subscriber_hold(struct subscriber *subscriber)
{
	struct buffer id = {0};
	bool known;

	if (!subscriber->tracked || (subscriber->held && !subscriber->pending))
		return;
	known = append_position(subscriber, &id);
	keep(subscriber, known, buffer_slice(&id));
	subscriber->held = true;
	buffer_free(&id);
}

void subscriber_release(struct subscriber *subscriber)
{
	if (!subscriber->held)
		return;
	subscriber_hold(subscriber);
	subscriber->held = subscriber->state == SUBSCRIBER_ENDED;
}

void subscriber_pass_frames(struct subscriber *subscriber)
{
	struct buffer id = {0};

	if (subscriber->tracked &&
	    append_at(subscriber, subscriber->cursor - 1, subscriber->cursor, &id))
		keep(subscriber, true, buffer_slice(&id));
	buffer_free(&id);
}

void subscriber_pass_written(struct subscriber *subscriber, struct slice frames)
{
	struct slice id = {0};

	if (subscriber->tracked)
		id = last_id(subscriber->at->feed, frames);
	if (id.len)
		keep(subscriber, true, id);
}
