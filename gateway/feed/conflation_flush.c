#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "feed/latest_priv.h"
#include "feed/subscriber_priv.h"

/* The part of an interval by which those drift apart that began it together. */
enum { SPREAD = 8 };
#define NEVER UINT64_MAX

/* Has it got the entry already, from a replica that was ahead or by a replay? */
static bool has_got(const struct subscriber *subscriber, const struct window_entry *entry)
{
	return subscriber->own &&
	       entry->offset < position_get(subscriber->own, entry->topic, entry->partition);
}

/* Puts what is for it of one segment, from *sequence to `end`; how many there were. Nothing is for
 * it after the event with which it ends. */
static uint64_t put_segment(struct subscriber *subscriber, struct latest *latest,
			    const struct window_segment *segment, uint64_t *sequence, uint64_t end)
{
	struct conflation *conflation = subscriber->conflation;
	uint64_t count = 0;

	for (; *sequence < end && conflation->ends_at == NEVER; ++*sequence) {
		const struct window_entry *entry = window_entry_at(segment, *sequence);

		if (has_got(subscriber, entry) || !subscriber_matches(subscriber, segment, entry))
			continue;
		latest_put(latest, segment, entry);
		count++;
		if (subscriber_ends_with(subscriber, segment, entry))
			conflation->ends_at = *sequence;
	}
	return count;
}

/* Looks through the window again. False: it no longer reaches back so far. */
static bool put_all(struct subscriber *subscriber, struct latest *latest, uint64_t *offered)
{
	uint64_t end;

	*offered = 0;
	subscriber->conflation->ends_at = NEVER;
	for (uint64_t sequence = subscriber->cursor;
	     sequence < subscriber->until && subscriber->conflation->ends_at == NEVER;) {
		const struct window_segment *segment =
		    window_find(subscriber->at->feed->window, sequence, &end);

		if (!segment)
			return false;
		if (end > subscriber->until)
			end = subscriber->until;
		*offered += put_segment(subscriber, latest, segment, &sequence, end);
	}
	return true;
}

bool conflation_put_noted(const struct subscriber *subscriber, struct latest *latest)
{
	const struct conflation *conflation = subscriber->conflation;
	uint64_t end;

	for (size_t i = 0; i < conflation->noted_count; i++) {
		uint64_t sequence = conflation->noted[i];
		const struct window_segment *segment =
		    window_find(subscriber->at->feed->window, sequence, &end);

		if (!segment)
			return false;
		latest_put(latest, segment, window_entry_at(segment, sequence));
	}
	return true;
}

/* As many of these are due as there may be, the others when those are gone. */
static void take(struct subscriber *subscriber, const struct latest *latest, uint64_t offered)
{
	struct conflation *conflation = subscriber->conflation;
	uint64_t *due = mem_alloc(CONFLATION_MAX_DUE * sizeof(due[0]));
	size_t count = latest_list(latest, subscriber->cursor, due, CONFLATION_MAX_DUE);

	if (count > CONFLATION_MAX_DUE) {
		count = CONFLATION_MAX_DUE;
		conflation->due_until = due[count - 1] + 1;
	} else {
		metrics_add(METRIC_EVENTS_CONFLATED, offered - count);
	}
	conflation->due = mem_realloc(due, (count + 1) * sizeof(due[0]));
	conflation->due_count = count;
}

/* The newest alone is due, which is the last that it was offered. */
static void take_newest(struct subscriber *subscriber)
{
	struct conflation *conflation = subscriber->conflation;
	uint64_t offered = subscriber_takes_all(subscriber) ? subscriber->until - subscriber->cursor
							    : conflation->offered;

	conflation->due = mem_alloc(sizeof(conflation->due[0]));
	conflation->due[0] = subscriber->until - 1;
	conflation->due_count = 1;
	metrics_add(METRIC_EVENTS_CONFLATED, offered - 1);
}

/* False: the window no longer has it. */
static bool take_latest(struct subscriber *subscriber, bool noted)
{
	const struct conflation *conflation = subscriber->conflation;
	const struct fanout_feed *at = subscriber->at;
	struct latest *latest = at->fanout->conflation.scratch;
	uint64_t offered = conflation->offered;

	if (noted && subscriber_takes_all(subscriber)) {
		take(subscriber, at->conflation.latest, subscriber->until - subscriber->cursor);
		return true;
	}
	latest_begin(latest, at->feed->window, conflation->by_key);
	if (noted && !subscriber_takes_all(subscriber) ? !conflation_put_noted(subscriber, latest)
						       : !put_all(subscriber, latest, &offered))
		return false;
	take(subscriber, latest, offered);
	return true;
}

/* Those that were silent together, as all are before an event for all, do not stay together. */
static uint32_t spread(struct subscriber *subscriber)
{
	const struct conflation *conflation = subscriber->conflation;
	struct fanout *fanout = subscriber->at->fanout;

	if (fanout->now_ms - conflation->due_ms < FANOUT_TICK_MS)
		return 0;
	return (uint32_t)rand_r(&fanout->seed) % (conflation->interval_ms / SPREAD + 1);
}

/* From now on what is due is fixed, so that a client that reads slowly gets all of it, however
 * often the keys change. False: the window no longer has it. */
