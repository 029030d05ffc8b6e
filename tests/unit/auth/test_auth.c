#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/jwt_priv.h"
#include "base/clock.h"
#include "base/log.h"
#include "unit/auth/signer.h"

#define ISSUER   "https://issuer.example"
#define LEEWAY_S 60

static struct signer secret;
static struct signer rsa;
static struct signer other_rsa;
static struct signer p256;
static struct signer p384;
static struct signer p521;
static char jwks_path[] = "/tmp/sluice-test-auth-XXXXXX";

static char *all_algorithms[] = {(char[]){"HS256"}, (char[]){"HS384"}, (char[]){"HS512"},
				 (char[]){"RS256"}, (char[]){"RS384"}, (char[]){"RS512"},
				 (char[]){"PS256"}, (char[]){"PS384"}, (char[]){"PS512"},
				 (char[]){"ES256"}, (char[]){"ES384"}, (char[]){"ES512"}};
static char issuer_name[] = ISSUER;
static char audience[] = "sluice";

static void ignore_change(void *context)
{
	(void)context;
}

/* One issuer with everything: a secret, and an RSA and three EC keys in a file. */
static struct auth_issuer whole_issuer(void)
{
	return (struct auth_issuer){
	    .issuer = issuer_name,
	    .audience = audience,
	    .algorithms = all_algorithms,
	    .algorithm_count = 12,
	    .secret = secret.secret,
	    .secret_len = sizeof(secret.secret),
	    .jwks_file = jwks_path,
	};
}

static struct auth *open_auth(struct auth_settings *settings, struct auth_issuer *issuers,
			      size_t count)
{
	struct auth *auth = NULL;
	*settings = (struct auth_settings){
	    .issuers = issuers, .issuer_count = count, .leeway_ms = LEEWAY_S * 1000};
	assert_int_equal(auth_new(settings, ignore_change, NULL, &auth), 0);
	return auth;
}

/* Claims that hold, for an hour, and `more`: members that begin with a comma. Owned by the caller.
 */
static char *good_claims(const char *more)
{
	char *text;
	if (asprintf(&text,
		     "{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\",\"sub\":\"u\",\"exp\":%lld%s}",
		     (long long)(clock_unix_ms() / 1000 + 3600), more) < 0)
		abort();
	return text;
}

/* RFC 6750, 3: error_description may hold these characters alone. */
static void assert_is_description(const char *reason)
{
	assert_non_null(reason);
	for (const char *at = reason; *at; at++)
		assert_true(*at >= 0x20 && *at <= 0x7e && *at != '"' && *at != '\\');
}

/* A key that is not there makes the file be read again: what counts is the answer after that. */
static int verify(struct auth *auth, struct slice token, const char **reason)
{
	struct auth_identity identity = {NULL, -1, NULL};
	int result;
	*reason = NULL;
	while ((result = auth_verify(auth, token, &identity, reason)) == ERROR_PENDING)
		usleep(100);
	if (result) {
		assert_null(identity.claims);
		assert_int_equal(identity.expires_unix_ms, -1);
		assert_is_description(*reason);
	} else {
		assert_non_null(identity.claims);
		auth_identity_fini(&identity);
	}
	assert_int_equal(ERR_peek_error(), 0);
	return result;
}

/* Frees the token. */
static void assert_refused(struct auth *auth, char *token, int code, const char *expected)
{
	const char *reason;
	assert_int_equal(verify(auth, slice_of(token), &reason), code);
	assert_string_equal(reason, expected);
	free(token);
}

static void assert_accepted(struct auth *auth, char *token)
{
	const char *reason;
	int result = verify(auth, slice_of(token), &reason);
	if (result)
		fail_msg("refused: %s", reason);
	free(token);
}

static const struct {
	const char *algorithm;
	const struct signer *signer;
	const char *kid;
} good_pairs[] = {
    {"HS256", &secret, NULL}, {"HS384", &secret, NULL}, {"HS512", &secret, NULL},
    {"RS256", &rsa, "rsa"},   {"RS384", &rsa, "rsa"},   {"RS512", &rsa, "rsa"},
    {"PS256", &rsa, "rsa"},   {"PS384", &rsa, "rsa"},   {"PS512", &rsa, "rsa"},
    {"ES256", &p256, "p256"}, {"ES384", &p384, "p384"}, {"ES512", &p521, "p521"},
};

