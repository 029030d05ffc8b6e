/*
 * replay: brings a subscriber whose position has left the window back to where the window begins.
 *
 * Each slice of a replay comes from the journal as far as that has the position, and else from
 * Kafka: also where the journal cannot be read. Order within a partition is never broken; where a
 * partition goes over from one to the other, nothing is left out or repeated.
 *
 * A bounded number of worker threads, each with a reader of its own. A job is one subscriber's; it
 * is read in slices of one chunk, and goes to the back of the queue between them, so that all get
 * on. The chunks in memory are bounded too; the next slice of a job is read when the client has
 * taken the last one. A job whose subscriber has gone stops within a record.
 */
#ifndef SLUICE_FEED_REPLAY_H
#define SLUICE_FEED_REPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "event/pattern.h"
#include "event/position.h"
#include "event/record.h"

struct feed;
struct feeds;
struct replay;

/* One partition to read: [from, until). */
struct replay_source_range {
	const char *topic;
	int32_t partition;
	int64_t from, until;
	uint32_t topic_number; /* in the feed */
};

/*
 * Where the records come from; gateway.c ties it to kafka/replay_reader.h. Each call is made by one
 * worker thread with the reader that it opened, and may block. Semantics and errors as documented
 * there.
 */
struct replay_source {
	void *(*open)(void *context);
	void (*close)(void *reader);
	int (*read)(void *reader, const struct replay_source_range *ranges, size_t count,
		    uint64_t budget_records, bool (*record)(void *, size_t, const struct record *),
		    void (*progress)(void *, size_t, int64_t), void *visitor);
	int (*bounds)(void *reader, const char *topic, int32_t partition, int64_t *low,
		      int64_t *high);
	/* Moves each range's `from` to the log's first record of that time or later, or to the
	 * log's end where there is none. */
	int (*seek_time)(void *reader, struct replay_source_range *ranges, size_t count,
			 int64_t since_ms);
	void *context;
};

/* What the journal has of a partition: [first, next); both 0: nothing. */
struct replay_cover {
	int64_t first, next;
	int64_t recorded_us; /* the journal's own */
};

/* What is asked of the journal. */
struct replay_journal_query {
	const struct feed *feed;
	const struct route_keys *keys; /* NULL: nobody is told apart */
	struct replay_source_range *ranges;
	const struct replay_cover *covers; /* of the ranges */
	size_t count;
};

/* An event's place in the merge of a feed's partitions. */
struct replay_event_place {
	int64_t event_time_ms;
	uint32_t topic;
	int32_t partition;
	int64_t offset;
};

/*
 * The second source, where a stream has a journal; gateway.c ties it to postgres/journal_reader.h.
 * Calls, semantics and errors are those of there.
 */
struct replay_journal {
	void *(*open)(void *context);
	void (*close)(void *reader);
	/* Ends what is under way, and all that comes. Thread: any. */
	void (*interrupt)(void *reader);
	int (*cover)(void *reader, const struct feed *feed,
		     const struct replay_source_range *ranges, size_t count,
		     struct replay_cover *covers);
	int (*read)(void *reader, const struct replay_journal_query *query, size_t bytes,
		    uint64_t budget_records, bool (*record)(void *, size_t, const struct record *),
		    void (*progress)(void *, size_t, int64_t), void *visitor);
	int (*find)(void *reader, const struct feed *feed, struct slice event_id,
		    struct replay_event_place *place);
	int (*seek)(void *reader, const struct replay_journal_query *query,
		    const struct replay_event_place *place);
	int (*last)(void *reader, const struct replay_journal_query *query, uint32_t n,
		    uint64_t *found);
	void *context;
};

struct replay_settings {
	uint32_t workers;
	uint32_t chunk_bytes;
	uint32_t chunks;     /* in memory at once, over all jobs */
	uint32_t last_scan;  /* records that start: {"last": N} looks through at most */
	uint64_t last_bytes; /* of its events in memory; more are read again, chunk by chunk */
	/* What a start: "current" may hold in memory. */
	uint32_t current_keys;
	uint64_t current_bytes;
};

/* `journal` NULL: there is none. */
struct replay *replay_new(const struct replay_settings *settings,
			  const struct replay_source *source, const struct replay_journal *journal,
			  struct feeds *feeds);
void replay_start(struct replay *replay);
/* Cancels all jobs and joins the workers. Jobs that are done are left to their fanouts. */
void replay_stop(struct replay *replay);
void replay_free(struct replay *replay);

/* Jobs that wait for a worker, and those that are being read. Thread: any. */
void replay_counts(struct replay *replay, uint32_t *waiting, uint32_t *running);

#endif
