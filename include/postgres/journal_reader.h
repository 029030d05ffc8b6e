/*
 * journal_reader: reads a feed's events again from the journal, for one subscriber that was away.
 *
 * One reader has one connection; it belongs to one thread at a time, which it blocks. Errors are
 * those of postgres/database.h where nothing else is said; what was handed over until then is
 * valid.
 */
#ifndef SLUICE_POSTGRES_JOURNAL_READER_H
#define SLUICE_POSTGRES_JOURNAL_READER_H

#include "event/pattern.h"
#include "postgres/database.h"
#include "postgres/journal.h"

struct journal_reader;

/* `settings` is borrowed. */
struct journal_reader *journal_reader_new(const struct postgres_settings *settings);
void journal_reader_free(struct journal_reader *reader);
/* Ends what is under way, and all later calls, with ERROR_CANCELLED. Thread: any. */
void journal_reader_interrupt(struct journal_reader *reader);
/* What the last failure was, fit for a log. Borrowed. */
const char *journal_reader_error(const struct journal_reader *reader);

/* Whose events. */
struct journal_selection {
	uint64_t feed_key;               /* feed->journal_key */
	const char *const *topics;       /* of the feed, in its order */
	const struct route_keys *routes; /* NULL: nobody is told apart */
};

/* Offsets [from, until) of one partition. */
struct journal_span {
	uint32_t topic; /* its number in the feed */
	int32_t partition;
	int64_t from, until;
	/* journal_reader_cover()'s: */
	int64_t first, next; /* the journal is complete for [first, next); both 0: it has nothing */
	int64_t recorded_us; /* nothing from `from` on was recorded before */
};

/* Fills in what the journal has of each span's partition. */
MUST_CHECK int journal_reader_cover(struct journal_reader *reader, uint64_t feed_key,
				    struct journal_span *spans, size_t count);

/*
 * Reads spans that lie within what journal_reader_cover() has found, merged by event time, topic
 * and partition, each partition in its order. `progress` is called with a span's `until` when
 * nothing more of it comes. Records with a route's hash are handed over: whether they have the
 * route itself is the caller's to see. 0: all is read. ERROR_LIMIT: `budget` records were;
 * ERROR_CANCELLED: `record` returned false (the record that it was given counts as taken) or the
 * reader was interrupted; ERROR_CONFLICT: the journal has not all of it any more: cover again.
 * About twice `bytes` are in memory at a time, and no less than one record a span.
 */
struct journal_visitor {
	bool (*record)(void *context, size_t span, const struct record *record);
	void (*progress)(void *context, size_t span, int64_t next);
	void *context;
};
MUST_CHECK int journal_reader_read(struct journal_reader *reader,
				   const struct journal_selection *selection,
				   const struct journal_span *spans, size_t count, size_t bytes,
				   uint64_t budget, const struct journal_visitor *visitor);

/* Where an event is in the merge of the partitions. */
struct journal_place {
	int64_t event_time;
	uint32_t topic;
	int32_t partition;
	int64_t offset;
};

/* The newest event that has this id of the payload's. ERROR_NOT_FOUND. */
MUST_CHECK int journal_reader_find(struct journal_reader *reader, uint64_t feed_key,
				   struct slice event_id, struct journal_place *place);

/* Moves each span's `from` on to the first event after `place` in the order of the merge, or to
 * `until` where there is none. */
MUST_CHECK int journal_reader_seek(struct journal_reader *reader,
				   const struct journal_selection *selection,
				   struct journal_span *spans, size_t count,
				   const struct journal_place *place);

/* Moves each span's `from` on so that the newest `n` events of the selection, or all that there
 * are, are left of all spans together: `found` of them. */
MUST_CHECK int journal_reader_last(struct journal_reader *reader,
				   const struct journal_selection *selection,
				   struct journal_span *spans, size_t count, uint32_t n,
				   uint64_t *found);

#endif
