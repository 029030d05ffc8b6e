/*
 * tokens: what PostgreSQL remembers of opaque tokens and of revocations.
 *
 * Of a token only its SHA-256 is there. Times are microseconds since 1970, as exact as PostgreSQL
 * has them: a token that is made right after a revocation is told from one right before. Every
 * change of a row is told on the channel TOKENS_CHANNEL by the tables' triggers. Errors that are
 * not named are database.h's.
 */
#ifndef SLUICE_POSTGRES_TOKENS_H
#define SLUICE_POSTGRES_TOKENS_H

#include "postgres/database.h"

/* Payloads: "token:<SHA-256 in hex>", "jti:<value>", "subject:<value>". */
#define TOKENS_CHANNEL "sluice_auth"

enum {
	TOKENS_SHA256_BYTES = 32,
	TOKENS_MAX_CLAIMS_BYTES = 8192,
	TOKENS_MAX_NAME_CHARS = 255, /* of a subject, of a jti */
};

#define TOKENS_NEVER INT64_MAX

/* Slices are borrowed for the call of the visitor. */
struct tokens_row {
	int64_t id;
	struct slice sha256;
	struct slice subject;
	struct slice claims; /* a JSON object; base NULL: longer than TOKENS_MAX_CLAIMS_BYTES */
	int64_t created_us;
	int64_t expires_us; /* TOKENS_NEVER */
	int64_t revoked_us; /* TOKENS_NEVER */
};
typedef void (*tokens_visit)(void *context, const struct tokens_row *row);

struct tokens_new {
	struct slice sha256;
	struct slice subject;
	struct slice claims;
	int64_t expires_us; /* TOKENS_NEVER */
};

/* `*id` is the row's. */
MUST_CHECK int tokens_create(struct database *database, const struct tokens_new *token,
			     int64_t *id);
/* In the order of the ids; `subject` base NULL: everybody's. */
MUST_CHECK int tokens_list(struct database *database, struct slice subject, tokens_visit visit,
			   void *context);
/* Those of these that there are, in any order: `count` digests one after the other. */
enum { TOKENS_MAX_FOUND = 512 };
MUST_CHECK int tokens_find(struct database *database, const uint8_t *sha256, size_t count,
			   tokens_visit visit, void *context);
/* One that is revoked already stays so. ERROR_NOT_FOUND: there is no such token. */
MUST_CHECK int tokens_revoke(struct database *database, int64_t id);

enum tokens_kind { TOKENS_JTI, TOKENS_SUBJECT };

struct tokens_revocation {
	enum tokens_kind kind;
	struct slice value; /* borrowed for the call of the visitor */
	int64_t revoked_us;
	int64_t expires_us; /* TOKENS_NEVER */
};
typedef void (*tokens_visit_revocation)(void *context, const struct tokens_revocation *revocation);

/*
 * Revokes a JWT by its jti until `expires_us`, or everything that was issued to a subject before
 * now: its opaque tokens for good, its JWTs until `expires_us`. `*tokens` is the number of opaque
 * tokens that it revoked. Revocations that have expired are removed.
 */
MUST_CHECK int tokens_revoke_jti(struct database *database, struct slice jti, int64_t expires_us);
MUST_CHECK int tokens_revoke_subject(struct database *database, struct slice subject,
				     int64_t expires_us, uint64_t *tokens);

/* All that have not expired. */
MUST_CHECK int tokens_list_revocations(struct database *database, tokens_visit_revocation visit,
				       void *context);
/* The visitor is called at most once: it has been removed, or has expired, where it is not. */
MUST_CHECK int tokens_find_revocation(struct database *database, enum tokens_kind kind,
				      struct slice value, tokens_visit_revocation visit,
				      void *context);
/* Revocations that have expired. */
MUST_CHECK int tokens_remove_expired(struct database *database, uint64_t *removed);

#endif
