/*
 * replay_priv: a job, as the subscriber's loop and the workers see it.
 */
#ifndef SLUICE_FEED_REPLAY_PRIV_H
#define SLUICE_FEED_REPLAY_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>

#include <jansson.h>

#include "feed/close_reason.h"
#include "feed/keyed_priv.h"
#include "feed/replay.h"

struct checks;
struct fanout;
struct feed_event;
struct replay_state;
struct subscriber;

enum replay_mode {
	REPLAY_RESUME,   /* from a client's id: what is missing is a gap */
	REPLAY_EARLIEST, /* from the log's beginning: nothing can be missing */
	REPLAY_LAST,     /* the last N events that match, then what came since */
	REPLAY_SINCE,    /* from the first event of a time on */
	REPLAY_CUSTOM,   /* after the event with an id of the stream's own */
	REPLAY_CURRENT,  /* the newest event of each key, then what came since */
};

/* Which of the events that a job reads are sent. */
enum replay_conflation {
	REPLAY_ALL,
	REPLAY_CONFLATES,      /* the newest */
	REPLAY_CONFLATES_KEYS, /* the newest of each key */
};

/* What a job is asked for. */
struct replay_wish {
	enum replay_mode mode;
	uint32_t last;         /* REPLAY_LAST's N */
	int64_t since_ms;      /* REPLAY_SINCE's */
	const char *custom_id; /* REPLAY_CUSTOM's; copied */
};

enum replay_result {
	REPLAY_MORE,    /* ask again when the chunk is written */
	REPLAY_DONE,    /* read up to where the window was when the slice began */
	REPLAY_CLOSE,   /* the stream ends, for the job's close_reason */
	REPLAY_FAILED,  /* the source can't be read now: ask again later */
	REPLAY_UNKNOWN, /* the journal does not have the id of the stream's own */
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
	bool counted;            /* in the metrics, with the source that served it first */
	bool at_tail;            /* the journal was read to its end: Kafka has the rest */
	bool journal_fails;      /* the journal could not be read: Kafka has to do */
	uint32_t journal_tries;  /* that Kafka could not do */
	uint32_t absent_answers; /* a partition of its position is not there */
	enum replay_mode mode;
	enum replay_conflation conflates;
	uint32_t last;              /* REPLAY_LAST's N */
	int64_t since_ms;           /* REPLAY_SINCE's */
	char *custom_id;            /* REPLAY_CUSTOM's */
	char *welcome;              /* comes after `connected`, if the job says that; may be NULL */
	struct replay_state *state; /* REPLAY_CURRENT's, while it has one */
	struct feed *feed;          /* a reference */
	struct route_keys keys;     /* a copy */
	struct checks *checks;      /* a reference, or NULL: none */
	struct checks *end_when;    /* likewise: the job ends with the first event that passes */
	struct position *bound; /* it ends when it has read so far; NULL: it leads to the window */
	bool ended;             /* it has: the chunk says so */
	struct position own;    /* read so far; exact at the end of the chunk */
	struct keyed_events keyed; /* where it conflates: what goes into the chunk in the end */
	uint64_t conflated;        /* events that came into it */
	uint64_t carries_ms; /* since when the loop lets it read on with these; 0: it has not */
	struct buffer chunk; /* frames to send */
	uint32_t chunk_events;
	enum replay_result result;
	enum close_reason close_reason; /* of REPLAY_CLOSE */
	bool holds_chunk;               /* counts against the bound of chunks: `keyed`, too */
	uint64_t chunk_at_ms;           /* when it came home */
};

/* Takes over nothing: `keys` and `own` are copied, `feed` gets a reference of the job's. Thread:
 * the loop's. */
struct replay_job *replay_job_new(struct replay *replay, struct fanout *home,
				  struct subscriber *subscriber, struct feed *feed,
				  const struct route_keys *keys, const struct position *own,
				  const struct replay_wish *wish);
/* Into the queue's end; the result arrives by fanout_deliver(). The chunk is emptied. A job that
 * still holds a chunk keeps it, and needs to wait for none. Thread: the loop's. */
void replay_submit(struct replay *replay, struct replay_job *job);
/* The chunk was written or is not wanted any more. Thread: the loop's. */
void replay_chunk_done(struct replay *replay, struct replay_job *job);
/* All chunks are taken, and a job waits for one. Thread: any. */
bool replay_lacks_chunks(struct replay *replay);
/* The loop's, when the job is with it (not submitted). */
void replay_job_free(struct replay *replay, struct replay_job *job);

/* A worker's: the sources with its readers. */
struct replay_worker {
	struct replay *replay;
	const struct replay_settings *settings;
	const struct replay_source *source;
	void *reader;
	const struct replay_journal *journal; /* NULL: there is none */
	void *journal_reader;
};

/* Records that one slice looks at, so that a job whose subscriber matches little does not hold a
 * worker for long. */
enum { REPLAY_SLICE_RECORDS = 50000 };

