#include <assert.h>
#include <endian.h>

#include "postgres/database_param_priv.h"

/* pg_type.dat's, fixed for good. */
enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_INT4 = 23,
	OID_TEXT = 25,
	OID_INT4_ARRAY = 1007,
	OID_TEXT_ARRAY = 1009,
	OID_INT8_ARRAY = 1016,
	OID_JSONB = 3802,
};

enum { JSONB_VERSION = 1, FORMAT_BINARY = 1 };

struct database_param database_null(void)
{
	return (struct database_param){0};
}

/* An empty slice may have any base; data NULL stands for null alone. */
static struct database_param make_bytes(unsigned oid, struct slice bytes)
{
	return (struct database_param){.oid = oid, .data = bytes.base, .len = bytes.len};
}

struct database_param database_text(struct slice text)
{
	return make_bytes(OID_TEXT, text);
}

struct database_param database_bytes(struct slice bytes)
{
	return make_bytes(OID_BYTEA, bytes);
}

struct database_param database_json(struct slice text)
{
	return make_bytes(OID_JSONB, text);
}

static struct database_param make_number(unsigned oid, const void *bytes, unsigned len)
{
	struct database_param param = {.oid = oid, .number_len = len};

	memcpy(param.number, bytes, len);
	return param;
}

struct database_param database_bool(bool value)
{
	char byte = value;

	return make_number(OID_BOOL, &byte, sizeof(byte));
}

struct database_param database_int4(int32_t value)
{
	uint32_t bytes = htobe32((uint32_t)value);

	return make_number(OID_INT4, &bytes, sizeof(bytes));
}

struct database_param database_int8(int64_t value)
{
	uint64_t bytes = htobe64((uint64_t)value);

	return make_number(OID_INT8, &bytes, sizeof(bytes));
}

static void append_u32(struct buffer *out, uint32_t number)
{
	uint32_t bytes = htobe32(number);

	buffer_append(out, &bytes, sizeof(bytes));
}

/* array_send() of PostgreSQL: dimensions, has-nulls, element type; then length and lower bound. */
static void begin_array(struct buffer *out, unsigned element, size_t n, bool has_nulls)
{
	assert(n <= INT32_MAX);
	buffer_clear(out);
	append_u32(out, n ? 1 : 0);
	append_u32(out, has_nulls);
	append_u32(out, element);
	if (n) {
		append_u32(out, (uint32_t)n);
		append_u32(out, 1);
	}
}

struct database_param database_int8_array(struct buffer *scratch, const int64_t *values, size_t n)
{
	begin_array(scratch, OID_INT8, n, false);
	for (size_t i = 0; i < n; i++) {
		uint64_t bytes = htobe64((uint64_t)values[i]);

		append_u32(scratch, sizeof(bytes));
		buffer_append(scratch, &bytes, sizeof(bytes));
	}
	return make_bytes(OID_INT8_ARRAY, buffer_slice(scratch));
}

struct database_param database_int4_array(struct buffer *scratch, const int32_t *values, size_t n)
{
	begin_array(scratch, OID_INT4, n, false);
	for (size_t i = 0; i < n; i++) {
		append_u32(scratch, sizeof(values[i]));
		append_u32(scratch, (uint32_t)values[i]);
	}
	return make_bytes(OID_INT4_ARRAY, buffer_slice(scratch));
}

static bool has_null(const struct slice *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!values[i].base)
			return true;
	return false;
}

struct database_param database_text_array(struct buffer *scratch, const struct slice *values,
					  size_t n)
{
	begin_array(scratch, OID_TEXT, n, has_null(values, n));
	for (size_t i = 0; i < n; i++) {
		append_u32(scratch, values[i].base ? (uint32_t)values[i].len : UINT32_MAX);
		if (values[i].base)
			buffer_append_slice(scratch, values[i]);
	}
	return make_bytes(OID_TEXT_ARRAY, buffer_slice(scratch));
}

/* Its binary form is its text after a version byte (jsonb_recv() of PostgreSQL). */
static const char *make_jsonb(struct buffer *made, const struct database_param *param)
{
	const char version = JSONB_VERSION;
	size_t start = made->len;

	buffer_append(made, &version, sizeof(version));
	buffer_append(made, param->data, param->len);
	return made->base + start;
}

static size_t made_bytes(const struct database_param *params, size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		if (params[i].oid == OID_JSONB)
			bytes += params[i].len + 1;
	return bytes;
}

void database_param_to_wire(const struct database_param *params, size_t count,
			    struct database_param_wire *wire)
{
	size_t bytes = made_bytes(params, count);

	wire->made = (struct buffer){0};
	/* So that it does not move while it is pointed into. */
	if (bytes)
		buffer_reserve(&wire->made, bytes);
	for (size_t i = 0; i < count; i++) {
		const struct database_param *param = &params[i];
		bool number = param->number_len, json = param->oid == OID_JSONB && param->data;
		size_t len = number ? param->number_len : param->len + json;

		assert(len <= INT32_MAX);
		wire->values[i] = number ? param->number
				  : json ? make_jsonb(&wire->made, param)
					 : param->data;
		wire->lengths[i] = (int)len;
		wire->formats[i] = FORMAT_BINARY;
	}
}

void database_param_wire_free(struct database_param_wire *wire)
{
	buffer_free(&wire->made);
}
