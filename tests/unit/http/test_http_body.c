/*
 * Requests with a body, over both carriers, from clients that say every byte themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/http/client.h"
#include "unit/http/fixture.h"
#include "unit/http/http2_client.h"

#define POST(path) "POST " path " HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED    "Transfer-Encoding: chunked\r\n"
#define EXPECT     "Expect: 100-continue\r\n"
#define CONTINUE   "HTTP/1.1 100 Continue\r\n\r\n"

enum { HAS_MORE = NGHTTP2_FLAG_END_HEADERS, WHOLE = HAS_MORE | NGHTTP2_FLAG_END_STREAM };

static const char zeros[HTTP_MAX_BODY_BYTES];
static struct fixture fixture;

static int start(void **state)
{
	(void)state;
	fixture_init(&fixture);
	fixture_start(&fixture);
	return 0;
}

static int start_impatient(void **state)
{
	(void)state;
	fixture_init(&fixture);
	fixture.settings.head_timeout_ms = 1000;
	fixture_start(&fixture);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	fixture_stop(&fixture);
	return 0;
}

static struct client open_http1(bool tls)
{
	return tls ? client_open_tls(fixture_port(&fixture, FIXTURE_TLS), "\x08http/1.1")
		   : client_open(fixture_port(&fixture, FIXTURE_CLEAR));
}

static struct http2_client open_http2(bool tls)
{
	return http2_over(tls ? client_open_tls(fixture_port(&fixture, FIXTURE_TLS), "\x02h2")
			      : client_open(fixture_port(&fixture, FIXTURE_CLEAR)));
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in: %s", part, text);
}

/* The answer is 200, and what comes after its head is `body`. */
static void assert_echoed(struct client *client, const char *body, size_t len)
{
	const char *answer = client_rest(client);
	const char *end = strstr(answer, "\r\n\r\n");

	assert_false(client->reset);
	assert_has(answer, "HTTP/1.1 200 OK\r\n");
	assert_non_null(end);
	assert_int_equal(client->input.len - (size_t)(end + 4 - answer), len);
	assert_memory_equal(end + 4, body, len);
}

static const struct {
	const char *head, *sent;
	size_t len;
	const char *body;
	size_t body_len;
} http1_bodies[] = {
#define ROW(head, sent, body)                                                                      \
	{                                                                                          \
		head, sent, sizeof(sent) - 1, body, sizeof(body) - 1                               \
	}
    ROW(POST("/body") "Content-Length: 9\r\n\r\n", "a\0b\r\n\r\nc\n", "a\0b\r\n\r\nc\n"),
    ROW(POST("/body") "content-length: 3\r\nContent-Length: 003\r\n\r\n", "abc", "abc"),
    ROW(POST("/body") "Content-Length: 0\r\n\r\n", "", ""),
    ROW(POST("/body") "\r\n", "", ""),
    ROW("QUERY /body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", "abc", "abc"),
    ROW("POST /body HTTP/1.0\r\nContent-Length: 3\r\n\r\n", "abc", "abc"),
    ROW(POST("/body") CHUNKED "\r\n", "0\r\n\r\n", ""),
    ROW(POST("/body") CHUNKED "\r\n", "3\r\nabc\r\n0\r\n\r\n", "abc"),
    ROW(POST("/body") CHUNKED "\r\n", "1\r\na\r\n00A;x=\"y\"\r\nb\0\r\n\r\n0\r\n\r\r\n0\r\n\r\n",
	"ab\0\r\n\r\n0\r\n\r"),
    ROW(POST("/body") "transfer-encoding: CHUNKED\r\n\r\n", "1\r\na\r\n0\r\nX: y\r\n\r\n", "a"),
#undef ROW
};

/* However a body says where it ends, the handler gets it whole, sent at once or byte by byte. */
static void test_http_body_of_http1_arrives_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4 * sizeof(http1_bodies) / sizeof(http1_bodies[0]); i++) {
		struct client client = open_http1(i & 1);
		const char *sent = http1_bodies[i / 4].sent;
		size_t step = i & 2 ? 1 : http1_bodies[i / 4].len;

		client_say(&client, http1_bodies[i / 4].head);
		for (size_t at = 0; at < http1_bodies[i / 4].len; at += step)
			client_send(&client, sent + at, step);
		assert_echoed(&client, http1_bodies[i / 4].body, http1_bodies[i / 4].body_len);
		client_close(&client);
	}
	assert_true(fixture_wait_connections(&fixture, 0));
}

