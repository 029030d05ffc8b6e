#include "feed/subscriber_priv.h"

/*
 * An event's share beside its record's bytes is what the smallest one costs. A search that takes
 * more than some portions is a replay job's. A few go on in each turn of the loop: the others wait
 * for theirs in line.
 */
enum { BYTES_A_LOOK = 256, PORTIONS_A_SEARCH = 4, WAKES_A_TURN = 4 };

static uint64_t look_bytes_of(const struct window_entry *entry)
{
	return (uint64_t)entry->record_len + BYTES_A_LOOK;
}

void subscriber_refresh(struct subscriber *subscriber)
{
	subscriber->look_bytes = subscriber->at->fanout->settings->look_bytes;
}

void subscriber_refresh_for_search(struct subscriber *subscriber)
{
	subscriber->look_bytes = PORTIONS_A_SEARCH * subscriber->at->fanout->settings->look_bytes;
}

/* How much its checks look at from there on, to about `most`. */
static uint64_t look_bytes_from(struct subscriber *subscriber, uint64_t sequence, uint64_t most)
{
	const struct window *window = subscriber->at->feed->window;
	uint64_t bytes = 0, end;

	for (; bytes <= most && sequence < subscriber->at->dispatched; sequence = end) {
		const struct window_segment *segment = window_find(window, sequence, &end);

		if (!segment)
			break;
		if (!subscriber_may_match(subscriber, segment))
			continue;
		for (; bytes <= most && sequence < end; sequence++)
			bytes += look_bytes_of(window_entry_at(segment, sequence));
	}
	return bytes;
}

bool subscriber_searches_long(struct subscriber *subscriber, uint64_t sequence)
{
	uint64_t most = (uint64_t)PORTIONS_A_SEARCH * subscriber->at->fanout->settings->look_bytes;

	return subscriber->conflation && subscriber->checks &&
	       look_bytes_from(subscriber, sequence, most) > most;
}

void subscriber_spend_look(struct subscriber *subscriber, const struct window_entry *entry)
{
	uint64_t bytes = look_bytes_of(entry);

	subscriber->look_bytes -=
	    bytes < subscriber->look_bytes ? (uint32_t)bytes : subscriber->look_bytes;
}

void subscriber_rest(struct subscriber *subscriber)
{
	struct fanout *fanout = subscriber->at->fanout;

	if (subscriber->rests)
		return;
	subscriber->rests = true;
	TAILQ_INSERT_TAIL(&fanout->resting, subscriber, resting);
	fanout->wake(fanout->wake_context);
}

void subscriber_leave_rest(struct subscriber *subscriber)
{
	if (!subscriber->rests)
		return;
	subscriber->rests = false;
	TAILQ_REMOVE(&subscriber->at->fanout->resting, subscriber, resting);
}

void subscriber_wake_resting(struct fanout *fanout)
{
	struct subscriber *subscriber;

	for (int i = 0; i < WAKES_A_TURN && (subscriber = TAILQ_FIRST(&fanout->resting)); i++) {
		subscriber_leave_rest(subscriber);
		subscriber_refresh(subscriber);
		subscriber_tell(subscriber);
	}
	if (!TAILQ_EMPTY(&fanout->resting))
		fanout->wake(fanout->wake_context);
}
