#include "feed/subscriber_priv.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "feed/notice_priv.h"

bool subscriber_is_idle(const struct subscriber *subscriber)
{
	return !subscriber->pending && !subscriber->frame_at &&
	       (subscriber->state != SUBSCRIBER_LIVE || subscriber->cursor == subscriber->until);
}

void subscriber_tell(struct subscriber *subscriber)
{
	if (subscriber->told || subscriber->aborted)
		return;
	if (subscriber_is_idle(subscriber) && subscriber->state != SUBSCRIBER_ENDED)
		return;
	subscriber->told = true;
	subscriber->progress_ms = subscriber->at->fanout->now_ms;
	subscriber->carrier->ops->ready(subscriber->carrier);
}

void subscriber_offer(struct subscriber *subscriber, uint64_t sequence)
{
	if (subscriber->cursor == subscriber->until && !subscriber->frame_at)
		subscriber->cursor = sequence;
	subscriber->until = sequence + 1;
}

void subscriber_push(struct subscriber *subscriber, struct slice bytes, uint32_t events)
{
	struct pending *old = subscriber->pending;
	size_t left = old ? old->len - old->at : 0;
	struct pending *pending = mem_alloc(sizeof(*pending) + left + bytes.len);

	pending->at = 0;
	pending->len = left + bytes.len;
	pending->events = events + (old ? old->events : 0);
	if (left)
		memcpy(pending->bytes, old->bytes + old->at, left);
	memcpy(pending->bytes + left, bytes.base, bytes.len);
	free(old);
	subscriber->pending = pending;
}

static void give_up(struct subscriber *subscriber, enum close_reason reason)
{
	if (subscriber->aborted)
		return;
	if (subscriber->state != SUBSCRIBER_ENDED)
		subscriber->reason = (uint8_t)reason;
	subscriber->state = SUBSCRIBER_ENDED;
	subscriber->aborted = true;
	subscriber->carrier->ops->abort(subscriber->carrier);
}

/* The n-th of the subscriber's index nodes. */
static struct index_node *node_at(struct subscriber *subscriber, uint32_t i)
{
	return subscriber->nodes ? &subscriber->nodes[i] : &subscriber->node;
}

static bool has_key(struct subscriber *subscriber, struct slice key)
{
	for (uint32_t i = 0; i < subscriber->key_count; i++)
		if (slice_equal(node_at(subscriber, i)->key, key))
			return true;
	return false;
}

bool subscriber_matches(struct subscriber *subscriber, const struct window_segment *segment,
			const struct window_entry *entry)
{
	const struct route_keys keys = window_keys(segment, entry);
	struct slice key;
	size_t at = 0;

	if (!subscriber->filtered || entry->kind == WINDOW_NOTICE)
		return true;
	if (entry->key_count == 1 && subscriber->key_count == 1 &&
	    entry->key_hash != subscriber->node.hash)
		return false;
	while (route_keys_next(&keys, &at, &key))
		if (has_key(subscriber, key))
			return true;
	return false;
}

/* Finds the cursor's segment, *end clipped to what is offered; gives the subscriber up where it has
 * left the window: NULL. */
static const struct window_segment *segment_at_cursor(struct subscriber *subscriber, uint64_t *end)
{
	const struct window_segment *segment =
	    window_find(subscriber->at->feed->window, subscriber->cursor, end);

	if (!segment)
		give_up(subscriber, CLOSE_SLOW);
	else if (*end > subscriber->until)
		*end = subscriber->until;
	return segment;
}

/* Moves the cursor over what is not for it; NULL at the end. */
static const struct window_segment *next_match(struct subscriber *subscriber)
{
	while (subscriber->cursor < subscriber->until) {
		uint64_t end;
		const struct window_segment *segment = segment_at_cursor(subscriber, &end);

		if (!segment)
			return NULL;
		for (; subscriber->cursor < end; subscriber->cursor++)
			if (subscriber_matches(subscriber, segment,
					       window_entry_at(segment, subscriber->cursor)))
				return segment;
	}
	return NULL;
}

static struct slice cut(struct slice bytes, size_t max)
{
	if (bytes.len > max)
		bytes.len = max;
	return bytes;
}

