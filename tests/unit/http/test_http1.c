#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "unit/http/own_server.h"

/* Each by itself: the connections' own limit, or the fanout's. */
static int start_strict(void **state)
{
	(void)state;
	fixture_init(&fixture);
	fixture.settings.slow_client_timeout_ms = 500;
	fixture_start(&fixture);
	return 0;
}

static int start_strict_fanout(void **state)
{
	(void)state;
	fixture_init(&fixture);
	fixture.fanout_settings.slow_client_timeout_ms = 500;
	fixture_start(&fixture);
	return 0;
}

/* The whole answer to `request`, sent at once. */
static char *ask(bool tls, const char *request)
{
	struct client client = own_server_http1(tls);
	char *answer;

	client_say(&client, request);
	answer = mem_strdup(client_rest(&client));
	assert_false(client.reset);
	client_close(&client);
	return answer;
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in: %s", part, text);
}

static void assert_has_not(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" is in: %s", part, text);
}

/* A reply has date, server, content-length and connection: close, on both kinds of listener. */
static void test_http1_get_is_answered_and_closed(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		char *answer = ask(tls, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");

		assert_has(answer, "HTTP/1.1 200 OK\r\n");
		assert_has(answer, "Date: ");
		assert_has(answer, "Server: sluice\r\n");
		assert_has(answer, "Connection: close\r\n");
		assert_has(answer, "Content-Length: 6\r\n");
		assert_has(answer, "content-type: text/plain\r\n");
		assert_has(answer, "\r\n\r\nhello\n");
		free(answer);
	}
}

