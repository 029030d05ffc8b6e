#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base64url.h"

/* RFC 4648's vectors (10), and the two characters that differ from base64. */
static const struct {
	struct slice bytes;
	struct slice text;
} pairs[] = {
    {SLICE_LIT(""), SLICE_LIT("")},
    {SLICE_LIT("f"), SLICE_LIT("Zg")},
    {SLICE_LIT("fo"), SLICE_LIT("Zm8")},
    {SLICE_LIT("foo"), SLICE_LIT("Zm9v")},
    {SLICE_LIT("foob"), SLICE_LIT("Zm9vYg")},
    {SLICE_LIT("fooba"), SLICE_LIT("Zm9vYmE")},
    {SLICE_LIT("foobar"), SLICE_LIT("Zm9vYmFy")},
    {SLICE_LIT("\xfb\xff\0"), SLICE_LIT("-_8A")},
};

/* Both directions agree with the standard's vectors. */
static void test_base64url_known_vectors_convert_both_ways(void **state)
{
	char text[16];
	uint8_t bytes[16];

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		assert_int_equal(base64url_encoded_len(pairs[i].bytes.len), pairs[i].text.len);
		base64url_encode((const uint8_t *)pairs[i].bytes.base, pairs[i].bytes.len, text);
		assert_memory_equal(text, pairs[i].text.base, pairs[i].text.len);
		assert_int_equal(base64url_decoded_len(pairs[i].text.len), pairs[i].bytes.len);
		assert_int_equal(base64url_decode(pairs[i].text, bytes), 0);
		assert_memory_equal(bytes, pairs[i].bytes.base, pairs[i].bytes.len);
	}
}

/* Another alphabet, padding, white space, impossible lengths and set padding bits are refused. */
static void test_base64url_malformed_text_is_refused(void **state)
{
	static const struct slice rows[] = {
	    SLICE_LIT("A"),       SLICE_LIT("AAAAA"), SLICE_LIT("Zg=="),  SLICE_LIT("Zm+v"),
	    SLICE_LIT("Zm/v"),    SLICE_LIT("Zm v"),  SLICE_LIT("Zm9\n"), SLICE_LIT("Zm\0v"),
	    SLICE_LIT("Zm\xffv"), SLICE_LIT("Zh"),    SLICE_LIT("Zm9"),   SLICE_LIT("Zm9vYmF"),
	};
	uint8_t bytes[16];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(base64url_decode(rows[i], bytes), ERROR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_base64url_known_vectors_convert_both_ways),
	    cmocka_unit_test(test_base64url_malformed_text_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
