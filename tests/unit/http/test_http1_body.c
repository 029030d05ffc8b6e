/*
 * Requests with a body over HTTP/1.1, from clients that say every byte themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/http/own_server.h"

#define POST(path) "POST " path " HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED    "Transfer-Encoding: chunked\r\n"
#define EXPECT     "Expect: 100-continue\r\n"
#define CONTINUE   "HTTP/1.1 100 Continue\r\n\r\n"

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
static void test_http1_body_arrives_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4 * sizeof(http1_bodies) / sizeof(http1_bodies[0]); i++) {
		struct client client = own_server_http1(i & 1);
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
static void test_http1_body_that_is_expected_is_asked_for(void **state)
{
	static const char *const rows[][2] = {
	    {POST("/body") EXPECT "Content-Length: 3\r\n\r\n", "abc"},
	    {POST("/body") EXPECT CHUNKED "\r\n", "3\r\nabc\r\n0\r\n\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct client client = own_server_http1(i & 1);

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
static void test_http1_body_is_bounded(void **state)
{
	char *body = mem_alloc(HTTP_MAX_BODY_BYTES);

	(void)state;
	memset(body, 'x', HTTP_MAX_BODY_BYTES);
	for (size_t i = 0; i < 8; i++) {
		struct client client = own_server_http1(i & 1);
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
static void test_http1_body_is_refused(void **state)
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
		struct client client = own_server_http1(i & 1);
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
static void test_http1_body_hides_no_request(void **state)
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
		struct client client = own_server_http1(false);
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
static void test_http1_body_cut_off_gets_to_no_handler(void **state)
{
	static const char *const rows[] = {
	    POST("/body") "Content-Length: 3\r\n\r\nab",
	    POST("/body") CHUNKED "\r\n3\r\nabc\r\n0\r\n",
	    POST("/body") EXPECT "Content-Length: 3\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < 3 * sizeof(rows) / sizeof(rows[0]); i++) {
		struct client client = own_server_http1(i % 3 == 2);

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
static void test_http1_body_that_never_ends_ends_the_connection(void **state)
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
		clients[i] = own_server_http1(i & 1);
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
static void test_http1_body_lives_as_long_as_its_request(void **state)
{
	static const char *const rows[] = {
	    POST("/late") "Content-Length: 3\r\n\r\nabcGET /echo HTTP/1.1\r\n\r\n",
	    POST("/late") CHUNKED "\r\n3\r\nabc\r\n0\r\n\r\n",
	    POST("/late") EXPECT "Content-Length: 3\r\n\r\nabc",
	};

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		struct client client = own_server_http1(i & 1), other = own_server_http1(i & 1);

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, own_server_start, own_server_stop)
#define TEST_IMPATIENT(name)                                                                       \
	cmocka_unit_test_setup_teardown(name, own_server_start_impatient, own_server_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_http1_body_arrives_whole),
	    TEST(test_http1_body_that_is_expected_is_asked_for),
	    TEST(test_http1_body_is_bounded),
	    TEST(test_http1_body_is_refused),
	    TEST(test_http1_body_hides_no_request),
	    TEST(test_http1_body_cut_off_gets_to_no_handler),
	    TEST_IMPATIENT(test_http1_body_that_never_ends_ends_the_connection),
	    TEST(test_http1_body_lives_as_long_as_its_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
