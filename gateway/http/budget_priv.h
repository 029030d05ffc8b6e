/*
 * budget: how much of something a peer may do: a bucket of tokens that fills again with time.
 */
#ifndef SLUICE_HTTP_BUDGET_PRIV_H
#define SLUICE_HTTP_BUDGET_PRIV_H

#include <stdbool.h>
#include <stdint.h>

struct budget {
	uint64_t filled_at_ms;
	uint32_t tokens;
	uint32_t capacity;
	uint32_t per_second; /* at most 1000 */
};

static inline void budget_init(struct budget *budget, uint32_t capacity, uint32_t per_second,
			       uint64_t now_ms)
{
	*budget = (struct budget){now_ms, capacity, capacity, per_second};
}

/* Takes one; false where there is none. */
static inline bool budget_spend(struct budget *budget, uint64_t now_ms)
{
	uint64_t gained = (now_ms - budget->filled_at_ms) * budget->per_second / 1000;

	if (gained) {
		uint64_t tokens = budget->tokens + gained;

		budget->tokens = tokens < budget->capacity ? (uint32_t)tokens : budget->capacity;
		budget->filled_at_ms = now_ms;
	}
	if (budget->tokens == 0)
		return false;
	budget->tokens--;
	return true;
}

#endif
