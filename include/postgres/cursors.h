/*
 * cursors: where a subject's named cursors stand, in PostgreSQL.
 *
 * A cursor belongs to a subject, a stream, the values of the stream's parameters and a name. A
 * stream that is opened with it claims it: it gets a generation that no other has had, and only the
 * saves of the newest generation count. So of two streams with one cursor the one that was opened
 * later wins, on whichever replica; and a cursor that was deleted does not come back by a save.
 *
 * Errors of what talks to the database: database.h's. Thread: the database's.
 */
#ifndef SLUICE_POSTGRES_CURSORS_H
#define SLUICE_POSTGRES_CURSORS_H

#include <stdio.h>

#include "postgres/database.h"

/* "cursors" of the configuration. */
struct cursors_settings {
	uint32_t save_ms;     /* how often the positions of open streams are saved */
	uint64_t forget_ms;   /* one that was not used for so long is deleted */
	uint32_t per_subject; /* how many a subject may have */
};

enum { CURSORS_MAX_NAME_BYTES = 255, CURSORS_MAX_SUBJECT_BYTES = 255 };

/* All are UTF-8 without NUL. */
struct cursors_key {
	struct slice subject, stream, name;
	struct slice parameters; /* a text that is the same for the same values */
};

/*
 * Claims the cursor, made where there is none. `event_id` is where it stands from now on; base
 * NULL: where it stood. *generation is the claim's, above 0; `stored` gets where it stands, and
 * nothing where that was never saved. Errors: ERROR_LIMIT: the subject has `per_subject` others.
 */
MUST_CHECK int cursors_claim(struct database *database, const struct cursors_key *key,
			     struct slice event_id, uint32_t per_subject, int64_t *generation,
			     struct buffer *stored);
/* Saves those whose generation is still the newest: *saved of them. No generation comes twice. */
MUST_CHECK int cursors_save(struct database *database, const int64_t *generations,
			    const struct slice *event_ids, size_t count, uint64_t *saved);
/* Deletes up to `limit` that were not used for so long. */
MUST_CHECK int cursors_forget(struct database *database, uint64_t unused_ms, uint32_t limit,
			      uint64_t *forgotten);

/* NULL: any. */
struct cursors_choice {
	const char *subject, *stream, *name;
};
/* A line of JSON each, in the order of subject, stream and name. */
MUST_CHECK int cursors_print(struct database *database, const struct cursors_choice *choice,
			     FILE *out);
MUST_CHECK int cursors_delete(struct database *database, const struct cursors_choice *choice,
			      uint64_t *deleted);

#endif