/* Every algorithm verifies, with the key named by `kid` and without. */
static void test_auth_each_algorithm_with_its_key_is_accepted(void **state)
{
	struct auth_settings settings;
	struct auth_issuer issuer = whole_issuer();
	struct auth *auth = open_auth(&settings, &issuer, 1);
	char *claims = good_claims("");
	(void)state;
	for (size_t i = 0; i < 12; i++) {
		assert_accepted(auth, signer_token(good_pairs[i].signer, good_pairs[i].algorithm,
						   good_pairs[i].kid, claims));
		assert_accepted(auth, signer_token(good_pairs[i].signer, good_pairs[i].algorithm,
						   NULL, claims));
	}
	free(claims);
	auth_free(auth);
}

/* An algorithm that the issuer doesn't list is refused, though the key and the signature are right.
 */
static void test_auth_algorithm_that_is_not_listed_is_refused(void **state)
{
	struct auth_settings settings;
	struct auth_issuer issuer = whole_issuer();
	char *claims = good_claims("");
	(void)state;
	for (size_t i = 0; i < 12; i++) {
		issuer.algorithms = &all_algorithms[(i + 1) % 12];
		issuer.algorithm_count = 1;
		struct auth *auth = open_auth(&settings, &issuer, 1);
		assert_refused(auth,
			       signer_token(good_pairs[i].signer, good_pairs[i].algorithm,
					    good_pairs[i].kid, claims),
			       ERROR_INVALID, "the token's algorithm is not accepted");
		auth_free(auth);
	}
	free(claims);
}

/* A changed bit anywhere in header, claims or signature ends in a refusal. */
static void test_auth_token_with_one_changed_character_is_refused(void **state)
{
	struct auth_settings settings;
	struct auth_issuer issuer = whole_issuer();
	struct auth *auth = open_auth(&settings, &issuer, 1);
	char *claims = good_claims("");
	(void)state;
	for (size_t i = 0; i < 12; i += 2) {
		char *token = signer_token(good_pairs[i].signer, good_pairs[i].algorithm,
					   good_pairs[i].kid, claims);
		/* The last character of a part may carry bits that mean nothing. */
		for (size_t at = 0; at + 2 < strlen(token); at += 5) {
			const char *reason;
			char before = token[at];
			if (before == '.' || token[at + 1] == '.')
				continue;
			token[at] = before == 'A' ? 'B' : 'A';
			assert_int_not_equal(verify(auth, slice_of(token), &reason), 0);
			token[at] = before;
		}
		assert_accepted(auth, token);
	}
	free(claims);
	auth_free(auth);
}

/* Every prefix of a token is refused: shorter signatures of HMAC, RSA and EC too. */
static void test_auth_truncated_token_is_refused(void **state)
{
	struct auth_settings settings;
	struct auth_issuer issuer = whole_issuer();
	struct auth *auth = open_auth(&settings, &issuer, 1);
	char *claims = good_claims("");
	(void)state;
	for (size_t i = 0; i < 12; i++) {
		char *token = signer_token(good_pairs[i].signer, good_pairs[i].algorithm,
					   good_pairs[i].kid, claims);
		const char *reason;
		for (size_t len = 0; len < strlen(token); len++)
			assert_int_equal(verify(auth, (struct slice){token, len}, &reason),
					 ERROR_INVALID);
		free(token);
	}
	free(claims);
	auth_free(auth);
}

/* The public key in PEM, as an attacker who has it would use it for a secret. */
static struct signer confused_signer(const struct signer *victim)
{
	struct signer attacker = {0};
	char *pem;
	BIO *bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PUBKEY(bio, victim->pair);
	assert_true(BIO_get_mem_data(bio, &pem) >= (long)sizeof(attacker.secret));
	memcpy(attacker.secret, pem, sizeof(attacker.secret));
	BIO_free(bio);
	return attacker;
}

/* HS256 never verifies with a public key, whatever the header names (RFC 8725, 2.1). */
static void test_auth_hmac_with_a_public_key_is_refused(void **state)
{
	struct auth_settings settings;
	struct auth_issuer issuer = whole_issuer();
	char *claims = good_claims("");
	struct signer attacker = confused_signer(&rsa);
	(void)state;
	issuer.secret = NULL;
	struct auth *auth = open_auth(&settings, &issuer, 1);
	assert_refused(auth, signer_token(&attacker, "HS256", "rsa", claims), ERROR_INVALID,
		       "the token's signature does not fit any known key");
	auth_free(auth);
	free(claims);
}

