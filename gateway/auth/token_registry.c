/*
 * The happy path: verify() finds the token in the cache. One that is not there is WANTED; run() is
 * submitted to the worker where it is not at work yet, takes all that are wanted in batches, and
 * tells those who wait.
 *
 * A change is told by notified(), all of them at once by resync(); either goes through the
 * revocations or refreshes what is cached, and then, where somebody may have lost something, moves
 * the generation on, for the loops to look at their streams.
 */
#include "auth/token_registry_priv.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "auth/opaque_token.h"
#include "auth/revocations_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "postgres/worker.h"

enum { BATCH_TOKENS = 256, WARN_MS = 10000 };

_Static_assert((int)BATCH_TOKENS <= (int)TOKENS_MAX_FOUND, "one query");
_Static_assert((int)TOKENS_SHA256_BYTES == (int)OPAQUE_TOKEN_DIGEST_BYTES, "SHA-256");

struct token_registry {
	void (*on_change)(void *context);
	void *context;
	struct revocations *revocations;
	struct token_cache *cache; /* NULL: opaque tokens are not accepted; so the rest, too */
	struct worker *worker;
	struct worker_job job; /* the worker's while the cache has told somebody to run */
	struct log_limit warned;
	_Atomic uint64_t generation;
};

static int64_t now_us(void)
{
	return 1000 * clock_unix_ms();
}

static void tell(struct token_registry *registry, bool lost)
{
	if (lost)
		atomic_fetch_add(&registry->generation, 1);
	registry->on_change(registry->context);
}

/* Looking up. */

static uint64_t hash_subject(const struct token_registry *registry, const struct tokens_row *row)
{
	return revocations_hash(registry->revocations, TOKENS_SUBJECT, row->subject);
}

static void put(void *context, const struct tokens_row *row)
{
	struct token_registry *registry = context;

	token_cache_put(registry->cache, row, hash_subject(registry, row), clock_monotonic_ms());
}

/* The database itself tells of a lost connection. */
static void warn(struct token_registry *registry, const struct database *database)
{
	uint64_t suppressed;

	if (log_limit_pass(&registry->warned, WARN_MS, &suppressed))
		log_event(LOG_WARN, "tokens", "tokens cannot be looked up",
			  LOG_STR("reason", database_error(database)),
			  LOG_INT("suppressed", suppressed));
}

static void run(struct worker_job *job, struct database *database)
{
	struct token_registry *registry =
	    (struct token_registry *)((char *)job - offsetof(struct token_registry, job));
	uint8_t sha256[BATCH_TOKENS * TOKENS_SHA256_BYTES];
	size_t count;

	while ((count = token_cache_take(registry->cache, sha256, BATCH_TOKENS))) {
		int rc = database ? tokens_find(database, sha256, count, put, registry)
				  : ERROR_CANCELLED;

		if (rc == ERROR_POSTGRES)
			warn(registry, database);
		token_cache_end(registry->cache, rc != 0, clock_monotonic_ms());
		if (database)
			tell(registry, false);
	}
}

static int grant_identity(struct token_registry *registry, struct token_grant *grant,
			  struct auth_identity *identity, const char **reason)
{
	if (token_registry_is_revoked(registry, grant->holder)) {
		*reason = "the token has been revoked";
		token_cache_release(grant->holder);
		free(grant->claims);
		return ERROR_INVALID;
	}
	*identity = (struct auth_identity){
	    .claims = json_loads(grant->claims, 0, NULL),
	    .expires_unix_ms =
		grant->expires_us == TOKENS_NEVER ? INT64_MAX : grant->expires_us / 1000,
	    .holder = grant->holder,
	};
	free(grant->claims);
	return 0;
}

int token_registry_verify(struct token_registry *registry, struct slice token,
			  struct auth_identity *identity, const char **reason)
{
	uint8_t sha256[OPAQUE_TOKEN_DIGEST_BYTES];
	struct token_grant grant;
	bool must_run = false;
	int rc;

