#include "base/clock.h"

#include <stdio.h>
#include <time.h>

/* 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z: what four digits of a year can say. */
#define FIRST_UNIX_MS INT64_C(-62167219200000)
#define LAST_UNIX_MS  INT64_C(253402300799999)

uint64_t clock_monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_monotonic_ms(void)
{
	return clock_monotonic_us() / 1000;
}

int64_t clock_unix_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void clock_format_rfc3339(int64_t unix_ms, char text[25])
{
	char seconds_text[20];
	struct tm parts;
	int64_t ms;
	time_t seconds;

	if (unix_ms < FIRST_UNIX_MS)
		unix_ms = FIRST_UNIX_MS;
	if (unix_ms > LAST_UNIX_MS)
		unix_ms = LAST_UNIX_MS;
	ms = unix_ms % 1000;
	if (ms < 0)
		ms += 1000;
	seconds = (time_t)((unix_ms - ms) / 1000);
	gmtime_r(&seconds, &parts);
	snprintf(seconds_text, sizeof(seconds_text), "%04u-%02u-%02uT%02u:%02u:%02u",
		 (unsigned)(parts.tm_year + 1900) % 10000, (unsigned)(parts.tm_mon + 1) % 100,
		 (unsigned)parts.tm_mday % 100, (unsigned)parts.tm_hour % 100,
		 (unsigned)parts.tm_min % 100, (unsigned)parts.tm_sec % 100);
	snprintf(text, 25, "%s.%03uZ", seconds_text, (unsigned)ms % 1000);
}
