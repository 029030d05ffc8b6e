#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/buffer.h"
#include "event/path_template.h"

static struct path_template *compile(const char *text)
{
	struct path_template *path = NULL;
	char reason[256];

	assert_int_equal(path_template_compile(text, &path, reason), 0);
	assert_string_equal(path_template_text(path), text);
	return path;
}

/* The parameters are known by name, in the order of the template. */
static void test_path_template_compile_finds_its_params(void **state)
{
	struct path_template *path = compile("/users/{user_id}/orders/{_n2}");

	(void)state;
	assert_int_equal(path_template_param_count(path), 2);
	assert_string_equal(path_template_param(path, 0), "user_id");
	assert_string_equal(path_template_param(path, 1), "_n2");
	path_template_free(path);
	path_template_free(NULL);
}

/* What cannot be a template is refused with the reason, and nothing is handed out. */
static void test_path_template_malformed_is_refused(void **state)
{
	static const struct {
		const char *text, *reason;
	} rows[] = {
	    {"", "it does not start with"},
	    {"a/b", "it does not start with"},
	    {"//", "a segment is empty"},
	    {"/a//b", "a segment is empty"},
	    {"/a/", "a segment is empty"},
	    {"/.", "a segment is \".\""},
	    {"/a/../b", "a segment is \".\""},
	    {"/{}", "a parameter is a whole segment"},
	    {"/{", "a parameter is a whole segment"},
	    {"/{a", "a parameter is a whole segment"},
	    {"/{a}b", "a parameter is a whole segment"},
	    {"/{1a}", "a parameter is a whole segment"},
	    {"/{a-b}", "a parameter is a whole segment"},
	    {"/{\xc3\xa9}", "a parameter is a whole segment"},
	    {"/b{a}", "a literal is written unencoded"},
	    {"/a}", "a literal is written unencoded"},
	    {"/a%20b", "a literal is written unencoded"},
	    {"/a?b", "a literal is written unencoded"},
	    {"/a#b", "a literal is written unencoded"},
	    {"/a b", "a literal is written unencoded"},
	    {"/a\nb", "a literal is written unencoded"},
	    {"/a\x7f", "a literal is written unencoded"},
	    {"/{a}/{b}/{a}", "a parameter's name is used twice"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct path_template *path = NULL;
		char reason[256] = "";

		assert_int_equal(path_template_compile(rows[i].text, &path, reason), ERROR_INVALID);
		assert_ptr_equal(strstr(reason, rows[i].reason), reason);
		assert_null(path);
	}
}

/* `brace` is "/{" or "/", `end` what follows the number. */
static void check_limit(int most, const char *brace, const char *end, const char *expected)
{
	struct path_template *path = NULL;
	struct buffer text = {0};
	char reason[256];

	for (int i = 0; i < most; i++)
		buffer_append_format(&text, "%sx%d%s", brace, i, end);
	path_template_free(compile(buffer_text(&text)));
	buffer_append_format(&text, "%slast%s", brace, end);
	assert_int_equal(path_template_compile(buffer_text(&text), &path, reason), ERROR_INVALID);
	assert_string_equal(reason, expected);
	buffer_free(&text);
}

/* As many segments and parameters as the header allows, and not one more. */
static void test_path_template_limits_are_exact(void **state)
{
	(void)state;
	check_limit(PATH_TEMPLATE_MAX_PARAMS, "/{", "}", "there are more than 16 parameters");
	check_limit(PATH_TEMPLATE_MAX_SEGMENTS, "/", "", "there are more than 32 segments");
}

/* A path matches segment by segment; literals are compared decoded, values stay raw. NULL: no
 * match. */
static void test_path_template_match_gives_raw_values(void **state)
{
	static const struct {
		const char *text;
		struct slice path;
		const char *first, *second;
	} rows[] = {
	    {"/", SLICE_LIT("/"), "", ""},
	    {"/", SLICE_LIT("/a"), NULL, NULL},
	    {"/", SLICE_LIT("//"), NULL, NULL},
	    {"/{a}", SLICE_LIT("/"), NULL, NULL},
	    {"/a", SLICE_LIT("/a"), "", ""},
	    {"/a", SLICE_LIT("/%61"), "", ""},
	    {"/a", SLICE_LIT("/A"), NULL, NULL},
	    {"/a", SLICE_LIT("/a/"), NULL, NULL},
	    {"/a", SLICE_LIT("/ab"), NULL, NULL},
	    {"/a", SLICE_LIT("a"), NULL, NULL},
	    {"/a", SLICE_LIT("*"), NULL, NULL},
	    {"/a", SLICE_LIT("/%6"), NULL, NULL},
	    {"/a", SLICE_LIT("/a%00"), NULL, NULL},
	    {"/a", SLICE_LIT("/a\0"), NULL, NULL},
	    {"/a+b", SLICE_LIT("/a+b"), "", ""},
	    {"/a+b", SLICE_LIT("/a%2bb"), "", ""},
	    {"/a+b", SLICE_LIT("/%61+b"), "", ""},
	    {"/\xc3\xa9", SLICE_LIT("/%C3%A9"), "", ""},
	    {"/u/{id}/orders", SLICE_LIT("/u/42/orders"), "42", ""},
	    {"/u/{id}/orders", SLICE_LIT("/u/a%2Fb+c/orders"), "a%2Fb+c", ""},
	    {"/u/{id}/orders", SLICE_LIT("/u/%zz/orders"), "%zz", ""},
	    {"/u/{id}/orders", SLICE_LIT("/u//orders"), NULL, NULL},
	    {"/u/{id}/orders", SLICE_LIT("/u/42/"), NULL, NULL},
	    {"/u/{id}/orders", SLICE_LIT("/u/42"), NULL, NULL},
	    {"/u/{id}/orders", SLICE_LIT("/u/42/orders/7"), NULL, NULL},
	    {"/{a}/{b}", SLICE_LIT("/x/y"), "x", "y"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct path_template *path = compile(rows[i].text);
		struct slice values[PATH_TEMPLATE_MAX_PARAMS] = {{0}};
		bool matches = path_template_match(path, rows[i].path, values);

		assert_int_equal(matches, rows[i].first != NULL);
		if (matches) {
			assert_true(slice_equal(values[0], slice_of(rows[i].first)));
			assert_true(slice_equal(values[1], slice_of(rows[i].second)));
		}
		path_template_free(path);
	}
}

/* The more specific template comes first from either side; only templates of the same paths are
 * equal. */
static void test_path_template_compare_puts_literals_first(void **state)
{
	static const struct {
		const char *a, *b;
		int order; /* of a and b: -1 or 0 */
	} rows[] = {
	    {"/users/me", "/users/{id}", -1},
	    {"/users/{id}/x", "/{any}/me/x", -1},
	    {"/a/{x}", "/a/{y}", 0},
	    {"/a", "/a", 0},
	    {"/", "/", 0},
	    {"/a", "/b", -1},
	    {"/a", "/ab", -1},
	    {"/a", "/a/b", -1},
	    {"/", "/{x}", -1},
	    {"/z/z", "/{x}", -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct path_template *a = compile(rows[i].a), *b = compile(rows[i].b);

		assert_int_equal(path_template_compare(a, b) < 0, rows[i].order < 0);
		assert_int_equal(path_template_compare(b, a) > 0, rows[i].order < 0);
		assert_int_equal(path_template_compare(a, b) == 0, rows[i].order == 0);
		path_template_free(a);
		path_template_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_path_template_compile_finds_its_params),
	    cmocka_unit_test(test_path_template_malformed_is_refused),
	    cmocka_unit_test(test_path_template_limits_are_exact),
	    cmocka_unit_test(test_path_template_match_gives_raw_values),
	    cmocka_unit_test(test_path_template_compare_puts_literals_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
