/*
 * jwt: one token (RFC 7519) as a compact JWS (RFC 7515, 3.1), taken apart and checked. It knows no
 * issuers and no fetching.
 *
 * Reasons are constant texts fit for an error_description (RFC 6750, 3): printable ASCII without
 * quote and backslash.
 */
#ifndef SLUICE_AUTH_JWT_PRIV_H
#define SLUICE_AUTH_JWT_PRIV_H

#include <jansson.h>
#include <stdint.h>

#include "auth/auth.h"
#include "auth/jwks_priv.h"

#define JWT_BYTES_MAX 8192

struct jwt {
	json_t *header;
	json_t *claims; /* not to be believed before jwt_verify() */
	const struct algorithm *algorithm;
	const char *kid; /* borrowed from the header; NULL: none */
	cjose_jws_t *jws;
	size_t signature_bytes;
};

/* Errors: ERROR_INVALID, with the reason; `jwt` is untouched then. Thread: any. */
MUST_CHECK int jwt_parse(struct slice token, struct jwt *jwt, const char **reason);
void jwt_fini(struct jwt *jwt);

/*
 * Checks the signature with every key of the set that fits the token's algorithm and `kid` (a key
 * without `kid` fits any). Thread: the jwt's owner; the set may be shared. Errors: ERROR_INVALID:
 * the key that `kid` names is there, and it is not its signature; ERROR_NOT_FOUND: no such key, or
 * the token names none: a newer set may help.
 */
MUST_CHECK int jwt_verify(struct jwt *jwt, const struct jwks *jwks);

/*
 * Checks iss, aud, exp and nbf (RFC 7519, 4.1). `*expires_unix_ms` is when this check would begin
 * to fail: exp plus the leeway; INT64_MAX: never. Errors: ERROR_INVALID, ERROR_EXPIRED, with the
 * reason. Thread: any.
 */
MUST_CHECK int jwt_check_claims(const struct jwt *jwt, const struct auth_issuer *issuer,
				int64_t now_unix_ms, uint32_t leeway_ms, int64_t *expires_unix_ms,
				const char **reason);

#endif
