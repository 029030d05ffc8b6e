/*
 * Clients that mean harm. Each is cut off, or borne; afterwards the server answers, has no
 * connection of theirs left, and the process has not grown.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>

#include "unit/http/own_server.h"

static struct http2_client open_clear(void)
{
	return http2_over(client_open(fixture_port(&fixture, FIXTURE_CLEAR)));
}

static int start_impatient(void **state)
{
	(void)state;
	fixture_init(&fixture);
	fixture.settings.head_timeout_ms = 2000;
	fixture_start(&fixture);
	return 0;
}

static int stop(void **state)
{
	struct http2_client http2 = open_clear();

	(void)state;
	http2_get(&http2, 1, "/hello");
	assert_int_equal(http2_status(&http2, 1), 200);
	http2_close(&http2);
	assert_true(fixture_wait_connections(&fixture, 0));
	assert_true(fixture_wait(&fixture.subscribers, 0));
	assert_int_equal(fixture.late_waiting, 0);
	fixture_stop(&fixture);
	return 0;
}

/* Reads to the end. The error code of its GOAWAY; -1 where there was none. */
static int64_t goodbye(struct http2_client *http2)
{
	int64_t code = -1;

	while (http2_next(http2))
		if (http2->type == NGHTTP2_GOAWAY)
			code = http2_error(http2);
	assert_true(http2->client.ended);
	return code;
}

/* The sequence that aborts libh2o's own HTTP/2: enough answers that the write blocks, then the
 * window set to 0 and to much. */
static void test_http2_hostile_windows_are_borne(void **state)
{
	enum { ROUNDS = 10, REQUESTS = 90 };

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct http2_client http2 =
		    http2_over(client_open_small(fixture_port(&fixture, FIXTURE_CLEAR), 2048));
		uint32_t id = 1;

		for (int j = 0; j < 20; j++) {
			for (int k = 0; k < REQUESTS; k++, id += 2)
				http2_get(&http2, id, i & 1 ? "/big" : "/nothing");
			http2_send_setting(&http2, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
			http2_send_setting(&http2, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 30);
			if (i & 2)
				http2_send_u32(&http2, NGHTTP2_RST_STREAM, id - 2, NGHTTP2_CANCEL);
		}
		http2_get(&http2, id, "/nothing");
		for (int j = 0; j < 50 && http2_next(&http2); j++)
			;
		http2_close(&http2);
	}
}

/* Takes in what has come, so that neither side blocks. False when the connection has ended. */
static bool take_in(struct http2_client *http2)
{
	while (!http2->client.ended && client_has_input_within(&http2->client, 0))
		client_read(&http2->client);
	return !http2->client.ended;
}

/* Requests that are reset at once (CVE-2023-44487), whatever they ask for. */
static void test_http2_rapid_reset_is_cut(void **state)
{
	static const char *const paths[] = {"/hello", "/stream", "/late"};

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct http2_client http2 = open_clear();
		uint32_t requests = fixture.requests;

		for (uint32_t id = 1; id < 40000 && take_in(&http2); id += 2) {
			http2_get(&http2, id, paths[i]);
			http2_send_u32(&http2, NGHTTP2_RST_STREAM, id, NGHTTP2_CANCEL);
		}
		assert_int_equal(goodbye(&http2), NGHTTP2_ENHANCE_YOUR_CALM);
		assert_true(fixture.requests - requests < 1500);
		http2_close(&http2);
	}
}

/* Streams that the server itself is made to reset: by a window's overflow, or by a malformed
 * request. */
static void test_http2_provoked_resets_are_cut(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct http2_client http2 = open_clear();
		uint32_t requests = fixture.requests;

		for (uint32_t id = 1; id < 40000 && take_in(&http2); id += 2) {
			http2_get(&http2, id, i ? "" : "/stream");
			http2_send_u32(&http2, NGHTTP2_WINDOW_UPDATE, id, 0x7fffffff);
		}
		assert_int_equal(goodbye(&http2), NGHTTP2_ENHANCE_YOUR_CALM);
		assert_true(fixture.requests - requests < 1500);
		http2_close(&http2);
	}
}

/*
 * A flood of one frame beside a waiting request, while all that comes back is read. Answers the
 * code of the GOAWAY that it is cut off with, -1 where there is only an end.
 */
static int64_t flood(uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t len)
{
	struct http2_client http2 = open_clear();
	int64_t code;

	http2_get(&http2, 1, "/late");
	for (int i = 0; i < 20000 && !http2.client.ended; i++) {
		http2_send_frame(&http2, type, flags, id, payload, len);
		if (i % 100 == 0)
			take_in(&http2);
	}
	code = goodbye(&http2);
	http2_close(&http2);
	assert_true(fixture_wait_connections(&fixture, 0));
	return code;
}

