#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"

/* Table 3-7's borders, and the maximal subparts of what lies beyond them (3.9, tables 3-8 to 3-11).
 */
static void test_utf8_span_stops_at_ill_formed(void **state)
{
	static const struct {
		struct slice text;
		size_t span, ill_formed;
	} rows[] = {
	    {{NULL, 0}, 0, 0},
	    {SLICE_LIT("ascii\0\x7f"), 7, 0},
	    {SLICE_LIT("\xc2\x80\xdf\xbf"), 4, 0},
	    {SLICE_LIT("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"), 12, 0},
	    {SLICE_LIT("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"), 8, 0},
	    {SLICE_LIT("12345678\x80"), 8, 1},
	    {SLICE_LIT("1234567\x80"), 7, 1},
	    {SLICE_LIT("\x80"), 0, 1},
	    {SLICE_LIT("\xc0\x80"), 0, 1},
	    {SLICE_LIT("\xc1\xbf"), 0, 1},
	    {SLICE_LIT("\xe0\x9f\xbf"), 0, 1},
	    {SLICE_LIT("\xed\xa0\x80"), 0, 1},
	    {SLICE_LIT("\xf0\x8f\xbf\xbf"), 0, 1},
	    {SLICE_LIT("\xf4\x90\x80\x80"), 0, 1},
	    {SLICE_LIT("\xf5\x80\x80\x80"), 0, 1},
	    {SLICE_LIT("\xff"), 0, 1},
	    {SLICE_LIT("a\xc3"), 1, 1},
	    {SLICE_LIT("a\xe2\x82"), 1, 2},
	    {SLICE_LIT("a\xe2\x82\n"), 1, 2},
	    {SLICE_LIT("a\xf0\x9f\x98"), 1, 3},
	    {SLICE_LIT("a\xf0\x9f\x98"
		       "b"),
	     1, 3},
	    {SLICE_LIT("\xf0\x9f\xc3\xa9"), 0, 2},
	};
	size_t ill_formed;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(utf8_span(rows[i].text, &ill_formed), rows[i].span);
		assert_int_equal(ill_formed, rows[i].ill_formed);
		assert_int_equal(utf8_is_valid(rows[i].text), rows[i].ill_formed == 0);
	}
}

/* A sequence is found at every distance from the start, and cut off at every length, without a byte
 * read too much. */
static void test_utf8_span_at_every_alignment_is_exact(void **state)
{
	static const char emoji[] = "\xf0\x9f\x98\x80";
	size_t ill_formed;

	(void)state;
	for (size_t before = 0; before < 20; before++) {
		for (size_t len = 0; len <= 4; len++) {
			char *text = mem_alloc(before + len);

			memset(text, 'a', before);
			memcpy(text + before, emoji, len);
			assert_int_equal(utf8_span((struct slice){text, before + len}, &ill_formed),
					 len == 4 ? before + 4 : before);
			assert_int_equal(ill_formed, len == 4 ? 0 : len);
			free(text);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_utf8_span_stops_at_ill_formed),
	    cmocka_unit_test(test_utf8_span_at_every_alignment_is_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
