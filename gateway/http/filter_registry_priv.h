/*
 * filter_registry_priv: the registry, as the loops see it. Each has a struct filter_loop, and a
 * struct filter_hold for each of its open streams that may be narrowed.
 *
 * Thread: any, but a hold is its loop's.
 */
#ifndef SLUICE_HTTP_FILTER_REGISTRY_PRIV_H
#define SLUICE_HTTP_FILTER_REGISTRY_PRIV_H

#include "feed/checks.h"
#include "http/filter_registry.h"

struct filter_subject;

/* A loop's: the holds whose checks have changed. Zero-initialise. */
struct filter_loop {
	struct filter_hold *changed;
};

struct filter_hold {
	struct filter_subject *subject;
	const struct stream *stream;
	struct filter_loop *loop;
	struct filter_hold *next, **link; /* of the subject's */
	struct filter_hold *next_changed;
	bool changed;
};

/*
 * Is it known what narrows the subject? 0, or ERROR_PENDING: it is being read: ask again after
 * on_change; ERROR_UNAVAILABLE: it cannot be read now; ERROR_LIMIT: too many are being read.
 */
MUST_CHECK int filter_registry_ask(struct filter_registry *registry, struct slice subject);
/*
 * Holds a subject for a stream: its filters are kept up to date until filter_registry_drop().
 * *checks is a reference of the caller's, or NULL: nothing narrows it. Errors: as above.
 */
MUST_CHECK int filter_registry_hold(struct filter_registry *registry, struct filter_loop *loop,
				    struct slice subject, const struct stream *stream,
				    struct filter_hold *hold, struct checks **checks);
void filter_registry_drop(struct filter_registry *registry, struct filter_hold *hold);

/* The loop's next hold with other checks (as above); NULL: there is none. */
struct filter_hold *filter_registry_next_changed(struct filter_registry *registry,
						 struct filter_loop *loop, struct checks **checks);

#endif
