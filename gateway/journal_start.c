/* Where partitions are read from. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "journal_priv.h"

enum { PLACES_TIMEOUT_MS = 1000, PLACES_PAUSE_MS = 1000 };

static void identify_parts(struct journal_partition *partition)
{
	for (uint32_t i = 0; i < partition->topic->wish_count; i++) {
		const struct journal_wish *wish = &partition->topic->wishes[i];

		partition->parts[i].feed_id = wish->source->feed_id;
		partition->parts[i].topic = (int32_t)wish->topic;
		partition->parts[i].partition = partition->number;
	}
}

/* Every part of the partitions that wait, the caller's to free(). */
static struct journal_part **list_waiting(struct journal *journal, size_t *count)
{
	struct journal_part **parts = NULL;

	*count = 0;
	for (struct journal_partition *at = journal->partitions; at; at = at->following) {
		if (at->state != JOURNAL_WAITING)
			continue;
		identify_parts(at);
		parts = mem_realloc(parts, (*count + at->topic->wish_count) * sizeof(parts[0]));
		for (uint32_t i = 0; i < at->topic->wish_count; i++)
			parts[(*count)++] = &at->parts[i];
	}
	return parts;
}

static struct journal_part *find_missing(const struct journal_partition *partition)
{
	for (uint32_t i = 0; i < partition->topic->wish_count; i++)
		if (partition->parts[i].next < 0)
			return &partition->parts[i];
	return NULL;
}

/* The parts that are not begun, as places in the log that are as old as what is retained; the
 * caller's to free(). */
static struct group_consumer_place *list_places(const struct journal *journal, size_t *count)
{
	struct group_consumer_place *places = NULL;
	int64_t now_ms = clock_unix_ms();

	*count = 0;
	for (const struct journal_partition *at = journal->partitions; at; at = at->following) {
		for (uint32_t i = 0; at->state == JOURNAL_WAITING && i < at->topic->wish_count;
		     i++) {
			uint64_t retain_ms =
			    at->topic->wishes[i].source->feed->stream->journal_retain_ms;

			if (at->parts[i].next >= 0)
				continue;
			places = mem_realloc(places, (*count + 1) * sizeof(places[0]));
			places[(*count)++] = (struct group_consumer_place){
			    at->topic->number, at->number, now_ms - (int64_t)retain_ms, -1};
		}
	}
	return places;
}

/* In the order of list_places(). */
static int begin_at(struct journal *journal, const struct group_consumer_place *places)
{
	int rc = 0;

	for (struct journal_partition *at = journal->partitions; at; at = at->following) {
		for (uint32_t i = 0; at->state == JOURNAL_WAITING && i < at->topic->wish_count;
		     i++) {
			if (at->parts[i].next >= 0)
				continue;
			if (!rc && places->offset >= 0)
				rc = journal_writer_begin(journal->writer, &at->parts[i],
							  places->offset);
			places++;
		}
	}
	return rc;
}

/* A feed that was journaled just now, or a new partition: as much as is retained. */
static int begin_missing(struct journal *journal)
{
	struct group_consumer_place *places;
	size_t count;
	int rc = 0;

	if (clock_monotonic_ms() < journal->places_due_ms)
		return 0;
	places = list_places(journal, &count);
	if (count) {
		group_consumer_find_times(journal->consumer, places, count, PLACES_TIMEOUT_MS);
		journal->places_due_ms = clock_monotonic_ms() + PLACES_PAUSE_MS;
		rc = begin_at(journal, places);
	}
	free(places);
	return rc;
}

/* From where the feed that is furthest behind goes on, with what was read last, to be known again.
 */
static void start_reading(struct journal *journal, struct journal_partition *partition)
{
	int64_t from = INT64_MAX;

	for (uint32_t i = 0; i < partition->topic->wish_count; i++) {
		const struct journal_part *part = &partition->parts[i];
		/* Unless Kafka has deleted it. */
		bool is_there = part->last_offset >= partition->low;
		int64_t own = is_there ? part->last_offset : part->reached;

		if (own < from)
			from = own;
	}
	partition->state = JOURNAL_READING;
	group_consumer_start(journal->consumer, partition->topic->number, partition->number, from,
			     partition);
}

int journal_start_waiting(struct journal *journal)
{
	size_t count;
	struct journal_part **waiting = list_waiting(journal, &count);
	int rc = count ? journal_writer_load(journal->writer, waiting, count) : 0;

	free(waiting);
	if (!rc && count)
		rc = begin_missing(journal);
	if (rc)
		return rc;
	for (struct journal_partition *at = journal->partitions; at; at = at->following)
		if (at->state == JOURNAL_WAITING && !find_missing(at))
			start_reading(journal, at);
	return 0;
}

bool journal_has_gaps(const struct journal *journal)
{
	for (const struct journal_partition *at = journal->partitions; at; at = at->following)
		if (at->state == JOURNAL_GAP)
			return true;
	return false;
}

static void tell_gap(const struct journal_partition *partition, const struct journal_part *part,
		     bool anew)
{
	const struct journal_wish *wish = &partition->topic->wishes[part - partition->parts];

	log_event(LOG_WARN, "journal",
		  anew ? "the topic was made anew: the old one's events are removed"
		       : "Kafka has deleted what was not journaled yet",
		  LOG_STR("stream", wish->source->feed->stream->name),
		  LOG_STR("topic", partition->topic->name), LOG_INT("partition", partition->number),
		  LOG_INT("next", part->next), LOG_INT("start", partition->low));
}

/* What was behind the log's beginning goes on there; of a log that is another one nothing is
 * known. */
static int settle_part(struct journal *journal, const struct journal_partition *partition,
		       struct journal_part *part)
{
	bool anew = part->next > partition->high;

	if (part->next >= partition->low && !anew)
		return 0;
	tell_gap(partition, part, anew);
	return anew ? journal_writer_reset(journal->writer, part, partition->low)
		    : journal_writer_skip(journal->writer, part, partition->low);
}

static int settle(struct journal *journal, struct journal_partition *partition)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < partition->topic->wish_count; i++)
		rc = settle_part(journal, partition, &partition->parts[i]);
	if (!rc)
		start_reading(journal, partition);
	return rc;
}

int journal_settle_gaps(struct journal *journal)
{
	int rc = 0;

	for (struct journal_partition *at = journal->partitions; !rc && at; at = at->following)
		if (at->state == JOURNAL_GAP)
			rc = settle(journal, at);
	if (rc == ERROR_CONFLICT)
		journal_topics_reload(journal);
	return rc;
}
