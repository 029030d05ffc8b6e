/*
 * revocations: the JWT ids and the subjects that are revoked, as PostgreSQL has them.
 *
 * They are found by a hash that is keyed with a secret of the process, so that a stream keeps 8
 * bytes of each of its names. There are as many as the operator has revoked and not yet let expire:
 * to forget one would be to let its bearer in. Thread: any.
 */
#ifndef SLUICE_AUTH_REVOCATIONS_PRIV_H
#define SLUICE_AUTH_REVOCATIONS_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "postgres/tokens.h"

struct revocations;

struct revocations *revocations_new(void);
void revocations_free(struct revocations *revocations);

/* Never REVOCATIONS_NO_HASH. */
enum { REVOCATIONS_NO_HASH = 0 };
uint64_t revocations_hash(const struct revocations *revocations, enum tokens_kind kind,
			  struct slice value);

/* In the place of what was known of it. True: it says more than before, and may end streams. */
bool revocations_set(struct revocations *revocations, const struct tokens_revocation *revocation);
void revocations_remove(struct revocations *revocations, enum tokens_kind kind, struct slice value);
/* Takes everything over from `newer`, which is freed. */
void revocations_replace(struct revocations *revocations, struct revocations *newer);
/* One that replaces this later, empty, with the same hashes. */
struct revocations *revocations_new_like(const struct revocations *revocations);

/*
 * Is one of the two revoked: the JWT's own id, or its subject after it was issued? A subject's
 * revocation holds for what was issued before it or at its time. REVOCATIONS_NO_HASH: it has no
 * such name.
 */
bool revocations_hold(struct revocations *revocations, uint64_t jti, uint64_t subject,
		      int64_t issued_us, int64_t now_us);

size_t revocations_count(struct revocations *revocations);

#endif
