#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "feed/checks.h"
#include "feed/notice_priv.h"
#include "feed/subscriber_priv.h"

/* Takes over the keys and registers the subscriber under each. */
static void enter_index(struct subscriber *subscriber, struct route_keys *keys)
{
	struct slice key;
	size_t at = 0;
	uint32_t i = 0;

	subscriber->key_count = keys->count;
	subscriber->keys = mem_realloc(keys->bytes.base, keys->bytes.len ? keys->bytes.len : 1);
	subscriber->keys_len = (uint32_t)keys->bytes.len;
	keys->bytes.base = subscriber->keys;
	if (keys->count > 1)
		subscriber->nodes = mem_zalloc(keys->count * sizeof(subscriber->nodes[0]));
	while (route_keys_next(keys, &at, &key)) {
		struct index_node *node = subscriber_node_at(subscriber, i++);

		node->subscriber = subscriber;
		node->key = key;
		node->hash = route_key_hash(key);
		index_add(&subscriber->at->index, node);
	}
	*keys = (struct route_keys){0};
}

/* Those who came together have their heartbeats, and their ends, at different times. */
static void set_times(struct subscriber *subscriber, const struct stream *stream)
{
	struct fanout *fanout = subscriber->at->fanout;
	uint64_t now_ms = fanout->now_ms, max_age_ms = stream->max_age_ms;

	subscriber->progress_ms = subscriber->event_ms = now_ms;
	subscriber->sent_ms = now_ms - fanout_jitter(fanout, stream->heartbeat_ms);
	subscriber->max_age_at_ms = UINT64_MAX;
	if (max_age_ms)
		subscriber->max_age_at_ms =
		    now_ms + max_age_ms - fanout_jitter(fanout, max_age_ms / 10);
}

struct subscriber *subscriber_new(struct fanout *fanout, struct feed *feed, struct route_keys *keys,
				  const struct subscriber_start *start, int64_t expires_unix_ms,
				  struct carrier *carrier)
{
	struct subscriber *subscriber = MEM_NEW(struct subscriber);

	assert(!(start->checks || start->end_when || feed->end_when) ||
	       feed->stream->keeps_records);
	fanout->now_ms = clock_monotonic_ms();
	subscriber->carrier = carrier;
	subscriber->at = fanout_feed_enter(fanout, feed);
	subscriber->state = SUBSCRIBER_WAITING;
	subscriber->filtered = feed_is_filtered(feed);
	subscriber->tracked = start->tracked;
	subscriber->has_stale_cursor = start->has_stale_cursor;
	subscriber->checks = checks_ref(start->checks);
	conflation_open(subscriber, start->interval_ms);
	subscriber->ending = subscriber_ending_new(feed, start);
	subscriber->last = start->has_last ? start->last : feed->stream->start_last;
	subscriber->expires_unix_ms = expires_unix_ms;
	set_times(subscriber, feed->stream);
	if (start->position) {
		subscriber->asked = MEM_NEW(struct position);
		position_copy(subscriber->asked, start->position);
	}
	if (start->custom_id.len)
		subscriber->custom_id = mem_strndup(start->custom_id.base, start->custom_id.len);
	if (start->welcome.len)
		subscriber->welcome = mem_strndup(start->welcome.base, start->welcome.len);
	subscriber->since_ms = start->has_since ? start->since_ms : -1;
	roster_add(&fanout->all, subscriber, &subscriber->place_in_all);
	if (subscriber->filtered)
		enter_index(subscriber, keys);
	else
		subscriber_enter_roster(subscriber);
	route_keys_free(keys);
	metrics_add(METRIC_SUBSCRIPTIONS, 1);
	/* The carrier pumps when it has its subscriber. */
	subscriber->told = true;
	subscriber_refresh(subscriber);
	fanout_feed_dispatch(subscriber->at);
	if (subscriber->at->attached && subscriber->state == SUBSCRIBER_WAITING)
		subscriber_attach(subscriber);
	return subscriber;
}

static void leave_rosters(struct subscriber *subscriber)
{
	uint32_t place = subscriber->place_in_all;

	roster_remove(&subscriber->at->fanout->all, place)->place_in_all = place;
	if (!subscriber->filtered)
		subscriber_leave_roster(subscriber);
	for (uint32_t i = 0; i < subscriber->key_count; i++)
		index_remove(&subscriber->at->index, subscriber_node_at(subscriber, i));
}

static void free_position(struct position *position)
{
	if (!position)
		return;
	position_fini(position);
	free(position);
}

void subscriber_free(struct subscriber *subscriber, enum close_reason reason)
{
	if (!subscriber)
		return;
	close_reason_count(subscriber->at->feed->stream->name,
			   subscriber->state == SUBSCRIBER_ENDED ? subscriber->reason : reason);
	subscriber_leave_replay(subscriber);
	subscriber_leave_rest(subscriber);
	leave_rosters(subscriber);
	conflation_close(subscriber);
	fanout_feed_leave(subscriber->at);
	checks_unref(subscriber->checks);
	subscriber_ending_free(subscriber->ending);
	free_position(subscriber->own);
	free_position(subscriber->asked);
	free(subscriber->custom_id);
	free(subscriber->welcome);
	free(subscriber->reached);
	free(subscriber->pending);
	free(subscriber->last_words);
	free(subscriber->nodes);
	free(subscriber->keys);
	free(subscriber);
}

