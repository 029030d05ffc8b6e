/*
 * An HTTP/2 client that sends the very frames it is told to.
 */
#ifndef SLUICE_TESTS_HTTP_HTTP2_CLIENT_H
#define SLUICE_TESTS_HTTP_HTTP2_CLIENT_H

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "unit/http/client.h"

struct http2_client {
	struct client client;
	nghttp2_hd_inflater *inflater;
	/* The last frame. */
	uint8_t type, flags;
	uint32_t id;
	struct buffer payload;
	int status;           /* of the last HEADERS */
	struct buffer fields; /* "name: value\n" of it */
};

static inline void http2_send_frame(struct http2_client *http2, uint8_t type, uint8_t flags,
				    uint32_t id, const void *payload, size_t len)
{
	const uint8_t head[9] = {
	    (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len,       type,       flags,
	    (uint8_t)(id >> 24),  (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id};

	client_send(&http2->client, head, sizeof(head));
	client_send(&http2->client, payload, len);
}

static inline void http2_send_u32(struct http2_client *http2, uint8_t type, uint32_t id,
				  uint32_t number)
{
	const uint8_t payload[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
				    (uint8_t)(number >> 8), (uint8_t)number};

	http2_send_frame(http2, type, 0, id, payload, sizeof(payload));
}

static inline void http2_send_setting(struct http2_client *http2, uint16_t setting, uint32_t value)
{
	const uint8_t payload[6] = {(uint8_t)(setting >> 8), (uint8_t)setting,
				    (uint8_t)(value >> 24),  (uint8_t)(value >> 16),
				    (uint8_t)(value >> 8),   (uint8_t)value};

	http2_send_frame(http2, NGHTTP2_SETTINGS, 0, 0, payload, sizeof(payload));
}

static inline struct http2_client http2_over(struct client client)
{
	struct http2_client http2 = {.client = client};

	nghttp2_hd_inflate_new(&http2.inflater);
	client_say(&http2.client, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	http2_send_frame(&http2, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
	return http2;
}

static inline void http2_close(struct http2_client *http2)
{
	client_close(&http2->client);
	nghttp2_hd_inflate_del(http2->inflater);
	buffer_free(&http2->payload);
	buffer_free(&http2->fields);
}

/* A literal field without indexing (RFC 7541, 6.2.2) with a name of the static table, up to 126
 * bytes of value. */
static inline void http2_append_named(struct buffer *block, uint8_t index, const char *value)
{
	const uint8_t head[2] = {index, (uint8_t)strlen(value)};

	buffer_append(block, head, 2);
	buffer_append_text(block, value);
}

static inline void http2_append_field(struct buffer *block, const char *name, const char *value)
{
	http2_append_named(block, 0, name);
	buffer_append(block, &(uint8_t){(uint8_t)strlen(value)}, 1);
	buffer_append_text(block, value);
}

/* :method, :scheme http, :path, :authority a. First the table's new size, 0, which is due after
 * SETTINGS (RFC 7541, 4.2). */
static inline void http2_append_request(struct buffer *block, const char *method, const char *path)
{
	buffer_append_text(block, "\x20");
	http2_append_named(block, 2, method);
	buffer_append_text(block, "\x86");
	http2_append_named(block, 4, path);
	http2_append_named(block, 1, "a");
}

static inline void http2_request(struct http2_client *http2, uint32_t id, const char *method,
				 const char *path, uint8_t flags)
{
	struct buffer block = {0};

	http2_append_request(&block, method, path);
	http2_send_frame(http2, NGHTTP2_HEADERS, flags, id, block.base, block.len);
	buffer_free(&block);
}

static inline void http2_get(struct http2_client *http2, uint32_t id, const char *path)
{
	http2_request(http2, id, "GET", path, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM);
}

static inline void http2_inflate(struct http2_client *http2)
{
	const uint8_t *at = (const uint8_t *)http2->payload.base;
	size_t left = http2->payload.len;
	int flags = 0;

	buffer_clear(&http2->fields);
	while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
		nghttp2_nv field;
		ssize_t used = nghttp2_hd_inflate_hd2(http2->inflater, &field, &flags, at, left, 1);

		if (used < 0)
			abort();
		at += used;
		left -= (size_t)used;
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT))
			continue;
		buffer_append(&http2->fields, field.name, field.namelen);
		buffer_append_text(&http2->fields, ": ");
		buffer_append(&http2->fields, field.value, field.valuelen);
		buffer_append_text(&http2->fields, "\n");
		if (field.namelen == 7 && memcmp(field.name, ":status", 7) == 0)
			http2->status = atoi((const char *)field.value);
	}
	nghttp2_hd_inflate_end_headers(http2->inflater);
}

/* Reads the next frame; false at the end. SETTINGS are acknowledged. */
static inline bool http2_next(struct http2_client *http2)
{
	struct buffer *input = &http2->client.input;
	const uint8_t *head;
	size_t len;

	while (input->len < 9)
		if (!client_read(&http2->client))
			return false;
	head = (const uint8_t *)input->base;
	len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
	while (input->len < 9 + len)
		if (!client_read(&http2->client))
			return false;
	head = (const uint8_t *)input->base;
	http2->type = head[3];
	http2->flags = head[4];
	http2->id =
	    (uint32_t)head[5] << 24 | (uint32_t)head[6] << 16 | (uint32_t)head[7] << 8 | head[8];
	buffer_clear(&http2->payload);
	buffer_append(&http2->payload, input->base + 9, len);
	input->len -= 9 + len;
	memmove(input->base, input->base + 9 + len, input->len);
	if (http2->type == NGHTTP2_HEADERS)
		http2_inflate(http2);
	if (http2->type == NGHTTP2_SETTINGS && !(http2->flags & NGHTTP2_FLAG_ACK))
		http2_send_frame(http2, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
	return true;
}

/* Reads up to the next frame of this type; false at the end. */
static inline bool http2_next_of(struct http2_client *http2, uint8_t type)
{
	while (http2_next(http2))
		if (http2->type == type)
			return true;
	return false;
}

/* The status of stream `id`'s answer; 0 at the end, -1 where it is reset. */
static inline int http2_status(struct http2_client *http2, uint32_t id)
{
	while (http2_next(http2)) {
		if (http2->id == id && http2->type == NGHTTP2_HEADERS)
			return http2->status;
		if (http2->id == id && http2->type == NGHTTP2_RST_STREAM)
			return -1;
	}
	return 0;
}

/* Appends stream `id`'s data until END_STREAM, giving back what it takes of both windows. False
 * where it ends otherwise. */
static inline bool http2_read_body(struct http2_client *http2, uint32_t id, struct buffer *body)
{
	while (http2_next(http2)) {
		if (http2->id != id || http2->type == NGHTTP2_WINDOW_UPDATE)
			continue;
		if (http2->type == NGHTTP2_RST_STREAM)
			return false;
		if (http2->type != NGHTTP2_DATA)
			continue;
		buffer_append_slice(body, buffer_slice(&http2->payload));
		if (http2->flags & NGHTTP2_FLAG_END_STREAM)
			return true;
		if (http2->payload.len) {
			http2_send_u32(http2, NGHTTP2_WINDOW_UPDATE, id,
				       (uint32_t)http2->payload.len);
			http2_send_u32(http2, NGHTTP2_WINDOW_UPDATE, 0,
				       (uint32_t)http2->payload.len);
		}
	}
	return false;
}

/* The error code of a GOAWAY or RST_STREAM. */
static inline uint32_t http2_error(const struct http2_client *http2)
{
	const uint8_t *at =
	    (const uint8_t *)http2->payload.base + (http2->type == NGHTTP2_GOAWAY ? 4 : 0);

	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

#endif
