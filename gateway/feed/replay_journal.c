#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "feed/feed.h"
#include "feed/replay_priv.h"

/* So often, a second apart, the journal is tried again before what Kafka no longer has counts as
 * lost. */
enum { JOURNAL_TRIES = 10 };

/* A state needs the tombstones, too: a filter that looks at what their records have, and they may
 * not have, keeps them out. */
static bool lacks_tombstones(const struct replay_job *job)
{
	const struct pattern *filter = job->feed->stream->filter;

	return job->mode == REPLAY_CURRENT && filter &&
	       (pattern_looks_at(filter, "value", NULL) ||
		pattern_looks_at(filter, "headers", NULL));
}

bool replay_journal_serves(const struct replay_job *job, const struct replay_worker *worker)
{
	return worker->journal && job->feed->stream->journal_retain_ms && !job->journal_fails &&
	       !lacks_tombstones(job);
}

void replay_journal_failed(struct replay_job *job)
{
	job->journal_fails = true;
	metrics_add(METRIC_JOURNAL_FALLBACKS, 1);
}

bool replay_journal_retry(struct replay_job *job)
{
	if (!job->journal_fails || job->journal_tries >= JOURNAL_TRIES)
		return false;
	job->journal_tries++;
	job->journal_fails = false;
	return true;
}

bool replay_journal_has(const struct replay_cover *cover, int64_t offset)
{
	return offset >= cover->first && offset < cover->next;
}

/* A journal that is ahead of the log is still that of a topic which was made anew. */
static void drop_outdated(struct replay_slice *slice)
{
	const struct replay_worker *worker = slice->worker;

	for (size_t i = 0; i < slice->count; i++) {
		const struct replay_source_range *range = &slice->ranges[i];
		int64_t low = 0, high = 0;

		if (slice->covers[i].next <= range->until)
			continue;
		if (!worker->source->bounds(worker->reader, range->topic, range->partition, &low,
					    &high) &&
		    high < slice->covers[i].next)
			slice->covers[i] = (struct replay_cover){0};
	}
}

bool replay_journal_cover(struct replay_slice *slice)
{
	const struct replay_worker *worker = slice->worker;
	struct replay_job *job = slice->job;

	if (!slice->count || !replay_journal_serves(job, worker))
		return false;
	if (!worker->journal->cover(worker->journal_reader, job->feed, slice->ranges, slice->count,
				    slice->covers)) {
		drop_outdated(slice);
		return true;
	}
	memset(slice->covers, 0, slice->count * sizeof(slice->covers[0]));
	replay_journal_failed(job);
	return false;
}

struct replay_journal_query replay_journal_query(const struct replay_slice *slice,
						 struct replay_source_range *ranges, size_t count)
{
	const struct replay_job *job = slice->job;

	return (struct replay_journal_query){
	    .feed = job->feed,
	    .keys = feed_is_filtered(job->feed) ? &job->keys : NULL,
	    .ranges = ranges,
	    .covers = slice->covers,
	    .count = count,
	};
}

/* Leaves the ranges of which the journal has the beginning, cut where it ends, with their covers.
 */
static size_t keep_covered(struct replay_slice *slice, struct replay_source_range *kept,
			   struct replay_cover *covers)
{
	size_t count = 0;

	for (size_t i = 0; i < slice->count; i++) {
		struct replay_source_range range = slice->ranges[i];

		if (range.from == range.until || !replay_journal_has(&slice->covers[i], range.from))
			continue;
		if (range.until > slice->covers[i].next)
			range.until = slice->covers[i].next;
		kept[count] = range;
		covers[count++] = slice->covers[i];
	}
	return count;
}

static void read_covered(struct replay_slice *slice, struct replay_journal_query *query)
{
	const struct replay_worker *worker = slice->worker;
	struct replay_job *job = slice->job;
	int rc;

	slice->reads = query->ranges;
	rc = worker->journal->read(worker->journal_reader, query, worker->settings->chunk_bytes,
				   REPLAY_SLICE_RECORDS, replay_slice_record, replay_slice_progress,
				   slice);
	if (!rc) {
		job->at_tail = true;
		job->result = REPLAY_DONE;
	} else {
		job->result = REPLAY_MORE;
	}
	if (!rc || rc == ERROR_CANCELLED || rc == ERROR_LIMIT)
		job->journal_tries = 0;
	else
		replay_journal_failed(job);
	/* Those that the journal no longer has were not compared with the log. */
	job->checked = false;
	if (!job->counted)
		metrics_add(METRIC_REPLAYS_JOURNAL, 1);
	job->counted = true;
	metrics_add(METRIC_REPLAY_RECORDS_JOURNAL, slice->records);
	metrics_add(METRIC_REPLAYED_EVENTS, job->chunk_events);
}

bool replay_journal_read(struct replay_slice *slice)
{
	struct replay_source_range *ranges =
	    mem_alloc((slice->count + 1) * sizeof(slice->ranges[0]));
	struct replay_cover *covers = mem_alloc((slice->count + 1) * sizeof(slice->covers[0]));
	struct replay_journal_query query =
	    replay_journal_query(slice, ranges, keep_covered(slice, ranges, covers));

	query.covers = covers;
	if (query.count)
		read_covered(slice, &query);
	free(ranges);
	free(covers);
	return query.count > 0;
}
