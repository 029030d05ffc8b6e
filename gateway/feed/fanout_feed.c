#include <stdlib.h>

#include "base/mem.h"
#include "event/event_id.h"
#include "feed/documents_priv.h"
#include "feed/fanout_priv.h"
#include "feed/subscriber_priv.h"

struct fanout_feed *fanout_feed_enter(struct fanout *fanout, struct feed *feed)
{
	struct fanout_feed *at = fanout->feeds_here;

	while (at && at->feed != feed)
		at = at->following;
	if (at) {
		feeds_close(fanout->feeds, feed);
	} else {
		at = MEM_NEW(struct fanout_feed);
		at->fanout = fanout;
		at->feed = feed;
		at->number = ++fanout->feed_count;
		position_init(&at->position, feed->topic_count);
		position_init(&at->before, feed->topic_count);
		at->following = fanout->feeds_here;
		fanout->feeds_here = at;
	}
	at->subscriber_count++;
	atomic_fetch_add(&feed->subscribers, 1);
	return at;
}

void fanout_feed_leave(struct fanout_feed *at)
{
	struct fanout *fanout = at->fanout;
	struct fanout_feed **link = &fanout->feeds_here;

	atomic_fetch_sub(&at->feed->subscribers, 1);
	if (--at->subscriber_count)
		return;
	while (*link != at)
		link = &(*link)->following;
	*link = at->following;
	index_fini(&at->index);
	free(at->unfiltered.members);
	free(at->checked.members);
	conflation_feed_fini(at);
	position_fini(&at->position);
	position_fini(&at->before);
	buffer_free(&at->id);
	feeds_close(fanout->feeds, at->feed);
	free(at);
}

struct slice fanout_feed_id(struct fanout_feed *at)
{
	if (!at->id_is_fresh) {
		buffer_clear(&at->id);
		event_id_encode(at->feed->hash, 0, &at->position, &at->id);
		at->id_is_fresh = true;
	}
	return buffer_slice(&at->id);
}

static struct subscriber *touch(struct subscriber *dirty, struct subscriber *subscriber,
				uint64_t sequence)
{
	if (subscriber->state != SUBSCRIBER_LIVE)
		return dirty;
	if (!subscriber->dirty) {
		subscriber->dirty = dirty ? dirty : subscriber;
		dirty = subscriber;
	}
	subscriber_offer(subscriber, sequence);
	return dirty;
}

bool fanout_feed_passes(struct fanout_feed *at, const struct checks *checks,
			const struct window_segment *segment, const struct window_entry *entry)
{
	const struct documents_event event = {
	    .feed = at->number,
	    .sequence = segment->first + (uint64_t)(entry - segment->entries),
	    .topics = at->feed->topics,
	    .segment = segment,
	    .entry = entry,
	};

	return documents_match(at->fanout->documents, &event, checks);
}

/* Its checks refuse the entry. One that is behind looks at it when it gets there; where events are
 * conflated, it must not supersede one that passes. */
static bool is_refused(struct fanout_feed *at, const struct subscriber *subscriber,
		       const struct window_segment *segment, const struct window_entry *entry)
{
	return subscriber->state == SUBSCRIBER_LIVE &&
	       (subscriber->conflation || subscriber_is_idle(subscriber)) &&
	       !fanout_feed_passes(at, subscriber->checks, segment, entry);
}

/* Offers one entry to those that have one of its keys. */
static struct subscriber *offer_by_key(struct fanout_feed *at, struct subscriber *dirty,
				       const struct window_segment *segment,
				       const struct window_entry *entry, uint64_t sequence)
{
	const struct route_keys keys = window_keys(segment, entry);
	struct slice key;
	size_t i = 0;

	while (route_keys_next(&keys, &i, &key)) {
		uint64_t hash = entry->key_count == 1 ? entry->key_hash : route_key_hash(key);
		struct index_node *node = index_first(&at->index, hash, key);

		for (; node; node = index_next(node, hash, key))
			if (!node->subscriber->checks ||
			    !is_refused(at, node->subscriber, segment, entry))
				dirty = touch(dirty, node->subscriber, sequence);
	}
	return dirty;
}

/* To those without keys, whose checks alone decide. */
static struct subscriber *offer_to_checked(struct fanout_feed *at, struct subscriber *dirty,
					   const struct window_segment *segment,
					   const struct window_entry *entry, uint64_t sequence)
{
	for (uint32_t i = 0; i < at->checked.count; i++)
		if (!is_refused(at, at->checked.members[i], segment, entry))
			dirty = touch(dirty, at->checked.members[i], sequence);
	return dirty;
}

