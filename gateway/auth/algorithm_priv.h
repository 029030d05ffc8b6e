/*
 * algorithm: the signature algorithms of JWS (RFC 7518, 3.1), one table. Pure. Thread: any.
 */
#ifndef SLUICE_AUTH_ALGORITHM_PRIV_H
#define SLUICE_AUTH_ALGORITHM_PRIV_H

#include <cjose/cjose.h>
#include <stddef.h>

struct algorithm {
	const char *name;
	cjose_jwk_kty_t key_type;
	size_t hash_bytes;
	cjose_jwk_ec_curve curve; /* the one that an ES algorithm goes with */
};

/* The table's row, or NULL: "none" and what else is not in the table. Names are case-sensitive. */
const struct algorithm *algorithm_find(const char *name);

#endif