static const char signature_reason[] = "the token's signature does not fit any known key";
static const char algorithm_reason[] = "the token's algorithm is not accepted";
static const char parts_reason[] = "the token is not three parts of base64url";
static const char header_reason[] = "the token's header is not a JSON object";
static const char claims_reason[] = "the token's claims are not a JSON object";
static const char crit_reason[] = "the token's header has crit, which is not supported";

/* Headers that lie, each signed by the secret as if by HS256. */
static void test_auth_hostile_headers_are_refused(void **state)
{
	static const struct {
		const char *header;
		const char *reason;
	} rows[] = {
	    {"{\"alg\":\"none\"}", algorithm_reason},
	    {"{\"alg\":\"NONE\"}", algorithm_reason},
	    {"{\"alg\":\"hs256\"}", algorithm_reason},
	    {"{\"alg\":\"HS256 \"}", algorithm_reason},
	    {"{\"alg\":\"EdDSA\"}", algorithm_reason},
	    {"{\"alg\":\"ES256K\"}", algorithm_reason},
	    {"{\"alg\":\"\"}", algorithm_reason},
	    {"{\"alg\":null}", algorithm_reason},
	    {"{\"alg\":[\"HS256\"]}", algorithm_reason},
	    {"{}", algorithm_reason},
	    {"{\"alg\":\"RS256\"}", signature_reason},
	    {"{\"alg\":\"ES256\"}", signature_reason},
	    {"{\"alg\":\"HS384\"}", signature_reason},
	    {"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", crit_reason},
	    {"{\"alg\":\"HS256\",\"crit\":null}", crit_reason},
	    {"{\"alg\":\"HS256\",\"b64\":false,\"crit\":[\"b64\"]}", crit_reason},
	    {"{\"alg\":\"HS256\",\"kid\":7}", "the token's kid is not a string"},
	    {"{\"alg\":\"none\",\"alg\":\"HS256\"}", header_reason},
	    {"[\"alg\",\"HS256\"]", header_reason},
	    {"\"HS256\"", header_reason},
	    {"{\"alg\":\"HS256\"", header_reason},
	    {"{\"alg\":\"HS256\"} x", header_reason},
	    {"{\"alg\":\"HS256\\u0000\"}", header_reason},
	    {"{\"alg\":\"HS256\xff\"}", header_reason},
	    {" ", header_reason},
	};
	struct auth_settings settings;
	struct auth_issuer issuer = whole_issuer();
	struct auth *auth = open_auth(&settings, &issuer, 1);
	char *claims = good_claims("");
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_refused(auth, signer_sign(&secret, "HS256", rows[i].header, claims),
			       ERROR_INVALID, rows[i].reason);
	free(claims);
	auth_free(auth);
}

/* A header's own key, or a place to get one, is not looked at (RFC 8725, 3.10). */
static void test_auth_key_inside_the_token_is_not_trusted(void **state)
{
	struct auth_settings settings;
	struct auth_issuer issuer = whole_issuer();
	struct auth *auth = open_auth(&settings, &issuer, 1);
	char *claims = good_claims("");
	char *header = signer_dump(json_pack("{s:s,s:s,s:o,s:s}", "alg", "RS256", "kid", "rsa",
					     "jwk", signer_jwk(&other_rsa, "rsa"), "jku",
					     "http://127.0.0.1:1/jwks.json"));
	(void)state;
	assert_refused(auth, signer_sign(&other_rsa, "RS256", header, claims), ERROR_INVALID,
		       signature_reason);
	free(header);
	free(claims);
	auth_free(auth);
}

/* A right signature by a key that the algorithm is not for: another curve (RFC 7518, 3.4). */
static void test_auth_algorithm_with_another_curve_is_refused(void **state)
{
	struct auth_settings settings;
	struct auth_issuer issuer = whole_issuer();
	struct auth *auth = open_auth(&settings, &issuer, 1);
	char *claims = good_claims("");
	(void)state;
	assert_refused(auth, signer_token(&p256, "ES384", "p256", claims), ERROR_INVALID,
		       signature_reason);
	assert_refused(auth, signer_token(&p521, "ES256", "p521", claims), ERROR_INVALID,
		       signature_reason);
	free(claims);
	auth_free(auth);
}

