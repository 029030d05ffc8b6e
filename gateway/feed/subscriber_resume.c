#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "event/event_id.h"
#include "event/frame.h"
#include "feed/notice_priv.h"
#include "feed/subscriber_priv.h"

static void set_own(struct subscriber *subscriber, const struct position *own)
{
	if (!subscriber->own) {
		subscriber->own = MEM_NEW(struct position);
		position_copy(subscriber->own, own);
	} else if (subscriber->own != own) {
		position_assign(subscriber->own, own);
	}
}

static void drop_own(struct subscriber *subscriber)
{
	position_fini(subscriber->own);
	free(subscriber->own);
	subscriber->own = NULL;
}

static void append_id(const struct subscriber *subscriber, const struct position *position,
		      struct buffer *out)
{
	event_id_encode(subscriber->at->feed->hash, 0, position, out);
}

void subscriber_position_at(const struct window_segment *segment, uint64_t sequence,
			    struct position *position)
{
	position_copy(position, &segment->start);
	for (uint64_t s = segment->first; s < sequence; s++) {
		const struct window_entry *entry = window_entry_at(segment, s);

		position_set(position, entry->topic, entry->partition, entry->offset + 1);
	}
}

/* `position` NULL: where it begins is not known yet. */
static void say_connected(struct subscriber *subscriber, const struct position *position)
{
	struct buffer id = {0}, frame = {0};

	if (position)
		append_id(subscriber, position, &id);
	notice_append_connected(&frame, buffer_slice(&id), subscriber->at->feed->stream->name);
	subscriber_push(subscriber, buffer_slice(&frame), 0);
	buffer_free(&id);
	buffer_free(&frame);
}

/* At the newest event; everything before it counts as delivered. */
static void go_live_at_head(struct subscriber *subscriber)
{
	subscriber->state = SUBSCRIBER_LIVE;
	subscriber->cursor = subscriber->until = subscriber->at->dispatched;
}

static bool try_window(struct subscriber *subscriber, const struct position *own)
{
	struct fanout_feed *at = subscriber->at;
	uint64_t sequence;

	if (!window_seek(at->feed->window, own, at->dispatched, &at->position, &sequence))
		return false;
	set_own(subscriber, own);
	subscriber->state = SUBSCRIBER_LIVE;
	subscriber->cursor = sequence;
	subscriber->until = at->dispatched;
	return true;
}

void subscriber_begin_replay(struct subscriber *subscriber, const struct position *own,
			     enum replay_mode mode, uint32_t last)
{
	struct fanout *fanout = subscriber->at->fanout;
	const struct route_keys keys = {
	    .bytes.base = subscriber->keys,
	    .bytes.len = subscriber->keys_len,
	    .count = subscriber->key_count,
	};

	set_own(subscriber, own);
	subscriber->state = SUBSCRIBER_REPLAYING;
	subscriber->job = replay_job_new(fanout->replay, fanout, subscriber, subscriber->at->feed,
					 &keys, own, mode, last);
	metrics_add(METRIC_REPLAYS_KAFKA, 1);
	replay_submit(fanout->replay, subscriber->job);
}

void subscriber_replay_from(struct subscriber *subscriber, const struct position *level)
{
	struct position own;

	if (subscriber->state != SUBSCRIBER_LIVE || subscriber->frame_at ||
	    subscriber->cursor != subscriber->until)
		return;
	position_copy(&own, level);
	if (subscriber->own)
		position_merge(&own, subscriber->own);
	subscriber_begin_replay(subscriber, &own, REPLAY_RESUME, 0);
	position_fini(&own);
}

void subscriber_recheck(struct subscriber *subscriber)
{
	if (subscriber->state == SUBSCRIBER_REPLAYING)
		subscriber->recheck = true;
	else if (subscriber->state == SUBSCRIBER_LIVE && subscriber->own)
		subscriber_begin_replay(subscriber, subscriber->own, REPLAY_RESUME, 0);
}

static void start_earliest(struct subscriber *subscriber)
{
	struct position origin;

	position_init(&origin, subscriber->at->feed->topic_count);
	if (try_window(subscriber, &origin)) {
		say_connected(subscriber, &origin);
	} else {
		/* The origin's id would be one that retention has overtaken. */
		say_connected(subscriber, NULL);
		subscriber_begin_replay(subscriber, &origin, REPLAY_EARLIEST, 0);
	}
	position_fini(&origin);
}

