/*
 * Clients that do not read: they cost the gateway nothing but their sockets, harm nobody, are
 * closed with a reason, and get everything when they come back. And clients that come in numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/mem.h"
#include "lib/credentials.h"
#include "lib/gateway_process.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/ledger.h"
#include "lib/sse_client.h"
#include "unit/http/http2_client.h"

enum {
	MIB = 1 << 20,
	PARTITIONS = 4,
	EVENT_BYTES = 4096,
	PORTION_EVENTS = 512,
	WARM_EVENTS = 20 * 1024, /* 80 MiB: more than the window and librdkafka's queue hold */
	SLOW = 300,
	SLOW_HTTP2_STREAMS = 1000,
	HEALTHY = 4,
	RECEIVE_BUFFER = 4096,
	RETURNING = 2,
	GREEDY = 12,    /* fewer than there are chunks */
	STREAMS = 1000, /* on one connection */
	STREAM_EVENTS = 50,
	MAX_CONNECTIONS = 40,
	MARGIN =
	    24 *
	    MIB, /* what allocators and statistics need; one queued event for each would be more */
	TURN_MS = 20,
	PATIENCE_MS = 120000, /* for tests that fail */
};

/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [
		{ "address": "127.0.0.1", "port": 0 },
		{ "address": "127.0.0.1", "port": 0,
		  "tls": { "certificate_file": "${SLOW_FOLDER}/cert.pem", "key_file": "${SLOW_FOLDER}/key.pem" } }
	],
	"http": { "loops": 2, "slow_client_timeout": "2s" },
	"kafka": { "bootstrap.servers": "${SLOW_KAFKA}", "fetch.wait.max.ms": 10,
		"queued.max.messages.kbytes": 16384 },
	"ingest": { "warm": "0s" },
	"replay": { "chunks": 16 },
	"streams": {
		"flood": { "path": "/flood", "topics": ["flood"], "access": "public", "window": "16MiB" },
		"crowd": { "path": "/crowd", "topics": ["crowd"], "access": "public" }
	}
}
);
static const char greedy_config[] = JSON(
{
	"listeners": [{ "address": "127.0.0.1", "port": 0 }],
	"http": { "loops": 2 },
	"kafka": { "bootstrap.servers": "${SLOW_KAFKA}" },
	"ingest": { "warm": "0s" },
	"replay": { "chunks": 16, "last_scan": 5000, "last_size": "1MiB" },
	"streams": {
		"last": { "path": "/last", "topics": ["flood"], "access": "public",
			"params": { "last": { "type": "integer" } }, "start": { "last": "{query.last}" } }
	}
}
);
static const char small_config[] = JSON(
{
	"listeners": [{ "address": "127.0.0.1", "port": 0 }],
	"http": { "loops": 2, "max_connections": 40 },
	"kafka": { "bootstrap.servers": "${SLOW_KAFKA}" },
	"streams": { "crowd": { "path": "/crowd", "topics": ["crowd"], "access": "public" } }
}
);
/* clang-format on */

/*
 * What the configuration allows: the window, librdkafka's queue and as much again on its way, four
 * replay readers, 16 chunks, and the rest of the process: 96 MiB. 64 KiB for each slow client would
 * be more.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
/* Shadows and quarantine. 40 MiB more: with a sanitizer they take as long as 200 without. */
enum { MEMORY_LIMIT = 1024 * MIB, EVENTS = WARM_EVENTS + 10 * 1024 };
#else
/* 200 MiB more. */
enum { MEMORY_LIMIT = (16 + 2 * 16 + 4 * 4 + 16 / 4 + 28) * MIB, EVENTS = WARM_EVENTS + 50 * 1024 };
#endif

static struct kafka_broker broker;
static struct kafka_producer *producer;
static struct gateway_process gateway;
static struct sse_client_loop *loop;
static char ca_file[CREDENTIALS_PATH_BYTES];

struct reader {
	struct ledger ledger;
	struct sse_client *client; /* NULL: it does not read yet */
	struct sse_parser parser;  /* of what one that did not read finds in its socket */
	uint32_t connected;
};

