/*
 * buffer: bytes that grow. Zero-initialise it (`struct buffer b = {0};`), buffer_free() it at the
 * end. A buffer is owned by one thread at a time.
 */
#ifndef SLUICE_BASE_BUFFER_H
#define SLUICE_BASE_BUFFER_H

#include <stdint.h>

#include "base/slice.h"

struct json_t;

struct buffer {
	char *base;
	size_t len;
	size_t capacity;
};

/* Makes room for `bytes` more and returns where they go; the caller adds what it wrote to len. */
char *buffer_reserve(struct buffer *buffer, size_t bytes);
void buffer_append(struct buffer *buffer, const void *bytes, size_t len);
void buffer_append_slice(struct buffer *buffer, struct slice slice);
void buffer_append_text(struct buffer *buffer, const char *text);
void buffer_append_format(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Appends `text` as a JSON string with its quotes (RFC 8259, 7); what is not UTF-8 becomes U+FFFD.
 */
void buffer_append_json_string(struct buffer *buffer, struct slice text);
/* Any JSON value, compact and on one line. */
void buffer_append_json(struct buffer *buffer, const struct json_t *json);
/* Decimal digits, without the cost of a format. */
void buffer_append_u64(struct buffer *buffer, uint64_t number);

/* Terminates with a NUL that is not counted and returns the bytes as a string, borrowed. */
const char *buffer_text(struct buffer *buffer);

static inline struct slice buffer_slice(const struct buffer *buffer)
{
	return (struct slice){buffer->base, buffer->len};
}

static inline void buffer_clear(struct buffer *buffer)
{
	buffer->len = 0;
}

void buffer_free(struct buffer *buffer);

#endif
