#include "lib/random.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

/* SplitMix64: a counter, mixed. */
static const uint64_t step = 0x9e3779b97f4a7c15u;

static uint64_t state;

void random_start(void)
{
	const char *given = getenv("SLUICE_TEST_SEED");

	state = given ? strtoull(given, NULL, 10) : (uint64_t)clock_unix_ms();
	fprintf(stderr, "SLUICE_TEST_SEED=%llu\n", (unsigned long long)state);
}

uint32_t random_draw(uint32_t below)
{
	uint64_t bits = random_mix(state);

	state += step;
	return (uint32_t)(bits % below);
}

uint64_t random_mix(uint64_t x)
{
	x += step;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}
