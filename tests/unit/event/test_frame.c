#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "event/frame.h"

#define FFFD "\xef\xbf\xbd"

static void check_frame(const struct frame *frame, struct slice expected)
{
	struct buffer out = {0};

	frame_append(&out, frame);
	assert_string_equal(buffer_text(&out), expected.base);
	assert_int_equal(out.len, expected.len);
	buffer_free(&out);
}

/* Each field has its line where it is given and none where it is not; the id comes first. */
static void test_frame_fields_have_a_line_where_given(void **state)
{
	static const struct {
		struct frame frame;
		struct slice text;
	} rows[] = {
	    {{.retry_ms = -1}, SLICE_LIT("\n")},
	    {{.retry_ms = 0}, SLICE_LIT("retry: 0\n\n")},
	    {{.id = SLICE_LIT("7"), .retry_ms = -1}, SLICE_LIT("id: 7\n\n")},
	    {{.has_data = true, .retry_ms = -1}, SLICE_LIT("data: \n\n")},
	    {{.event = SLICE_LIT("gap"), .retry_ms = -1}, SLICE_LIT("event: gap\n\n")},
	    {{.data = SLICE_LIT("ignored"), .retry_ms = -1}, SLICE_LIT("\n")},
	    {{SLICE_LIT("i"), SLICE_LIT("e"), SLICE_LIT("d"), true, INT64_MAX},
	     SLICE_LIT("id: i\nevent: e\nretry: 9223372036854775807\ndata: d\n\n")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_frame(&rows[i].frame, rows[i].text);
}

/* CR, LF and CRLF each break a line once, a break at the end leaves an empty line, and nothing else
 * breaks. */
static void test_frame_data_is_split_in_lines(void **state)
{
	static const struct {
		struct slice data, text;
	} rows[] = {
	    {SLICE_LIT("{\"a\":1}"), SLICE_LIT("data: {\"a\":1}\n\n")},
	    {SLICE_LIT("a\nb"), SLICE_LIT("data: a\ndata: b\n\n")},
	    {SLICE_LIT("a\rb"), SLICE_LIT("data: a\ndata: b\n\n")},
	    {SLICE_LIT("a\r\nb"), SLICE_LIT("data: a\ndata: b\n\n")},
	    {SLICE_LIT("a\n\rb"), SLICE_LIT("data: a\ndata: \ndata: b\n\n")},
	    {SLICE_LIT("a\r\r\nb"), SLICE_LIT("data: a\ndata: \ndata: b\n\n")},
	    {SLICE_LIT("a\n"), SLICE_LIT("data: a\ndata: \n\n")},
	    {SLICE_LIT("a\r"), SLICE_LIT("data: a\ndata: \n\n")},
	    {SLICE_LIT("a\r\n"), SLICE_LIT("data: a\ndata: \n\n")},
	    {SLICE_LIT("\n"), SLICE_LIT("data: \ndata: \n\n")},
	    {SLICE_LIT("\r\n\r\n"), SLICE_LIT("data: \ndata: \ndata: \n\n")},
	    {SLICE_LIT("a\nb\rc\r\nd\ne"),
	     SLICE_LIT("data: a\ndata: b\ndata: c\ndata: d\ndata: e\n\n")},
	    {SLICE_LIT(" lead"), SLICE_LIT("data:  lead\n\n")},
	    {SLICE_LIT("x\n\nid: 9\nretry: 1"),
	     SLICE_LIT("data: x\ndata: \ndata: id: 9\ndata: retry: 1\n\n")},
	    {SLICE_LIT("a\vb\fc\xc2\x85"
		       "d\xe2\x80\xa8"
		       "e"),
	     SLICE_LIT("data: a\vb\fc\xc2\x85"
		       "d\xe2\x80\xa8"
		       "e\n\n")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_frame(&(struct frame){.data = rows[i].data, .has_data = true, .retry_ms = -1},
			    rows[i].text);
}

/* NUL is a character of the data like any other. */
static void test_frame_nul_in_data_is_kept(void **state)
{
	struct frame frame = {.data = SLICE_LIT("a\0b"), .has_data = true, .retry_ms = -1};
	struct buffer out = {0};

	(void)state;
	frame_append(&out, &frame);
	assert_int_equal(out.len, sizeof("data: a\0b\n\n") - 1);
	assert_memory_equal(out.base, "data: a\0b\n\n", out.len);
	buffer_free(&out);
}

/* What is not UTF-8 is replaced, in every field, also where a sequence is cut off by a line break.
 */
static void test_frame_ill_formed_text_is_replaced(void **state)
{
	struct frame frame = {SLICE_LIT("i\xff"), SLICE_LIT("\x80"),
			      SLICE_LIT("\xe2\x82\n\xf0\x9f\x98\r\nok\xc3"), true, -1};

	(void)state;
	check_frame(&frame, SLICE_LIT("id: i" FFFD "\nevent: " FFFD "\ndata: " FFFD "\ndata: " FFFD
				      "\ndata: ok" FFFD "\n\n"));
}

/* One U+FFFD for each maximal subpart, as the WHATWG decoder gives (Unicode 15, table 3-8). */
static void test_frame_utf8_replaces_maximal_subparts(void **state)
{
	static const struct {
		struct slice bytes;
		const char *text;
	} rows[] = {
	    {{NULL, 0}, ""},
	    {SLICE_LIT("plain \xc3\xa9 \xf0\x9f\x98\x80"), "plain \xc3\xa9 \xf0\x9f\x98\x80"},
	    {SLICE_LIT("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82"
		       "A"),
	     FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
	    {SLICE_LIT("\xed\xa0\x80"), FFFD FFFD FFFD},
	    {SLICE_LIT("\xf4\x91\x92\x93\xff"
		       "A\x80\xbf"
		       "B"),
	     FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B"},
	    {SLICE_LIT("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf"
		       "A"),
	     FFFD FFFD FFFD FFFD "A"},
	};
	struct buffer out = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buffer_clear(&out);
		frame_append_utf8(&out, rows[i].bytes);
		assert_string_equal(buffer_text(&out), rows[i].text);
	}
	buffer_free(&out);
}

/* The id can be read from a frame and cut off; a frame without one is whole. */
static void test_frame_id_line_is_found(void **state)
{
	static const struct {
		struct slice frame, id, rest;
	} rows[] = {
	    {SLICE_LIT("id: abc\ndata: x\n\n"), SLICE_LIT("abc"), SLICE_LIT("data: x\n\n")},
	    {SLICE_LIT("id: abc\n\n"), SLICE_LIT("abc"), SLICE_LIT("\n")},
	    {SLICE_LIT("data: x\n\n"), SLICE_LIT(""), SLICE_LIT("data: x\n\n")},
	    {SLICE_LIT("data: x\ndata: id: y\n\n"), SLICE_LIT(""),
	     SLICE_LIT("data: x\ndata: id: y\n\n")},
	    {SLICE_LIT("\n"), SLICE_LIT(""), SLICE_LIT("\n")},
	    {{NULL, 0}, SLICE_LIT(""), SLICE_LIT("")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(slice_equal(frame_id(rows[i].frame), rows[i].id));
		assert_true(slice_equal(frame_after_id(rows[i].frame), rows[i].rest));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_frame_fields_have_a_line_where_given),
	    cmocka_unit_test(test_frame_data_is_split_in_lines),
	    cmocka_unit_test(test_frame_nul_in_data_is_kept),
	    cmocka_unit_test(test_frame_ill_formed_text_is_replaced),
	    cmocka_unit_test(test_frame_utf8_replaces_maximal_subparts),
	    cmocka_unit_test(test_frame_id_line_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
