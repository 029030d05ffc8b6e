#include "auth/jwt_priv.h"

#include <stdlib.h>

/* Header, payload and signature, still encoded. */
enum part { PART_HEADER, PART_CLAIMS, PART_SIGNATURE, PART_COUNT };

static bool is_base64url(char byte)
{
	return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
	       (byte >= '0' && byte <= '9') || byte == '-' || byte == '_';
}

/*
 * libcjose is only shown what passes here: it takes "=" for the end of a part, and version 0.6.2.1
 * asserts where one stands after the first character of a group.
 */
static bool split_token(struct slice token, struct slice parts[PART_COUNT])
{
	size_t part = 0;
	parts[0] = (struct slice){token.base, 0};
	for (size_t i = 0; i < token.len; i++) {
		if (is_base64url(token.base[i])) {
			parts[part].len++;
			continue;
		}
		if (token.base[i] != '.' || ++part == PART_COUNT)
			return false;
		parts[part] = (struct slice){token.base + i + 1, 0};
	}
	return part == PART_SIGNATURE && parts[PART_HEADER].len > 0 && parts[PART_CLAIMS].len > 0;
}

/* NULL: not base64url of a JSON object, or a member stands twice (RFC 7515, 4). */
static json_t *decode_object(struct slice part)
{
	uint8_t *text;
	size_t len;
	if (!cjose_base64url_decode(part.base, part.len, &text, &len, NULL))
		return NULL;
	json_t *object = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, NULL);
	cjose_get_dealloc()(text);
	if (object && !json_is_object(object)) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static int read_header(struct jwt *jwt, struct slice part, const char **reason)
{
	jwt->header = decode_object(part);
	if (!jwt->header) {
		*reason = "the token's header is not a JSON object";
		return ERROR_INVALID;
	}
	/* RFC 7515, 4.1.11: an extension that is not understood must not be passed over, and none
	 * is. */
	if (json_object_get(jwt->header, "crit")) {
		*reason = "the token's header has crit, which is not supported";
		return ERROR_INVALID;
	}
	json_t *kid = json_object_get(jwt->header, "kid");
	if (kid && !json_is_string(kid)) {
		*reason = "the token's kid is not a string";
		return ERROR_INVALID;
	}
	const char *algorithm = json_string_value(json_object_get(jwt->header, "alg"));
	jwt->kid = json_string_value(kid);
	jwt->algorithm = algorithm ? algorithm_find(algorithm) : NULL;
	if (!jwt->algorithm) {
		*reason = "the token's algorithm is not accepted";
		return ERROR_INVALID;
	}
	return 0;
}

static int read_token(struct jwt *jwt, struct slice token, const char **reason)
{
	struct slice parts[PART_COUNT];
	if (token.len > JWT_BYTES_MAX) {
		*reason = "the token is longer than 8192 bytes";
		return ERROR_INVALID;
	}
	if (!split_token(token, parts)) {
		*reason = "the token is not three parts of base64url";
		return ERROR_INVALID;
	}
	int result = read_header(jwt, parts[PART_HEADER], reason);
	if (result)
		return result;
	jwt->claims = decode_object(parts[PART_CLAIMS]);
	if (!jwt->claims) {
		*reason = "the token's claims are not a JSON object";
		return ERROR_INVALID;
	}
	jwt->signature_bytes = parts[PART_SIGNATURE].len * 3 / 4;
	jwt->jws = cjose_jws_import(token.base, token.len, NULL);
	if (!jwt->jws) {
		*reason = "the token's signature is not base64url";
		return ERROR_INVALID;
	}
	return 0;
}

int jwt_parse(struct slice token, struct jwt *jwt, const char **reason)
{
	struct jwt parsed = {0};
	int result = read_token(&parsed, token, reason);
	if (result)
		jwt_fini(&parsed);
	else
		*jwt = parsed;
	return result;
}

void jwt_fini(struct jwt *jwt)
{
	json_decref(jwt->header);
	json_decref(jwt->claims);
	cjose_jws_release(jwt->jws);
	*jwt = (struct jwt){0};
}

