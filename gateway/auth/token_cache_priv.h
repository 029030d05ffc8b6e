/*
 * token_cache: the opaque tokens that PostgreSQL was asked about, by their SHA-256. It asks nobody
 * itself: token_registry.c does, in batches.
 *
 *     WANTED    somebody waits for it to be asked about
 *     ASKED     it is being asked about
 *     KNOWN     it is good, or was until it expired
 *     REFUSED   it is not, or could not be looked up; forgotten after a while
 *
 * A known token that a stream holds stays; of the others the one that was not used for the longest
 * time goes first. What a peer makes up is bounded: as REFUSED, as WANTED, and in how many of them
 * PostgreSQL is asked about a second, beyond which unknown tokens are not looked up at all. Thread:
 * any.
 */
#ifndef SLUICE_AUTH_TOKEN_CACHE_PRIV_H
#define SLUICE_AUTH_TOKEN_CACHE_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/holder_priv.h"
#include "postgres/tokens.h"

struct token_cache_limits {
	size_t known; /* beside those that streams hold */
	size_t refused;
	size_t wanted;
	uint32_t refused_ms; /* how long a refusal is remembered */
	uint32_t failed_ms;  /* how long it is not asked again after a failure */
	uint32_t refusals_a_second;
	uint32_t refusals_at_once;
};

struct token_cache;

/* `limits` is copied. */
struct token_cache *token_cache_new(const struct token_cache_limits *limits);
/* No holder is left. */
void token_cache_free(struct token_cache *cache);

/* What a good token gives. */
struct token_grant {
	struct auth_holder *holder; /* the caller's to token_cache_release() */
	char *claims;               /* a JSON object; the caller's to free() */
	int64_t expires_us;
};

/*
 * `*run` is set where the caller has to see to it that token_cache_take() is called. Errors:
 * ERROR_PENDING; ERROR_INVALID, ERROR_EXPIRED; ERROR_UNAVAILABLE: it could not be looked up;
 * ERROR_LIMIT: too many are asked about, or were made up. `reason` as auth_verify()'s.
 */
MUST_CHECK int token_cache_verify(struct token_cache *cache, const uint8_t *sha256, uint64_t now_ms,
				  int64_t now_us, struct token_grant *grant, bool *run,
				  const char **reason);
void token_cache_release(struct auth_holder *holder);
/* It was revoked, removed or changed since the holder was given. */
bool token_cache_has_lost(const struct auth_holder *holder);

/*
 * The runner: takes what is wanted, up to `max` digests one after the other, asks, puts what there
 * is, and ends the batch, over and over until there is nothing to take. Then the next one who wants
 * something is told to run. One thread at a time.
 */
size_t token_cache_take(struct token_cache *cache, uint8_t *sha256, size_t max);
/* `subject`: revocations_hash(). */
void token_cache_put(struct token_cache *cache, const struct tokens_row *row, uint64_t subject,
		     uint64_t now_ms);
/* Those of the batch that were not put are refused; with `failed` they could not be looked up. */
void token_cache_end(struct token_cache *cache, bool failed, uint64_t now_ms);

/*
 * Rows have changed. token_cache_touch(): this one, true where it is to be read again and given to
 * token_cache_refresh(); token_cache_touch_all(): any, returns the digests of those, the caller's
 * to free(), with `*count`. Others are asked about anew, when they are needed.
 */
bool token_cache_touch(struct token_cache *cache, const uint8_t *sha256);
uint8_t *token_cache_touch_all(struct token_cache *cache, size_t *count);
/* `row` NULL: there is none. True: it is no longer what its holders were given, and they have lost
 * it. */
bool token_cache_refresh(struct token_cache *cache, const uint8_t *sha256,
			 const struct tokens_row *row, uint64_t subject);

/* Known ones, those that streams hold too. */
size_t token_cache_count(struct token_cache *cache);

#endif
