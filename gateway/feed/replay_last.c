#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "event/document.h"
#include "event/frame.h"
#include "feed/ending_priv.h"
#include "feed/feed_event.h"
#include "feed/replay_priv.h"

/* One event that may be among the last N. */
struct candidate {
	uint32_t topic, partition;
	int64_t offset;
	int64_t order;   /* highest timestamp so far in its partition: keeps the partition's order
			    under a stable sort */
	size_t sequence; /* of arrival */
	bool ends;       /* the stream, where it gets so far */
	char *frame;     /* NULL: there was no room */
	size_t frame_len;
};

struct search {
	struct replay_job *job;
	const struct replay_source_range *ranges;
	int64_t *orders;
	struct candidate *found;
	size_t count, capacity, arrivals;
	size_t frame_bytes, most_bytes;
	struct route_keys keys;
};

static void free_frame(struct search *search, struct candidate *found)
{
	search->frame_bytes -= found->frame_len;
	free(found->frame);
	found->frame = NULL;
	found->frame_len = 0;
}

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
		free_frame(search, &search->found[i]);
	memmove(search->found, search->found + surplus,
		search->job->last * sizeof(search->found[0]));
	search->count = search->job->last;
}

/* Twice as many as are wanted, so that a sort is worth it. */
static void make_room(struct search *search)
{
	size_t most = 2 * (size_t)search->job->last + 1;

	if (search->count < search->capacity)
		return;
	if (search->capacity == most) {
		keep_last(search);
		return;
	}
	search->capacity = 2 * search->capacity + 64;
	if (search->capacity > most)
		search->capacity = most;
	search->found = mem_realloc(search->found, search->capacity * sizeof(search->found[0]));
}

/* Where the last N are too many bytes, their places have to do. */
static void limit_frames(struct search *search)
{
	if (search->frame_bytes <= 2 * search->most_bytes)
		return;
	keep_last(search);
	for (size_t i = 0; search->frame_bytes > search->most_bytes && i < search->count; i++)
		free_frame(search, &search->found[i]);
}

static void add_candidate(struct search *search, size_t range, const struct record *record,
			  const json_t *document, const struct feed_event *event)
{
	struct buffer frame = {0};
	int64_t *order = &search->orders[range];

	make_room(search);
	if (record->timestamp_ms > *order)
		*order = record->timestamp_ms;
	feed_event_append(search->job->feed, event, record, document, (struct slice){0}, &frame);
	search->found[search->count++] = (struct candidate){
	    .topic = search->ranges[range].topic_number,
	    .partition = (uint32_t)record->partition,
	    .offset = record->offset,
	    .order = *order,
	    .sequence = search->arrivals++,
	    .ends = replay_ends_with(search->job, &event->kept),
	    .frame = frame.base,
	    .frame_len = frame.len,
	};
	search->frame_bytes += frame.len;
	limit_frames(search);
}

