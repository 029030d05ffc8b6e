#include <stdlib.h>

#include "base/metrics.h"
#include "event/event_id.h"
#include "event/frame.h"
#include "feed/notice_priv.h"
#include "feed/subscriber_priv.h"

void subscriber_drop_welcome(struct subscriber *subscriber)
{
	free(subscriber->welcome);
	subscriber->welcome = NULL;
}

/* `position` NULL: where it begins is not known yet. */
static void say_connected(struct subscriber *subscriber, const struct position *position)
{
	struct buffer id = {0}, frame = {0};

	if (position)
		event_id_encode(subscriber->at->feed->hash, 0, position, &id);
	notice_append_connected(&frame, buffer_slice(&id), subscriber->at->feed->stream->name,
				subscriber->welcome);
	subscriber_push(subscriber, buffer_slice(&frame), 0);
	subscriber_drop_welcome(subscriber);
	buffer_free(&id);
	buffer_free(&frame);
}

/* At the newest event; everything before it counts as delivered. */
static void go_live_at_head(struct subscriber *subscriber)
{
	subscriber->state = SUBSCRIBER_LIVE;
	subscriber->cursor = subscriber->until = subscriber_horizon(subscriber);
}

static void start_latest(struct subscriber *subscriber)
{
	say_connected(subscriber, &subscriber->at->position);
	go_live_at_head(subscriber);
}

/* False: a replay job is asked, which goes live whatever has come meanwhile. */
static bool try_window(struct subscriber *subscriber, const struct position *own)
{
	return subscriber_try_window(subscriber, own) &&
	       !subscriber_searches_long(subscriber, subscriber->cursor);
}

static void start_earliest(struct subscriber *subscriber)
{
	struct position origin;

	position_init(&origin, subscriber->at->feed->topic_count);
	if (try_window(subscriber, &origin)) {
		say_connected(subscriber, &origin);
	} else {
		subscriber_begin_replay(subscriber, &origin, REPLAY_EARLIEST, 0);
	}
	position_fini(&origin);
}

/* What a search of the window looks for. */
struct sought {
	struct subscriber *subscriber; /* NULL: whosever it is */
	struct slice id;
	uint32_t left; /* still to be found */
};

/*
 * The newest entry that `is_it` says yes to, or false where none is in the window, or the search is
 * longer than its subscriber may make it. It goes through a segment at a time: a client can ask for
 * a search of all of the window.
 */
static bool find_back(const struct subscriber *subscriber, struct sought *sought,
		      bool (*is_it)(struct sought *sought, const struct window_segment *segment,
				    const struct window_entry *entry),
		      uint64_t *found)
{
	const struct window *window = subscriber->at->feed->window;
	uint64_t tail = window_tail(window), end;

	for (uint64_t sequence = subscriber->at->dispatched; sequence > tail;) {
		const struct window_segment *segment = window_find(window, sequence - 1, &end);

		if (!segment)
			return false;
		if (sought->subscriber && !subscriber_may_match(sought->subscriber, segment)) {
			sequence = segment->first;
			continue;
		}
		for (; sequence > segment->first; sequence--) {
			if (sought->subscriber && subscriber_is_tired(sought->subscriber))
				return false;
			if (!is_it(sought, segment, window_entry_at(segment, sequence - 1)))
				continue;
			*found = sequence - 1;
			return true;
		}
	}
	return false;
}

static bool is_last(struct sought *sought, const struct window_segment *segment,
		    const struct window_entry *entry)
{
	return entry->kind == WINDOW_EVENT &&
	       subscriber_matches(sought->subscriber, segment, entry) && --sought->left == 0;
}

/* Right before `sequence`; false where it has left the window. */
static bool go_live_at(struct subscriber *subscriber, uint64_t sequence)
{
	uint64_t end;
	const struct window_segment *segment =
	    window_find(subscriber->at->feed->window, sequence, &end);
	struct position own;

	if (!segment)
		return false;
	subscriber_position_at(segment, sequence, &own);
	say_connected(subscriber, &own);
	subscriber_set_own(subscriber, &own);
	position_fini(&own);
	subscriber->state = SUBSCRIBER_LIVE;
	subscriber->cursor = sequence;
	subscriber->until = subscriber_horizon(subscriber);
	return true;
}

static void start_last(struct subscriber *subscriber, uint32_t n)
{
	struct sought sought = {.subscriber = subscriber, .left = n};
	uint64_t sequence = 0;

	if (!n) {
		start_latest(subscriber);
		return;
	}
	subscriber_refresh_for_search(subscriber);
	if (find_back(subscriber, &sought, is_last, &sequence) && go_live_at(subscriber, sequence))
		conflation_spare(subscriber);
	else
		subscriber_begin_replay(subscriber, &subscriber->at->position, REPLAY_LAST, n);
}

/*
 * Another replica may know a few partitions that this one has not discovered yet. An id that names
 * many more is made up: it costs no memory, and the broker is not asked for them.
 */
