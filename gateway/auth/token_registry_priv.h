/*
 * token_registry: what PostgreSQL says of tokens: the opaque ones that are good, and all that is
 * revoked.
 *
 * Opaque tokens are looked up by a worker, and what was found is kept (token_cache_priv.h). Changes
 * are heard of by the notifications' thread; when its connection is back, all revocations are read
 * anew and each token that is known is looked at again. While PostgreSQL is away, what is known
 * stays good.
 */
#ifndef SLUICE_AUTH_TOKEN_REGISTRY_PRIV_H
#define SLUICE_AUTH_TOKEN_REGISTRY_PRIV_H

#include "auth/auth.h"
#include "auth/token_cache_priv.h"
#include "postgres/notifications.h"

struct token_registry;

struct token_registry_parts {
	const struct postgres_settings *postgres;
	struct notifications *notifications; /* not started; stopped before the registry is freed */
	const struct token_cache_limits *limits; /* NULL: opaque tokens are not accepted */
	void (*on_change)(void *context);
	void *context;
};

/* All of `parts` is borrowed for the life of the registry, but for the limits. */
struct token_registry *token_registry_new(const struct token_registry_parts *parts);
/* No holder is left. */
void token_registry_free(struct token_registry *registry);

/* As auth_verify(), of a token that is no JWS; there are limits. Thread: any. */
MUST_CHECK int token_registry_verify(struct token_registry *registry, struct slice token,
				     struct auth_identity *identity, const char **reason);
/* The holder of a JWT with these claims. Thread: any. */
struct auth_holder *token_registry_hold(struct token_registry *registry, const json_t *claims);
bool token_registry_is_revoked(struct token_registry *registry, const struct auth_holder *holder);

/* As auth_revocation_generation() and auth_counts(). */
uint64_t token_registry_generation(const struct token_registry *registry);
void token_registry_counts(struct token_registry *registry, size_t *tokens, size_t *revocations);

#endif