/* An EC signature has one length (RFC 7518, 3.4): a zero before each number is one signature too
 * many. */
static void test_auth_ec_signature_with_padded_numbers_is_refused(void **state)
{
	struct auth_settings settings;
	struct auth_issuer issuer = whole_issuer();
	struct auth *auth = open_auth(&settings, &issuer, 1);
	char *claims = good_claims("");
	char *token = signer_token(&p256, "ES256", "p256", claims);
	char *signature = strrchr(token, '.') + 1;
	uint8_t *numbers;
	uint8_t padded[66] = {0};
	size_t len;
	char *longer;
	(void)state;
	assert_true(cjose_base64url_decode(signature, strlen(signature), &numbers, &len, NULL));
	assert_int_equal(len, 64);
	memcpy(padded + 1, numbers, 32);
	memcpy(padded + 34, numbers + 32, 32);
	char *text = signer_base64url(padded, sizeof(padded));
	assert_true(asprintf(&longer, "%.*s%s", (int)(signature - token), token, text) > 0);
	assert_refused(auth, longer, ERROR_INVALID, signature_reason);
	assert_accepted(auth, token);
	free(text);
	free(numbers);
	free(claims);
	auth_free(auth);
}

/* `kid` picks the key: the wrong one is not replaced by the right one. */
static void test_auth_kid_of_another_key_is_refused(void **state)
{
	static const char *const kids[] = {"p256", "p384", "", "RSA", "rsa ", "../rsa"};
	struct auth_settings settings;
	struct auth_issuer issuer = whole_issuer();
	struct auth *auth = open_auth(&settings, &issuer, 1);
	char *claims = good_claims("");
	(void)state;
	for (size_t i = 0; i < sizeof(kids) / sizeof(kids[0]); i++)
		assert_refused(auth, signer_token(&rsa, "RS256", kids[i], claims), ERROR_INVALID,
			       signature_reason);
	free(claims);
	auth_free(auth);
}

/* What is not a compact JWS at all. */
static void test_auth_malformed_tokens_are_refused(void **state)
{
	static const struct {
		struct slice token;
		const char *reason;
	} rows[] = {
	    {SLICE_LIT(""), parts_reason},
	    {SLICE_LIT("."), parts_reason},
	    {SLICE_LIT(".."), parts_reason},
	    {SLICE_LIT("..."), parts_reason},
	    {SLICE_LIT("e30"), parts_reason},
	    {SLICE_LIT("e30.e30"), parts_reason},
	    {SLICE_LIT(".e30.e30"), parts_reason},
	    {SLICE_LIT("e30..e30"), parts_reason},
	    {SLICE_LIT("e30.e30.e30.e30"), parts_reason},
	    {SLICE_LIT("e30.e30.e30.e30.e30"), parts_reason},
	    {SLICE_LIT("A=aaaa.e30.e30"), parts_reason},
	    {SLICE_LIT("e30=.e30.e30"), parts_reason},
	    {SLICE_LIT("e30.e30.e30\0"), parts_reason},
	    {SLICE_LIT("\0"), parts_reason},
	    {SLICE_LIT("e30.e30.e30\n"), parts_reason},
	    {SLICE_LIT("e30\r\n.e30.e30"), parts_reason},
	    {SLICE_LIT(" e30.e30.e30"), parts_reason},
	    {SLICE_LIT("e3+.e3/.e30"), parts_reason},
	    {SLICE_LIT("\xc3\xa4.e30.e30"), parts_reason},
	    {SLICE_LIT("e30.e30.\xff\xfe"), parts_reason},
	    {SLICE_LIT("eyJhbGciOiJIUzI1NiJ9!.e30.e30"), parts_reason},
	    {SLICE_LIT("{\"alg\":\"none\"}.{}."), parts_reason},
	    {SLICE_LIT("a.e30.e30"), header_reason},
	    {SLICE_LIT("aaaaa.e30.e30"), header_reason},
	    {SLICE_LIT("e30.e30.e30"), algorithm_reason},
	    {SLICE_LIT("eyJhbGciOiJub25lIn0.e30."), algorithm_reason},
	    {SLICE_LIT("eyJhbGciOiJIUzI1NiJ9.a.e30"), claims_reason},
	    {SLICE_LIT("eyJhbGciOiJIUzI1NiJ9.W10.e30"), claims_reason},
	    {SLICE_LIT("eyJhbGciOiJIUzI1NiJ9.e30.aaaaa"), "the token's signature is not base64url"},
	    {SLICE_LIT("eyJhbGciOiJIUzI1NiJ9.e30."), "the token's issuer is not accepted"},
	};
	struct auth_settings settings;
	struct auth_issuer issuer = whole_issuer();
	struct auth *auth = open_auth(&settings, &issuer, 1);
	const char *reason;
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(verify(auth, rows[i].token, &reason), ERROR_INVALID);
		assert_string_equal(reason, rows[i].reason);
	}
	auth_free(auth);
}