/* Some of the log's partitions, from the job's position to where the window is. */
struct replay_slice {
	struct replay_job *job;
	const struct replay_worker *worker;
	struct position head;
	struct replay_source_range *ranges;
	struct replay_cover *covers; /* of the ranges */
	size_t count;
	bool moved; /* by replay_check(): where to read from is to be looked for again */
	/* Of the read under way. */
	const struct replay_source_range *reads;
	struct route_keys keys;
	struct buffer id;
	uint64_t records;
};

/* replay_read.c: one slice of a job, on a worker's thread. Fills in the chunk, own and the result.
 */
void replay_read(struct replay_job *job, const struct replay_worker *worker);
/* The ranges from `from` (NULL: the beginning) to the slice's head; no cover. Replaces those
 * that there are. */
void replay_slice_find(struct replay_slice *slice, const struct position *from);
/* Every partition that is known, from 0 to the slice's head. */
void replay_slice_find_all(struct replay_slice *slice);
/* Visitors of both sources, for the ranges in `reads`. */
bool replay_slice_record(void *slice, size_t range, const struct record *record);
void replay_slice_progress(void *slice, size_t range, int64_t next);

/* replay_conflate.c: the newest events, each with the id of an exact position. */
void replay_conflate_take(struct replay_job *job, const struct record *record,
			  const json_t *document, const struct feed_event *event);
/* Into the chunk; `own` is the job's position, up to which they were read. Thread: whose the job
 * is. */
void replay_conflate_write(struct replay_job *job, const struct position *own);

/* replay_check.c: is the job's position still within the log, as far as the journal does not have
 * it? False: the job is answered. */
bool replay_check(struct replay_slice *slice);
/* The subscriber begins at the job's position: until that is known, it was told nothing. */
void replay_say_connected(struct replay_job *job);

/* replay_journal.c */

/* The job is one that the journal may serve now. */
bool replay_journal_serves(const struct replay_job *job, const struct replay_worker *worker);
/* Fills in the covers. False: the journal can't be read, which is counted; they are all empty. */
bool replay_journal_cover(struct replay_slice *slice);
/* Does the journal have the offset? */
bool replay_journal_has(const struct replay_cover *cover, int64_t offset);
/* Reads what the journal has of the slice's ranges. False: nothing; the result is not set. */
bool replay_journal_read(struct replay_slice *slice);
/* The journal's for these ranges. */
struct replay_journal_query replay_journal_query(const struct replay_slice *slice,
						 struct replay_source_range *ranges, size_t count);
/* The journal could not be read. */
void replay_journal_failed(struct replay_job *job);
/* Whether what Kafka can't do is worth another try of the journal. */
bool replay_journal_retry(struct replay_job *job);

/* replay_last.c: for REPLAY_LAST; afterwards the job goes on as REPLAY_RESUME. */
void replay_read_last(struct replay_slice *slice);

/* replay_place.c: REPLAY_SINCE and REPLAY_CUSTOM become REPLAY_RESUME. */
void replay_place_since(struct replay_slice *slice);
void replay_place_custom(struct replay_slice *slice);

/*
 * replay_current.c: the newest event of each key. There are at most REPLAY_MAX_STATES at a time.
 */
enum { REPLAY_MAX_STATES = 16 };
/* False: the result is set; there is none to be had, or it is full. */
bool replay_current_begin(struct replay_slice *slice);
/* `event` is the record's, NULL where it is not wanted. False: it is full. */
bool replay_current_take(struct replay_job *job, const struct replay_worker *worker,
			 const struct record *record, const json_t *document,
			 const struct feed_event *event);
/* After a slice: where all is read, the state goes into the chunk, which may take several. */
void replay_current_go_on(struct replay_slice *slice);
/* The state is being sent. */
bool replay_current_sends(const struct replay_job *job);
void replay_current_free(struct replay *replay, struct replay_job *job);
/* replay.c: one more state, one less. */
bool replay_take_state(struct replay *replay);
void replay_return_state(struct replay *replay);

/* replay_end.c: how a job ends for good. */

/* How far a slice reads. */
void replay_end_find_head(const struct replay_job *job, struct position *head);
/* Is this (struct feed_event's `kept`) the last record, of those that are for the job's subscriber?
 * Where its frame goes into the chunk, replay_end_with() is called. */
bool replay_ends_with(const struct replay_job *job, const struct record *record);
/* The chunk's last frame, whose id is final, is the last one. */
void replay_end_with(struct replay_job *job);
/* The subscriber comes back after an event of the journal, whose id could not say that it is the
 * last one: where it is, the job has ended. */
void replay_end_after(struct replay_slice *slice, const struct replay_event_place *place);
/* The slice is read: where the job has ended with it, the chunk and the result say so. */
void replay_end(struct replay_slice *slice);

/* Does the job's subscriber get the event that the record is? `document` may be NULL. */
bool replay_job_wants(const struct replay_job *job, const struct record *record,
		      const json_t *document, struct route_keys *scratch, struct feed_event *event);

#endif
