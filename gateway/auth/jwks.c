#include "auth/jwks_priv.h"

#include <assert.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/mem.h"

/* RFC 7518, 3.3. */
#define RSA_BITS_MIN 2048

static const struct {
	const char *type;
	const char *members[4];
} public_members[] = {
    {"RSA", {"n", "e"}},
    {"EC", {"crv", "x", "y"}},
    {"oct", {"k"}},
};

static struct jwks *jwks_new(size_t capacity)
{
	struct jwks *jwks = mem_zalloc(sizeof(*jwks) + capacity * sizeof(jwks->keys[0]));
	atomic_init(&jwks->refs, 1);
	return jwks;
}

/* A key is copied without its private members. NULL: unknown type, or a member is missing. */
static json_t *public_part(json_t *entry)
{
	const char *type = json_string_value(json_object_get(entry, "kty"));
	if (!type)
		return NULL;
	size_t row = 0;
	size_t rows = sizeof(public_members) / sizeof(public_members[0]);
	while (row < rows && strcmp(public_members[row].type, type) != 0)
		row++;
	if (row == rows)
		return NULL;
	json_t *part = json_pack("{s:s}", "kty", type);
	for (const char *const *name = public_members[row].members; *name; name++) {
		json_t *member = json_object_get(entry, *name);
		const char *value = json_string_value(member);
		/* base64url has no padding (RFC 7515, 2), and libcjose 0.6.2.1 asserts on "A=aaaa".
		 */
		if (!value || strchr(value, '=')) {
			json_decref(part);
			return NULL;
		}
		json_object_set(part, *name, member);
	}
	return part;
}

/* `use` and `key_ops` (RFC 7517, 4.2 and 4.3). */
static bool meant_for_verifying(json_t *entry)
{
	const char *use = json_string_value(json_object_get(entry, "use"));
	if (use && strcmp(use, "sig") != 0)
		return false;
	json_t *operations = json_object_get(entry, "key_ops");
	if (!operations)
		return true;
	size_t i;
	json_t *operation;
	json_array_foreach(operations, i, operation)
	{
		const char *name = json_string_value(operation);
		if (name && strcmp(name, "verify") == 0)
			return true;
	}
	return false;
}

static void release_key(cjose_jwk_t *key)
{
	if (cjose_jwk_get_kty(key, NULL) == CJOSE_JWK_KTY_OCT)
		OPENSSL_cleanse(cjose_jwk_get_keydata(key, NULL),
				cjose_jwk_get_keysize(key, NULL) / 8);
	cjose_jwk_release(key);
}

static cjose_jwk_t *import_key(json_t *entry)
{
	json_t *part = public_part(entry);
	if (!part)
		return NULL;
	cjose_jwk_t *key = cjose_jwk_import_json((cjose_header_t *)part, NULL);
	json_decref(part);
	if (!key)
		return NULL;
	if (cjose_jwk_get_kty(key, NULL) == CJOSE_JWK_KTY_RSA &&
	    cjose_jwk_get_keysize(key, NULL) < RSA_BITS_MIN) {
		release_key(key);
		return NULL;
	}
	return key;
}

static bool read_key(json_t *entry, struct jwk *jwk)
{
	const char *algorithm = json_string_value(json_object_get(entry, "alg"));
	const char *kid = json_string_value(json_object_get(entry, "kid"));
	if (algorithm && !algorithm_find(algorithm))
		return false;
	if (!meant_for_verifying(entry))
		return false;
	cjose_jwk_t *key = import_key(entry);
	if (!key)
		return false;
	jwk->key = key;
	jwk->kid = kid ? mem_strdup(kid) : NULL;
	jwk->algorithm = algorithm ? algorithm_find(algorithm) : NULL;
	return true;
}

static int read_keys(json_t *entries, struct jwks **jwks, const char **why)
{
	if (!json_is_array(entries)) {
		*why = "it is not a JSON object with an array of keys";
		return ERROR_INVALID;
	}
	if (json_array_size(entries) > JWKS_KEYS_MAX) {
		*why = "it holds more than 128 keys";
		return ERROR_INVALID;
	}
	struct jwks *set = jwks_new(json_array_size(entries));
	size_t i;
	json_t *entry;
	json_array_foreach(entries, i, entry)
	{
		if (read_key(entry, &set->keys[set->count]))
			set->count++;
	}
	if (set->count == 0) {
		jwks_unref(set);
		*why = "it holds no key that can verify a signature";
		return ERROR_INVALID;
	}
	*jwks = set;
	return 0;
}

int jwks_parse(struct slice text, struct jwks **jwks, const char **why)
{
	json_t *root = json_loadb(text.base, text.len, 0, NULL);
	ERR_set_mark();
	int result = read_keys(json_object_get(root, "keys"), jwks, why);
	ERR_pop_to_mark();
	json_decref(root);
	return result;
}

struct jwks *jwks_of_secret(struct slice secret)
{
	struct jwks *jwks = jwks_new(1);
	jwks->keys[0].key =
	    cjose_jwk_create_oct_spec((const uint8_t *)secret.base, secret.len, NULL);
	assert(jwks->keys[0].key);
	jwks->count = 1;
	return jwks;
}

struct jwks *jwks_ref(struct jwks *jwks)
{
	atomic_fetch_add_explicit(&jwks->refs, 1, memory_order_relaxed);
	return jwks;
}

void jwks_unref(struct jwks *jwks)
{
	if (!jwks || atomic_fetch_sub_explicit(&jwks->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < jwks->count; i++) {
		release_key(jwks->keys[i].key);
		free(jwks->keys[i].kid);
	}
	free(jwks);
}

bool jwks_key_fits(const struct jwk *key, const struct algorithm *algorithm)
{
	if (key->algorithm && key->algorithm != algorithm)
		return false;
	if (cjose_jwk_get_kty(key->key, NULL) != algorithm->key_type)
		return false;
	switch (algorithm->key_type) {
	case CJOSE_JWK_KTY_OCT: /* RFC 7518, 3.2: no shorter than the hash */
		return cjose_jwk_get_keysize(key->key, NULL) >= algorithm->hash_bytes * 8;
	case CJOSE_JWK_KTY_EC:
		return cjose_jwk_EC_get_curve(key->key, NULL) == algorithm->curve;
	case CJOSE_JWK_KTY_RSA:
		return true;
	}
	return false;
}