static void take(struct reader *reader, const struct sse_event *event)
{
	char digits[16] = "";

	if (slice_equal(event->type, SLICE_LIT("connected"))) {
		reader->connected++;
	} else if (slice_equal(event->type, SLICE_LIT("message"))) {
		size_t len =
		    event->data.len < sizeof(digits) ? event->data.len : sizeof(digits) - 1;
		memcpy(digits, event->data.base, len);
		uint32_t number = (uint32_t)strtoul(digits, NULL, 10);
		ledger_take(&reader->ledger, number, number % PARTITIONS);
	} else {
		ledger_fail(&reader->ledger, "%.*s: %.*s", (int)event->type.len, event->type.base,
			    (int)event->data.len, event->data.base);
	}
}

static void on_event(void *context, struct sse_client *client, const struct sse_event *event)
{
	(void)client;
	take(context, event);
}

static void on_parsed(void *context, const struct sse_event *event)
{
	take(context, event);
}

/* HTTP/1.1 in clear text, HTTP/2 over TLS: libcurl 7.88 shares no connection by prior knowledge. */
static void open_reader(struct reader *reader, const char *path, enum sse_client_http http,
			const char *last_event_id)
{
	bool tls = http == SSE_CLIENT_HTTP2_TLS;
	char url[128];

	snprintf(url, sizeof(url), "%s://127.0.0.1:%u%s", tls ? "https" : "http",
		 gateway.ports[tls], path);
	reader->client = sse_client_open(loop, &(struct sse_client_options){
						   .url = url,
						   .http = http,
						   .ca_file = ca_file,
						   .last_event_id = last_event_id,
						   .retry_ms = 20,
						   .on_event = on_event,
						   .context = reader,
					       });
}

struct readers {
	struct reader *all;
	size_t count;
};

static bool all_connected(void *context)
{
	const struct readers *readers = context;

	for (size_t i = 0; i < readers->count; i++)
		if (!readers->all[i].connected)
			return false;
	return true;
}

static bool all_complete(void *context)
{
	const struct readers *readers = context;

	for (size_t i = 0; i < readers->count; i++)
		if (readers->all[i].client && !readers->all[i].ledger.fault[0] &&
		    !ledger_complete(&readers->all[i].ledger))
			return false;
	return true;
}

static uint64_t count_events(const struct readers *readers)
{
	uint64_t count = 0;

	for (size_t i = 0; i < readers->count; i++)
		count += readers->all[i].ledger.got;
	return count;
}

/* As long as something comes: with a sanitizer, on a busy machine, hundreds of MiB take minutes. */
static void wait_until_complete(struct readers *readers)
{
	uint64_t before;

	do
		before = count_events(readers);
	while (!sse_client_loop_until(loop, all_complete, readers, PATIENCE_MS) &&
	       count_events(readers) > before);
}

static void check_ledgers(const struct readers *readers)
{
	bool good = true;

	for (size_t i = 0; i < readers->count; i++)
		good &= ledger_report(&readers->all[i].ledger);
	assert_true(good);
}

static void send_events(const char *topic, const struct readers *readers, uint32_t first,
			uint32_t count, int bytes)
{
	static char value[EVENT_BYTES + 1];

	for (uint32_t n = first; n < first + count; n++) {
		snprintf(value, sizeof(value), "%-*u", bytes, n);
		kafka_producer_send(producer,
				    &(struct kafka_message){.topic = topic,
							    .partition = (int32_t)(n % PARTITIONS),
							    .value = slice_of(value)});
		for (size_t i = 0; i < readers->count; i++)
			ledger_owe(&readers->all[i].ledger, n);
	}
	kafka_producer_flush(producer);
}

/* In portions, each when those who read have the one before. */
static void flood(const struct readers *readers, uint32_t from, uint32_t to)
{
	struct readers copy = *readers;

	for (uint32_t n = from; n < to; n += PORTION_EVENTS) {
		send_events("flood", readers, n, PORTION_EVENTS, EVENT_BYTES);
		wait_until_complete(&copy);
	}
}