/* 8192 bytes are the limit; what is longer is refused unread, though it is signed. */
static void test_auth_overlong_token_is_refused(void **state)
{
	struct auth_settings settings;
	struct auth_issuer issuer = whole_issuer();
	struct auth *auth = open_auth(&settings, &issuer, 1);
	char more[JWT_BYTES_MAX];
	(void)state;
	memset(more, 'x', sizeof(more));
	memcpy(more, ",\"x\":\"", 6);
	memcpy(more + 5900, "\"", 2);
	char *claims = good_claims(more);
	char *token = signer_token(&secret, "HS256", NULL, claims);
	assert_in_range(strlen(token), 7900, JWT_BYTES_MAX);
	assert_accepted(auth, token);
	free(claims);
	memset(more + 5900, 'x', sizeof(more) - 5900);
	memcpy(more + sizeof(more) - 2, "\"", 2);
	claims = good_claims(more);
	assert_refused(auth, signer_token(&secret, "HS256", NULL, claims), ERROR_INVALID,
		       "the token is longer than 8192 bytes");
	free(claims);
	auth_free(auth);
}

/* Claims that are signed well and say the wrong thing. */
static void test_auth_claims_rows_are_judged(void **state)
{
	static const char number_reason[] = "the token's exp or nbf is not a number";
	static const char audience_reason[] = "the token is for another audience";
	static const char issuer_reason[] = "the token's issuer is not accepted";
	static const struct {
		const char *claims; /* %lld is now, in seconds */
		int code;
		const char *reason;
	} rows[] = {
	    {"{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\"}", 0, NULL},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":[\"a\",\"sluice\"]}", 0, NULL},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":[7,null,\"sluice\"]}", 0, NULL},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\",\"exp\":9e300}", 0, NULL},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\",\"exp\":9223372036854775807}", 0, NULL},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\",\"exp\":%lld.5}", 0, NULL},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\",\"nbf\":%lld}", 0, NULL},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\",\"nbf\":-9e300}", 0, NULL},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":\"Sluice\"}", ERROR_INVALID, audience_reason},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":\"\"}", ERROR_INVALID, audience_reason},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":[]}", ERROR_INVALID, audience_reason},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":{\"x\":\"sluice\"}}", ERROR_INVALID, audience_reason},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":[[\"sluice\"]]}", ERROR_INVALID, audience_reason},
	    {"{\"iss\":\"" ISSUER "\"}", ERROR_INVALID, audience_reason},
	    {"{\"aud\":\"sluice\"}", ERROR_INVALID, issuer_reason},
	    {"{\"iss\":\"" ISSUER "/\",\"aud\":\"sluice\"}", ERROR_INVALID, issuer_reason},
	    {"{\"iss\":[\"" ISSUER "\"],\"aud\":\"sluice\"}", ERROR_INVALID, issuer_reason},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\",\"exp\":0}", ERROR_EXPIRED,
	     "the token has expired"},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\",\"exp\":-9e300}", ERROR_EXPIRED,
	     "the token has expired"},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\",\"exp\":\"%lld\"}", ERROR_INVALID,
	     number_reason},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\",\"exp\":null}", ERROR_INVALID,
	     number_reason},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\",\"nbf\":true}", ERROR_INVALID,
	     number_reason},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\",\"nbf\":9e300}", ERROR_INVALID,
	     "the token is not valid yet"},
	    {"{\"iss\":\"x\",\"iss\":\"" ISSUER "\",\"aud\":\"sluice\"}", ERROR_INVALID,
	     claims_reason},
	    {"{\"iss\":\"" ISSUER "\\u0000\",\"aud\":\"sluice\"}", ERROR_INVALID, claims_reason},
	    {"{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\",\"x\":\"\xff\"}", ERROR_INVALID,
	     claims_reason},
	    {"[]", ERROR_INVALID, claims_reason},
	    {"null", ERROR_INVALID, claims_reason},
	    {"x", ERROR_INVALID, claims_reason},
	};
	struct auth_settings settings;
	struct auth_issuer issuer = whole_issuer();
	struct auth *auth = open_auth(&settings, &issuer, 1);
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char claims[512];
		const char *place = strstr(rows[i].claims, "%lld");
		int before = place ? (int)(place - rows[i].claims) : (int)strlen(rows[i].claims);
		snprintf(claims, sizeof(claims), "%.*s", before, rows[i].claims);
		if (place)
			snprintf(claims + before, sizeof(claims) - (size_t)before, "%lld%s",
				 (long long)(clock_unix_ms() / 1000), place + 4);
		char *token = signer_token(&secret, "HS256", NULL, claims);
		if (rows[i].code)
			assert_refused(auth, token, rows[i].code, rows[i].reason);
		else
			assert_accepted(auth, token);
	}
	auth_free(auth);
}

