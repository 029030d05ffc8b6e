#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "http/head_priv.h"

enum { MAX_HEAD = 200, MAX_BODY = 100 };

#define ROW(text, status)                                                                          \
	{                                                                                          \
		text, sizeof(text) - 1, status                                                     \
	}

/* 0: complete; -1: incomplete. */
static const struct {
	const char *text;
	size_t len;
	int status;
} rows[] = {
    ROW("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0),
    ROW("GET / HTTP/1.1\nHost: a\n\n", 0),
    ROW("GET / HTTP/1.1\r\nHost: a\n\r\n", 0),
    ROW("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0),
    ROW("GET / HTTP/1.0\r\n\r\n", 0),
    ROW("GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n", 0),
    ROW("GET / HTTP/1.1\r\nHost:a\r\nX:\r\nY: \t \xc3\xa4\t\r\n\r\n", 0),
    ROW("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost : b\r\n\r\n", 0),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n", 0),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\n", 0),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n", 0),
    ROW("QUERY / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \tChunked \r\n\r\n", 0),
    ROW("", -1),
    ROW("G", -1),
    ROW("GET / HTTP/1.1\r\nHost: a\r\n\r", -1),
    ROW("GET / HTTP/1.1\r\nHost: a\r\n", -1),
    ROW("\r\n\r\n", 400),
    ROW("\n\n", 400),
    ROW("\r\n\r\n\r\n", 400),
    ROW("GET\r\n\r\n", 400),
    ROW("GET /\r\n\r\n", 400),
    ROW("GET / HTTP/0.9\r\n\r\n", 400),
    ROW("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
    ROW("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    ROW("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ROW("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ROW(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ROW("G\0T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ROW("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ROW("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ROW("GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ROW("GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ROW("GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ROW("GET / HTTP/1.1\r\n\r\n", 400),
    ROW("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ROW("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ROW("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
    ROW("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
    ROW("GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", 400),
    ROW("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400),
    ROW("GET / HTTP/1.1\r\nHost: a\r\nX\0: x\r\n\r\n", 400),
    ROW("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    ROW("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
    ROW("GET / HTTP/1.1\r\nHost: a\r\nX: a\x7f\r\n\r\n", 400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
	400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
	400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
	"chunked\r\n\r\n",
	400),
    ROW("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n", 400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n", 400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n", 400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nExpect: a miracle\r\n\r\n", 400),
    ROW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", 413),
};

static int check(const char *text, size_t len, uint32_t *scanned)
{
	struct head_refusal refusal = {0, NULL};
	/* Exactly as long as it is: a sanitizer sees every byte that is read beyond. */
	char *bytes = malloc(len ? len : 1);
	enum head_verdict verdict;

	memcpy(bytes, text, len);
	verdict = head_check((struct slice){bytes, len}, scanned, MAX_HEAD, MAX_BODY, &refusal);
	free(bytes);
	if (verdict == HEAD_REFUSED) {
		assert_non_null(refusal.detail);
		return refusal.status;
	}
	return verdict == HEAD_COMPLETE ? 0 : -1;
}

/* Every row is judged right when it comes at once. */
static void test_head_at_once_is_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t scanned = 0;
		int status = check(rows[i].text, rows[i].len, &scanned);

		if (status != rows[i].status)
			fail_msg("row %zu: %d, not %d: %s", i, status, rows[i].status,
				 rows[i].text);
	}
}

/* And the same when it comes byte by byte: incomplete up to the byte that decides. */
static void test_head_byte_by_byte_is_judged_alike(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t scanned = 0;
		int status = -1;

		for (size_t len = 1; len <= rows[i].len && status == -1; len++)
			status = check(rows[i].text, len, &scanned);
		assert_int_equal(status, rows[i].status);
	}
}

/* A head without an end is refused as soon as it is too large; one that ends beyond the limit too.
 */
static void test_head_too_large_is_refused(void **state)
{
	char text[300];
	uint32_t scanned = 0;

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_int_equal(check(text, MAX_HEAD, &scanned), -1);
	assert_int_equal(check(text, MAX_HEAD + 1, &scanned), 431);
	memcpy(text, "GET / HTTP/1.1\r\nHost: ", 22);
	memcpy(text + 250, "\r\n\r\n", 4);
	scanned = 0;
	assert_int_equal(check(text, 254, &scanned), 431);
}

/* libh2o takes 100 fields. */
static void test_head_with_101_fields_is_refused(void **state)
{
	char text[600];
	struct head_refusal refusal;
	int len = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n");
	uint32_t scanned = 0;

	(void)state;
	for (int i = 0; i < 99; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "a:\r\n");
	memcpy(text + len, "\r\n", 2);
	assert_int_equal(
	    head_check((struct slice){text, (size_t)len + 2}, &scanned, 1000, 0, &refusal),
	    HEAD_COMPLETE);
	memcpy(text + len, "b:\r\n\r\n", 6);
	scanned = 0;
	assert_int_equal(
	    head_check((struct slice){text, (size_t)len + 6}, &scanned, 1000, 0, &refusal),
	    HEAD_REFUSED);
	assert_int_equal(refusal.status, 431);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_head_at_once_is_judged),
	    cmocka_unit_test(test_head_byte_by_byte_is_judged_alike),
	    cmocka_unit_test(test_head_too_large_is_refused),
	    cmocka_unit_test(test_head_with_101_fields_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
