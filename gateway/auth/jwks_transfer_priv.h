/*
 * jwks_transfer: one GET of a JWKS URL by libcurl, driven by a multi handle.
 *
 * http or https; redirects stay on the URL's scheme; certificates are verified; a body beyond the
 * limit ends the transfer. Thread: the multi handle's.
 */
#ifndef SLUICE_AUTH_JWKS_TRANSFER_PRIV_H
#define SLUICE_AUTH_JWKS_TRANSFER_PRIV_H

#include <curl/curl.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

struct jwks_transfer_settings {
	const char *url;
	const char *ca_file; /* NULL: the system's */
	uint32_t connect_ms;
	uint32_t total_ms;
	size_t body_bytes;
};

struct jwks_transfer;

/* Starts it. The settings' strings are borrowed until the free. `context` is what
 * jwks_transfer_context() returns. */
struct jwks_transfer *
jwks_transfer_start(CURLM *multi, const struct jwks_transfer_settings *settings, void *context);
/* Breaks it off where it has not ended. */
void jwks_transfer_free(struct jwks_transfer *transfer);

/* The transfer that a message of curl_multi_info_read() is about, and its owner. */
struct jwks_transfer *jwks_transfer_of(CURL *easy);
void *jwks_transfer_context(const struct jwks_transfer *transfer);

/* The body, borrowed. Errors: ERROR_IO where the transfer failed or the status is not 200; `*why`
 * lives as long as the transfer. */
MUST_CHECK int jwks_transfer_result(struct jwks_transfer *transfer, CURLcode code,
				    struct slice *body, const char **why);

/* Whether the URL is http or https and libcurl can read it. */
bool jwks_transfer_supports(const char *url);

/* The URL without user, password, query and fragment, fit for a log. Owned by the caller. */
char *jwks_transfer_printable(const char *url);

#endif
