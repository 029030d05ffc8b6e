#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "lib/sse_parser.h"

/* A stream and, as text, what the standard says that a client gets from it. */
struct row {
	const char *name;
	struct slice stream;
	const char *expected;
};

#define ROW(name, stream, expected)                                                                \
	{                                                                                          \
		name, {stream, sizeof(stream) - 1}, expected                                       \
	}

static const struct row ROWS[] = {
    ROW("WHATWG 9.2.6: two messages",
	"data: This is the first message.\n\ndata: This is the second message, it\ndata: has two "
	"lines.\n\ndata: This is the third message.\n\n",
	"[message|This is the first message.|][message|This is the second message, it\nhas two "
	"lines.|][message|This is the third message.|]"),
    ROW("WHATWG 9.2: event types", "event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n",
	"[add|73857293|][remove|2153|]"),
    ROW("WHATWG 9.2.6: stock", "data: YHOO\ndata: +2\ndata: 10\n\n", "[message|YHOO\n+2\n10|]"),
    ROW("WHATWG 9.2.6: four blocks",
	": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third "
	"event\n",
	"{ test stream}(1)[message|first event|1]()[message|second event|]"),
    ROW("WHATWG 9.2.6: empty data", "data\n\ndata\ndata\n\ndata:", "[message||][message|\n|]"),
    ROW("WHATWG 9.2.6: one space is left out", "data:test\n\ndata: test\n\n",
	"[message|test|][message|test|]"),
    ROW("only one space is left out", "data:  a\n\ndata:\tb\n\n", "[message| a|][message|\tb|]"),
    ROW("a block without data moves the id", "id: 7\n\n", "(7)"),
    ROW("an id counts from its blank line on", "id: 7\n", ""),
    ROW("an id stays for later events", "id: 7\ndata: a\n\ndata: b\n\n",
	"(7)[message|a|7][message|b|7]"),
    ROW("an id with NUL is ignored", "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n",
	"(1)[message|a|1][message|b|1]"),
    ROW("a NUL in data stays", "data: a\0b\n\n", "[message|a@b|]"),
    ROW("an event type without data is forgotten", "event: x\n\ndata: a\n\n", "[message|a|]"),
    ROW("CR ends a line", "data: a\rdata: b\r\rdata: c\r\r", "[message|a\nb|][message|c|]"),
    ROW("CRLF ends one line", "data: a\r\ndata: b\r\n\r\n", "[message|a\nb|]"),
    ROW("LF CR are two ends", "data: a\n\rdata: b\n\n", "[message|a|][message|b|]"),
    ROW("one byte order mark is left out",
	"\xEF\xBB\xBF"
	"data: a\n\n",
	"[message|a|]"),
    ROW("a second byte order mark is text",
	"\xEF\xBB\xBF\xEF\xBB\xBF"
	"data: a\n\n",
	""),
    ROW("half a byte order mark is text",
	"\xEF\xBB"
	"data: a\n\ndata: b\n\n",
	"[message|b|]"),
    ROW("retry is digits only", "retry: 1000\nretry: 2x\nretry: -3\nretry\nretry:4\n", "<1000><4>"),
    ROW("field names are exact", "Data: a\ndata : b\n data: c\nx: d\n\n", ""),
    ROW("a colon in the value stays", "data: a: b\n\n", "[message|a: b|]"),
    ROW("bytes that are not UTF-8 pass", "data: \xFF\xC0\n\n", "[message|\xFF\xC0|]"),
    ROW("an incomplete block is no event", "data: a\n", ""),
};

static void show_event(void *context, const struct sse_event *event)
{
	struct buffer *shown = context;
	buffer_append_text(shown, "[");
	buffer_append_slice(shown, event->type);
	buffer_append_text(shown, "|");
	for (size_t i = 0; i < event->data.len; i++)
		buffer_append(shown, event->data.base[i] ? &event->data.base[i] : "@", 1);
	buffer_append_text(shown, "|");
	buffer_append_slice(shown, event->last_event_id);
	buffer_append_text(shown, "]");
}

static void show_id(void *context, struct slice id)
{
	buffer_append_format(context, "(%.*s)", (int)id.len, id.base ? id.base : "");
}

static void show_retry(void *context, uint64_t ms)
{
	buffer_append_format(context, "<%llu>", (unsigned long long)ms);
}

static void show_comment(void *context, struct slice text)
{
	buffer_append_format(context, "{%.*s}", (int)text.len, text.base);
}

static struct sse_parser new_parser(struct buffer *shown)
{
	return (struct sse_parser){.on_event = show_event,
				   .on_last_event_id = show_id,
				   .on_retry = show_retry,
				   .on_comment = show_comment,
				   .context = shown};
}

static void check_split_at(const struct row *row, size_t first)
{
	struct buffer shown = {0};
	struct sse_parser parser = new_parser(&shown);
	sse_parser_feed(&parser, (struct slice){row->stream.base, first});
	sse_parser_feed(&parser, (struct slice){row->stream.base + first, row->stream.len - first});
	if (strcmp(buffer_text(&shown), row->expected) != 0)
		fail_msg("%s, cut at %zu: %s", row->name, first, buffer_text(&shown));
	sse_parser_fini(&parser);
	buffer_free(&shown);
}

/* Every row gives what the standard says, wherever the network cuts it in two. */
static void test_sse_parser_standard_streams_give_standard_events(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(ROWS) / sizeof(*ROWS); i++)
		for (size_t first = 0; first <= ROWS[i].stream.len; first++)
			check_split_at(&ROWS[i], first);
}

/* What a broken connection left half done is gone after a restart; the last complete id is not. */
static void test_sse_parser_restarted_keeps_only_the_last_event_id(void **state)
{
	struct buffer shown = {0};
	struct sse_parser parser = new_parser(&shown);
	(void)state;
	sse_parser_feed(&parser, SLICE_LIT("id: 1\ndata: a\n\nid: 2\nevent: x\ndata: half\nda"));
	sse_parser_restart(&parser);
	sse_parser_feed(&parser, SLICE_LIT("\xEF\xBB\xBF"
					   "data: b\n\n"));
	assert_string_equal(buffer_text(&shown), "(1)[message|a|1][message|b|1]");
	sse_parser_fini(&parser);
	buffer_free(&shown);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sse_parser_standard_streams_give_standard_events),
	    cmocka_unit_test(test_sse_parser_restarted_keeps_only_the_last_event_id),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
