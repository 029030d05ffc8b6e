/*
 * replay_priv: a job, as the subscriber's loop and the workers see it.
 */
#ifndef SLUICE_FEED_REPLAY_PRIV_H
#define SLUICE_FEED_REPLAY_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>

#include <jansson.h>

#include "feed/replay.h"

struct fanout;
struct subscriber;

enum replay_mode {
	REPLAY_RESUME,   /* from a client's id: what is missing is a gap */
	REPLAY_EARLIEST, /* from the log's beginning: nothing can be missing */
	REPLAY_LAST,     /* the last N events that match, then what came since */
};

enum replay_result {
	REPLAY_MORE,   /* ask again when the chunk is written */
	REPLAY_DONE,   /* read up to where the window was when the slice began */
	REPLAY_CLOSE,  /* a gap, and the stream says to close */
	REPLAY_FAILED, /* the source can't be read now: ask again later */
};

enum replay_place {
	REPLAY_AT_HOME, /* the loop's, waits for its chunk to be written */
	REPLAY_AWAY,    /* submitted, and not back yet: the worker's */
	REPLAY_WAITS,   /* on its fanout's list of those to submit again */
};

/* Owned by the loop, but for the time between replay_submit() and its arrival in the fanout's
 * inbox, when it is a worker's. */
struct replay_job {
	struct replay_job *next;
	struct fanout *home;
	struct subscriber *subscriber; /* the loop's; NULL: it has gone */
	_Atomic bool cancelled;        /* set by the loop, looked at by the worker */
	enum replay_place place;
	bool checked;            /* its bounds were compared with the log's */
	uint32_t absent_answers; /* a partition of its position is not there */
	enum replay_mode mode;
	uint32_t last;          /* REPLAY_LAST's N */
	struct feed *feed;      /* a reference */
	struct route_keys keys; /* a copy */
	struct position own;    /* read so far; exact at the end of the chunk */
	struct buffer chunk;    /* frames to send */
	uint32_t chunk_events;
	enum replay_result result;
	bool holds_chunk;     /* counts against the bound of chunks */
	uint64_t chunk_at_ms; /* when it came home */
};

/* Takes over nothing: `keys` and `own` are copied, `feed` gets a reference of the job's. Thread:
 * the loop's. */
struct replay_job *replay_job_new(struct replay *replay, struct fanout *home,
				  struct subscriber *subscriber, struct feed *feed,
				  const struct route_keys *keys, const struct position *own,
				  enum replay_mode mode, uint32_t last);
/* Into the queue's end; the result arrives by fanout_deliver(). The chunk is emptied. Thread: the
 * loop's. */
void replay_submit(struct replay *replay, struct replay_job *job);
/* The chunk was written or is not wanted any more. Thread: the loop's. */
void replay_chunk_done(struct replay *replay, struct replay_job *job);
/* All chunks are taken, and a job waits for one. Thread: any. */
bool replay_lacks_chunks(struct replay *replay);
/* The loop's, when the job is with it (not submitted). */
void replay_job_free(struct replay *replay, struct replay_job *job);

/*
 * replay_read.c: one slice of a job, on a worker's thread with the worker's reader. Fills in the
 * chunk, own and the result.
 */
struct replay_limits {
	uint32_t chunk_bytes;
	uint32_t last_scan;
};
void replay_read(struct replay_job *job, const struct replay_source *source, void *reader,
		 const struct replay_limits *limits);

/* replay_last.c: the same for REPLAY_LAST; afterwards the job goes on as REPLAY_RESUME. */
void replay_read_last(struct replay_job *job, const struct replay_source *source, void *reader,
		      const struct replay_limits *limits);

/* Is the record for the job's subscriber? `document` may be NULL. */
bool replay_job_wants(const struct replay_job *job, const struct record *record,
		      const json_t *document, struct route_keys *scratch);

#endif
