#include "auth/algorithm_priv.h"

#include <string.h>

static const struct algorithm algorithms[] = {
    {"HS256", CJOSE_JWK_KTY_OCT, 32, CJOSE_JWK_EC_INVALID},
    {"HS384", CJOSE_JWK_KTY_OCT, 48, CJOSE_JWK_EC_INVALID},
    {"HS512", CJOSE_JWK_KTY_OCT, 64, CJOSE_JWK_EC_INVALID},
    {"RS256", CJOSE_JWK_KTY_RSA, 32, CJOSE_JWK_EC_INVALID},
    {"RS384", CJOSE_JWK_KTY_RSA, 48, CJOSE_JWK_EC_INVALID},
    {"RS512", CJOSE_JWK_KTY_RSA, 64, CJOSE_JWK_EC_INVALID},
    {"PS256", CJOSE_JWK_KTY_RSA, 32, CJOSE_JWK_EC_INVALID},
    {"PS384", CJOSE_JWK_KTY_RSA, 48, CJOSE_JWK_EC_INVALID},
    {"PS512", CJOSE_JWK_KTY_RSA, 64, CJOSE_JWK_EC_INVALID},
    {"ES256", CJOSE_JWK_KTY_EC, 32, CJOSE_JWK_EC_P_256},
    {"ES384", CJOSE_JWK_KTY_EC, 48, CJOSE_JWK_EC_P_384},
    {"ES512", CJOSE_JWK_KTY_EC, 64, CJOSE_JWK_EC_P_521},
};

const struct algorithm *algorithm_find(const char *name)
{
	for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
		if (strcmp(algorithms[i].name, name) == 0)
			return &algorithms[i];
	}
	return NULL;
}
