#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "event/document.h"
#include "event/event_id.h"
#include "feed/checks.h"
#include "feed/feed_event.h"
#include "feed/replay_priv.h"

bool replay_job_wants(const struct replay_job *job, const struct record *record,
		      const json_t *document, struct route_keys *scratch, struct feed_event *event)
{
	*event = feed_event_of(job->feed, record, document, scratch);
	if (!feed_event_is_sent(event))
		return false;
	if (feed_is_filtered(job->feed) && !route_keys_intersect(scratch, &job->keys))
		return false;
	return checks_match(job->checks, &event->kept);
}

static uint32_t partitions_of(const struct position *position, uint32_t topic)
{
	return position->topics[topic].partition_count;
}

static void clear_ranges(struct replay_slice *slice)
{
	size_t total = 1;

	for (uint32_t t = 0; t < slice->head.topic_count; t++)
		total += partitions_of(&slice->head, t);
	free(slice->ranges);
	free(slice->covers);
	slice->ranges = mem_zalloc(total * sizeof(slice->ranges[0]));
	slice->covers = mem_zalloc(total * sizeof(slice->covers[0]));
	slice->count = 0;
}

static struct replay_source_range range_of(const struct replay_slice *slice, uint32_t topic,
					   uint32_t partition)
{
	return (struct replay_source_range){
	    .topic = slice->job->feed->topics[topic],
	    .partition = (int32_t)partition,
	    .until = position_get(&slice->head, topic, partition),
	    .topic_number = topic,
	};
}

void replay_slice_find(struct replay_slice *slice, const struct position *from)
{
	clear_ranges(slice);
	for (uint32_t t = 0; t < slice->head.topic_count; t++) {
		for (uint32_t p = 0; p < partitions_of(&slice->head, t); p++) {
			struct replay_source_range range = range_of(slice, t, p);

			range.from = from ? position_get(from, t, p) : 0;
			if (range.from == range.until)
				continue;
			/* Ahead of this replica: there is nothing to read, but something to check.
			 */
			if (range.from > range.until)
				range.until = range.from;
			slice->ranges[slice->count++] = range;
		}
	}
}

void replay_slice_find_all(struct replay_slice *slice)
{
	clear_ranges(slice);
	for (uint32_t t = 0; t < slice->head.topic_count; t++)
		for (uint32_t p = 0; p < partitions_of(&slice->head, t); p++)
			slice->ranges[slice->count++] = range_of(slice, t, p);
}

static void take_record(struct replay_slice *slice, const struct record *record,
			const json_t *document, const struct feed_event *event)
{
	struct replay_job *job = slice->job;
	bool ends = replay_ends_with(job, &event->kept);

	buffer_clear(&slice->id);
	event_id_encode(job->feed->hash, ends ? EVENT_ID_FINAL : 0, &job->own, &slice->id);
	feed_event_append(job->feed, event, record, document, buffer_slice(&slice->id),
			  &job->chunk);
	job->chunk_events++;
	if (ends)
		replay_end_with(job);
}

bool replay_slice_record(void *context, size_t range, const struct record *record)
{
	struct replay_slice *slice = context;
	struct replay_job *job = slice->job;
	unsigned parts = job->feed->stream->parts;
	json_t *document = NULL;
	struct feed_event event;
	bool wanted, room = true;

	if (parts && document_build(record, parts, &document))
		document = NULL;
	position_set(&job->own, slice->reads[range].topic_number, (uint32_t)record->partition,
		     record->offset + 1);
	slice->records++;
	wanted = replay_job_wants(job, record, document, &slice->keys, &event);
	if (job->state)
		room = replay_current_take(job, slice->worker, record, document,
					   wanted ? &event : NULL);
	else if (wanted && job->conflates)
		replay_conflate_take(job, record, document, &event);
	else if (wanted)
		take_record(slice, record, document, &event);
	json_decref(document);
	return room && !job->ended &&
	       job->chunk.len + job->keyed.bytes < slice->worker->settings->chunk_bytes &&
	       !atomic_load(&job->cancelled);
}

void replay_slice_progress(void *context, size_t range, int64_t next)
{
	struct replay_slice *slice = context;
	const struct replay_source_range *read = &slice->reads[range];
	struct position *own = &slice->job->own;

	if (position_get(own, read->topic_number, (uint32_t)read->partition) < next)
		position_set(own, read->topic_number, (uint32_t)read->partition, next);
}

static void read_kafka(struct replay_slice *slice)
{
	const struct replay_worker *worker = slice->worker;
	struct replay_job *job = slice->job;
	int rc = 0;

	slice->reads = slice->ranges;
	if (slice->count) {
		if (!job->counted)
			metrics_add(METRIC_REPLAYS_KAFKA, 1);
		job->counted = true;
		rc = worker->source->read(worker->reader, slice->ranges, slice->count,
					  REPLAY_SLICE_RECORDS, replay_slice_record,
					  replay_slice_progress, slice);
	}
	if (!rc)
		job->result = REPLAY_DONE;
	else if (rc == ERROR_CANCELLED || rc == ERROR_LIMIT)
		job->result = REPLAY_MORE;
	else
		job->result = REPLAY_FAILED;
	/* Retention may have come first. */
	job->checked = job->result != REPLAY_FAILED;
	metrics_add(METRIC_REPLAY_RECORDS, slice->records);
	metrics_add(METRIC_REPLAYED_EVENTS, job->chunk_events);
}

/* False: the job is answered; a position that was moved may be the journal's now. What was said
 * goes out by itself where what is read waits for what comes after it. */
static bool check(struct replay_slice *slice)
{
	const struct replay_job *job = slice->job;

	return replay_check(slice) && !slice->moved && !(job->conflates && job->chunk.len);
}

/* From the journal as far as it has the job's position; what it does not have, or has not yet, from
 * Kafka. */
static void read_slice(struct replay_slice *slice)
{
	struct replay_job *job = slice->job;
	bool to_kafka = job->at_tail, covered;

	job->at_tail = false;
	replay_slice_find(slice, &job->own);
	covered = replay_journal_cover(slice) && !to_kafka;
	/* Where the beginning is has to be known before anything is said. */
	if (job->mode == REPLAY_EARLIEST && !check(slice))
		return;
	if (covered && replay_journal_read(slice))
		return;
	if (check(slice))
		read_kafka(slice);
}

static void read_by_mode(struct replay_slice *slice)
{
	switch (slice->job->mode) {
	case REPLAY_RESUME:
	case REPLAY_EARLIEST:
		read_slice(slice);
		break;
	case REPLAY_LAST:
		replay_read_last(slice);
		break;
	case REPLAY_SINCE:
		replay_place_since(slice);
		break;
	case REPLAY_CUSTOM:
		replay_place_custom(slice);
		break;
	case REPLAY_CURRENT:
		if (!replay_current_begin(slice))
			break;
		if (!replay_current_sends(slice->job))
			read_slice(slice);
		replay_current_go_on(slice);
		break;
	}
}

void replay_read(struct replay_job *job, const struct replay_worker *worker)
{
	struct replay_slice slice = {.job = job, .worker = worker};

	position_init(&slice.head, job->feed->topic_count);
	replay_end_find_head(job, &slice.head);
	read_by_mode(&slice);
	if (job->result == REPLAY_FAILED || job->keyed.bytes >= worker->settings->chunk_bytes)
		replay_conflate_write(job, &job->own);
	replay_end(&slice);
	free(slice.ranges);
	free(slice.covers);
	route_keys_free(&slice.keys);
	buffer_free(&slice.id);
	position_fini(&slice.head);
}