static struct subscriber *offer_to_all(struct fanout_feed *at, struct subscriber *dirty,
				       uint64_t sequence)
{
	const struct roster *all = &at->fanout->all;

	for (uint32_t i = 0; i < all->count; i++)
		if (all->members[i]->at == at && !subscriber_takes_all(all->members[i]))
			dirty = touch(dirty, all->members[i], sequence);
	return dirty;
}

/*
 * Events left the window before this loop has looked at them. Those that are level with the last
 * dispatch read them again from there; those that were behind already find their cursor's segment
 * gone.
 */
static void replay_lapsed(struct fanout_feed *at)
{
	const struct roster *all = &at->fanout->all;

	for (uint32_t i = 0; i < all->count; i++) {
		struct subscriber *subscriber = all->members[i];

		if (subscriber->at == at && !subscriber->dirty)
			subscriber_replay_from(subscriber, &at->before);
	}
}

static struct subscriber *offer(struct fanout_feed *at, struct subscriber *dirty,
				const struct window_segment *segment,
				const struct window_entry *entry, uint64_t sequence)
{
	if (entry->kind == WINDOW_NOTICE)
		return offer_to_all(at, dirty, sequence);
	if (at->checked.count)
		return offer_to_checked(at, dirty, segment, entry, sequence);
	return offer_by_key(at, dirty, segment, entry, sequence);
}

/* The filtered ones: an event costs a look-up for each of its keys, and what it does for each
 * match. */
static void dispatch_filtered(struct fanout_feed *at, uint64_t head)
{
	struct subscriber *dirty = NULL;
	uint64_t end = 0;

	for (uint64_t sequence = at->dispatched; sequence < head;) {
		const struct window_segment *segment =
		    window_find(at->feed->window, sequence, &end);

		if (!segment) {
			uint64_t tail = window_tail(at->feed->window);

			replay_lapsed(at);
			sequence = tail > sequence ? tail : sequence + 1;
			continue;
		}
		for (; sequence < end && sequence < head; sequence++) {
			const struct window_entry *entry = window_entry_at(segment, sequence);

			conflation_feed_pass(at, segment, entry, sequence);
			dirty = offer(at, dirty, segment, entry, sequence);
		}
	}
	at->dispatched = head;
	while (dirty) {
		struct subscriber *next = dirty->dirty == dirty ? NULL : dirty->dirty;

		dirty->dirty = NULL;
		subscriber_tell(dirty);
		dirty = next;
	}
}

static void dispatch_unfiltered(struct fanout_feed *at)
{
	struct roster *roster = &at->unfiltered;

	for (uint32_t i = 0; i < roster->count; i++) {
		struct subscriber *subscriber = roster->members[i];

		if (subscriber->state != SUBSCRIBER_LIVE)
			continue;
		if (subscriber->conflation)
			conflation_offer_all(subscriber);
		subscriber->until = subscriber_horizon(subscriber);
		subscriber_tell(subscriber);
	}
}

static void attach_waiting(struct fanout_feed *at)
{
	const struct roster *all = &at->fanout->all;

	at->attached = true;
	for (uint32_t i = 0; i < all->count; i++)
		if (all->members[i]->at == at && all->members[i]->state == SUBSCRIBER_WAITING)
			subscriber_attach(all->members[i]);
}

/* Nothing but a topic that was made anew takes a feed's position back. */
static void recheck_positions(struct fanout_feed *at)
{
	const struct roster *all = &at->fanout->all;

	if (position_at_or_before(&at->before, &at->position))
		return;
	for (uint32_t i = 0; i < all->count; i++)
		if (all->members[i]->at == at)
			subscriber_recheck(all->members[i]);
}

void fanout_feed_dispatch(struct fanout_feed *at)
{
	struct window *window = at->feed->window;
	uint64_t head;

	if (!at->attached && !atomic_load(&at->feed->ready))
		return;
	if (at->attached && window_version(window) == at->version)
		return;
	position_assign(&at->before, &at->position);
	conflation_feed_begin(at);
	head = window_head(window, &at->position, &at->version);
	at->id_is_fresh = false;
	if (!at->attached) {
		at->dispatched = head;
		attach_waiting(at);
	} else if (head != at->dispatched) {
		recheck_positions(at);
		if (window_tail(window) > at->dispatched)
			replay_lapsed(at);
		dispatch_filtered(at, head);
		dispatch_unfiltered(at);
	}
}
