#include "http/bundle_frame_priv.h"

void bundle_frame_fini(struct bundle_frame *frame)
{
	buffer_free(&frame->head);
	*frame = (struct bundle_frame){.in_data = false};
}

/* Takes the next line, without its LF, off the rest. */
static bool next_line(struct slice *rest, struct slice *line)
{
	size_t end = slice_find(*rest, 0, rest->len, '\n');

	if (end == rest->len)
		return false;
	*line = (struct slice){rest->base, end};
	*rest = (struct slice){rest->base + end + 1, rest->len - end - 1};
	return true;
}

static bool is_field(struct slice line, struct slice field, struct slice *value)
{
	if (line.len < field.len || memcmp(line.base, field.base, field.len) != 0)
		return false;
	*value = (struct slice){line.base + field.len, line.len - field.len};
	return true;
}

static void append_event(struct buffer *out, struct slice address, struct slice type)
{
	buffer_append_text(out, "event: ");
	buffer_append_slice(out, address);
	if (type.len) {
		buffer_append(out, "#", 1);
		buffer_append_slice(out, type);
	}
	buffer_append(out, "\n", 1);
}

/* The head's lines are whole. */
static void tell_head(const struct bundle_frame *frame, bool has_data, struct slice address,
		      size_t stream, struct combined_id *id, struct buffer *out)
{
	struct slice rest = buffer_slice(&frame->head), line, value, type = {NULL, 0};

	while (next_line(&rest, &line)) {
		if (is_field(line, SLICE_LIT("event: "), &type))
			continue;
		if (is_field(line, SLICE_LIT("id: "), &value)) {
			if (value.len)
				combined_id_set(id, stream, value);
			buffer_append_text(out, "id: ");
			combined_id_append(id, out);
		} else {
			buffer_append_slice(out, line);
		}
		buffer_append(out, "\n", 1);
	}
	if (has_data || type.len)
		append_event(out, address, type);
}

/* A line, or what there is of it. */
static size_t take_line(struct bundle_frame *frame, struct slice bytes)
{
	size_t end = slice_find(bytes, 0, bytes.len, '\n');
	size_t taken = end < bytes.len ? end + 1 : end;

	buffer_append(&frame->head, bytes.base, taken);
	return taken;
}

/* To the frame's end, or to that of the bytes. */
static size_t take_data(struct bundle_frame *frame, struct slice bytes, struct buffer *out)
{
	size_t at = 0;

	while (at < bytes.len && frame->in_data) {
		bool is_empty_line = frame->line_ended && bytes.base[at] == '\n';
		size_t end = slice_find(bytes, at, bytes.len, '\n');

		frame->line_ended = end < bytes.len;
		frame->in_data = !is_empty_line;
		at = end + frame->line_ended;
	}
	buffer_append(out, bytes.base, at);
	return at;
}

/* A frame's fields before its data are id, event and retry (event/frame.h), and comments. */
size_t bundle_frame_take(struct bundle_frame *frame, struct slice bytes, struct slice address,
			 size_t stream, struct combined_id *id, struct buffer *out)
{
	const struct buffer *head = &frame->head;
	bool at_line_start = !head->len || head->base[head->len - 1] == '\n';
	bool has_data = bytes.base[0] == 'd';

	if (frame->in_data)
		return take_data(frame, bytes, out);
	if (!at_line_start || (bytes.base[0] != '\n' && !has_data))
		return take_line(frame, bytes);
	tell_head(frame, has_data, address, stream, id, out);
	buffer_clear(&frame->head);
	/* An empty line ends the frame here, too. */
	frame->in_data = true;
	frame->line_ended = true;
	return take_data(frame, bytes, out);
}
