#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "event/event_id.h"
#include "feed/feed.h"
#include "feed/notice_priv.h"
#include "feed/replay_priv.h"

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

/* One partition under comparison. */
struct bounds {
	uint32_t topic, partition;
	int64_t own, head, low, high;
};

/* A job that begins at the log's beginning misses nothing by beginning a little later; nor does a
 * state. */
static bool may_miss(const struct replay_job *job, int64_t own)
{
	return job->mode == REPLAY_CURRENT || (job->mode == REPLAY_EARLIEST && !own);
}

static void leave_log(struct replay_slice *slice, const struct bounds *bounds,
		      struct missing *missing)
{
	struct replay_job *job = slice->job;
	bool beyond = bounds->own > bounds->high;
	int64_t to = bounds->low;

	if (!may_miss(job, bounds->own)) {
		if (job->feed->stream->on_gap == STREAM_GAP_LATEST)
			to = beyond ? bounds->high : bounds->head;
		add_missing(missing, beyond ? "beyond_end" : "expired",
			    job->feed->topics[bounds->topic], bounds->partition, bounds->own, to);
	}
	position_set(&job->own, bounds->topic, bounds->partition, to);
	slice->moved = true;
}

/* The log has lost its beginning: what the journal has by now is what counts. Where it has not the
 * offset, but what comes after it, the log is longer. */
static bool journal_has_now(struct replay_slice *slice, struct bounds *bounds)
{
	const struct replay_worker *worker = slice->worker;
	struct replay_job *job = slice->job;
	const struct replay_source_range range = {
	    .topic = job->feed->topics[bounds->topic],
	    .partition = (int32_t)bounds->partition,
	    .from = bounds->own,
	    .until = bounds->own,
	    .topic_number = bounds->topic,
	};
	struct replay_cover cover = {0};

	if (!replay_journal_serves(job, worker))
		return false;
	if (worker->journal->cover(worker->journal_reader, job->feed, &range, 1, &cover))
		replay_journal_failed(job);
	else if (cover.first > bounds->own && cover.first < bounds->low && cover.next > cover.first)
		bounds->low = cover.first;
	return replay_journal_has(&cover, bounds->own);
}

/* 0: the log has it, or the journal. ERROR_NOT_FOUND: neither. */
static int compare(struct replay_slice *slice, struct bounds *bounds)
{
	const struct replay_worker *worker = slice->worker;
	struct replay_job *job = slice->job;
	int rc = worker->source->bounds(worker->reader, job->feed->topics[bounds->topic],
					(int32_t)bounds->partition, &bounds->low, &bounds->high);

	if (rc && rc != ERROR_NOT_FOUND)
		return rc;
	if (bounds->own >= bounds->low && bounds->own <= bounds->high)
		return 0;
	if (rc)
		return job->absent_answers++ < ABSENT_ANSWERS ? ERROR_KAFKA : rc;
	if (bounds->own > bounds->high)
		return ERROR_NOT_FOUND;
	if (journal_has_now(slice, bounds)) {
		slice->moved = true;
		return 0;
	}
	return replay_journal_retry(job) ? ERROR_UNAVAILABLE : ERROR_NOT_FOUND;
}

/* What lies outside of the log is moved to where the stream's on_gap names. */
static int check_partition(struct replay_slice *slice, struct bounds *bounds,
			   struct missing *missing)
{
	int rc = compare(slice, bounds);

	if (rc != ERROR_NOT_FOUND)
		return rc;
	leave_log(slice, bounds, missing);
	return 0;
}

/* The slice's ranges are in the order of the partitions. */
static const struct replay_cover *cover_of(const struct replay_slice *slice, uint32_t topic,
					   uint32_t partition, size_t *at)
{
	for (; *at < slice->count; ++*at) {
		const struct replay_source_range *range = &slice->ranges[*at];

		if (range->topic_number == topic && range->partition == (int32_t)partition)
			return &slice->covers[*at];
		if (range->topic_number > topic ||
		    (range->topic_number == topic && range->partition > (int32_t)partition))
			break;
	}
	return NULL;
}

static int check_topic(struct replay_slice *slice, uint32_t topic, size_t *at,
		       struct missing *missing)
{
	struct replay_job *job = slice->job;
	uint32_t count = slice->head.topics[topic].partition_count;

	if (job->own.topics[topic].partition_count > count)
		count = job->own.topics[topic].partition_count;
	for (uint32_t p = 0; p < count && !atomic_load(&job->cancelled); p++) {
		struct bounds bounds = {
		    .topic = topic,
		    .partition = p,
		    .own = position_get(&job->own, topic, p),
		    .head = position_get(&slice->head, topic, p),
		};
		const struct replay_cover *cover = cover_of(slice, topic, p, at);
		int rc;

		if (bounds.own == bounds.head || (cover && replay_journal_has(cover, bounds.own)))
			continue;
		rc = check_partition(slice, &bounds, missing);
		if (rc)
			return rc;
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

/* On failure the job's position is as it was, and nothing is missing. What was read before a gap is
 * sent before it. */
static int compare_with_log(struct replay_slice *slice, struct missing *missing)
{
	struct replay_job *job = slice->job;
	struct position before;
	size_t at = 0;
	int rc = 0;

	position_copy(&before, &job->own);
	for (uint32_t t = 0; t < slice->head.topic_count && !rc; t++)
		rc = check_topic(slice, t, &at, missing);
	if (rc) {
		position_assign(&job->own, &before);
		missing->count = 0;
	}
	if (missing->count)
		replay_conflate_write(job, &before);
	position_fini(&before);
	return rc;
}

/*
 * At first, after a failure, and after the journal: afterwards whatever the job's mode was the
 * position is one within the log, and what is missing later on is a gap.
 */
bool replay_check(struct replay_slice *slice)
{
	struct replay_job *job = slice->job;
	struct missing missing = {0};
	int rc;

	if (job->checked)
		return true;
	rc = compare_with_log(slice, &missing);
	job->checked = !rc;
	if (!rc && job->mode == REPLAY_EARLIEST) {
		job->mode = REPLAY_RESUME;
		replay_say_connected(job);
	}
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
