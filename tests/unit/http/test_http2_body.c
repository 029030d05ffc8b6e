/*
 * Requests with a body over HTTP/2, from clients that say every byte themselves; and what a stop
 * does to those of both versions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/http/own_server.h"

#define POST "POST /body HTTP/1.1\r\nHost: a\r\n"

enum { HAS_MORE = NGHTTP2_FLAG_END_HEADERS, WHOLE = HAS_MORE | NGHTTP2_FLAG_END_STREAM };

static const char zeros[HTTP_MAX_BODY_BYTES];

static void post(struct http2_client *http2, uint32_t id, const char *path, const char *name,
		 const char *value)
{
	struct buffer block = {0};

	http2_append_request(&block, "POST", path);
	if (name)
		http2_append_field(&block, name, value);
	http2_send_frame(http2, NGHTTP2_HEADERS, HAS_MORE, id, block.base, block.len);
	buffer_free(&block);
}

/* Reads up to the next frame of this type; false where a reset comes before. */
static bool comes_without_reset(struct http2_client *http2, uint8_t type)
{
	do {
		assert_true(http2_next(http2));
		if (http2->type == NGHTTP2_RST_STREAM)
			return false;
	} while (http2->type != type);
	return true;
}

static void ping(struct http2_client *http2)
{
	http2_send_frame(http2, NGHTTP2_PING, 0, 0, zeros, 8);
}

/* Waits until the server has taken all that was sent. */
static void catch_up(struct http2_client *http2)
{
	ping(http2);
	assert_true(http2_next_of(http2, NGHTTP2_PING));
}

static void assert_http2_echoed(struct http2_client *http2, uint32_t id, const char *body)
{
	struct buffer read = {0};

	assert_int_equal(http2_status(http2, id), 200);
	assert_true(http2_read_body(http2, id, &read));
	assert_string_equal(buffer_text(&read), body);
	buffer_free(&read);
}

/* A body in several frames, padded, and with trailers after it. */
static void test_http2_body_arrives_whole(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct http2_client http2 = own_server_http2(tls);
		struct buffer trailer = {0};

		post(&http2, 1, "/body", "content-length", "6");
		http2_send_frame(&http2, NGHTTP2_DATA, 0, 1, "ab", 2);
		post(&http2, 3, "/body", NULL, NULL);
		http2_send_frame(&http2, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1,
				 "\x02"
				 "cdPP",
				 5);
		http2_send_frame(&http2, NGHTTP2_DATA, 0, 3, "xyz", 3);
		http2_send_frame(&http2, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "ef", 2);
		assert_http2_echoed(&http2, 1, "abcdef");
		http2_append_field(&trailer, "x-sum", "1");
		http2_send_frame(&http2, NGHTTP2_HEADERS, WHOLE, 3, trailer.base, trailer.len);
		assert_http2_echoed(&http2, 3, "xyz");
		buffer_free(&trailer);
		http2_close(&http2);
	}
}

/* As over HTTP/1.1: 100, before anything of the body; not where the body is not wanted. */
static void test_http2_body_that_is_expected_is_asked_for(void **state)
{
	struct http2_client http2 = own_server_http2(false);

	(void)state;
	post(&http2, 1, "/body", "expect", "100-continue");
	assert_int_equal(http2_status(&http2, 1), 100);
	http2_send_frame(&http2, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "abc", 3);
	assert_http2_echoed(&http2, 1, "abc");
	http2_close(&http2);
}

/* Said or sent: more than a handler can want is answered 413 before it is there, and the connection
 * lives on. */
static void test_http2_body_is_bounded(void **state)
{
	struct http2_client http2 = own_server_http2(false);
	char *body = mem_zalloc(HTTP_MAX_BODY_BYTES + 1);

	(void)state;
	memset(body, 'x', HTTP_MAX_BODY_BYTES);
	post(&http2, 1, "/body", "content-length", "4097");
	assert_int_equal(http2_status(&http2, 1), 413);
	post(&http2, 3, "/body", "content-length", "99999999999999999");
	assert_int_equal(http2_status(&http2, 3), 413);
	post(&http2, 5, "/body", NULL, NULL);
	http2_send_frame(&http2, NGHTTP2_DATA, 0, 5, body, HTTP_MAX_BODY_BYTES);
	http2_send_frame(&http2, NGHTTP2_DATA, 0, 5, body, 1);
	assert_int_equal(http2_status(&http2, 5), 413);
	post(&http2, 7, "/body", "content-length", "4096");
	http2_send_frame(&http2, NGHTTP2_DATA, 1, 7, body, HTTP_MAX_BODY_BYTES);
	assert_http2_echoed(&http2, 7, body);
	http2_close(&http2);
	free(body);
	assert_int_equal(fixture.requests, 1);
}

