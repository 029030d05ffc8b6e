#include "feed/subscriber_priv.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"

bool subscriber_is_idle(const struct subscriber *subscriber)
{
	return subscriber->state != SUBSCRIBER_ENDED && !subscriber->pending &&
	       !subscriber->frame_at &&
	       (subscriber->state != SUBSCRIBER_LIVE || subscriber->cursor == subscriber->until ||
		subscriber->rests || conflation_waits(subscriber));
}

void subscriber_tell(struct subscriber *subscriber)
{
	if (subscriber->told || subscriber->aborted)
		return;
	if (subscriber_is_idle(subscriber)) {
		conflation_arm(subscriber);
		return;
	}
	subscriber->told = true;
	subscriber_refresh(subscriber);
	subscriber->progress_ms = subscriber->at->fanout->now_ms;
	subscriber->carrier->ops->ready(subscriber->carrier);
}

void subscriber_offer(struct subscriber *subscriber, uint64_t sequence)
{
	if (subscriber_is_bounded(subscriber))
		return;
	if (subscriber->conflation)
		conflation_offer(subscriber, sequence);
	if (subscriber->cursor == subscriber->until && !subscriber->frame_at)
		subscriber->cursor = sequence;
	subscriber->until = sequence + 1;
}

/* Where the frame begins that is being written. */
static size_t begun_at(const struct pending *pending)
{
	size_t at = pending->at;

	while (at >= 2 && (pending->bytes[at - 1] != '\n' || pending->bytes[at - 2] != '\n'))
		at--;
	return at >= 2 ? at : 0;
}

void subscriber_push(struct subscriber *subscriber, struct slice bytes, uint32_t events)
{
	struct pending *old = subscriber->pending;
	size_t from = old ? begun_at(old) : 0, kept = old ? old->len - from : 0;
	struct pending *pending = mem_alloc(sizeof(*pending) + kept + bytes.len);

	subscriber_hold(subscriber);
	pending->at = old ? old->at - from : 0;
	pending->len = kept + bytes.len;
	pending->events = events + (old ? old->events : 0);
	if (kept)
		memcpy(pending->bytes, old->bytes + from, kept);
	memcpy(pending->bytes + kept, bytes.base, bytes.len);
	free(old);
	subscriber->pending = pending;
}

void subscriber_push_begun(struct subscriber *subscriber, const struct window_segment *segment)
{
	const struct window_entry *entry = window_entry_at(segment, subscriber->cursor);

	assert(!subscriber->pending);
	subscriber_push(subscriber, window_frame(segment, entry), subscriber_count_entry(entry));
	subscriber->pending->at = subscriber->frame_at;
	subscriber->frame_at = 0;
	subscriber->cursor++;
}

void subscriber_give_up(struct subscriber *subscriber, enum close_reason reason)
{
	if (subscriber->aborted)
		return;
	subscriber_hold(subscriber);
	if (subscriber->state != SUBSCRIBER_ENDED)
		subscriber->reason = (uint8_t)reason;
	subscriber->state = SUBSCRIBER_ENDED;
	subscriber->aborted = true;
	subscriber->carrier->ops->abort(subscriber->carrier);
}

/* Finds the cursor's segment, *end clipped to what is offered; gives the subscriber up where it has
 * left the window: NULL. */
static const struct window_segment *segment_at_cursor(struct subscriber *subscriber, uint64_t *end)
{
	const struct window_segment *segment =
	    window_find(subscriber->at->feed->window, subscriber->cursor, end);

	if (!segment)
		subscriber_give_up(subscriber, CLOSE_SLOW);
	else if (*end > subscriber->until)
		*end = subscriber->until;
	return segment;
}

/* Moves the cursor to what is for it in the segment; false: there is nothing, or it is tired. */
static bool find_match(struct subscriber *subscriber, const struct window_segment *segment,
		       uint64_t end)
{
	if (!subscriber_may_match(subscriber, segment))
		subscriber->cursor = end;
	for (; subscriber->cursor < end && !subscriber_is_tired(subscriber); subscriber->cursor++)
		if (subscriber_matches(subscriber, segment,
				       window_entry_at(segment, subscriber->cursor)))
			return true;
	return false;
}

/* As subscriber_next_match(), but it does not rest. */
static const struct window_segment *find_next(struct subscriber *subscriber)
{
	while (subscriber->cursor < subscriber->until && !subscriber_is_tired(subscriber)) {
		uint64_t end;
		const struct window_segment *segment = segment_at_cursor(subscriber, &end);

		if (!segment)
			return NULL;
		if (find_match(subscriber, segment, end))
			return segment;
	}
	return NULL;
}

const struct window_segment *subscriber_next_match(struct subscriber *subscriber)
{
	const struct window_segment *segment = find_next(subscriber);

	if (!segment && subscriber->cursor < subscriber->until && subscriber_is_tired(subscriber))
		subscriber_rest(subscriber);
	return segment;
}

static struct slice cut(struct slice bytes, size_t max)
{
	if (bytes.len > max)
		bytes.len = max;
	return bytes;
}

struct slice subscriber_rest_of_frame(const struct subscriber *subscriber,
				      const struct window_segment *segment)
{
	struct slice frame = window_frame(segment, window_entry_at(segment, subscriber->cursor));

	frame.base += subscriber->frame_at;
	frame.len -= subscriber->frame_at;
	return frame;
}

static bool takes_range(const struct subscriber *subscriber)
{
	return subscriber_takes_all(subscriber) &&
	       !(subscriber->ending && subscriber->ending->when);
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
	bytes = subscriber_rest_of_frame(subscriber, segment);
	last = window_entry_at(segment, end - 1);
	bytes.len = (size_t)(segment->frames + last->frame_at + last->frame_len - bytes.base);
	return bytes;
}