	assert(registry->cache);
	if (!opaque_token_has_form(token)) {
		*reason = "the token is neither a JWT nor one of this gateway's";
		return ERROR_INVALID;
	}
	opaque_token_digest(token, sha256);
	rc = token_cache_verify(registry->cache, sha256, clock_monotonic_ms(), now_us(), &grant,
				&must_run, reason);
	/* Refused: it has been stopped, and nobody waits any longer. */
	if (must_run && worker_submit(registry->worker, &registry->job))
		run(&registry->job, NULL);
	return rc ? rc : grant_identity(registry, &grant, identity, reason);
}

/* Revocation. */

static uint64_t hash_claim(const struct token_registry *registry, enum tokens_kind kind,
			   const json_t *claim)
{
	if (!json_is_string(claim))
		return REVOCATIONS_NO_HASH;
	return revocations_hash(
	    registry->revocations, kind,
	    (struct slice){json_string_value(claim), json_string_length(claim)});
}

/* NumericDate (RFC 7519, 2): seconds, maybe with a fraction. One that says nothing of it was issued
 * before everything. */
static int64_t read_issued_us(const json_t *claims)
{
	const json_t *iat = json_object_get(claims, "iat");
	double seconds = json_number_value(iat);

	if (!json_is_number(iat) || !(fabs(seconds) < 9e12))
		return INT64_MIN;
	return (int64_t)(seconds * 1e6);
}

struct auth_holder *token_registry_hold(struct token_registry *registry, const json_t *claims)
{
	struct auth_holder *holder = MEM_NEW(struct auth_holder);

	holder->jti = hash_claim(registry, TOKENS_JTI, json_object_get(claims, "jti"));
	holder->subject = hash_claim(registry, TOKENS_SUBJECT, json_object_get(claims, "sub"));
	holder->issued_us = read_issued_us(claims);
	return holder;
}

bool token_registry_is_revoked(struct token_registry *registry, const struct auth_holder *holder)
{
	bool is_token = holder->jti == HOLDER_IS_TOKEN;

	return (is_token && token_cache_has_lost(holder)) ||
	       revocations_hold(registry->revocations, is_token ? REVOCATIONS_NO_HASH : holder->jti,
				holder->subject, holder->issued_us, now_us());
}

/* Changes. */

struct refresh {
	struct token_registry *registry;
	const uint8_t *sha256;
	size_t count;
	bool *found; /* by their place in sha256 */
	bool lost;
};

static void refresh(void *context, const struct tokens_row *row)
{
	struct refresh *refreshed = context;
	struct token_registry *registry = refreshed->registry;

	for (size_t i = 0; i < refreshed->count; i++)
		if (!memcmp(refreshed->sha256 + i * TOKENS_SHA256_BYTES, row->sha256.base,
			    TOKENS_SHA256_BYTES))
			refreshed->found[i] = true;
	if (token_cache_refresh(registry->cache, (const uint8_t *)row->sha256.base, row,
				hash_subject(registry, row)))
		refreshed->lost = true;
}

/* At most a batch of them. */
static int refresh_tokens(struct token_registry *registry, struct database *database,
			  const uint8_t *sha256, size_t count, bool *lost)
{
	bool found[BATCH_TOKENS] = {false};
	struct refresh refreshed = {registry, sha256, count, found, *lost};
	int rc = tokens_find(database, sha256, count, refresh, &refreshed);

	for (size_t i = 0; !rc && i < count; i++)
		if (!found[i] &&
		    token_cache_refresh(registry->cache, sha256 + i * TOKENS_SHA256_BYTES, NULL, 0))
			refreshed.lost = true;
	*lost = refreshed.lost;
	return rc;
}

static int refresh_all(struct token_registry *registry, struct database *database, bool *lost)
{
	uint8_t *sha256;
	size_t count;
	int rc = 0;

	if (!registry->cache)
		return 0;
	sha256 = token_cache_touch_all(registry->cache, &count);
	for (size_t i = 0; !rc && i < count; i += BATCH_TOKENS)
		rc = refresh_tokens(registry, database, sha256 + i * TOKENS_SHA256_BYTES,
				    count - i < BATCH_TOKENS ? count - i : BATCH_TOKENS, lost);
	free(sha256);
	return rc;
}

