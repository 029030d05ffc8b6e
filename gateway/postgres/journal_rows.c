#include <endian.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "journal_writer_priv.h"

/* The columns that have a length of their own, and those that have not. */
enum { COLUMNS = 11, FIXED_COLUMNS = 6, LENGTH_BYTES = 4, NULL_LENGTH = -1 };

/* recorded_at is the transaction's time, by its default. */
const char journal_rows_copy[] =
    "copy journal_event (feed_id, route, topic, partition, \"offset\", event_time, event_id, key,"
    " headers, value, left_out) from stdin (format binary)";

const struct slice journal_rows_header = SLICE_LIT("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0");
const struct slice journal_rows_trailer = SLICE_LIT("\377\377");

/* Before the route of a row: the number of columns, feed_id, the route's length. */
enum { ROUTE_AT = 2 + LENGTH_BYTES + 4 + LENGTH_BYTES };

static char *put_16(char *to, int16_t number)
{
	uint16_t bytes = htobe16((uint16_t)number);

	memcpy(to, &bytes, sizeof(bytes));
	return to + sizeof(bytes);
}

static char *put_32(char *to, int32_t number)
{
	uint32_t bytes = htobe32((uint32_t)number);

	memcpy(to, &bytes, sizeof(bytes));
	return to + sizeof(bytes);
}

static char *put_64(char *to, int64_t number)
{
	uint64_t bytes = htobe64((uint64_t)number);

	memcpy(to, &bytes, sizeof(bytes));
	return to + sizeof(bytes);
}

static char *put_column_32(char *to, int32_t number)
{
	return put_32(put_32(to, sizeof(number)), number);
}

static char *put_column_64(char *to, int64_t number)
{
	return put_64(put_32(to, sizeof(number)), number);
}

static char *put_bytes(char *to, bool there, struct slice bytes)
{
	to = put_32(to, there ? (int32_t)bytes.len : NULL_LENGTH);
	if (!there || !bytes.len)
		return to;
	memcpy(to, bytes.base, bytes.len);
	return to + bytes.len;
}

static bool is_storable_id(struct slice id)
{
	return id.len && id.len <= JOURNAL_MAX_EVENT_ID && !memchr(id.base, '\0', id.len) &&
	       utf8_is_valid(id);
}

/* One row with the route; returns where it begins. */
static size_t append_row(struct journal_writer *writer, const struct journal_part *part,
			 const struct record *record, int64_t route, struct slice id)
{
	struct slice headers = buffer_slice(&writer->headers);
	struct slice left_out = buffer_slice(&writer->left_out);
	size_t start = writer->copy.len, fixed = 2 + COLUMNS * LENGTH_BYTES + 4 + 8 + 2 + 4 + 8 + 8;
	char *row = buffer_reserve(&writer->copy, fixed + id.len + record->key.len + headers.len +
						      record->value.len + left_out.len);
	char *to = put_16(row, COLUMNS);

	to = put_column_32(to, part->feed_id);
	to = put_column_64(to, route);
	to = put_16(put_32(to, sizeof(int16_t)), (int16_t)part->topic);
	to = put_column_32(to, part->partition);
	to = put_column_64(to, record->offset);
	to = put_column_64(to, record->timestamp_ms);
	to = put_bytes(to, id.len, id);
	to = put_bytes(to, record->has_key, record->key);
	to = put_bytes(to, headers.len, headers);
	to = put_bytes(to, record->has_value && !record->left_out, record->value);
	to = put_bytes(to, record->left_out, left_out);
	writer->copy.len += (size_t)(to - row);
	writer->rows++;
	return start;
}

/* The same row with another route. */
static void repeat_row(struct journal_writer *writer, size_t start, size_t len, int64_t route)
{
	char *row = buffer_reserve(&writer->copy, len);

	memcpy(row, writer->copy.base + start, len);
	put_64(row + ROUTE_AT, route);
	writer->copy.len += len;
	writer->rows++;
}

static int compare_routes(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

	return (left > right) - (left < right);
}

static void list_routes(struct journal_writer *writer, const struct route_keys *keys)
{
	struct slice key;

	if (writer->routes.capacity < keys->count + 1) {
		writer->routes.capacity = keys->count + 1;
		writer->routes.items =
		    mem_realloc(writer->routes.items, writer->routes.capacity * sizeof(int64_t));
	}
	writer->routes.count = 0;
	for (size_t at = 0; route_keys_next(keys, &at, &key);)
		writer->routes.items[writer->routes.count++] = journal_route(key);
	if (!writer->routes.count)
		writer->routes.items[writer->routes.count++] = JOURNAL_NO_ROUTE;
	qsort(writer->routes.items, writer->routes.count, sizeof(int64_t), compare_routes);
}

void journal_rows_append(struct journal_writer *writer, const struct journal_part *part,
			 const struct record *record, const struct route_keys *routes,
			 struct slice event_id)
{
	size_t start, len;

	buffer_clear(&writer->headers);
	journal_headers_encode(record, &writer->headers);
	buffer_clear(&writer->left_out);
	if (record->left_out)
		journal_routes_encode(routes, &writer->left_out);
	list_routes(writer, routes);
	if (!is_storable_id(event_id))
		event_id = (struct slice){0};
	start = append_row(writer, part, record, writer->routes.items[0], event_id);
	len = writer->copy.len - start;
	/* Of keys with the same hash one row is enough: who reads it compares the keys. */
	for (size_t i = 1; i < writer->routes.count; i++)
		if (writer->routes.items[i] != writer->routes.items[i - 1])
			repeat_row(writer, start, len, writer->routes.items[i]);
}
