#include "event/document.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "event/frame.h"
#include "event/json_pointer_priv.h"
#include "event/pattern.h"

enum { JSON_MAX_LEVELS = 64 };

/*
 * False for what jansson would take and a document must not have. Its own limit is 2048 levels of
 * recursion, and what walks the document later recurses too; and it takes a NUL for the end,
 * whatever follows. True says nothing about the rest, which jansson judges.
 */
static bool is_parsable(struct slice text)
{
	unsigned levels = 0;
	bool quoted = false;

	if (memchr(text.base, '\0', text.len))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		switch (text.base[i]) {
		case '\\':
			i++;
			break;
		case '"':
			quoted = !quoted;
			break;
		case '{':
		case '[':
			if (!quoted && ++levels > JSON_MAX_LEVELS)
				return false;
			break;
		case '}':
		case ']':
			if (!quoted && levels)
				levels--;
			break;
		}
	}
	return true;
}

/* The JSON number at `from`, as far as its bytes can belong to one. */
static struct slice number_at(struct slice text, size_t from)
{
	size_t end = from;

	while (end < text.len && (isdigit((unsigned char)text.base[end]) ||
				  memchr("+-.eE", text.base[end], sizeof("+-.eE") - 1)))
		end++;
	return (struct slice){text.base + from, end - from};
}

static void append_widened(struct buffer *out, struct slice number)
{
	size_t start = out->len;
	bool integer = true;

	for (size_t i = 0; i < number.len; i++)
		integer = integer && !memchr("+.eE", number.base[i], sizeof("+.eE") - 1);
	buffer_append_slice(out, number);
	if (!integer)
		return;
	errno = 0;
	(void)strtoll(buffer_text(out) + start, NULL, 10);
	if (errno == ERANGE)
		buffer_append_text(out, "e0");
}

/*
 * Writes integers that int64 has no room for as reals ("18446744073709551615e0"). Jansson refuses
 * them, and its way around (JSON_DECODE_INT_AS_REAL) would round every other integer of the record
 * above 2^53, so that an id could be taken for its neighbour's.
 */
static void widen_integers(struct slice text, struct buffer *out)
{
	bool quoted = false;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.base[i];

		if (!quoted && (c == '-' || isdigit((unsigned char)c))) {
			struct slice number = number_at(text, i);

			append_widened(out, number);
			i += number.len - 1;
			continue;
		}
		if (c == '"')
			quoted = !quoted;
		buffer_append(out, &c, 1);
		if (c == '\\' && i + 1 < text.len)
			buffer_append(out, &text.base[++i], 1);
	}
}

static json_t *load(struct slice text, json_error_t *error)
{
	return json_loadb(text.base, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, error);
}

json_t *document_parse(struct slice text)
{
	struct buffer widened = {0};
	json_error_t error;
	json_t *json;

	if (!text.len || !is_parsable(text))
		return NULL;
	json = load(text, &error);
	if (json || json_error_code(&error) != json_error_numeric_overflow)
		return json;
	widen_integers(text, &widened);
	json = load(buffer_slice(&widened), &error);
	buffer_free(&widened);
	return json;
}

json_t *document_string(struct slice text)
{
	json_t *json = text.len ? json_stringn(text.base, text.len) : json_string("");
	struct buffer repaired = {0};

	if (json)
		return json;
	frame_append_utf8(&repaired, text);
	json = json_stringn(repaired.base, repaired.len);
	assert(json);
	buffer_free(&repaired);
	return json;
}

static json_t *headers(const struct record *record)
{
	json_t *object = json_object();

	for (size_t i = 0; i < record->header_count; i++) {
		json_t *name = document_string(record->headers[i].name);

		json_object_setn_new(object, json_string_value(name), json_string_length(name),
				     document_string(record->headers[i].value));
		json_decref(name);
	}
	return object;
}

/* The key or the value in the form that is asked for; NULL: it can't be had so. */
static json_t *bytes(bool present, struct slice text, bool as_json)
{
	if (!present)
		return json_null();
	return as_json ? document_parse(text) : document_string(text);
}

static json_t *value(const struct record *record, unsigned parts)
{
	return record->left_out ? NULL
				: bytes(record->has_value, record->value, parts & DOCUMENT_VALUE);
}

/* Errors: ERROR_INVALID: there is none. */
static int add(json_t *document, const char *name, json_t *json, json_t *otherwise)
{
	if (!json)
		json = otherwise;
	return json_object_set_new(document, name, json) ? ERROR_INVALID : 0;
}

static void add_scalars(json_t *document, const struct record *record, unsigned parts)
{
	if (parts & DOCUMENT_TOPIC)
		json_object_set_new(document, "topic", document_string(record->topic));
	if (parts & DOCUMENT_PARTITION)
		json_object_set_new(document, "partition", json_integer(record->partition));
	if (parts & DOCUMENT_OFFSET)
		json_object_set_new(document, "offset", json_integer(record->offset));
	if ((parts & DOCUMENT_TIMESTAMP) && record->timestamp_ms >= 0)
		json_object_set_new(document, "timestamp", json_integer(record->timestamp_ms));
	if (parts & DOCUMENT_HEADERS)
		json_object_set_new(document, "headers", headers(record));
}

/* `otherwise` stands for what can't be had; NULL: that is an error. */
static int build(const struct record *record, unsigned parts, json_t *otherwise, json_t *document)
{
	int rc = 0;

	add_scalars(document, record, parts);
	if (parts & (DOCUMENT_KEY | DOCUMENT_KEY_JSON))
		rc = add(document, "key",
			 bytes(record->has_key, record->key, parts & DOCUMENT_KEY_JSON), otherwise);
	if (!rc && (parts & (DOCUMENT_VALUE | DOCUMENT_VALUE_TEXT)))
		rc = add(document, "value", value(record, parts), otherwise);
	return rc;
}

int document_build(const struct record *record, unsigned parts, json_t **document)
{
	json_t *built = json_object();
	int rc = build(record, parts, NULL, built);

	if (rc) {
		json_decref(built);
		return rc;
	}
	*document = built;
	return 0;
}

json_t *document_build_decodable(const struct record *record, unsigned parts)
{
	json_t *built = json_object();
	int rc = build(record, parts, pattern_unknown(), built);

	assert(!rc);
	return built;
}

unsigned document_parts_of(const struct pattern *pattern)
{
	static const struct {
		const char *root;
		unsigned itself, below;
	} rows[] = {
	    {"topic", DOCUMENT_TOPIC, DOCUMENT_TOPIC},
	    {"partition", DOCUMENT_PARTITION, DOCUMENT_PARTITION},
	    {"key", DOCUMENT_KEY, DOCUMENT_KEY_JSON},
	    {"headers", DOCUMENT_HEADERS, DOCUMENT_HEADERS},
	    {"value", DOCUMENT_VALUE, DOCUMENT_VALUE},
	};
	unsigned parts = 0;
	bool below;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (pattern_looks_at(pattern, rows[i].root, &below))
			parts |= below ? rows[i].below : rows[i].itself;
	return parts;
}

const json_t *document_at(const json_t *document, const char *pointer)
{
	return json_pointer_find(document, pointer);
}