/* The leeway goes to both sides, and the identity lives until the token would be refused. */
static void test_auth_leeway_moves_exp_and_nbf(void **state)
{
	static const struct {
		const char *claims; /* at 1000 s, with a leeway of 60 s */
		int code;
		int64_t expires_unix_ms;
	} rows[] = {
	    {"{\"exp\":1000}", 0, 1060000},
	    {"{\"exp\":940.001}", 0, 1000001},
	    {"{\"exp\":940}", ERROR_EXPIRED, 0},
	    {"{\"exp\":1}", ERROR_EXPIRED, 0},
	    {"{\"nbf\":1060}", 0, INT64_MAX},
	    {"{\"nbf\":1060.002}", ERROR_INVALID, 0},
	    {"{\"exp\":1e30}", 0, INT64_MAX},
	    {"{\"exp\":9223372036854775}", 0, INT64_MAX},
	    {"{}", 0, INT64_MAX},
	};
	struct auth_issuer issuer = {.issuer = NULL};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct jwt jwt = {.claims = json_loads(rows[i].claims, 0, NULL)};
		int64_t expires_unix_ms = 0;
		const char *reason;
		assert_int_equal(jwt_check_claims(&jwt, &issuer, 1000000, LEEWAY_S * 1000,
						  &expires_unix_ms, &reason),
				 rows[i].code);
		/* The last row but one is within the leeway of the end of time. */
		if (rows[i].expires_unix_ms == INT64_MAX)
			assert_true(expires_unix_ms >= INT64_MAX - 1000000);
		else
			assert_int_equal(expires_unix_ms, rows[i].expires_unix_ms);
		json_decref(jwt.claims);
	}
}

/* The claims come out as they went in, with the expiry in milliseconds. */
static void test_auth_identity_holds_claims_and_expiry(void **state)
{
	struct auth_settings settings;
	struct auth_issuer issuer = whole_issuer();
	struct auth *auth = open_auth(&settings, &issuer, 1);
	char *claims = good_claims(",\"roles\":[\"a\",\"b\"]");
	char *token = signer_token(&p256, "ES256", "p256", claims);
	struct auth_identity identity;
	const char *reason;
	(void)state;
	assert_int_equal(auth_verify(auth, slice_of(token), &identity, &reason), 0);
	json_t *expected = json_loads(claims, 0, NULL);
	assert_true(json_equal(identity.claims, expected));
	assert_int_equal(identity.expires_unix_ms,
			 (json_integer_value(json_object_get(expected, "exp")) + LEEWAY_S) * 1000);
	json_decref(expected);
	auth_identity_fini(&identity);
	free(token);
	free(claims);
	auth_free(auth);
}

