#include "feed/feed.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "event/event_id.h"
#include "event/frame.h"
#include "feed/checks.h"
#include "feed/feed_event.h"
#include "feed/kept_record_priv.h"
#include "feed/notice_priv.h"

enum { SKIP_LOG_INTERVAL_MS = 10000 };

static uint64_t hash_of(const struct buffer *text)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	uint64_t hash = 0;

	SHA256((const unsigned char *)text->base, text->len, digest);
	for (int i = 0; i < 8; i++)
		hash = hash << 8 | digest[i];
	return hash;
}

/* Of what the journal holds, beside the filter: nothing where it is what it is by default. */
static void append_choices(const struct stream *stream, struct buffer *text)
{
	if (stream->tombstones == STREAM_TOMBSTONES_SKIP && stream->start != STREAM_START_CURRENT)
		buffer_append_text(text, ";no tombstones");
	if (stream->too_large == STREAM_FAULT_SKIP)
		buffer_append_text(text, ";no too large");
	if (stream->undecodable == STREAM_FAULT_ERROR)
		buffer_append_text(text, ";undecodable");
}

/* Lengths stand before the texts, so that no two lists of names look the same. */
static void set_identity(struct feed *feed)
{
	struct buffer text = {0};

	buffer_append_format(&text, "%zu:%s", strlen(feed->stream->name), feed->stream->name);
	for (uint32_t i = 0; i < feed->topic_count; i++)
		buffer_append_format(&text, ",%zu:%s", strlen(feed->topics[i]), feed->topics[i]);
	feed->hash = hash_of(&text);
	buffer_append_format(&text, ";%" PRIx64, feed->stream->filter_hash);
	append_choices(feed->stream, &text);
	feed->journal_key = hash_of(&text);
	buffer_free(&text);
}

struct feed *feed_new(const struct stream *stream, char **topics, uint32_t topic_count,
		      struct epoch *epoch)
{
	struct feed *feed = MEM_NEW(struct feed);

	feed->stream = stream;
	feed->topics = mem_zalloc(topic_count * sizeof(feed->topics[0]));
	for (uint32_t i = 0; i < topic_count; i++)
		feed->topics[i] = mem_strdup(topics[i]);
	feed->topic_count = topic_count;
	feed->topics_behind = topic_count;
	set_identity(feed);
	feed->window = window_new(stream->window_bytes, topic_count, stream->keeps_records, epoch);
	if (stream->end_when && !pattern_has_variables(stream->end_when))
		feed->end_when = checks_new_borrowed(stream->end_when);
	position_init(&feed->position, topic_count);
	return feed;
}

void feed_free(struct feed *feed)
{
	for (uint32_t i = 0; i < feed->topic_count; i++)
		free(feed->topics[i]);
	free(feed->topics);
	window_free(feed->window);
	checks_unref(feed->end_when);
	position_fini(&feed->position);
	buffer_free(&feed->scratch.id);
	buffer_free(&feed->scratch.frame);
	buffer_free(&feed->scratch.record);
	route_keys_free(&feed->scratch.keys);
	free(feed);
}

/* What a record that can't be sent though the feed may have wanted it is called, in the metrics and
 * in the log. */
static void count_fault(struct feed *feed, const struct record *record, enum feed_event_fault fault)
{
	static const struct {
		enum metrics_counter counter;
		const char *text;
	} faults[] = {
	    [FEED_EVENT_TOO_LARGE] = {METRIC_EVENTS_TOO_LARGE, "a record is larger than max_event"},
	    [FEED_EVENT_UNDECODABLE] = {METRIC_EVENTS_UNDECODABLE, "a record is not JSON"},
	    [FEED_EVENT_TOO_MANY_KEYS] = {METRIC_EVENTS_TOO_MANY_KEYS,
					  "a record has too many route keys"},
	};
	uint64_t suppressed;

	metrics_add(faults[fault].counter, 1);
	atomic_fetch_add(&feed->skipped, 1);
	if (log_limit_pass(&feed->skip_log, SKIP_LOG_INTERVAL_MS, &suppressed))
		log_event(LOG_WARN, "feed", faults[fault].text,
			  LOG_STR("stream", feed->stream->name), LOG_SLICE("topic", record->topic),
			  LOG_INT("partition", record->partition),
			  LOG_INT("offset", record->offset), LOG_INT("suppressed", suppressed));
}

