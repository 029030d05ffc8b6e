/*
 * journal_writer: writes journaled feeds' events, each exactly once whoever else writes.
 *
 * What the journal has of a partition is said by journal_offset, and a batch moves that in the
 * transaction of its rows by compare-and-set: of two writers one gets ERROR_CONFLICT and has
 * written nothing. A batch that failed is kept and may be written again, also where it is not known
 * whether it was: then that is a conflict.
 *
 * One thread, which it blocks; errors are those of postgres/database.h where nothing else is said,
 * and then nothing is half done.
 */
#ifndef SLUICE_POSTGRES_JOURNAL_WRITER_H
#define SLUICE_POSTGRES_JOURNAL_WRITER_H

#include "event/pattern.h"
#include "postgres/database.h"
#include "postgres/journal.h"

struct journal_writer;

/* `settings` is borrowed. */
struct journal_writer *journal_writer_new(const struct postgres_settings *settings);
void journal_writer_free(struct journal_writer *writer);
/* Ends what is under way, and all later calls, with ERROR_CANCELLED. Thread: any. */
void journal_writer_interrupt(struct journal_writer *writer);
/* What the last failure was, fit for a log and for /readyz. Borrowed. */
const char *journal_writer_error(const struct journal_writer *writer);

/* Makes the feed known, or says that it is still wanted, and makes its tables. */
MUST_CHECK int journal_writer_declare(struct journal_writer *writer,
				      const struct journal_feed *feed, uint64_t retain_ms,
				      int32_t *feed_id);

/*
 * For the feeds declared here: makes partitions of their tables ahead of time and drops those that
 * are older than what is retained; removes feeds that nobody has declared for as long. Does nothing
 * until that is due. Others that read or write are waited for a moment only: what could not be had
 * then is tried again later. `dropped` counts the dropped ones.
 */
MUST_CHECK int journal_writer_maintain(struct journal_writer *writer, uint32_t *dropped);

/* One partition of a feed, the caller's. */
struct journal_part {
	int32_t feed_id;
	int32_t topic; /* its number in the feed */
	int32_t partition;
	int64_t first, next; /* the journal is complete for [first, next); next -1: not begun */
	int64_t reached;     /* what the batch makes of `next` */
	/* The last record that was read, in the batch too; offset -1: none. One with another time
	 * at that offset is of another log. */
	int64_t last_offset, last_time;
	bool batched; /* the writer's: it is in the batch */
};

/* Sets what the journal knows of parts that are in no batch. */
MUST_CHECK int journal_writer_load(struct journal_writer *writer, struct journal_part *const *parts,
				   size_t count);
/* Begins a part at `offset`, unless somebody has; loads it. */
MUST_CHECK int journal_writer_begin(struct journal_writer *writer, struct journal_part *part,
				    int64_t offset);
/* Goes on at `offset` though what is before it was not had: the journal is complete from there.
 * ERROR_CONFLICT: it was moved. In no batch. */
MUST_CHECK int journal_writer_skip(struct journal_writer *writer, struct journal_part *part,
				   int64_t offset);
/* The log was made anew: removes all of the part's rows and goes on at `offset`. ERROR_CONFLICT: it
 * was moved. In no batch. Takes as long as it takes. */
MUST_CHECK int journal_writer_reset(struct journal_writer *writer, struct journal_part *part,
				    int64_t offset);

/* Adds the record to the batch (all of it copied) and moves part->reached past it; the part is
 * borrowed until the batch is written or dropped. `routes` as feed_event_of() gives them;
 * `event_id` empty: none. */
void journal_writer_add(struct journal_writer *writer, struct journal_part *part,
			const struct record *record, const struct route_keys *routes,
			struct slice event_id);
/* The same without a row: the feed does not want the record. */
void journal_writer_pass(struct journal_writer *writer, struct journal_part *part,
			 const struct record *record);
/* Moves part->reached without a record. */
void journal_writer_reach(struct journal_writer *writer, struct journal_part *part, int64_t next);

struct journal_batch_size {
	size_t parts; /* 0: there is no batch */
	uint64_t rows;
	size_t bytes;
};
struct journal_batch_size journal_writer_size(const struct journal_writer *writer);

/*
 * Sends rows of the batch ahead where there are many, so that PostgreSQL takes them while more are
 * added. Nothing but adding, sending, writing and dropping is allowed after that, until the batch
 * is written, dropped or has failed.
 */
MUST_CHECK int journal_writer_send(struct journal_writer *writer);
bool journal_writer_is_sending(const struct journal_writer *writer);

/*
 * Writes the batch; then each part's `next` is what it had reached. ERROR_CONFLICT: somebody else
 * has moved a part: the batch is dropped, and the parts have to be loaded again.
 */
MUST_CHECK int journal_writer_write(struct journal_writer *writer);
/* Forgets the batch: its parts stand at `next`, and have to be loaded again. */
void journal_writer_drop(struct journal_writer *writer);

#endif
