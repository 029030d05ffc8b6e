#include "lib/sse_parser.h"

static const char BOM[] = "\xEF\xBB\xBF";

static void assign(struct buffer *buffer, struct slice slice)
{
	buffer_clear(buffer);
	buffer_append_slice(buffer, slice);
}

static void dispatch(struct sse_parser *parser)
{
	if (!slice_equal(buffer_slice(&parser->id), buffer_slice(&parser->last_event_id))) {
		assign(&parser->last_event_id, buffer_slice(&parser->id));
		if (parser->on_last_event_id)
			parser->on_last_event_id(parser->context,
						 buffer_slice(&parser->last_event_id));
	}
	if (parser->data.len && parser->on_event) {
		struct sse_event event = {
		    .type = parser->type.len ? buffer_slice(&parser->type) : SLICE_LIT("message"),
		    .data = {parser->data.base, parser->data.len - 1}, /* the last LF */
		    .last_event_id = buffer_slice(&parser->last_event_id),
		};
		parser->on_event(parser->context, &event);
	}
	buffer_clear(&parser->data);
	buffer_clear(&parser->type);
}

static void read_retry(struct sse_parser *parser, struct slice value)
{
	uint64_t ms = 0;
	if (!value.len || value.len > 18)
		return;
	for (size_t i = 0; i < value.len; i++) {
		if (value.base[i] < '0' || value.base[i] > '9')
			return;
		ms = ms * 10 + (uint64_t)(value.base[i] - '0');
	}
	if (parser->on_retry)
		parser->on_retry(parser->context, ms);
}

static void read_field(struct sse_parser *parser, struct slice name, struct slice value)
{
	if (slice_equal(name, SLICE_LIT("event"))) {
		assign(&parser->type, value);
	} else if (slice_equal(name, SLICE_LIT("data"))) {
		buffer_append_slice(&parser->data, value);
		buffer_append_text(&parser->data, "\n");
	} else if (slice_equal(name, SLICE_LIT("id"))) {
		if (!value.len || !memchr(value.base, 0, value.len))
			assign(&parser->id, value);
	} else if (slice_equal(name, SLICE_LIT("retry"))) {
		read_retry(parser, value);
	}
}

static void read_line(struct sse_parser *parser)
{
	struct slice line = buffer_slice(&parser->line);
	const char *colon = line.len ? memchr(line.base, ':', line.len) : NULL;
	if (!line.len) {
		dispatch(parser);
		return;
	}
	struct slice name = {line.base, colon ? (size_t)(colon - line.base) : line.len};
	struct slice value = {line.base + line.len, 0};
	if (colon) {
		value.base = colon + 1;
		value.len = line.len - name.len - 1;
	}
	if (colon && !name.len) {
		if (parser->on_comment)
			parser->on_comment(parser->context, value);
		return;
	}
	if (value.len && value.base[0] == ' ')
		value = (struct slice){value.base + 1, value.len - 1};
	read_field(parser, name, value);
}

static void read_byte(struct sse_parser *parser, char byte)
{
	bool after_cr = parser->after_cr;
	parser->after_cr = byte == '\r';
	if (byte == '\n' && after_cr)
		return;
	if (byte != '\n' && byte != '\r') {
		buffer_append(&parser->line, &byte, 1);
		return;
	}
	read_line(parser);
	buffer_clear(&parser->line);
}

/* True where the byte belongs to a byte order mark; a mark that breaks off was text. */
static bool skip_bom(struct sse_parser *parser, char byte)
{
	if (parser->begun)
		return false;
	if (byte == BOM[parser->bom_bytes]) {
		parser->bom_bytes++;
		parser->begun = !BOM[parser->bom_bytes];
		return true;
	}
	parser->begun = true;
	buffer_append(&parser->line, BOM, parser->bom_bytes);
	return false;
}

void sse_parser_feed(struct sse_parser *parser, struct slice bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		if (!skip_bom(parser, bytes.base[i]))
			read_byte(parser, bytes.base[i]);
}

void sse_parser_restart(struct sse_parser *parser)
{
	buffer_clear(&parser->line);
	buffer_clear(&parser->data);
	buffer_clear(&parser->type);
	assign(&parser->id, buffer_slice(&parser->last_event_id));
	parser->bom_bytes = 0;
	parser->begun = false;
	parser->after_cr = false;
}

void sse_parser_set_last_event_id(struct sse_parser *parser, struct slice id)
{
	assign(&parser->last_event_id, id);
	assign(&parser->id, id);
}

void sse_parser_fini(struct sse_parser *parser)
{
	buffer_free(&parser->last_event_id);
	buffer_free(&parser->id);
	buffer_free(&parser->type);
	buffer_free(&parser->data);
	buffer_free(&parser->line);
}
