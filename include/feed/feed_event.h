/*
 * feed_event: what a record becomes on a feed's streams: whom it is for, which event it is, and
 * that event's frame.
 *
 * Live or replayed, from Kafka or from the journal, a record goes through here, so that its frame
 * is the same bytes but for the id. Thread: any.
 */
#ifndef SLUICE_FEED_FEED_EVENT_H
#define SLUICE_FEED_FEED_EVENT_H

#include "event/record.h"
#include "feed/feed.h"

enum feed_event_kind {
	FEED_EVENT_NONE,      /* nobody gets anything */
	FEED_EVENT_REMOVAL,   /* likewise; but it is a tombstone, which takes its key out of a state
			       */
	FEED_EVENT_RECORD,    /* as the mapping has it */
	FEED_EVENT_TOMBSTONE, /* of the type that `tombstones` names */
	FEED_EVENT_ERROR,     /* in place of a record, for the fault */
};

/* Why a record that the feed wants can't be sent itself. */
enum feed_event_fault {
	FEED_EVENT_SOUND,
	FEED_EVENT_TOO_LARGE,
	FEED_EVENT_UNDECODABLE,
	FEED_EVENT_TOO_MANY_KEYS,
};

struct feed_event {
	enum feed_event_kind kind;
	enum feed_event_fault fault;
	struct record kept; /* what is kept of the record, for checks too: all that it has, but for
			       a value that is too large */
};

/*
 * `document` holds the stream's parts, or is NULL where they could not be decoded. Replaces `keys`
 * by the route keys of those whom the event is for: none where the filter tells nobody apart.
 *
 * Of a record that cannot be decoded the filter's conditions on what is not known hold; where one
 * of these has a variable, nobody can be told apart, and it is nobody's. The fault is set where a
 * subscriber may have got the record otherwise, whether or not there is an event in its place.
 */
struct feed_event feed_event_of(const struct feed *feed, const struct record *record,
				const json_t *document, struct route_keys *keys);

/* Is there anything to be sent? */
static inline bool feed_event_is_sent(const struct feed_event *event)
{
	return event->kind >= FEED_EVENT_RECORD;
}

/* Does the journal need it? */
bool feed_event_is_journaled(const struct feed *feed, const struct feed_event *event);

/* Appends the frame of one that is sent, with `id`, or the record's own where the stream takes it
 * from there; `record` and `document` are what it was made of. An error has none of its own. */
void feed_event_append(const struct feed *feed, const struct feed_event *event,
		       const struct record *record, const json_t *document, struct slice id,
		       struct buffer *out);

/* The id that the frame gets from the record itself; else empty. As mapping_custom_id(). */
struct slice feed_event_custom_id(const struct feed *feed, const struct feed_event *event,
				  const json_t *document, struct buffer *own);

#endif
