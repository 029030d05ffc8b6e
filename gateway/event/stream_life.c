/* What a stream says beside the records' events, and when it ends by itself. */
#include <stdlib.h>

#include "base/mem.h"
#include "event/frame.h"
#include "event/json_template_priv.h"
#include "event/stream_priv.h"

#define FIELD(member) CONFIG_FIELD(struct stream, member)

static const char *const heartbeat_kinds[] = {
    [STREAM_HEARTBEAT_ID] = "id",
    [STREAM_HEARTBEAT_COMMENT] = "comment",
    [STREAM_HEARTBEAT_EVENT] = "event",
    NULL,
};

static void check_name(const struct config_at *at, const char *name)
{
	if (name && name[strcspn(name, "\r\n")])
		config_refuse(at, NULL, "must be one line");
}

static void check_welcome_event(const struct config_at *at, void *target)
{
	check_name(at, ((const struct stream *)target)->welcome_event);
}

static const struct setting welcome_settings[] = {
    {.name = "event",
     .type = SETTING_STRING,
     FIELD(welcome_event),
     .min = 1,
     .fallback = "welcome",
     .check = check_welcome_event,
     .doc = "The event's type."},
    {.name = "data",
     .type = SETTING_CUSTOM,
     .required = true,
     .read = stream_pattern_read_welcome,
     .wanted = "any JSON; strings in it may hold {path.x}, {query.x}, {header.x} and {claims.x}",
     .schema = "{}",
     .doc = "The event's data; a string that is one variable stands for its value."},
};

static void fini_welcome(void *target)
{
	json_template_free(((struct stream *)target)->welcome);
}

const struct config_table stream_life_welcome_table = {
    CONFIG_ROWS(welcome_settings),
    .bytes = sizeof(struct stream),
    .fini = fini_welcome,
};

int stream_append_welcome(const struct stream *stream, const json_t *variables, struct buffer *out)
{
	struct buffer data = {0};
	int rc;

	if (!stream->welcome)
		return 0;
	rc = json_template_render(stream->welcome, variables, &data);
	if (!rc)
		frame_append(out, &(struct frame){
				      .event = slice_of(stream->welcome_event),
				      .data = buffer_slice(&data),
				      .has_data = true,
				      .retry_ms = -1,
				  });
	buffer_free(&data);
	return rc;
}

/* After "as". */
static void check_heartbeat_event(const struct config_at *at, void *target)
{
	struct stream *stream = target;

	if (stream->heartbeat_event && stream->heartbeat_as != STREAM_HEARTBEAT_EVENT)
		config_refuse(at, NULL,
			      "is the type of an event: write \"as\": \"event\" beside it");
	if (!stream->heartbeat_event)
		stream->heartbeat_event = mem_strdup("heartbeat");
	check_name(at, stream->heartbeat_event);
}

static const struct setting heartbeat_settings[] = {
    {.name = "every",
     .type = SETTING_DURATION,
     FIELD(heartbeat_ms),
     .min = 100,
     .max = 3600000,
     .fallback = "15s",
     .doc = "How long a stream is silent before it is sent."},
    {.name = "as",
     .type = SETTING_ENUM,
     FIELD(heartbeat_as),
     .fallback = "id",
     .values = heartbeat_kinds,
     .doc = "Whether it is an id alone, or has a comment or an event beside it."},
    {.name = "event",
     .type = SETTING_STRING,
     FIELD(heartbeat_event),
     .min = 1,
     .check = check_heartbeat_event,
     .doc = "The event's type."},
};

static const struct config_table heartbeat_table = {
    CONFIG_ROWS(heartbeat_settings),
    .bytes = sizeof(struct stream),
};

const char stream_life_heartbeat_wanted[] =
    "a duration from 100ms to 1h, or {\"every\": a duration, \"as\": \"id\", \"comment\" or "
    "\"event\", \"event\": a name}";

#define DURATION_SCHEMA                                                                            \
	"{\"anyOf\": [{\"type\": \"integer\", \"minimum\": 100, \"maximum\": 3600000},"            \
	" {\"type\": \"string\", \"pattern\": \"^[0-9]+(ms|s|m|h|d)$\"},"                          \
	" {\"$ref\": \"#/$defs/environment\"}]}"

const char stream_life_heartbeat_schema[] =
    "{\"anyOf\": [" DURATION_SCHEMA ", {\"type\": \"object\", \"additionalProperties\": false,"
    " \"properties\": {\"every\": " DURATION_SCHEMA ", \"as\": {\"anyOf\": [{\"enum\": [\"id\","
    " \"comment\", \"event\"]}, {\"$ref\": \"#/$defs/environment\"}]},"
    " \"event\": {\"type\": \"string\", \"minLength\": 1}}}]}";

void stream_life_read_heartbeat(const struct config_at *at, const json_t *value, void *target)
{
	const struct setting *every = &heartbeat_settings[0];

	if (json_is_object(value))
		config_read_object(at, value, &heartbeat_table, target);
	else
		config_read_as(at, value, every, target);
}

void stream_life_check_idle_timeout(const struct config_at *at, void *target)
{
	const struct stream *stream = target;

	if (stream->max_age_ms && stream->idle_timeout_ms >= stream->max_age_ms)
		config_refuse(at, NULL,
			      "is never reached, as \"max_age\" is no longer: make it shorter");
}

void stream_life_fini(struct stream *stream)
{
	free(stream->heartbeat_event);
}
