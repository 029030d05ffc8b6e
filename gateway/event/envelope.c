#include <openssl/evp.h>

#include "base/utf8.h"
#include "event/document.h"
#include "event/envelope_priv.h"

static void append_base64(struct slice bytes, struct buffer *out)
{
	/* It ends with a NUL that is not counted. */
	char *to = buffer_reserve(out, (bytes.len + 2) / 3 * 4 + 1);

	out->len += (size_t)EVP_EncodeBlock((unsigned char *)to, (const unsigned char *)bytes.base,
					    (int)bytes.len);
}

static bool is_whitespace(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Where the run of whitespace, or of all else, that begins at `from` ends. What stands in quotes is
 * no whitespace. */
static size_t run_end(struct slice json, size_t from, bool white, bool *quoted)
{
	size_t at = from;

	for (; at < json.len && (!*quoted && is_whitespace(json.base[at])) == white; at++) {
		if (json.base[at] == '"')
			*quoted = !*quoted;
		else if (*quoted && json.base[at] == '\\')
			at++;
	}
	return at;
}

/* No two tokens of JSON have whitespace alone between them: without it they are the same. */
static void append_minified(struct slice json, struct buffer *out)
{
	bool quoted = false;

	for (size_t from = 0, end; from < json.len; from = end) {
		size_t start = run_end(json, from, true, &quoted);

		end = run_end(json, start, false, &quoted);
		buffer_append(out, json.base + start, end - start);
	}
}

void envelope_append_json(struct slice json, struct buffer *out)
{
	bool one_line = slice_find(json, 0, json.len, '\n') == json.len &&
			slice_find(json, 0, json.len, '\r') == json.len;

	if (one_line)
		buffer_append_slice(out, json);
	else
		append_minified(json, out);
}

enum envelope_form envelope_form_of_text(bool present, struct slice bytes)
{
	if (!present)
		return ENVELOPE_NULL;
	return utf8_is_valid(bytes) ? ENVELOPE_TEXT : ENVELOPE_BASE64;
}

/* A document that has the value as an object or a list has parsed it already. */
static bool is_json(const struct envelope_content *content)
{
	const json_t *value = json_object_get(content->document, "value");
	json_t *parsed;

	if (json_is_object(value) || json_is_array(value))
		return true;
	parsed = document_parse(content->record->value);
	json_decref(parsed);
	return parsed;
}

enum envelope_form envelope_form_of_value(const struct envelope_content *content)
{
	const struct record *record = content->record;

	if (content->selected)
		return content->selection ? ENVELOPE_JSON : ENVELOPE_NULL;
	if (record->has_value && is_json(content))
		return ENVELOPE_JSON;
	return envelope_form_of_text(record->has_value, record->value);
}

void envelope_open(const json_t *head, struct buffer *out)
{
	buffer_append_json(out, head);
	out->len--;
}

static void append_name(const char *name, const char *suffix, struct buffer *out)
{
	buffer_append_text(out, ",\"");
	buffer_append_text(out, name);
	buffer_append_text(out, suffix);
	buffer_append_text(out, "\":");
}

void envelope_append_member(const char *name, enum envelope_form form, struct slice bytes,
			    struct buffer *out)
{
	append_name(name, form == ENVELOPE_BASE64 ? "_base64" : "", out);
	switch (form) {
	case ENVELOPE_NULL:
		buffer_append_text(out, "null");
		break;
	case ENVELOPE_JSON:
		envelope_append_json(bytes, out);
		break;
	case ENVELOPE_TEXT:
		buffer_append_json_string(out, bytes);
		break;
	case ENVELOPE_BASE64:
		buffer_append_text(out, "\"");
		append_base64(bytes, out);
		buffer_append_text(out, "\"");
		break;
	}
}

void envelope_append_value(const char *name, enum envelope_form form,
			   const struct envelope_content *content, struct buffer *out)
{
	if (content->selection) {
		append_name(name, "", out);
		buffer_append_json(out, content->selection);
	} else {
		envelope_append_member(name, form, content->record->value, out);
	}
}

static json_t *header_value(struct slice value)
{
	struct buffer encoded = {0};
	json_t *json;

	if (!value.base)
		return json_null();
	if (utf8_is_valid(value))
		return document_string(value);
	append_base64(value, &encoded);
	json = json_pack("{s:s#}", "base64", encoded.base, (int)encoded.len);
	buffer_free(&encoded);
	return json;
}

/* A further one of a name makes a list. */
static void add_header(json_t *headers, const struct record_header *header)
{
	json_t *name = document_string(header->name), *value = header_value(header->value);
	const char *text = json_string_value(name);
	size_t len = json_string_length(name);
	json_t *there = json_object_getn(headers, text, len);

	if (json_is_array(there))
		json_array_append_new(there, value);
	else if (there)
		json_object_setn_new(headers, text, len, json_pack("[O, o]", there, value));
	else
		json_object_setn_new(headers, text, len, value);
	json_decref(name);
}

static void append_head(const struct record *record, struct buffer *out)
{
	buffer_append_text(out, "{\"topic\":");
	buffer_append_json_string(out, record->topic);
	buffer_append_format(out, ",\"partition\":%d,\"offset\":%lld,\"timestamp\":",
			     (int)record->partition, (long long)record->offset);
	if (record->timestamp_ms < 0)
		buffer_append_text(out, "null");
	else
		buffer_append_u64(out, (uint64_t)record->timestamp_ms);
}

static void append_headers(const struct record *record, struct buffer *out)
{
	json_t *headers = json_object();

	for (size_t i = 0; i < record->header_count; i++)
		add_header(headers, &record->headers[i]);
	append_name("headers", "", out);
	buffer_append_json(out, headers);
	json_decref(headers);
}

static void append_key(const struct record *record, struct buffer *out)
{
	envelope_append_member("key", envelope_form_of_text(record->has_key, record->key),
			       record->key, out);
}

void envelope_append_record(const struct envelope_content *content, struct buffer *out)
{
	append_head(content->record, out);
	append_key(content->record, out);
	append_headers(content->record, out);
	envelope_append_value("value", envelope_form_of_value(content), content, out);
	buffer_append_text(out, "}");
}

void envelope_append_key(const struct record *record, struct buffer *out)
{
	size_t start = out->len;

	append_key(record, out);
	out->base[start] = '{';
	buffer_append_text(out, "}");
}
