/*
 * feed: a running instance of a stream, with its topics resolved: static filter, mapping, frames,
 * window.
 *
 * Written by the ingest thread alone, read by the loops through its window. Counted references; the
 * registry (feed/feeds.h) makes and frees it.
 */
#ifndef SLUICE_FEED_FEED_H
#define SLUICE_FEED_FEED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "event/record.h"
#include "event/stream.h"
#include "feed/window.h"

struct checks;

struct feed {
	const struct stream *stream; /* borrowed */
	char **topics;               /* owned; numbered in this order in positions */
	uint32_t topic_count;
	uint64_t hash; /* of its identity, the same on every replica: stream name and topics */
	uint64_t journal_key;  /* the same of name, topics, filter and what becomes of records that
				  are no plain events: what the journal's rows belong to */
	struct window *window; /* owned */
	struct checks *end_when;      /* a reference: the stream's, where it is the same for all
					 requests; else NULL */
	_Atomic bool ready;           /* caught up with all its topics once */
	_Atomic uint32_t subscribers; /* on all loops */
	_Atomic uint64_t skipped;     /* records that it wanted and could not send */
	struct log_limit skip_log;
	/* The registry's, under its lock. */
	uint32_t references;
	uint64_t unused_since_ms;
	uint32_t topics_behind; /* not caught up yet */
	/* The ingest thread's. */
	struct position position;
	bool dirty; /* appended since the last publish */
	bool moved; /* position moved since the last publish */
	struct {
		struct buffer id, frame, record;
		struct route_keys keys;
	} scratch; /* kept warm between records */
};

struct feed *feed_new(const struct stream *stream, char **topics, uint32_t topic_count,
		      struct epoch *epoch);
void feed_free(struct feed *feed);

/* What follows is called on the ingest thread. */

/*
 * Takes a record of its topic number `topic`: filters, frames, appends; moves the position in any
 * case. `document` holds the stream's parts, or is NULL where they could not be decoded. What
 * cannot be sent as it is (feed/feed_event.h) is counted.
 */
void feed_append(struct feed *feed, uint32_t topic, const struct record *record,
		 const json_t *document);
/* A partition is read from `next` on, which may come after others were: nothing in the window is
 * for who has less of it. */
void feed_begin(struct feed *feed, uint32_t topic, int32_t partition, int64_t next);
/* Moves the position without an event. */
void feed_move(struct feed *feed, uint32_t topic, int32_t partition, int64_t next);
/* Tells every subscriber that [from, to) is gone from the log, and goes on at `to`. */
void feed_gap(struct feed *feed, uint32_t topic, int32_t partition, int64_t from, int64_t to);
/* Makes it visible. True where there are new events, so that the loops have to be woken. */
bool feed_publish(struct feed *feed);

/* Whether route keys decide who gets what. Thread: any. */
bool feed_is_filtered(const struct feed *feed);
/* A frame's id line, of a position other than the feed's. Thread: any. */
void feed_append_id_line(const struct feed *feed, const struct position *position,
			 struct buffer *out);

#endif
