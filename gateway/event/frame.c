#include "event/frame.h"

#include <assert.h>

#include "base/utf8.h"

#define ID_FIELD SLICE_LIT("id: ")

void frame_append_utf8(struct buffer *out, struct slice text)
{
	size_t ill_formed, span;

	while (text.len) {
		span = utf8_span(text, &ill_formed);
		buffer_append(out, text.base, span);
		if (ill_formed)
			buffer_append_slice(out, UTF8_REPLACEMENT);
		text.base += span + ill_formed;
		text.len -= span + ill_formed;
	}
}

static void append_line(struct buffer *out, struct slice field, struct slice value)
{
	/* Room for all of it at once: the usual frame grows its buffer here or not at all. */
	buffer_reserve(out, field.len + value.len + 1);
	buffer_append_slice(out, field);
	frame_append_utf8(out, value);
	buffer_append(out, "\n", 1);
}

/*
 * CR, LF and CRLF each end a line (9.2.6), and the browser joins the lines with LF: a break at the
 * end of the text makes one more, empty, line. The next CR is remembered, so that a text with LF
 * alone is searched once for CR.
 */
static void append_data(struct buffer *out, struct slice data)
{
	size_t from = 0, cr = slice_find(data, 0, data.len, '\r'), end;

	for (;;) {
		end = slice_find(data, from, cr, '\n');
		append_line(out, SLICE_LIT("data: "),
			    (struct slice){end > from ? data.base + from : NULL, end - from});
		if (end == data.len)
			return;
		from = end + 1;
		if (end != cr)
			continue;
		if (from < data.len && data.base[from] == '\n')
			from++;
		cr = slice_find(data, from, data.len, '\r');
	}
}

static bool is_one_line(struct slice text)
{
	return slice_find(text, 0, text.len, '\n') == text.len &&
	       slice_find(text, 0, text.len, '\r') == text.len;
}

/* A NUL in an id makes the browser ignore it, and a line break would let a record write fields of
 * its own. */
static void check_fields(const struct frame *frame)
{
	assert(is_one_line(frame->id) &&
	       slice_find(frame->id, 0, frame->id.len, '\0') == frame->id.len);
	assert(is_one_line(frame->event));
}

void frame_append(struct buffer *out, const struct frame *frame)
{
	check_fields(frame);
	if (frame->id.len)
		append_line(out, ID_FIELD, frame->id);
	if (frame->event.len)
		append_line(out, SLICE_LIT("event: "), frame->event);
	if (frame->retry_ms >= 0) {
		buffer_append_text(out, "retry: ");
		buffer_append_u64(out, (uint64_t)frame->retry_ms);
		buffer_append(out, "\n", 1);
	}
	if (frame->has_data)
		append_data(out, frame->data);
	buffer_append(out, "\n", 1);
}

static bool has_id(struct slice frame)
{
	return frame.len >= ID_FIELD.len && !memcmp(frame.base, ID_FIELD.base, ID_FIELD.len);
}

struct slice frame_id(struct slice frame)
{
	if (!has_id(frame))
		return (struct slice){NULL, 0};
	return (struct slice){frame.base + ID_FIELD.len,
			      slice_find(frame, 0, frame.len, '\n') - ID_FIELD.len};
}

struct slice frame_after_id(struct slice frame)
{
	size_t at;

	if (!has_id(frame))
		return frame;
	at = slice_find(frame, 0, frame.len, '\n') + 1;
	assert(at <= frame.len);
	return (struct slice){frame.base + at, frame.len - at};
}