/* Whether a request that is answered at once may go on to its end without being reset for it. */
static bool may_end(struct http2_client *http2, uint32_t id)
{
	post(http2, id, "/body", "content-length", "5000");
	assert_int_equal(http2_status(http2, id), 413);
	ping(http2);
	if (!comes_without_reset(http2, NGHTTP2_PING))
		return false;
	for (int i = 0; i < 5; i++)
		http2_send_frame(http2, NGHTTP2_DATA, i == 4, id, zeros, 1000);
	http2_get(http2, id + 2, "/hello");
	return comes_without_reset(http2, NGHTTP2_HEADERS) && http2->status == 200;
}

/* One that is answered early gets some time for its end; a test that is held up for longer tries
 * again. */
static void test_http2_body_answered_early_may_end(void **state)
{
	struct http2_client http2 = own_server_http2(false);
	uint32_t id = 1;

	(void)state;
	for (; !may_end(&http2, id); id += 4)
		assert_true(id < 80);
	http2_close(&http2);
}

/* A content-length that is not kept, either way, is a reset. */
static void test_http2_body_of_another_length_is_reset(void **state)
{
	static const struct {
		const char *length, *sent;
	} rows[] = {{"3", "ab"}, {"3", "abcd"}, {"0", "a"}, {"x", "a"}, {"-1", "a"}};
	struct http2_client http2 = own_server_http2(false);
	uint32_t id = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++, id += 2) {
		post(&http2, id, "/body", "content-length", rows[i].length);
		http2_send_frame(&http2, NGHTTP2_DATA, 1, id, rows[i].sent, strlen(rows[i].sent));
		assert_int_equal(http2_status(&http2, id), -1);
	}
	http2_get(&http2, id, "/hello");
	assert_int_equal(http2_status(&http2, id), 200);
	assert_int_equal(fixture.requests, 1);
	http2_close(&http2);
}

/* Byte by byte it may last as long as any request, no longer. */
static void test_http2_body_that_never_ends_is_answered(void **state)
{
	struct http2_client http2 = own_server_http2(false);

	(void)state;
	post(&http2, 1, "/body", NULL, NULL);
	catch_up(&http2);
	while (!client_has_input_within(&http2.client, 20))
		http2_send_frame(&http2, NGHTTP2_DATA, 0, 1, "x", 1);
	assert_int_equal(http2_status(&http2, 1), 408);
	http2_close(&http2);
	assert_int_equal(fixture.requests, 0);
}

