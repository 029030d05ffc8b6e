#include "lib/credentials.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/base64url.h"

enum { VALID_SECONDS = 24 * 3600 };

static void add_extension(X509 *certificate, int kind, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
	if (!extension || !X509_add_ext(certificate, extension, -1))
		child_die("the certificate's extension %s failed", value);
	X509_EXTENSION_free(extension);
}

static X509 *make_certificate(EVP_PKEY *key)
{
	X509 *certificate = X509_new();
	X509_NAME *name = X509_get_subject_name(certificate);
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -VALID_SECONDS);
	X509_gmtime_adj(X509_getm_notAfter(certificate), VALID_SECONDS);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1,
				   -1, 0);
	X509_set_issuer_name(certificate, name);
	add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
	if (!X509_sign(certificate, key, EVP_sha256()))
		child_die("signing the certificate failed");
	return certificate;
}

static FILE *open_file(const char *path)
{
	FILE *file = fopen(path, "w");
	if (!file)
		child_die("can't write %s", path);
	return file;
}

void credentials_write_certificate(const char *folder, char ca_file[CREDENTIALS_PATH_BYTES])
{
	char key_file[CREDENTIALS_PATH_BYTES];
	EVP_PKEY *key = EVP_EC_gen("P-256");
	if (!key)
		child_die("making a key failed");
	X509 *certificate = make_certificate(key);
	snprintf(ca_file, CREDENTIALS_PATH_BYTES, "%s/cert.pem", folder);
	snprintf(key_file, sizeof(key_file), "%s/key.pem", folder);
	FILE *file = open_file(ca_file);
	PEM_write_X509(file, certificate);
	fclose(file);
	file = open_file(key_file);
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	fclose(file);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static void append_base64url(struct buffer *to, const void *bytes, size_t len)
{
	size_t encoded = base64url_encoded_len(len);
	base64url_encode(bytes, len, buffer_reserve(to, encoded));
	to->len += encoded;
}

void credentials_sign_hs256(const char *secret, const char *payload, struct buffer *token)
{
	static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned mac_len;
	size_t start = token->len;
	append_base64url(token, header, strlen(header));
	buffer_append_text(token, ".");
	append_base64url(token, payload, strlen(payload));
	HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)token->base + start,
	     token->len - start, mac, &mac_len);
	buffer_append_text(token, ".");
	append_base64url(token, mac, mac_len);
	buffer_text(token);
}

const char *credentials_bearer(const char *secret, const char *payload, struct buffer *field)
{
	buffer_append_text(field, "Authorization: Bearer ");
	credentials_sign_hs256(secret, payload, field);
	return buffer_text(field);
}
