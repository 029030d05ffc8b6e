/*
 * credentials: what a gateway under test needs to trust: a certificate for 127.0.0.1 and signed
 * tokens.
 */
#ifndef SLUICE_TESTS_LIB_CREDENTIALS_H
#define SLUICE_TESTS_LIB_CREDENTIALS_H

#include "base/buffer.h"

/* Writes a self-signed certificate for 127.0.0.1 and localhost and its P-256 key, both PEM. It is
 * its own CA. */
void credentials_write_certificate(const char *certificate_file, const char *key_file);

/* Appends a JWT (RFC 7519) signed with HS256; `payload` is the claims as JSON, taken as it is. */
void credentials_sign_hs256(const char *secret, const char *payload, struct buffer *token);

#endif
