#include <stdlib.h>

#include "base/metrics.h"
#include "event/frame.h"
#include "feed/ending_priv.h"
#include "feed/feed.h"
#include "feed/feed_event.h"
#include "feed/replay_priv.h"

void replay_conflate_take(struct replay_job *job, const struct record *record,
			  const json_t *document, const struct feed_event *event)
{
	struct buffer frame = {0};
	struct keyed *keyed = keyed_new(job->feed, record, job->conflates == REPLAY_CONFLATES_KEYS);

	job->conflated++;
	keyed->ends = replay_ends_with(job, &event->kept);
	if (keyed->ends) {
		replay_end_with(job);
		/* Nothing supersedes it, whatever its time is. */
		keyed->event_time_ms = INT64_MAX;
	}
	if (!keyed_remove(&job->keyed, keyed)) {
		keyed_free(keyed);
		return;
	}
	feed_event_append(job->feed, event, record, document, (struct slice){0}, &frame);
	keyed_put(&job->keyed, keyed, &frame);
}

static int by_arrival(const void *a, const void *b)
{
	const struct keyed *left = *(struct keyed *const *)a, *right = *(struct keyed *const *)b;

	return left->arrival < right->arrival ? -1 : 1;
}

static void move_to(struct position *position, const struct keyed *keyed, int64_t next)
{
	position_set(position, keyed->topic, (uint32_t)keyed->partition, next);
}

/* A position before the first of them: what they supersede is before it, or after it with what
 * supersedes that. */
static void begin(struct keyed *const *sorted, size_t count, const struct position *own,
		  struct position *position)
{
	position_copy(position, own);
	for (size_t i = count; i-- > 0;)
		move_to(position, sorted[i], sorted[i]->offset);
}

/* It has an id where the stream takes it from the event, and the event has it. */
static void append(struct replay_job *job, const struct keyed *keyed,
		   const struct position *position)
{
	const struct slice frame = {keyed->frame, keyed->frame_len};

	if (!frame_id(frame).len && keyed->ends)
		ending_append_id_line(job->feed, position, &job->chunk);
	else if (!frame_id(frame).len)
		feed_append_id_line(job->feed, position, &job->chunk);
	buffer_append_slice(&job->chunk, frame);
}

/*
 * In the order of the read, which is that of each partition: whoever comes back after one of these
 * gets what is after it. With the last one all that was read is done.
 */
void replay_conflate_write(struct replay_job *job, const struct position *own)
{
	size_t count = job->keyed.count;
	struct keyed **sorted;
	struct position position;

	if (!count)
		return;
	sorted = keyed_sort(&job->keyed, by_arrival);
	begin(sorted, count, own, &position);
	for (size_t i = 0; i < count; i++) {
		move_to(&position, sorted[i], sorted[i]->offset + 1);
		append(job, sorted[i], i + 1 < count ? &position : own);
	}
	job->chunk_events += (uint32_t)count;
	metrics_add(METRIC_REPLAYED_EVENTS, count);
	metrics_add(METRIC_EVENTS_CONFLATED, job->conflated - count);
	job->conflated = 0;
	position_fini(&position);
	free(sorted);
	keyed_fini(&job->keyed);
}
