#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "http/http2_priv.h"
#include "http/loop_priv.h"
#include "unit/http/own_server.h"

static int start_impatient(void **state)
{
	(void)state;
	fixture_init(&fixture);
	fixture.settings.head_timeout_ms = 1000;
	fixture.settings.idle_timeout_ms = 1000;
	fixture_start(&fixture);
	return 0;
}

static int start_strict(void **state)
{
	(void)state;
	fixture_init(&fixture);
	fixture.settings.slow_client_timeout_ms = 500;
	fixture.fanout_settings.slow_client_timeout_ms = 500;
	fixture_start(&fixture);
	return 0;
}

static void assert_has(struct buffer *text, const char *part)
{
	if (!strstr(buffer_text(text), part))
		fail_msg("\"%s\" is not in: %s", part, buffer_text(text));
}

/* Appends the last frame's data where it is stream `id`'s, and gives the windows back. */
static void take_data(struct http2_client *http2, uint32_t id, struct buffer *body)
{
	if (http2->type != NGHTTP2_DATA || http2->payload.len == 0)
		return;
	http2_send_u32(http2, NGHTTP2_WINDOW_UPDATE, 0, (uint32_t)http2->payload.len);
	if (http2->id != id)
		return;
	buffer_append_slice(body, buffer_slice(&http2->payload));
	http2_send_u32(http2, NGHTTP2_WINDOW_UPDATE, id, (uint32_t)http2->payload.len);
}

/* Reads until stream `id`'s data hold `text`. */
static bool read_until(struct http2_client *http2, uint32_t id, struct buffer *body,
		       const char *text)
{
	size_t len = strlen(text), seen = 0;

	for (;;) {
		if (body->len && memmem(body->base + seen, body->len - seen, text, len))
			return true;
		seen = body->len > len ? body->len - len : 0;
		if (!http2_next(http2))
			return false;
		take_data(http2, id, body);
	}
}

/* Counts the events; asserts that they follow one another from `first`. */
static int count_events(struct buffer *body, int first)
{
	int count = 0;

	for (const char *at = buffer_text(body); (at = strstr(at, "\ndata: ")); at += 7) {
		if (at[7] < '0' || at[7] > '9')
			continue;
		assert_int_equal(atoi(at + 7), first + count);
		count++;
	}
	return count;
}

/* A reply, over clear text with prior knowledge and over TLS with ALPN. */
static void test_http2_get_is_answered(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct http2_client http2 = own_server_http2(tls);
		struct buffer body = {0};

		http2_get(&http2, 1, "/hello");
		assert_int_equal(http2_status(&http2, 1), 200);
		assert_has(&http2.fields, "content-length: 6\n");
		assert_has(&http2.fields, "server: sluice\n");
		assert_has(&http2.fields, "date: ");
		assert_true(http2_read_body(&http2, 1, &body));
		assert_string_equal(buffer_text(&body), "hello\n");
		buffer_free(&body);
		http2_close(&http2);
	}
}

/* The first SETTINGS say what the configuration says, and no header table. */
static void test_http2_settings_are_announced(void **state)
{
	static const uint8_t streams[] = {0, 3, 0, 0, 0, 100}, table[] = {0, 1, 0, 0, 0, 0},
			     list[] = {0, 6, 0, 0, 0x40, 0};
	struct http2_client http2 = own_server_http2(false);

	(void)state;
	assert_true(http2_next_of(&http2, NGHTTP2_SETTINGS));
	assert_non_null(memmem(http2.payload.base, http2.payload.len, streams, 6));
	assert_non_null(memmem(http2.payload.base, http2.payload.len, table, 6));
	assert_non_null(memmem(http2.payload.base, http2.payload.len, list, 6));
	http2_close(&http2);
}

/* What the handler sees. */
static void test_http2_request_is_handed_over_whole(void **state)
{
	struct http2_client http2 = own_server_http2(false);
	struct buffer block = {0}, body = {0};

	(void)state;
	http2_append_request(&block, "DELETE", "/echo?a=b?c");
	http2_append_field(&block, "x-test", "1");
	http2_append_field(&block, "x-test", "2");
	http2_send_frame(&http2, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, block.base,
			 block.len);
	http2_send_frame(&http2, NGHTTP2_DATA, 0, 1, "body", 4);
	http2_send_frame(&http2, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "end", 3);
	assert_true(http2_read_body(&http2, 1, &body));
	assert_string_equal(buffer_text(&body), "DELETE|20|/echo|a=b?c|a|1|127.0.0.1\n");
	buffer_free(&block);
	buffer_free(&body);
	http2_close(&http2);
}

