/*
 * auth_priv: auth with other limits on fetching than the usual ones, for tests.
 */
#ifndef SLUICE_AUTH_AUTH_PRIV_H
#define SLUICE_AUTH_AUTH_PRIV_H

#include "auth/auth.h"
#include "auth/jwks_fetch_priv.h"

/* As auth_new(); `limits` is borrowed for the life of the auth. */
MUST_CHECK int auth_new_limited(const struct auth_settings *settings,
				const struct jwks_fetch_limits *limits,
				void (*on_change)(void *context), void *context,
				struct auth **auth);

#endif
