#include "event/mapping.h"

#include <stdlib.h>

#include "event/document.h"
#include "event/frame.h"
#include "event/mapping_priv.h"

static void origin_fini(struct mapping_origin *origin)
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

/* Borrowed where it is a text already, else made in `own`, which is empty. */
static struct slice text_of(const json_t *json, struct buffer *own)
{
	if (json_is_string(json))
		return (struct slice){json_string_value(json), json_string_length(json)};
	buffer_append_json(own, json);
	return buffer_slice(own);
}

static bool ends_field(char c)
{
	return c == '\0' || c == '\r' || c == '\n';
}

/* A field of one line; empty where there is nothing, or null. `own` is empty and holds what can't
 * be borrowed. */
static struct slice find_line(const struct mapping_origin *origin, const json_t *document,
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
	return retry_ms <= MAPPING_RETRY_MAX_MS ? retry_ms : -1;
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
	return number >= 0 && number <= MAPPING_RETRY_MAX_MS ? (int64_t)number : -1;
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