/* What the handler sees of a request. */
static void test_http1_request_is_handed_over_whole(void **state)
{
	static const struct {
		const char *request, *seen;
	} rows[] = {
	    {"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", "GET|11|/echo|-|a||127.0.0.1\n"},
	    {"GET /echo? HTTP/1.1\r\nHost: a\r\n\r\n", "GET|11|/echo||a||127.0.0.1\n"},
	    {"GET /echo?a=b?c HTTP/1.0\r\nX-Test: 1\r\nx-test: 2\r\nHost: b:80\r\n\r\n",
	     "GET|10|/echo|a=b?c|b:80|1|127.0.0.1\n"},
	    {"GET HTTP://a.b:1/echo?x HTTP/1.1\r\nHost: a\r\n\r\n",
	     "GET|11|/echo|x|a||127.0.0.1\n"},
	    {"DELETE /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
	     "DELETE|11|/echo|-|a||127.0.0.1\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *answer = ask(false, rows[i].request);

		assert_has(answer, rows[i].seen);
		free(answer);
	}
}

/* What never gets to the handler is answered with a problem document, and closed. */
static void test_http1_bad_request_is_a_problem(void **state)
{
	static const struct {
		const char *request;
		int status;
	} rows[] = {
	    {"GET / HTTP/1.1\r\n\r\n", 400},
	    {"nonsense\r\n\r\n", 400},
	    {"GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	    {"GET *?a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	    {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	    {"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 16385\r\n\r\n", 413},
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		char status[32];
		char *answer = ask(i & 1, rows[i / 2].request);

		snprintf(status, sizeof(status), "HTTP/1.1 %d ", rows[i / 2].status);
		assert_has(answer, status);
		assert_has(answer, "application/problem+json");
		assert_has(answer, "\"detail\":\"");
		free(answer);
	}
	assert_int_equal(fixture.requests, 0);
}

/* A head of 100 KB gets its 431 although the client is still sending. */
static void test_http1_large_head_is_refused(void **state)
{
	enum { LEN = 100 * 1024 };
	char *head = mem_alloc(LEN);

	(void)state;
	memset(head, 'a', LEN);
	memcpy(head, "GET / HTTP/1.1\r\nX: ", 19);
	for (int tls = 0; tls < 2; tls++) {
		struct client client = own_server_http1(tls);

		client_send(&client, head, LEN);
		assert_true(client_expect(&client, "HTTP/1.1 431 "));
		client_close(&client);
	}
	free(head);
}

/* HEAD has the length and no body; 204 has neither. */
static void test_http1_answers_without_content(void **state)
{
	char *answer = ask(false, "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");

	(void)state;
	assert_has(answer, "Content-Length: 6\r\n");
	assert_has_not(answer, "hello");
	free(answer);
	answer = ask(false, "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_has(answer, "HTTP/1.1 204 No Content\r\n");
	assert_has_not(answer, "Content-Length");
	free(answer);
}

/* One byte at a time, over both. */
static void test_http1_bytes_one_by_one_are_answered(void **state)
{
	static const char request[] = "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n";

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct client client = own_server_http1(tls);

		for (size_t i = 0; i < sizeof(request) - 1; i++)
			assert_true(client_send(&client, request + i, 1));
		assert_true(client_expect(&client, "hello\n"));
		client_close(&client);
	}
}

/* A second request behind the first is not answered, and does not reset the first one's answer. */
static void test_http1_pipelined_request_is_left_out(void **state)
{
	char *answer = ask(false, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
				  "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	char *first = strstr(answer, "hello\n");

	(void)state;
	assert_non_null(first);
	assert_null(strstr(first + 1, "HTTP/1.1"));
	free(answer);
	assert_int_equal(fixture.requests, 1);
}

/* What comes while the handler is at work does not reset the answer either. */
static void test_http1_late_answer_survives_more_input(void **state)
{
	struct client client = own_server_http1(false);

	(void)state;
	client_say(&client, "GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(fixture_wait(&fixture.late_waiting, 1));
	client_say(&client, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	fixture_answer_late(&fixture);
	assert_non_null(strstr(client_rest(&client), "late\n"));
	assert_false(client.reset);
	client_close(&client);
}

/* A body does not hinder what has no use for it, with Expect too. */
static void test_http1_body_is_swallowed(void **state)
{
	struct client client = own_server_http1(false);

	(void)state;
	client_say(&client, "POST /hello HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
			    "Content-Length: 5\r\n\r\n");
	assert_true(client_expect(&client, "HTTP/1.1 100 Continue\r\n\r\n"));
	client_say(&client, "12345");
	assert_true(client_expect(&client, "hello\n"));
	client_close(&client);
}

/* An upgrade to HTTP/2 is not taken: libh2o's own must not be reached. */
static void test_http1_upgrade_to_h2c_is_ignored(void **state)
{
	char *answer =
	    ask(false, "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: upgrade, http2-settings\r\n"
		       "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n");

	(void)state;
	assert_has(answer, "HTTP/1.1 200 OK\r\n");
	assert_has(answer, "hello\n");
	free(answer);
}

/* A head that takes too long is answered 408; a connection that has sent nothing is closed without
 * a word. */
static void test_http1_slow_head_times_out(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct client client = own_server_http1(tls), silent;

		client_say(&client, "GET /hello HTTP/1.1\r\n");
		silent = own_server_http1(tls);
		while (!client_has_input_within(&client, 20))
			if (!client_say(&client, "x"))
				break;
		assert_true(client_expect(&client, "HTTP/1.1 408 "));
		client_close(&client);
		client_rest(&silent);
		assert_int_equal(silent.input.len, 0);
		client_close(&silent);
	}
}

/* A body that never comes ends the connection. */
static void test_http1_slow_body_times_out(void **state)
{
	struct client client = own_server_http1(false);

	(void)state;
	client_say(&client, "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1");
	client_rest(&client);
	assert_true(client.ended);
	client_close(&client);
	assert_int_equal(fixture.requests, 0);
}

/* A handler may answer later. */
static void test_http1_late_answer_arrives(void **state)
{
	struct client client = own_server_http1(true);

	(void)state;
	client_say(&client, "GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(fixture_wait(&fixture.late_waiting, 1));
	fixture_answer_late(&fixture);
	assert_true(client_expect(&client, "late\n"));
	client_close(&client);
}

/* One that never does is told so when the server stops. */
static void test_http1_waiting_handler_is_told_of_the_stop(void **state)
{
	struct client client = own_server_http1(false);

	(void)state;
	client_say(&client, "GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(fixture_wait(&fixture.late_waiting, 1));
	http_server_stop(fixture.server);
	assert_int_equal(fixture.gone, 1);
	assert_int_equal(http_server_connections(fixture.server), 0);
	client_close(&client);
}

/* A stream: the head, the first bytes, then every event in order, with clients of every version. */
static void test_http1_stream_delivers(void **state)
{
	static const char *const requests[] = {"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
					       "GET /stream HTTP/1.0\r\n\r\n"};

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct client client = own_server_http1(i & 1);

		client_say(&client, requests[i / 2]);
		assert_true(client_expect(&client, "\r\n\r\n:\n\n"));
		assert_has(buffer_text(&client.input), "content-type: text/event-stream\r\n");
		assert_has_not(buffer_text(&client.input), "Content-Length");
		assert_true(client_expect(&client, "event: connected\n"));
		fixture_produce(&fixture, 1, 10);
		assert_true(client_expect(&client, "\ndata: "));
		client_close(&client);
	}
	assert_true(fixture_wait_connections(&fixture, 0));
}

/* How many events with data of `len` bytes there are; asserts that their numbers follow one another
 * from `first`. */
static int count_events(const char *text, int first, size_t len)
{
	int count = 0;

	for (const char *at = text; (at = strstr(at, "\ndata: ")); at += 7) {
		const char *end = strchr(at + 7, '\n');

		if (at[7] < '0' || at[7] > '9')
			continue;
		assert_non_null(end);
		assert_int_equal(end - at - 7, len);
		assert_int_equal(atoi(at + 7), first + count);
		count++;
	}
	return count;
}

/* Reads events up to number `last`, asserts that they are complete and follow one another. */
static void expect_events(struct client *client, int first, int last, size_t len)
{
	char text[24];

	snprintf(text, sizeof(text), "\ndata: %dx", last);
	assert_true(client_expect(client, text));
	while (memcmp(client->input.base + client->input.len - 2, "\n\n", 2) != 0)
		assert_true(client_read(client));
	assert_int_equal(count_events(buffer_text(&client->input), first, len), last - first + 1);
}

/* Much more than a socket holds, to clients with small buffers: nothing is lost, doubled or cut. */
static void test_http1_stream_survives_blocking(void **state)
{
	enum { EVENTS = 3000, LEN = 1000 };

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct client client = own_server_http1(tls);

		setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int));
		client_say(&client, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
		assert_true(client_expect(&client, "event: connected\n"));
		fixture_produce(&fixture, EVENTS, LEN);
		expect_events(&client, tls * EVENTS, (tls + 1) * EVENTS - 1, LEN);
		client_close(&client);
	}
}

/*
 * Bursts of all sizes, read in portions of all sizes: whenever there is room, and whenever there is
 * none, and whenever there is nothing to write when there is room again.
 */
static void test_http1_stream_random_reader_gets_all(void **state)
{
	unsigned seed = 3;

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct client client = own_server_http1(tls);
		int first = (int)fixture.produced;

		setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int));
		client_say(&client, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
		assert_true(client_expect(&client, "event: connected\n"));
		for (int i = 0; i < 60; i++) {
			int portions = rand_r(&seed) % 16;

			fixture_produce(&fixture, rand_r(&seed) % 200, 500);
			while (portions-- && client_has_input_within(&client, 0))
				client_read(&client);
		}
		fixture_produce(&fixture, 1, 500);
		expect_events(&client, first, (int)fixture.produced - 1, 500);
		client_close(&client);
	}
}

/* The end of a stream is an orderly end of file, over TLS with a close_notify. */
static void test_http1_stream_end_is_orderly(void **state)
{
	struct client clients[2];

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		clients[tls] = own_server_http1(tls);
		client_say(&clients[tls], "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
		assert_true(client_expect(&clients[tls], "event: connected\n"));
	}
	fixture_produce(&fixture, 50, 1000);
	for (int tls = 0; tls < 2; tls++)
		expect_events(&clients[tls], 0, 49, 1000);
	fixture_end_streams(&fixture);
	for (int tls = 0; tls < 2; tls++) {
		client_rest(&clients[tls]);
		assert_false(clients[tls].reset);
		assert_has(buffer_text(&clients[tls].input), "retry: ");
	}
	assert_int_equal(SSL_get_shutdown(clients[1].ssl), SSL_RECEIVED_SHUTDOWN);
	for (int tls = 0; tls < 2; tls++)
		client_close(&clients[tls]);
	assert_true(fixture_wait_connections(&fixture, 0));
}

/* A client that goes is noticed while nothing is sent, however it goes. */
static void test_http1_stream_client_goes_is_noticed(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct client client = own_server_http1(i & 1);

		client_say(&client, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
		assert_true(client_expect(&client, "event: connected\n"));
		assert_true(fixture_wait(&fixture.subscribers, 1));
		if (i & 2)
			setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0},
				   sizeof(struct linger));
		client_close(&client);
		assert_true(fixture_wait(&fixture.subscribers, 0));
		assert_true(fixture_wait_connections(&fixture, 0));
	}
}

