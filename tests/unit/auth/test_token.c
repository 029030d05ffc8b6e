#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "auth/auth.h"
#include "base/buffer.h"

static const struct slice absent = {NULL, 0};

/* Runs one search with ?token= allowed and a cookie named "session". */
static int find(struct slice authorization, struct slice query, struct slice cookie,
		struct buffer *scratch, struct slice *token)
{
	char name[] = "session";
	struct auth_settings settings = {.cookie = name, .query = true};
	return auth_find_token(&settings, authorization, query, cookie, scratch, token);
}

static void assert_token(struct slice token, const char *expected)
{
	assert_int_equal(token.len, strlen(expected));
	assert_memory_equal(token.base, expected, token.len);
}

/* Bearer is the only scheme, in any case, with exactly one token of the RFC's characters. */
static void test_token_authorization_rows_are_read_or_refused(void **state)
{
	static const struct {
		struct slice header;
		const char *token; /* NULL: refused */
	} rows[] = {
	    {SLICE_LIT("Bearer abc.def-_~+/=="), "abc.def-_~+/=="},
	    {SLICE_LIT("bearer abc"), "abc"},
	    {SLICE_LIT("BEARER  abc "), "abc"},
	    {SLICE_LIT("\tBearer abc"), "abc"},
	    {SLICE_LIT(""), NULL},
	    {SLICE_LIT("Bearer"), NULL},
	    {SLICE_LIT("Bearer "), NULL},
	    {SLICE_LIT("Bearer="), NULL},
	    {SLICE_LIT("Bearer ="), NULL},
	    {SLICE_LIT("Bearer a=b"), NULL},
	    {SLICE_LIT("Bearer\tabc"), NULL},
	    {SLICE_LIT("Bearer abc def"), NULL},
	    {SLICE_LIT("Bearer abc,Bearer def"), NULL},
	    {SLICE_LIT("Bearer abc\0def"), NULL},
	    {SLICE_LIT("Bearer abc\r\nX: y"), NULL},
	    {SLICE_LIT("Bearer \xc3\xa4"), NULL},
	    {SLICE_LIT("Bearer \xff"), NULL},
	    {SLICE_LIT("Bearer \"abc\""), NULL},
	    {SLICE_LIT("Bearerabc"), NULL},
	    {SLICE_LIT("Basic YWJjOmRlZg=="), NULL},
	    {SLICE_LIT("abc"), NULL},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer scratch = {0};
		struct slice token = SLICE_LIT("untouched");
		int result = find(rows[i].header, SLICE_LIT("token=q"), SLICE_LIT("session=c"),
				  &scratch, &token);
		assert_int_equal(result, rows[i].token ? 0 : ERROR_INVALID);
		assert_token(token, rows[i].token ? rows[i].token : "untouched");
		buffer_free(&scratch);
	}
}

/* token and access_token are read, the first that is not empty, percent-decoded. */
static void test_token_query_rows_are_found_or_not(void **state)
{
	static const struct {
		struct slice query;
		const char *token; /* NULL: not found */
	} rows[] = {
	    {SLICE_LIT("token=abc"), "abc"},
	    {SLICE_LIT("access_token=abc"), "abc"},
	    {SLICE_LIT("a=b&token=abc&c=d"), "abc"},
	    {SLICE_LIT("token=a&access_token=b"), "a"},
	    {SLICE_LIT("token=&access_token=b"), "b"},
	    {SLICE_LIT("token=a%2Eb%2ec"), "a.b.c"},
	    {SLICE_LIT("token=a=b"), "a=b"},
	    {SLICE_LIT("token=a%2"), "a%2"},
	    {SLICE_LIT("token=%zz"), "%zz"},
	    {SLICE_LIT("token=a+b"), "a+b"},
	    {SLICE_LIT("&&token=abc"), "abc"},
	    {SLICE_LIT(""), NULL},
	    {SLICE_LIT("token"), NULL},
	    {SLICE_LIT("token="), NULL},
	    {SLICE_LIT("=token"), NULL},
	    {SLICE_LIT("Token=abc"), NULL},
	    {SLICE_LIT("xtoken=abc"), NULL},
	    {SLICE_LIT("tokens=abc"), NULL},
	    {SLICE_LIT("a=token=abc"), NULL},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer scratch = {0};
		struct slice token = SLICE_LIT("untouched");
		int result = find(absent, rows[i].query, absent, &scratch, &token);
		assert_int_equal(result, rows[i].token ? 0 : ERROR_NOT_FOUND);
		assert_token(token, rows[i].token ? rows[i].token : "untouched");
		buffer_free(&scratch);
	}
}

