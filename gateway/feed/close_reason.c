#include "feed/close_reason.h"

#include <stdatomic.h>

#include "base/log.h"
#include "base/metrics.h"

static const struct {
	const char *label;
	enum log_level level;
} reasons[CLOSE_REASON_COUNT] = {
#define CLOSE_ROW(symbol, label, level, text) {label, LOG_##level},
    CLOSE_REASONS(CLOSE_ROW)
#undef CLOSE_ROW
};

static _Atomic uint64_t counts[CLOSE_REASON_COUNT];

const char *close_reason_label(enum close_reason reason)
{
	return reasons[reason].label;
}

void close_reason_count(const char *stream, enum close_reason reason)
{
	atomic_fetch_add(&counts[reason], 1);
	log_event(reasons[reason].level, "subscriber", "a stream has ended",
		  LOG_STR("stream", stream), LOG_STR("reason", reasons[reason].label));
}

void close_reason_collect(void *context, struct buffer *out)
{
	(void)context;
	metrics_write_help(out, "sluice_closes_total", "counter", "Streams that ended, by reason.");
	for (int i = 0; i < CLOSE_REASON_COUNT; i++)
		buffer_append_format(out, "sluice_closes_total{reason=\"%s\"} %llu\n",
				     reasons[i].label, (unsigned long long)counts[i]);
}
