/*
 * user_filters: the table user_filter: patterns that narrow what a subject receives from a stream;
 * all rows of one subject and stream have to match.
 *
 * Every change of a row is told on the channel USER_FILTERS_CHANNEL, with the subject as its
 * payload, or an empty one for all. Errors that are not named are database.h's.
 */
#ifndef SLUICE_POSTGRES_USER_FILTERS_H
#define SLUICE_POSTGRES_USER_FILTERS_H

#include "postgres/database.h"

#define USER_FILTERS_CHANNEL "sluice_filters"

enum { USER_FILTERS_MAX_NAME_CHARS = 255, USER_FILTERS_MAX_PATTERN_BYTES = 64 * 1024 };

/* Slices are borrowed for the call of the visitor. */
struct user_filters_row {
	int64_t id;
	struct slice subject;
	struct slice stream;
	struct slice pattern; /* JSON; base NULL: longer than USER_FILTERS_MAX_PATTERN_BYTES */
	struct slice created; /* for people */
};
typedef void (*user_filters_visit)(void *context, const struct user_filters_row *row);

/* All rows of these subjects, ordered by subject, stream and id; of a subject and stream at most
 * `most`. */
MUST_CHECK int user_filters_load(struct database *database, const struct slice *subjects,
				 size_t count, uint32_t most, user_filters_visit visit,
				 void *context);

/* `subject` with base NULL: everybody's; by id. */
MUST_CHECK int user_filters_list(struct database *database, struct slice subject,
				 user_filters_visit visit, void *context);

/*
 * Adds a row, within the caller's transaction. On success `stored` (replaced) is the pattern as it
 * is read back. Errors: ERROR_LIMIT: the subject has `most` rows for the stream already.
 */
MUST_CHECK int user_filters_add(struct database *database, const struct user_filters_row *row,
				uint32_t most, int64_t *id, struct buffer *stored);

/* ERROR_NOT_FOUND. */
MUST_CHECK int user_filters_remove(struct database *database, int64_t id);

#endif
