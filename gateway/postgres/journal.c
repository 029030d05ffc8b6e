#include "postgres/journal.h"

#include <endian.h>

enum { NO_VALUE = 0xffffffff };

int64_t journal_route(struct slice route_key)
{
	int64_t route = (int64_t)route_key_stable_hash(route_key);

	return route == JOURNAL_NO_ROUTE ? 1 : route;
}

static void append_length(struct buffer *out, uint32_t length)
{
	uint32_t bytes = htobe32(length);

	buffer_append(out, &bytes, sizeof(bytes));
}

void journal_headers_encode(const struct record *record, struct buffer *out)
{
	for (size_t i = 0; i < record->header_count; i++) {
		const struct record_header *header = &record->headers[i];

		append_length(out, (uint32_t)header->name.len);
		buffer_append_slice(out, header->name);
		append_length(out, header->value.base ? (uint32_t)header->value.len : NO_VALUE);
		if (header->value.base)
			buffer_append_slice(out, header->value);
	}
}

static bool take_length(struct slice *rest, uint32_t *length)
{
	if (rest->len < sizeof(*length))
		return false;
	memcpy(length, rest->base, sizeof(*length));
	*length = be32toh(*length);
	*rest = (struct slice){rest->base + sizeof(*length), rest->len - sizeof(*length)};
	return true;
}

static bool take_bytes(struct slice *rest, uint32_t length, struct slice *bytes)
{
	if (rest->len < length)
		return false;
	*bytes = (struct slice){rest->base, length};
	*rest = (struct slice){rest->base + length, rest->len - length};
	return true;
}

static bool take_header(struct slice *rest, struct record_header *header)
{
	uint32_t length;

	if (!take_length(rest, &length) || !take_bytes(rest, length, &header->name) ||
	    !take_length(rest, &length))
		return false;
	header->value = (struct slice){0};
	return length == NO_VALUE || take_bytes(rest, length, &header->value);
}

int journal_headers_decode(struct slice bytes, struct record_header headers[JOURNAL_MAX_HEADERS])
{
	int count = 0;

	while (bytes.len) {
		if (count == JOURNAL_MAX_HEADERS || !take_header(&bytes, &headers[count]))
			return ERROR_INVALID;
		count++;
	}
	return count;
}

void journal_routes_encode(const struct route_keys *routes, struct buffer *out)
{
	struct slice key;

	for (size_t at = 0; route_keys_next(routes, &at, &key);) {
		append_length(out, (uint32_t)key.len);
		buffer_append_slice(out, key);
	}
}

int journal_routes_decode(struct slice bytes, struct route_keys *routes)
{
	uint32_t length;
	struct slice key;

	route_keys_clear(routes);
	while (bytes.len) {
		if (!take_length(&bytes, &length) || !take_bytes(&bytes, length, &key)) {
			route_keys_clear(routes);
			return ERROR_INVALID;
		}
		buffer_append(&routes->bytes, &length, sizeof(length));
		buffer_append_slice(&routes->bytes, key);
		routes->count++;
	}
	return 0;
}
