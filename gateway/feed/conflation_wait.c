#include "feed/subscriber_priv.h"

/* So often one that waits is looked at. */
enum { LOOK_MS = 500 };

bool conflation_waits(const struct subscriber *subscriber)
{
	const struct conflation *conflation = subscriber->conflation;

	return conflation && !conflation->due && !conflation->spared &&
	       !subscriber_is_bounded(subscriber) &&
	       subscriber->at->fanout->now_ms < conflation->due_ms;
}

static uint64_t tick_of(uint64_t ms)
{
	return (ms + FANOUT_TICK_MS - 1) / FANOUT_TICK_MS;
}

void conflation_disarm(struct conflation *conflation)
{
	if (!conflation->armed)
		return;
	conflation->armed = false;
	*conflation->link = conflation->next;
	if (conflation->next)
		conflation->next->conflation->link = conflation->link;
}

void conflation_arm(struct subscriber *subscriber)
{
	struct conflation_loop *loop = &subscriber->at->fanout->conflation;
	struct conflation *conflation = subscriber->conflation;
	uint64_t look_ms, tick;
	struct subscriber **slot;

	if (!conflation_lags(subscriber) || conflation->armed || !conflation_waits(subscriber))
		return;
	look_ms = subscriber->at->fanout->now_ms + LOOK_MS;
	tick = tick_of(look_ms < conflation->due_ms ? look_ms : conflation->due_ms);
	slot = &loop->slots[(tick > loop->tick ? tick : loop->tick + 1) % CONFLATION_SLOTS];
	conflation->armed = true;
	conflation->next = *slot;
	conflation->link = slot;
	if (*slot)
		(*slot)->conflation->link = &conflation->next;
	*slot = subscriber;
}

/* The window is about to drop what it needs: what it would be sent at its interval's end goes out
 * now. That may be all that it was offered, or it is known to be the newest alone. */
static bool is_endangered(const struct subscriber *subscriber)
{
	uint64_t tail = window_tail(subscriber->at->feed->window);
	bool newest_alone = conflation_is_noted(subscriber) && !subscriber->conflation->by_key;
	uint64_t needs = newest_alone ? subscriber->until - 1 : subscriber->cursor;

	return tail && (needs < tail || needs - tail <= (subscriber->at->dispatched - tail) / 4);
}

static void look_at(struct subscriber *subscriber)
{
	struct conflation *conflation = subscriber->conflation;

	conflation_disarm(conflation);
	if (conflation_lags(subscriber) && is_endangered(subscriber) &&
	    conflation->due_ms > subscriber->at->fanout->now_ms)
		conflation->due_ms = subscriber->at->fanout->now_ms;
	subscriber_tell(subscriber);
}

void conflation_tick(struct fanout *fanout)
{
	struct conflation_loop *loop = &fanout->conflation;
	uint64_t tick = fanout->now_ms / FANOUT_TICK_MS;

	if (tick - loop->tick > CONFLATION_SLOTS)
		loop->tick = tick - CONFLATION_SLOTS;
	/* Who is armed again may come into the same slot. */
	while (loop->tick < tick) {
		struct subscriber **slot = &loop->slots[++loop->tick % CONFLATION_SLOTS];
		struct subscriber *first = *slot;

		*slot = NULL;
		if (first)
			first->conflation->link = &first;
		while (first)
			look_at(first);
	}
}
