#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "event/document.h"
#include "event/event_id.h"
#include "feed/feed.h"
#include "feed/notice_priv.h"
#include "feed/replay_priv.h"

/* Records that one slice looks at, so that a job whose subscriber matches little does not hold a
 * worker for long. */
enum { SLICE_RECORDS = 50000 };

bool replay_job_wants(const struct replay_job *job, const struct record *record,
		      const json_t *document, struct route_keys *scratch)
{
	if (feed_route(job->feed, record, document, scratch))
		return false;
	return !feed_is_filtered(job->feed) || route_keys_intersect(scratch, &job->keys);
}

/* What is known to be missing: a list of gaps, one a partition. */
struct missing {
	struct notice_gap *gaps;
	size_t count;
	const char *reason;
};

static void add_missing(struct missing *missing, const char *reason, const char *topic,
			uint32_t partition, int64_t from, int64_t to)
{
	missing->gaps = mem_realloc(missing->gaps, (missing->count + 1) * sizeof(missing->gaps[0]));
	missing->gaps[missing->count++] = (struct notice_gap){topic, (int32_t)partition, from, to};
	missing->reason = reason;
}

/* So often, a second apart, Kafka says that a partition is not there before it counts as deleted:
 * another replica may know of a new one sooner than the broker that is asked. */
enum { ABSENT_ANSWERS = 2 };

/*
 * Compares the job's next offset of one partition with the log. What lies outside is moved to where
 * the stream's on_gap names; a job that begins at the log's beginning misses nothing by that.
 */
static int check_partition(struct replay_job *job, const struct replay_source *source, void *reader,
			   uint32_t topic, uint32_t partition, int64_t head,
			   struct missing *missing)
{
	const char *name = job->feed->topics[topic];
	int64_t own = position_get(&job->own, topic, partition), low = 0, high = 0, to;
	int rc = source->bounds(reader, name, (int32_t)partition, &low, &high);

	if (rc && rc != ERROR_NOT_FOUND)
		return rc;
	if (own >= low && own <= high)
		return 0;
	if (rc && job->absent_answers < ABSENT_ANSWERS)
		return rc;
	to = low;
	if (job->mode == REPLAY_RESUME) {
		if (job->feed->stream->on_gap == STREAM_GAP_LATEST)
			to = own > high ? high : head;
		add_missing(missing, own > high ? "beyond_end" : "expired", name, partition, own,
			    to);
	}
	position_set(&job->own, topic, partition, to);
	return 0;
}

static uint32_t partitions_of(const struct position *position, uint32_t topic)
{
	return position->topics[topic].partition_count;
}

static int check_bounds(struct replay_job *job, const struct replay_source *source, void *reader,
			const struct position *head, struct missing *missing)
{
	for (uint32_t t = 0; t < head->topic_count; t++) {
		uint32_t count = partitions_of(head, t);

		if (partitions_of(&job->own, t) > count)
			count = partitions_of(&job->own, t);
		for (uint32_t p = 0; p < count && !atomic_load(&job->cancelled); p++) {
			int64_t at_head = position_get(head, t, p);
			int rc;

			if (position_get(&job->own, t, p) == at_head)
				continue;
			rc = check_partition(job, source, reader, t, p, at_head, missing);
			if (rc)
				return rc;
		}
	}
	return 0;
}

static void say_gap(struct replay_job *job, const struct missing *missing)
{
	struct buffer id = {0};

	event_id_encode(job->feed->hash, 0, &job->own, &id);
	notice_append_gap(&job->chunk, buffer_slice(&id), missing->reason, missing->gaps,
			  missing->count);
	metrics_add(METRIC_GAPS, 1);
	buffer_free(&id);
}

/* On failure the job's position is as it was, and nothing is missing. */
static int compare_with_log(struct replay_job *job, const struct replay_source *source,
			    void *reader, const struct position *head, struct missing *missing)
{
	struct position before;
	int rc;

	position_copy(&before, &job->own);
	rc = check_bounds(job, source, reader, head, missing);
	if (rc) {
		position_assign(&job->own, &before);
		missing->count = 0;
	}
	position_fini(&before);
	return rc;
}

/*
 * At first, and after a failure: is the job's position still within the log? False: the job is
 * answered. Afterwards whatever its mode was the position is one within the log, and what is
 * missing later on is a gap.
 */
