/*
 * journal: what its writer and its readers must agree upon.
 *
 * A journaled feed has an id of its own in this database (journal_feed.feed_id), found by the
 * feed's journal_key. Each event has one row a route key, with the key's hash; events of a feed
 * without route keys have JOURNAL_NO_ROUTE. A row holds the record itself, so that what is replayed
 * goes through the same filter and mapping as what is live. migrations/README.md documents the
 * tables.
 */
#ifndef SLUICE_POSTGRES_JOURNAL_H
#define SLUICE_POSTGRES_JOURNAL_H

#include "base/buffer.h"
#include "base/error.h"
#include "event/pattern.h"
#include "event/record.h"

enum { JOURNAL_NO_ROUTE = 0 };

/* The hash of a route key, the same in every process and version; never JOURNAL_NO_ROUTE. */
int64_t journal_route(struct slice route_key);

/* Ids of the payload that are longer, or no text that PostgreSQL takes, are stored as null: an
 * index entry has an end. */
enum { JOURNAL_MAX_EVENT_ID = 1024 };

/* Headers as one bytea: for each u32 name length, name, u32 value length (0xffffffff: null), value;
 * big-endian. Without headers: nothing, stored as null. */
void journal_headers_encode(const struct record *record, struct buffer *out);
enum { JOURNAL_MAX_HEADERS = 1024 };
/* Points into `bytes`. The number of headers, or ERROR_INVALID. */
MUST_CHECK int journal_headers_decode(struct slice bytes,
				      struct record_header headers[JOURNAL_MAX_HEADERS]);

/* Route keys as one bytea: for each u32 length and key; big-endian. Beside a record whose value is
 * left out, from which they can't be computed again. */
void journal_routes_encode(const struct route_keys *routes, struct buffer *out);
/* Replaces *routes. Errors: ERROR_INVALID; then there are none. */
MUST_CHECK int journal_routes_decode(struct slice bytes, struct route_keys *routes);

/* A journaled feed, as the writer declares it and a reader looks it up. */
struct journal_feed {
	uint64_t key; /* feed->journal_key */
	const char *stream;
	const char *const *topics;
	uint32_t topic_count;
};

#endif
