/*
 * An id from a client: whatever it holds, it is refused with a reason or stands for exactly one
 * position, whose text it is.
 */
#include <assert.h>

#include "event/event_id.h"

/* The seeds belong to this feed: 64 random bits seldom come by guessing. */
#define FEED UINT64_C(0x0123456789abcdef)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_bounds(const struct position *position)
{
	uint64_t partitions = 0;

	assert(position->topic_count <= POSITION_MAX_TOPICS);
	for (uint32_t t = 0; t < position->topic_count; t++) {
		partitions += position->topics[t].partition_count;
		for (uint32_t p = 0; p < position->topics[t].partition_count; p++)
			assert(position->topics[t].next[p] >= 0);
	}
	assert(partitions <= POSITION_MAX_PARTITIONS);
}

static void check_accepted(struct slice text, unsigned flags, struct position *position)
{
	struct buffer again = {0};
	struct position merged;

	check_bounds(position);
	event_id_encode(FEED, flags, position, &again);
	assert(slice_equal(buffer_slice(&again), text));
	position_init(&merged, 0);
	position_merge(&merged, position);
	assert(position_at_or_before(&merged, position) &&
	       position_at_or_before(position, &merged));
	position_fini(&merged);
	position_fini(position);
	buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct slice text = {(const char *)bytes, len};
	struct position position;
	const char *reason = NULL;
	unsigned flags;
	int rc = event_id_decode(text, FEED, &flags, &position, &reason);

	if (rc)
		assert((rc == ERROR_INVALID || rc == ERROR_FOREIGN) && reason);
	else
		check_accepted(text, flags, &position);
	return 0;
}