static struct slice rest_of_frame(const struct subscriber *subscriber,
				  const struct window_segment *segment)
{
	struct slice frame = window_frame(segment, window_entry_at(segment, subscriber->cursor));

	frame.base += subscriber->frame_at;
	frame.len -= subscriber->frame_at;
	return frame;
}

/* All to the end of the segment, as it lies there. */
static struct slice peek_unfiltered(struct subscriber *subscriber)
{
	uint64_t end;
	const struct window_segment *segment = segment_at_cursor(subscriber, &end);
	const struct window_entry *last;
	struct slice bytes;

	if (!segment)
		return (struct slice){0};
	bytes = rest_of_frame(subscriber, segment);
	last = window_entry_at(segment, end - 1);
	bytes.len = (size_t)(segment->frames + last->frame_at + last->frame_len - bytes.base);
	return bytes;
}

/* One frame as it lies in the window, or several gathered in the loop's scratch. */
static struct slice peek_filtered(struct subscriber *subscriber, size_t max)
{
	const struct window_segment *segment = next_match(subscriber);
	char *scratch = subscriber->at->fanout->scratch;
	uint64_t first = subscriber->cursor;
	uint32_t first_at = subscriber->frame_at;
	struct slice bytes;
	size_t len;

	if (!segment)
		return (struct slice){0};
	bytes = rest_of_frame(subscriber, segment);
	if (max > FANOUT_SCRATCH_BYTES)
		max = FANOUT_SCRATCH_BYTES;
	len = bytes.len;
	subscriber->frame_at = 0;
	while (len < max && ++subscriber->cursor < subscriber->until &&
	       (segment = next_match(subscriber))) {
		struct slice frame = rest_of_frame(subscriber, segment);

		if (len + frame.len > max)
			break;
		if (bytes.base != scratch)
			memcpy(scratch, bytes.base, bytes.len);
		memcpy(scratch + len, frame.base, frame.len);
		len += frame.len;
		bytes = (struct slice){scratch, len};
	}
	subscriber->cursor = first;
	subscriber->frame_at = first_at;
	return bytes;
}

struct slice subscriber_peek(struct subscriber *subscriber, size_t max)
{
	struct slice bytes = {0};
	struct pending *pending;

	if (subscriber->aborted)
		return bytes;
	if (subscriber->frame_at) {
		uint64_t end;
		const struct window_segment *segment = segment_at_cursor(subscriber, &end);

		if (segment && (subscriber->pending || subscriber->state == SUBSCRIBER_ENDED))
			return cut(rest_of_frame(subscriber, segment), max);
		if (!segment)
			return bytes;
	}
	if (!subscriber->pending && subscriber->state == SUBSCRIBER_ENDED) {
		subscriber->pending = subscriber->last_words;
		subscriber->last_words = NULL;
	}
	if (!subscriber->pending && subscriber->own)
		subscriber_merge(subscriber);
	pending = subscriber->pending;
	if (pending)
		bytes = (struct slice){pending->bytes + pending->at, pending->len - pending->at};
	else if (subscriber->state == SUBSCRIBER_LIVE && subscriber->cursor < subscriber->until)
		bytes = subscriber->filtered ? peek_filtered(subscriber, max)
					     : peek_unfiltered(subscriber);
	if (!bytes.len)
		subscriber->told = false;
	return cut(bytes, max);
}

static void count(uint64_t events, uint64_t arrived_us)
{
	uint64_t now_us = clock_monotonic_us();

	if (!events)
		return;
	metrics_add(METRIC_DELIVERIES, events);
	if (arrived_us)
		metrics_observe_latency(now_us > arrived_us ? now_us - arrived_us : 0, events);
}

static void consume_pending(struct subscriber *subscriber, size_t n)
{
	struct pending *pending = subscriber->pending;

	assert(n <= pending->len - pending->at);
	pending->at += n;
	if (pending->at < pending->len)
		return;
	count(pending->events, 0);
	free(pending);
	subscriber->pending = NULL;
	if (subscriber->state == SUBSCRIBER_REPLAYING)
		subscriber_go_on(subscriber);
}

uint32_t subscriber_count_entry(const struct window_entry *entry)
{
	if (entry->kind == WINDOW_EVENT)
		return 1;
	metrics_add(METRIC_GAPS, 1);
	return 0;
}

