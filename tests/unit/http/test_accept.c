#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/accept_priv.h"

#define ROW(text, json)                                                                            \
	{                                                                                          \
		{text, sizeof(text) - 1}, json                                                     \
	}

static const struct {
	struct slice type;
	bool is_json;
} types[] = {
    ROW("application/json", true),
    ROW("Application/JSON", true),
    ROW(" application/json ", true),
    ROW("application/json;charset=utf-8", true),
    ROW("application/json; Charset=UTF-8", true),
    ROW("application/json ;\tcharset=\"utf-8\" ;", true),
    ROW("application/json;", true),
    ROW("", false),
    ROW(";", false),
    ROW(";application/json", false),
    ROW("charset=utf-8", false),
    ROW("application", false),
    ROW("application/jsons", false),
    ROW("application/json5", false),
    ROW("application/problem+json", false),
    ROW("text/json", false),
    ROW("text/plain", false),
    ROW("application/x-www-form-urlencoded", false),
    ROW("multipart/form-data; boundary=application/json", false),
    ROW("application/json, application/json", false),
    ROW("application/json; charset=latin1", false),
    ROW("application/json; charset=utf-8; charset=utf-16", false),
    ROW("application/json; charset", false),
    ROW("application/json\0", false),
    ROW("application/json\r\nx: y", false),
    ROW("application/json\xff", false),
    ROW("application/json; charset=utf-8\xc0\x80", false),
};

/* JSON in UTF-8, in whatever letters that is said, and nothing else. */
static void test_accept_content_type_of_a_body_is_judged(void **state)
{
	const struct http_request none = {.field_count = 0};

	(void)state;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		const struct http_field field = {SLICE_LIT("content-type"), types[i].type};
		const struct http_request request = {.fields = &field, .field_count = 1};

		if (accept_is_json(&request) != types[i].is_json)
			fail_msg("row %zu: %s", i, types[i].type.base);
	}
	assert_false(accept_is_json(&none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_accept_content_type_of_a_body_is_judged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
