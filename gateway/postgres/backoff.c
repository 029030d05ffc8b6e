#include "postgres/backoff_priv.h"

#include <stdlib.h>

enum { FIRST_MS = 100, LAST_MS = 10000 };

uint32_t backoff_next_ms(struct backoff *backoff)
{
	uint32_t limit_ms = backoff->limit_ms ? backoff->limit_ms * 2 : FIRST_MS;

	backoff->limit_ms = limit_ms < LAST_MS ? limit_ms : LAST_MS;
	return backoff->limit_ms / 2 + arc4random_uniform(backoff->limit_ms / 2 + 1);
}
