/* fuzz_jwks: arbitrary bytes as a JWK set; each key that is taken is used once. */
#include <stdint.h>
#include <stdlib.h>

#include "auth/jwks_priv.h"
#include "auth/jwt_priv.h"

/* {"alg":"RS256"}, {"alg":"ES256"}, {"alg":"HS256"}, each with the claims {} and a signature that
 * fits none. */
static const char *const tokens[] = {
    "eyJhbGciOiJSUzI1NiJ9.e30.AAAA",
    ("eyJhbGciOiJFUzI1NiJ9.e30."
     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    "eyJhbGciOiJIUzI1NiJ9.e30.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
};

static void try_tokens(const struct jwks *jwks)
{
	for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
		struct jwt jwt;
		const char *reason;
		if (jwt_parse(slice_of(tokens[i]), &jwt, &reason))
			abort();
		if (jwt_verify(&jwt, jwks) == 0)
			abort();
		jwt_fini(&jwt);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jwks *jwks;
	const char *why = NULL;
	if (jwks_parse((struct slice){(const char *)data, size}, &jwks, &why) == 0) {
		try_tokens(jwks);
		jwks_unref(jwks);
	} else if (!why) {
		abort();
	}
	return 0;
}