/* One that waits for "100 Continue" gets it before it has sent anything of the body. */
static void test_http_body_that_is_expected_is_asked_for(void **state)
{
	static const char *const rows[][2] = {
	    {POST("/body") EXPECT "Content-Length: 3\r\n\r\n", "abc"},
	    {POST("/body") EXPECT CHUNKED "\r\n", "3\r\nabc\r\n0\r\n\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct client client = open_http1(i & 1);

		client_say(&client, rows[i / 2][0]);
		assert_true(client_expect(&client, CONTINUE));
		assert_int_equal(client.input.len, strlen(CONTINUE));
		buffer_clear(&client.input);
		client_say(&client, rows[i / 2][1]);
		assert_echoed(&client, "abc", 3);
		client_close(&client);
	}
}

/* `len` bytes in chunks of up to 1000. */
static void append_chunks(struct buffer *out, size_t len)
{
	char bytes[1000];

	memset(bytes, 'x', sizeof(bytes));
	while (len) {
		size_t part = len < sizeof(bytes) ? len : sizeof(bytes);

		buffer_append_format(out, "%zx\r\n%.*s\r\n", part, (int)part, bytes);
		len -= part;
	}
	buffer_append_text(out, "0\r\n\r\n");
}

/* The largest body is taken, in one piece or in chunks; one byte more is not. */
static void test_http_body_of_http1_is_bounded(void **state)
{
	char *body = mem_alloc(HTTP_MAX_BODY_BYTES);

	(void)state;
	memset(body, 'x', HTTP_MAX_BODY_BYTES);
	for (size_t i = 0; i < 8; i++) {
		struct client client = open_http1(i & 1);
		struct buffer out = {0};
		bool is_chunked = i & 2;
		size_t more = i / 4;

		buffer_append_text(&out, POST("/body"));
		if (is_chunked) {
			buffer_append_text(&out, CHUNKED "\r\n");
			append_chunks(&out, HTTP_MAX_BODY_BYTES + more);
		} else {
			buffer_append_format(&out, "Content-Length: %zu\r\n\r\n",
					     HTTP_MAX_BODY_BYTES + more);
			/* Of a body that is too large nothing has to come. */
			buffer_append(&out, body, more ? 0 : HTTP_MAX_BODY_BYTES);
		}
		client_send(&client, out.base, out.len);
		if (more) {
			assert_has(client_rest(&client), "HTTP/1.1 413 Content Too Large\r\n");
			assert_has(client.input.base, "application/problem+json");
			assert_has(client.input.base,
				   "The request's body is too large: it may have 4096 bytes.");
		} else {
			assert_echoed(&client, body, HTTP_MAX_BODY_BYTES);
		}
		client_close(&client);
		buffer_free(&out);
	}
	free(body);
	assert_int_equal(fixture.requests, 4);
}

/* What is not clear or not meant well is a problem, gets to no handler, and is asked for by no "100
 * Continue". */
static void test_http_body_of_http1_is_refused(void **state)
{
	static const struct {
		const char *request;
		int status;
	} rows[] = {
	    {POST("/body") EXPECT "Content-Length: 4097\r\n\r\n", 413},
	    {POST("/nowhere") "Content-Length: 999999999\r\n\r\n", 413},
	    {POST("/body") CHUNKED "\r\nx\r\n", 400},
	    {POST("/body") CHUNKED "\r\n-1\r\n", 400},
	    {POST("/body") CHUNKED "\r\n\r\n", 400},
	    {POST("/body") CHUNKED "\r\n3\r\nabcd\r\n0\r\n\r\n", 400},
	    {POST("/body") CHUNKED "\r\n10000000000000000\r\n", 400},
	    {POST("/body") CHUNKED "\r\nffffffffffffffff\r\n", 0},
	    {POST("/body") CHUNKED "Content-Length: 3\r\n\r\n0\r\n\r\n", 400},
	    {POST("/body") CHUNKED CHUNKED "\r\n0\r\n\r\n", 400},
	    {"POST /body HTTP/1.0\r\n" CHUNKED "\r\n0\r\n\r\n", 400},
	    {POST("/body") "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
	    {POST("/body") "Transfer-Encoding: identity\r\n\r\n", 400},
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		struct client client = open_http1(i & 1);
		const char *answer;
		char status[32];

		snprintf(status, sizeof(status), "HTTP/1.1 %d ", rows[i / 2].status);
		client_say(&client, rows[i / 2].request);
		if (rows[i / 2].status) {
			answer = client_rest(&client);
			assert_false(client.reset);
			assert_int_equal(strncmp(answer, status, strlen(status)), 0);
			assert_has(answer, "application/problem+json");
			assert_has(answer, "\"detail\":\"");
		}
		client_close(&client);
	}
	assert_true(fixture_wait_connections(&fixture, 0));
	assert_int_equal(fixture.requests, 0);
}

/* What follows a body, or is one where none is wanted, is no second request. */
static void test_http_body_hides_no_request(void **state)
{
	static const char *const rows[] = {
	    POST("/body") "Content-Length: 3\r\n\r\nabcGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
	    POST("/body") CHUNKED "\r\n0\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET /empty HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\n\r\n"
	    "GET /hello HTTP/1.1\r\nHost: bcdefg\r\n\r\n",
	    "HEAD /echo HTTP/1.1\r\nHost: a\r\n" CHUNKED "\r\n"
	    "25\r\nGET /hello HTTP/1.1\r\nHost: bcdefg\r\n\r\n\r\n0\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct client client = open_http1(false);
		const char *answer;

		client_say(&client, rows[i]);
		answer = client_rest(&client);
		assert_has(answer, "HTTP/1.1 20");
		assert_null(strstr(answer + 1, "HTTP/1.1 "));
		client_close(&client);
	}
	assert_int_equal(fixture.requests, sizeof(rows) / sizeof(rows[0]));
}

/* A client that goes, or says that it is through, before its body is whole: nobody is asked. */
static void test_http_body_cut_off_gets_to_no_handler(void **state)
{
	static const char *const rows[] = {
	    POST("/body") "Content-Length: 3\r\n\r\nab",
	    POST("/body") CHUNKED "\r\n3\r\nabc\r\n0\r\n",
	    POST("/body") EXPECT "Content-Length: 3\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < 3 * sizeof(rows) / sizeof(rows[0]); i++) {
		struct client client = open_http1(i % 3 == 2);

		client_say(&client, rows[i / 3]);
		if (i % 3 == 0) {
			shutdown(client.fd, SHUT_WR);
			client_rest(&client);
			assert_null(strstr(buffer_text(&client.input), "HTTP/1.1 2"));
		}
		client_close(&client);
	}
	assert_true(fixture_wait_connections(&fixture, 0));
	assert_int_equal(fixture.requests, 0);
}

/* Each byte in time is not enough: the whole has to be. */
static void test_http_body_that_never_ends_ends_the_connection(void **state)
{
	static const char *const rows[][2] = {
	    {POST("/body") "Content-Length: 4096\r\n\r\n", "x"},
	    {POST("/body") CHUNKED "\r\n", "1\r\nx\r\n"},
	    {POST("/body") CHUNKED "\r\n1;", "x"},
	    {POST("/body") CHUNKED "\r\n0\r\n", "X: y\r\n"},
	};

	struct client clients[8];
	bool waits = true;

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		clients[i] = open_http1(i & 1);
		client_say(&clients[i], rows[i / 2][0]);
	}
	while (waits) {
		waits = false;
		for (size_t i = 0; i < 8; i++) {
			if (client_has_input_within(&clients[i], 3))
				continue;
			client_say(&clients[i], rows[i / 2][1]);
			waits = true;
		}
	}
	for (size_t i = 0; i < 8; i++) {
		client_rest(&clients[i]);
		assert_true(clients[i].ended);
		client_close(&clients[i]);
	}
	assert_int_equal(fixture.requests, 0);
}

/* A request that waits keeps its body, whatever else goes on. */
static void test_http_body_lives_as_long_as_its_request(void **state)
{
	static const char *const rows[] = {
	    POST("/late") "Content-Length: 3\r\n\r\nabcGET /echo HTTP/1.1\r\n\r\n",
	    POST("/late") CHUNKED "\r\n3\r\nabc\r\n0\r\n\r\n",
	    POST("/late") EXPECT "Content-Length: 3\r\n\r\nabc",
	};

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct client client = open_http1(i & 1), other = open_http1(i & 1);

		atomic_store(&fixture.answer_late, false);
		client_say(&client, rows[i / 2]);
		assert_true(fixture_wait(&fixture.late_waiting, 1));
		client_say(&client, "and more of it");
		client_say(&other, POST("/body") "Content-Length: 3\r\n\r\nxyz");
		assert_echoed(&other, "xyz", 3);
		fixture_answer_late(&fixture);
		client_rest(&client);
		assert_has(buffer_text(&client.input), "\r\n\r\nabc");
		client_close(&client);
		client_close(&other);
	}
}

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
static void test_http_body_of_http2_arrives_whole(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct http2_client http2 = open_http2(tls);
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
static void test_http_body_of_http2_that_is_expected_is_asked_for(void **state)
{
	struct http2_client http2 = open_http2(false);

	(void)state;
	post(&http2, 1, "/body", "expect", "100-continue");
	assert_int_equal(http2_status(&http2, 1), 100);
	http2_send_frame(&http2, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "abc", 3);
	assert_http2_echoed(&http2, 1, "abc");
	http2_close(&http2);
}

/* Said or sent: more than a handler can want is answered 413 before it is there, and the connection
 * lives on. */
static void test_http_body_of_http2_is_bounded(void **state)
{
	struct http2_client http2 = open_http2(false);
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
static void test_http_body_answered_early_may_end(void **state)
{
	struct http2_client http2 = open_http2(false);
	uint32_t id = 1;

	(void)state;
	for (; !may_end(&http2, id); id += 4)
		assert_true(id < 80);
	http2_close(&http2);
}

/* A content-length that is not kept, either way, is a reset. */
static void test_http_body_of_another_length_is_reset(void **state)
{
	static const struct {
		const char *length, *sent;
	} rows[] = {{"3", "ab"}, {"3", "abcd"}, {"0", "a"}, {"x", "a"}, {"-1", "a"}};
	struct http2_client http2 = open_http2(false);
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
static void test_http_body_of_http2_that_never_ends_is_answered(void **state)
{
	struct http2_client http2 = open_http2(false);

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
static void test_http_body_reset_in_the_middle_is_forgotten(void **state)
{
	enum { ROUNDS = 400, PART = 2000 };
	struct http2_client http2 = open_http2(false);
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
static void test_http_body_of_many_streams_is_bounded(void **state)
{
	enum { FIT = 64 };
	struct http2_client http2 = open_http2(false);
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
static void test_http_body_of_http2_lives_as_long_as_its_request(void **state)
{
	struct http2_client http2 = open_http2(false);

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
static void test_http_body_at_a_stop_ends_with_the_server(void **state)
{
	enum { CLIENTS = 4 };
	struct client clients[CLIENTS];
	struct http2_client others[CLIENTS];

	(void)state;
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = open_http1(i & 1);
		others[i] = open_http2(i & 1);
		client_say(&clients[i], i & 2 ? POST("/body") CHUNKED "\r\n3\r\nab"
					      : POST("/body") EXPECT "Content-Length: 3\r\n\r\n");
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

#define TEST(name)           cmocka_unit_test_setup_teardown(name, start, stop)
#define TEST_IMPATIENT(name) cmocka_unit_test_setup_teardown(name, start_impatient, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_http_body_of_http1_arrives_whole),
	    TEST(test_http_body_that_is_expected_is_asked_for),
	    TEST(test_http_body_of_http1_is_bounded),
	    TEST(test_http_body_of_http1_is_refused),
	    TEST(test_http_body_hides_no_request),
	    TEST(test_http_body_cut_off_gets_to_no_handler),
	    TEST_IMPATIENT(test_http_body_that_never_ends_ends_the_connection),
	    TEST(test_http_body_lives_as_long_as_its_request),
	    TEST(test_http_body_of_http2_arrives_whole),
	    TEST(test_http_body_of_http2_that_is_expected_is_asked_for),
	    TEST(test_http_body_of_http2_is_bounded),
	    TEST(test_http_body_answered_early_may_end),
	    TEST(test_http_body_of_another_length_is_reset),
	    TEST_IMPATIENT(test_http_body_of_http2_that_never_ends_is_answered),
	    TEST(test_http_body_reset_in_the_middle_is_forgotten),
	    TEST(test_http_body_of_many_streams_is_bounded),
	    TEST(test_http_body_of_http2_lives_as_long_as_its_request),
	    TEST(test_http_body_at_a_stop_ends_with_the_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
