/*
 * jwks: a set of keys (RFC 7517). Immutable once made and counted by references, so that a
 * verification goes on with the set that it took while a newer one takes its place.
 */
#ifndef SLUICE_AUTH_JWKS_PRIV_H
#define SLUICE_AUTH_JWKS_PRIV_H

#include <stdbool.h>

#include "auth/algorithm_priv.h"
#include "base/error.h"
#include "base/slice.h"

/* More keys than any issuer publishes: a token without `kid` is tried on each that fits. */
#define JWKS_KEYS_MAX 128

struct jwk {
	cjose_jwk_t *key;
	char *kid; /* NULL: none */
	const struct algorithm
	    *algorithm; /* the only one it may be used with; NULL: any that fits */
};

struct jwks {
	_Atomic unsigned refs;
	size_t count;
	struct jwk keys[];
};

/*
 * Reads a JWK set; `*jwks` gets a reference. Keys of an unknown type, with missing members, too
 * short, or not meant for verifying are left out (RFC 7517, 5); private members are not kept.
 * Thread: any. Errors: ERROR_INVALID where no usable key remains; `*why` is a constant text.
 */
MUST_CHECK int jwks_parse(struct slice text, struct jwks **jwks, const char **why);

/* A set of one symmetric key without `kid`; the secret is copied. Gives a reference. Thread: any.
 */
struct jwks *jwks_of_secret(struct slice secret);

struct jwks *jwks_ref(struct jwks *jwks);
/* NULL is allowed. */
void jwks_unref(struct jwks *jwks);

/* Whether the key's type, curve, length and own `alg` go with the algorithm (RFC 8725, 3.1).
 * Thread: any. */
bool jwks_key_fits(const struct jwk *key, const struct algorithm *algorithm);

#endif
