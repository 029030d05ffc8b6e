/*
 * auth: who a token speaks for.
 *
 * JWT (RFC 7519) by libcjose. The key decides the algorithm: `alg` of a token must be one that the
 * configuration lists and that fits the key's type; "none" never passes (RFC 8725, 3.1 and 3.2).
 * Keys come from a secret, a JWKS file (RFC 7517) or a JWKS URL that a thread of its own fetches
 * and refreshes with libcurl.
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
	char *cookie;       /* the cookie that may carry a token; NULL: none */
	bool query;         /* whether ?token= and ?access_token= are read */
	uint32_t leeway_ms; /* clock skew allowed on exp and nbf */
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

/* What a valid token says. */
struct auth_identity {
	json_t *claims;          /* owned reference: the payload */
	int64_t expires_unix_ms; /* when auth_verify() would refuse it: exp plus the leeway;
				    INT64_MAX: never */
};
void auth_identity_fini(struct auth_identity *identity);

/*
 * Checks a compact JWS. `reason` is set on failure to a constant text fit for an error_description
 * (RFC 6750, 3). Never blocks. Thread: any. Errors: ERROR_INVALID malformed, unknown key, bad
 * signature, wrong iss/aud, not yet valid; ERROR_EXPIRED; ERROR_PENDING: the key is not known yet
 * and a fetch is under way: ask again after on_change, for 5 s at most; then treat it as
 * ERROR_INVALID.
 */
MUST_CHECK int auth_verify(struct auth *auth, struct slice token, struct auth_identity *identity,
			   const char **reason);

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

#endif