/* A NUL that hides behind percent-encoding is part of the token, which then is none. */
static void test_token_query_with_encoded_nul_keeps_its_length(void **state)
{
	struct buffer scratch = {0};
	struct slice token;
	(void)state;
	assert_int_equal(find(absent, SLICE_LIT("token=a%00b"), absent, &scratch, &token), 0);
	assert_int_equal(token.len, 3);
	assert_memory_equal(token.base, "a\0b", 3);
	buffer_free(&scratch);
}

/* The cookie's name is compared exactly, and quotes around its value are not part of it. */
static void test_token_cookie_rows_are_found_or_not(void **state)
{
	static const struct {
		struct slice cookie;
		const char *token; /* NULL: not found */
	} rows[] = {
	    {SLICE_LIT("session=abc"), "abc"},
	    {SLICE_LIT("a=b; session=abc; c=d"), "abc"},
	    {SLICE_LIT("a=b;session=abc"), "abc"},
	    {SLICE_LIT("session=\"abc\""), "abc"},
	    {SLICE_LIT("session=; session=abc"), "abc"},
	    {SLICE_LIT("session=a; session=b"), "a"},
	    {SLICE_LIT("session=a=b"), "a=b"},
	    {SLICE_LIT("session=\""), "\""},
	    {SLICE_LIT("  session=abc  "), "abc"},
	    {SLICE_LIT("session=a%2Eb"), "a%2Eb"},
	    {SLICE_LIT(""), NULL},
	    {SLICE_LIT(";;;"), NULL},
	    {SLICE_LIT("session"), NULL},
	    {SLICE_LIT("session=\"\""), NULL},
	    {SLICE_LIT("Session=abc"), NULL},
	    {SLICE_LIT("mysession=abc"), NULL},
	    {SLICE_LIT("a=session=abc"), NULL},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer scratch = {0};
		struct slice token = SLICE_LIT("untouched");
		int result = find(absent, absent, rows[i].cookie, &scratch, &token);
		assert_int_equal(result, rows[i].token ? 0 : ERROR_NOT_FOUND);
		assert_token(token, rows[i].token ? rows[i].token : "untouched");
		buffer_free(&scratch);
	}
}

/* The header wins over the query, and the query over the cookie. */
static void test_token_in_several_places_is_taken_in_order(void **state)
{
	struct buffer scratch = {0};
	struct slice token;
	struct slice query = SLICE_LIT("token=from%2Dquery");
	struct slice cookie = SLICE_LIT("session=from-cookie");
	(void)state;
	assert_int_equal(find(SLICE_LIT("Bearer from-header"), query, cookie, &scratch, &token), 0);
	assert_token(token, "from-header");
	assert_int_equal(find(absent, query, cookie, &scratch, &token), 0);
	assert_token(token, "from-query");
	assert_int_equal(find(absent, absent, cookie, &scratch, &token), 0);
	assert_token(token, "from-cookie");
	buffer_free(&scratch);
}

/* What the configuration does not allow is not looked at. */
static void test_token_in_places_that_are_off_is_not_found(void **state)
{
	struct auth_settings settings = {.cookie = NULL, .query = false};
	struct buffer scratch = {0};
	struct slice token;
	(void)state;
	assert_int_equal(auth_find_token(&settings, absent, SLICE_LIT("token=abc"),
					 SLICE_LIT("session=abc"), &scratch, &token),
			 ERROR_NOT_FOUND);
	buffer_free(&scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_token_authorization_rows_are_read_or_refused),
	    cmocka_unit_test(test_token_query_rows_are_found_or_not),
	    cmocka_unit_test(test_token_query_with_encoded_nul_keeps_its_length),
	    cmocka_unit_test(test_token_cookie_rows_are_found_or_not),
	    cmocka_unit_test(test_token_in_several_places_is_taken_in_order),
	    cmocka_unit_test(test_token_in_places_that_are_off_is_not_found),
	};
	return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
