/*
 * jwks_fetch: the key sets of all issuers, kept fresh by one thread.
 *
 * A source is the JWKS file or URL of an issuer. It is read at the start, every `refresh_ms` (0:
 * never), after a failure with a growing pause, and when a token asks for a key that is not there.
 * A refresh that fails leaves the keys as they are. The thread is the only one that reads files and
 * URLs (but for the first reading of a file); the sets are swapped under a lock that is never held
 * while anything is read or verified.
 */
#ifndef SLUICE_AUTH_JWKS_FETCH_PRIV_H
#define SLUICE_AUTH_JWKS_FETCH_PRIV_H

#include "auth/auth.h"
#include "auth/jwks_priv.h"

struct jwks_fetch_limits {
	uint32_t connect_ms;
	uint32_t total_ms;
	size_t body_bytes;
	uint32_t demand_gap_ms;  /* between two readings of a source that tokens ask for */
	uint32_t demand_wait_ms; /* a token waits for no reading that begins later */
	uint32_t retry_first_ms;
	uint32_t retry_last_ms;
};

extern const struct jwks_fetch_limits jwks_fetch_limits_default;

struct jwks_fetch;

/*
 * `settings` and `limits` are borrowed for the life of the fetch. No thread runs where no issuer
 * has a source. Errors: ERROR_INVALID: a file that cannot be used, a URL that is not http or https;
 * logged.
 */
MUST_CHECK int jwks_fetch_new(const struct auth_settings *settings,
			      const struct jwks_fetch_limits *limits,
			      void (*on_change)(void *context), void *context,
			      struct jwks_fetch **fetch);
void jwks_fetch_free(struct jwks_fetch *fetch);

/* The issuer's set, a reference; NULL: not loaded yet, or no source. Thread: any. */
struct jwks *jwks_fetch_keys(struct jwks_fetch *fetch, size_t issuer);

/* What comes of asking for keys newer than a set. */
enum jwks_demand {
	JWKS_DEMAND_REFUSED, /* no source, or asked too often */
	JWKS_DEMAND_PENDING, /* on_change will follow */
	JWKS_DEMAND_NEWER    /* the set is another already */
};

/* `tried` is what jwks_fetch_keys() gave, still referenced. Never blocks. Thread: any. */
enum jwks_demand jwks_fetch_demand(struct jwks_fetch *fetch, size_t issuer,
				   const struct jwks *tried);

/* As auth_ready(). Thread: any. */
bool jwks_fetch_ready(struct jwks_fetch *fetch, char why[256]);

#endif