/* Bytes of the process's own memory that it has written to. */
static size_t private_memory(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", gateway.child.pid);
	char *text = child_read_file(path);
	const char *line = strstr(text, "Private_Dirty:");
	size_t bytes = line ? strtoul(line + strlen("Private_Dirty:"), NULL, 10) * 1024 : 0;
	free(text);
	return bytes;
}

static void check_memory(void)
{
	size_t bytes = private_memory();

	fprintf(stderr, "the gateway has %zu KiB of its own\n", bytes / 1024);
	assert_true(bytes < MEMORY_LIMIT);
}

static double closed_as_slow(void)
{
	return gateway_process_metric(&gateway, "sluice_closes_total{reason=\"slow\"}");
}

/* Asks for the stream and reads nothing, from a socket that holds little. */
static struct client open_slow(void)
{
	struct client client = client_open_small(gateway.ports[0], RECEIVE_BUFFER);

	assert_true(client.fd != -1);
	assert_true(client_say(&client, "GET /flood HTTP/1.1\r\nhost: a\r\n\r\n"));
	return client;
}

/* One connection with many streams, a window for each of them, and nobody who reads. */
static struct http2_client open_slow_http2(void)
{
	struct http2_client http2 = http2_over(client_open_small(gateway.ports[0], RECEIVE_BUFFER));

	http2_send_setting(&http2, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, INT32_MAX);
	http2_send_u32(&http2, NGHTTP2_WINDOW_UPDATE, 0, INT32_MAX - 65535);
	for (uint32_t i = 0; i < SLOW_HTTP2_STREAMS; i++)
		http2_get(&http2, 1 + 2 * i, "/flood");
	return http2;
}

static void wait_for_subscribers(double count)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	while (gateway_process_metric(&gateway, "sluice_subscribers{stream=\"flood\"}") != count) {
		assert_true(clock_monotonic_ms() < deadline);
		sse_client_loop_run(loop, TURN_MS);
	}
}

static void wait_until_slow_are_closed(double count)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	while (closed_as_slow() < count) {
		assert_true(clock_monotonic_ms() < deadline);
		sse_client_loop_run(loop, TURN_MS);
	}
}

/* What the gateway had written before it gave the client up. */
static void read_what_is_there(struct reader *reader, struct client *client)
{
	const char *all = client_rest(client), *body = strstr(all, "\r\n\r\n");

	assert_non_null(body);
	body += 4;
	reader->parser = (struct sse_parser){.on_event = on_parsed, .context = reader};
	sse_parser_feed(&reader->parser,
			(struct slice){body, client->input.len - (size_t)(body - all)});
	assert_true(reader->connected == 1);
	assert_false(ledger_complete(&reader->ledger));
}

static void come_back(struct reader *reader)
{
	char *id = mem_strndup(reader->parser.last_event_id.base, reader->parser.last_event_id.len);

	assert_true(*id != '\0');
	open_reader(reader, "/flood", SSE_CLIENT_HTTP1, id);
	sse_parser_fini(&reader->parser);
	free(id);
}

static void start_readers(struct readers *readers, size_t count, uint32_t events)
{
	readers->all = mem_zalloc(count * sizeof(*readers->all));
	readers->count = count;
	for (size_t i = 0; i < count; i++)
		ledger_init(&readers->all[i].ledger, "reader", events);
}

static void end_readers(struct readers *readers)
{
	for (size_t i = 0; i < readers->count; i++) {
		if (readers->all[i].client)
			sse_client_close(readers->all[i].client);
		ledger_fini(&readers->all[i].ledger);
	}
	free(readers->all);
}

static void open_healthy(const struct readers *readers)
{
	static const enum sse_client_http https[] = {SSE_CLIENT_HTTP1, SSE_CLIENT_HTTP2_TLS};
	struct readers healthy = {readers->all, HEALTHY};

	for (size_t i = 0; i < HEALTHY; i++)
		open_reader(&readers->all[i], "/flood", https[i % 2], NULL);
	assert_true(sse_client_loop_until(loop, all_connected, &healthy, PATIENCE_MS));
}

