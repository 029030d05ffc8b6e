#include "feed/subscriber_priv.h"

/*
 * A millisecond or two of decoding. An event's share beside its record's bytes is what the smallest
 * one costs. A few go on in each turn of the loop: the others wait for theirs in line.
 */
enum { LOOK_BYTES = 128 << 10, BYTES_A_LOOK = 256, WAKES_A_TURN = 4 };

uint64_t subscriber_look_bytes(const struct window_entry *entry)
{
	return (uint64_t)entry->record_len + BYTES_A_LOOK;
}

void subscriber_refresh(struct subscriber *subscriber)
{
	subscriber->look_bytes = LOOK_BYTES;
}

void subscriber_spend_look(struct subscriber *subscriber, const struct window_entry *entry)
{
	uint64_t bytes = subscriber_look_bytes(entry);

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