/* What a client says on a stream is thrown away, up to a limit. */
static void test_http1_stream_input_is_bounded(void **state)
{
	static const char noise[8192];

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct client client = own_server_http1(tls);

		client_say(&client,
			   "GET /stream HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n");
		assert_true(client_expect(&client, "event: connected\n"));
		client_say(&client, "some more");
		fixture_produce(&fixture, 1, 10);
		assert_true(client_expect(&client, "\ndata: "));
		for (int i = 0; i < 100 && client_send(&client, noise, sizeof(noise)); i++)
			;
		assert_true(fixture_wait_connections(&fixture, 0));
		client_close(&client);
	}
}

/* A client that never reads is closed by the fanout's judgement, and its connection too. */
static void test_http1_stream_that_never_reads_is_closed(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct client client = own_server_http1(tls);

		setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
		client_say(&client, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
		assert_true(client_expect(&client, "event: connected\n"));
		fixture_produce(&fixture, 10000, 1000);
		assert_true(fixture_wait_connections(&fixture, 0));
		client_close(&client);
	}
	assert_true(fixture_wait(&fixture.subscribers, 0));
}

/* So is one that never reads a large reply. */
static void test_http1_reply_that_is_never_read_is_closed(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct client client = own_server_http1(tls);

		setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
		client_say(&client, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
		assert_true(fixture_wait_connections(&fixture, 0));
		client_close(&client);
	}
}

