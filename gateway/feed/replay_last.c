#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "event/document.h"
#include "event/frame.h"
#include "feed/feed.h"
#include "feed/replay_priv.h"

/* One event that may be among the last N. */
struct candidate {
	uint32_t topic, partition;
	int64_t offset;
	int64_t order;   /* highest timestamp so far in its partition: keeps the partition's order
			    under a stable sort */
	size_t sequence; /* of arrival */
	char *frame;
	size_t frame_len;
};

struct search {
	struct replay_job *job;
	struct replay_source_range *ranges;
	uint32_t *topics;
	int64_t *orders;
	size_t range_count;
	struct candidate *found;
	size_t count, capacity, arrivals;
	struct route_keys keys;
};

static int by_order(const void *a, const void *b)
{
	const struct candidate *left = a, *right = b;

	if (left->order != right->order)
		return left->order < right->order ? -1 : 1;
	return left->sequence < right->sequence ? -1 : 1;
}

/* Leaves the last N, in order. */
static void keep_last(struct search *search)
{
	size_t surplus;

	if (!search->count)
		return;
	qsort(search->found, search->count, sizeof(search->found[0]), by_order);
	if (search->count <= search->job->last)
		return;
	surplus = search->count - search->job->last;
	for (size_t i = 0; i < surplus; i++)
		free(search->found[i].frame);
	memmove(search->found, search->found + surplus,
		search->job->last * sizeof(search->found[0]));
	search->count = search->job->last;
}

static void add_candidate(struct search *search, size_t range, const struct record *record,
			  const json_t *document)
{
	struct buffer frame = {0};
	int64_t *order = &search->orders[range];

	if (record->timestamp_ms > *order)
		*order = record->timestamp_ms;
	mapping_append_frame(search->job->feed->stream->mapping, record, document,
			     (struct slice){0}, &frame);
	search->found[search->count++] = (struct candidate){
	    .topic = search->topics[range],
	    .partition = (uint32_t)record->partition,
	    .offset = record->offset,
	    .order = *order,
	    .sequence = search->arrivals++,
	    .frame = frame.base,
	    .frame_len = frame.len,
	};
	if (search->count == search->capacity)
		keep_last(search);
}

static bool on_record(void *context, size_t range, const struct record *record)
{
	struct search *search = context;
	unsigned parts = search->job->feed->stream->parts;
	json_t *document = NULL;

	if (parts && document_build(record, parts, &document))
		document = NULL;
	if (replay_job_wants(search->job, record, document, &search->keys))
		add_candidate(search, range, record, document);
	json_decref(document);
	metrics_add(METRIC_REPLAY_RECORDS, 1);
	return !atomic_load(&search->job->cancelled);
}

static void on_progress(void *context, size_t range, int64_t next)
{
	(void)context;
	(void)range;
	(void)next;
}

/* An equal share of the scan for every partition, back from the head. */
static int find_ranges(struct search *search, const struct replay_source *source, void *reader,
		       const struct position *head, uint32_t scan)
{
	size_t total = 0;

	for (uint32_t t = 0; t < head->topic_count; t++)
		total += head->topics[t].partition_count;
	search->ranges = mem_zalloc((total + 1) * sizeof(search->ranges[0]));
	search->topics = mem_zalloc((total + 1) * sizeof(search->topics[0]));
	search->orders = mem_zalloc((total + 1) * sizeof(search->orders[0]));
	for (uint32_t t = 0; t < head->topic_count; t++) {
		for (uint32_t p = 0; p < head->topics[t].partition_count; p++) {
			int64_t low = 0, high = 0, until = position_get(head, t, p);
			const char *topic = search->job->feed->topics[t];
			int64_t from = until - (int64_t)(scan / total + 1);
			int rc = source->bounds(reader, topic, (int32_t)p, &low, &high);

			if (rc == ERROR_NOT_FOUND)
				continue;
			if (rc)
				return rc;
			if (from < low)
				from = low;
			if (from >= until)
				continue;
			search->ranges[search->range_count] =
			    (struct replay_source_range){topic, (int32_t)p, from, until};
			search->topics[search->range_count++] = t;
		}
	}
	return 0;
}

/* The position before the first of those that are sent; then each frame moves it on, so that every
 * id is exact. */
static void write_frames(struct search *search, const struct position *head)
{
	struct replay_job *job = search->job;

	position_assign(&job->own, head);
	for (size_t i = search->count; i-- > 0;)
		position_set(&job->own, search->found[i].topic, search->found[i].partition,
			     search->found[i].offset);
	for (size_t i = 0; i < search->count; i++) {
		const struct candidate *found = &search->found[i];
		struct slice frame = {found->frame, found->frame_len};

		position_set(&job->own, found->topic, found->partition, found->offset + 1);
		/* It has one where the stream takes it from the event, and the event has it. */
		if (!frame_id(frame).len)
			feed_append_id_line(job->feed, &job->own, &job->chunk);
		buffer_append_slice(&job->chunk, frame);
	}
	position_assign(&job->own, head);
}

static void search_fini(struct search *search)
{
	for (size_t i = 0; i < search->count; i++)
		free(search->found[i].frame);
	free(search->found);
	free(search->ranges);
	free(search->topics);
	free(search->orders);
	route_keys_free(&search->keys);
}

void replay_read_last(struct replay_job *job, const struct replay_source *source, void *reader,
		      const struct replay_limits *limits)
{
	struct search search = {.job = job, .capacity = 2 * (size_t)job->last + 1};
	struct position head;
	uint64_t version;
	int rc;

	search.found = mem_alloc(search.capacity * sizeof(search.found[0]));
	position_init(&head, job->feed->topic_count);
	window_head(job->feed->window, &head, &version);
	rc = find_ranges(&search, source, reader, &head, limits->last_scan);
	if (!rc && search.range_count)
		rc = source->read(reader, search.ranges, search.range_count, UINT64_MAX, on_record,
				  on_progress, &search);
	job->result = REPLAY_FAILED;
	if (!rc) {
		keep_last(&search);
		write_frames(&search, &head);
		job->chunk_events = (uint32_t)search.count;
		job->mode = REPLAY_RESUME;
		job->checked = true;
		job->result = REPLAY_DONE;
	}
	position_fini(&head);
	search_fini(&search);
}