/* Half bodies, reset one after the other: nothing of them is left that could add up. */
static void test_http2_body_reset_in_the_middle_is_forgotten(void **state)
{
	enum { ROUNDS = 400, PART = 2000 };
	struct http2_client http2 = own_server_http2(false);
	uint32_t id = 1;

	(void)state;
	for (int i = 0; i < ROUNDS; i++, id += 2) {
		post(&http2, id, "/body", NULL, NULL);
		http2_send_frame(&http2, NGHTTP2_DATA, 0, id, zeros, PART);
		http2_send_u32(&http2, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
		if (i % 8 == 0)
			catch_up(&http2);
	}
	post(&http2, id, "/body", NULL, NULL);
	http2_send_frame(&http2, NGHTTP2_DATA, 1, id, "abc", 3);
	assert_http2_echoed(&http2, id, "abc");
	assert_int_equal(fixture.requests, 1);
	http2_close(&http2);
}

/* What the half bodies of one connection hold is bounded, however many streams it has; a stream
 * that ends makes room. */
static void test_http2_body_of_many_streams_is_bounded(void **state)
{
	enum { FIT = 64 };
	struct http2_client http2 = own_server_http2(false);
	uint32_t id = 1;

	(void)state;
	for (int i = 0; i < FIT; i++, id += 2) {
		post(&http2, id, "/body", NULL, NULL);
		http2_send_frame(&http2, NGHTTP2_DATA, 0, id, zeros, sizeof(zeros));
		catch_up(&http2);
	}
	post(&http2, id, "/body", NULL, NULL);
	http2_send_frame(&http2, NGHTTP2_DATA, 0, id, "x", 1);
	assert_int_equal(http2_status(&http2, id), 503);
	http2_get(&http2, id + 2, "/hello");
	assert_int_equal(http2_status(&http2, id + 2), 200);
	http2_send_u32(&http2, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
	post(&http2, id + 4, "/body", NULL, NULL);
	http2_send_frame(&http2, NGHTTP2_DATA, 1, id + 4, "abc", 3);
	assert_http2_echoed(&http2, id + 4, "abc");
	http2_close(&http2);
	assert_int_equal(fixture.requests, 2);
}

/* A request that waits keeps its body, until it is answered or its client goes. */
static void test_http2_body_lives_as_long_as_its_request(void **state)
{
	struct http2_client http2 = own_server_http2(false);

	(void)state;
	post(&http2, 1, "/late", NULL, NULL);
	http2_send_frame(&http2, NGHTTP2_DATA, 1, 1, "abc", 3);
	assert_true(fixture_wait(&fixture.late_waiting, 1));
	post(&http2, 3, "/body", NULL, NULL);
	http2_send_frame(&http2, NGHTTP2_DATA, 1, 3, "xyz", 3);
	assert_http2_echoed(&http2, 3, "xyz");
	fixture_answer_late(&fixture);
	assert_http2_echoed(&http2, 1, "abc");
	atomic_store(&fixture.answer_late, false);
	post(&http2, 5, "/late", NULL, NULL);
	http2_send_frame(&http2, NGHTTP2_DATA, 1, 5, "abc", 3);
	assert_true(fixture_wait(&fixture.late_waiting, 1));
	http2_send_u32(&http2, NGHTTP2_RST_STREAM, 5, NGHTTP2_CANCEL);
	assert_true(fixture_wait(&fixture.gone, 1));
	http2_close(&http2);
}

/* A server that stops takes half bodies with it. */
static void test_http2_body_at_a_stop_ends_with_the_server(void **state)
{
	enum { CLIENTS = 4 };
	struct client clients[CLIENTS];
	struct http2_client others[CLIENTS];

	(void)state;
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = own_server_http1(i & 1);
		others[i] = own_server_http2(i & 1);
		client_say(&clients[i], i & 2 ? POST "Transfer-Encoding: chunked\r\n\r\n3\r\nab"
					      : POST
					    "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
		post(&others[i], 1, "/body", NULL, NULL);
		http2_send_frame(&others[i], NGHTTP2_DATA, 0, 1, "ab", 2);
		post(&others[i], 3, "/late", NULL, NULL);
		http2_send_frame(&others[i], NGHTTP2_DATA, 1, 3, "ab", 2);
		catch_up(&others[i]);
	}
	http_server_stop(fixture.server);
	assert_int_equal(http_server_connections(fixture.server), 0);
	for (int i = 0; i < CLIENTS; i++) {
		client_close(&clients[i]);
		http2_close(&others[i]);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, own_server_start, own_server_stop)
#define TEST_IMPATIENT(name)                                                                       \
	cmocka_unit_test_setup_teardown(name, own_server_start_impatient, own_server_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_http2_body_arrives_whole),
	    TEST(test_http2_body_that_is_expected_is_asked_for),
	    TEST(test_http2_body_is_bounded),
	    TEST(test_http2_body_answered_early_may_end),
	    TEST(test_http2_body_of_another_length_is_reset),
	    TEST_IMPATIENT(test_http2_body_that_never_ends_is_answered),
	    TEST(test_http2_body_reset_in_the_middle_is_forgotten),
	    TEST(test_http2_body_of_many_streams_is_bounded),
	    TEST(test_http2_body_lives_as_long_as_its_request),
	    TEST(test_http2_body_at_a_stop_ends_with_the_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