static bool take_due(struct subscriber *subscriber)
{
	struct conflation *conflation = subscriber->conflation;
	const struct fanout_feed *at = subscriber->at;
	bool noted = conflation_is_noted(subscriber);

	conflation->due_at = 0;
	conflation->due_until = subscriber->until;
	conflation->ends_at = NEVER;
	if (noted && !conflation->by_key && at->conflation.notices <= subscriber->cursor)
		take_newest(subscriber);
	else if (subscriber->cursor < window_tail(at->feed->window) ||
		 !take_latest(subscriber, noted && conflation->by_key))
		return false;
	conflation_note_nothing(conflation);
	conflation->walks = conflation->due_until < subscriber->until;
	if (!conflation->walks)
		conflation->due_ms =
		    at->fanout->now_ms + conflation->interval_ms + spread(subscriber);
	return true;
}

/* A position that moves on with the entries of a window. */
struct walk {
	const struct window_segment *segment; /* NULL: it has not begun */
	uint64_t sequence;
	struct position position;
};

static void walk_to(struct walk *walk, const struct window_segment *segment, uint64_t sequence)
{
	if (walk->segment != segment) {
		if (walk->segment)
			position_fini(&walk->position);
		position_copy(&walk->position, &segment->start);
		walk->segment = segment;
		walk->sequence = segment->first;
	}
	for (; walk->sequence < sequence; walk->sequence++) {
		const struct window_entry *entry = window_entry_at(segment, walk->sequence);

		position_set(&walk->position, entry->topic, entry->partition, entry->offset + 1);
	}
}

static void walk_fini(struct walk *walk)
{
	if (walk->segment)
		position_fini(&walk->position);
}

/* With the window's id, or one that says what the subscriber has besides. */
static void append(struct subscriber *subscriber, struct walk *walk,
		   const struct window_segment *segment, uint64_t sequence, struct buffer *out)
{
	struct slice frame = window_frame(segment, window_entry_at(segment, sequence));
	bool ends = sequence == subscriber->conflation->ends_at;
	struct position position;

	if (!subscriber->own && !ends) {
		buffer_append_slice(out, frame);
		return;
	}
	walk_to(walk, segment, sequence + 1);
	position_copy(&position, &walk->position);
	if (subscriber->own)
		position_merge(&position, subscriber->own);
	if (ends)
		subscriber_append_last(subscriber, &position, frame, out);
	else
		subscriber_append_with_id(subscriber, &position, frame, out);
	position_fini(&position);
}

/* The loop's usual portion of what is due, into `out`. Where the last of it ends, the segment that
 * has it; NULL: the window has lost it. */
static const struct window_segment *append_portion(struct subscriber *subscriber, struct walk *walk,
						   struct buffer *out, uint32_t *events)
{
	struct conflation *conflation = subscriber->conflation;
	const struct window_segment *last = NULL;
	uint64_t end;

	while (conflation->due_at < conflation->due_count && out->len < FANOUT_SCRATCH_BYTES) {
		uint64_t sequence = conflation->due[conflation->due_at];
		const struct window_segment *segment =
		    window_find(subscriber->at->feed->window, sequence, &end);

		if (!segment)
			break;
		append(subscriber, walk, segment, sequence, out);
		*events += subscriber_count_entry(window_entry_at(segment, sequence));
		conflation->due_at++;
		last = segment;
	}
	return last;
}

/* The cursor goes where the rest begins, and the level after what was sent: the last of that is in
 * `segment`; NULL: it was nothing. */
static void pass(struct subscriber *subscriber, struct walk *walk,
		 const struct window_segment *segment)
{
	struct conflation *conflation = subscriber->conflation;
	bool whole = conflation->due_at == conflation->due_count;
	bool lags;

	subscriber->cursor = whole ? conflation->due_until : conflation->due[conflation->due_at];
	lags = subscriber->cursor < subscriber->until;
	if (segment && (lags || subscriber->own))
		walk_to(walk, segment, conflation->due[conflation->due_at - 1] + 1);
	if (segment && subscriber->own)
		position_merge(subscriber->own, &walk->position);
	conflation_set_level(
	    conflation, lags && !subscriber->own ? conflation_level_new(&walk->position) : NULL);
	if (whole)
		conflation_drop_due(conflation);
}

/* False: the window has lost what comes next. */
static bool push_due(struct subscriber *subscriber)
{
	const struct conflation *conflation = subscriber->conflation;
	struct walk walk = {0};
	struct buffer out = {0};
	uint32_t events = 0;
	const struct window_segment *last;

	subscriber_hold(subscriber);
	last = append_portion(subscriber, &walk, &out, &events);
	if (last || !conflation->due_count)
		pass(subscriber, &walk, last);
	if (out.len)
		subscriber_push(subscriber, buffer_slice(&out), events);
	else
		subscriber_release(subscriber);
	buffer_free(&out);
	walk_fini(&walk);
	return last || !conflation->due;
}

/* What was offered is read again, with what comes after it. */
static void read_again(struct subscriber *subscriber)
{
	struct position from;

	conflation_position(subscriber, &from);
	subscriber_begin_replay(subscriber, &from, REPLAY_RESUME, 0);
	position_fini(&from);
}

/* Goes out as it is. */
static void merge_spared(struct subscriber *subscriber)
{
	struct conflation *conflation = subscriber->conflation;

	if (subscriber->own)
		subscriber_merge(subscriber);
	conflation->spared = conflation_lags(subscriber) && subscriber->own;
	conflation_replayed(subscriber);
}

void conflation_flush(struct subscriber *subscriber)
{
	const struct conflation *conflation = subscriber->conflation;

	if (conflation->spared)
		merge_spared(subscriber);
	else if (conflation_waits(subscriber))
		conflation_arm(subscriber);
	else if (conflation_lags(subscriber) &&
		 !((conflation->due || take_due(subscriber)) && push_due(subscriber)))
		read_again(subscriber);
	subscriber_drop_level_own(subscriber);
}
