/*
 * journal_writer, inside.
 *
 * journal_writer.c: life, and the batch's way into the database. journal_rows.c: rows in COPY's
 * binary format. journal_offsets.c: where parts begin, and how they are moved without rows.
 * journal_feeds.c: feeds and their tables. journal_ranges.c: the tables' partitions by time.
 */
#ifndef SLUICE_POSTGRES_JOURNAL_WRITER_PRIV_H
#define SLUICE_POSTGRES_JOURNAL_WRITER_PRIV_H

#include "postgres/journal_writer.h"

/* A feed that was declared here. */
struct journal_writer_feed {
	int32_t id;
	uint64_t retain_ms;
	uint64_t covered_until_ms; /* monotonic: tables for rows are there until then */
	uint64_t due_ms;           /* monotonic: of the next maintenance */
};

struct journal_writer {
	struct database *database;
	struct journal_writer_feed *feeds;
	size_t feed_count;
	struct journal_part **parts; /* of the batch */
	size_t part_count, part_capacity;
	uint64_t rows;
	struct buffer copy; /* rows in COPY's binary format, without header and trailer */
	bool copying;       /* a transaction is open, and so many bytes of `copy` were sent */
	size_t sent;
	struct buffer headers, left_out, scratch[7];
	struct {
		int64_t *items;
		size_t count, capacity;
	} routes; /* of the record that is added */
	uint64_t stale_due_ms;
};

/* COPY's binary format (PostgreSQL's documentation, COPY, "Binary Format"). */
extern const struct slice journal_rows_header, journal_rows_trailer;
extern const char journal_rows_copy[];
void journal_rows_append(struct journal_writer *writer, const struct journal_part *part,
			 const struct record *record, const struct route_keys *routes,
			 struct slice event_id);

/* Makes tables for rows that are recorded from now on, where a feed of the batch lacks them. */
MUST_CHECK int journal_ranges_cover(struct journal_writer *writer);
/* The feed's tables are not what was thought. */
void journal_ranges_forget(struct journal_writer *writer);

/* Begins a transaction that has the feed for itself; others are waited for a moment only. */
MUST_CHECK int journal_feeds_lock(struct journal_writer *writer, int32_t feed_id);
/* Commits where `rc` is 0, else rolls back and returns it. */
MUST_CHECK int journal_feeds_finish(struct journal_writer *writer, int rc);
/* Runs the statements and frees them. */
MUST_CHECK int journal_feeds_execute(struct journal_writer *writer, struct buffer *sql);
/* 0 for a lock that could not be had: it is due again soon. */
int journal_feeds_forgive(struct journal_writer *writer, int rc);
/* Says that the feed is still wanted. */
MUST_CHECK int journal_feeds_keep(struct journal_writer *writer, int32_t feed_id);
/* Removes feeds that nobody has wanted for as long as they retain. */
MUST_CHECK int journal_feeds_remove_stale(struct journal_writer *writer);

#endif
