#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

/* RFC 3339 at the epoch, on both sides of it, on a leap day, and held to four digits of a year. */
static void test_clock_rfc3339_shows_the_instant(void **state)
{
	static const struct {
		int64_t unix_ms;
		const char *text;
	} rows[] = {
	    {0, "1970-01-01T00:00:00.000Z"},
	    {-1, "1969-12-31T23:59:59.999Z"},
	    {1709164800001, "2024-02-29T00:00:00.001Z"},
	    {1767225599999, "2025-12-31T23:59:59.999Z"},
	    {INT64_MAX, "9999-12-31T23:59:59.999Z"},
	    {INT64_MIN, "0000-01-01T00:00:00.000Z"},
	};
	char text[25];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		clock_format_rfc3339(rows[i].unix_ms, text);
		assert_string_equal(text, rows[i].text);
	}
}

/* The monotonic clock never steps back. */
static void test_clock_monotonic_never_goes_back(void **state)
{
	uint64_t last = clock_monotonic_us();

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint64_t now = clock_monotonic_us();

		assert_true(now >= last);
		last = now;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_clock_rfc3339_shows_the_instant),
	    cmocka_unit_test(test_clock_monotonic_never_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