/* Frames that ask for nothing. The request beside them would keep the connection open for ever. */
static void test_http2_floods_are_cut(void **state)
{
	static const uint8_t zeros[16384], priority[5] = {0, 0, 0, 3, 1},
					   settings[6] = {0, 4, 0, 1, 0, 0};
	static const struct {
		uint8_t type, flags;
		uint32_t id;
		const void *payload;
		size_t len;
	} rows[] = {
	    {NGHTTP2_PING, 0, 0, zeros, 8},        {NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, zeros, 8},
	    {NGHTTP2_SETTINGS, 0, 0, settings, 6}, {NGHTTP2_SETTINGS, 0, 0, NULL, 0},
	    {NGHTTP2_PRIORITY, 0, 1, priority, 5}, {NGHTTP2_GOAWAY, 0, 0, zeros, 8},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t code =
		    flood(rows[i].type, rows[i].flags, rows[i].id, rows[i].payload, rows[i].len);

		/* More answers at once than libnghttp2 keeps are an end without a word. */
		assert_true(code == NGHTTP2_ENHANCE_YOUR_CALM || code == -1);
	}
	assert_int_equal(flood(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0),
			 NGHTTP2_PROTOCOL_ERROR);
	assert_int_equal(flood(NGHTTP2_DATA, 0, 1, NULL, 0), NGHTTP2_STREAM_CLOSED);
	assert_int_equal(flood(NGHTTP2_CONTINUATION, 0, 1, zeros, 100), NGHTTP2_PROTOCOL_ERROR);
	assert_int_equal(flood(NGHTTP2_WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff", 4),
			 NGHTTP2_FLOW_CONTROL_ERROR);
}

/* Frames of a type that nobody knows are ignored, as RFC 9113, 5.5 wants it. */
static void test_http2_unknown_frames_are_ignored(void **state)
{
	struct http2_client http2 = open_clear();

	(void)state;
	for (int i = 0; i < 10000; i++)
		http2_send_frame(&http2, 0xee, 0xff, 7, "unknown", 7);
	http2_get(&http2, 1, "/hello");
	assert_int_equal(http2_status(&http2, 1), 200);
	http2_close(&http2);
}

/* DATA without bytes on a request whose end does not come. */
static void test_http2_empty_data_is_cut(void **state)
{
	struct http2_client http2 = open_clear();

	(void)state;
	http2_request(&http2, 1, "POST", "/hello", NGHTTP2_FLAG_END_HEADERS);
	for (int i = 0; i < 2000; i++)
		http2_send_frame(&http2, NGHTTP2_DATA, 0, 1, NULL, 0);
	assert_int_equal(goodbye(&http2), NGHTTP2_ENHANCE_YOUR_CALM);
	http2_close(&http2);
	assert_int_equal(fixture.requests, 0);
}

/* A header block without an end: by many CONTINUATIONs, full, small or empty. */
static void test_http2_continuation_flood_is_cut(void **state)
{
	static const size_t lens[] = {0, 1, 16000};
	char *block = mem_alloc(16000);

	(void)state;
	memset(block, 0x82, 16000);
	for (int i = 0; i < 3; i++) {
		struct http2_client http2 = open_clear();

		http2_request(&http2, 1, "GET", "/hello", NGHTTP2_FLAG_END_STREAM);
		for (int j = 0; j < 10000; j++)
			http2_send_frame(&http2, NGHTTP2_CONTINUATION, 0, 1, block, lens[i]);
		goodbye(&http2);
		http2_close(&http2);
	}
	free(block);
	assert_int_equal(fixture.requests, 0);
}

/* A value of 4 KB put into the table, and then named 16,000 times: 64 MB of fields in 16 KB. Memory
 * stays as it was. */
static void test_http2_hpack_bomb_is_refused(void **state)
{
	struct mallinfo2 before = mallinfo2();
	size_t most = 0;

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct http2_client http2 =
		    http2_over(client_open(fixture_port(&fixture, FIXTURE_CLEAR)));
		struct buffer block = {0};
		struct mallinfo2 now;

		/* Before SETTINGS are acknowledged, the table may have 4,096 bytes. */
		buffer_append(&block, "\x82\x86\x84\x41\x01\x61\x40\x01x\x7f\xa1\x1e", 12);
		memset(buffer_reserve(&block, 4000), 'v', 4000);
		block.len += 4000;
		memset(buffer_reserve(&block, 12000), 0xbe, 12000);
		block.len += 12000;
		http2_send_frame(&http2, NGHTTP2_HEADERS, 5, 1, block.base, block.len);
		assert_int_equal(http2_status(&http2, 1), 431);
		now = mallinfo2();
		most = now.uordblks > most ? now.uordblks : most;
		buffer_free(&block);
		http2_close(&http2);
	}
	assert_int_equal(fixture.requests, 0);
	assert_true(most < before.uordblks + (4 << 20));
}

/* Half a header block holds everything up: the connection is ended in the time of a request, beside
 * a live stream too. */
