/*
 * clock: the two clocks. Thread: any.
 */
#ifndef SLUICE_BASE_CLOCK_H
#define SLUICE_BASE_CLOCK_H

#include <stdint.h>

/* Never goes back; for durations and deadlines. */
uint64_t clock_monotonic_ms(void);
uint64_t clock_monotonic_us(void);

/* Since 1970-01-01T00:00:00Z, as Kafka's timestamps and JWT's NumericDate (times 1000). */
int64_t clock_unix_ms(void);

/* RFC 3339 with milliseconds and Z, 24 characters; `text` holds at least 25 bytes. */
void clock_format_rfc3339(int64_t unix_ms, char text[25]);

#endif
