/* A configuration's `event` object becomes a mapping. */
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "event/document.h"
#include "event/json_pointer_priv.h"
#include "event/mapping_priv.h"

enum { POINTER_BYTES = 256, REASON_BYTES = 256 };

/* What a pointer may start with: needed for the field itself, and for what is below it (0: nothing
 * is). */
static const struct root {
	const char *name;
	unsigned itself;
	unsigned below;
} roots[] = {
    {"topic", DOCUMENT_TOPIC, 0},
    {"partition", DOCUMENT_PARTITION, 0},
    {"offset", DOCUMENT_OFFSET, 0},
    {"timestamp", DOCUMENT_TIMESTAMP, 0},
    {"key", DOCUMENT_KEY, DOCUMENT_KEY_JSON},
    {"headers", DOCUMENT_HEADERS, DOCUMENT_HEADERS},
    {"value", DOCUMENT_VALUE, DOCUMENT_VALUE},
};

/* A configuration's `event` object while it is read. */
struct reader {
	struct mapping *mapping;
	char *pointer;
	char *reason;
};

__attribute__((format(printf, 3, 4))) static int refuse(struct reader *reader, const char *field,
							const char *format, ...)
{
	struct buffer pointer = {0};
	va_list arguments;

	if (field)
		json_pointer_append(&pointer, field);
	snprintf(reader->pointer, POINTER_BYTES, "%s", buffer_text(&pointer));
	buffer_free(&pointer);
	va_start(arguments, format);
	vsnprintf(reader->reason, REASON_BYTES, format, arguments);
	va_end(arguments);
	return ERROR_INVALID;
}

/* The document parts that a pointer needs; 0 with `reason` where there is nothing that it could
 * point at. */
static unsigned parts_of(const char *pointer, char *reason)
{
	size_t len = strcspn(pointer + 1, "/");
	bool below = pointer[1 + len];

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		if (strlen(roots[i].name) != len || memcmp(roots[i].name, pointer + 1, len))
			continue;
		if (below && !roots[i].below)
			snprintf(reason, REASON_BYTES, "\"/%s\" has nothing below it",
				 roots[i].name);
		return below ? roots[i].below : roots[i].itself;
	}
	snprintf(
	    reason, REASON_BYTES,
	    "\"%.60s\" points at nothing: a pointer starts with /value, /key, /headers, /topic, "
	    "/partition, /offset or /timestamp, and a text that starts with / is written //",
	    pointer);
	return 0;
}

static int read_pointer(struct reader *reader, const char *field, const char *text,
			struct mapping_origin *origin)
{
	char reason[REASON_BYTES];
	unsigned parts = parts_of(text, reason);

	if (!parts)
		return refuse(reader, field, "%s", reason);
	if (!json_pointer_is_escaped(text))
		return refuse(reader, field,
			      "in a JSON pointer ~ is written ~0, and / in a name ~1 (RFC 6901)");
	reader->mapping->parts |= parts;
	origin->pointer = mem_strdup(text);
	return 0;
}

static int read_origin(struct reader *reader, const char *field, const json_t *source,
		       struct mapping_origin *origin)
{
	const char *text = json_string_value(source);

	if (!text)
		return refuse(reader, field,
			      "must be a string: a JSON pointer such as "
			      "\"/value/type\", or a constant");
	if (strlen(text) != json_string_length(source))
		return refuse(reader, field, "must not hold a NUL");
	if (text[0] == '/' && text[1] != '/')
		return read_pointer(reader, field, text, origin);
	origin->constant = mem_strdup(text[0] == '/' ? text + 1 : text);
	return 0;
}

static int read_event(struct reader *reader, const char *field, const json_t *source)
{
	struct mapping_origin *event = &reader->mapping->event;
	int rc = read_origin(reader, field, source, event);

	if (!rc && event->constant && event->constant[strcspn(event->constant, "\r\n")])
		return refuse(reader, field, "must be one line");
	return rc;
}

static int read_data(struct reader *reader, const char *field, const json_t *source)
{
	return read_origin(reader, field, source, &reader->mapping->data);
}

static int read_id(struct reader *reader, const char *field, const json_t *source)
{
	struct mapping_origin *id = &reader->mapping->id;
	int rc = read_origin(reader, field, source, id);

	if (!rc && id->constant)
		return refuse(
		    reader, field,
		    "must be a JSON pointer such as \"/value/id\": nobody can resume from an id "
		    "that all events share");
	return rc;
}

static int read_retry(struct reader *reader, const char *field, const json_t *source)
{
	const char *text = json_string_value(source);
	json_int_t retry_ms = json_integer_value(source);

	if (text && text[0] == '/' && text[1] != '/')
		return read_origin(reader, field, source, &reader->mapping->retry);
	if (!json_is_integer(source) || retry_ms < 0 || retry_ms > MAPPING_RETRY_MAX_MS)
		return refuse(
		    reader, field,
		    "must be milliseconds, an integer from 0 to %d, or a JSON pointer such as "
		    "\"/value/retry\"",
		    MAPPING_RETRY_MAX_MS);
	reader->mapping->retry_ms = retry_ms;
	return 0;
}

static int read_envelope(struct reader *reader, const char *field, const json_t *source)
{
	static const char *const names[] = {
	    [ENVELOPE_NONE] = "none",
	    [ENVELOPE_RECORD] = "record",
	    [ENVELOPE_CLOUDEVENTS] = "cloudevents",
	};
	const char *name = json_string_value(source);

	for (size_t i = 0; name && i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], name))
			continue;
		reader->mapping->envelope = (enum envelope)i;
		return 0;
	}
	return refuse(reader, field, "must be \"none\", \"record\" or \"cloudevents\"");
}

static const struct field {
	const char *name;
	int (*read)(struct reader *reader, const char *field, const json_t *source);
} fields[] = {
    {"event", read_event}, {"data", read_data},         {"id", read_id},
    {"retry", read_retry}, {"envelope", read_envelope},
};

static bool is_field(const char *name)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (!strcmp(fields[i].name, name))
			return true;
	return false;
}

static int read_fields(struct reader *reader, const json_t *source)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < sizeof(fields) / sizeof(fields[0]); i++) {
		const json_t *field = json_object_get(source, fields[i].name);

		if (field)
			rc = fields[i].read(reader, fields[i].name, field);
	}
	return rc;
}

/* The first name that is no field; NULL where there is none. Jansson iterates without const, though
 * it changes nothing. */
static const char *unknown_field(const json_t *source)
{
	json_t *object = (json_t *)(uintptr_t)source;
	const char *name;
	json_t *value;

	json_object_foreach(object, name, value) if (!is_field(name)) return name;
	return NULL;
}

static int read_mapping(struct reader *reader, const json_t *source)
{
	const char *unknown;

	if (!json_is_object(source))
		return refuse(reader, NULL,
			      "must be an object of event, data, id, retry and envelope");
	unknown = unknown_field(source);
	if (unknown)
		return refuse(reader, unknown,
			      "unknown field; known are event, data, id, retry and envelope");
	return read_fields(reader, source);
}

int mapping_compile(const json_t *source, struct mapping **mapping, char *pointer, char *reason)
{
	struct mapping *compiled = MEM_NEW(struct mapping);
	struct reader reader = {.mapping = compiled, .pointer = pointer, .reason = reason};
	int rc;

	compiled->retry_ms = -1;
	rc = source ? read_mapping(&reader, source) : 0;
	if (rc) {
		mapping_free(compiled);
		return rc;
	}
	*mapping = compiled;
	return 0;
}
