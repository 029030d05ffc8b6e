/*
 * base64url: RFC 4648, section 5, without padding. Pure. Thread: any.
 */
#ifndef SLUICE_BASE_BASE64URL_H
#define SLUICE_BASE_BASE64URL_H

#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

static inline size_t base64url_encoded_len(size_t bytes)
{
	return bytes / 3 * 4 + (bytes % 3 ? bytes % 3 + 1 : 0);
}

/* The most that a text of this length decodes to. */
static inline size_t base64url_decoded_len(size_t chars)
{
	return chars / 4 * 3 + (chars % 4 ? chars % 4 - 1 : 0);
}

/* Writes base64url_encoded_len(len) characters. */
void base64url_encode(const uint8_t *bytes, size_t len, char *to);

/*
 * Writes base64url_decoded_len(text.len) bytes. Strict, one text for some bytes: ERROR_INVALID for
 * another character, for a length that nothing encodes to, and for bits that are set beyond the
 * last byte; `to` is scribbled on then.
 */
MUST_CHECK int base64url_decode(struct slice text, uint8_t *to);

#endif