/* Each token goes to the issuer that it names; one that no issuer's key fits is told so. */
static void test_auth_several_issuers_take_their_own_tokens(void **state)
{
	char second_name[] = "https://second.example";
	char second_audience[] = "second";
	struct auth_issuer issuers[] = {whole_issuer(), whole_issuer(), whole_issuer()};
	struct auth_settings settings;
	(void)state;
	issuers[0].secret = NULL;
	issuers[1].jwks_file = NULL;
	issuers[1].issuer = second_name;
	issuers[1].algorithm_count = 3;
	issuers[2].audience = second_audience;
	struct auth *auth = open_auth(&settings, issuers, 3);
	const char *second = "{\"iss\":\"https://second.example\",\"aud\":\"sluice\"}";
	assert_accepted(auth, signer_token(&rsa, "RS256", "rsa",
					   "{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\"}"));
	assert_accepted(auth, signer_token(&rsa, "RS256", "rsa",
					   "{\"iss\":\"" ISSUER "\",\"aud\":\"second\"}"));
	assert_accepted(auth, signer_token(&secret, "HS256", NULL, second));
	assert_refused(auth, signer_token(&rsa, "RS256", "rsa", second), ERROR_INVALID,
		       algorithm_reason);
	assert_refused(
	    auth, signer_token(&rsa, "RS256", "rsa", "{\"iss\":\"" ISSUER "\",\"aud\":\"third\"}"),
	    ERROR_INVALID, "the token is for another audience");
	assert_refused(
	    auth,
	    signer_token(&other_rsa, "RS256", "rsa", "{\"iss\":\"" ISSUER "\",\"aud\":\"sluice\"}"),
	    ERROR_INVALID, signature_reason);
	auth_free(auth);
}

/* An issuer without a name and an audience takes any token that its keys signed. */
static void test_auth_issuer_without_name_takes_any_iss(void **state)
{
	struct auth_settings settings;
	struct auth_issuer issuer = whole_issuer();
	issuer.issuer = NULL;
	issuer.audience = NULL;
	struct auth *auth = open_auth(&settings, &issuer, 1);
	(void)state;
	assert_accepted(auth, signer_token(&secret, "HS256", NULL, "{}"));
	assert_accepted(auth, signer_token(&secret, "HS256", NULL, "{\"iss\":7,\"aud\":[]}"));
	auth_free(auth);
}

/* Without any issuer every token is refused. */
static void test_auth_without_issuers_refuses_all(void **state)
{
	struct auth_settings settings;
	struct auth *auth = open_auth(&settings, NULL, 0);
	char why[256];
	(void)state;
	assert_refused(auth, signer_token(&secret, "HS256", NULL, "{}"), ERROR_INVALID,
		       "the token's issuer is not accepted");
	assert_true(auth_ready(auth, why));
	auth_free(auth);
}

/* Issuers that could never verify anything, or not safely, stop the start. */
static void test_auth_unusable_issuers_are_errors(void **state)
{
	char none[] = "none";
	char lower[] = "hs256";
	char *none_list[] = {none};
	char *lower_list[] = {lower};
	char missing[] = "/nonexistent/jwks.json";
	char empty[] = "/dev/null";
	char url[] = "ftp://127.0.0.1/jwks.json";
	char file_url[] = "file:///etc/passwd";
	struct auth_issuer rows[12];
	size_t count = 0;
	(void)state;
	for (size_t i = 0; i < 12; i++)
		rows[i] = whole_issuer();
	rows[count++].algorithm_count = 0;
	rows[count++].algorithms = none_list;
	rows[count - 1].algorithm_count = 1;
	rows[count++].algorithms = lower_list;
	rows[count - 1].algorithm_count = 1;
	rows[count++].secret_len = 63; /* HS512 wants 64 */
	rows[count++].jwks_url = url;  /* and a file */
	rows[count++].jwks_file = missing;
	rows[count++].jwks_file = empty;
	rows[count].jwks_url = url;
	rows[count++].jwks_file = NULL;
	rows[count].jwks_url = file_url;
	rows[count++].jwks_file = NULL;
	rows[count].jwks_file = NULL;
	rows[count++].secret = NULL;
	for (size_t i = 0; i < count; i++) {
		struct auth_settings settings = {.issuers = &rows[i], .issuer_count = 1};
		struct auth *auth = NULL;
		assert_int_equal(auth_new(&settings, ignore_change, NULL, &auth), ERROR_INVALID);
		assert_null(auth);
	}
}

/* The examples of RFC 7515, appendix A: what others signed verifies too, and has expired long ago.
 */
