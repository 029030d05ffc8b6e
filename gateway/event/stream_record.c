/* What becomes of records that are no plain events: tombstones, too large, undecodable. */
#include "base/mem.h"
#include "event/stream_priv.h"

const char stream_record_tombstones_wanted[] =
    "\"event\", \"skip\" or {\"event\": TYPE}, one line such as \"deleted\"";

const char stream_record_tombstones_schema[] =
    "{\"anyOf\": [{\"enum\": [\"event\", \"skip\"]}, {\"type\": \"object\", \"properties\":"
    " {\"event\": {\"type\": \"string\", \"minLength\": 1}}, \"required\": [\"event\"],"
    " \"additionalProperties\": false}, {\"$ref\": \"#/$defs/environment\"}]}";

const char *const stream_record_fault_values[] = {
    [STREAM_FAULT_SKIP] = "skip",
    [STREAM_FAULT_ERROR] = "error",
    NULL,
};

static bool read_name(const char *name, struct stream *stream)
{
	if (!strcmp(name, "event"))
		stream->tombstones = STREAM_TOMBSTONES_EVENT;
	else if (!strcmp(name, "skip"))
		stream->tombstones = STREAM_TOMBSTONES_SKIP;
	else
		return false;
	return true;
}

static bool read_event(const json_t *value, struct stream *stream)
{
	const json_t *event = json_object_get(value, "event");
	const char *type = json_string_value(event);

	if (json_object_size(value) != 1 || !type || !*type ||
	    strlen(type) != json_string_length(event) || type[strcspn(type, "\r\n")])
		return false;
	stream->tombstones = STREAM_TOMBSTONES_NAMED;
	stream->tombstone_event = mem_strdup(type);
	return true;
}

void stream_record_read_tombstones(const struct config_at *at, const json_t *value, void *target)
{
	const char *name = json_string_value(value);

	if (name ? !read_name(name, target) : !read_event(value, target))
		config_refuse_value(at, value, stream_record_tombstones_wanted);
}