static void test_http2_half_header_block_is_cut(void **state)
{
	struct http2_client http2 = open_clear();

	(void)state;
	http2_get(&http2, 1, "/stream");
	assert_true(fixture_wait(&fixture.streams, 1));
	/* An acknowledgement in the middle of the block would be an error of its own. */
	assert_true(http2_next_of(&http2, NGHTTP2_SETTINGS));
	http2_request(&http2, 3, "GET", "/hello", NGHTTP2_FLAG_END_STREAM);
	assert_int_equal(goodbye(&http2), NGHTTP2_PROTOCOL_ERROR);
	http2_close(&http2);
	assert_int_equal(fixture.requests, 1);
}

/* Window updates beyond 2^31 on the connection; a frame larger than is allowed; a stream on an even
 * number. */
static void test_http2_protocol_errors_say_goodbye(void **state)
{
	static const uint8_t big[16385];
	struct http2_client http2 = open_clear();

	(void)state;
	http2_send_u32(&http2, NGHTTP2_WINDOW_UPDATE, 0, 0x7fffffff);
	http2_send_u32(&http2, NGHTTP2_WINDOW_UPDATE, 0, 0x7fffffff);
	assert_int_equal(goodbye(&http2), NGHTTP2_FLOW_CONTROL_ERROR);
	http2_close(&http2);
	http2 = open_clear();
	http2_send_frame(&http2, NGHTTP2_DATA, 0, 1, big, sizeof(big));
	assert_int_equal(goodbye(&http2), NGHTTP2_FRAME_SIZE_ERROR);
	http2_close(&http2);
	http2 = open_clear();
	http2_get(&http2, 2, "/hello");
	assert_int_equal(goodbye(&http2), NGHTTP2_PROTOCOL_ERROR);
	http2_close(&http2);
}

/* A connection that begins with something else than it promised by ALPN, or breaks off in the
 * preface. */
static void test_http2_bad_preface_is_closed(void **state)
{
	struct client client = client_open_tls(fixture_port(&fixture, FIXTURE_TLS), "\x02h2");

	(void)state;
	client_say(&client, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	client_rest(&client);
	client_close(&client);
	client = client_open(fixture_port(&fixture, FIXTURE_CLEAR));
	client_say(&client, "PRI * HTTP/2.0\r\n\r\nSM\r\n\rx");
	assert_true(client_expect(&client, "HTTP/1.1 400 "));
	client_close(&client);
	client = client_open_tls(fixture_port(&fixture, FIXTURE_TLS), "\x08http/1.1");
	client_say(&client, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	assert_true(client_expect(&client, "HTTP/1.1 400 "));
	client_close(&client);
	client = client_open(fixture_port(&fixture, FIXTURE_CLEAR));
	client_say(&client, "PRI * HT");
	client_close(&client);
	assert_int_equal(fixture.requests, 0);
}

/* Frames at random, good ones changed at random, cut at random: the server stands. */
static void test_http2_random_frames_are_borne(void **state)
{
	unsigned seed = 5;

	(void)state;
	for (int i = 0; i < 300; i++) {
		struct http2_client http2 = open_clear();
		int frames = rand_r(&seed) % 30;
		uint32_t id = 1;

		for (int j = 0; j < frames; j++) {
			uint8_t payload[64];
			size_t len = (size_t)rand_r(&seed) % sizeof(payload);

			for (size_t k = 0; k < len; k++)
				payload[k] = (uint8_t)rand_r(&seed);
			if (rand_r(&seed) % 2) {
				http2_get(&http2, id, rand_r(&seed) % 2 ? "/stream" : "/hello");
				id += 2;
			}
			http2_send_frame(&http2, (uint8_t)(rand_r(&seed) % 11),
					 (uint8_t)(rand_r(&seed) % 64),
					 (uint32_t)(rand_r(&seed) % 8), payload, len);
			if (rand_r(&seed) % 8 == 0)
				fixture_produce(&fixture, 1, 100);
		}
		if (rand_r(&seed) % 2)
			client_send(&http2.client, "\0\0\x40", (size_t)rand_r(&seed) % 4);
		if (rand_r(&seed) % 2)
			http2_next(&http2);
		http2_close(&http2);
	}
}

#define TEST_WITH(setup, name) cmocka_unit_test_setup_teardown(name, setup, stop)
#define TEST(name)             TEST_WITH(own_server_start, name)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_http2_hostile_windows_are_borne),
	    TEST(test_http2_rapid_reset_is_cut),
	    TEST(test_http2_provoked_resets_are_cut),
	    TEST(test_http2_floods_are_cut),
	    TEST(test_http2_unknown_frames_are_ignored),
	    TEST(test_http2_empty_data_is_cut),
	    TEST(test_http2_continuation_flood_is_cut),
	    TEST(test_http2_hpack_bomb_is_refused),
	    TEST_WITH(start_impatient, test_http2_half_header_block_is_cut),
	    TEST(test_http2_protocol_errors_say_goodbye),
	    TEST(test_http2_bad_preface_is_closed),
	    TEST(test_http2_random_frames_are_borne),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
