#include <assert.h>

#include "feed/checks.h"
#include "feed/subscriber_priv.h"

static struct roster *roster_of(struct subscriber *subscriber)
{
	struct fanout_feed *at = subscriber->at;

	return subscriber->checks ? &at->checked : &at->unfiltered;
}

void subscriber_enter_roster(struct subscriber *subscriber)
{
	roster_add(roster_of(subscriber), subscriber, &subscriber->place_in_roster);
}

void subscriber_leave_roster(struct subscriber *subscriber)
{
	uint32_t place = subscriber->place_in_roster;

	roster_remove(roster_of(subscriber), place)->place_in_roster = place;
}

static void exchange(struct subscriber *subscriber, struct checks *checks)
{
	if (!subscriber->filtered)
		subscriber_leave_roster(subscriber);
	checks_unref(subscriber->checks);
	subscriber->checks = checks_ref(checks);
	if (!subscriber->filtered)
		subscriber_enter_roster(subscriber);
}

/* A frame that has begun goes out whole, whatever the new checks say of it. */
static void keep_frame_under_way(struct subscriber *subscriber)
{
	uint64_t end;
	const struct window_segment *segment;

	if (!subscriber->frame_at)
		return;
	segment = window_find(subscriber->at->feed->window, subscriber->cursor, &end);
	/* It has left the window: the next peek gives the subscriber up. */
	if (!segment)
		return;
	subscriber_push_begun(subscriber, segment);
}

/* What was dispatched to it and refused by the old checks has been looked at. */
static void pass_dispatched(struct subscriber *subscriber)
{
	uint64_t dispatched = subscriber_horizon(subscriber);

	if (subscriber->cursor == subscriber->until && !subscriber->frame_at)
		subscriber->cursor = subscriber->until = dispatched;
	else if (subscriber_takes_all(subscriber))
		subscriber->until = dispatched;
}

void subscriber_set_checks(struct subscriber *subscriber, struct checks *checks)
{
	assert(!checks || subscriber->at->feed->stream->keeps_records);
	if (subscriber->checks == checks || subscriber->state == SUBSCRIBER_ENDED)
		return;
	if (subscriber->state == SUBSCRIBER_LIVE)
		keep_frame_under_way(subscriber);
	exchange(subscriber, checks);
	conflation_reconsider(subscriber);
	if (subscriber->state == SUBSCRIBER_LIVE)
		pass_dispatched(subscriber);
	else if (subscriber->state == SUBSCRIBER_REPLAYING)
		subscriber_renew_job(subscriber);
	subscriber_tell(subscriber);
}
