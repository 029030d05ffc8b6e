/*
 * siphash: SipHash-2-4, a keyed hash for tables whose keys a peer chooses (Aumasson, Bernstein:
 * "SipHash: a fast short-input PRF", 2012). Pure. Thread: any.
 */
#ifndef SLUICE_EVENT_SIPHASH_PRIV_H
#define SLUICE_EVENT_SIPHASH_PRIV_H

#include <stdint.h>

#include "base/slice.h"

/* `key`: the paper's k0 and k1. */
uint64_t siphash_2_4(const uint64_t key[2], struct slice bytes);

#endif
