#include <stdio.h>

#include "event/stream_priv.h"

#define FIELD(member) CONFIG_FIELD(struct stream, interval.member)

/* The least is the resolution: a loop looks at its intervals so often (feed/fanout.h). */
enum { LEAST_MS = 100, MOST_MS = 24 * 3600 * 1000 };

static const struct setting duration = {
    .type = SETTING_DURATION,
    FIELD(every_ms),
    .min = LEAST_MS,
    .max = MOST_MS,
};

static void read_every(const struct config_at *at, const json_t *value, void *target)
{
	struct stream *stream = target;

	if (stream_pattern_is_variable(value))
		stream->interval.param = stream_pattern_read_param(
		    at, value, stream, PATTERN_INTEGER, "is a number of milliseconds");
	else
		config_read_as(at, value, &duration, target);
}

static bool is_within(const struct stream_interval *interval, json_int_t ms)
{
	return ms >= interval->min_ms && ms <= interval->max_ms;
}

static void check(const struct config_at *at, void *target)
{
	const struct stream_interval *interval = &((struct stream *)target)->interval;
	const json_t *value = interval->param ? interval->param->default_value : NULL;

	if (interval->min_ms > interval->max_ms)
		config_refuse(at, "/min", "is more than \"max\", %u ms", interval->max_ms);
	else if (interval->every_ms && !is_within(interval, interval->every_ms))
		config_refuse(at, "/every", "must be from \"min\", %u ms, to \"max\", %u ms",
			      interval->min_ms, interval->max_ms);
	else if (value && !is_within(interval, json_integer_value(value)))
		config_refuse(at, "/every",
			      "names a parameter whose default, %lld, is not from \"min\", %u ms, "
			      "to \"max\", %u ms",
			      (long long)json_integer_value(value), interval->min_ms,
			      interval->max_ms);
}

static const struct setting settings[] = {
    {.name = "every",
     .type = SETTING_CUSTOM,
     .required = true,
     .read = read_every,
     .wanted = "a duration such as \"1s\", or \"{query.NAME}\"",
     .schema = "{\"anyOf\": [{\"type\": \"integer\", \"minimum\": 100, \"maximum\": 86400000},"
	       " {\"type\": \"string\", \"pattern\": \"^[0-9]+(ms|s|m|h|d)$\"},"
	       " {\"$ref\": \"#/$defs/variable\"}]}",
     .doc = "How long; or the integer parameter that says it, in milliseconds."},
    {.name = "min",
     .type = SETTING_DURATION,
     FIELD(min_ms),
     .min = LEAST_MS,
     .max = MOST_MS,
     .fallback = "100ms",
     .doc = "The shortest that a request may ask for."},
    {.name = "max",
     .type = SETTING_DURATION,
     FIELD(max_ms),
     .min = LEAST_MS,
     .max = MOST_MS,
     .fallback = "1m",
     .doc = "The longest that a request may ask for."},
    {.name = "per_key",
     .type = SETTING_BOOL,
     FIELD(per_key),
     .fallback = "false",
     .doc = "Whether the newest event of each record key is sent, not only the newest of all."},
};

const struct config_table stream_interval_table = {
    CONFIG_ROWS(settings),
    .bytes = sizeof(struct stream),
    .check = check,
};

int stream_read_interval(const struct stream *stream, const json_t *variables,
			 uint32_t *interval_ms, char reason[256])
{
	const struct stream_interval *interval = &stream->interval;
	const struct stream_param *param = interval->param;
	const json_t *value = param ? stream_param_value(param, variables) : NULL;
	json_int_t ms = value ? json_integer_value(value) : interval->every_ms;

	if (value && !is_within(interval, ms)) {
		snprintf(reason, 256,
			 "%s parameter \"%s\" is %lld, but must be from %u to %u milliseconds",
			 stream_param_place(param), param->name, (long long)ms, interval->min_ms,
			 interval->max_ms);
		return ERROR_INVALID;
	}
	*interval_ms = (uint32_t)ms;
	return 0;
}
