#include "event/mapping.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/mem.h"
#include "event/document.h"
#include "event/envelope.h"
#include "event/frame.h"
#include "event/json_pointer_priv.h"

enum { POINTER_BYTES = 256, REASON_BYTES = 256, RETRY_MAX_MS = INT32_MAX };

/* Where a field comes from; neither: the field is not mapped. */
struct origin {
	char *pointer;
	char *constant;
};

struct mapping {
	struct origin event, data, id, retry;
	int64_t retry_ms; /* the constant; < 0: none */
	enum envelope envelope;
	unsigned parts;
};

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
			struct origin *origin)
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
		       struct origin *origin)
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
	struct origin *event = &reader->mapping->event;
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
	struct origin *id = &reader->mapping->id;
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
	if (!json_is_integer(source) || retry_ms < 0 || retry_ms > RETRY_MAX_MS)
		return refuse(
		    reader, field,
		    "must be milliseconds, an integer from 0 to %d, or a JSON pointer such as "
		    "\"/value/retry\"",
		    RETRY_MAX_MS);
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

static void origin_fini(struct origin *origin)
{
	free(origin->pointer);
	free(origin->constant);
}

void mapping_free(struct mapping *mapping)
{
	if (!mapping)
		return;
	origin_fini(&mapping->event);
	origin_fini(&mapping->data);
	origin_fini(&mapping->id);
	origin_fini(&mapping->retry);
	free(mapping);
}

unsigned mapping_parts(const struct mapping *mapping)
{
	return mapping->parts;
}

bool mapping_has_custom_id(const struct mapping *mapping)
{
	return mapping->id.pointer;
}

static int append_dump(const char *bytes, size_t len, void *out)
{
	buffer_append(out, bytes, len);
	return 0;
}

/* Borrowed where it is a text already, else made in `own`, which is empty. */
static struct slice text_of(const json_t *json, struct buffer *own)
{
	if (json_is_string(json))
		return (struct slice){json_string_value(json), json_string_length(json)};
	json_dump_callback(json, append_dump, own, JSON_COMPACT | JSON_ENCODE_ANY);
	return buffer_slice(own);
}

static bool ends_field(char c)
{
	return c == '\0' || c == '\r' || c == '\n';
}

/* A field of one line; empty where there is nothing, or null. `own` is empty and holds what can't
 * be borrowed. */
static struct slice find_line(const struct origin *origin, const json_t *document,
			      struct buffer *own)
{
	const json_t *json;
	struct slice text;
	size_t clean = 0;

	if (origin->constant)
		return slice_of(origin->constant);
	json = origin->pointer ? document_at(document, origin->pointer) : NULL;
	if (!json || json_is_null(json))
		return (struct slice){0};
	text = text_of(json, own);
	while (clean < text.len && !ends_field(text.base[clean]))
		clean++;
	if (clean == text.len)
		return text;
	for (size_t i = 0; i < text.len; i++)
		if (!ends_field(text.base[i]))
			buffer_append(own, &text.base[i], 1);
	return buffer_slice(own);
}

/* Milliseconds of one to ten digits, as headers have them; < 0 for anything else. */
static int64_t parse_retry(struct slice text)
{
	enum { MAX_DIGITS = 10 };
	int64_t retry_ms = 0;

	if (!text.len || text.len > MAX_DIGITS)
		return -1;
	for (size_t i = 0; i < text.len; i++) {
		if (text.base[i] < '0' || text.base[i] > '9')
			return -1;
		retry_ms = 10 * retry_ms + text.base[i] - '0';
	}
	return retry_ms <= RETRY_MAX_MS ? retry_ms : -1;
}

static int64_t find_retry(const struct mapping *mapping, const json_t *document)
{
	const json_t *json;
	double number;

	if (!mapping->retry.pointer)
		return mapping->retry_ms;
	json = document_at(document, mapping->retry.pointer);
	if (json_is_string(json))
		return parse_retry(
		    (struct slice){json_string_value(json), json_string_length(json)});
	number = json_is_number(json) ? json_number_value(json) : -1;
	return number >= 0 && number <= RETRY_MAX_MS ? (int64_t)number : -1;
}

/* What `data` says, as JSON: a new reference, or NULL. */
static json_t *select_json(const struct mapping *mapping, const json_t *document)
{
	if (mapping->data.constant)
		return json_string(mapping->data.constant);
	/* Jansson counts references of what is constant to us, too. */
	return json_incref((json_t *)(uintptr_t)document_at(document, mapping->data.pointer));
}

static void append_envelope(const struct mapping *mapping, const struct envelope_content *content,
			    struct buffer *out)
{
	if (mapping->envelope == ENVELOPE_RECORD)
		envelope_append_record(content, out);
	else
		envelope_append_cloudevent(content, out);
}

static void append_enveloped(const struct mapping *mapping, const struct record *record,
			     const json_t *document, struct slice type, struct buffer *out)
{
	bool selected = mapping->data.constant || mapping->data.pointer;
	json_t *selection = selected ? select_json(mapping, document) : NULL;
	const struct envelope_content content = {record, document, selected, selection, type};

	append_envelope(mapping, &content, out);
	json_decref(selection);
}

/* False where the event has no data. `own` as in find_line(). */
static bool find_data(const struct mapping *mapping, const struct record *record,
		      const json_t *document, struct slice type, struct buffer *own,
		      struct slice *data)
{
	const json_t *json;

	if (mapping->envelope) {
		append_enveloped(mapping, record, document, type, own);
		*data = buffer_slice(own);
		return true;
	}
	if (mapping->data.constant) {
		*data = slice_of(mapping->data.constant);
		return true;
	}
	if (!mapping->data.pointer) {
		*data = record->has_value ? record->value : (struct slice){0};
		return true;
	}
	json = document_at(document, mapping->data.pointer);
	if (json)
		*data = text_of(json, own);
	return json;
}

struct slice mapping_custom_id(const struct mapping *mapping, const json_t *document,
			       struct buffer *own)
{
	buffer_clear(own);
	return find_line(&mapping->id, document, own);
}

/* With the mapping's own id, else `id`, and its retry. */
static void append_frame(const struct mapping *mapping, const json_t *document, struct slice id,
			 struct frame *frame, struct buffer *out)
{
	struct buffer own_id = {0};

	frame->id = mapping_custom_id(mapping, document, &own_id);
	if (!frame->id.len)
		frame->id = id;
	frame->retry_ms = find_retry(mapping, document);
	frame_append(out, frame);
	buffer_free(&own_id);
}

void mapping_append_frame(const struct mapping *mapping, const struct record *record,
			  const json_t *document, struct slice id, struct buffer *out)
{
	struct buffer own_event = {0}, own_data = {0};
	struct frame frame = {.event = find_line(&mapping->event, document, &own_event)};

	frame.has_data = find_data(mapping, record, document, frame.event, &own_data, &frame.data);
	append_frame(mapping, document, id, &frame, out);
	buffer_free(&own_event);
	buffer_free(&own_data);
}

void mapping_append_tombstone(const struct mapping *mapping, const char *type,
			      const struct record *record, const json_t *document, struct slice id,
			      struct buffer *out)
{
	const struct envelope_content content = {.record = record, .type = slice_of(type)};
	struct buffer own_data = {0};
	struct frame frame = {.event = content.type, .has_data = true};

	if (mapping->envelope)
		append_envelope(mapping, &content, &own_data);
	else
		envelope_append_key(record, &own_data);
	frame.data = buffer_slice(&own_data);
	append_frame(mapping, document, id, &frame, out);
	buffer_free(&own_data);
}
