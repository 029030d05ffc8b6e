#include "event/pattern_value_priv.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

static struct pattern_value number(double real)
{
	if (real >= -0x1p63 && real < 0x1p63 && real == trunc(real))
		return (struct pattern_value){.kind = PATTERN_VALUE_INTEGER,
					      .integer = (int64_t)real};
	return (struct pattern_value){.kind = PATTERN_VALUE_REAL, .real = real};
}

bool pattern_value_read(const json_t *json, struct pattern_value *value)
{
	if (!json)
		return false;
	switch (json_typeof(json)) {
	case JSON_NULL:
		*value = (struct pattern_value){.kind = PATTERN_VALUE_NULL};
		return true;
	case JSON_FALSE:
		*value = (struct pattern_value){.kind = PATTERN_VALUE_FALSE};
		return true;
	case JSON_TRUE:
		*value = (struct pattern_value){.kind = PATTERN_VALUE_TRUE};
		return true;
	case JSON_INTEGER:
		*value = (struct pattern_value){.kind = PATTERN_VALUE_INTEGER,
						.integer = json_integer_value(json)};
		return true;
	case JSON_REAL:
		*value = number(json_real_value(json));
		return true;
	case JSON_STRING:
		*value = (struct pattern_value){
		    .kind = PATTERN_VALUE_STRING,
		    .text = {json_string_value(json), json_string_length(json)}};
		return true;
	default:
		return false;
	}
}

static int compare_text(struct slice a, struct slice b)
{
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return a.len ? memcmp(a.base, b.base, a.len) : 0;
}

int pattern_value_compare(const struct pattern_value *a, const struct pattern_value *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	switch (a->kind) {
	case PATTERN_VALUE_INTEGER:
		return (a->integer > b->integer) - (a->integer < b->integer);
	case PATTERN_VALUE_REAL:
		return (a->real > b->real) - (a->real < b->real);
	case PATTERN_VALUE_STRING:
		return compare_text(a->text, b->text);
	default:
		return 0;
	}
}

static void append_big_endian(struct buffer *out, uint64_t bits, int bytes)
{
	char *at = buffer_reserve(out, (size_t)bytes);

	for (int i = 0; i < bytes; i++)
		at[i] = (char)(bits >> (8 * (bytes - 1 - i)));
	out->len += (size_t)bytes;
}

void pattern_value_append(const struct pattern_value *value, struct buffer *out)
{
	char tag = (char)value->kind;
	uint64_t bits;

	buffer_append(out, &tag, 1);
	switch (value->kind) {
	case PATTERN_VALUE_INTEGER:
	case PATTERN_VALUE_MARK:
		append_big_endian(out, (uint64_t)value->integer, 8);
		break;
	case PATTERN_VALUE_REAL:
		memcpy(&bits, &value->real, sizeof(bits));
		append_big_endian(out, bits, 8);
		break;
	case PATTERN_VALUE_STRING:
		assert(value->text.len <= UINT32_MAX);
		append_big_endian(out, value->text.len, 4);
		buffer_append_slice(out, value->text);
		break;
	default:
		break;
	}
}

/* The fewest digits that read back as the same number. */
static void append_real(double real, struct buffer *out)
{
	char text[40];

	for (int digits = DBL_DIG; digits <= DBL_DECIMAL_DIG; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, real);
		if (strtod(text, NULL) == real)
			break;
	}
	buffer_append_text(out, text);
}

bool pattern_value_append_text(const struct pattern_value *value, struct buffer *out)
{
	switch (value->kind) {
	case PATTERN_VALUE_FALSE:
		buffer_append_text(out, "false");
		return true;
	case PATTERN_VALUE_TRUE:
		buffer_append_text(out, "true");
		return true;
	case PATTERN_VALUE_INTEGER:
		buffer_append_format(out, "%" PRId64, value->integer);
		return true;
	case PATTERN_VALUE_REAL:
		append_real(value->real, out);
		return true;
	case PATTERN_VALUE_STRING:
		buffer_append_slice(out, value->text);
		return true;
	default:
		return false;
	}
}
