/*
 * signer: keys and tokens made by OpenSSL alone, so that the tests do not ask libcjose whether
 * libcjose is right.
 */
#ifndef SLUICE_TESTS_UNIT_AUTH_SIGNER_H
#define SLUICE_TESTS_UNIT_AUTH_SIGNER_H

#include <assert.h>
#include <cjose/base64.h>
#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct signer {
	EVP_PKEY *pair;          /* NULL: the secret is the key */
	size_t coordinate_bytes; /* EC */
	const char *curve;
	char secret[64];
};

static inline struct signer signer_new_rsa(unsigned bits)
{
	struct signer signer = {.pair = EVP_RSA_gen(bits)};
	assert(signer.pair);
	return signer;
}

static inline struct signer signer_new_ec(const char *curve, size_t coordinate_bytes)
{
	struct signer signer = {
	    .pair = EVP_EC_gen(curve), .coordinate_bytes = coordinate_bytes, .curve = curve};
	assert(signer.pair);
	return signer;
}

static inline struct signer signer_new_secret(void)
{
	struct signer signer = {0};
	memcpy(signer.secret, "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789ABCDEF",
	       sizeof(signer.secret));
	return signer;
}

static inline void signer_free(struct signer *signer)
{
	EVP_PKEY_free(signer->pair);
}

static inline char *signer_base64url(const void *bytes, size_t len)
{
	char *text;
	size_t text_len;
	bool done = cjose_base64url_encode(bytes, len, &text, &text_len, NULL);
	assert(done);
	return text;
}

static inline void signer_set_number(json_t *jwk, const char *name, const struct signer *signer,
				     const char *parameter)
{
	BIGNUM *number = NULL;
	unsigned char bytes[1024];
	int got = EVP_PKEY_get_bn_param(signer->pair, parameter, &number);
	assert(got == 1);
	int len = signer->coordinate_bytes ? (int)signer->coordinate_bytes : BN_num_bytes(number);
	BN_bn2binpad(number, bytes, len);
	char *text = signer_base64url(bytes, (size_t)len);
	json_object_set_new(jwk, name, json_string(text));
	free(text);
	BN_free(number);
}

/* The public key (or the secret) as a JWK; `kid` may be NULL. */
static inline json_t *signer_jwk(const struct signer *signer, const char *kid)
{
	json_t *jwk = json_pack("{s:s*}", "kid", kid);
	if (!signer->pair) {
		char *text = signer_base64url(signer->secret, sizeof(signer->secret));
		json_object_set_new(jwk, "kty", json_string("oct"));
		json_object_set_new(jwk, "k", json_string(text));
		free(text);
	} else if (signer->curve) {
		json_object_set_new(jwk, "kty", json_string("EC"));
		json_object_set_new(jwk, "crv", json_string(signer->curve));
		signer_set_number(jwk, "x", signer, OSSL_PKEY_PARAM_EC_PUB_X);
		signer_set_number(jwk, "y", signer, OSSL_PKEY_PARAM_EC_PUB_Y);
	} else {
		json_object_set_new(jwk, "kty", json_string("RSA"));
		signer_set_number(jwk, "n", signer, OSSL_PKEY_PARAM_RSA_N);
		signer_set_number(jwk, "e", signer, OSSL_PKEY_PARAM_RSA_E);
	}
	return jwk;
}

static inline char *signer_dump(json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	return text;
}

/* A JWK set of one key, as text. */
static inline char *signer_jwks(const struct signer *signer, const char *kid)
{
	return signer_dump(json_pack("{s:[o]}", "keys", signer_jwk(signer, kid)));
}

static inline const EVP_MD *signer_hash(const char *algorithm)
{
	if (strcmp(algorithm + 2, "384") == 0)
		return EVP_sha384();
	return strcmp(algorithm + 2, "512") == 0 ? EVP_sha512() : EVP_sha256();
}

static inline size_t signer_mac(const struct signer *signer, const char *algorithm,
				const char *input, unsigned char *out)
{
	unsigned len;
	HMAC(signer_hash(algorithm), signer->secret, sizeof(signer->secret),
	     (const unsigned char *)input, strlen(input), out, &len);
	return len;
}

/* DER to the two numbers side by side (RFC 7518, 3.4). */
static inline size_t signer_flatten(const struct signer *signer, unsigned char *signature,
				    size_t len)
{
	const unsigned char *at = signature;
	int bytes = (int)signer->coordinate_bytes;
	ECDSA_SIG *numbers = d2i_ECDSA_SIG(NULL, &at, (long)len);
	BN_bn2binpad(ECDSA_SIG_get0_r(numbers), signature, bytes);
	BN_bn2binpad(ECDSA_SIG_get0_s(numbers), signature + bytes, bytes);
	ECDSA_SIG_free(numbers);
	return 2 * signer->coordinate_bytes;
}

static inline size_t signer_digest_sign(const struct signer *signer, const char *algorithm,
					const char *input, unsigned char *out, size_t room)
{
	EVP_PKEY_CTX *options;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t len = room;
	EVP_DigestSignInit(context, &options, signer_hash(algorithm), NULL, signer->pair);
	if (algorithm[0] == 'P') {
		EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST);
	}
	int done = EVP_DigestSign(context, out, &len, (const unsigned char *)input, strlen(input));
	assert(done == 1);
	EVP_MD_CTX_free(context);
	return algorithm[0] == 'E' ? signer_flatten(signer, out, len) : len;
}

/* Signs header and claims as they are, whatever they say. `algorithm` is what is done. Owned by the
 * caller. */
static inline char *signer_sign(const struct signer *signer, const char *algorithm,
				const char *header, const char *claims)
{
	char *parts[3];
	char *input;
	char *token;
	unsigned char signature[1024];
	parts[0] = signer_base64url(header, strlen(header));
	parts[1] = signer_base64url(claims, strlen(claims));
	if (asprintf(&input, "%s.%s", parts[0], parts[1]) < 0)
		abort();
	size_t len = signer->pair ? signer_digest_sign(signer, algorithm, input, signature,
						       sizeof(signature))
				  : signer_mac(signer, algorithm, input, signature);
	parts[2] = signer_base64url(signature, len);
	if (asprintf(&token, "%s.%s", input, parts[2]) < 0)
		abort();
	for (size_t i = 0; i < 3; i++)
		free(parts[i]);
	free(input);
	return token;
}

/* The same with a header of `alg` and `kid` (NULL: none). */
static inline char *signer_token(const struct signer *signer, const char *algorithm,
				 const char *kid, const char *claims)
{
	char *header = signer_dump(json_pack("{s:s,s:s*}", "alg", algorithm, "kid", kid));
	char *token = signer_sign(signer, algorithm, header, claims);
	free(header);
	return token;
}

#endif
