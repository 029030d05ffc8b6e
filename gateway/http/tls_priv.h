/*
 * tls: server contexts of OpenSSL: TLS 1.2 and 1.3, ALPN "h2" and "http/1.1" (RFC 7301).
 */
#ifndef SLUICE_HTTP_TLS_PRIV_H
#define SLUICE_HTTP_TLS_PRIV_H

#include <openssl/ssl.h>

#include "base/error.h"

/*
 * The caller frees it with SSL_CTX_free(). Errors: ERROR_INVALID: a file cannot be read or used, or
 * the key is not the certificate's; `error` says which and why.
 */
MUST_CHECK int tls_context_new(const char *certificate_file, const char *key_file,
			       SSL_CTX **context, char error[512]);

#endif
