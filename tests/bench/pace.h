/*
 * pace: when the next event is due, the same for whatever is measured.
 *
 * By credits: each byte on standard input is one event, and its end is the end. The load client
 * writes them. Or by a rate, from the first byte on standard input on.
 */
#ifndef SLUICE_TESTS_BENCH_PACE_H
#define SLUICE_TESTS_BENCH_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
	double events_per_second; /* 0: by credits */
	uint64_t total;           /* of a rate */
	uint64_t given;
	uint64_t started_us;
};

/* Waits until events are due; how many, at most `max`; 0: it is over. */
uint32_t pace_wait(struct pace *pace, uint32_t max);

/* The limit of open files up to what the system allows. */
void pace_raise_file_limit(void);

/* An event's value: JSON with its number, for the load client to check. `text` holds `len` bytes
 * and a NUL. */
enum { PAYLOAD_MIN_BYTES = 32, PAYLOAD_NUMBER_DIGITS = 8 };
#define PAYLOAD_NUMBER_FIELD "{\"n\":1"
void payload_write(char *text, uint32_t len, uint64_t number);
/* Puts another number where PAYLOAD_NUMBER_FIELD's digits stand. */
void payload_set_number(char *digits, uint64_t number);

#endif