/* What a search of the window looks for. */
struct sought {
	struct subscriber *subscriber;
	struct slice id;
	uint32_t left; /* still to be found */
};

/*
 * The newest entry that `is_it` says yes to, or false where none is in the window. It goes through
 * a segment at a time: a client can ask for a search of all of the window.
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
		for (; sequence > segment->first; sequence--) {
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
	set_own(subscriber, &own);
	position_fini(&own);
	subscriber->state = SUBSCRIBER_LIVE;
	subscriber->cursor = sequence;
	subscriber->until = subscriber->at->dispatched;
	return true;
}

static void start_last(struct subscriber *subscriber, uint32_t n)
{
	struct sought sought = {.subscriber = subscriber, .left = n};
	uint64_t sequence = 0;

	if (find_back(subscriber, &sought, is_last, &sequence) && go_live_at(subscriber, sequence))
		return;
	say_connected(subscriber, NULL);
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

static void say_unknown_id(struct subscriber *subscriber)
{
	struct buffer frame = {0};

	notice_append_gap(&frame, (struct slice){0}, "unknown_id", NULL, 0);
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
	if (sequence + 1 < subscriber->at->dispatched)
		return go_live_at(subscriber, sequence + 1);
	say_connected(subscriber, &subscriber->at->position);
	go_live_at_head(subscriber);
	return true;
}

static void resume_custom(struct subscriber *subscriber, struct slice id)
{
	if (resume_custom_from_window(subscriber, id)) {
		metrics_add(METRIC_REPLAYS_WINDOW, 1);
		return;
	}
	say_unknown_id(subscriber);
	switch (subscriber->at->feed->stream->on_gap) {
	case STREAM_GAP_EARLIEST:
		start_earliest(subscriber);
		break;
	case STREAM_GAP_LATEST:
		say_connected(subscriber, &subscriber->at->position);
		go_live_at_head(subscriber);
		break;
	case STREAM_GAP_CLOSE:
		subscriber_end(subscriber, CLOSE_GAP, (struct slice){0});
		break;
	}
}

static void start(struct subscriber *subscriber)
{
	const struct stream *stream = subscriber->at->feed->stream;

	switch (stream->start) {
	case STREAM_START_LATEST:
		say_connected(subscriber, &subscriber->at->position);
		go_live_at_head(subscriber);
		break;
	case STREAM_START_EARLIEST:
		start_earliest(subscriber);
		break;
	case STREAM_START_LAST:
		start_last(subscriber, stream->start_last);
		break;
	}
}

void subscriber_attach(struct subscriber *subscriber)
{
	if (subscriber->asked) {
		resume(subscriber, subscriber->asked);
		position_fini(subscriber->asked);
		free(subscriber->asked);
		subscriber->asked = NULL;
	} else if (subscriber->custom_id) {
		resume_custom(subscriber, slice_of(subscriber->custom_id));
		free(subscriber->custom_id);
		subscriber->custom_id = NULL;
	} else {
		start(subscriber);
	}
	subscriber_tell(subscriber);
}

void subscriber_take_chunk(struct subscriber *subscriber)
{
	struct replay_job *job = subscriber->job;

	if (subscriber->state == SUBSCRIBER_ENDED)
		return;
	set_own(subscriber, &job->own);
	job->chunk_at_ms = subscriber->at->fanout->now_ms;
	if (job->chunk.len) {
		subscriber_push(subscriber, buffer_slice(&job->chunk), job->chunk_events);
		buffer_free(&job->chunk);
	} else if (!subscriber->pending) {
		subscriber_go_on(subscriber);
	}
	subscriber_tell(subscriber);
}

static void finish_replay(struct subscriber *subscriber)
{
	subscriber->job->subscriber = NULL;
	replay_job_free(subscriber->at->fanout->replay, subscriber->job);
	subscriber->job = NULL;
}

static void retry_later(struct subscriber *subscriber)
{
	struct fanout *fanout = subscriber->at->fanout;

	subscriber->job->place = REPLAY_WAITS;
	subscriber->job->next = fanout->retry;
	fanout->retry = subscriber->job;
}

void subscriber_go_on(struct subscriber *subscriber)
{
	struct replay_job *job = subscriber->job;
	struct replay *replay = subscriber->at->fanout->replay;

	if (job->place != REPLAY_AT_HOME)
		return;
	replay_chunk_done(replay, job);
	if (subscriber->recheck)
		job->checked = false;
	switch (job->result) {
	case REPLAY_DONE:
		if (!subscriber->recheck && try_window(subscriber, &job->own)) {
			finish_replay(subscriber);
			break;
		}
		/* fall through */
	case REPLAY_MORE:
		subscriber->recheck = false;
		replay_submit(replay, job);
		break;
	case REPLAY_FAILED:
		retry_later(subscriber);
		break;
	case REPLAY_CLOSE:
		subscriber_end(subscriber, CLOSE_GAP, (struct slice){0});
		break;
	}
}