/* HEAD has the length and END_STREAM, 204 no length. */
static void test_http2_answers_without_content(void **state)
{
	struct http2_client http2 = own_server_http2(false);

	(void)state;
	http2_request(&http2, 1, "HEAD", "/hello",
		      NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM);
	assert_int_equal(http2_status(&http2, 1), 200);
	assert_true(http2.flags & NGHTTP2_FLAG_END_STREAM);
	assert_has(&http2.fields, "content-length: 6\n");
	http2_get(&http2, 3, "/empty");
	assert_int_equal(http2_status(&http2, 3), 204);
	assert_true(http2.flags & NGHTTP2_FLAG_END_STREAM);
	assert_null(strstr(buffer_text(&http2.fields), "content-length"));
	http2_close(&http2);
}

/* The preface and everything after it byte by byte. */
static void test_http2_bytes_one_by_one_are_answered(void **state)
{
	static const char bytes[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
				    "\0\0\xd\1\5\0\0\0\1\x82\x86\4\6/hello\1\1a";
	struct http2_client http2 = {.client = client_open(fixture_port(&fixture, FIXTURE_CLEAR))};

	(void)state;
	nghttp2_hd_inflate_new(&http2.inflater);
	for (size_t i = 0; i < sizeof(bytes) - 1; i++)
		assert_true(client_send(&http2.client, bytes + i, 1));
	assert_int_equal(http2_status(&http2, 1), 200);
	http2_close(&http2);
}

/* Requests that are too large or not complete enough never get to the handler. */
static void test_http2_large_request_is_refused(void **state)
{
	struct http2_client http2 = own_server_http2(false);
	struct buffer block = {0};
	char value[127] = "";

	(void)state;
	memset(value, 'v', sizeof(value) - 1);
	http2_append_request(&block, "GET", "/hello");
	for (int i = 0; i < 120; i++)
		http2_append_field(&block, "x", "");
	http2_send_frame(&http2, NGHTTP2_HEADERS, 5, 1, block.base, block.len);
	assert_int_equal(http2_status(&http2, 1), 431);
	assert_has(&http2.fields, "content-type: application/problem+json\n");
	buffer_clear(&block);
	http2_append_request(&block, "GET", "/hello");
	for (int i = 0; i < 90; i++) {
		http2_append_field(&block, value, value);
		if (block.len > 16000)
			break;
	}
	http2_send_frame(&http2, NGHTTP2_HEADERS, 1, 3, block.base, block.len);
	buffer_clear(&block);
	http2_append_field(&block, value, value);
	http2_append_field(&block, value, value);
	http2_send_frame(&http2, NGHTTP2_CONTINUATION, 4, 3, block.base, block.len);
	assert_int_equal(http2_status(&http2, 3), 431);
	assert_int_equal(fixture.requests, 0);
	http2_get(&http2, 5, "/hello");
	assert_int_equal(http2_status(&http2, 5), 200);
	buffer_free(&block);
	http2_close(&http2);
}

/* A body beyond the limit is answered before its end; the stream, whose end does not come, is reset
 * without an error, the connection lives on. */
static void test_http2_large_body_is_refused(void **state)
{
	static const char bytes[8192];
	struct http2_client http2 = own_server_http2(false);

	(void)state;
	http2_request(&http2, 1, "POST", "/hello", NGHTTP2_FLAG_END_HEADERS);
	for (int i = 0; i < 3; i++)
		http2_send_frame(&http2, NGHTTP2_DATA, 0, 1, bytes, sizeof(bytes));
	assert_int_equal(http2_status(&http2, 1), 413);
	assert_true(http2_next_of(&http2, NGHTTP2_RST_STREAM));
	assert_int_equal(http2_error(&http2), NGHTTP2_NO_ERROR);
	http2_get(&http2, 3, "/hello");
	assert_int_equal(http2_status(&http2, 3), 200);
	assert_int_equal(fixture.requests, 1);
	http2_close(&http2);
}

/* A target that is not a path. */
static void test_http2_bad_target_is_refused(void **state)
{
	struct http2_client http2 = own_server_http2(false);
	int status;

	(void)state;
	http2_request(&http2, 1, "OPTIONS", "*", 5);
	assert_int_equal(http2_status(&http2, 1), 404);
	http2_request(&http2, 3, "GET", "nowhere", 5);
	status = http2_status(&http2, 3);
	assert_true(status == 400 || status == -1);
	http2_request(&http2, 5, "OPTIONS", "*?a", 5);
	status = http2_status(&http2, 5);
	assert_true(status == 400 || status == -1);
	assert_int_equal(fixture.requests, 1);
	http2_close(&http2);
}

/* One stream more than the limit is refused, also before the client has acknowledged it. */
static void test_http2_stream_beyond_the_limit_is_refused(void **state)
{
	struct http2_client http2 = own_server_http2(false);

	(void)state;
	for (uint32_t i = 0; i < 101; i++)
		http2_get(&http2, 2 * i + 1, "/stream");
	assert_true(http2_next_of(&http2, NGHTTP2_RST_STREAM));
	assert_int_equal(http2.id, 201);
	assert_int_equal(http2_error(&http2), NGHTTP2_REFUSED_STREAM);
	assert_true(fixture_wait(&fixture.streams, 100));
	http2_close(&http2);
	assert_true(fixture_wait(&fixture.subscribers, 0));
}

/* Every stream of a connection gets every event, and END_STREAM at its end. */
static void test_http2_streams_deliver(void **state)
{
	enum { STREAMS = 50, EVENTS = 20 };

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct http2_client http2 = own_server_http2(tls);
		struct buffer bodies[STREAMS] = {{0}};
		int complete = 0;
		char last[16];

		for (uint32_t i = 0; i < STREAMS; i++)
			http2_get(&http2, 2 * i + 1, "/stream");
		for (uint32_t i = 0; i < STREAMS; i++)
			assert_int_equal(http2_status(&http2, 2 * i + 1), 200);
		assert_true(fixture_wait(&fixture.streams, (uint32_t)(tls + 1) * STREAMS));
		fixture_produce(&fixture, EVENTS, 100);
		snprintf(last, sizeof(last), "\ndata: %dx", (tls + 1) * EVENTS - 1);
		while (complete < STREAMS) {
			struct buffer *body;

			assert_true(http2_next_of(&http2, NGHTTP2_DATA));
			http2_send_u32(&http2, NGHTTP2_WINDOW_UPDATE, 0,
				       (uint32_t)http2.payload.len);
			body = &bodies[http2.id / 2];
			buffer_append_slice(body, buffer_slice(&http2.payload));
			complete += strstr(buffer_text(body), last) != NULL;
		}
		for (int i = 0; i < STREAMS; i++)
			buffer_free(&bodies[i]);
		http2_close(&http2);
		assert_true(fixture_wait(&fixture.subscribers, 0));
	}
}

