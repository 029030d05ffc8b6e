#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "event/document.h"
#include "feed/feed_event.h"
#include "journal_priv.h"

static struct journal_topic *find_topic(struct journal *journal, const char *name)
{
	for (uint32_t i = 0; i < journal->topic_count; i++)
		if (!strcmp(journal->topics[i].name, name))
			return &journal->topics[i];
	journal->topics =
	    mem_realloc(journal->topics, (journal->topic_count + 1) * sizeof(journal->topics[0]));
	journal->topics[journal->topic_count] =
	    (struct journal_topic){.name = mem_strdup(name), .number = journal->topic_count};
	return &journal->topics[journal->topic_count++];
}

static void add_wish(struct journal_topic *topic, struct journal_source *source, uint32_t number)
{
	topic->wishes =
	    mem_realloc(topic->wishes, (topic->wish_count + 1) * sizeof(topic->wishes[0]));
	topic->wishes[topic->wish_count++] = (struct journal_wish){source, number};
}

void journal_topics_make(struct journal *journal)
{
	for (uint32_t i = 0; i < journal->source_count; i++) {
		struct journal_source *source = &journal->sources[i];

		for (uint32_t j = 0; j < source->feed->topic_count; j++)
			add_wish(find_topic(journal, source->feed->topics[j]), source, j);
	}
}

static void forget_partitions(struct journal *journal)
{
	journal_writer_drop(journal->writer);
	journal->batch_since_ms = 0;
	while (journal->partitions) {
		struct journal_partition *partition = journal->partitions;

		journal->partitions = partition->following;
		free(partition->parts);
		free(partition);
	}
}

void journal_topics_free(struct journal *journal)
{
	forget_partitions(journal);
	for (uint32_t i = 0; i < journal->topic_count; i++) {
		free(journal->topics[i].name);
		free(journal->topics[i].wishes);
	}
	free(journal->topics);
}

static void on_assigned(void *context, uint32_t topic, int32_t number)
{
	struct journal *journal = context;
	struct journal_partition *partition = MEM_NEW(struct journal_partition);

	partition->topic = &journal->topics[topic];
	partition->number = number;
	partition->committed = -1;
	partition->parts = mem_zalloc(partition->topic->wish_count * sizeof(partition->parts[0]));
	partition->following = journal->partitions;
	journal->partitions = partition;
}

/* What is read and not written is dropped: who gets the partition reads it again. */
static void on_lost(void *context)
{
	forget_partitions(context);
}

/* Written it costs nobody anything. */
static void on_revoked(void *context)
{
	struct journal *journal = context;

	if (!journal->failing && journal_write(journal))
		log_event(LOG_DEBUG, "journal", "what was read is left to the next owner");
	forget_partitions(journal);
}

void journal_topics_reload(struct journal *journal)
{
	journal_writer_drop(journal->writer);
	journal->batch_since_ms = 0;
	for (struct journal_partition *at = journal->partitions; at; at = at->following) {
		group_consumer_stop(journal->consumer, at->topic->number, at->number);
		at->state = JOURNAL_WAITING;
	}
}

/* The document of a record, built for what one feed wants and kept for the next one that wants the
 * same. */
struct decoded {
	json_t *document;
	unsigned parts;
};

static const json_t *decode(struct decoded *decoded, const struct record *record, unsigned parts)
{
	if (parts == decoded->parts)
		return decoded->document;
	json_decref(decoded->document);
	decoded->document = NULL;
	decoded->parts = parts;
	if (document_build(record, parts, &decoded->document))
		decoded->document = NULL;
	return decoded->document;
}

static void append(struct journal *journal, const struct feed *feed, struct journal_part *part,
		   const struct record *record, struct decoded *decoded)
{
	const json_t *document = decode(decoded, record, feed->stream->parts);
	const struct feed_event event = feed_event_of(feed, record, document, &journal->keys);

	if (feed_event_is_journaled(feed, &event))
		journal_writer_add(
		    journal->writer, part, &event.kept, &journal->keys,
		    feed_event_custom_id(feed, &event, document, &journal->custom_id));
	else
		journal_writer_pass(journal->writer, part, record);
}

/* What was read last is read again at a start: where it is another record, all is. */
static bool is_of_another_log(const struct journal_partition *partition,
			      const struct record *record)
{
	for (uint32_t i = 0; i < partition->topic->wish_count; i++)
		if (partition->parts[i].last_offset == record->offset &&
		    partition->parts[i].last_time != record->timestamp_ms)
			return true;
	return false;
}

/* The new log is read from its beginning, wherever that is. */
static void leave_old_log(struct journal *journal, struct journal_partition *partition)
{
	group_consumer_stop(journal->consumer, partition->topic->number, partition->number);
	partition->state = JOURNAL_GAP;
	partition->low = 0;
	partition->high = -1;
}

static void on_record(void *context, void *token, const struct record *record)
{
	struct journal *journal = context;
	struct journal_partition *partition = token;
	struct decoded decoded = {0};

	if (is_of_another_log(partition, record)) {
		leave_old_log(journal, partition);
		return;
	}
	for (uint32_t i = 0; i < partition->topic->wish_count; i++) {
		struct journal_part *part = &partition->parts[i];

		/* A feed may be ahead of the one that the topic is read for. */
		if (record->offset >= part->reached)
			append(journal, partition->topic->wishes[i].source->feed, part, record,
			       &decoded);
	}
	json_decref(decoded.document);
}

static void on_end(void *context, void *token, int64_t next)
{
	struct journal *journal = context;
	struct journal_partition *partition = token;

	partition->level_ms = clock_monotonic_ms();
	for (uint32_t i = 0; i < partition->topic->wish_count; i++)
		journal_writer_reach(journal->writer, &partition->parts[i], next);
}

static void on_gap(void *context, void *token, int64_t next, int64_t low, int64_t high)
{
	struct journal_partition *partition = token;

	(void)context;
	(void)next;
	partition->state = JOURNAL_GAP;
	partition->low = low;
	partition->high = high;
}

struct group_consumer_sink journal_topics_sink(struct journal *journal)
{
	return (struct group_consumer_sink){
	    .assigned = on_assigned,
	    .revoked = on_revoked,
	    .lost = on_lost,
	    .record = on_record,
	    .end = on_end,
	    .gap = on_gap,
	    .context = journal,
	};
}