void subscriber_leave_replay(struct subscriber *subscriber)
{
	struct replay_job *job = subscriber->job;

	if (!job)
		return;
	atomic_store(&job->cancelled, true);
	job->subscriber = NULL;
	if (job->place == REPLAY_AT_HOME)
		replay_job_free(subscriber->at->fanout->replay, job);
}

/* Is the frame's id the window's position? Where the stream takes its ids from the events, it is
 * that of an event without one, and of a notice. */
static bool has_window_id(const struct feed *feed, struct slice frame)
{
	struct position position;
	const char *reason;
	unsigned flags;

	if (!mapping_has_custom_id(feed->stream->mapping))
		return true;
	if (event_id_decode(frame_id(frame), feed->hash, &flags, &position, &reason))
		return false;
	position_fini(&position);
	return true;
}

/* The entry's frame with the subscriber's own id in place of the window's. */
static void append_with_own_id(const struct subscriber *subscriber, struct slice frame,
			       struct buffer *out)
{
	if (has_window_id(subscriber->at->feed, frame)) {
		feed_append_id_line(subscriber->at->feed, subscriber->own, out);
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

	for (; subscriber->cursor < end && out->len < FANOUT_SCRATCH_BYTES; subscriber->cursor++) {
		const struct window_entry *entry = window_entry_at(segment, subscriber->cursor);

		if (entry->offset < position_get(own, entry->topic, entry->partition))
			continue;
		position_set(own, entry->topic, entry->partition, entry->offset + 1);
		if (!subscriber_matches(subscriber, segment, entry))
			continue;
		append_with_own_id(subscriber, window_frame(segment, entry), out);
		events += subscriber_count_entry(entry);
	}
	return events;
}

void subscriber_merge(struct subscriber *subscriber)
{
	struct buffer out = {0};
	uint32_t events = 0;

	if (subscriber->state != SUBSCRIBER_LIVE)
		return;
	while (subscriber->cursor < subscriber->until && out.len < FANOUT_SCRATCH_BYTES) {
		uint64_t end;
		const struct window_segment *segment =
		    window_find(subscriber->at->feed->window, subscriber->cursor, &end);

		if (!segment)
			break;
		if (end > subscriber->until)
			end = subscriber->until;
		events += merge_segment(subscriber, segment, end, &out);
	}
	if (out.len)
		subscriber_push(subscriber, buffer_slice(&out), events);
	else if (subscriber->cursor < subscriber->until)
		subscriber_begin_replay(subscriber, subscriber->own, REPLAY_RESUME, 0);
	buffer_free(&out);
	if (subscriber->cursor == subscriber->until &&
	    position_at_or_before(subscriber->own, &subscriber->at->position))
		drop_own(subscriber);
}

void subscriber_append_id(struct subscriber *subscriber, struct buffer *out)
{
	struct position merged;
	struct buffer id = {0};

	if (!subscriber->own) {
		notice_append_id(out, fanout_feed_id(subscriber->at));
		return;
	}
	position_copy(&merged, subscriber->own);
	position_merge(&merged, &subscriber->at->position);
	append_id(subscriber, &merged, &id);
	notice_append_id(out, buffer_slice(&id));
	buffer_free(&id);
	position_fini(&merged);
}
