#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/stream_since_priv.h"

/* 2026-01-31T09:30:00Z. */
#define NOW_MS INT64_C(1769851800000)

/* Times and durations, and what is neither; a "+" of an offset may have become a space. */
static void test_stream_since_reads_times_and_durations(void **state)
{
	static const struct {
		struct slice text;
		int64_t since_ms; /* -1: refused */
	} rows[] = {
	    {SLICE_LIT("2026-01-31T09:30:00Z"), NOW_MS},
	    {SLICE_LIT("2026-01-31t09:30:00z"), NOW_MS},
	    {SLICE_LIT("2026-01-31 09:30:00Z"), NOW_MS},
	    {SLICE_LIT("2026-01-31T11:30:00+02:00"), NOW_MS},
	    {SLICE_LIT("2026-01-31T11:30:00 02:00"), NOW_MS},
	    {SLICE_LIT("2026-01-31T04:00:00-05:30"), NOW_MS},
	    {SLICE_LIT("2026-01-31T09:30:00.5Z"), NOW_MS + 500},
	    {SLICE_LIT("2026-01-31T09:30:00.1239999Z"), NOW_MS + 123},
	    {SLICE_LIT("2026-01-31T09:29:60Z"), NOW_MS},
	    {SLICE_LIT("2024-02-29T00:00:00Z"), INT64_C(1709164800000)},
	    {SLICE_LIT("1970-01-01T00:00:00Z"), 0},
	    {SLICE_LIT("15m"), NOW_MS - 900000},
	    {SLICE_LIT("0s"), NOW_MS},
	    {SLICE_LIT("250ms"), NOW_MS - 250},
	    {SLICE_LIT("2h"), NOW_MS - 7200000},
	    {SLICE_LIT("1d"), NOW_MS - 86400000},
	    {SLICE_LIT("999999999d"), 0},
	    {SLICE_LIT(""), -1},
	    {SLICE_LIT("m"), -1},
	    {SLICE_LIT("15"), -1},
	    {SLICE_LIT("-15m"), -1},
	    {SLICE_LIT("15 m"), -1},
	    {SLICE_LIT("15M"), -1},
	    {SLICE_LIT("1h30m"), -1},
	    {SLICE_LIT("9999999999s"), -1},
	    {SLICE_LIT("1769851800000"), -1},
	    {SLICE_LIT("2026-01-31"), -1},
	    {SLICE_LIT("2026-01-31T09:30:00"), -1},
	    {SLICE_LIT("2026-01-31T09:30Z"), -1},
	    {SLICE_LIT("2026-02-29T00:00:00Z"), -1},
	    {SLICE_LIT("2026-00-10T00:00:00Z"), -1},
	    {SLICE_LIT("2026-13-10T00:00:00Z"), -1},
	    {SLICE_LIT("2026-01-00T00:00:00Z"), -1},
	    {SLICE_LIT("2026-01-31T24:00:00Z"), -1},
	    {SLICE_LIT("2026-01-31T09:60:00Z"), -1},
	    {SLICE_LIT("2026-01-31T09:30:61Z"), -1},
	    {SLICE_LIT("2026-01-31T09:30:00.Z"), -1},
	    {SLICE_LIT("2026-01-31T09:30:00+2:00"), -1},
	    {SLICE_LIT("2026-01-31T09:30:00+24:00"), -1},
	    {SLICE_LIT("2026-01-31T09:30:00Z "), -1},
	    {SLICE_LIT("1969-12-31T23:59:59Z"), -1},
	    {SLICE_LIT("1970-01-01T00:00:00+01:00"), -1},
	    {SLICE_LIT("2026-01-31T09:30:00Z\0"), -1},
	    {SLICE_LIT("15m\n"), -1},
	    {SLICE_LIT("\xff"), -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t since_ms = -1;
		int rc = stream_since_read(rows[i].text, NOW_MS, &since_ms);

		if (since_ms != rows[i].since_ms ||
		    rc != (rows[i].since_ms < 0 ? ERROR_INVALID : 0))
			fail_msg("%s: %lld", rows[i].text.base, (long long)since_ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_stream_since_reads_times_and_durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