/* With a window of 1,000 bytes, and a socket that blocks: nothing is lost, doubled or cut. */
static void test_http2_stream_survives_small_windows(void **state)
{
	enum { EVENTS = 300 };
	struct http2_client http2 = own_server_http2(false);
	struct buffer body = {0};
	char last[16];

	(void)state;
	http2_send_setting(&http2, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000);
	http2_get(&http2, 1, "/stream");
	assert_true(read_until(&http2, 1, &body, "event: connected\n"));
	fixture_produce(&fixture, EVENTS, 700);
	snprintf(last, sizeof(last), "\ndata: %dx", EVENTS - 1);
	assert_true(read_until(&http2, 1, &body, last));
	assert_int_equal(count_events(&body, 0), EVENTS);
	buffer_free(&body);
	http2_close(&http2);
}

static struct http2_client open_unlimited(bool tls)
{
	struct http2_client http2 = own_server_http2(tls);

	http2_send_setting(&http2, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30);
	http2_send_u32(&http2, NGHTTP2_WINDOW_UPDATE, 0, 1 << 30);
	return http2;
}

static void read_last(struct http2_client *http2, struct buffer *body, int first)
{
	char last[24];

	snprintf(last, sizeof(last), "\ndata: %dx", (int)fixture.produced - 1);
	assert_true(read_until(http2, 1, body, last));
	assert_int_equal(count_events(body, first), (int)fixture.produced - first);
}

/* With windows that allow everything, what the socket does not take is kept and sent in order, and
 * is no more than one turn's. */
static void test_http2_stream_survives_blocking(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct http2_client http2 = open_unlimited(tls);
		struct buffer body = {0};
		int first = (int)fixture.produced;

		http2_get(&http2, 1, "/stream");
		assert_true(read_until(&http2, 1, &body, "event: connected\n"));
		fixture_produce(&fixture, 3000, 1000);
		read_last(&http2, &body, first);
		buffer_free(&body);
		http2_close(&http2);
	}
	http_server_stop(fixture.server);
	assert_true(http_server_loop(fixture.server, 0)->scratch.capacity <=
		    4 * HTTP2_OUTPUT_BYTES);
}