/* Where it stands, unless something is on its way to it or that is not known yet. */
static struct slice standing(struct subscriber *subscriber, struct buffer *id)
{
	if (subscriber_is_idle(subscriber))
		(void)subscriber_position(subscriber, id);
	return buffer_slice(id);
}

static void append_heartbeat(const struct subscriber *subscriber, struct slice id,
			     int64_t now_unix_ms, struct buffer *frame)
{
	const struct stream *stream = subscriber->at->feed->stream;
	const struct notice_server server = {subscriber->at->fanout->settings->server_id,
					     now_unix_ms};

	switch (stream->heartbeat_as) {
	case STREAM_HEARTBEAT_ID:
		notice_append_id(frame, id);
		break;
	case STREAM_HEARTBEAT_COMMENT:
		notice_append_comment(frame, id, &server);
		break;
	case STREAM_HEARTBEAT_EVENT:
		notice_append_heartbeat(frame, id, stream->heartbeat_event, &server);
		break;
	}
}

static void heartbeat(struct subscriber *subscriber, int64_t now_unix_ms)
{
	struct buffer id = {0}, frame = {0};

	append_heartbeat(subscriber, standing(subscriber, &id), now_unix_ms, &frame);
	metrics_add(METRIC_HEARTBEATS, 1);
	subscriber_push(subscriber, buffer_slice(&frame), 0);
	buffer_free(&id);
	buffer_free(&frame);
	subscriber_tell(subscriber);
}

/* With its id, so that who comes back does not read again what was not for it. */
static void time_out(struct subscriber *subscriber, enum close_reason reason, const char *text)
{
	struct buffer id = {0}, frame = {0};

	notice_append_timeout(&frame, standing(subscriber, &id), text,
			      fanout_retry_ms(subscriber->at->fanout));
	subscriber_end(subscriber, reason, buffer_slice(&frame));
	buffer_free(&id);
	buffer_free(&frame);
}

/* What waits for its interval's end is an event, too, and who rests may find one. */
static bool is_without_events(const struct subscriber *subscriber)
{
	uint32_t idle_timeout_ms = subscriber->at->feed->stream->idle_timeout_ms;

	return idle_timeout_ms && subscriber_is_idle(subscriber) && !subscriber->rests &&
	       !conflation_lags(subscriber) &&
	       subscriber->at->fanout->now_ms - subscriber->event_ms >= idle_timeout_ms;
}

static void end_in_time(struct subscriber *subscriber, int64_t now_unix_ms)
{
	if (subscriber->state == SUBSCRIBER_ENDED)
		return;
	if (now_unix_ms >= subscriber->expires_unix_ms)
		time_out(subscriber, CLOSE_EXPIRED, "token_expired");
	else if (subscriber->at->fanout->now_ms >= subscriber->max_age_at_ms)
		time_out(subscriber, CLOSE_MAX_AGE, "max_age");
	else if (is_without_events(subscriber))
		time_out(subscriber, CLOSE_IDLE, "idle");
}

void subscriber_revoke(struct subscriber *subscriber)
{
	struct buffer frame = {0};

	notice_append_revoked(&frame);
	subscriber_end(subscriber, CLOSE_REVOKED, buffer_slice(&frame));
	buffer_free(&frame);
}

/* It takes its chunk by the drop, and others wait for one: it comes back with its id. */
static bool hogs_chunk(const struct subscriber *subscriber)
{
	const struct fanout *fanout = subscriber->at->fanout;
	const struct replay_job *job = subscriber->job;

	return job && job->place == REPLAY_AT_HOME && job->holds_chunk &&
	       fanout->now_ms - job->chunk_at_ms >= fanout->settings->slow_client_timeout_ms &&
	       replay_lacks_chunks(fanout->replay);
}

static bool is_slow(const struct subscriber *subscriber)
{
	const struct fanout *fanout = subscriber->at->fanout;
	uint64_t still_ms = fanout->now_ms - subscriber->progress_ms;

	return !subscriber_is_idle(subscriber) &&
	       (still_ms >= fanout->settings->slow_client_timeout_ms || hogs_chunk(subscriber));
}

static bool lacks_heartbeat(const struct subscriber *subscriber)
{
	return subscriber_is_idle(subscriber) &&
	       subscriber->at->fanout->now_ms - subscriber->sent_ms >=
		   subscriber->at->feed->stream->heartbeat_ms;
}

/* A heartbeat would be in a retreat's way. */
void subscriber_sweep(struct subscriber *subscriber, int64_t now_unix_ms)
{
	end_in_time(subscriber, now_unix_ms);
	if (is_slow(subscriber)) {
		subscriber_give_up(subscriber, CLOSE_SLOW);
		return;
	}
	subscriber_retreat_if_needed(subscriber);
	if (lacks_heartbeat(subscriber))
		heartbeat(subscriber, now_unix_ms);
}
