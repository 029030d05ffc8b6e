#include <stdlib.h>

#include "base/mem.h"
#include "event/event_id.h"
#include "event/frame.h"
#include "feed/ending_priv.h"
#include "feed/feed_event.h"
#include "feed/notice_priv.h"
#include "feed/replay_priv.h"

struct replay_state {
	struct keyed_events events;
	struct keyed **sorted;
	size_t sent;
	bool sends;
	bool full;
};

/* What ends the stream comes last: the state is whole before that. */
static int by_place(const void *a, const void *b)
{
	const struct keyed *left = *(struct keyed *const *)a, *right = *(struct keyed *const *)b;

	if (left->ends != right->ends)
		return left->ends ? 1 : -1;
	if (left->event_time_ms != right->event_time_ms)
		return left->event_time_ms < right->event_time_ms ? -1 : 1;
	if (left->topic != right->topic)
		return left->topic < right->topic ? -1 : 1;
	if (left->partition != right->partition)
		return left->partition < right->partition ? -1 : 1;
	return left->offset < right->offset ? -1 : left->offset > right->offset;
}

bool replay_current_take(struct replay_job *job, const struct replay_worker *worker,
			 const struct record *record, const json_t *document,
			 const struct feed_event *event)
{
	const struct replay_settings *settings = worker->settings;
	struct replay_state *state = job->state;
	struct buffer frame = {0};
	struct keyed *keyed;

	if (!record->has_key || (record->has_value && !event))
		return true;
	keyed = keyed_new(job->feed, record, true);
	keyed->ends = event && record->has_value && replay_ends_with(job, &event->kept);
	if (!keyed_remove(&state->events, keyed) || !record->has_value) {
		keyed_free(keyed);
		return true;
	}
	feed_event_append(job->feed, event, record, document, (struct slice){0}, &frame);
	keyed_put(&state->events, keyed, &frame);
	state->full = state->events.count > settings->current_keys ||
		      state->events.bytes > settings->current_bytes;
	return !state->full;
}

bool replay_current_begin(struct replay_slice *slice)
{
	struct replay_job *job = slice->job;

	if (job->state)
		return true;
	job->result = REPLAY_FAILED;
	if (!replay_take_state(slice->worker->replay))
		return false;
	job->state = MEM_NEW(struct replay_state);
	position_fini(&job->own);
	position_init(&job->own, job->feed->topic_count);
	job->checked = false;
	return true;
}

bool replay_current_sends(const struct replay_job *job)
{
	return job->state->sends;
}

/* The id that says that this is the end: a browser does not come back for the same again. */
static void refuse(struct replay_slice *slice)
{
	struct replay_job *job = slice->job;
	const struct replay_settings *settings = slice->worker->settings;
	struct buffer id = {0};

	event_id_encode(job->feed->hash, EVENT_ID_FINAL, &job->own, &id);
	notice_append_limit(&job->chunk, buffer_slice(&id), "current_keys", settings->current_keys,
			    settings->current_bytes);
	buffer_free(&id);
	job->close_reason = CLOSE_LIMIT;
	job->result = REPLAY_CLOSE;
}

/*
 * The events have no id but the last: who comes back before that gets the state anew. After the
 * last one comes the position that the state is of.
 */
static void send(struct replay_slice *slice)
{
	struct replay_job *job = slice->job;
	struct replay_state *state = job->state;

	while (state->sent < state->events.count &&
	       job->chunk.len < slice->worker->settings->chunk_bytes) {
		struct keyed *keyed = state->sorted[state->sent++];
		bool ends = keyed->ends && state->sent == state->events.count;

		if (ends && !frame_id((struct slice){keyed->frame, keyed->frame_len}).len)
			ending_append_id_line(job->feed, &job->own, &job->chunk);
		buffer_append(&job->chunk, keyed->frame, keyed->frame_len);
		free(keyed->frame);
		keyed->frame = NULL;
		job->chunk_events++;
		if (ends) {
			replay_end_with(job);
			replay_current_free(slice->worker->replay, job);
			return;
		}
	}
	job->result = REPLAY_MORE;
	if (state->sent < state->events.count)
		return;
	feed_append_id_line(job->feed, &job->own, &job->chunk);
	buffer_append_text(&job->chunk, "\n");
	replay_current_free(slice->worker->replay, job);
	job->mode = REPLAY_RESUME;
	job->result = REPLAY_DONE;
}

void replay_current_go_on(struct replay_slice *slice)
{
	struct replay_job *job = slice->job;
	struct replay_state *state = job->state;
	bool at_head = position_at_or_before(&slice->head, &job->own);

	if (state->full) {
		refuse(slice);
	} else if (state->sends) {
		send(slice);
	} else if (job->result == REPLAY_DONE && at_head) {
		state->sorted = keyed_sort(&state->events, by_place);
		state->sends = true;
		send(slice);
	} else if (job->result == REPLAY_DONE) {
		job->result = REPLAY_MORE;
	}
}

void replay_current_free(struct replay *replay, struct replay_job *job)
{
	struct replay_state *state = job->state;

	if (!state)
		return;
	keyed_fini(&state->events);
	free(state->sorted);
	free(state);
	job->state = NULL;
	replay_return_state(replay);
}
