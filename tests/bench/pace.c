#include "bench/pace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"

enum { STEP_US = 1000 };

/* How many credits came, 0 at the end. */
static uint32_t read_credits(uint32_t max)
{
	char bytes[4096];
	ssize_t n = read(STDIN_FILENO, bytes, max < sizeof(bytes) ? max : sizeof(bytes));

	return n > 0 ? (uint32_t)n : 0;
}

static uint64_t due_by_now(const struct pace *pace)
{
	double seconds = (double)(clock_monotonic_us() - pace->started_us) / 1e6;
	uint64_t due = (uint64_t)(seconds * pace->events_per_second);

	return (due < pace->total ? due : pace->total) - pace->given;
}

static uint32_t wait_for_rate(struct pace *pace, uint32_t max)
{
	uint64_t due;

	if (!pace->started_us) {
		if (!read_credits(1))
			return 0;
		pace->started_us = clock_monotonic_us();
	}
	if (pace->given == pace->total)
		return 0;
	while ((due = due_by_now(pace)) == 0)
		usleep(STEP_US);
	return due < max ? (uint32_t)due : max;
}

uint32_t pace_wait(struct pace *pace, uint32_t max)
{
	uint32_t due = pace->events_per_second > 0 ? wait_for_rate(pace, max) : read_credits(max);

	pace->given += due;
	return due;
}

void pace_raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

void payload_set_number(char *digits, uint64_t number)
{
	for (int i = PAYLOAD_NUMBER_DIGITS - 1; i >= 0; i--) {
		digits[i] = (char)('0' + number % 10);
		number /= 10;
	}
}

/* The digit before the number keeps it a number of JSON, which has no leading zeros. */
void payload_write(char *text, uint32_t len, uint64_t number)
{
	static const char head[] = PAYLOAD_NUMBER_FIELD "00000000,\"pad\":\"";

	if (len < PAYLOAD_MIN_BYTES)
		abort();
	memset(text, 'x', len);
	memcpy(text, head, sizeof(head) - 1);
	payload_set_number(text + sizeof(PAYLOAD_NUMBER_FIELD) - 1, number);
	text[len - 2] = '"';
	text[len - 1] = '}';
	text[len] = '\0';
}
