/* Where a job begins that has no position of its own: at a time, or after an event of which only
 * the stream's own id is known. */
#include <stdlib.h>

#include "base/mem.h"
#include "event/event_id.h"
#include "feed/feed.h"
#include "feed/notice_priv.h"
#include "feed/replay_priv.h"

void replay_say_connected(struct replay_job *job)
{
	struct buffer id = {0};

	event_id_encode(job->feed->hash, 0, &job->own, &id);
	notice_append_connected(&job->chunk, buffer_slice(&id), job->feed->stream->name,
				job->welcome);
	buffer_free(&id);
}

/* From now on the job resumes at the ranges' beginnings, and after `place` (NULL: none) in its
 * partition. That may be ahead of this replica. */
static void begin_at(struct replay_slice *slice, const struct replay_event_place *place)
{
	struct replay_job *job = slice->job;

	for (size_t i = 0; i < slice->count; i++)
		position_set(&job->own, slice->ranges[i].topic_number,
			     (uint32_t)slice->ranges[i].partition, slice->ranges[i].from);
	if (place)
		position_set(&job->own, place->topic, (uint32_t)place->partition,
			     place->offset + 1);
	replay_say_connected(job);
	job->mode = REPLAY_RESUME;
	/* In the window the newest that checks let pass would be looked for all at once. */
	job->result = job->conflates && job->checks ? REPLAY_MORE : REPLAY_DONE;
}

/*
 * Is the journal to be asked, too? Where the first record of the time is the first that the log
 * has, the journal may have earlier ones. Where a subscriber is told apart from others, the journal
 * knows its first event, if it has all that the log has.
 */
static bool journal_knows(const struct replay_slice *slice, size_t i, int64_t low, int64_t high)
{
	const struct replay_cover *cover = &slice->covers[i];
	int64_t found = slice->ranges[i].from;

	if (feed_is_filtered(slice->job->feed) && cover->first <= low)
		return true;
	return cover->first < found && (found <= low || low >= high);
}

/* The ranges that the journal is asked about, with their covers; `of` are their numbers. */
static int find_asked(const struct replay_slice *slice, struct replay_source_range *asked,
		      struct replay_cover *covers, size_t *of, size_t *count)
{
	const struct replay_worker *worker = slice->worker;

	*count = 0;
	for (size_t i = 0; i < slice->count; i++) {
		struct replay_source_range range = slice->ranges[i];
		const struct replay_cover *cover = &slice->covers[i];
		int64_t low = 0, high = 0;
		int rc;

		if (cover->next <= cover->first)
			continue;
		rc = worker->source->bounds(worker->reader, range.topic, range.partition, &low,
					    &high);
		if (rc)
			return rc;
		if (!journal_knows(slice, i, low, high))
			continue;
		range.from = cover->first;
		range.until = cover->next;
		of[*count] = i;
		covers[*count] = *cover;
		asked[(*count)++] = range;
	}
	return 0;
}

static int seek_journal(struct replay_slice *slice)
{
	const struct replay_worker *worker = slice->worker;
	const struct replay_event_place before = {
	    .event_time_ms = slice->job->since_ms - 1, .topic = INT32_MAX, .partition = INT32_MAX};
	struct replay_source_range *asked = mem_alloc((slice->count + 1) * sizeof(*asked));
	struct replay_cover *covers = mem_alloc((slice->count + 1) * sizeof(*covers));
	size_t *of = mem_alloc((slice->count + 1) * sizeof(*of));
	struct replay_journal_query query = replay_journal_query(slice, asked, 0);
	int rc = find_asked(slice, asked, covers, of, &query.count);

	query.covers = covers;
	if (!rc && query.count)
		rc = worker->journal->seek(worker->journal_reader, &query, &before);
	for (size_t i = 0; i < query.count && !rc; i++)
		if (asked[i].from < asked[i].until)
			slice->ranges[of[i]].from = asked[i].from;
	free(asked);
	free(covers);
	free(of);
	return rc;
}

void replay_place_since(struct replay_slice *slice)
{
	const struct replay_worker *worker = slice->worker;
	struct replay_job *job = slice->job;
	int rc = 0;

	job->result = REPLAY_FAILED;
	replay_slice_find_all(slice);
	if (slice->count)
		rc = worker->source->seek_time(worker->reader, slice->ranges, slice->count,
					       job->since_ms);
	if (rc)
		return;
	if (replay_journal_cover(slice) && seek_journal(slice))
		replay_journal_failed(job);
	begin_at(slice, NULL);
}

/* Those ranges first of which the journal has something, and that of them; how many they are. The
 * others are of partitions that are new to it: they begin at 0. */
static size_t sort_by_cover(struct replay_slice *slice)
{
	size_t count = 0;

	for (size_t i = 0; i < slice->count; i++) {
		const struct replay_cover cover = slice->covers[i];
		struct replay_source_range range = slice->ranges[i];

		if (!cover.next)
			continue;
		range.from = cover.first;
		range.until = cover.next;
		slice->ranges[i] = slice->ranges[count];
		slice->covers[i] = slice->covers[count];
		slice->ranges[count] = range;
		slice->covers[count++] = cover;
	}
	return count;
}

static int seek_after(struct replay_slice *slice, const struct replay_event_place *place)
{
	const struct replay_worker *worker = slice->worker;
	struct replay_journal_query query;
	int rc;

	replay_slice_find_all(slice);
	if (!slice->count)
		return 0;
	rc = worker->journal->cover(worker->journal_reader, slice->job->feed, slice->ranges,
				    slice->count, slice->covers);
	if (rc)
		return rc;
	query = replay_journal_query(slice, slice->ranges, sort_by_cover(slice));
	return query.count ? worker->journal->seek(worker->journal_reader, &query, place) : 0;
}

static int place_custom(struct replay_slice *slice)
{
	const struct replay_worker *worker = slice->worker;
	struct replay_job *job = slice->job;
	struct replay_event_place place;
	int rc = worker->journal->find(worker->journal_reader, job->feed, slice_of(job->custom_id),
				       &place);

	if (!rc)
		rc = seek_after(slice, &place);
	if (rc)
		return rc;
	begin_at(slice, &place);
	replay_end_after(slice, &place);
	return 0;
}

void replay_place_custom(struct replay_slice *slice)
{
	struct replay_job *job = slice->job;
	int rc = ERROR_NOT_FOUND;

	if (replay_journal_serves(job, slice->worker))
		rc = place_custom(slice);
	if (!rc)
		return;
	job->result = REPLAY_UNKNOWN;
	if (rc == ERROR_NOT_FOUND)
		return;
	replay_journal_failed(job);
	if (replay_journal_retry(job))
		job->result = REPLAY_FAILED;
}
