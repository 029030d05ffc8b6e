/*
 * filter_set: the checks of one subject, by stream, made of its rows of user_filter. Immutable once
 * made. Thread: one at a time.
 */
#ifndef SLUICE_HTTP_FILTER_SET_PRIV_H
#define SLUICE_HTTP_FILTER_SET_PRIV_H

#include "event/stream.h"
#include "feed/checks.h"
#include "postgres/user_filters.h"

struct filter_set;

/* Without rows: it narrows nothing. */
struct filter_set *filter_set_new(void);
/* NULL is allowed. */
void filter_set_free(struct filter_set *set);

/*
 * Takes in a row; those of one stream come one after the other. Rows for streams that do not ask
 * for them are left out. One that cannot be used closes the stream for the subject, and is logged.
 */
void filter_set_add(struct filter_set *set, struct stream *const *streams, size_t stream_count,
		    const struct user_filters_row *row);
/* After the last row. */
void filter_set_finish(struct filter_set *set);

/* NULL: nothing narrows. The reference is the set's. */
struct checks *filter_set_checks(const struct filter_set *set, const struct stream *stream);
/* Where the rows of a stream are the same in both, `set` gets the other's checks: whoever has them
 * need not change. NULL is allowed for `older`. */
void filter_set_keep_same(struct filter_set *set, const struct filter_set *older);

#endif