/* Bursts of all sizes, read in portions of all sizes. */
static void test_http2_stream_random_reader_gets_all(void **state)
{
	unsigned seed = 3;

	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct http2_client http2 = open_unlimited(tls);
		struct buffer body = {0};
		int first = (int)fixture.produced;

		setsockopt(http2.client.fd, SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int));
		http2_get(&http2, 1, "/stream");
		assert_true(read_until(&http2, 1, &body, "event: connected\n"));
		for (int i = 0; i < 60; i++) {
			fixture_produce(&fixture, rand_r(&seed) % 200, 500);
			for (int j = rand_r(&seed) % 16; j > 0; j--)
				if (client_has_input_within(&http2.client, 0) && http2_next(&http2))
					take_data(&http2, 1, &body);
		}
		fixture_produce(&fixture, 1, 500);
		read_last(&http2, &body, first);
		buffer_free(&body);
		http2_close(&http2);
	}
}

/* The end of a stream is END_STREAM, and the connection goes on. */
static void test_http2_stream_end_is_orderly(void **state)
{
	struct http2_client http2 = own_server_http2(false);
	struct buffer body = {0};

	(void)state;
	http2_get(&http2, 1, "/stream");
	assert_true(read_until(&http2, 1, &body, "event: connected\n"));
	fixture_end_streams(&fixture);
	assert_true(http2_read_body(&http2, 1, &body));
	assert_has(&body, "retry: ");
	http2_get(&http2, 3, "/hello");
	assert_int_equal(http2_status(&http2, 3), 200);
	buffer_free(&body);
	http2_close(&http2);
}

