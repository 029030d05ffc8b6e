#include "base/buffer.h"

#include <assert.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"

enum { FIRST_CAPACITY = 64, U64_MAX_DIGITS = 20 };

char *buffer_reserve(struct buffer *buffer, size_t bytes)
{
	size_t capacity = buffer->capacity ? buffer->capacity : FIRST_CAPACITY;

	assert(bytes <= SIZE_MAX / 4 && buffer->len <= SIZE_MAX / 4);
	if (buffer->base && buffer->capacity - buffer->len >= bytes)
		return buffer->base + buffer->len;
	while (capacity - buffer->len < bytes)
		capacity *= 2;
	buffer->base = mem_realloc(buffer->base, capacity);
	buffer->capacity = capacity;
	return buffer->base + buffer->len;
}

void buffer_append(struct buffer *buffer, const void *bytes, size_t len)
{
	if (!len)
		return;
	memcpy(buffer_reserve(buffer, len), bytes, len);
	buffer->len += len;
}

void buffer_append_slice(struct buffer *buffer, struct slice slice)
{
	buffer_append(buffer, slice.base, slice.len);
}

void buffer_append_text(struct buffer *buffer, const char *text)
{
	buffer_append(buffer, text, strlen(text));
}

void buffer_append_format(struct buffer *buffer, const char *format, ...)
{
	va_list arguments, again;
	int len;

	va_start(arguments, format);
	va_copy(again, arguments);
	len = vsnprintf(NULL, 0, format, arguments);
	assert(len >= 0);
	vsnprintf(buffer_reserve(buffer, (size_t)len + 1), (size_t)len + 1, format, again);
	buffer->len += (size_t)len;
	va_end(again);
	va_end(arguments);
}

static bool json_needs_escape(char c)
{
	return (unsigned char)c < 0x20 || c == '"' || c == '\\';
}

static void append_json_escape(struct buffer *buffer, char c)
{
	static const char short_forms[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (const char *pair = short_forms; *pair; pair += 2) {
		if (pair[0] == c) {
			buffer_append(buffer, (char[]){'\\', pair[1]}, 2);
			return;
		}
	}
	buffer_append_format(buffer, "\\u%04x", (unsigned)(unsigned char)c);
}

static void append_json_escaped(struct buffer *buffer, struct slice text)
{
	size_t from = 0;

	for (size_t at = 0; at < text.len; at++) {
		if (!json_needs_escape(text.base[at]))
			continue;
		buffer_append(buffer, text.base + from, at - from);
		append_json_escape(buffer, text.base[at]);
		from = at + 1;
	}
	if (from < text.len)
		buffer_append(buffer, text.base + from, text.len - from);
}

void buffer_append_json_string(struct buffer *buffer, struct slice text)
{
	size_t ill_formed, span;

	buffer_append(buffer, "\"", 1);
	while (text.len) {
		span = utf8_span(text, &ill_formed);
		append_json_escaped(buffer, (struct slice){text.base, span});
		if (ill_formed)
			buffer_append_slice(buffer, UTF8_REPLACEMENT);
		text.base += span + ill_formed;
		text.len -= span + ill_formed;
	}
	buffer_append(buffer, "\"", 1);
}

static int append_dump(const char *bytes, size_t len, void *buffer)
{
	buffer_append(buffer, bytes, len);
	return 0;
}

void buffer_append_json(struct buffer *buffer, const struct json_t *json)
{
	json_dump_callback(json, append_dump, buffer, JSON_COMPACT | JSON_ENCODE_ANY);
}

void buffer_append_u64(struct buffer *buffer, uint64_t number)
{
	char digits[U64_MAX_DIGITS];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	buffer_append(buffer, digits + at, sizeof(digits) - at);
}

const char *buffer_text(struct buffer *buffer)
{
	*buffer_reserve(buffer, 1) = '\0';
	return buffer->base;
}

void buffer_free(struct buffer *buffer)
{
	free(buffer->base);
	*buffer = (struct buffer){0};
}