bool feed_is_filtered(const struct feed *feed)
{
	return feed->stream->filter && pattern_has_variables(feed->stream->filter);
}

void feed_append_id_line(const struct feed *feed, const struct position *position,
			 struct buffer *out)
{
	buffer_append_text(out, "id: ");
	event_id_encode(feed->hash, 0, position, out);
	buffer_append_text(out, "\n");
}

static void append(struct feed *feed, uint32_t topic, const struct feed_event *event,
		   const struct record *record, const json_t *document, int64_t previous_next)
{
	const struct window_entry entry = {
	    .topic = (uint16_t)topic,
	    .partition = (uint32_t)record->partition,
	    .offset = record->offset,
	    .arrived_us = record->arrived_us,
	    .kind = WINDOW_EVENT,
	};

	buffer_clear(&feed->scratch.id);
	buffer_clear(&feed->scratch.frame);
	buffer_clear(&feed->scratch.record);
	event_id_encode(feed->hash, 0, &feed->position, &feed->scratch.id);
	feed_event_append(feed, event, record, document, buffer_slice(&feed->scratch.id),
			  &feed->scratch.frame);
	if (feed->stream->keeps_records)
		kept_record_append(&event->kept, &feed->scratch.record);
	else if (feed->stream->interval.per_key)
		kept_record_append_key(record, &feed->scratch.record);
	window_append(feed->window, &entry, &feed->scratch.keys,
		      buffer_slice(&feed->scratch.record), buffer_slice(&feed->scratch.frame),
		      &feed->position, previous_next);
	feed->dirty = true;
	metrics_add(METRIC_EVENTS_ACCEPTED, 1);
}

void feed_append(struct feed *feed, uint32_t topic, const struct record *record,
		 const json_t *document)
{
	uint32_t partition = (uint32_t)record->partition;
	int64_t previous_next = position_get(&feed->position, topic, partition);
	const struct feed_event event = feed_event_of(feed, record, document, &feed->scratch.keys);

	feed_move(feed, topic, record->partition, record->offset + 1);
	if (event.fault)
		count_fault(feed, record, event.fault);
	if (feed_event_is_sent(&event))
		append(feed, topic, &event, record, document, previous_next);
}

void feed_begin(struct feed *feed, uint32_t topic, int32_t partition, int64_t next)
{
	if (!atomic_load(&feed->ready))
		window_begin(feed->window, topic, (uint32_t)partition, next);
	else if (next > position_get(&feed->position, topic, (uint32_t)partition))
		window_reset(feed->window);
	feed_move(feed, topic, partition, next);
}

void feed_move(struct feed *feed, uint32_t topic, int32_t partition, int64_t next)
{
	position_set(&feed->position, topic, (uint32_t)partition, next);
	feed->moved = true;
}

void feed_gap(struct feed *feed, uint32_t topic, int32_t partition, int64_t from, int64_t to)
{
	const struct window_entry entry = {
	    .topic = (uint16_t)topic,
	    .partition = (uint32_t)partition,
	    .offset = to - 1,
	    .kind = WINDOW_NOTICE,
	};
	const struct notice_gap gap = {feed->topics[topic], partition, from, to};

	if (to < from)
		window_reset(feed->window);
	feed_move(feed, topic, partition, to);
	buffer_clear(&feed->scratch.id);
	buffer_clear(&feed->scratch.frame);
	event_id_encode(feed->hash, 0, &feed->position, &feed->scratch.id);
	notice_append_gap(&feed->scratch.frame, buffer_slice(&feed->scratch.id),
			  to < from ? "reset" : "expired", &gap, 1);
	window_append(feed->window, &entry, NULL, (struct slice){0},
		      buffer_slice(&feed->scratch.frame), &feed->position, to < from ? to : from);
	feed->dirty = true;
}

bool feed_publish(struct feed *feed)
{
	bool dirty = feed->dirty;

	if (!feed->moved)
		return false;
	feed->dirty = false;
	feed->moved = false;
	window_publish(feed->window, &feed->position);
	return dirty;
}
