#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/err.h>

#include "auth/jwks_priv.h"
#include "unit/auth/signer.h"

static struct signer rsa;
static struct signer small_rsa;
static struct signer p256;
static struct signer secret;

/* Reads a set of one key, that of `signer` with `member` set to a JSON text (NULL: removed). */
static int parse_changed(const struct signer *signer, const char *member, const char *value,
			 struct jwks **jwks)
{
	json_t *key = signer_jwk(signer, "k");
	const char *why = NULL;
	if (value)
		json_object_set_new(key, member, json_loads(value, JSON_DECODE_ANY, NULL));
	else
		json_object_del(key, member);
	char *text = signer_dump(json_pack("{s:[o]}", "keys", key));
	int result = jwks_parse(slice_of(text), jwks, &why);
	assert_int_equal(result == 0, why == NULL);
	assert_int_equal(ERR_peek_error(), 0);
	free(text);
	return result;
}

/* What no key set is. */
static void test_jwks_malformed_texts_are_errors(void **state)
{
	static const struct slice rows[] = {
	    SLICE_LIT(""),
	    SLICE_LIT("\0"),
	    SLICE_LIT("{"),
	    SLICE_LIT("null"),
	    SLICE_LIT("[]"),
	    SLICE_LIT("{}"),
	    SLICE_LIT("{\"keys\":null}"),
	    SLICE_LIT("{\"keys\":{}}"),
	    SLICE_LIT("{\"keys\":\"\"}"),
	    SLICE_LIT("{\"keys\":[]}"),
	    SLICE_LIT("{\"keys\":[null,7,\"x\",[],{}]}"),
	    SLICE_LIT("{\"keys\":[{\"kty\":7}]}"),
	    SLICE_LIT("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}]}"),
	    SLICE_LIT("{\"keys\":[{\"kty\":\"rsa\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}"),
	    SLICE_LIT("{\"keys\":[{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"\"}]}"),
	    SLICE_LIT("{\"keys\":[{\"kty\":\"oct\",\"k\":\"\"}]}"),
	    SLICE_LIT("{\"keys\":[]} x"),
	    SLICE_LIT("\xff\xfe{\"keys\":[]}"),
	    SLICE_LIT("<html>502</html>"),
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct jwks *jwks = NULL;
		const char *why = NULL;
		assert_int_equal(jwks_parse(rows[i], &jwks, &why), ERROR_INVALID);
		assert_null(jwks);
		assert_non_null(why);
	}
}