/* Takes whole frames of one segment off `*n`, and a part of the last. */
static void consume_segment(struct subscriber *subscriber, const struct window_segment *segment,
			    uint64_t end, size_t *n, uint64_t *events)
{
	for (; *n && subscriber->cursor < end; subscriber->cursor++) {
		const struct window_entry *entry = window_entry_at(segment, subscriber->cursor);
		size_t left = entry->frame_len - subscriber->frame_at;

		if (!subscriber_matches(subscriber, segment, entry))
			continue;
		if (*n < left) {
			subscriber->frame_at += (uint32_t)*n;
			*n = 0;
			return;
		}
		*n -= left;
		subscriber->frame_at = 0;
		*events += subscriber_count_entry(entry);
	}
}

/* Walks over the frames that `n` bytes of the last peek were made of. */
static void consume_window(struct subscriber *subscriber, size_t n)
{
	uint64_t events = 0, arrived_us = 0;

	while (n) {
		uint64_t end;
		const struct window_segment *segment = segment_at_cursor(subscriber, &end);

		/* Evicted since the peek: it was given up, and comes back with the last id that it
		 * has whole. */
		if (!segment)
			return;
		if (!arrived_us)
			arrived_us = window_entry_at(segment, subscriber->cursor)->arrived_us;
		consume_segment(subscriber, segment, end, &n, &events);
	}
	count(events, arrived_us);
}

void subscriber_consume(struct subscriber *subscriber, size_t n)
{
	if (!n || subscriber->aborted)
		return;
	metrics_add(METRIC_DELIVERED_BYTES, n);
	subscriber->progress_ms = subscriber->sent_ms = subscriber->at->fanout->now_ms;
	if (subscriber->pending && !subscriber->frame_at)
		consume_pending(subscriber, n);
	else
		consume_window(subscriber, n);
}

bool subscriber_ended(const struct subscriber *subscriber)
{
	return subscriber->state == SUBSCRIBER_ENDED && !subscriber->pending &&
	       !subscriber->last_words && !subscriber->frame_at;
}

void subscriber_end(struct subscriber *subscriber, enum close_reason reason, struct slice frame)
{
	struct pending *words;

	if (subscriber->state == SUBSCRIBER_ENDED)
		return;
	subscriber->state = SUBSCRIBER_ENDED;
	subscriber->reason = (uint8_t)reason;
	if (frame.len) {
		words = mem_alloc(sizeof(*words) + frame.len);
		*words = (struct pending){.len = frame.len};
		memcpy(words->bytes, frame.base, frame.len);
		subscriber->last_words = words;
	}
	subscriber_tell(subscriber);
}

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
		struct index_node *node = node_at(subscriber, i++);

		node->subscriber = subscriber;
		node->key = key;
		node->hash = route_key_hash(key);
		index_add(&subscriber->at->index, node);
	}
	*keys = (struct route_keys){0};
}

struct subscriber *subscriber_new(struct fanout *fanout, struct feed *feed, struct route_keys *keys,
				  const struct subscriber_start *start, int64_t expires_unix_ms,
				  struct carrier *carrier)
{
	struct subscriber *subscriber = MEM_NEW(struct subscriber);

	fanout->now_ms = clock_monotonic_ms();
	subscriber->carrier = carrier;
	subscriber->at = fanout_feed_enter(fanout, feed);
	subscriber->state = SUBSCRIBER_WAITING;
	subscriber->filtered = feed_is_filtered(feed);
	subscriber->expires_unix_ms = expires_unix_ms;
	subscriber->progress_ms = fanout->now_ms;
	subscriber->sent_ms =
	    fanout->now_ms - (uint64_t)rand_r(&fanout->seed) % (feed->stream->heartbeat_ms + 1);
	if (start->position) {
		subscriber->asked = MEM_NEW(struct position);
		position_copy(subscriber->asked, start->position);
	}
	if (start->custom_id.len)
		subscriber->custom_id = mem_strndup(start->custom_id.base, start->custom_id.len);
	roster_add(&fanout->all, subscriber, &subscriber->place_in_all);
	if (subscriber->filtered)
		enter_index(subscriber, keys);
	else
		roster_add(&subscriber->at->unfiltered, subscriber,
			   &subscriber->place_in_unfiltered);
	route_keys_free(keys);
	metrics_add(METRIC_SUBSCRIPTIONS, 1);
	/* The carrier pumps when it has its subscriber. */
	subscriber->told = true;
	fanout_feed_dispatch(subscriber->at);
	if (subscriber->at->attached && subscriber->state == SUBSCRIBER_WAITING)
		subscriber_attach(subscriber);
	return subscriber;
}

