/*
 * Any bytes as an event's data and name: read back as WHATWG HTML 9.2.6 says, the frame is one
 * event with the same data (CR and CRLF as LF, U+FFFD for what is not UTF-8) and nothing else.
 */
#include <assert.h>

#include "base/utf8.h"
#include "event/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* What a browser has after the frame. */
struct parsed {
	struct buffer id, event, data;
	unsigned dispatched;
};

static bool take_field(struct slice line, struct slice name, struct slice *value)
{
	if (line.len < name.len || memcmp(line.base, name.base, name.len) != 0)
		return false;
	*value = (struct slice){line.base + name.len, line.len - name.len};
	return true;
}

static void parse_line(struct parsed *parsed, struct slice line)
{
	struct slice value;

	if (!line.len) {
		parsed->dispatched++;
	} else if (take_field(line, SLICE_LIT("id: "), &value)) {
		assert(!parsed->id.len && !parsed->event.len && !parsed->data.len);
		buffer_append_slice(&parsed->id, value);
	} else if (take_field(line, SLICE_LIT("event: "), &value)) {
		assert(!parsed->event.len && !parsed->data.len);
		buffer_append_slice(&parsed->event, value);
	} else {
		assert(take_field(line, SLICE_LIT("data: "), &value));
		buffer_append_slice(&parsed->data, value);
		buffer_append_text(&parsed->data, "\n");
	}
}

/* Lines end with LF alone: a CR anywhere would be one more end for the browser. */
static void parse_frame(struct parsed *parsed, struct slice frame)
{
	size_t from = 0, end;

	assert(slice_find(frame, 0, frame.len, '\r') == frame.len);
	assert(utf8_is_valid(frame));
	while (from < frame.len) {
		assert(!parsed->dispatched);
		end = slice_find(frame, from, frame.len, '\n');
		assert(end < frame.len);
		parse_line(parsed, (struct slice){frame.base + from, end - from});
		from = end + 1;
	}
	assert(parsed->dispatched == 1);
}

static void append_normalised(struct buffer *out, struct slice data)
{
	struct buffer lines = {0};

	for (size_t i = 0; i < data.len; i++) {
		if (data.base[i] == '\n' && i > 0 && data.base[i - 1] == '\r')
			continue;
		buffer_append(&lines, data.base[i] == '\r' ? "\n" : data.base + i, 1);
	}
	frame_append_utf8(out, buffer_slice(&lines));
	buffer_append_text(out, "\n");
	buffer_free(&lines);
}

/* As a mapping cleans what goes into a line of its own. */
static void append_clean(struct buffer *out, struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.base[i] != '\0' && text.base[i] != '\r' && text.base[i] != '\n')
			buffer_append(out, text.base + i, 1);
}

static void check_line(const struct buffer *parsed, struct slice given)
{
	struct buffer expected = {0};

	frame_append_utf8(&expected, given);
	assert(slice_equal(buffer_slice(parsed), buffer_slice(&expected)));
	buffer_free(&expected);
}

static void check_frame(struct slice name, struct slice data)
{
	struct frame frame = {name, name, data, true, -1};
	struct buffer out = {0}, expected = {0};
	struct parsed parsed = {.dispatched = 0};

	frame_append(&out, &frame);
	parse_frame(&parsed, buffer_slice(&out));
	append_normalised(&expected, data);
	assert(slice_equal(buffer_slice(&parsed.data), buffer_slice(&expected)));
	check_line(&parsed.id, name);
	check_line(&parsed.event, name);
	assert(slice_equal(frame_id(buffer_slice(&out)), buffer_slice(&parsed.id)));
	assert(frame_after_id(buffer_slice(&out)).base ==
	       out.base + (name.len ? 4 + parsed.id.len + 1 : 0));
	buffer_free(&out);
	buffer_free(&expected);
	buffer_free(&parsed.id);
	buffer_free(&parsed.event);
	buffer_free(&parsed.data);
}

/* The first byte says how many of the others are the name. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct slice rest = {(const char *)bytes + 1, len ? len - 1 : 0};
	struct buffer name = {0};
	size_t name_len;

	if (!len)
		return 0;
	name_len = bytes[0] < rest.len ? bytes[0] : rest.len;
	append_clean(&name, (struct slice){rest.base, name_len});
	check_frame(buffer_slice(&name), (struct slice){rest.base + name_len, rest.len - name_len});
	buffer_free(&name);
	return 0;
}
