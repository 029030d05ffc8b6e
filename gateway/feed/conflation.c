#include "feed/conflation_priv.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "feed/latest_priv.h"
#include "feed/subscriber_priv.h"

struct conflation_level *conflation_level_new(const struct position *position)
{
	struct conflation_level *level = MEM_NEW(struct conflation_level);

	level->references = 1;
	position_copy(&level->position, position);
	return level;
}

static void level_unref(struct conflation_level *level)
{
	if (!level || --level->references)
		return;
	position_fini(&level->position);
	free(level);
}

void conflation_set_level(struct conflation *conflation, struct conflation_level *level)
{
	level_unref(conflation->level);
	conflation->level = level;
}

void conflation_feed_fini(struct fanout_feed *at)
{
	level_unref(at->conflation.level);
	latest_free(at->conflation.latest);
}

void conflation_feed_begin(struct fanout_feed *at)
{
	struct conflation_feed *feed = &at->conflation;

	level_unref(feed->level);
	feed->level = NULL;
	if (feed->latest)
		latest_forget(feed->latest, window_tail(at->feed->window));
}

void conflation_feed_pass(struct fanout_feed *at, const struct window_segment *segment,
			  const struct window_entry *entry, uint64_t sequence)
{
	struct conflation_feed *feed = &at->conflation;

	if (entry->kind == WINDOW_NOTICE)
		feed->notices = sequence + 1;
	if (feed->latest)
		latest_put(feed->latest, segment, entry);
}

static struct conflation_level *level_of(struct fanout_feed *at)
{
	struct conflation_feed *feed = &at->conflation;

	if (!feed->level)
		feed->level = conflation_level_new(&at->before);
	feed->level->references++;
	return feed->level;
}

/* Subscribers by key of a feed without route keys share what is the newest of each, from where the
 * first of them begins. */
static void enter_feed(struct fanout_feed *at)
{
	if (at->conflation.by_key++)
		return;
	at->conflation.latest = latest_new();
	latest_begin(at->conflation.latest, at->feed->window, true);
}

static void leave_feed(struct fanout_feed *at)
{
	if (--at->conflation.by_key)
		return;
	latest_free(at->conflation.latest);
	at->conflation.latest = NULL;
}

void conflation_open(struct subscriber *subscriber, uint32_t interval_ms)
{
	struct conflation *conflation;

	if (!interval_ms)
		return;
	conflation = subscriber->conflation = MEM_NEW(struct conflation);
	conflation->interval_ms = interval_ms;
	conflation->by_key = subscriber->at->feed->stream->interval.per_key;
	if (conflation->by_key && !subscriber->filtered)
		enter_feed(subscriber->at);
}

void conflation_drop_due(struct conflation *conflation)
{
	free(conflation->due);
	conflation->due = NULL;
}

void conflation_close(struct subscriber *subscriber)
{
	struct conflation *conflation = subscriber->conflation;

	if (!conflation)
		return;
	if (conflation->by_key && !subscriber->filtered)
		leave_feed(subscriber->at);
	conflation_disarm(conflation);
	conflation_drop_due(conflation);
	level_unref(conflation->level);
	free(conflation->noted);
	free(conflation);
}

void conflation_note_nothing(struct conflation *conflation)
{
	conflation->offered = 0;
	conflation->noted_count = 0;
}

void conflation_forget(struct subscriber *subscriber)
{
	struct conflation *conflation = subscriber->conflation;

	if (!conflation)
		return;
	conflation_drop_due(conflation);
	conflation_set_level(conflation, NULL);
	conflation_note_nothing(conflation);
	conflation->spared = false;
	conflation_disarm(conflation);
}

void conflation_spare(struct subscriber *subscriber)
{
	if (subscriber->conflation)
		subscriber->conflation->spared = true;
}

void conflation_reconsider(struct subscriber *subscriber)
{
	struct conflation *conflation = subscriber->conflation;

	if (!conflation)
		return;
	conflation_drop_due(conflation);
	conflation->walks = true;
}

void conflation_replayed(struct subscriber *subscriber)
{
	struct conflation *conflation = subscriber->conflation;

	if (conflation)
		conflation->due_ms = subscriber->at->fanout->now_ms + conflation->interval_ms;
}

bool conflation_is_noted(const struct subscriber *subscriber)
{
	return !subscriber->conflation->walks && !subscriber->own && !subscriber->ending;
}

bool conflation_lags(const struct subscriber *subscriber)
{
	return subscriber->conflation && subscriber->state == SUBSCRIBER_LIVE &&
	       subscriber->cursor < subscriber->until;
}

void conflation_position(const struct subscriber *subscriber, struct position *position)
{
	const struct conflation_level *level = subscriber->conflation->level;

	assert(level || subscriber->own);
	position_copy(position, subscriber->own ? subscriber->own : &level->position);
}

/* It was level with what was dispatched before. */
static void begin(struct subscriber *subscriber)
{
	struct conflation *conflation = subscriber->conflation;

	if (subscriber->cursor < subscriber->until)
		return;
	if (subscriber->own)
		position_merge(subscriber->own, &subscriber->at->before);
	else
		conflation_set_level(conflation, level_of(subscriber->at));
	conflation_note_nothing(conflation);
	conflation->walks = false;
}

/* Leaves the newest of each key. */
static void compact(struct subscriber *subscriber)
{
	struct conflation *conflation = subscriber->conflation;
	struct latest *latest = subscriber->at->fanout->conflation.scratch;

	latest_begin(latest, subscriber->at->feed->window, true);
	conflation->walks = !conflation_put_noted(subscriber, latest) ||
			    latest_count(latest) > CONFLATION_MAX_NOTED / 2;
	if (!conflation->walks)
		conflation->noted_count =
		    latest_list(latest, 0, conflation->noted, conflation->noted_count);
}

static void note(struct subscriber *subscriber, uint64_t sequence)
{
	struct conflation *conflation = subscriber->conflation;

	if (!conflation->walks && conflation->noted_count == CONFLATION_MAX_NOTED)
		compact(subscriber);
	if (conflation->walks)
		return;
	if (conflation->noted_count == conflation->noted_capacity) {
		conflation->noted_capacity =
		    conflation->noted_capacity ? 2 * conflation->noted_capacity : 8;
		conflation->noted = mem_realloc(
		    conflation->noted, conflation->noted_capacity * sizeof(conflation->noted[0]));
	}
	conflation->noted[conflation->noted_count++] = sequence;
}

void conflation_offer(struct subscriber *subscriber, uint64_t sequence)
{
	struct conflation *conflation = subscriber->conflation;

	begin(subscriber);
	if (conflation->by_key)
		note(subscriber, sequence);
	conflation->offered++;
}

void conflation_offer_all(struct subscriber *subscriber)
{
	if (subscriber->until < subscriber->at->dispatched)
		begin(subscriber);
}

void conflation_loop_init(struct conflation_loop *loop)
{
	loop->scratch = latest_new();
}

void conflation_loop_fini(struct conflation_loop *loop)
{
	latest_free(loop->scratch);
}