static void set_revocation(void *revocations, const struct tokens_revocation *revocation)
{
	(void)revocations_set(revocations, revocation);
}

static int resync(void *context, struct database *database)
{
	struct token_registry *registry = context;
	struct revocations *newer = revocations_new_like(registry->revocations);
	int rc = tokens_list_revocations(database, set_revocation, newer);
	bool lost = true;

	if (rc) {
		revocations_free(newer);
		return rc;
	}
	revocations_replace(registry->revocations, newer);
	rc = refresh_all(registry, database, &lost);
	tell(registry, lost);
	return rc;
}

struct found_revocation {
	struct token_registry *registry;
	bool found;
	bool more;
};

static void find_revocation(void *context, const struct tokens_revocation *revocation)
{
	struct found_revocation *found = context;

	found->found = true;
	found->more = revocations_set(found->registry->revocations, revocation);
}

static int on_revocation(struct token_registry *registry, struct database *database,
			 enum tokens_kind kind, struct slice value)
{
	struct found_revocation found = {registry, false, false};
	int rc = tokens_find_revocation(database, kind, value, find_revocation, &found);

	if (rc)
		return rc;
	if (!found.found)
		revocations_remove(registry->revocations, kind, value);
	if (found.more)
		tell(registry, true);
	return 0;
}

static int hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static bool read_digest(struct slice hex, uint8_t *sha256)
{
	if (hex.len != 2 * TOKENS_SHA256_BYTES)
		return false;
	for (size_t i = 0; i < TOKENS_SHA256_BYTES; i++) {
		int high = hex_digit(hex.base[2 * i]), low = hex_digit(hex.base[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		sha256[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static int on_token(struct token_registry *registry, struct database *database, struct slice hex)
{
	uint8_t sha256[TOKENS_SHA256_BYTES];
	bool lost = false;
	int rc;

	if (!registry->cache || !read_digest(hex, sha256) ||
	    !token_cache_touch(registry->cache, sha256))
		return 0;
	rc = refresh_tokens(registry, database, sha256, 1, &lost);
	if (lost)
		tell(registry, true);
	return rc;
}

static bool cut_prefix(struct slice *text, struct slice prefix)
{
	if (text->len < prefix.len || memcmp(text->base, prefix.base, prefix.len))
		return false;
	*text = (struct slice){text->base + prefix.len, text->len - prefix.len};
	return true;
}

/* Whoever may connect to the database may notify: what is not understood is left alone. */
static int notified(void *context, struct database *database, struct slice payload)
{
	if (cut_prefix(&payload, SLICE_LIT("token:")))
		return on_token(context, database, payload);
	if (cut_prefix(&payload, SLICE_LIT("jti:")))
		return on_revocation(context, database, TOKENS_JTI, payload);
	if (cut_prefix(&payload, SLICE_LIT("subject:")))
		return on_revocation(context, database, TOKENS_SUBJECT, payload);
	return 0;
}

struct token_registry *token_registry_new(const struct token_registry_parts *parts)
{
	struct token_registry *registry = MEM_NEW(struct token_registry);
	const struct notifications_channel channel = {TOKENS_CHANNEL, resync, notified, registry};

	registry->on_change = parts->on_change;
	registry->context = parts->context;
	registry->revocations = revocations_new();
	notifications_add(parts->notifications, &channel);
	if (!parts->limits)
		return registry;
	registry->cache = token_cache_new(parts->limits);
	registry->job.run = run;
	registry->worker = worker_new(parts->postgres, "sluice tokens", 1);
	worker_start(registry->worker);
	return registry;
}

void token_registry_free(struct token_registry *registry)
{
	if (registry->cache) {
		worker_stop(registry->worker);
		worker_free(registry->worker);
		token_cache_free(registry->cache);
	}
	revocations_free(registry->revocations);
	free(registry);
}

uint64_t token_registry_generation(const struct token_registry *registry)
{
	return atomic_load(&registry->generation);
}

void token_registry_counts(struct token_registry *registry, size_t *tokens, size_t *revocations)
{
	*tokens = registry->cache ? token_cache_count(registry->cache) : 0;
	*revocations = revocations_count(registry->revocations);
}
