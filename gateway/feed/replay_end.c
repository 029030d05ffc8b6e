#include "event/document.h"
#include "feed/checks.h"
#include "feed/ending_priv.h"
#include "feed/feed.h"
#include "feed/feed_event.h"
#include "feed/replay_priv.h"

/* What has come since the subscriber was attached is not for one that is bounded. A topic that was
 * made anew may be shorter. */
void replay_end_find_head(const struct replay_job *job, struct position *head)
{
	uint64_t version;

	window_head(job->feed->window, head, &version);
	if (job->bound)
		position_limit(head, job->bound);
}

bool replay_ends_with(const struct replay_job *job, const struct record *record)
{
	return job->end_when && checks_match(job->end_when, record);
}

void replay_end_with(struct replay_job *job)
{
	job->ended = true;
	job->close_reason = CLOSE_END_WHEN;
}

/* An event is looked at again. */
static bool look_at(void *context, size_t range, const struct record *record)
{
	struct replay_slice *slice = context;
	struct replay_job *job = slice->job;
	unsigned parts = job->feed->stream->parts;
	json_t *document = NULL;
	struct feed_event event;

	(void)range;
	if (parts && document_build(record, parts, &document))
		document = NULL;
	if (replay_job_wants(job, record, document, &slice->keys, &event) &&
	    replay_ends_with(job, &event.kept))
		replay_end_with(job);
	json_decref(document);
	return true;
}

static void ignore_progress(void *slice, size_t range, int64_t next)
{
	(void)slice;
	(void)range;
	(void)next;
}

void replay_end_after(struct replay_slice *slice, const struct replay_event_place *place)
{
	const struct replay_worker *worker = slice->worker;
	struct replay_job *job = slice->job;
	struct replay_cover cover = {0};
	struct replay_source_range range = {
	    .topic = job->feed->topics[place->topic],
	    .partition = place->partition,
	    .from = place->offset,
	    .until = place->offset + 1,
	    .topic_number = place->topic,
	};
	struct replay_journal_query query = replay_journal_query(slice, &range, 1);

	query.covers = &cover;
	if (!job->end_when ||
	    worker->journal->cover(worker->journal_reader, job->feed, &range, 1, &cover))
		return;
	if (worker->journal->read(worker->journal_reader, &query, worker->settings->chunk_bytes,
				  REPLAY_SLICE_RECORDS, look_at, ignore_progress, slice))
		replay_journal_failed(job);
}

static bool has_read_all(const struct replay_slice *slice)
{
	const struct replay_job *job = slice->job;

	return job->bound && job->result == REPLAY_DONE &&
	       position_at_or_before(&slice->head, &job->own);
}

void replay_end(struct replay_slice *slice)
{
	struct replay_job *job = slice->job;

	if (!job->ended && has_read_all(slice)) {
		job->ended = true;
		job->close_reason = CLOSE_BACKLOG;
	}
	if (!job->ended)
		return;
	replay_conflate_write(job, &job->own);
	ending_append_notice(job->feed, &job->own, job->close_reason, &job->chunk);
	job->result = REPLAY_CLOSE;
}