/* One frame as it lies in the window, or several gathered in the loop's scratch. Nothing has
 * changed for the next peek: what lies between them costs a look when they are consumed. */
static struct slice peek_filtered(struct subscriber *subscriber, size_t max)
{
	const struct window_segment *segment = subscriber_next_match(subscriber);
	char *scratch = subscriber->at->fanout->scratch;
	uint64_t first = subscriber->cursor;
	uint32_t look_bytes = subscriber->look_bytes;
	struct slice bytes;
	size_t len;

	if (!segment)
		return (struct slice){0};
	bytes = subscriber_rest_of_frame(subscriber, segment);
	if (max > FANOUT_SCRATCH_BYTES)
		max = FANOUT_SCRATCH_BYTES;
	len = bytes.len;
	while (len < max && ++subscriber->cursor < subscriber->until &&
	       (segment = find_next(subscriber))) {
		struct slice frame = subscriber_rest_of_frame(subscriber, segment);

		if (len + frame.len > max ||
		    subscriber_ends_with(subscriber, segment,
					 window_entry_at(segment, subscriber->cursor)))
			break;
		if (bytes.base != scratch)
			memcpy(scratch, bytes.base, bytes.len);
		memcpy(scratch + len, frame.base, frame.len);
		len += frame.len;
		bytes = (struct slice){scratch, len};
	}
	subscriber->cursor = first;
	subscriber->look_bytes = look_bytes;
	return bytes;
}

/* What comes before anything of the window, or in place of it, becomes pending. Who rests looks at
 * nothing, whatever else it is asked for. */
static void make_pending(struct subscriber *subscriber)
{
	if (!subscriber->pending && subscriber->state == SUBSCRIBER_ENDED) {
		subscriber->pending = subscriber->last_words;
		subscriber->last_words = NULL;
	}
	if (subscriber->rests)
		return;
	if (!subscriber->pending && subscriber->conflation)
		conflation_flush(subscriber);
	else if (!subscriber->pending && subscriber->own)
		subscriber_merge(subscriber);
	if (subscriber->ending)
		subscriber_meet_end(subscriber);
}

static struct slice peek_window(struct subscriber *subscriber, size_t max)
{
	if (subscriber->state != SUBSCRIBER_LIVE || subscriber->conflation || subscriber->rests ||
	    subscriber->cursor >= subscriber->until)
		return (struct slice){0};
	return takes_range(subscriber) ? peek_unfiltered(subscriber)
				       : peek_filtered(subscriber, max);
}

struct slice subscriber_peek(struct subscriber *subscriber, size_t max)
{
	const struct pending *pending;
	struct slice bytes;

	if (subscriber->aborted)
		return (struct slice){0};
	if (subscriber->frame_at) {
		uint64_t end;
		const struct window_segment *segment = segment_at_cursor(subscriber, &end);

		if (!segment)
			return (struct slice){0};
		if (subscriber->pending || subscriber->state == SUBSCRIBER_ENDED ||
		    !takes_range(subscriber)) {
			bytes = subscriber_rest_of_frame(subscriber, segment);
			subscriber->peeked = bytes.base;
			return cut(bytes, max);
		}
	}
	make_pending(subscriber);
	pending = subscriber->pending;
	bytes = pending ? (struct slice){pending->bytes + pending->at, pending->len - pending->at}
			: peek_window(subscriber, max);
	if (!bytes.len)
		subscriber->told = false;
	subscriber->peeked = bytes.base;
	return cut(bytes, max);
}

static void count(struct subscriber *subscriber, uint64_t events, uint64_t arrived_us)
{
	uint64_t now_us = clock_monotonic_us();

	if (!events)
		return;
	subscriber->event_ms = subscriber->at->fanout->now_ms;
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
	count(subscriber, pending->events, 0);
	subscriber_release(subscriber);
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
	/* With what was written before of the first frame. */
	const struct slice written = {subscriber->peeked - subscriber->frame_at,
				      n + subscriber->frame_at};
	uint64_t events = 0, arrived_us = 0;

	while (n) {
		uint64_t end;
		const struct window_segment *segment = segment_at_cursor(subscriber, &end);

		/* Evicted since the peek, but still there until this turn of the loop ends: it was
		 * given up, and comes back with the last id that it has whole. */
		if (!segment) {
			subscriber_pass_written(subscriber, written);
			return;
		}
		if (!arrived_us)
			arrived_us = window_entry_at(segment, subscriber->cursor)->arrived_us;
		consume_segment(subscriber, segment, end, &n, &events);
	}
	count(subscriber, events, arrived_us);
}

void subscriber_consume(struct subscriber *subscriber, size_t n)
{
	uint64_t cursor;

	if (!n || subscriber->aborted)
		return;
	metrics_add(METRIC_DELIVERED_BYTES, n);
	subscriber->progress_ms = subscriber->sent_ms = subscriber->at->fanout->now_ms;
	if (subscriber->pending && !subscriber->frame_at) {
		consume_pending(subscriber, n);
		return;
	}
	cursor = subscriber->cursor;
	consume_window(subscriber, n);
	if (subscriber->cursor != cursor && !subscriber->aborted)
		subscriber_pass_frames(subscriber);
}

void subscriber_note_progress(struct subscriber *subscriber)
{
	subscriber->progress_ms = subscriber->at->fanout->now_ms;
}

enum close_reason subscriber_close_reason(const struct subscriber *subscriber)
{
	assert(subscriber->state == SUBSCRIBER_ENDED);
	return subscriber->reason;
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
	subscriber_hold(subscriber);
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
