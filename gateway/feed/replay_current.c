#include <assert.h>
#include <search.h>
#include <stdlib.h>

#include "base/mem.h"
#include "event/event_id.h"
#include "event/frame.h"
#include "feed/ending_priv.h"
#include "feed/feed.h"
#include "feed/notice_priv.h"
#include "feed/replay_priv.h"

/* The newest event of one key, and its place among the others. */
struct keyed {
	uint32_t topic;
	int32_t partition;
	int64_t event_time_ms, offset;
	size_t key_len, frame_len;
	bool ends; /* the stream, where it gets so far */
	char *frame;
	char key[];
};

struct replay_state {
	void *tree; /* of struct keyed, by topic and key */
	struct keyed **sorted;
	size_t count, bytes;
	size_t sent;
	bool sends;
	bool full;
};

static int by_key(const void *a, const void *b)
{
	const struct keyed *left = a, *right = b;

	if (left->topic != right->topic)
		return left->topic < right->topic ? -1 : 1;
	if (left->key_len != right->key_len)
		return left->key_len < right->key_len ? -1 : 1;
	return memcmp(left->key, right->key, left->key_len);
}

static int by_place(const void *a, const void *b)
{
	const struct keyed *left = *(struct keyed *const *)a, *right = *(struct keyed *const *)b;

	if (left->event_time_ms != right->event_time_ms)
		return left->event_time_ms < right->event_time_ms ? -1 : 1;
	if (left->topic != right->topic)
		return left->topic < right->topic ? -1 : 1;
	if (left->partition != right->partition)
		return left->partition < right->partition ? -1 : 1;
	return left->offset < right->offset ? -1 : left->offset > right->offset;
}

static void keyed_free(void *keyed)
{
	free(((struct keyed *)keyed)->frame);
	free(keyed);
}

static struct keyed *keyed_new(const struct replay_job *job, const struct record *record)
{
	struct keyed *keyed = mem_zalloc(sizeof(*keyed) + record->key.len);

	while (keyed->topic + 1 < job->feed->topic_count &&
	       !slice_equal(record->topic, slice_of(job->feed->topics[keyed->topic])))
		keyed->topic++;
	keyed->partition = record->partition;
	keyed->event_time_ms = record->timestamp_ms;
	keyed->offset = record->offset;
	keyed->key_len = record->key.len;
	if (record->key.len)
		memcpy(keyed->key, record->key.base, record->key.len);
	return keyed;
}

static size_t bytes_of(const struct keyed *keyed)
{
	return sizeof(*keyed) + keyed->key_len + keyed->frame_len;
}

/* A key has one partition, but for a time after the topic was given more of them. */
static bool is_older(const struct keyed *keyed, const struct keyed *than)
{
	return keyed->partition != than->partition && keyed->event_time_ms < than->event_time_ms;
}

/* False: what is there is newer. */
static bool remove_key(struct replay_state *state, const struct keyed *key)
{
	struct keyed **found = tfind(key, &state->tree, by_key);
	struct keyed *keyed;

	if (!found)
		return true;
	keyed = *found;
	if (is_older(key, keyed))
		return false;
	tdelete(key, &state->tree, by_key);
	state->count--;
	state->bytes -= bytes_of(keyed);
	keyed_free(keyed);
	return true;
}

/* Takes the frame over. */
static void put_key(struct replay_state *state, struct keyed *keyed, const struct buffer *frame)
{
	keyed->frame = frame->base;
	keyed->frame_len = frame->len;
	if (!tsearch(keyed, &state->tree, by_key))
		abort();
	state->count++;
	state->bytes += bytes_of(keyed);
}

bool replay_current_take(struct replay_job *job, const struct replay_worker *worker,
			 const struct record *record, const json_t *document, bool wanted)
{
	const struct replay_settings *settings = worker->settings;
	struct replay_state *state = job->state;
	struct buffer frame = {0};
	struct keyed *keyed;

	if (!record->has_key || (record->has_value && !wanted))
		return true;
	keyed = keyed_new(job, record);
	keyed->ends = record->has_value && replay_ends_with(job, record);
	if (!remove_key(state, keyed) || !record->has_value) {
		keyed_free(keyed);
		return true;
	}
	mapping_append_frame(job->feed->stream->mapping, record, document, (struct slice){0},
			     &frame);
	put_key(state, keyed, &frame);
	state->full =
	    state->count > settings->current_keys || state->bytes > settings->current_bytes;
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

static void take_down(const void *node, VISIT visit, void *context)
{
	struct replay_state *state = context;

	if (visit == postorder || visit == leaf)
		state->sorted[state->sent++] = *(struct keyed *const *)node;
}

static void sort(struct replay_state *state)
{
	state->sorted = mem_alloc((state->count + 1) * sizeof(state->sorted[0]));
	twalk_r(state->tree, take_down, state);
	assert(state->sent == state->count);
	state->sent = 0;
	qsort(state->sorted, state->count, sizeof(state->sorted[0]), by_place);
	state->sends = true;
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

	while (state->sent < state->count &&
	       job->chunk.len < slice->worker->settings->chunk_bytes) {
		struct keyed *keyed = state->sorted[state->sent++];

		if (keyed->ends && !frame_id((struct slice){keyed->frame, keyed->frame_len}).len)
			ending_append_id_line(job->feed, &job->own, &job->chunk);
		buffer_append(&job->chunk, keyed->frame, keyed->frame_len);
		free(keyed->frame);
		keyed->frame = NULL;
		job->chunk_events++;
		if (keyed->ends) {
			replay_end_with(job);
			replay_current_free(slice->worker->replay, job);
			return;
		}
	}
	job->result = REPLAY_MORE;
	if (state->sent < state->count)
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
		sort(state);
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
	tdestroy(state->tree, keyed_free);
	free(state->sorted);
	free(state);
	job->state = NULL;
	replay_return_state(replay);
}
