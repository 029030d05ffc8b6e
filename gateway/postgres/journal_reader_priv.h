/*
 * journal_reader_priv: what the files of journal_reader share.
 */
#ifndef SLUICE_POSTGRES_JOURNAL_READER_PRIV_H
#define SLUICE_POSTGRES_JOURNAL_READER_PRIV_H

#include "postgres/journal_reader.h"

enum { JOURNAL_READER_FEEDS = 64 };

struct journal_reader {
	struct database *database;
	/* Feeds that were looked up: a slot is found by the key. */
	struct {
		uint64_t key;
		int32_t id; /* 0: free */
	} feeds[JOURNAL_READER_FEEDS];
};

/* The feed's id in this database. ERROR_NOT_FOUND: the journal does not know it. */
MUST_CHECK int journal_reader_feed(struct journal_reader *reader, uint64_t key, int32_t *id);
/* It may have been declared anew. */
void journal_reader_forget_feed(struct journal_reader *reader, uint64_t key);

/* Spans and routes as parameters: the bytes of the arrays. */
struct journal_params {
	struct buffer topics, partitions, from, until, routes;
};
void journal_params_fini(struct journal_params *params);

enum { JOURNAL_SPAN_PARAMS = 4 };
/* Makes $2 to $5 of the statements: topics, partitions, from, until. */
void journal_params_spans(struct journal_params *params, const struct journal_span *spans,
			  size_t count, struct database_param to[JOURNAL_SPAN_PARAMS]);
/* Makes $6: the hashes of the routes. */
struct database_param journal_params_routes(struct journal_params *params,
					    const struct route_keys *routes);

/* journal_reader_merge.c's, for a test that looks at its plan. */
extern const struct database_statement journal_reader_read_statement;

#endif