/* Clients that close at every stage, in every way, in random interleaving with events: nothing is
 * left. */
static void test_http1_clients_that_close_anywhere_leave_nothing(void **state)
{
	static const char request[] = "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n";
	unsigned seed = 1;

	(void)state;
	for (int i = 0; i < 400; i++) {
		struct client client = own_server_http1(i % 4 == 0);
		size_t len = (size_t)rand_r(&seed) % sizeof(request);

		client_send(&client, request, rand_r(&seed) % 2 ? sizeof(request) - 1 : len);
		if (rand_r(&seed) % 4 == 0)
			fixture_produce(&fixture, 5, 1000);
		if (rand_r(&seed) % 3 == 0)
			client_has_input_within(&client, 1);
		if (rand_r(&seed) % 2)
			setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0},
				   sizeof(struct linger));
		client_close(&client);
	}
	assert_true(fixture_wait_connections(&fixture, 0));
	assert_true(fixture_wait(&fixture.subscribers, 0));
	assert_int_equal(fixture.late_waiting, 0);
}

/* A server that stops with everything going on takes nothing with it. */
static void test_http1_stop_in_the_middle_ends_all(void **state)
{
	enum { CLIENTS = 24 };
	static const char *const requests[] = {
	    "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET /big HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET /late HTTP/1.1\r\nHost: a\r\n\r\n",
	    "GET /half",
	    "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
	    "bad\r\n\r\n"};
	struct client clients[CLIENTS];

	(void)state;
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = own_server_http1(i & 1);
		client_say(&clients[i], requests[i / 2 % 6]);
	}
	assert_true(fixture_wait(&fixture.streams, 4));
	fixture_produce(&fixture, 5000, 1000);
	http_server_stop(fixture.server);
	assert_int_equal(http_server_connections(fixture.server), 0);
	for (int i = 0; i < CLIENTS; i++)
		client_close(&clients[i]);
}