static void forget_made_up(struct position *asked, const struct position *known)
{
	enum { UNDISCOVERED_PARTITIONS = 64 };

	for (uint32_t t = 0; t < known->topic_count; t++)
		position_truncate(asked, t,
				  known->topics[t].partition_count + UNDISCOVERED_PARTITIONS);
}

/*
 * An id that is not ahead of this replica anywhere can be served from the window as it is. One that
 * is ahead may be another replica's, which has read further, or wrong: a replay job asks the
 * broker.
 */
static void resume(struct subscriber *subscriber, struct position *asked)
{
	forget_made_up(asked, &subscriber->at->position);
	say_connected(subscriber, asked);
	if (position_at_or_before(asked, &subscriber->at->position) &&
	    try_window(subscriber, asked))
		metrics_add(METRIC_REPLAYS_WINDOW, 1);
	else
		subscriber_begin_replay(subscriber, asked, REPLAY_RESUME, 0);
}

static bool has_sought_id(struct sought *sought, const struct window_segment *segment,
			  const struct window_entry *entry)
{
	return slice_equal(frame_id(window_frame(segment, entry)), sought->id);
}

/* Without what is missed: that is not known. */
static void say_gap(struct subscriber *subscriber, const char *reason)
{
	struct buffer frame = {0};

	notice_append_gap(&frame, (struct slice){0}, reason, NULL, 0);
	metrics_add(METRIC_GAPS, 1);
	subscriber_push(subscriber, buffer_slice(&frame), 0);
	buffer_free(&frame);
}

static bool resume_custom_from_window(struct subscriber *subscriber, struct slice id)
{
	struct sought sought = {.id = id};
	uint64_t sequence = 0;

	if (!find_back(subscriber, &sought, has_sought_id, &sequence))
		return false;
	if (sequence + 1 == subscriber->at->dispatched)
		start_latest(subscriber);
	else if (!go_live_at(subscriber, sequence + 1))
		return false;
	subscriber_end_after(subscriber, sequence);
	if (subscriber->state == SUBSCRIBER_LIVE &&
	    subscriber_searches_long(subscriber, subscriber->cursor))
		subscriber_begin_replay(subscriber, subscriber->own, REPLAY_RESUME, 0);
	return true;
}

void subscriber_miss_custom_id(struct subscriber *subscriber)
{
	say_gap(subscriber, "unknown_id");
	switch (subscriber->at->feed->stream->on_gap) {
	case STREAM_GAP_EARLIEST:
		start_earliest(subscriber);
		break;
	case STREAM_GAP_LATEST:
		start_latest(subscriber);
		break;
	case STREAM_GAP_CLOSE:
		subscriber_end(subscriber, CLOSE_GAP, (struct slice){0});
		break;
	}
}

/* What the window does not have the journal may; the job says `connected` when it knows where. */
static void resume_custom(struct subscriber *subscriber, const char *id)
{
	const struct replay_wish wish = {.mode = REPLAY_CUSTOM, .custom_id = id};

	if (resume_custom_from_window(subscriber, slice_of(id)))
		metrics_add(METRIC_REPLAYS_WINDOW, 1);
	else if (subscriber->at->feed->stream->journal_retain_ms)
		subscriber_ask_replay(subscriber, &subscriber->at->position, &wish);
	else
		subscriber_miss_custom_id(subscriber);
}

static void start_since(struct subscriber *subscriber)
{
	const struct replay_wish wish = {.mode = REPLAY_SINCE, .since_ms = subscriber->since_ms};

	subscriber_ask_replay(subscriber, &subscriber->at->position, &wish);
}

static void start(struct subscriber *subscriber)
{
	switch (subscriber->at->feed->stream->start) {
	case STREAM_START_LATEST:
		start_latest(subscriber);
		break;
	case STREAM_START_EARLIEST:
		start_earliest(subscriber);
		break;
	case STREAM_START_LAST:
		start_last(subscriber, subscriber->last);
		break;
	case STREAM_START_CURRENT:
		say_connected(subscriber, NULL);
		subscriber_begin_replay(subscriber, &subscriber->at->position, REPLAY_CURRENT, 0);
		break;
	}
}

void subscriber_attach(struct subscriber *subscriber)
{
	subscriber_mark_bound(subscriber);
	if (subscriber->asked) {
		resume(subscriber, subscriber->asked);
		position_fini(subscriber->asked);
		free(subscriber->asked);
		subscriber->asked = NULL;
	} else if (subscriber->custom_id) {
		resume_custom(subscriber, subscriber->custom_id);
		free(subscriber->custom_id);
		subscriber->custom_id = NULL;
	} else {
		if (subscriber->has_stale_cursor)
			say_gap(subscriber, "stale_cursor");
		if (subscriber->since_ms >= 0)
			start_since(subscriber);
		else
			start(subscriber);
	}
	subscriber_tell(subscriber);
}