/*
 * Hundreds of clients that never read, on HTTP/1.1, and a thousand streams of one that never reads,
 * on HTTP/2, while 200 MiB go over the topic: memory stays, the others get everything, the slow are
 * closed as such, and who comes back has missed nothing.
 */
static void test_slow_clients_cost_no_memory_and_harm_nobody(void **state)
{
	struct client *slow = mem_zalloc(SLOW * sizeof(*slow));
	struct readers readers, healthy;

	(void)state;
	start_readers(&readers, HEALTHY + RETURNING, EVENTS);
	healthy = (struct readers){readers.all, HEALTHY};
	open_healthy(&readers);
	flood(&healthy, 0, WARM_EVENTS);
	for (int i = 0; i < SLOW; i++)
		slow[i] = open_slow();
	struct http2_client slow_http2 = open_slow_http2();
	wait_for_subscribers(HEALTHY + SLOW + SLOW_HTTP2_STREAMS);
	flood(&readers, WARM_EVENTS, EVENTS);
	check_memory();
	check_ledgers(&healthy);
	wait_until_slow_are_closed(SLOW + SLOW_HTTP2_STREAMS);
	wait_for_subscribers(HEALTHY);
	for (size_t i = 0; i < RETURNING; i++) {
		read_what_is_there(&readers.all[HEALTHY + i], &slow[i]);
		come_back(&readers.all[HEALTHY + i]);
	}
	wait_until_complete(&readers);
	check_ledgers(&readers);
	check_memory();
	for (int i = 0; i < SLOW; i++)
		client_close(&slow[i]);
	http2_close(&slow_http2);
	end_readers(&readers);
	free(slow);
}

/* Those who ask for as many of the last events as they may, 20 MiB each, and read none of them, are
 * told where they begin, and cost a chunk each. */
static void test_slow_clients_that_ask_for_a_million_events_cost_no_memory(void **state)
{
	struct client clients[GREEDY];

	(void)state;
	for (int i = 0; i < GREEDY; i++) {
		clients[i] = client_open_small(gateway.ports[0], RECEIVE_BUFFER);
		assert_true(
		    client_say(&clients[i], "GET /last?last=1000000 HTTP/1.1\r\nhost: a\r\n\r\n"));
	}
	for (int i = 0; i < GREEDY; i++)
		assert_true(client_expect(&clients[i], "event: connected"));
	check_memory();
	for (int i = 0; i < GREEDY; i++)
		client_close(&clients[i]);
}

static bool has_some(void *context)
{
	const struct reader *reader = context;

	return reader->ledger.got >= PORTION_EVENTS / 2;
}

/* One that reads in fits, and falls out of the window again and again, gets everything once all the
 * same. */
static void test_slow_client_that_reads_in_fits_gets_everything(void **state)
{
	struct readers readers;

	(void)state;
	start_readers(&readers, 1, WARM_EVENTS);
	open_reader(readers.all, "/flood", SSE_CLIENT_HTTP1, NULL);
	assert_true(sse_client_loop_until(loop, all_connected, &readers, PATIENCE_MS));
	for (uint32_t n = 0; n < WARM_EVENTS; n += WARM_EVENTS / 4) {
		sse_client_pause(readers.all->client, true);
		send_events("flood", &readers, n, WARM_EVENTS / 4, EVENT_BYTES);
		sse_client_pause(readers.all->client, false);
		sse_client_loop_until(loop, has_some, readers.all, PATIENCE_MS);
	}
	wait_until_complete(&readers);
	check_ledgers(&readers);
	end_readers(&readers);
}

