/*
 * holder: by what a token that lets a stream be open can be revoked.
 *
 * A stream keeps one for as long as it is open, so it is small. That of an opaque token is the
 * first member of the token's entry in the cache, which all its streams share; that of a JWT is the
 * stream's own.
 */
#ifndef SLUICE_AUTH_HOLDER_PRIV_H
#define SLUICE_AUTH_HOLDER_PRIV_H

#include <stdint.h>

/* In the place of a jti's hash: the holder is part of a struct token_entry. */
#define HOLDER_IS_TOKEN UINT64_MAX

struct auth_holder {
	uint64_t jti;     /* revocations_hash(); REVOCATIONS_NO_HASH: it has none */
	uint64_t subject; /* likewise */
	int64_t issued_us;
};

#endif
