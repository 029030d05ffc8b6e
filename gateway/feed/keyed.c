#include "feed/keyed_priv.h"

#include <assert.h>
#include <search.h>
#include <stdlib.h>

#include "base/mem.h"
#include "feed/feed.h"

static int by_key(const void *a, const void *b)
{
	const struct keyed *left = a, *right = b;

	if (left->key_type != right->key_type)
		return left->key_type < right->key_type ? -1 : 1;
	if (left->key_len != right->key_len)
		return left->key_len < right->key_len ? -1 : 1;
	return memcmp(left->key, right->key, left->key_len);
}

void keyed_free(void *keyed)
{
	free(((struct keyed *)keyed)->frame);
	free(keyed);
}

void keyed_fini(struct keyed_events *events)
{
	tdestroy(events->tree, keyed_free);
	*events = (struct keyed_events){0};
}

struct keyed *keyed_new(const struct feed *feed, const struct record *record, bool is_by_key)
{
	size_t key_len = is_by_key ? record->key.len : 0;
	struct keyed *keyed = mem_zalloc(sizeof(*keyed) + key_len);

	while (keyed->topic + 1 < feed->topic_count &&
	       !slice_equal(record->topic, slice_of(feed->topics[keyed->topic])))
		keyed->topic++;
	keyed->partition = record->partition;
	keyed->event_time_ms = record->timestamp_ms;
	keyed->offset = record->offset;
	if (!is_by_key)
		return keyed;
	keyed->key_type = 1 + 2 * keyed->topic + record->has_key;
	keyed->key_len = key_len;
	if (key_len)
		memcpy(keyed->key, record->key.base, key_len);
	return keyed;
}

static size_t bytes_of(const struct keyed *keyed)
{
	return sizeof(*keyed) + keyed->key_len + keyed->frame_len;
}

static bool is_older(const struct keyed *keyed, const struct keyed *than)
{
	return (keyed->topic != than->topic || keyed->partition != than->partition) &&
	       keyed->event_time_ms < than->event_time_ms;
}

bool keyed_remove(struct keyed_events *events, const struct keyed *key)
{
	struct keyed **found = tfind(key, &events->tree, by_key);
	struct keyed *keyed;

	if (!found)
		return true;
	keyed = *found;
	if (is_older(key, keyed))
		return false;
	tdelete(key, &events->tree, by_key);
	events->count--;
	events->bytes -= bytes_of(keyed);
	keyed_free(keyed);
	return true;
}

void keyed_put(struct keyed_events *events, struct keyed *keyed, struct buffer *frame)
{
	keyed->frame = frame->base;
	keyed->frame_len = frame->len;
	*frame = (struct buffer){0};
	keyed->arrival = events->arrivals++;
	if (!tsearch(keyed, &events->tree, by_key))
		abort();
	events->count++;
	events->bytes += bytes_of(keyed);
}

struct listing {
	struct keyed **all;
	size_t count;
};

static void take_down(const void *node, VISIT visit, void *context)
{
	struct listing *listing = context;

	if (visit == postorder || visit == leaf)
		listing->all[listing->count++] = *(struct keyed *const *)node;
}

struct keyed **keyed_sort(const struct keyed_events *events,
			  int (*compare)(const void *a, const void *b))
{
	struct listing listing = {mem_alloc((events->count + 1) * sizeof(listing.all[0])), 0};

	twalk_r(events->tree, take_down, &listing);
	assert(listing.count == events->count);
	qsort(listing.all, listing.count, sizeof(listing.all[0]), compare);
	return listing.all;
}
