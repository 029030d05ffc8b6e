/*
 * credentials: what a gateway under test needs to trust: a certificate for 127.0.0.1 and signed
 * tokens.
 */
#ifndef SLUICE_TESTS_LIB_CREDENTIALS_H
#define SLUICE_TESTS_LIB_CREDENTIALS_H

#include "base/buffer.h"
#include "lib/child.h"

enum { CREDENTIALS_PATH_BYTES = CHILD_PATH_BYTES + 16 };

/* Writes a self-signed certificate for 127.0.0.1 and localhost, cert.pem, and its P-256 key,
 * key.pem, into the folder. The certificate is its own CA; `ca_file` is set to its path. */
void credentials_write_certificate(const char *folder, char ca_file[CREDENTIALS_PATH_BYTES]);

/* Appends a JWT (RFC 7519) signed with HS256; `payload` is the claims as JSON, taken as it is. */
void credentials_sign_hs256(const char *secret, const char *payload, struct buffer *token);
/* The same behind "Authorization: Bearer "; returns the field as a string in the buffer. */
const char *credentials_bearer(const char *secret, const char *payload, struct buffer *field);

#endif
