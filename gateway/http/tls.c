#include "http/tls_priv.h"

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>

/* RFC 7301, 3.1: each name after its length; the server's order decides. */
static const unsigned char protocols[] = "\x02h2\x08http/1.1";

static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
			   const unsigned char *offered, unsigned offered_len, void *argument)
{
	unsigned char *chosen;

	(void)ssl;
	(void)argument;
	if (SSL_select_next_proto(&chosen, out_len, protocols, sizeof(protocols) - 1, offered,
				  offered_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* A key with a passphrase must not make the gateway ask on a terminal. */
static int refuse_passphrase(char *buffer, int size, int writing, void *argument)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)argument;
	return -1;
}

/* The first error of the queue is the cause; what follows says who was told. */
static int fail(char error[512], const char *setting, const char *file)
{
	unsigned long code = ERR_peek_error();
	const char *why =
	    ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);

	snprintf(error, 512, "%s %s: %s", setting, file, why ? why : "it cannot be used");
	ERR_clear_error();
	return ERROR_INVALID;
}

static int load(SSL_CTX *context, const char *certificate_file, const char *key_file,
		char error[512])
{
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(context, certificate_file) != 1)
		return fail(error, "certificate_file", certificate_file);
	if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1)
		return fail(error, "key_file", key_file);
	if (SSL_CTX_check_private_key(context) != 1)
		return fail(error, "key_file", key_file);
	return 0;
}

int tls_context_new(const char *certificate_file, const char *key_file, SSL_CTX **context,
		    char error[512])
{
	SSL_CTX *made = SSL_CTX_new(TLS_server_method());
	int result;

	if (!key_file) {
		SSL_CTX_free(made);
		snprintf(error, 512, "certificate_file %s: it needs a key_file beside it",
			 certificate_file);
		return ERROR_INVALID;
	}
	SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
	SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
				      SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* An idle connection keeps no record buffers. */
	SSL_CTX_set_mode(made, SSL_MODE_RELEASE_BUFFERS);
	/* Tickets resume sessions; nothing is kept here. */
	SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_default_passwd_cb(made, refuse_passphrase);
	SSL_CTX_set_alpn_select_cb(made, select_protocol, NULL);
	result = load(made, certificate_file, key_file, error);
	if (result) {
		SSL_CTX_free(made);
		return result;
	}
	*context = made;
	return 0;
}