static bool check(struct replay_job *job, const struct replay_source *source, void *reader,
		  const struct position *head)
{
	struct missing missing = {0};
	int rc;

	if (job->checked)
		return true;
	rc = compare_with_log(job, source, reader, head, &missing);
	job->checked = !rc;
	job->absent_answers += rc == ERROR_NOT_FOUND;
	if (!rc)
		job->mode = REPLAY_RESUME;
	if (missing.count)
		say_gap(job, &missing);
	if (rc)
		job->result = REPLAY_FAILED;
	else if (missing.count && job->feed->stream->on_gap == STREAM_GAP_CLOSE)
		job->result = REPLAY_CLOSE;
	else
		job->result = REPLAY_MORE;
	free(missing.gaps);
	return job->result == REPLAY_MORE;
}

/* The ranges from the job's position to the window's head. */
struct slice_state {
	struct replay_job *job;
	uint32_t chunk_bytes;
	struct replay_source_range *ranges;
	uint32_t *topics; /* of each range: its topic's number */
	size_t count;
	struct route_keys keys;
	struct buffer id;
	uint64_t records;
};

static void find_ranges(struct slice_state *state, const struct position *head)
{
	const struct replay_job *job = state->job;

	for (uint32_t t = 0; t < head->topic_count; t++) {
		for (uint32_t p = 0; p < partitions_of(head, t); p++) {
			struct replay_source_range range = {
			    .topic = job->feed->topics[t],
			    .partition = (int32_t)p,
			    .from = position_get(&job->own, t, p),
			    .until = position_get(head, t, p),
			};

			if (range.from >= range.until)
				continue;
			state->ranges =
			    mem_realloc(state->ranges, (state->count + 1) * sizeof(range));
			state->topics =
			    mem_realloc(state->topics, (state->count + 1) * sizeof(uint32_t));
			state->ranges[state->count] = range;
			state->topics[state->count++] = t;
		}
	}
}

static void take_record(struct slice_state *state, const struct record *record,
			const json_t *document)
{
	struct replay_job *job = state->job;

	if (!replay_job_wants(job, record, document, &state->keys))
		return;
	buffer_clear(&state->id);
	event_id_encode(job->feed->hash, 0, &job->own, &state->id);
	mapping_append_frame(job->feed->stream->mapping, record, document, buffer_slice(&state->id),
			     &job->chunk);
	job->chunk_events++;
}

static bool on_record(void *context, size_t range, const struct record *record)
{
	struct slice_state *state = context;
	struct replay_job *job = state->job;
	unsigned parts = job->feed->stream->parts;
	json_t *document = NULL;

	if (parts && document_build(record, parts, &document))
		document = NULL;
	position_set(&job->own, state->topics[range], (uint32_t)record->partition,
		     record->offset + 1);
	state->records++;
	take_record(state, record, document);
	json_decref(document);
	return job->chunk.len < state->chunk_bytes && !atomic_load(&job->cancelled);
}

static void on_progress(void *context, size_t range, int64_t next)
{
	struct slice_state *state = context;
	uint32_t partition = (uint32_t)state->ranges[range].partition;

	if (position_get(&state->job->own, state->topics[range], partition) < next)
		position_set(&state->job->own, state->topics[range], partition, next);
}

static void read_ranges(struct replay_job *job, const struct replay_source *source, void *reader,
			const struct position *head, uint32_t chunk_bytes)
{
	struct slice_state state = {.job = job, .chunk_bytes = chunk_bytes};
	int rc = 0;

	find_ranges(&state, head);
	if (state.count)
		rc = source->read(reader, state.ranges, state.count, SLICE_RECORDS, on_record,
				  on_progress, &state);
	if (!rc)
		job->result = REPLAY_DONE;
	else if (rc == ERROR_CANCELLED || rc == ERROR_LIMIT)
		job->result = REPLAY_MORE;
	else
		job->result = REPLAY_FAILED;
	/* Retention may have come first. */
	job->checked = job->result != REPLAY_FAILED;
	metrics_add(METRIC_REPLAY_RECORDS, state.records);
	metrics_add(METRIC_REPLAYED_EVENTS, job->chunk_events);
	free(state.ranges);
	free(state.topics);
	route_keys_free(&state.keys);
	buffer_free(&state.id);
}

void replay_read(struct replay_job *job, const struct replay_source *source, void *reader,
		 const struct replay_limits *limits)
{
	struct position head;
	uint64_t version;

	if (job->mode == REPLAY_LAST) {
		replay_read_last(job, source, reader, limits);
		return;
	}
	position_init(&head, job->feed->topic_count);
	window_head(job->feed->window, &head, &version);
	if (check(job, source, reader, &head))
		read_ranges(job, source, reader, &head, limits->chunk_bytes);
	position_fini(&head);
}
