#include "auth/auth.h"

#include <openssl/err.h>
#include <stdlib.h>

#include "auth/auth_priv.h"
#include "auth/jwks_fetch_priv.h"
#include "auth/jwt_priv.h"
#include "auth/token_registry_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* A refusal is remembered for so long that a client that tries again at once is not looked up
 * again, and so short that a clock that is a little behind does no harm. */
static const struct token_cache_limits usual_limits = {
    .refused = 4096,
    .wanted = 4096,
    .refused_ms = 10 * 1000,
    .failed_ms = 1000,
    .refusals_a_second = 100,
    .refusals_at_once = 1000,
};

struct auth {
	const struct auth_settings *settings;
	struct jwks_fetch *fetch;
	void (*on_change)(void *context);
	void *context;
	struct token_registry *registry; /* NULL: without PostgreSQL */
	struct jwks *secrets[];          /* by issuer; NULL: none */
};

/*
 * How far a token came with one issuer. Of the refusals of several issuers the one of the furthest
 * stage is told: it is the one that the token was meant for.
 */
enum stage { STAGE_ISSUER, STAGE_ALGORITHM, STAGE_SIGNATURE, STAGE_CLAIMS, STAGE_PENDING };

struct refusal {
	enum stage stage;
	int code;
	const char *reason;
};

static bool accepts_algorithm(const struct auth_issuer *issuer, const struct algorithm *algorithm)
{
	for (size_t i = 0; i < issuer->algorithm_count; i++) {
		if (strcmp(issuer->algorithms[i], algorithm->name) == 0)
			return true;
	}
	return false;
}

static bool may_be_from(const struct jwt *jwt, const struct auth_issuer *issuer)
{
	const char *iss = json_string_value(json_object_get(jwt->claims, "iss"));
	return !issuer->issuer || (iss && strcmp(iss, issuer->issuer) == 0);
}

/* 0 signed by a fetched key, ERROR_PENDING a fetch may bring the key, ERROR_INVALID. */
static int verify_fetched(struct auth *auth, size_t issuer, struct jwt *jwt)
{
	for (;;) {
		struct jwks *keys = jwks_fetch_keys(auth->fetch, issuer);
		enum jwks_demand demand = JWKS_DEMAND_REFUSED;
		int result = keys ? jwt_verify(jwt, keys) : ERROR_NOT_FOUND;
		if (result == ERROR_NOT_FOUND)
			demand = jwks_fetch_demand(auth->fetch, issuer, keys);
		jwks_unref(keys);
		if (demand == JWKS_DEMAND_PENDING)
			return ERROR_PENDING;
		if (demand == JWKS_DEMAND_REFUSED)
			return result ? ERROR_INVALID : 0;
	}
}

/* HS* is for the secret where there is one; all else is for the JWKS. */
static int verify_signature(struct auth *auth, size_t issuer, struct jwt *jwt)
{
	struct jwks *secret = auth->secrets[issuer];
	if (secret && jwt->algorithm->key_type == CJOSE_JWK_KTY_OCT)
		return jwt_verify(jwt, secret) ? ERROR_INVALID : 0;
	return verify_fetched(auth, issuer, jwt);
}

/* `*expires_unix_ms` is set on success, `*refusal` else. */
static bool is_accepted_by(struct auth *auth, size_t index, struct jwt *jwt,
			   int64_t *expires_unix_ms, struct refusal *refusal)
{
	const struct auth_issuer *issuer = &auth->settings->issuers[index];
	if (!may_be_from(jwt, issuer)) {
		*refusal = (struct refusal){STAGE_ISSUER, ERROR_INVALID,
					    "the token's issuer is not accepted"};
		return false;
	}
	if (!accepts_algorithm(issuer, jwt->algorithm)) {
		*refusal = (struct refusal){STAGE_ALGORITHM, ERROR_INVALID,
					    "the token's algorithm is not accepted"};
		return false;
	}
	int result = verify_signature(auth, index, jwt);
	if (result == ERROR_PENDING) {
		*refusal = (struct refusal){STAGE_PENDING, result,
					    "the key of the token's signature is not known yet"};
		return false;
	}
	if (result) {
		*refusal = (struct refusal){STAGE_SIGNATURE, result,
					    "the token's signature does not fit any known key"};
		return false;
	}
	refusal->stage = STAGE_CLAIMS;
	refusal->code = jwt_check_claims(jwt, issuer, clock_unix_ms(), auth->settings->leeway_ms,
					 expires_unix_ms, &refusal->reason);
	return refusal->code == 0;
}

static int verify_claims(struct auth *auth, struct jwt *jwt, struct auth_identity *identity,
			 const char **reason)
{
	struct refusal best = {STAGE_ISSUER, ERROR_INVALID, "the token's issuer is not accepted"};
	for (size_t i = 0; i < auth->settings->issuer_count; i++) {
		struct refusal refusal;
		int64_t expires_unix_ms;
		if (is_accepted_by(auth, i, jwt, &expires_unix_ms, &refusal)) {
			identity->claims = json_incref(jwt->claims);
			identity->expires_unix_ms = expires_unix_ms;
			return 0;
		}
		if (refusal.stage > best.stage)
			best = refusal;
	}
	*reason = best.reason;
	return best.code;
}

static int verify_jwt(struct auth *auth, struct slice token, struct auth_identity *identity,
		      const char **reason)
{
	struct jwt jwt;
	int result = jwt_parse(token, &jwt, reason);
	if (result)
		return result;
	/* A failed verification must not leave errors on this thread's queue: SSL_get_error() would
	 * take them for its own. */
	ERR_set_mark();
	result = verify_claims(auth, &jwt, identity, reason);
	ERR_pop_to_mark();
	jwt_fini(&jwt);
	return result;
}

