#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/slice.h"

/* Only A to Z fold: bytes beyond ASCII and the neighbours of the letters are themselves. */
static void test_slice_ascii_case_folds_letters_alone(void **state)
{
	static const struct {
		struct slice a, b;
		bool equal;
	} rows[] = {
	    {{NULL, 0}, SLICE_LIT(""), true},
	    {SLICE_LIT("Last-Event-ID"), SLICE_LIT("last-event-id"), true},
	    {SLICE_LIT("AZ"), SLICE_LIT("az"), true},
	    {SLICE_LIT("@"), SLICE_LIT("`"), false},
	    {SLICE_LIT("["), SLICE_LIT("{"), false},
	    {SLICE_LIT("\xc3\x89"), SLICE_LIT("\xc3\xa9"), false},
	    {SLICE_LIT("abc"), SLICE_LIT("ab"), false},
	    {SLICE_LIT("a\0B"), SLICE_LIT("A\0b"), true},
	    {SLICE_LIT("a\0B"), SLICE_LIT("A\0c"), false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(slice_equal_ascii_case(rows[i].a, rows[i].b), rows[i].equal);
}

/* The first hit in the range counts, and the range's end where there is none. */
static void test_slice_find_stays_in_its_range(void **state)
{
	struct slice text = SLICE_LIT("a,b,c");

	(void)state;
	assert_int_equal(slice_find(text, 0, 5, ','), 1);
	assert_int_equal(slice_find(text, 2, 5, ','), 3);
	assert_int_equal(slice_find(text, 2, 3, ','), 3);
	assert_int_equal(slice_find(text, 4, 5, ','), 5);
	assert_int_equal(slice_find((struct slice){0}, 0, 0, ','), 0);
}

/* Every code of the table has its text, in the table's order. */
static void test_error_codes_have_their_text(void **state)
{
	(void)state;
	assert_string_equal(error_text(ERROR_NONE), "no error");
#define CHECK_ROW(name, text) assert_string_equal(error_text(ERROR_##name), text);
	ERROR_TABLE(CHECK_ROW)
#undef CHECK_ROW
	assert_int_equal(ERROR_INVALID, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_slice_ascii_case_folds_letters_alone),
	    cmocka_unit_test(test_slice_find_stays_in_its_range),
	    cmocka_unit_test(test_error_codes_have_their_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