static void leave_rosters(struct subscriber *subscriber)
{
	struct roster *all = &subscriber->at->fanout->all;
	struct roster *unfiltered = &subscriber->at->unfiltered;
	struct subscriber *last = all->members[--all->count];

	all->members[subscriber->place_in_all] = last;
	last->place_in_all = subscriber->place_in_all;
	if (!subscriber->filtered) {
		last = unfiltered->members[--unfiltered->count];
		unfiltered->members[subscriber->place_in_unfiltered] = last;
		last->place_in_unfiltered = subscriber->place_in_unfiltered;
	}
	for (uint32_t i = 0; i < subscriber->key_count; i++)
		index_remove(&subscriber->at->index, node_at(subscriber, i));
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
	leave_rosters(subscriber);
	fanout_feed_leave(subscriber->at);
	free_position(subscriber->own);
	free_position(subscriber->asked);
	free(subscriber->custom_id);
	free(subscriber->pending);
	free(subscriber->last_words);
	free(subscriber->nodes);
	free(subscriber->keys);
	free(subscriber);
}

/* Too far behind for its speed, yet moving: what the window is about to drop is read again for it.
 * The rest of a frame that has begun is kept. */
static void retreat_if_needed(struct subscriber *subscriber)
{
	struct window *window = subscriber->at->feed->window;
	uint64_t tail = window_tail(window), dispatched = subscriber->at->dispatched;
	const struct window_segment *segment;
	struct position own;
	uint64_t end;

	if (subscriber->state != SUBSCRIBER_LIVE || subscriber->pending ||
	    subscriber->cursor == subscriber->until || tail == 0 || subscriber->cursor < tail ||
	    subscriber->cursor - tail > (dispatched - tail) / 4)
		return;
	segment = window_find(window, subscriber->cursor, &end);
	if (!segment)
		return;
	if (subscriber->frame_at) {
		subscriber_push(
		    subscriber, rest_of_frame(subscriber, segment),
		    subscriber_count_entry(window_entry_at(segment, subscriber->cursor)));
		subscriber->frame_at = 0;
		subscriber->cursor++;
	}
	if (subscriber->own)
		position_copy(&own, subscriber->own);
	else
		subscriber_position_at(segment, subscriber->cursor, &own);
	subscriber_begin_replay(subscriber, &own, REPLAY_RESUME, 0);
	position_fini(&own);
}

static void heartbeat(struct subscriber *subscriber)
{
	struct buffer frame = {0};

	if (subscriber->state == SUBSCRIBER_LIVE &&
	    !mapping_has_custom_id(subscriber->at->feed->stream->mapping))
		subscriber_append_id(subscriber, &frame);
	else
		notice_append_comment(&frame);
	metrics_add(METRIC_HEARTBEATS, 1);
	subscriber_push(subscriber, buffer_slice(&frame), 0);
	buffer_free(&frame);
	subscriber_tell(subscriber);
}

static void expire(struct subscriber *subscriber)
{
	struct buffer frame = {0};

	notice_append_timeout(&frame, "token_expired");
	subscriber_end(subscriber, CLOSE_EXPIRED, buffer_slice(&frame));
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

void subscriber_sweep(struct subscriber *subscriber, int64_t now_unix_ms)
{
	const struct fanout *fanout = subscriber->at->fanout;
	uint64_t still_ms = fanout->now_ms - subscriber->progress_ms;

	if (now_unix_ms >= subscriber->expires_unix_ms)
		expire(subscriber);
	if (subscriber_is_idle(subscriber) && subscriber->state != SUBSCRIBER_ENDED) {
		if (fanout->now_ms - subscriber->sent_ms >=
		    subscriber->at->feed->stream->heartbeat_ms)
			heartbeat(subscriber);
	} else if (still_ms >= fanout->settings->slow_client_timeout_ms || hogs_chunk(subscriber)) {
		give_up(subscriber, CLOSE_SLOW);
	} else {
		retreat_if_needed(subscriber);
	}
}