static int check_revocation(struct auth *auth, struct auth_identity *identity, const char **reason)
{
	identity->holder = token_registry_hold(auth->registry, identity->claims);
	if (!token_registry_is_revoked(auth->registry, identity->holder))
		return 0;
	auth_identity_fini(identity);
	*reason = "the token has been revoked";
	return ERROR_INVALID;
}

/* The three parts of a compact JWS have two dots between them. */
static bool is_opaque(struct slice token)
{
	size_t dots = 0;
	for (size_t i = 0; i < token.len; i++)
		dots += token.base[i] == '.';
	return dots != 2;
}

int auth_verify(struct auth *auth, struct slice token, struct auth_identity *identity,
		const char **reason)
{
	struct auth_identity verified = {.holder = NULL};
	int result;
	if (auth->settings->opaque && auth->registry && is_opaque(token))
		return token_registry_verify(auth->registry, token, identity, reason);
	result = verify_jwt(auth, token, &verified, reason);
	if (!result && auth->registry)
		result = check_revocation(auth, &verified, reason);
	if (!result)
		*identity = verified;
	return result;
}

void auth_holder_free(struct auth_holder *holder)
{
	if (holder && holder->jti == HOLDER_IS_TOKEN)
		token_cache_release(holder);
	else
		free(holder);
}

void auth_identity_fini(struct auth_identity *identity)
{
	json_decref(identity->claims);
	identity->claims = NULL;
	auth_holder_free(identity->holder);
	identity->holder = NULL;
}

bool auth_is_revoked(struct auth *auth, const struct auth_holder *holder)
{
	return holder && token_registry_is_revoked(auth->registry, holder);
}

uint64_t auth_revocation_generation(const struct auth *auth)
{
	return auth->registry ? token_registry_generation(auth->registry) : 0;
}

void auth_counts(struct auth *auth, size_t *tokens, size_t *revocations)
{
	*tokens = *revocations = 0;
	if (auth->registry)
		token_registry_counts(auth->registry, tokens, revocations);
}

bool auth_ready(struct auth *auth, char why[256])
{
	return jwks_fetch_ready(auth->fetch, why);
}

/* NULL: all is well. */
static const char *find_issuer_fault(const struct auth_issuer *issuer)
{
	if (issuer->algorithm_count == 0)
		return "it lists no algorithm";
	if (issuer->jwks_file && issuer->jwks_url)
		return "it has both a JWKS file and a JWKS URL";
	if (!issuer->secret && !issuer->jwks_file && !issuer->jwks_url)
		return "it has neither a secret nor a JWKS file or URL";
	for (size_t i = 0; i < issuer->algorithm_count; i++) {
		const struct algorithm *algorithm = algorithm_find(issuer->algorithms[i]);
		if (!algorithm)
			return "it lists an unknown algorithm";
		if (issuer->secret && algorithm->key_type == CJOSE_JWK_KTY_OCT &&
		    issuer->secret_len < algorithm->hash_bytes)
			return "its secret is shorter than its algorithm's hash (RFC 7518, 3.2): "
			       "32 bytes for HS256, 48 for HS384, 64 for HS512";
	}
	return NULL;
}

static int check_issuers(const struct auth_settings *settings)
{
	for (size_t i = 0; i < settings->issuer_count; i++) {
		const char *name = settings->issuers[i].issuer;
		const char *fault = find_issuer_fault(&settings->issuers[i]);
		if (!fault)
			continue;
		log_event(LOG_ERROR, "auth", "an issuer cannot be used", LOG_INT("index", i),
			  LOG_STR("issuer", name ? name : ""), LOG_STR("reason", fault));
		return ERROR_INVALID;
	}
	return 0;
}

static void read_secrets(struct auth *auth)
{
	for (size_t i = 0; i < auth->settings->issuer_count; i++) {
		const struct auth_issuer *issuer = &auth->settings->issuers[i];
		if (issuer->secret && issuer->secret_len > 0)
			auth->secrets[i] =
			    jwks_of_secret((struct slice){issuer->secret, issuer->secret_len});
	}
}

int auth_new_limited(const struct auth_settings *settings, const struct jwks_fetch_limits *limits,
		     void (*on_change)(void *context), void *context, struct auth **auth)
{
	size_t count = settings->issuer_count;
	struct jwks_fetch *fetch;
	int result = check_issuers(settings);
	if (result)
		return result;
	result = jwks_fetch_new(settings, limits, on_change, context, &fetch);
	if (result)
		return result;
	*auth = mem_zalloc(sizeof(**auth) + count * sizeof((*auth)->secrets[0]));
	(*auth)->settings = settings;
	(*auth)->fetch = fetch;
	(*auth)->on_change = on_change;
	(*auth)->context = context;
	read_secrets(*auth);
	return 0;
}

int auth_new(const struct auth_settings *settings, void (*on_change)(void *context), void *context,
	     struct auth **auth)
{
	return auth_new_limited(settings, &jwks_fetch_limits_default, on_change, context, auth);
}

void auth_use_postgres(struct auth *auth, const struct postgres_settings *postgres,
		       struct notifications *notifications)
{
	struct token_cache_limits limits = usual_limits;
	const struct token_registry_parts parts = {
	    .postgres = postgres,
	    .notifications = notifications,
	    .limits = auth->settings->opaque ? &limits : NULL,
	    .on_change = auth->on_change,
	    .context = auth->context,
	};
	limits.known = auth->settings->opaque_cache;
	auth->registry = token_registry_new(&parts);
}

void auth_free(struct auth *auth)
{
	if (auth->registry)
		token_registry_free(auth->registry);
	jwks_fetch_free(auth->fetch);
	for (size_t i = 0; i < auth->settings->issuer_count; i++)
		jwks_unref(auth->secrets[i]);
	free(auth);
}
