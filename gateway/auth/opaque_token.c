#include "auth/opaque_token.h"

#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/base64url.h"

#define PREFIX "slc_"

enum { PREFIX_CHARS = sizeof(PREFIX) - 1, SECRET_BYTES = 32 };

_Static_assert(OPAQUE_TOKEN_DIGEST_BYTES == SHA256_DIGEST_LENGTH, "SHA-256");

void opaque_token_make(char text[OPAQUE_TOKEN_CHARS + 1])
{
	uint8_t secret[SECRET_BYTES];

	/* A token that can be guessed is worse than none. */
	if (RAND_bytes(secret, sizeof(secret)) != 1)
		abort();
	memcpy(text, PREFIX, PREFIX_CHARS);
	base64url_encode(secret, sizeof(secret), text + PREFIX_CHARS);
	text[OPAQUE_TOKEN_CHARS] = '\0';
}

bool opaque_token_has_form(struct slice text)
{
	uint8_t secret[SECRET_BYTES];

	return text.len == OPAQUE_TOKEN_CHARS && !memcmp(text.base, PREFIX, PREFIX_CHARS) &&
	       !base64url_decode((struct slice){text.base + PREFIX_CHARS, text.len - PREFIX_CHARS},
				 secret);
}

void opaque_token_digest(struct slice text, uint8_t digest[OPAQUE_TOKEN_DIGEST_BYTES])
{
	SHA256((const unsigned char *)text.base, text.len, digest);
}
