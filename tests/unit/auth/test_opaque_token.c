#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/opaque_token.h"

/* A new token has the form, and no two are alike. */
static void test_opaque_token_new_ones_differ(void **state)
{
	char first[OPAQUE_TOKEN_CHARS + 1], second[OPAQUE_TOKEN_CHARS + 1];

	(void)state;
	opaque_token_make(first);
	opaque_token_make(second);
	assert_int_equal(strlen(first), OPAQUE_TOKEN_CHARS);
	assert_true(opaque_token_has_form(slice_of(first)));
	assert_memory_equal(first, "slc_", 4);
	assert_string_not_equal(first, second);
}

/* The digest is SHA-256 of all characters (FIPS 180-4's example). */
static void test_opaque_token_digest_is_sha256(void **state)
{
	static const uint8_t expected[] = {
	    0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
	    0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
	    0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
	};
	uint8_t digest[OPAQUE_TOKEN_DIGEST_BYTES];

	(void)state;
	opaque_token_digest(SLICE_LIT("abc"), digest);
	assert_memory_equal(digest, expected, sizeof(expected));
}

#define A43 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

/* Another prefix, length or alphabet is none. */
static void test_opaque_token_other_texts_are_none(void **state)
{
	static const struct slice rows[] = {
	    SLICE_LIT(""),
	    SLICE_LIT("slc_"),
	    SLICE_LIT("SLC_" A43),
	    SLICE_LIT("slc-" A43),
	    SLICE_LIT("slc_" A43 "A"),
	    SLICE_LIT("slc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
	    SLICE_LIT("slc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
	    SLICE_LIT("slc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0"),
	    SLICE_LIT("slc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"),
	    SLICE_LIT("slc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+"),
	    SLICE_LIT("slc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\xc3\xa9"),
	    /* Bits beyond the last byte: the same 32 bytes have one text. */
	    SLICE_LIT("slc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB"),
	};

	(void)state;
	assert_true(opaque_token_has_form(SLICE_LIT("slc_" A43)));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_false(opaque_token_has_form(rows[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_opaque_token_new_ones_differ),
	    cmocka_unit_test(test_opaque_token_digest_is_sha256),
	    cmocka_unit_test(test_opaque_token_other_texts_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