/* A thousand streams on one HTTP/2 connection each get every event. */
static void test_slow_client_with_a_thousand_streams_gets_all_of_each(void **state)
{
	struct readers readers, first;
	double connections;

	(void)state;
	connections = gateway_process_metric(&gateway, "sluice_connections_total");
	start_readers(&readers, STREAMS, STREAM_EVENTS);
	first = (struct readers){readers.all, 1};
	/* Before the server's SETTINGS have come, libcurl counts on 100 streams. */
	open_reader(first.all, "/crowd", SSE_CLIENT_HTTP2_TLS, NULL);
	assert_true(sse_client_loop_until(loop, all_connected, &first, PATIENCE_MS));
	for (size_t i = 1; i < STREAMS; i++)
		open_reader(&readers.all[i], "/crowd", SSE_CLIENT_HTTP2_TLS, NULL);
	assert_true(sse_client_loop_until(loop, all_connected, &readers, PATIENCE_MS));
	/* Theirs, and that of this question. */
	assert_true(gateway_process_metric(&gateway, "sluice_connections_total") <=
		    connections + 2);
	send_events("crowd", &readers, 0, STREAM_EVENTS, 100);
	wait_until_complete(&readers);
	check_ledgers(&readers);
	end_readers(&readers);
}

/* Connections above the limit are closed at once; those that are there stay, and who leaves makes
 * room. */
static void test_slow_client_connections_above_the_limit_are_refused(void **state)
{
	struct client clients[MAX_CONNECTIONS + 20];
	int served = 0;

	(void)state;
	/* That of the start's question may still be there. */
	while (gateway_process_metric(&gateway, "sluice_connections_open") > 1)
		child_sleep_ms(TURN_MS);
	for (int i = 0; i < MAX_CONNECTIONS + 20; i++) {
		clients[i] = client_open(gateway.ports[0]);
		client_say(&clients[i], "GET /crowd HTTP/1.1\r\nhost: a\r\n\r\n");
		served += client_expect(&clients[i], "event: connected");
	}
	assert_int_equal(served, MAX_CONNECTIONS);
	kafka_producer_send_text(producer, "crowd", NULL, "still here");
	for (int i = 0; i < MAX_CONNECTIONS; i++)
		assert_true(client_expect(&clients[i], "data: still here\n\n"));
	client_close(&clients[0]);
	do {
		client_close(&clients[MAX_CONNECTIONS]);
		clients[MAX_CONNECTIONS] = client_open(gateway.ports[0]);
		client_say(&clients[MAX_CONNECTIONS], "GET /crowd HTTP/1.1\r\nhost: a\r\n\r\n");
	} while (!client_expect(&clients[MAX_CONNECTIONS], "event: connected"));
	for (int i = 0; i < MAX_CONNECTIONS + 20; i++)
		client_close(&clients[i]);
}

static int start(void **state)
{
	struct rlimit limit;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	kafka_broker_start(&broker);
	setenv("SLOW_KAFKA", broker.bootstrap, 1);
	kafka_broker_create_topic(&broker, "flood", PARTITIONS);
	kafka_broker_create_topic(&broker, "crowd", PARTITIONS);
	producer = kafka_producer_new(broker.bootstrap, NULL);
	loop = sse_client_loop_new();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	sse_client_loop_free(loop);
	kafka_producer_free(producer);
	kafka_broker_fini(&broker);
	return 0;
}

static void start_gateway(const char *text)
{
	gateway_process_init(&gateway);
	credentials_write_certificate(gateway.folder, ca_file);
	setenv("SLOW_FOLDER", gateway.folder, 1);
	gateway_process_configure(&gateway, text);
	gateway_process_start_ready(&gateway);
}

static int start_large(void **state)
{
	(void)state;
	start_gateway(config);
	return 0;
}

static int start_greedy(void **state)
{
	(void)state;
	start_gateway(greedy_config);
	return 0;
}

static int start_small(void **state)
{
	(void)state;
	start_gateway(small_config);
	return 0;
}

static int end_gateway(void **state)
{
	(void)state;
	gateway_process_stop(&gateway);
	gateway_process_fini(&gateway);
	return 0;
}

#define TEST(name, setup) cmocka_unit_test_setup_teardown(name, setup, end_gateway)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_slow_clients_cost_no_memory_and_harm_nobody, start_large),
	    TEST(test_slow_clients_that_ask_for_a_million_events_cost_no_memory, start_greedy),
	    TEST(test_slow_client_that_reads_in_fits_gets_everything, start_large),
	    TEST(test_slow_client_with_a_thousand_streams_gets_all_of_each, start_large),
	    TEST(test_slow_client_connections_above_the_limit_are_refused, start_small),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
