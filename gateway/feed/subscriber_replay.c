#include <stdlib.h>

#include "base/mem.h"
#include "feed/checks.h"
#include "feed/subscriber_priv.h"

void subscriber_set_own(struct subscriber *subscriber, const struct position *own)
{
	if (!subscriber->own) {
		subscriber->own = MEM_NEW(struct position);
		position_copy(subscriber->own, own);
	} else if (subscriber->own != own) {
		position_assign(subscriber->own, own);
	}
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

bool subscriber_try_window(struct subscriber *subscriber, const struct position *own)
{
	struct fanout_feed *at = subscriber->at;
	uint64_t sequence;

	if (!window_seek(at->feed->window, own, at->dispatched, &at->position, &sequence))
		return false;
	subscriber_set_own(subscriber, own);
	subscriber->state = SUBSCRIBER_LIVE;
	subscriber->until = subscriber_horizon(subscriber);
	subscriber->cursor = sequence < subscriber->until ? sequence : subscriber->until;
	return true;
}

void subscriber_begin_replay(struct subscriber *subscriber, const struct position *own,
			     enum replay_mode mode, uint32_t last)
{
	subscriber_ask_replay(subscriber, own, &(struct replay_wish){.mode = mode, .last = last});
}

void subscriber_ask_replay(struct subscriber *subscriber, const struct position *own,
			   const struct replay_wish *wish)
{
	struct fanout *fanout = subscriber->at->fanout;
	const struct route_keys keys = {
	    .bytes.base = subscriber->keys,
	    .bytes.len = subscriber->keys_len,
	    .count = subscriber->key_count,
	};

	conflation_forget(subscriber);
	subscriber_leave_rest(subscriber);
	subscriber_set_own(subscriber, own);
	subscriber->state = SUBSCRIBER_REPLAYING;
	subscriber->unplaced = wish->mode != REPLAY_RESUME;
	subscriber->slice_mode = (uint8_t)wish->mode;
	subscriber->job = replay_job_new(fanout->replay, fanout, subscriber, subscriber->at->feed,
					 &keys, own, wish);
	subscriber->job->checks = checks_ref(subscriber->checks);
	if (subscriber->welcome)
		subscriber->job->welcome = mem_strdup(subscriber->welcome);
	/* The last N are what was asked for. */
	if (subscriber->conflation && wish->mode != REPLAY_LAST)
		subscriber->job->conflates =
		    subscriber->conflation->by_key ? REPLAY_CONFLATES_KEYS : REPLAY_CONFLATES;
	subscriber_hand_ending(subscriber, subscriber->job);
	replay_submit(fanout->replay, subscriber->job);
}

void subscriber_replay_from(struct subscriber *subscriber, const struct position *level)
{
	struct position own;

	if (subscriber->state != SUBSCRIBER_LIVE || subscriber->frame_at ||
	    subscriber->cursor != subscriber->until || subscriber_is_bounded(subscriber))
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

/* The rest of a frame that has begun is kept. */
void subscriber_retreat_if_needed(struct subscriber *subscriber)
{
	struct window *window = subscriber->at->feed->window;
	uint64_t tail = window_tail(window), dispatched = subscriber->at->dispatched;
	const struct window_segment *segment;
	struct position own;
	uint64_t end;

	if (subscriber->state != SUBSCRIBER_LIVE || subscriber->pending || subscriber->conflation ||
	    subscriber->cursor == subscriber->until || tail == 0 || subscriber->cursor < tail ||
	    subscriber->cursor - tail > (dispatched - tail) / 4)
		return;
	segment = window_find(window, subscriber->cursor, &end);
	if (!segment)
		return;
	if (subscriber->frame_at)
		subscriber_push_begun(subscriber, segment);
	if (subscriber->own)
		position_copy(&own, subscriber->own);
	else
		subscriber_position_at(segment, subscriber->cursor, &own);
	subscriber_begin_replay(subscriber, &own, REPLAY_RESUME, 0);
	position_fini(&own);
}

static void read_on(struct subscriber *subscriber)
{
	if (subscriber->recheck)
		subscriber->job->checked = false;
	subscriber->recheck = false;
	replay_submit(subscriber->at->fanout->replay, subscriber->job);
}

static bool window_has_rest(const struct subscriber *subscriber)
{
	const struct fanout_feed *at = subscriber->at;
	uint64_t sequence;

	return !subscriber->recheck && window_seek(at->feed->window, &subscriber->job->own,
						   at->dispatched, &at->position, &sequence);
}

/*
 * What is newest so far goes out at the end of the replay, or with each interval of it: then who
 * comes back need not begin anew. Until then the subscriber stands where it was.
 */
static bool carries_on(struct subscriber *subscriber)
{
	struct replay_job *job = subscriber->job;
	uint64_t now_ms = subscriber->at->fanout->now_ms;

	if (!job->keyed.count)
		return false;
	if (!job->carries_ms)
		job->carries_ms = now_ms;
	if (!job->chunk.len && now_ms - job->carries_ms < subscriber->conflation->interval_ms &&
	    (job->result == REPLAY_MORE ||
	     (job->result == REPLAY_DONE && !window_has_rest(subscriber)))) {
		read_on(subscriber);
		return true;
	}
	job->carries_ms = 0;
	replay_conflate_write(job, &job->own);
	return false;
}

void subscriber_take_chunk(struct subscriber *subscriber)
{
	struct replay_job *job = subscriber->job;

	if (subscriber->state == SUBSCRIBER_ENDED || carries_on(subscriber))
		return;
	subscriber_hold(subscriber);
	subscriber_set_own(subscriber, &job->own);
	subscriber->slice_mode = (uint8_t)job->mode;
	subscriber->unplaced = job->mode != REPLAY_RESUME;
	if (!subscriber->unplaced)
		subscriber_drop_welcome(subscriber);
	job->chunk_at_ms = subscriber->at->fanout->now_ms;
	if (job->chunk.len) {
		subscriber_push(subscriber, buffer_slice(&job->chunk), job->chunk_events);
		if (job->chunk_events)
			conflation_replayed(subscriber);
		buffer_free(&job->chunk);
		if (job->ended)
			subscriber_set_ended(subscriber, job->close_reason);
	} else if (!subscriber->pending) {
		subscriber_release(subscriber);
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
	switch (job->result) {
	case REPLAY_DONE:
		if (!subscriber->recheck && subscriber_try_window(subscriber, &job->own)) {
			finish_replay(subscriber);
			break;
		}
		/* fall through */
	case REPLAY_MORE:
		read_on(subscriber);
		break;
	case REPLAY_FAILED:
		job->checked = false;
		retry_later(subscriber);
		break;
	case REPLAY_CLOSE:
		subscriber_end(subscriber, job->close_reason, (struct slice){0});
		break;
	case REPLAY_UNKNOWN:
		finish_replay(subscriber);
		subscriber_miss_custom_id(subscriber);
		break;
	}
}

void subscriber_renew_job(struct subscriber *subscriber)
{
	struct replay_job *job = subscriber->job;
	struct replay_wish wish;
	char *custom_id;

	if (job->place != REPLAY_AWAY) {
		checks_unref(job->checks);
		job->checks = checks_ref(subscriber->checks);
		replay_current_free(subscriber->at->fanout->replay, job);
		return;
	}
	custom_id = job->custom_id ? mem_strdup(job->custom_id) : NULL;
	/* A worker reads it: what that finds is not wanted any more. */
	wish = (struct replay_wish){subscriber->slice_mode, job->last, job->since_ms, custom_id};
	subscriber_leave_replay(subscriber);
	subscriber_ask_replay(subscriber, subscriber->own, &wish);
	free(custom_id);
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
