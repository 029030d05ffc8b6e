/*
 * Any record in both envelopes: what comes out is one JSON object on one line of UTF-8, and key and
 * value in it are the record's own.
 */
#include <assert.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "event/document.h"
#include "event/envelope.h"

enum { MAX_HEADERS = 8, HAS_KEY = 1, HAS_VALUE = 2, SELECTED = 4, HAS_TIME = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Takes as many bytes as the first one says, and there are. */
static struct slice take(struct slice *rest)
{
	size_t len = rest->len ? (unsigned char)rest->base[0] : 0, begin = rest->len > 0;
	struct slice taken;

	if (len > rest->len - begin)
		len = rest->len - begin;
	taken = (struct slice){rest->base + begin, len};
	*rest = (struct slice){taken.base + len, rest->len - begin - len};
	return taken;
}

/* Names are C strings in Kafka's protocol. */
static struct slice take_name(struct slice *rest)
{
	struct slice name = take(rest);

	return (struct slice){name.base, slice_find(name, 0, name.len, '\0')};
}

static json_t *parse(struct slice text)
{
	json_t *json =
	    json_loadb(text.base, text.len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);

	assert(json_is_object(json));
	assert(utf8_is_valid(text));
	assert(!memchr(text.base, '\n', text.len) && !memchr(text.base, '\r', text.len));
	return json;
}

static void check_base64(const json_t *text, struct slice bytes)
{
	size_t len = json_string_length(text);
	unsigned char *decoded = malloc(len + 1);

	assert(len == (bytes.len + 2) / 3 * 4);
	assert(EVP_DecodeBlock(decoded, (const unsigned char *)json_string_value(text), (int)len) >=
	       (int)bytes.len);
	assert(!memcmp(decoded, bytes.base, bytes.len));
	free(decoded);
}

static bool is_text(const json_t *json, struct slice text)
{
	return json_is_string(json) &&
	       slice_equal((struct slice){json_string_value(json), json_string_length(json)}, text);
}

static bool is_json(const json_t *json, struct slice text)
{
	json_t *parsed = json_loadb(
	    text.base, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
	bool is = parsed && json_equal(parsed, json);

	json_decref(parsed);
	return is;
}

static void check_key(const json_t *envelope, const struct record *record)
{
	const json_t *key = json_object_get(envelope, "key");

	if (!record->has_key)
		assert(json_is_null(key));
	else if (key)
		assert(is_text(key, record->key));
	else
		check_base64(json_object_get(envelope, "key_base64"), record->key);
}

static void check_value(const json_t *envelope, const char *name, const char *base64_name,
			const struct envelope_content *content)
{
	const json_t *value = json_object_get(envelope, name);
	const struct record *record = content->record;

	if (content->selected)
		assert(content->selection ? json_is_array(value) : json_is_null(value));
	else if (!record->has_value)
		assert(json_is_null(value));
	else if (value)
		assert(is_text(value, record->value) || is_json(value, record->value));
	else
		check_base64(json_object_get(envelope, base64_name), record->value);
}

static void check_record(const struct envelope_content *content)
{
	struct buffer out = {0};
	json_t *envelope;

	envelope_append_record(content, &out);
	envelope = parse(buffer_slice(&out));
	assert(json_object_size(envelope) == 7);
	check_key(envelope, content->record);
	check_value(envelope, "value", "value_base64", content);
	json_decref(envelope);
	buffer_free(&out);
}

static void check_attributes(json_t *event)
{
	static const char *const required[] = {"specversion", "id", "source", "type"};
	const char *name;
	json_t *value;

	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
		assert(json_string_length(json_object_get(event, required[i])));
	json_object_foreach(event, name, value)
	{
		if (!strncmp(name, "data", 4))
			continue;
		assert(!name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789")]);
		assert(json_string_length(value));
	}
}

static void check_cloudevent(const struct envelope_content *content)
{
	struct buffer out = {0};
	json_t *event;

	envelope_append_cloudevent(content, &out);
	event = parse(buffer_slice(&out));
	/* Structured mode. */
	if (!content->selected && is_json(event, content->record->value)) {
		json_decref(event);
		buffer_free(&out);
		return;
	}
	check_attributes(event);
	check_value(event, "data", "data_base64", content);
	json_decref(event);
	buffer_free(&out);
}

/* Flags, the number of headers, the key, each header's name and value; the rest is the value. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct slice rest;
	struct record_header headers[MAX_HEADERS];
	struct record record = {.topic = SLICE_LIT("topic"), .partition = 3, .offset = 17};
	struct envelope_content content = {.record = &record, .type = SLICE_LIT("type")};

	if (len < 2)
		return 0;
	rest = (struct slice){(const char *)bytes + 2, len - 2};
	record.has_key = bytes[0] & HAS_KEY;
	record.key = record.has_key ? take(&rest) : (struct slice){0};
	record.headers = headers;
	record.header_count = bytes[1] % (MAX_HEADERS + 1);
	for (size_t i = 0; i < record.header_count; i++) {
		headers[i].name = take_name(&rest);
		headers[i].value = take(&rest);
	}
	record.has_value = bytes[0] & HAS_VALUE;
	record.value = record.has_value ? rest : (struct slice){0};
	record.timestamp_ms = bytes[0] & HAS_TIME ? INT64_C(1767225600000) << (bytes[0] >> 4) : -1;
	content.selected = bytes[0] & SELECTED;
	content.selection = content.selected && len % 2 ? json_pack("[s]", "a\nb") : NULL;
	check_record(&content);
	check_cloudevent(&content);
	json_decref((json_t *)(uintptr_t)content.selection);
	return 0;
}