/* A stream that is reset goes, the one beside it stays; with the connection, it goes too. */
static void test_http2_client_that_goes_is_noticed(void **state)
{
	struct http2_client http2 = own_server_http2(false);
	struct buffer body = {0};

	(void)state;
	http2_get(&http2, 1, "/stream");
	http2_get(&http2, 3, "/stream");
	assert_true(fixture_wait(&fixture.subscribers, 2));
	http2_send_u32(&http2, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
	assert_true(fixture_wait(&fixture.subscribers, 1));
	fixture_produce(&fixture, 1, 10);
	assert_true(read_until(&http2, 3, &body, "\ndata: 0x"));
	buffer_free(&body);
	http2_close(&http2);
	assert_true(fixture_wait(&fixture.subscribers, 0));
	assert_true(fixture_wait_connections(&fixture, 0));
}

/* An answer may come later; a handler whose client resets the stream, or goes, is told. */
static void test_http2_late_answer_or_none(void **state)
{
	struct http2_client http2 = own_server_http2(true);

	(void)state;
	http2_get(&http2, 1, "/late");
	assert_true(fixture_wait(&fixture.late_waiting, 1));
	http2_send_u32(&http2, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL);
	assert_true(fixture_wait(&fixture.gone, 1));
	http2_get(&http2, 3, "/late");
	assert_true(fixture_wait(&fixture.late_waiting, 1));
	http2_close(&http2);
	assert_true(fixture_wait(&fixture.gone, 2));
	http2 = own_server_http2(false);
	http2_get(&http2, 1, "/late");
	assert_true(fixture_wait(&fixture.late_waiting, 1));
	fixture_answer_late(&fixture);
	assert_int_equal(http2_status(&http2, 1), 200);
	http2_close(&http2);
}

/* A drain says GOAWAY, lets streams go on, takes no connection, and closes when the last stream has
 * ended. */
static void test_http2_drain_finishes_what_runs(void **state)
{
	struct http2_client http2 = own_server_http2(false), idle = own_server_http2(false);
	struct buffer body = {0};

	(void)state;
	assert_true(http2_next_of(&idle, NGHTTP2_SETTINGS));
	http2_get(&http2, 1, "/stream");
	assert_true(read_until(&http2, 1, &body, "event: connected\n"));
	http2_get(&http2, 3, "/late");
	assert_true(fixture_wait(&fixture.late_waiting, 1));
	http_server_drain(fixture.server);
	assert_true(http2_next_of(&idle, NGHTTP2_GOAWAY));
	assert_false(http2_next(&idle));
	assert_false(idle.client.reset);
	http2_close(&idle);
	assert_true(http2_next_of(&http2, NGHTTP2_GOAWAY));
	assert_int_equal(http2_error(&http2), NGHTTP2_NO_ERROR);
	fixture_produce(&fixture, 1, 10);
	assert_true(read_until(&http2, 1, &body, "\ndata: 0x"));
	fixture_answer_late(&fixture);
	assert_int_equal(http2_status(&http2, 3), 200);
	fixture_end_streams(&fixture);
	assert_true(http2_read_body(&http2, 1, &body));
	assert_false(http2_next(&http2));
	assert_false(http2.client.reset);
	assert_int_equal(client_socket(fixture_port(&fixture, FIXTURE_CLEAR), 0), -1);
	buffer_free(&body);
	http2_close(&http2);
	assert_true(fixture_wait_connections(&fixture, 0));
}

/* A connection whose preface is under way when the drain begins is told so too. */
static void test_http2_drain_reaches_a_late_preface(void **state)
{
	struct http2_client http2 = {.client = client_open(fixture_port(&fixture, FIXTURE_CLEAR))};
	int fd;

	(void)state;
	nghttp2_hd_inflate_new(&http2.inflater);
	client_say(&http2.client, "PRI");
	assert_true(fixture_wait_connections(&fixture, 1));
	http_server_drain(fixture.server);
	while ((fd = client_socket(fixture_port(&fixture, FIXTURE_CLEAR), 0)) != -1)
		close(fd);
	client_say(&http2.client, " * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	http2_send_frame(&http2, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
	assert_true(http2_next_of(&http2, NGHTTP2_GOAWAY));
	http2_close(&http2);
}

/* No preface, no request, or none any more: each is closed, the latter two with GOAWAY. */
static void test_http2_idle_connection_is_closed(void **state)
{
	struct http2_client used = own_server_http2(true), unused = own_server_http2(false);
	struct client silent = client_open_tls(fixture_port(&fixture, FIXTURE_TLS), "\x02h2");

	(void)state;
	http2_get(&used, 1, "/hello");
	client_rest(&silent);
	client_close(&silent);
	assert_true(http2_next_of(&unused, NGHTTP2_GOAWAY));
	assert_int_equal(http2_error(&unused), NGHTTP2_NO_ERROR);
	assert_false(http2_next(&unused));
	http2_close(&unused);
	assert_true(http2_next_of(&used, NGHTTP2_GOAWAY));
	assert_int_equal(http2_error(&used), NGHTTP2_NO_ERROR);
	assert_false(http2_next(&used));
	http2_close(&used);
	assert_true(fixture_wait_connections(&fixture, 0));
}

/* A stream that never gives window is reset after its time; the one beside it is not. */
static void test_http2_slow_stream_is_reset(void **state)
{
	struct http2_client http2 = own_server_http2(false);
	struct buffer body = {0};

	(void)state;
	http2_get(&http2, 1, "/stream");
	assert_true(read_until(&http2, 1, &body, "event: connected\n"));
	buffer_clear(&body);
	http2_send_setting(&http2, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 100);
	http2_get(&http2, 3, "/stream");
	assert_true(fixture_wait(&fixture.streams, 2));
	http2_send_u32(&http2, NGHTTP2_WINDOW_UPDATE, 1, 1 << 20);
	fixture_produce(&fixture, 20, 100);
	assert_true(read_until(&http2, 1, &body, "\ndata: 19x"));
	assert_true(http2_next_of(&http2, NGHTTP2_RST_STREAM));
	assert_int_equal(http2.id, 3);
	fixture_produce(&fixture, 1, 10);
	assert_true(read_until(&http2, 1, &body, "\ndata: 20x"));
	buffer_free(&body);
	http2_close(&http2);
}

/* So is a reply; and a connection that never reads is closed. */
static void test_http2_slow_connection_is_closed(void **state)
{
	struct http2_client http2 = own_server_http2(false);

	(void)state;
	http2_send_setting(&http2, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
	http2_get(&http2, 1, "/big");
	assert_true(http2_next_of(&http2, NGHTTP2_RST_STREAM));
	http2_close(&http2);
	for (int i = 0; i < 4; i++) {
		http2 = own_server_http2(i & 1);
		setsockopt(http2.client.fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
		http2_send_setting(&http2, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30);
		http2_send_u32(&http2, NGHTTP2_WINDOW_UPDATE, 0, 1 << 30);
		http2_get(&http2, 1, i & 2 ? "/big" : "/stream");
		if (!(i & 2)) {
			assert_true(fixture_wait(&fixture.streams, (uint32_t)(i + 1)));
			fixture_produce(&fixture, 10000, 1000);
		}
		assert_true(fixture_wait_connections(&fixture, 0));
		http2_close(&http2);
	}
	assert_true(fixture_wait(&fixture.subscribers, 0));
}

/* Half a request's body, or none of it, is answered 408. */
static void test_http2_slow_request_times_out(void **state)
{
	struct http2_client http2 = own_server_http2(false);

	(void)state;
	http2_request(&http2, 1, "POST", "/hello", NGHTTP2_FLAG_END_HEADERS);
	assert_int_equal(http2_status(&http2, 1), 408);
	http2_close(&http2);
	assert_int_equal(fixture.requests, 0);
}

/* A server that stops with everything going on takes nothing with it. */
static void test_http2_stop_in_the_middle_ends_all(void **state)
{
	enum { CLIENTS = 8 };
	struct http2_client clients[CLIENTS];

	(void)state;
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = own_server_http2(i & 1);
		http2_get(&clients[i], 1, "/stream");
		http2_get(&clients[i], 3, "/big");
		http2_get(&clients[i], 5, "/late");
		http2_request(&clients[i], 7, "GET", "/hello", 0);
	}
	assert_true(fixture_wait(&fixture.streams, CLIENTS));
	fixture_produce(&fixture, 5000, 1000);
	http_server_stop(fixture.server);
	assert_int_equal(http_server_connections(fixture.server), 0);
	assert_int_equal(fixture.late_waiting, 0);
	for (int i = 0; i < CLIENTS; i++)
		http2_close(&clients[i]);
}

static size_t collect(char *bytes, size_t size, size_t count, void *out)
{
	buffer_append(out, bytes, size * count);
	return size * count;
}

/* libcurl agrees, with prior knowledge and with ALPN. */
static void test_http2_curl_gets_a_large_reply(void **state)
{
	(void)state;
	for (int tls = 0; tls < 2; tls++) {
		struct buffer body = {0};
		CURL *curl = curl_easy_init();
		char url[64];
		long version;

		snprintf(url, sizeof(url), "http%s://localhost:%u/big", tls ? "s" : "",
			 fixture_port(&fixture, tls));
		curl_easy_setopt(curl, CURLOPT_URL, url);
		curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
				 tls ? CURL_HTTP_VERSION_2TLS
				     : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
		curl_easy_setopt(curl, CURLOPT_CAINFO, fixture.certificate);
		curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
		curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
		assert_int_equal(curl_easy_perform(curl), CURLE_OK);
		curl_easy_getinfo(curl, CURLINFO_HTTP_VERSION, &version);
		assert_int_equal(version, CURL_HTTP_VERSION_2_0);
		assert_int_equal(body.len, FIXTURE_BIG_BYTES);
		curl_easy_cleanup(curl);
		buffer_free(&body);
	}
}

#define TEST(name)             cmocka_unit_test_setup_teardown(name, own_server_start, own_server_stop)
#define TEST_WITH(setup, name) cmocka_unit_test_setup_teardown(name, setup, own_server_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_http2_get_is_answered),
	    TEST(test_http2_settings_are_announced),
	    TEST(test_http2_request_is_handed_over_whole),
	    TEST(test_http2_answers_without_content),
	    TEST(test_http2_bytes_one_by_one_are_answered),
	    TEST(test_http2_large_request_is_refused),
	    TEST(test_http2_large_body_is_refused),
	    TEST(test_http2_bad_target_is_refused),
	    TEST(test_http2_stream_beyond_the_limit_is_refused),
	    TEST(test_http2_streams_deliver),
	    TEST(test_http2_stream_survives_small_windows),
	    TEST(test_http2_stream_survives_blocking),
	    TEST(test_http2_stream_random_reader_gets_all),
	    TEST(test_http2_drain_reaches_a_late_preface),
	    TEST(test_http2_stream_end_is_orderly),
	    TEST(test_http2_client_that_goes_is_noticed),
	    TEST(test_http2_late_answer_or_none),
	    TEST(test_http2_drain_finishes_what_runs),
	    TEST_WITH(start_impatient, test_http2_idle_connection_is_closed),
	    TEST_WITH(start_impatient, test_http2_slow_request_times_out),
	    TEST_WITH(start_strict, test_http2_slow_stream_is_reset),
	    TEST_WITH(start_strict, test_http2_slow_connection_is_closed),
	    TEST(test_http2_stop_in_the_middle_ends_all),
	    TEST(test_http2_curl_gets_a_large_reply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
