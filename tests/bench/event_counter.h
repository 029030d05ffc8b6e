/*
 * event_counter: counts the benchmark's events in what a subscriber receives, and checks their
 * order.
 *
 * It reads lines, whatever stands around them: a response's head, a chunk's size, other fields. A
 * line of data with a payload's number is an event.
 */
#ifndef SLUICE_TESTS_BENCH_EVENT_COUNTER_H
#define SLUICE_TESTS_BENCH_EVENT_COUNTER_H

#include <stddef.h>
#include <stdint.h>

enum { EVENT_COUNTER_LINE_BYTES = 24, EVENT_COUNTER_RING = 1 << 16 };

/* Of all subscribers. */
struct event_totals {
	uint32_t subscribers;
	uint64_t deliveries;
	uint64_t wrong;                         /* not the number that follows */
	uint32_t begun;                         /* events that any subscriber has */
	uint64_t complete;                      /* events that all subscribers have */
	uint32_t receivers[EVENT_COUNTER_RING]; /* of event n, at n % EVENT_COUNTER_RING */
};

struct event_counter {
	uint32_t next;
	uint8_t line_len;
	char line[EVENT_COUNTER_LINE_BYTES]; /* the beginning of a line that is not whole yet */
};

void event_counter_feed(struct event_counter *counter, struct event_totals *totals,
			const char *bytes, size_t len);

#endif
