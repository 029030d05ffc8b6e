#include "feed/feed_event.h"

#include <assert.h>

#include "event/document.h"
#include "feed/notice_priv.h"

static enum feed_event_fault fault_of(const struct feed *feed, const struct record *record,
				      const json_t *document)
{
	if (record->left_out || record->value.len > feed->stream->max_event_bytes)
		return FEED_EVENT_TOO_LARGE;
	return feed->stream->parts && !document ? FEED_EVENT_UNDECODABLE : FEED_EVENT_SOUND;
}

static bool is_told(const struct stream *stream, enum feed_event_fault fault)
{
	return (fault == FEED_EVENT_TOO_LARGE ? stream->too_large : stream->undecodable) ==
	       STREAM_FAULT_ERROR;
}

/* The document as far as there is one; a reference. */
static json_t *decodable(const struct feed *feed, const struct record *record,
			 const json_t *document)
{
	if (document)
		return json_incref((json_t *)(uintptr_t)document);
	return document_build_decodable(record, document_parts_of(feed->stream->filter));
}

/* 0 with the keys; ERROR_NOT_FOUND: the filter does not let it pass; else as pattern_event_keys().
 */
static int route(const struct feed *feed, const struct record *record, const json_t *document,
		 struct route_keys *keys)
{
	json_t *known;
	int rc;

	if (!feed->stream->filter)
		return 0;
	if (record->routes) {
		buffer_append_slice(&keys->bytes, buffer_slice(&record->routes->bytes));
		keys->count = record->routes->count;
		return 0;
	}
	known = decodable(feed, record, document);
	rc = pattern_event_keys(feed->stream->filter, known, keys);
	json_decref(known);
	if (!rc && !keys->count)
		rc = ERROR_NOT_FOUND;
	if (!rc && !feed_is_filtered(feed))
		route_keys_clear(keys);
	return rc;
}

static enum feed_event_kind kind_of(const struct stream *stream, const struct record *record)
{
	static const enum feed_event_kind tombstones[] = {
	    [STREAM_TOMBSTONES_EVENT] = FEED_EVENT_RECORD,
	    [STREAM_TOMBSTONES_SKIP] = FEED_EVENT_REMOVAL,
	    [STREAM_TOMBSTONES_NAMED] = FEED_EVENT_TOMBSTONE,
	};

	return record->has_value ? FEED_EVENT_RECORD : tombstones[stream->tombstones];
}

static struct record leave_out_value(const struct record *record)
{
	struct record rest = *record;

	rest.value = (struct slice){0};
	rest.left_out = true;
	return rest;
}

struct feed_event feed_event_of(const struct feed *feed, const struct record *record,
				const json_t *document, struct route_keys *keys)
{
	const struct stream *stream = feed->stream;
	struct feed_event event = {.fault = fault_of(feed, record, document), .kept = *record};
	int rc;

	route_keys_clear(keys);
	if (event.fault == FEED_EVENT_TOO_LARGE)
		event.kept = leave_out_value(record);
	if (event.fault && !is_told(stream, event.fault))
		return event;
	rc = route(feed, record, document, keys);
	if (rc == ERROR_NOT_FOUND)
		event.fault = FEED_EVENT_SOUND;
	else if (rc == ERROR_LIMIT)
		event.fault = FEED_EVENT_TOO_MANY_KEYS;
	else if (!rc)
		event.kind = event.fault ? FEED_EVENT_ERROR : kind_of(stream, record);
	return event;
}

bool feed_event_is_journaled(const struct feed *feed, const struct feed_event *event)
{
	return feed_event_is_sent(event) ||
	       (event->kind == FEED_EVENT_REMOVAL && feed->stream->start == STREAM_START_CURRENT);
}

static void append_error(const struct feed_event *event, struct slice id, struct buffer *out)
{
	const struct record *record = &event->kept;

	notice_append_error(out, id,
			    event->fault == FEED_EVENT_TOO_LARGE ? "too_large" : "undecodable",
			    record->topic, record->partition, record->offset);
}

void feed_event_append(const struct feed *feed, const struct feed_event *event,
		       const struct record *record, const json_t *document, struct slice id,
		       struct buffer *out)
{
	const struct mapping *mapping = feed->stream->mapping;

	assert(feed_event_is_sent(event));
	if (event->kind == FEED_EVENT_ERROR)
		append_error(event, id, out);
	else if (event->kind == FEED_EVENT_TOMBSTONE)
		mapping_append_tombstone(mapping, feed->stream->tombstone_event, record, document,
					 id, out);
	else
		mapping_append_frame(mapping, record, document, id, out);
}

struct slice feed_event_custom_id(const struct feed *feed, const struct feed_event *event,
				  const json_t *document, struct buffer *own)
{
	if (event->kind == FEED_EVENT_ERROR || !mapping_has_custom_id(feed->stream->mapping))
		return (struct slice){0};
	return mapping_custom_id(feed->stream->mapping, document, own);
}
