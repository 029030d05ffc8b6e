/*
 * auth: who a token speaks for, and whether it still does.
 *
 * JWT (RFC 7519) by libcjose. The key decides the algorithm: `alg` of a token must be one that the
 * configuration lists and that fits the key's type; "none" never passes (RFC 8725, 3.1 and 3.2).
 * Keys come from a secret, a JWKS file (RFC 7517) or a JWKS URL that a thread of its own fetches
 * and refreshes with libcurl.
 *
 * Opaque tokens, and what is revoked of both kinds, are in PostgreSQL (postgres/tokens.h). A token
 * that was good has a holder: with it one asks later whether it still is.
 */
#ifndef SLUICE_AUTH_AUTH_H
#define SLUICE_AUTH_AUTH_H

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

/* One accepted issuer; read from the configuration by auth/auth_settings.c. All strings owned. */
struct auth_issuer {
	char *issuer;      /* `iss` must equal it; NULL: not looked at */
	char *audience;    /* `aud` must be or hold it; NULL: not looked at */
	char **algorithms; /* HS256 … ES512; never "none" */
	size_t algorithm_count;
	char *secret; /* for HS*, no shorter than their hash (RFC 7518, 3.2); NULL: none */
	size_t secret_len;
	char *jwks_file; /* a file or a URL, not both */
	char *jwks_url;
	char *jwks_ca_file;  /* NULL: the system's */
	uint32_t refresh_ms; /* of the URL and the file; 0: only when a key is missing */
};

struct auth_settings {
	struct auth_issuer *issuers;
	size_t issuer_count;
	char *cookie;          /* the cookie that may carry a token; NULL: none */
	bool query;            /* whether ?token= and ?access_token= are read */
	uint32_t leeway_ms;    /* clock skew allowed on exp and nbf */
	bool opaque;           /* whether tokens that are no JWT are looked up in PostgreSQL */
	uint32_t opaque_cache; /* how many of them are kept, beside those of open streams */
};

/* "auth", into a struct auth_settings. */
struct config_table;
extern const struct config_table auth_settings_table;

struct auth;

/*
 * Starts the fetching thread where a file or URL is configured. `settings` is borrowed for the life
 * of the auth. `on_change` is called from the fetching thread after a fetch ended (keys may have
 * changed, or the fetch failed): whoever waits on ERROR_PENDING asks again. Errors: ERROR_INVALID
 * (an issuer, key or JWKS file that cannot be used; it is logged, with the file's name and never
 * with key material).
 */
MUST_CHECK int auth_new(const struct auth_settings *settings, void (*on_change)(void *context),
			void *context, struct auth **auth);
void auth_free(struct auth *auth);

/*
 * Revocations count from now on, and opaque tokens where the settings say so. Adds a channel to
 * `notifications`, which is not started yet and stopped before auth_free(). `postgres` is borrowed
 * for the life of the auth. `on_change` is called from threads of postgres/, too.
 */
struct notifications;
struct postgres_settings;
void auth_use_postgres(struct auth *auth, const struct postgres_settings *postgres,
		       struct notifications *notifications);

struct auth_holder;

/* What a valid token says. */
struct auth_identity {
	json_t *claims;             /* owned reference: the payload */
	int64_t expires_unix_ms;    /* when auth_verify() would refuse it: exp plus the leeway;
				       INT64_MAX: never */
	struct auth_holder *holder; /* the caller's to auth_holder_free(); NULL: nothing can revoke
				       it */
};
void auth_identity_fini(struct auth_identity *identity);

/*
 * Checks a compact JWS or an opaque token. `reason` is set on failure to a constant text fit for an
 * error_description (RFC 6750, 3). Never blocks. Thread: any. Errors: ERROR_INVALID malformed,
 * unknown, revoked, unknown key, bad signature, wrong iss/aud, not yet valid; ERROR_EXPIRED;
 * ERROR_PENDING: the key or the token is not known yet and is being fetched: ask again after
 * on_change, for 5 s at most. ERROR_UNAVAILABLE: PostgreSQL cannot be asked now, and nothing is
 * known of the token; ERROR_LIMIT: it is not asked, because too many unknown tokens are being
 * tried. After these three the client may try again in a moment.
 */
MUST_CHECK int auth_verify(struct auth *auth, struct slice token, struct auth_identity *identity,
			   const char **reason);

/*
 * Was it revoked since? Whoever keeps a holder asks when it begins to rely on it, and again when
 * the generation is another: nothing was revoked as long as it is not. Thread: any.
 */
bool auth_is_revoked(struct auth *auth, const struct auth_holder *holder);
uint64_t auth_revocation_generation(const struct auth *auth);
/* NULL is allowed. Before auth_free(). Thread: any. */
void auth_holder_free(struct auth_holder *holder);

/*
 * The request's token, borrowed: `Authorization: Bearer` first, then the query (where allowed),
 * then the cookie. `authorization`, `cookie` and `query` are raw (base NULL: absent); a
 * percent-encoded query token is decoded into `scratch`. ERROR_NOT_FOUND: none. ERROR_INVALID: an
 * Authorization header that is not Bearer with one token.
 */
struct buffer;
MUST_CHECK int auth_find_token(const struct auth_settings *settings, struct slice authorization,
			       struct slice query, struct slice cookie, struct buffer *scratch,
			       struct slice *token);

/* True where every configured JWKS has been loaded at least once; else `why` (256 bytes) says which
 * is missing. */
bool auth_ready(struct auth *auth, char why[256]);

/* Opaque tokens and revocations that are in memory. Thread: any. */
void auth_counts(struct auth *auth, size_t *tokens, size_t *revocations);

#endif
