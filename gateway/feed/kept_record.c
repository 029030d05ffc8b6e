#include "feed/kept_record_priv.h"

#include <assert.h>

/*
 * In host order: i64 timestamp, u32 number of headers, then key, value, and each header's name and
 * value as u32 length and bytes; no bytes at all have the length NONE, a value that is left out
 * LEFT_OUT.
 */
enum { NUMBER_BYTES = 4 };
static const uint32_t NONE = UINT32_MAX, LEFT_OUT = UINT32_MAX - 1;

static void append_number(struct buffer *out, uint32_t number)
{
	buffer_append(out, &number, sizeof(number));
}

static void append_bytes(struct buffer *out, bool present, struct slice bytes)
{
	assert(bytes.len < LEFT_OUT);
	append_number(out, present ? (uint32_t)bytes.len : NONE);
	if (present && bytes.len)
		buffer_append_slice(out, bytes);
}

void kept_record_append(const struct record *record, struct buffer *out)
{
	buffer_append(out, &record->timestamp_ms, sizeof(record->timestamp_ms));
	append_number(out, (uint32_t)record->header_count);
	append_bytes(out, record->has_key, record->key);
	if (record->left_out)
		append_number(out, LEFT_OUT);
	else
		append_bytes(out, record->has_value, record->value);
	for (size_t i = 0; i < record->header_count; i++) {
		const struct record_header *header = &record->headers[i];

		append_bytes(out, true, header->name);
		append_bytes(out, header->value.base, header->value);
	}
}

void kept_record_append_key(const struct record *record, struct buffer *out)
{
	const struct record key = {.has_key = record->has_key, .key = record->key};

	kept_record_append(&key, out);
}

static void take(struct slice *rest, void *to, size_t len)
{
	assert(len <= rest->len);
	memcpy(to, rest->base, len);
	*rest = (struct slice){rest->base + len, rest->len - len};
}

/* False, and the slice is empty, where there are none. */
static bool take_bytes(struct slice *rest, struct slice *bytes)
{
	uint32_t len;

	*bytes = (struct slice){0};
	take(rest, &len, NUMBER_BYTES);
	if (len == NONE)
		return false;
	assert(len <= rest->len);
	*bytes = (struct slice){rest->base, len};
	*rest = (struct slice){rest->base + len, rest->len - len};
	return true;
}

static void take_value(struct slice *rest, struct record *record)
{
	uint32_t len;
	struct slice ahead = *rest;

	take(&ahead, &len, NUMBER_BYTES);
	record->left_out = len == LEFT_OUT;
	if (record->left_out)
		*rest = ahead;
	record->has_value = record->left_out || take_bytes(rest, &record->value);
}

/* What stands before the key; returns the number of headers. */
static uint32_t take_start(struct slice *rest, int64_t *timestamp_ms)
{
	uint32_t count;

	take(rest, timestamp_ms, sizeof(*timestamp_ms));
	take(rest, &count, NUMBER_BYTES);
	return count;
}

bool kept_record_key(struct slice bytes, struct slice *key)
{
	int64_t timestamp_ms;

	(void)take_start(&bytes, &timestamp_ms);
	return take_bytes(&bytes, key);
}

void kept_record_read(struct slice bytes, struct buffer *headers, struct record *record)
{
	uint32_t count;

	buffer_clear(headers);
	count = take_start(&bytes, &record->timestamp_ms);
	record->has_key = take_bytes(&bytes, &record->key);
	take_value(&bytes, record);
	for (uint32_t i = 0; i < count; i++) {
		struct record_header header;

		(void)take_bytes(&bytes, &header.name);
		(void)take_bytes(&bytes, &header.value);
		buffer_append(headers, &header, sizeof(header));
	}
	record->headers = (const struct record_header *)(const void *)headers->base;
	record->header_count = count;
}
