/*
 * random: what a test leaves to chance, repeatable by its seed.
 *
 * Thread: one at a time.
 */
#ifndef SLUICE_TESTS_LIB_RANDOM_H
#define SLUICE_TESTS_LIB_RANDOM_H

#include <stdint.h>

/* Takes the seed from $SLUICE_TEST_SEED, else from the clock, and prints it. */
void random_start(void);
/* The next number, below `below`. */
uint32_t random_draw(uint32_t below);
/* Bits that look like chance and follow from `x` alone. */
uint64_t random_mix(uint64_t x);

#endif
