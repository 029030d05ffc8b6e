#include "http/date_priv.h"

#include <h2o.h>
#include <stdint.h>
#include <time.h>

#include "base/clock.h"

const char *date_text(void)
{
	static _Thread_local char text[H2O_TIMESTR_RFC1123_LEN + 1];
	static _Thread_local time_t made_for = -1;
	time_t now = (time_t)(clock_unix_ms() / 1000);
	struct tm fields;

	_Static_assert(H2O_TIMESTR_RFC1123_LEN == DATE_BYTES, "libh2o writes the same");
	if (now != made_for) {
		gmtime_r(&now, &fields);
		h2o_time2str_rfc1123(text, &fields);
		made_for = now;
	}
	return text;
}
