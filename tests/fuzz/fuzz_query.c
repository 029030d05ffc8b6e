/*
 * A query string from a client: its pairs lie inside it and make it up again, and what is decoded
 * is UTF-8 without NUL.
 */
#include <assert.h>

#include "base/utf8.h"
#include "event/percent.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_decoded(struct slice raw, bool plus)
{
	struct buffer out = {0};
	struct slice decoded;

	buffer_append_text(&out, "kept");
	if (percent_decode(raw, plus, &out)) {
		assert(slice_equal(buffer_slice(&out), SLICE_LIT("kept")));
	} else {
		decoded = (struct slice){out.base + 4, out.len - 4};
		assert(decoded.len <= raw.len && utf8_is_valid(decoded));
		assert(slice_find(decoded, 0, decoded.len, '\0') == decoded.len);
	}
	buffer_free(&out);
}

/* The first pair of a name is the one that percent_find() gives. */
static void check_found(struct slice query, struct slice raw_name)
{
	struct buffer name = {0}, value = {0};

	if (!percent_decode(raw_name, true, &name)) {
		int rc = percent_find(query, buffer_text(&name), &value);

		assert(rc == 0 || rc == ERROR_INVALID);
		assert(rc == 0 || value.len == 0);
	}
	buffer_free(&name);
	buffer_free(&value);
}

/* Without its empty parts a query is its pairs, joined by "&". */
static void append_pair(struct buffer *joined, struct slice query, struct slice name,
			struct slice value)
{
	assert(name.base >= query.base && value.base + value.len <= query.base + query.len);
	buffer_append_text(joined, joined->len ? "&" : "");
	buffer_append_slice(joined, name);
	if (value.base > name.base + name.len)
		buffer_append_text(joined, "=");
	buffer_append_slice(joined, value);
}

static void append_without_empty_parts(struct buffer *out, struct slice query)
{
	for (size_t i = 0; i < query.len; i++)
		if (query.base[i] != '&' || (out->len && out->base[out->len - 1] != '&'))
			buffer_append(out, query.base + i, 1);
	if (out->len && out->base[out->len - 1] == '&')
		out->len--;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct slice query = {(const char *)bytes, len}, name, value;
	struct buffer joined = {0}, expected = {0};
	size_t at = 0, last = 0;

	while (percent_next_pair(query, &at, &name, &value)) {
		assert(at > last && at <= len);
		last = at;
		check_decoded(name, true);
		check_decoded(value, true);
		check_decoded(value, false);
		check_found(query, name);
		append_pair(&joined, query, name, value);
	}
	append_without_empty_parts(&expected, query);
	assert(slice_equal(buffer_slice(&joined), buffer_slice(&expected)));
	buffer_free(&joined);
	buffer_free(&expected);
	return 0;
}
