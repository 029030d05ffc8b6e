/*
 * fuzz_token: arbitrary bytes as a token, as each place of a request that may carry one, and, past
 * the signature that no fuzzer finds, as claims.
 */
#include <stdint.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "auth/jwt_priv.h"
#include "base/buffer.h"

static char hs256[] = "HS256";
static char rs256[] = "RS256";
static char *algorithms[] = {hs256, rs256};
static char secret[] = "0123456789abcdef0123456789abcdef";
static char audience[] = "sluice";
static char cookie[] = "session";

static struct auth_issuer issuer = {
    .audience = audience,
    .algorithms = algorithms,
    .algorithm_count = 2,
    .secret = secret,
    .secret_len = sizeof(secret) - 1,
};
static struct auth_settings settings = {
    .issuers = &issuer,
    .issuer_count = 1,
    .cookie = cookie,
    .query = true,
    .leeway_ms = 1000,
};

static void ignore_change(void *context)
{
	(void)context;
}

static struct auth *open_auth(void)
{
	struct auth *auth;
	if (auth_new(&settings, ignore_change, NULL, &auth))
		abort();
	return auth;
}

static void verify(struct auth *auth, struct slice token)
{
	struct auth_identity identity;
	const char *reason = NULL;
	int result = auth_verify(auth, token, &identity, &reason);
	if (result == 0)
		auth_identity_fini(&identity);
	else if (!reason)
		abort();
}

static void check_claims(struct slice token)
{
	struct jwt jwt;
	int64_t expires_unix_ms;
	const char *reason = NULL;
	if (jwt_parse(token, &jwt, &reason))
		return;
	if (jwt_check_claims(&jwt, &issuer, 0, 1000, &expires_unix_ms, &reason) && !reason)
		abort();
	jwt_fini(&jwt);
}

/* The bytes in one place of the request at a time. */
static void find(struct auth *auth, struct slice bytes)
{
	for (int place = 0; place < 3; place++) {
		struct slice absent = {NULL, 0};
		struct buffer scratch = {0};
		struct slice token;
		int result = auth_find_token(&settings, place == 0 ? bytes : absent,
					     place == 1 ? bytes : absent,
					     place == 2 ? bytes : absent, &scratch, &token);
		if (result == 0)
			verify(auth, token);
		buffer_free(&scratch);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct auth *auth;
	struct slice bytes = {(const char *)data, size};
	if (!auth)
		auth = open_auth();
	verify(auth, bytes);
	check_claims(bytes);
	find(auth, bytes);
	return 0;
}