static size_t collect(char *bytes, size_t size, size_t count, void *out)
{
	buffer_append(out, bytes, size * count);
	return size * count;
}

/* libcurl agrees, over clear text and TLS, also with a body of 1 MiB. */
static void test_http1_curl_gets_a_large_reply(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct buffer body = {0};
		CURL *curl = curl_easy_init();
		char url[64];

		snprintf(url, sizeof(url), "http%s://localhost:%u/big", tls ? "s" : "",
			 fixture_port(&fixture, tls));
		curl_easy_setopt(curl, CURLOPT_URL, url);
		curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
		curl_easy_setopt(curl, CURLOPT_CAINFO, fixture.certificate);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
		assert_int_equal(curl_easy_perform(curl), CURLE_OK);
		assert_int_equal(body.len, FIXTURE_BIG_BYTES);
		curl_easy_cleanup(curl);
		buffer_free(&body);
	}
}

/* Parsed requests and responses by class are counted. */
static void test_http1_metrics_count(void **state)
{
	uint64_t requests = metrics_sum(METRIC_REQUESTS);
	uint64_t ok = metrics_sum(METRIC_RESPONSES_2XX), bad = metrics_sum(METRIC_RESPONSES_4XX);

	(void)state;
	free(ask(false, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"));
	free(ask(false, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"));
	free(ask(false, "bad\r\n\r\n"));
	assert_int_equal(metrics_sum(METRIC_REQUESTS) - requests, 2);
	assert_int_equal(metrics_sum(METRIC_RESPONSES_2XX) - ok, 1);
	assert_int_equal(metrics_sum(METRIC_RESPONSES_4XX) - bad, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, own_server_start, own_server_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_http1_get_is_answered_and_closed),
	    TEST(test_http1_request_is_handed_over_whole),
	    TEST(test_http1_bad_request_is_a_problem),
	    TEST(test_http1_large_head_is_refused),
	    TEST(test_http1_answers_without_content),
	    TEST(test_http1_bytes_one_by_one_are_answered),
	    TEST(test_http1_pipelined_request_is_left_out),
	    TEST(test_http1_late_answer_survives_more_input),
	    TEST(test_http1_body_is_swallowed),
	    TEST(test_http1_upgrade_to_h2c_is_ignored),
	    cmocka_unit_test_setup_teardown(test_http1_slow_head_times_out,
					    own_server_start_impatient, own_server_stop),
	    cmocka_unit_test_setup_teardown(test_http1_slow_body_times_out,
					    own_server_start_impatient, own_server_stop),
	    TEST(test_http1_late_answer_arrives),
	    TEST(test_http1_waiting_handler_is_told_of_the_stop),
	    TEST(test_http1_stream_delivers),
	    TEST(test_http1_stream_survives_blocking),
	    TEST(test_http1_stream_random_reader_gets_all),
	    TEST(test_http1_stream_end_is_orderly),
	    TEST(test_http1_stream_client_goes_is_noticed),
	    TEST(test_http1_stream_input_is_bounded),
	    cmocka_unit_test_setup_teardown(test_http1_stream_that_never_reads_is_closed,
					    start_strict_fanout, own_server_stop),
	    cmocka_unit_test_setup_teardown(test_http1_reply_that_is_never_read_is_closed,
					    start_strict, own_server_stop),
	    TEST(test_http1_clients_that_close_anywhere_leave_nothing),
	    TEST(test_http1_stop_in_the_middle_ends_all),
	    TEST(test_http1_curl_gets_a_large_reply),
	    TEST(test_http1_metrics_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
