#include "replay_ties.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "feed/feed.h"
#include "kafka/replay_reader.h"
#include "postgres/journal_reader.h"

/* How long a replay waits for Kafka before it gives way to another and tries again later. */
enum { KAFKA_TIMEOUT_MS = 5000 };

enum { FAILURE_LOG_INTERVAL_MS = 10000 };

static void *open_kafka(void *settings)
{
	return replay_reader_new(&((const struct settings *)settings)->kafka);
}

static void close_kafka(void *reader)
{
	replay_reader_free(reader);
}

static struct replay_range *kafka_ranges(const struct replay_source_range *ranges, size_t count)
{
	struct replay_range *same = mem_alloc((count + 1) * sizeof(*same));

	for (size_t i = 0; i < count; i++)
		same[i] = (struct replay_range){ranges[i].topic, ranges[i].partition,
						ranges[i].from, ranges[i].until};
	return same;
}

static int read_kafka(void *reader, const struct replay_source_range *ranges, size_t count,
		      uint64_t budget_records,
		      bool (*record)(void *, size_t, const struct record *),
		      void (*progress)(void *, size_t, int64_t), void *context)
{
	const struct replay_visitor visitor = {record, progress, context};
	struct replay_range *same = kafka_ranges(ranges, count);
	int rc =
	    replay_reader_read(reader, same, count, budget_records, KAFKA_TIMEOUT_MS, &visitor);

	free(same);
	return rc;
}

static int read_bounds(void *reader, const char *topic, int32_t partition, int64_t *low,
		       int64_t *high)
{
	return replay_reader_bounds(reader, topic, partition, KAFKA_TIMEOUT_MS, low, high);
}

static int seek_time(void *reader, struct replay_source_range *ranges, size_t count,
		     int64_t since_ms)
{
	struct replay_range *same = kafka_ranges(ranges, count);
	int rc = replay_reader_seek_time(reader, same, count, since_ms, KAFKA_TIMEOUT_MS);

	for (size_t i = 0; i < count && !rc; i++)
		ranges[i].from = same[i].from;
	free(same);
	return rc;
}

struct replay_source replay_ties_kafka(const struct settings *settings)
{
	return (struct replay_source){
	    .open = open_kafka,
	    .close = close_kafka,
	    .read = read_kafka,
	    .bounds = read_bounds,
	    .seek_time = seek_time,
	    .context = (void *)(uintptr_t)settings,
	};
}

static void *open_journal(void *settings)
{
	return journal_reader_new(&((const struct settings *)settings)->postgres);
}

static void close_journal(void *reader)
{
	journal_reader_free(reader);
}

static void interrupt_journal(void *reader)
{
	journal_reader_interrupt(reader);
}

/* A connection that is lost the database tells of itself. */
static int tell_failure(struct journal_reader *reader, const struct feed *feed, int rc)
{
	static struct log_limit limit;
	uint64_t suppressed;

	if (rc == ERROR_POSTGRES && log_limit_pass(&limit, FAILURE_LOG_INTERVAL_MS, &suppressed))
		log_event(LOG_WARN, "replay", "the journal cannot be read: Kafka is",
			  LOG_STR("stream", feed->stream->name),
			  LOG_STR("reason", journal_reader_error(reader)),
			  LOG_INT("suppressed", suppressed));
	return rc;
}

/* `covers` may be NULL. */
static struct journal_span *journal_spans(const struct replay_source_range *ranges,
					  const struct replay_cover *covers, size_t count)
{
	struct journal_span *spans = mem_zalloc((count + 1) * sizeof(*spans));

	for (size_t i = 0; i < count; i++) {
		spans[i] = (struct journal_span){
		    .topic = ranges[i].topic_number,
		    .partition = ranges[i].partition,
		    .from = ranges[i].from,
		    .until = ranges[i].until,
		};
		if (!covers)
			continue;
		spans[i].first = covers[i].first;
		spans[i].next = covers[i].next;
		spans[i].recorded_us = covers[i].recorded_us;
	}
	return spans;
}

static int cover_journal(void *reader, const struct feed *feed,
			 const struct replay_source_range *ranges, size_t count,
			 struct replay_cover *covers)
{
	struct journal_span *spans = journal_spans(ranges, NULL, count);
	int rc = journal_reader_cover(reader, feed->journal_key, spans, count);

	for (size_t i = 0; i < count && !rc; i++)
		covers[i] =
		    (struct replay_cover){spans[i].first, spans[i].next, spans[i].recorded_us};
	free(spans);
	return tell_failure(reader, feed, rc);
}

static struct journal_selection selection_of(const struct replay_journal_query *query)
{
	return (struct journal_selection){
	    .feed_key = query->feed->journal_key,
	    .topics = (const char *const *)query->feed->topics,
	    .routes = query->keys,
	};
}

static int read_journal(void *reader, const struct replay_journal_query *query, size_t bytes,
			uint64_t budget_records,
			bool (*record)(void *, size_t, const struct record *),
			void (*progress)(void *, size_t, int64_t), void *context)
{
	const struct journal_selection selection = selection_of(query);
	const struct journal_visitor visitor = {record, progress, context};
	struct journal_span *spans = journal_spans(query->ranges, query->covers, query->count);
	int rc = journal_reader_read(reader, &selection, spans, query->count, bytes, budget_records,
				     &visitor);

	free(spans);
	return tell_failure(reader, query->feed, rc);
}

static int find_in_journal(void *reader, const struct feed *feed, struct slice event_id,
			   struct replay_event_place *place)
{
	struct journal_place found;
	int rc = journal_reader_find(reader, feed->journal_key, event_id, &found);

	if (!rc)
		*place = (struct replay_event_place){found.event_time, found.topic, found.partition,
						     found.offset};
	return tell_failure(reader, feed, rc);
}

static void take_spans(const struct replay_journal_query *query, struct journal_span *spans, int rc)
{
	for (size_t i = 0; i < query->count && !rc; i++)
		query->ranges[i].from = spans[i].from;
	free(spans);
}

static int seek_journal(void *reader, const struct replay_journal_query *query,
			const struct replay_event_place *place)
{
	const struct journal_selection selection = selection_of(query);
	const struct journal_place same = {place->event_time_ms, place->topic, place->partition,
					   place->offset};
	struct journal_span *spans = journal_spans(query->ranges, query->covers, query->count);
	int rc = journal_reader_seek(reader, &selection, spans, query->count, &same);

	take_spans(query, spans, rc);
	return tell_failure(reader, query->feed, rc);
}

static int last_of_journal(void *reader, const struct replay_journal_query *query, uint32_t n,
			   uint64_t *found)
{
	const struct journal_selection selection = selection_of(query);
	struct journal_span *spans = journal_spans(query->ranges, query->covers, query->count);
	int rc = journal_reader_last(reader, &selection, spans, query->count, n, found);

	take_spans(query, spans, rc);
	return tell_failure(reader, query->feed, rc);
}

struct replay_journal replay_ties_journal(const struct settings *settings)
{
	return (struct replay_journal){
	    .open = open_journal,
	    .close = close_journal,
	    .interrupt = interrupt_journal,
	    .cover = cover_journal,
	    .read = read_journal,
	    .find = find_in_journal,
	    .seek = seek_journal,
	    .last = last_of_journal,
	    .context = (void *)(uintptr_t)settings,
	};
}
