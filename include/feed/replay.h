/*
 * replay: brings a subscriber whose position has left the window back to where the window begins.
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
	void *context;
};

struct replay_settings {
	uint32_t workers;
	uint32_t chunk_bytes;
	uint32_t chunks;    /* in memory at once, over all jobs */
	uint32_t last_scan; /* records that start: {"last": N} looks through at most */
};

struct replay *replay_new(const struct replay_settings *settings,
			  const struct replay_source *source, struct feeds *feeds);
void replay_start(struct replay *replay);
/* Cancels all jobs and joins the workers. Jobs that are done are left to their fanouts. */
void replay_stop(struct replay *replay);
void replay_free(struct replay *replay);

/* Jobs that wait for a worker, and those that are being read. Thread: any. */
void replay_counts(struct replay *replay, uint32_t *waiting, uint32_t *running);

#endif
