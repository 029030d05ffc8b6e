/*
 * backoff: how long to wait after the n-th failure in a row: 100 ms doubled up to 10 s, of which
 * the upper half is random, so that replicas do not come back in step. Zero-initialise.
 */
#ifndef SLUICE_POSTGRES_BACKOFF_PRIV_H
#define SLUICE_POSTGRES_BACKOFF_PRIV_H

#include <stdint.h>

struct backoff {
	uint32_t limit_ms;
};

uint32_t backoff_next_ms(struct backoff *backoff);

static inline void backoff_reset(struct backoff *backoff)
{
	backoff->limit_ms = 0;
}

#endif
