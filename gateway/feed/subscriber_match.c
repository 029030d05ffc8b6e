/* Which entries of the window are for a subscriber. */
#include "feed/subscriber_priv.h"

struct index_node *subscriber_node_at(struct subscriber *subscriber, uint32_t i)
{
	return subscriber->nodes ? &subscriber->nodes[i] : &subscriber->node;
}

static bool has_key(struct subscriber *subscriber, struct slice key)
{
	for (uint32_t i = 0; i < subscriber->key_count; i++)
		if (slice_equal(subscriber_node_at(subscriber, i)->key, key))
			return true;
	return false;
}

static bool takes_by_key(struct subscriber *subscriber, const struct window_segment *segment,
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

bool subscriber_matches(struct subscriber *subscriber, const struct window_segment *segment,
			const struct window_entry *entry)
{
	if (!takes_by_key(subscriber, segment, entry))
		return false;
	if (!subscriber->checks || entry->kind == WINDOW_NOTICE ||
	    fanout_feed_passes(subscriber->at, subscriber->checks, segment, entry))
		return true;
	subscriber_spend_look(subscriber, entry);
	return false;
}

bool subscriber_may_match(struct subscriber *subscriber, const struct window_segment *segment)
{
	for (uint32_t i = 0; i < subscriber->key_count; i++)
		if (window_segment_may_have(segment, subscriber_node_at(subscriber, i)->hash))
			return true;
	return !subscriber->filtered;
}
