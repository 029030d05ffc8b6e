#include <stdio.h>
#include <stdlib.h>

#include "event/stream_priv.h"

#define FIELD(member) CONFIG_FIELD(struct stream, interval.member)

/* The least is the resolution: a loop looks at its intervals so often (feed/fanout.h). */
enum { LEAST_MS = 100, MOST_MS = 24 * 3600 * 1000 };

static const struct setting duration_settings[] = {
    {.name = "every",
     .type = SETTING_DURATION,
     FIELD(every_ms),
     .min = LEAST_MS,
     .max = MOST_MS,
     .doc = "A duration."},
};

static const struct config_table duration_table = {
    CONFIG_ROWS(duration_settings),
    .bytes = sizeof(struct stream),
};

/* "query.interval" of "{query.interval}"; empty where it is no variable. */
static struct slice variable_of(const json_t *value)
{
	const char *text = json_string_value(value);
	size_t len = text ? strlen(text) : 0;

	if (len < 3 || text[0] != '{' || text[len - 1] != '}')
		return (struct slice){0};
	return (struct slice){text + 1, len - 2};
}

static const struct stream_param *find_param(const struct stream *stream, struct slice variable)
{
	size_t dot = slice_find(variable, 0, variable.len, '.');
	const struct stream_param *param;

	if (dot == variable.len)
		return NULL;
	param = stream_param_find(stream,
				  (struct slice){variable.base + dot + 1, variable.len - dot - 1});
	return param && slice_equal(slice_of(stream_param_place(param)),
				    (struct slice){variable.base, dot})
		   ? param
		   : NULL;
}

static void read_variable(const struct config_at *at, struct slice variable, struct stream *stream)
{
	const struct stream_param *param = find_param(stream, variable);

	if (!param)
		config_refuse(at, NULL, "\"{%.*s}\" is not declared: add it to \"params\"",
			      (int)variable.len, variable.base);
	else if (param->type != PATTERN_INTEGER)
		config_refuse(at, NULL,
			      "\"{%.*s}\" must be a number of milliseconds: declare it with "
			      "\"type\": \"integer\"",
			      (int)variable.len, variable.base);
	else
		stream->interval.param = param;
}

static void read_every(const struct config_at *at, const json_t *value, void *target)
{
	const struct slice variable = variable_of(value);
	json_t *object;

	if (variable.len) {
		read_variable(at, variable, target);
	} else {
		object = json_pack("{s:O}", "every", value);
		config_read_object(at->parent, object, &duration_table, target);
		json_decref(object);
	}
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
	       " {\"type\": \"string\", \"pattern\": \"^([0-9]+(ms|s|m|h|d)|[{].+[}])$\"},"
	       " {\"$ref\": \"#/$defs/environment\"}]}",
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
	const json_t *value = NULL;
	json_int_t ms;

	if (param)
		value = json_object_get(json_object_get(variables, stream_param_place(param)),
					param->name);
	ms = value ? json_integer_value(value) : interval->every_ms;
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