/* One member that is wrong is enough for a key to be left out; some are nobody's business. */
static void test_jwks_key_with_one_changed_member_is_taken_or_left(void **state)
{
	const struct {
		const struct signer *signer;
		const char *member;
		const char *value; /* NULL: removed */
		bool taken;
	} rows[] = {
	    {&rsa, "kid", NULL, true},
	    {&rsa, "kid", "7", true},
	    {&rsa, "use", "\"sig\"", true},
	    {&rsa, "alg", "\"PS512\"", true},
	    {&rsa, "key_ops", "[\"sign\",\"verify\"]", true},
	    {&rsa, "x5c", "[\"=\"]", true},
	    {&rsa, "d", "\"A=aaaa\"", true},
	    {&rsa, "use", "\"enc\"", false},
	    {&rsa, "key_ops", "[\"encrypt\"]", false},
	    {&rsa, "key_ops", "[]", false},
	    {&rsa, "key_ops", "\"verify\"", false},
	    {&rsa, "alg", "\"RSA-OAEP\"", false},
	    {&rsa, "alg", "\"none\"", false},
	    {&rsa, "n", NULL, false},
	    {&rsa, "e", NULL, false},
	    {&rsa, "n", "7", false},
	    {&rsa, "n", "\"A=aaaa\"", false},
	    {&rsa, "n", "\"====\"", false},
	    {&rsa, "n", "\"a+b/\"", false},
	    {&rsa, "n", "\"A\"", false},
	    {&rsa, "e", "\"AQAB=\"", false},
	    {&small_rsa, "kid", NULL, false},
	    {&p256, "kid", NULL, true},
	    {&p256, "crv", NULL, false},
	    {&p256, "crv", "\"P-384\"", false},
	    {&p256, "crv", "\"secp256k1\"", false},
	    {&p256, "x", NULL, false},
	    {&p256, "y", NULL, false},
	    {&p256, "y", "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"", false},
	    {&p256, "x", "\"AA\"", false},
	    {&p256, "x", "\"A=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", false},
	    {&secret, "kid", NULL, true},
	    {&secret, "k", "\"A=aaaa\"", false},
	    {&secret, "k", "\"\\u00e4\"", false},
	    {&secret, "kty", "\"RSA\"", false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct jwks *jwks = NULL;
		int result = parse_changed(rows[i].signer, rows[i].member, rows[i].value, &jwks);
		if ((result == 0) != rows[i].taken)
			fail_msg("%s: %s", rows[i].member,
				 rows[i].value ? rows[i].value : "removed");
		jwks_unref(jwks);
	}
}

/* Bad keys don't take the good ones with them, and the good ones keep their kid and alg. */
static void test_jwks_mixed_set_keeps_the_usable_keys(void **state)
{
	json_t *last = signer_jwk(&p256, "last");
	json_object_set_new(last, "alg", json_string("ES256"));
	char *text = signer_dump(json_pack("{s:[o,o,s,o]}", "keys", signer_jwk(&rsa, "first"),
					   signer_jwk(&small_rsa, "small"), "x", last));
	struct jwks *jwks;
	const char *why;
	(void)state;
	assert_int_equal(jwks_parse(slice_of(text), &jwks, &why), 0);
	assert_int_equal(jwks->count, 2);
	assert_string_equal(jwks->keys[0].kid, "first");
	assert_null(jwks->keys[0].algorithm);
	assert_string_equal(jwks->keys[1].kid, "last");
	assert_ptr_equal(jwks->keys[1].algorithm, algorithm_find("ES256"));
	jwks_unref(jwks);
	free(text);
}

/* A set is limited: a token without kid is tried on each key. */
static void test_jwks_of_too_many_keys_is_an_error(void **state)
{
	json_t *keys = json_array();
	struct jwks *jwks = NULL;
	const char *why;
	(void)state;
	for (size_t i = 0; i < JWKS_KEYS_MAX; i++)
		json_array_append_new(keys, signer_jwk(&secret, NULL));
	char *text = signer_dump(json_pack("{s:O}", "keys", keys));
	assert_int_equal(jwks_parse(slice_of(text), &jwks, &why), 0);
	assert_int_equal(jwks->count, JWKS_KEYS_MAX);
	jwks_unref(jwks);
	free(text);
	json_array_append_new(keys, signer_jwk(&secret, NULL));
	text = signer_dump(json_pack("{s:o}", "keys", keys));
	assert_int_equal(jwks_parse(slice_of(text), &jwks, &why), ERROR_INVALID);
	free(text);
}

/* Type, curve, length and the key's own alg decide which algorithms it may be used with. */
static void test_jwks_key_fits_its_own_algorithms_alone(void **state)
{
	static const char *const names[] = {"HS256", "HS384", "HS512", "RS256", "RS384", "RS512",
					    "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"};
	const struct {
		const struct signer *signer;
		const char *own;  /* its alg, NULL: none */
		const char *fits; /* a letter for each name: y or n */
	} rows[] = {
	    {&secret, "null", "yyynnnnnnnnn"},    {&rsa, "null", "nnnyyyyyynnn"},
	    {&p256, "null", "nnnnnnnnnynn"},      {&secret, "\"HS384\"", "nynnnnnnnnnn"},
	    {&rsa, "\"PS256\"", "nnnnnnynnnnn"},  {&rsa, "\"HS256\"", "nnnnnnnnnnnn"},
	    {&p256, "\"ES384\"", "nnnnnnnnnnnn"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct jwks *jwks;
		assert_int_equal(parse_changed(rows[i].signer, "alg", rows[i].own, &jwks), 0);
		for (size_t at = 0; at < 12; at++)
			assert_int_equal(jwks_key_fits(&jwks->keys[0], algorithm_find(names[at])),
					 rows[i].fits[at] == 'y');
		jwks_unref(jwks);
	}
}

/* A secret serves the hashes that it is long enough for (RFC 7518, 3.2). */
static void test_jwks_secret_shorter_than_the_hash_does_not_fit(void **state)
{
	struct jwks *jwks = jwks_of_secret((struct slice){secret.secret, 48});
	(void)state;
	assert_true(jwks_key_fits(&jwks->keys[0], algorithm_find("HS256")));
	assert_true(jwks_key_fits(&jwks->keys[0], algorithm_find("HS384")));
	assert_false(jwks_key_fits(&jwks->keys[0], algorithm_find("HS512")));
	jwks_unref(jwks);
}

static int make_keys(void **state)
{
	(void)state;
	rsa = signer_new_rsa(2048);
	small_rsa = signer_new_rsa(1024);
	p256 = signer_new_ec("P-256", 32);
	secret = signer_new_secret();
	return 0;
}

static int free_keys(void **state)
{
	(void)state;
	signer_free(&rsa);
	signer_free(&small_rsa);
	signer_free(&p256);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_jwks_malformed_texts_are_errors),
	    cmocka_unit_test(test_jwks_key_with_one_changed_member_is_taken_or_left),
	    cmocka_unit_test(test_jwks_mixed_set_keeps_the_usable_keys),
	    cmocka_unit_test(test_jwks_of_too_many_keys_is_an_error),
	    cmocka_unit_test(test_jwks_key_fits_its_own_algorithms_alone),
	    cmocka_unit_test(test_jwks_secret_shorter_than_the_hash_does_not_fit),
	};
	return cmocka_run_group_tests_name("jwks", tests, make_keys, free_keys);
}