static bool on_record(void *context, size_t range, const struct record *record)
{
	struct search *search = context;
	unsigned parts = search->job->feed->stream->parts;
	json_t *document = NULL;
	struct feed_event event;

	if (parts && document_build(record, parts, &document))
		document = NULL;
	if (replay_job_wants(search->job, record, document, &search->keys, &event))
		add_candidate(search, range, record, document, &event);
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

/* An equal share of the scan for every partition, back from the head, as far as the log goes. */
static int limit_scan(struct replay_slice *slice)
{
	const struct replay_worker *worker = slice->worker;
	int64_t share = worker->settings->last_scan / (int64_t)(slice->count + !slice->count) + 1;
	size_t kept = 0;

	for (size_t i = 0; i < slice->count; i++) {
		struct replay_source_range range = slice->ranges[i];
		int64_t low = 0, high = 0;
		int rc = worker->source->bounds(worker->reader, range.topic, range.partition, &low,
						&high);

		if (rc == ERROR_NOT_FOUND)
			continue;
		if (rc)
			return rc;
		if (range.until - share > low)
			low = range.until - share;
		if (range.from < low)
			range.from = low;
		if (range.from < range.until)
			slice->ranges[kept++] = range;
	}
	slice->count = kept;
	return 0;
}

/* True where it is the last one. */
static bool write_frame(struct replay_job *job, const struct candidate *found)
{
	struct slice frame = {found->frame, found->frame_len};

	position_set(&job->own, found->topic, found->partition, found->offset + 1);
	/* It has one where the stream takes it from the event, and the event has it. */
	if (!frame_id(frame).len && found->ends)
		ending_append_id_line(job->feed, &job->own, &job->chunk);
	else if (!frame_id(frame).len)
		feed_append_id_line(job->feed, &job->own, &job->chunk);
	buffer_append_slice(&job->chunk, frame);
	job->chunk_events++;
	return found->ends;
}

/* The position before the first of them. */
static void begin(const struct search *search, const struct position *head)
{
	struct replay_job *job = search->job;

	position_assign(&job->own, head);
	for (size_t i = search->count; i-- > 0;)
		position_set(&job->own, search->found[i].topic, search->found[i].partition,
			     search->found[i].offset);
	replay_say_connected(job);
}

/* Each frame moves the position on, so that every id is exact. */
static void write_frames(struct search *search, const struct position *head)
{
	struct replay_job *job = search->job;

	for (size_t i = 0; i < search->count; i++) {
		if (!write_frame(job, &search->found[i]))
			continue;
		replay_end_with(job);
		return;
	}
	position_assign(&job->own, head);
}

static bool has_all_frames(const struct search *search)
{
	for (size_t i = 0; i < search->count; i++)
		if (!search->found[i].frame)
			return false;
	return search->frame_bytes <= search->most_bytes;
}

static void search_fini(struct search *search)
{
	for (size_t i = 0; i < search->count; i++)
		free(search->found[i].frame);
	free(search->found);
	free(search->orders);
	route_keys_free(&search->keys);
}

static int scan(struct search *search, const struct replay_slice *slice)
{
	const struct replay_worker *worker = slice->worker;
	int rc = 0;

	search->ranges = slice->ranges;
	search->orders = mem_zalloc((slice->count + 1) * sizeof(search->orders[0]));
	if (slice->count)
		rc = worker->source->read(worker->reader, slice->ranges, slice->count, UINT64_MAX,
					  on_record, on_progress, search);
	if (!rc)
		keep_last(search);
	return rc;
}

/*
 * The events that were found are the last ones: afterwards the job is at the head. Where they are
 * too large to be held all at once it is before the first of each partition, behind which there
 * are these and no others.
 */
static void answer(struct replay_slice *slice, struct search *search)
{
	struct replay_job *job = slice->job;

	begin(search, &slice->head);
	if (has_all_frames(search))
		write_frames(search, &slice->head);
	job->mode = REPLAY_RESUME;
	job->checked = true;
	job->result = REPLAY_DONE;
	if (!job->counted)
		metrics_add(METRIC_REPLAYS_KAFKA, 1);
	job->counted = true;
}

/* The log holds nothing that the journal had not before. */
static bool journal_has_all(const struct replay_slice *slice)
{
	const struct replay_worker *worker = slice->worker;

	for (size_t i = 0; i < slice->count; i++) {
		const struct replay_source_range *range = &slice->ranges[i];
		int64_t low = 0, high = 0;

		if (worker->source->bounds(worker->reader, range->topic, range->partition, &low,
					   &high) ||
		    low < slice->covers[i].first)
			return false;
	}
	return true;
}

/* Ranges of what the journal has. */
static struct replay_source_range *covered_ranges(const struct replay_slice *slice)
{
	struct replay_source_range *ranges =
	    mem_alloc((slice->count + 1) * sizeof(slice->ranges[0]));

	for (size_t i = 0; i < slice->count; i++) {
		ranges[i] = slice->ranges[i];
		ranges[i].from = slice->covers[i].first;
		if (ranges[i].until > slice->covers[i].next)
			ranges[i].until = slice->covers[i].next;
	}
	return ranges;
}

/*
 * Asks the journal where its last events begin, of which there are to be `n`; the job goes on from
 * there. False: there are not so many, or it can't be read.
 */
static bool begin_in_journal(struct replay_slice *slice, uint32_t n)
{
	const struct replay_worker *worker = slice->worker;
	struct replay_job *job = slice->job;
	struct replay_source_range *ranges = covered_ranges(slice);
	const struct replay_journal_query query = replay_journal_query(slice, ranges, slice->count);
	uint64_t found = 0;
	int rc = worker->journal->last(worker->journal_reader, &query, n, &found);

	if (rc)
		replay_journal_failed(job);
	if (!rc && (found >= n || journal_has_all(slice))) {
		position_assign(&job->own, &slice->head);
		for (size_t i = 0; i < slice->count; i++)
			position_set(&job->own, ranges[i].topic_number,
				     (uint32_t)ranges[i].partition, ranges[i].from);
		replay_say_connected(job);
		job->mode = REPLAY_RESUME;
		job->result = REPLAY_DONE;
	} else {
		rc = ERROR_NOT_FOUND;
	}
	free(ranges);
	return !rc;
}

/* Leaves of the ranges what the journal does not have yet. False: it has not all partitions, or is
 * too far behind. */
static bool find_tail(struct replay_slice *tail, const struct replay_slice *slice)
{
	uint64_t total = 0;

	replay_slice_find(tail, NULL);
	tail->count = 0;
	for (size_t i = 0; i < slice->count; i++) {
		struct replay_source_range range = slice->ranges[i];

		if (!slice->covers[i].next)
			return false;
		range.from = slice->covers[i].next;
		if (range.from >= range.until)
			continue;
		total += (uint64_t)(range.until - range.from);
		tail->ranges[tail->count++] = range;
	}
	return total <= slice->worker->settings->last_scan;
}

/*
 * The newest events are those that the journal does not have yet, which are read from Kafka; what
 * is lacking to N are the journal's newest. False: it can't be done so.
 */
static bool read_last_with_journal(struct replay_slice *slice, struct search *search)
{
	struct replay_slice tail = {
	    .job = slice->job, .worker = slice->worker, .head = slice->head};
	uint32_t n = slice->job->last;
	bool done;

	/* How many of the journal's events pass the checks is not known to it. */
	if (slice->job->checks || !replay_journal_cover(slice))
		return false;
	done = find_tail(&tail, slice) && !scan(search, &tail);
	if (done && search->count >= n)
		answer(slice, search);
	else if (done)
		done = begin_in_journal(slice, n - (uint32_t)search->count);
	free(tail.ranges);
	free(tail.covers);
	return done;
}

static void search_init(struct search *search, const struct replay_slice *slice)
{
	*search =
	    (struct search){.job = slice->job, .most_bytes = slice->worker->settings->last_bytes};
}

static void read_last_from_kafka(struct replay_slice *slice)
{
	struct search search;
	int rc = limit_scan(slice);

	search_init(&search, slice);
	if (!rc)
		rc = scan(&search, slice);
	slice->job->result = REPLAY_FAILED;
	if (!rc)
		answer(slice, &search);
	search_fini(&search);
}

void replay_read_last(struct replay_slice *slice)
{
	struct search search;
	bool done;

	search_init(&search, slice);
	replay_slice_find(slice, NULL);
	done = read_last_with_journal(slice, &search);
	search_fini(&search);
	if (!done)
		read_last_from_kafka(slice);
}