static void test_auth_examples_of_rfc7515_verify(void **state)
{
#define PAYLOAD                                                                                    \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp"  \
	"0cnVlfQ"
	static const struct {
		const char *key;
		const char *token;
	} rows[] = {
	    {"{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-"
	     "1qS0g"
	     "ZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}]}",
	     "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." PAYLOAD
	     ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
	    {"{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_"
	     "wW"
	     "JcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_"
	     "Yp"
	     "RPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"
	     "UTo"
	     "7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-"
	     "DWNmoudF8NAco"
	     "9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}]}",
	     "eyJhbGciOiJSUzI1NiJ9." PAYLOAD
	     ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt"
	     "_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
	     "nZLgrnbyTyWzO75vRK5h6xBArLIA"
	     "RNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"
	     "eOkHWEsqtFZESc6BfI7noOPqv"
	     "hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77R"
	     "w"},
	    {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":"
	     "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9"
	     "uPHvRVEU\",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}",
	     "eyJhbGciOiJFUzI1NiJ9." PAYLOAD
	     ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU"
	     "1Q"},
	};
	struct auth_issuer issuer = {.issuer = NULL};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct jwks *jwks;
		struct jwt jwt;
		int64_t expires_unix_ms;
		const char *reason;
		assert_int_equal(jwks_parse(slice_of(rows[i].key), &jwks, &reason), 0);
		assert_int_equal(jwt_parse(slice_of(rows[i].token), &jwt, &reason), 0);
		assert_int_equal(jwt_verify(&jwt, jwks), 0);
		assert_int_equal(
		    jwt_check_claims(&jwt, &issuer, clock_unix_ms(), 0, &expires_unix_ms, &reason),
		    ERROR_EXPIRED);
		jwt_fini(&jwt);
		jwks_unref(jwks);
	}
#undef PAYLOAD
}

static int make_keys(void **state)
{
	(void)state;
	log_set_level(LOG_WARN);
	secret = signer_new_secret();
	rsa = signer_new_rsa(2048);
	other_rsa = signer_new_rsa(2048);
	p256 = signer_new_ec("P-256", 32);
	p384 = signer_new_ec("P-384", 48);
	p521 = signer_new_ec("P-521", 66);
	char *text = signer_dump(json_pack("{s:[o,o,o,o]}", "keys", signer_jwk(&rsa, "rsa"),
					   signer_jwk(&p256, "p256"), signer_jwk(&p384, "p384"),
					   signer_jwk(&p521, "p521")));
	int file = mkstemp(jwks_path);
	ssize_t written = write(file, text, strlen(text));
	int result = written == (ssize_t)strlen(text) ? 0 : -1;
	close(file);
	free(text);
	return result;
}

static int free_keys(void **state)
{
	struct signer *signers[] = {&rsa, &other_rsa, &p256, &p384, &p521};
	(void)state;
	for (size_t i = 0; i < sizeof(signers) / sizeof(signers[0]); i++)
		signer_free(signers[i]);
	return unlink(jwks_path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_auth_each_algorithm_with_its_key_is_accepted),
	    cmocka_unit_test(test_auth_algorithm_that_is_not_listed_is_refused),
	    cmocka_unit_test(test_auth_token_with_one_changed_character_is_refused),
	    cmocka_unit_test(test_auth_truncated_token_is_refused),
	    cmocka_unit_test(test_auth_hmac_with_a_public_key_is_refused),
	    cmocka_unit_test(test_auth_hostile_headers_are_refused),
	    cmocka_unit_test(test_auth_key_inside_the_token_is_not_trusted),
	    cmocka_unit_test(test_auth_algorithm_with_another_curve_is_refused),
	    cmocka_unit_test(test_auth_ec_signature_with_padded_numbers_is_refused),
	    cmocka_unit_test(test_auth_kid_of_another_key_is_refused),
	    cmocka_unit_test(test_auth_malformed_tokens_are_refused),
	    cmocka_unit_test(test_auth_overlong_token_is_refused),
	    cmocka_unit_test(test_auth_claims_rows_are_judged),
	    cmocka_unit_test(test_auth_leeway_moves_exp_and_nbf),
	    cmocka_unit_test(test_auth_identity_holds_claims_and_expiry),
	    cmocka_unit_test(test_auth_several_issuers_take_their_own_tokens),
	    cmocka_unit_test(test_auth_issuer_without_name_takes_any_iss),
	    cmocka_unit_test(test_auth_without_issuers_refuses_all),
	    cmocka_unit_test(test_auth_unusable_issuers_are_errors),
	    cmocka_unit_test(test_auth_examples_of_rfc7515_verify),
	};
	return cmocka_run_group_tests_name("auth", tests, make_keys, free_keys);
}
