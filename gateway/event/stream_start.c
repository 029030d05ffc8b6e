/* Where a subscriber begins that brings no id. */
#include <string.h>

#include "event/stream_priv.h"

const char stream_start_wanted[] =
    "\"latest\", \"earliest\", \"current\" or {\"last\": N}, N from 1 to 1000000 events or "
    "\"{query.NAME}\"";

const char stream_start_schema[] =
    "{\"anyOf\": [{\"enum\": [\"latest\", \"earliest\", \"current\"]}, {\"type\": \"object\","
    " \"properties\": {\"last\": {\"anyOf\": [{\"type\": \"integer\", \"minimum\": 1,"
    " \"maximum\": 1000000}, {\"$ref\": \"#/$defs/variable\"}]}}, \"required\": [\"last\"],"
    " \"additionalProperties\": false}, {\"$ref\": \"#/$defs/environment\"}]}";

static bool read_name(const char *name, struct stream *stream)
{
	static const char *const names[] = {
	    [STREAM_START_LATEST] = "latest",
	    [STREAM_START_EARLIEST] = "earliest",
	    [STREAM_START_CURRENT] = "current",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!names[i] || strcmp(names[i], name))
			continue;
		stream->start = (enum stream_start)i;
		return true;
	}
	return false;
}

static bool is_count(double count)
{
	return count >= 0 && count <= STREAM_START_LAST_MAX;
}

/* Whatever a request says is a count that can be had, or the request is at fault. */
static void check_last_param(const struct config_at *at, const struct stream_param *param)
{
	if (param->has_maximum && !is_count(param->maximum))
		config_refuse(at, NULL, "is 0 to %d events: give \"%s\" a \"maximum\" among them",
			      STREAM_START_LAST_MAX, param->name);
	else if (param->default_value && !is_count(json_number_value(param->default_value)))
		config_refuse(at, NULL, "is 0 to %d events: give \"%s\" a \"default\" among them",
			      STREAM_START_LAST_MAX, param->name);
}

/* False: it is neither a count nor a variable. */
static bool read_last(const struct config_at *at, const json_t *value, struct stream *stream)
{
	const struct config_at place = config_member(at, "last");
	const json_t *last = json_object_get(value, "last");
	double count = json_number_value(last);

	stream->start = STREAM_START_LAST;
	if (json_object_size(value) != 1)
		return false;
	if (stream_pattern_is_variable(last)) {
		stream->start_last_param = stream_pattern_read_param(
		    &place, last, stream, PATTERN_INTEGER, "is how many events");
		if (stream->start_last_param)
			check_last_param(&place, stream->start_last_param);
		return true;
	}
	if (count < 1 || !is_count(count) || (uint32_t)count != count)
		return false;
	stream->start_last = (uint32_t)count;
	return true;
}

static void use_default(struct stream *stream)
{
	stream->start = stream->end_when ? STREAM_START_LAST : STREAM_START_LATEST;
	stream->start_last = 1;
}

void stream_start_read(const struct config_at *at, const json_t *value, void *target)
{
	const char *name = json_string_value(value);
	struct stream *stream = target;

	if (!value)
		use_default(stream);
	else if (name ? !read_name(name, stream) : !read_last(at, value, stream))
		config_refuse_value(at, value, stream_start_wanted);
	else if (name && stream->start == STREAM_START_LATEST && stream->end_when)
		config_refuse(
		    at, NULL,
		    "is \"latest\", so that who comes after the event of \"end_when\" would "
		    "wait for ever: leave \"start\" out for {\"last\": 1}, or write another");
}