/*
 * libcjose compares an HMAC before it looks at the length, so a short one would be read past its
 * end; and it takes an EC signature of any length (RFC 7518, 3.4 fixes it).
 */
static size_t expected_signature_bytes(const struct jwk *key, const struct algorithm *algorithm)
{
	size_t key_bytes = (cjose_jwk_get_keysize(key->key, NULL) + 7) / 8;
	switch (algorithm->key_type) {
	case CJOSE_JWK_KTY_OCT:
		return algorithm->hash_bytes;
	case CJOSE_JWK_KTY_EC:
		return 2 * key_bytes;
	case CJOSE_JWK_KTY_RSA:
		return key_bytes;
	}
	return 0;
}

static bool is_signed_by(struct jwt *jwt, const struct jwk *key)
{
	return jwks_key_fits(key, jwt->algorithm) &&
	       jwt->signature_bytes == expected_signature_bytes(key, jwt->algorithm) &&
	       cjose_jws_verify(jwt->jws, key->key, NULL);
}

int jwt_verify(struct jwt *jwt, const struct jwks *jwks)
{
	bool named = false;
	for (size_t i = 0; i < jwks->count; i++) {
		const struct jwk *key = &jwks->keys[i];
		bool same = jwt->kid && key->kid && strcmp(jwt->kid, key->kid) == 0;
		if (jwt->kid && key->kid && !same)
			continue;
		if (is_signed_by(jwt, key))
			return 0;
		named = named || same;
	}
	return named ? ERROR_INVALID : ERROR_NOT_FOUND;
}

static bool names_audience(json_t *claim, const char *audience)
{
	if (json_is_string(claim))
		return strcmp(json_string_value(claim), audience) == 0;
	size_t i;
	json_t *entry;
	json_array_foreach(claim, i, entry)
	{
		if (json_is_string(entry) && strcmp(json_string_value(entry), audience) == 0)
			return true;
	}
	return false;
}

/* A NumericDate (RFC 7519, 2) in milliseconds, `absent` where the claim is. Dates beyond int64_t
 * stop at its ends. */
static int read_date(json_t *claim, int64_t absent, int64_t *unix_ms)
{
	if (!claim) {
		*unix_ms = absent;
		return 0;
	}
	if (!json_is_number(claim))
		return ERROR_INVALID;
	double ms = json_number_value(claim) * 1000;
	if (ms >= 0x1p63)
		*unix_ms = INT64_MAX;
	else
		*unix_ms = ms < -0x1p63 ? INT64_MIN : (int64_t)ms;
	return 0;
}

static int check_dates(const struct jwt *jwt, int64_t now_unix_ms, uint32_t leeway_ms,
		       int64_t *expires_unix_ms, const char **reason)
{
	int64_t expires;
	int64_t begins;
	if (read_date(json_object_get(jwt->claims, "exp"), INT64_MAX, &expires) ||
	    read_date(json_object_get(jwt->claims, "nbf"), INT64_MIN, &begins)) {
		*reason = "the token's exp or nbf is not a number";
		return ERROR_INVALID;
	}
	if (expires < INT64_MAX - leeway_ms)
		expires += leeway_ms;
	if (begins > now_unix_ms + leeway_ms) {
		*reason = "the token is not valid yet";
		return ERROR_INVALID;
	}
	if (expires <= now_unix_ms) {
		*reason = "the token has expired";
		return ERROR_EXPIRED;
	}
	*expires_unix_ms = expires;
	return 0;
}

int jwt_check_claims(const struct jwt *jwt, const struct auth_issuer *issuer, int64_t now_unix_ms,
		     uint32_t leeway_ms, int64_t *expires_unix_ms, const char **reason)
{
	const char *iss = json_string_value(json_object_get(jwt->claims, "iss"));
	if (issuer->issuer && (!iss || strcmp(iss, issuer->issuer) != 0)) {
		*reason = "the token is from another issuer";
		return ERROR_INVALID;
	}
	if (issuer->audience &&
	    !names_audience(json_object_get(jwt->claims, "aud"), issuer->audience)) {
		*reason = "the token is for another audience";
		return ERROR_INVALID;
	}
	return check_dates(jwt, now_unix_ms, leeway_ms, expires_unix_ms, reason);
}
