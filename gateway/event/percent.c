#include "event/percent.h"

#include "base/utf8.h"

/* -1: not a hex digit. */
static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that "%hh" at the start of `text` stands for; -1 where it is malformed. */
static int decode_triplet(struct slice text)
{
	int high, low;

	if (text.len < 3)
		return -1;
	high = hex_value(text.base[1]);
	low = hex_value(text.base[2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Decodes to `to`, which has room for text.len bytes. Returns how many, -1 where it is malformed.
 */
static ptrdiff_t decode_bytes(struct slice text, bool plus, char *to)
{
	char *start = to;
	int byte;

	for (size_t i = 0; i < text.len; i++) {
		byte = (unsigned char)text.base[i];
		if (byte == '%') {
			byte = decode_triplet((struct slice){text.base + i, text.len - i});
			i += 2;
		} else if (byte == '+' && plus) {
			byte = ' ';
		}
		if (byte <= 0)
			return -1;
		*to++ = (char)byte;
	}
	return to - start;
}

int percent_decode(struct slice text, bool plus, struct buffer *out)
{
	char *to = buffer_reserve(out, text.len);
	ptrdiff_t len = decode_bytes(text, plus, to);

	if (len < 0 || !utf8_is_valid((struct slice){to, (size_t)len}))
		return ERROR_INVALID;
	out->len += (size_t)len;
	return 0;
}

bool percent_next_pair(struct slice query, size_t *at, struct slice *name, struct slice *value)
{
	size_t from = *at, end, equals;

	while (from < query.len && query.base[from] == '&')
		from++;
	if (from >= query.len)
		return false;
	end = slice_find(query, from, query.len, '&');
	equals = slice_find(query, from, end, '=');
	*name = (struct slice){query.base + from, equals - from};
	*value = (struct slice){query.base + equals, 0};
	if (equals < end)
		*value = (struct slice){query.base + equals + 1, end - equals - 1};
	*at = end;
	return true;
}

static bool name_matches(struct slice raw, struct slice name)
{
	struct buffer decoded = {0};
	bool equal;

	if (slice_find(raw, 0, raw.len, '%') == raw.len &&
	    slice_find(raw, 0, raw.len, '+') == raw.len)
		return slice_equal(raw, name);
	equal = !percent_decode(raw, true, &decoded) && slice_equal(buffer_slice(&decoded), name);
	buffer_free(&decoded);
	return equal;
}

int percent_find(struct slice query, const char *name, struct buffer *out)
{
	struct slice raw_name, raw_value, wanted = slice_of(name);
	size_t at = 0;

	while (percent_next_pair(query, &at, &raw_name, &raw_value))
		if (name_matches(raw_name, wanted))
			return percent_decode(raw_value, true, out);
	return ERROR_NOT_FOUND;
}

size_t percent_count(struct slice query, const char *name)
{
	struct slice raw_name, raw_value;
	size_t at = 0, count = 0;

	while (percent_next_pair(query, &at, &raw_name, &raw_value))
		count += name_matches(raw_name, slice_of(name));
	return count;
}
