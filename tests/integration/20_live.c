/* The straight way: what is produced to Kafka arrives, over every carrier, as the configuration
 * says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "lib/credentials.h"
#include "lib/gateway_process.h"
#include "lib/http_client.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/loop.h"
#include "lib/watch.h"
#include "unit/http/http2_client.h"

enum { DRAIN_MS = 2000, HISTORY = 10 };

/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [
		{ "address": "127.0.0.1", "port": "${LIVE_PORT}" },
		{ "address": "127.0.0.1", "port": "${LIVE_TLS_PORT}",
		  "tls": { "certificate_file": "${LIVE_FOLDER}/cert.pem", "key_file": "${LIVE_FOLDER}/key.pem" } }
	],
	"http": { "loops": 2, "drain": "2s" },
	"kafka": { "bootstrap.servers": "${LIVE_KAFKA}", "fetch.wait.max.ms": 10 },
	"ingest": { "warm": "0s" },
	"streams": {
		"events": { "path": "/events", "topics": ["events"], "access": "public" },
		"quiet": { "path": "/quiet", "topics": ["events"], "access": "public",
			"filter": { "key": ["nobody"] }, "heartbeat": "100ms" },
		"values": { "path": "/values", "topics": ["values"], "access": "public", "max_event": "600KiB" },
		"mapped": { "path": "/mapped", "topics": ["mapped"], "access": "public",
			"event": { "event": "/headers/kind", "data": "/value/body", "id": "/value/id", "retry": "/value/retry" } },
		"constants": { "path": "/constants", "topics": ["mapped"], "access": "public",
			"event": { "event": "order", "data": "/key", "retry": 2750 } },
		"keyed": { "path": "/keyed/{key}", "topics": ["keyed"], "access": "public",
			"filter": { "key": ["{path.key}"] } },
		"regions": { "path": "/regions", "topics": ["keyed"], "access": "public",
			"params": { "region": { "in": "query" } },
			"filter": { "headers": { "region": ["{query.region}"] } } },
		"narrowed": { "path": "/narrowed/{key}", "topics": ["numbers"], "access": "public", "client_filters": true,
			"filter": { "key": ["{path.key}"] } },
		"ranged": { "path": "/ranged", "topics": ["numbers"], "access": "public",
			"params": { "least": { "in": "query", "type": "integer" } },
			"filter": { "value": { "n": [{ "numeric": [">=", "{query.least}"] }] } } },
		"latest": { "path": "/latest", "topics": ["history"], "access": "public" },
		"earliest": { "path": "/earliest", "topics": ["history"], "access": "public", "start": "earliest" },
		"last": { "path": "/last", "topics": ["history"], "access": "public", "start": { "last": 3 } },
		"topics": { "path": "/topics/{topic}", "topics": ["{path.topic}"], "allow_topics": ["live.*"], "access": "public" }
	}
}
);
/* clang-format on */

static struct kafka_broker broker;
static struct gateway_process gateway;
static struct kafka_producer *producer;
static char tls_url[64], ca_file[CREDENTIALS_PATH_BYTES];

/* The ways in which a client can come. */
static const struct carrier {
	const char *name;
	enum sse_client_http http;
	bool tls;
	long version;
} carriers[] = {
    {"HTTP/1.1", SSE_CLIENT_HTTP1, false, CURL_HTTP_VERSION_1_1},
    {"HTTP/2 by prior knowledge", SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE, false, CURL_HTTP_VERSION_2_0},
    {"HTTP/1.1 over TLS", SSE_CLIENT_HTTP1, true, CURL_HTTP_VERSION_1_1},
    {"HTTP/2 by ALPN", SSE_CLIENT_HTTP2_TLS, true, CURL_HTTP_VERSION_2_0},
};

enum { CARRIER_COUNT = sizeof(carriers) / sizeof(carriers[0]) };

static const char *base_of(const struct carrier *carrier)
{
	return carrier->tls ? tls_url : gateway.url;
}

static void produce(const char *topic, const char *key, const char *value)
{
	kafka_producer_send_text(producer, topic, key, value);
	kafka_producer_flush(producer);
}

static void produce_number(const char *topic, int number)
{
	char value[16];

	snprintf(value, sizeof(value), "%d", number);
	produce(topic, NULL, value);
}

static void configure(void)
{
	gateway_process_init(&gateway);
	credentials_write_certificate(gateway.folder, ca_file);
	child_export_port("LIVE_PORT");
	child_export_port("LIVE_TLS_PORT");
	setenv("LIVE_FOLDER", gateway.folder, 1);
	setenv("LIVE_KAFKA", broker.bootstrap, 1);
	gateway_process_configure(&gateway, config);
}

static int start(void **state)
{
	static const char *const topics[] = {"events",  "values",   "mapped", "keyed",
					     "history", "live.old", "numbers"};

	(void)state;
	kafka_broker_start(&broker);
	for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++)
		kafka_broker_create_topic(&broker, topics[i], 1);
	producer = kafka_producer_new(broker.bootstrap, NULL);
	for (int i = 0; i < HISTORY; i++)
		produce_number("history", i);
	produce("live.old", NULL, "before");
	configure();
	gateway_process_start_ready(&gateway);
	snprintf(tls_url, sizeof(tls_url), "https://127.0.0.1:%u", gateway.ports[1]);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kafka_producer_free(producer);
	gateway_process_fini(&gateway);
	kafka_broker_fini(&broker);
	return 0;
}

static void open_connected(struct watch *watch, const char *path)
{
	assert_true(watch_open_connected(watch, loop, gateway.url, path, NULL));
}

static void assert_event(const struct watch *watch, size_t i, const char *type, const char *data)
{
	assert_in_range(i, 0, watch->count - 1);
	assert_string_equal(watch->events[i].type, type);
	assert_string_equal(watch->events[i].data, data);
	assert_int_equal(watch->events[i].data_len, strlen(data));
}

/* The `count` events after `connected` have these data, and there are no others yet. */
static void assert_data(struct watch *watch, const char *const *data, size_t count)
{
	assert_true(watch_until(watch, 1 + count));
	for (size_t i = 0; i < count; i++)
		assert_event(watch, 1 + i, "message", data[i]);
	assert_int_equal(watch->count, 1 + count);
}

static void assert_field(struct slice head, const char *name, const char *value)
{
	struct http_client_answer answer = {.head = {.base = (char *)(uintptr_t)head.base}};
	struct slice found = http_client_header(&answer, name);

	assert_int_equal(found.len, strlen(value));
	assert_memory_equal(found.base, value, found.len);
}

static void assert_stream_head(struct slice head)
{
	struct buffer copy = {0};

	buffer_append_slice(&copy, head);
	buffer_text(&copy);
	assert_field(buffer_slice(&copy), "content-type", "text/event-stream");
	assert_field(buffer_slice(&copy), "cache-control", "no-store, no-transform");
	assert_field(buffer_slice(&copy), "x-accel-buffering", "no");
	buffer_free(&copy);
}

/* An event reaches a subscriber over each carrier, after the head, a comment and `connected`. */
static void test_live_every_carrier_delivers(void **state)
{
	struct watch watches[CARRIER_COUNT] = {{0}};

	(void)state;
	for (size_t i = 0; i < CARRIER_COUNT; i++) {
		const struct sse_client_options options = {.http = carriers[i].http,
							   .ca_file = ca_file};

		print_message("%s\n", carriers[i].name);
		assert_true(watch_open_connected(&watches[i], loop, base_of(&carriers[i]),
						 "/events", &options));
		assert_event(&watches[i], 0, "connected", "{\"stream\":\"events\"}");
		assert_true(*watches[i].events[0].id);
		assert_int_equal(watches[i].early_comments, 1);
	}
	produce("events", "k", "{\"n\":1}");
	for (size_t i = 0; i < CARRIER_COUNT; i++) {
		struct sse_client_facts facts;

		print_message("%s\n", carriers[i].name);
		assert_data(&watches[i], (const char *const[]){"{\"n\":1}"}, 1);
		facts = sse_client_facts(watches[i].client);
		assert_int_equal(facts.http_version, carriers[i].version);
		assert_stream_head(facts.head);
		watch_close(&watches[i]);
	}
}

/* All clients of a feed get the same id for the same event. */
static void test_live_two_subscribers_get_equal_ids(void **state)
{
	struct watch one = {0}, other = {0};

	(void)state;
	open_connected(&one, "/events");
	open_connected(&other, "/events");
	produce("events", NULL, "x");
	assert_true(watch_until(&one, 2) && watch_until(&other, 2));
	assert_string_equal(one.events[1].id, other.events[1].id);
	assert_string_not_equal(one.events[0].id, one.events[1].id);
	watch_close(&one);
	watch_close(&other);
}

#define REPLACED   "\xEF\xBF\xBD"
#define SAME(text) SLICE_LIT(text), SLICE_LIT(text)

/* What a browser has for each value: line breaks are LF, ill-formed UTF-8 is U+FFFD, nothing else
 * changes. */
static void test_live_values_arrive_as_browsers_read_them(void **state)
{
	static const struct {
		const char *name;
		struct slice value, data;
	} rows[] = {
	    {"minified JSON", SAME("{\"a\":[1,2,{\"b\":null}]}")},
	    {"pretty-printed JSON", SAME("{\n  \"a\": [\n    1\n  ]\n}")},
	    {"pretty-printed JSON, CRLF", SLICE_LIT("{\r\n  \"a\": 1\r\n}\r\n"),
	     SLICE_LIT("{\n  \"a\": 1\n}\n")},
	    {"lines", SAME("one\ntwo\n\nfour")},
	    {"a LF at the end", SAME("one\n")},
	    {"LFs alone", SAME("\n\n")},
	    {"CR", SLICE_LIT("one\rtwo\r"), SLICE_LIT("one\ntwo\n")},
	    {"CR CR LF", SLICE_LIT("one\r\r\ntwo"), SLICE_LIT("one\n\ntwo")},
	    {"fields of its own", SAME("x\n\nid: 1\nevent: gap\nretry: 1\ndata: y\n\n")},
	    {"fields after CR", SLICE_LIT("x\r\rid: 1\r\revent: gap"),
	     SLICE_LIT("x\n\nid: 1\n\nevent: gap")},
	    {"a space first", SAME(" x")},
	    {"a colon first", SAME(": x")},
	    {"nothing", SAME("")},
	    {"NUL", SAME("a\0b")},
	    {"UTF-8", SAME("\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80")},
	    {"a byte order mark", SAME("\xEF\xBB\xBFx")},
	    {"bytes that are never UTF-8",
	     SLICE_LIT("a\xFF\xFE"
		       "b"),
	     SLICE_LIT("a" REPLACED REPLACED "b")},
	    {"a sequence cut off", SLICE_LIT("\xE2\x82"), SLICE_LIT(REPLACED)},
	    {"a sequence cut off by LF", SLICE_LIT("\xE2\x82\nx"), SLICE_LIT(REPLACED "\nx")},
	    {"an overlong slash", SLICE_LIT("\xC0\xAF"), SLICE_LIT(REPLACED REPLACED)},
	    {"an overlong LF", SLICE_LIT("\xC0\x8A"), SLICE_LIT(REPLACED REPLACED)},
	    {"a surrogate", SLICE_LIT("\xED\xA0\x80"), SLICE_LIT(REPLACED REPLACED REPLACED)},
	    {"binary", SLICE_LIT("\x00\x01\x02\x7F\x80\x9F"),
	     SLICE_LIT("\0\x01\x02\x7F" REPLACED REPLACED)},
	};
	const size_t count = sizeof(rows) / sizeof(rows[0]);
	struct watch watch = {0};

	(void)state;
	open_connected(&watch, "/values");
	for (size_t i = 0; i < count; i++)
		kafka_producer_send(
		    producer, &(struct kafka_message){.topic = "values", .value = rows[i].value});
	kafka_producer_flush(producer);
	assert_true(watch_until(&watch, 1 + count));
	for (size_t i = 0; i < count; i++) {
		print_message("%s\n", rows[i].name);
		assert_int_equal(watch.events[1 + i].data_len, rows[i].data.len);
		assert_memory_equal(watch.events[1 + i].data, rows[i].data.base, rows[i].data.len);
		assert_string_equal(watch.events[1 + i].type, "message");
	}
	watch_close(&watch);
}

/* A tombstone is an event with empty data, so that a client learns of it. */
static void test_live_tombstone_arrives_with_empty_data(void **state)
{
	struct watch watch = {0};

	(void)state;
	open_connected(&watch, "/values");
	kafka_producer_send(producer,
			    &(struct kafka_message){.topic = "values", .key = SLICE_LIT("k")});
	produce("values", "k", "after");
	assert_data(&watch, (const char *const[]){"", "after"}, 2);
	watch_close(&watch);
}

/* The largest value that the stream takes arrives whole over each carrier; of a larger one an error
 * event tells, and it is counted. */
static void test_live_large_value_arrives_whole(void **state)
{
	enum { BYTES = 600 * 1024, TOO_MANY = BYTES + 1 };
	static const char skipped[] = "sluice_events_skipped_total{reason=\"too_large\"}";
	struct watch watches[CARRIER_COUNT] = {{0}};
	char *value = malloc(TOO_MANY);

	(void)state;
	for (size_t i = 0; i < TOO_MANY; i++)
		value[i] = (char)('a' + i % 23);
	for (size_t i = 0; i < CARRIER_COUNT; i++)
		assert_true(watch_open_connected(
		    &watches[i], loop, base_of(&carriers[i]), "/values",
		    &(struct sse_client_options){.http = carriers[i].http, .ca_file = ca_file}));
	kafka_producer_send(producer,
			    &(struct kafka_message){.topic = "values", .value = {value, TOO_MANY}});
	kafka_producer_send(producer,
			    &(struct kafka_message){.topic = "values", .value = {value, BYTES}});
	kafka_producer_flush(producer);
	for (size_t i = 0; i < CARRIER_COUNT; i++) {
		print_message("%s\n", carriers[i].name);
		assert_true(watch_until(&watches[i], 3));
		assert_string_equal(watches[i].events[1].type, "error");
		assert_int_equal(watches[i].events[2].data_len, BYTES);
		assert_memory_equal(watches[i].events[2].data, value, BYTES);
		watch_close(&watches[i]);
	}
	assert_true(gateway_process_metric(&gateway, skipped) == 1);
	free(value);
}

/* The SSE fields come from where the mapping says; a record that is not JSON is skipped, counted
 * and logged. */
static void test_live_mapping_makes_the_fields(void **state)
{
	static const char skipped[] = "sluice_events_skipped_total{reason=\"undecodable\"}";
	static const struct {
		const char *name, *kind, *value;
		const char *type, *data, *id; /* data NULL: no event */
	} rows[] = {
	    {"all of it", "created", "{\"id\":\"e-1\",\"body\":{ \"n\": 1 },\"retry\":1500}",
	     "created", "{\"n\":1}", "e-1"},
	    {"a text, a number as id", NULL, "{\"id\":2,\"body\":\"two\\nlines\"}", "message",
	     "two\nlines", "2"},
	    {"line breaks and NUL in fields of one line", "a\r\nb\nc",
	     "{\"id\":\"e\\r\\n\\u0000-3\",\"body\":true}", "abc", "true", "e-3"},
	    {"nothing at the pointer", "created", "{\"id\":\"e-4\"}", NULL, NULL, NULL},
	    {"not JSON", "created", "{\"id\":\"e-5\",", NULL, NULL, NULL},
	    {"null", "", "{\"id\":\"e-6\",\"body\":null,\"retry\":\"soon\"}", "message", "null",
	     "e-6"},
	};
	struct watch watch = {0};
	size_t at = 1;

	(void)state;
	open_connected(&watch, "/mapped");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct kafka_header header = {"kind",
						    slice_of(rows[i].kind ? rows[i].kind : "")};

		kafka_producer_send(producer,
				    &(struct kafka_message){.topic = "mapped",
							    .value = slice_of(rows[i].value),
							    .headers = &header,
							    .header_count = rows[i].kind != NULL});
	}
	kafka_producer_flush(producer);
	assert_true(watch_until(&watch, 5));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!rows[i].data)
			continue;
		print_message("%s\n", rows[i].name);
		assert_event(&watch, at, rows[i].type, rows[i].data);
		assert_string_equal(watch.events[at++].id, rows[i].id);
	}
	assert_int_equal(at, watch.count);
	assert_int_equal(sse_client_facts(watch.client).retry_ms, 1500);
	assert_true(gateway_process_metric(&gateway, skipped) == 1);
	assert_int_equal(gateway_process_count_log(&gateway, "a record is not JSON"), 1);
	watch_close(&watch);
}

/* A request's own pattern narrows its stream, and an operator's variable is the request's: live,
 * and in what is read again. */
static void test_live_operators_choose_for_each_subscriber(void **state)
{
	static const char narrowed[] =
	    "/narrowed/"
	    "ada?filter=%7B%22value%22%3A%7B%22n%22%3A%5B%7B%22numeric%22%3A%5B%22%3C%22%2C3"
	    "%5D%7D%5D%7D%7D";
	struct watch low = {0}, high = {0}, all = {0};

	(void)state;
	open_connected(&low, narrowed);
	open_connected(&high, "/ranged?least=4");
	open_connected(&all, "/ranged");
	for (int i = 0; i < 6; i++) {
		char value[32];

		snprintf(value, sizeof(value), "{\"n\":%d}", i);
		produce("numbers", i % 2 ? "ada" : "grace", value);
	}
	produce("numbers", "ada", "{\"n\":-1}");
	produce("numbers", "grace", "{\"n\":9}");
	assert_data(&low, (const char *const[]){"{\"n\":1}", "{\"n\":-1}"}, 2);
	assert_data(&high, (const char *const[]){"{\"n\":4}", "{\"n\":5}", "{\"n\":9}"}, 3);
	assert_true(watch_until(&all, 9));
	watch_close(&low);
	watch_close(&high);
	watch_close(&all);
}

#define BELOW(number) "{\"value\": {\"n\": [{\"numeric\": [\"<\", " #number "]}]}}"

static void open_with_body(struct watch *watch, const struct carrier *carrier, const char *method)
{
	static const char *const fields[] = {"Content-Type: application/json; charset=utf-8"};
	const struct sse_client_options options = {.http = carrier->http,
						   .method = method,
						   .body = BELOW(30),
						   .headers = fields,
						   .header_count = 1,
						   .ca_file = ca_file,
						   .retry_ms = 10,
						   .retry_limit_ms = 10};

	print_message("%s over %s\n", method, carrier->name);
	assert_true(watch_open_connected(watch, loop, base_of(carrier), "/narrowed/ada", &options));
	assert_field(sse_client_facts(watch->client).head, "accept-query", "application/json");
}

static void produce_n(const char *key, int n)
{
	char value[32];

	snprintf(value, sizeof(value), "{\"n\":%d}", n);
	produce("numbers", key, value);
}

/* A pattern that comes as the body of POST or QUERY narrows the stream as ?filter= does, over every
 * carrier, and again after each reconnect: what was missed comes, narrowed, and once. */
static void test_live_body_narrows_as_a_filter_does(void **state)
{
	static const char *const methods[] = {"POST", "QUERY"};
	enum { WATCHES = 2 * CARRIER_COUNT };
	struct watch watches[WATCHES] = {{0}};

	(void)state;
	for (size_t i = 0; i < WATCHES; i++)
		open_with_body(&watches[i], &carriers[i / 2], methods[i % 2]);
	produce_n("grace", 10);
	produce_n("ada", 11);
	produce_n("ada", 40);
	produce_n("ada", 12);
	for (size_t i = 0; i < WATCHES; i++) {
		assert_data(&watches[i], (const char *const[]){"{\"n\":11}", "{\"n\":12}"}, 2);
		sse_client_cut_after(watches[i].client, 1);
	}
	/* The byte after which each is cut is one of this event's. */
	produce_n("ada", 13);
	produce_n("ada", 41);
	produce_n("ada", 14);
	for (size_t i = 0; i < WATCHES; i++) {
		struct watch *watch = &watches[i];

		assert_true(watch_until(watch, 6));
		assert_event(watch, 3, "connected", "{\"stream\":\"narrowed\"}");
		assert_event(watch, 4, "message", "{\"n\":13}");
		assert_event(watch, 5, "message", "{\"n\":14}");
		assert_int_equal(watch->count, 6);
		watch_close(watch);
	}
}

/* A body and ?filter= at once: both hold. */
static void test_live_body_and_filter_both_hold(void **state)
{
	static const char *const fields[] = {"Content-Type: application/json"};
	const struct sse_client_options options = {
	    .body = BELOW(30), .headers = fields, .header_count = 1};
	struct watch watch = {0};

	(void)state;
	assert_true(watch_open_connected(
	    &watch, loop, gateway.url,
	    "/narrowed/"
	    "ada?filter=%7B%22value%22%3A%7B%22n%22%3A%5B%7B%22numeric%22%3A%5B%22%3E%22%2C20"
	    "%5D%7D%5D%7D%7D",
	    &options));
	produce_n("ada", 19);
	produce_n("ada", 21);
	produce_n("ada", 31);
	produce_n("grace", 22);
	produce_n("ada", 23);
	assert_data(&watch, (const char *const[]){"{\"n\":21}", "{\"n\":23}"}, 2);
	watch_close(&watch);
}

/* Constants are sent as they are, and /key is the key's text, null where there is none. */
static void test_live_mapping_takes_constants_and_the_key(void **state)
{
	struct watch watch = {0};

	(void)state;
	open_connected(&watch, "/constants");
	produce("mapped", "the key", "{}");
	produce("mapped", NULL, "{}");
	assert_true(watch_until(&watch, 3));
	assert_event(&watch, 1, "order", "the key");
	assert_event(&watch, 2, "order", "null");
	assert_int_equal(sse_client_facts(watch.client).retry_ms, 2750);
	watch_close(&watch);
}

/* A filter on the key gives each subscriber its own records alone, whatever the key is made of. */
static void test_live_key_filter_selects(void **state)
{
	static const struct {
		const char *path;
		struct slice key;
	} rows[] = {
	    {"/keyed/ada", SLICE_LIT("ada")},
	    {"/keyed/grace%20hopper", SLICE_LIT("grace hopper")},
	    {"/keyed/k%C3%A4se", SLICE_LIT("k\xC3\xA4se")},
	    {"/keyed/a%2Fb", SLICE_LIT("a/b")},
	    {"/keyed/42", SLICE_LIT("42")},
	    {"/keyed/null", SLICE_LIT("null")},
	};
	const size_t count = sizeof(rows) / sizeof(rows[0]);
	struct watch watches[sizeof(rows) / sizeof(rows[0])] = {{0}};

	(void)state;
	for (size_t i = 0; i < count; i++)
		open_connected(&watches[i], rows[i].path);
	/* Nobody's: without a key, with a key that is longer, and one that is not UTF-8. */
	produce("keyed", NULL, "no key");
	produce("keyed", "adam", "longer");
	produce("keyed", "\xFF", "binary");
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < count; i++)
			kafka_producer_send(producer,
					    &(struct kafka_message){.topic = "keyed",
								    .key = rows[i].key,
								    .value = rows[i].key});
	kafka_producer_flush(producer);
	for (size_t i = 0; i < count; i++) {
		const char *const data[] = {rows[i].key.base, rows[i].key.base};

		print_message("%s\n", rows[i].path);
		assert_data(&watches[i], data, 2);
		watch_close(&watches[i]);
	}
}

/* A filter on a header; a query parameter that is not given lets every record through. */
static void test_live_header_filter_selects(void **state)
{
	static const struct {
		const char *region, *value;
	} records[] = {{"eu", "1"}, {"us", "2"}, {NULL, "3"}, {"EU", "4"}, {"eu", "5"}};
	struct watch eu = {0}, all = {0};

	(void)state;
	open_connected(&eu, "/regions?region=eu");
	open_connected(&all, "/regions");
	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		const char *region = records[i].region;
		const struct kafka_header header = {"region", slice_of(region ? region : "")};

		kafka_producer_send(producer,
				    &(struct kafka_message){.topic = "keyed",
							    .value = slice_of(records[i].value),
							    .headers = &header,
							    .header_count = region != NULL});
	}
	kafka_producer_flush(producer);
	assert_data(&all, (const char *const[]){"1", "2", "3", "4", "5"}, 5);
	assert_data(&eu, (const char *const[]){"1", "5"}, 2);
	watch_close(&eu);
	watch_close(&all);
}

static void assert_numbers(struct watch *watch, int first, int end)
{
	char texts[16][16];
	const char *data[16];

	for (int i = first; i < end; i++) {
		snprintf(texts[i - first], sizeof(texts[0]), "%d", i);
		data[i - first] = texts[i - first];
	}
	assert_data(watch, data, (size_t)(end - first));
}

/* Without a last event id a subscriber begins where `start` says: at the end, at the beginning, N
 * events back. */
static void test_live_start_is_where_the_stream_says(void **state)
{
	static const char *const paths[] = {"/latest", "/earliest", "/last"};
	static const int firsts[] = {HISTORY, 0, HISTORY - 3};

	(void)state;
	/* First all is in Kafka alone, for the gateway began at the end; then the newest are in the
	 * window. */
	for (int round = 0; round < 3; round++) {
		struct watch watches[3] = {{0}};
		int end = HISTORY + round;

		for (size_t i = 0; i < 3; i++) {
			int first = i == 1 ? 0 : firsts[i] + round;

			print_message("%s, round %d\n", paths[i], round);
			open_connected(&watches[i], paths[i]);
			assert_numbers(&watches[i], first, end);
		}
		produce_number("history", end);
		for (size_t i = 0; i < 3; i++) {
			int first = i == 1 ? 0 : firsts[i] + round;

			assert_numbers(&watches[i], first, end + 1);
			watch_close(&watches[i]);
		}
	}
}

/* A topic of the path is opened when the first client asks for it; one that is made later is read
 * from its beginning. */
static void test_live_topic_of_the_path_opens_on_first_use(void **state)
{
	static const char series[] = "sluice_subscribers{stream=\"topics\",topic=\"live.old\"}";
	struct watch old = {0}, new = {0};

	(void)state;
	assert_true(gateway_process_metric(&gateway, series) == -1);
	open_connected(&old, "/topics/live.old");
	watch_open(&new, loop, gateway.url, "/topics/live.new", NULL);
	assert_true(gateway_process_metric(&gateway, series) == 1);
	produce("live.old", NULL, "after");
	assert_data(&old, (const char *const[]){"after"}, 1);

	kafka_broker_create_topic(&broker, "live.new", 2);
	produce("live.new", NULL, "first");
	assert_data(&new, (const char *const[]){"first"}, 1);
	watch_close(&old);
	watch_close(&new);
}

/* The id of `connected` is enough to resume: a client that has seen no event yet misses none. */
static void test_live_connected_id_resumes(void **state)
{
	struct watch before = {0}, after = {0};

	(void)state;
	open_connected(&before, "/events");
	const struct sse_client_options options = {.last_event_id = before.events[0].id};

	produce("events", NULL, "1");
	produce("events", NULL, "2");
	assert_true(watch_open_connected(&after, loop, gateway.url, "/events", &options));
	assert_data(&after, (const char *const[]){"1", "2"}, 2);
	watch_close(&before);
	watch_close(&after);
}

/* A subscriber that gets nothing of a busy topic is moved on by heartbeats, which dispatch nothing.
 */
static void test_live_heartbeat_moves_the_id_of_an_idle_subscriber(void **state)
{
	struct watch watch = {0};

	(void)state;
	open_connected(&watch, "/quiet");
	produce("events", "somebody", "1");
	assert_true(watch_until_id_changes(&watch, watch.events[0].id));
	assert_int_equal(watch.count, 1);
	assert_true(gateway_process_metric(&gateway, "sluice_heartbeats_total") > 0);
	watch_close(&watch);
}

/* HEAD has GET's fields, ends at once and opens no stream. */
static void test_live_head_is_answered_without_a_stream(void **state)
{
	double opened = gateway_process_metric(&gateway, "sluice_subscriptions_total");

	(void)state;
	for (size_t i = 0; i < CARRIER_COUNT; i++) {
		struct http_client_answer answer;
		char url[128];

		snprintf(url, sizeof(url), "%s/events", base_of(&carriers[i]));
		http_client_send(&(struct http_client_request){.method = "HEAD",
							       .url = url,
							       .ca_file = ca_file,
							       .http2 = carriers[i].version ==
									CURL_HTTP_VERSION_2_0},
				 &answer);
		print_message("%s\n", carriers[i].name);
		assert_string_equal(answer.error, "");
		assert_int_equal(answer.status, 200);
		assert_int_equal(answer.body.len, 0);
		assert_stream_head(buffer_slice(&answer.head));
		/* A stream has no length (RFC 9110, 8.6). */
		assert_null(http_client_header(&answer, "content-length").base);
		http_client_answer_fini(&answer);
	}
	assert_true(gateway_process_metric(&gateway, "sluice_subscriptions_total") <= opened);
}

/* A whole response read by a thread of its own, to see how the gateway ends it. */
struct reader {
	const struct carrier *carrier;
	struct http_client_answer answer;
	pthread_t thread;
};

static void *read_to_the_end(void *context)
{
	struct reader *reader = context;
	char url[128];

	snprintf(url, sizeof(url), "%s/events", base_of(reader->carrier));
	http_client_send(&(struct http_client_request){.url = url,
						       .ca_file = ca_file,
						       .http2 = reader->carrier->version ==
								CURL_HTTP_VERSION_2_0,
						       .timeout_ms = 30000},
			 &reader->answer);
	return NULL;
}

/* The response ends in good order, and its last line tells when to come back, within the drain
 * time. */
static void assert_drained(struct reader *reader)
{
	const char *retry;
	long retry_ms;
	char *end;

	print_message("%s\n", reader->carrier->name);
	pthread_join(reader->thread, NULL);
	assert_string_equal(reader->answer.error, "");
	retry = strstr(buffer_text(&reader->answer.body), "\nretry: ");
	assert_non_null(retry);
	retry_ms = strtol(retry + strlen("\nretry: "), &end, 10);
	assert_in_range(retry_ms, 1, DRAIN_MS + 1);
	assert_string_equal(end, "\n\n");
	http_client_answer_fini(&reader->answer);
}

/* SIGTERM tells each client when to come back, ends each stream in good order, says GOAWAY, and
 * exits with 0. */
static void test_live_sigterm_ends_streams_in_good_order(void **state)
{
	struct reader readers[CARRIER_COUNT] = {{0}};
	struct http2_client http2 = http2_over(client_open(gateway.ports[0]));
	int status;

	(void)state;
	for (size_t i = 0; i < CARRIER_COUNT; i++) {
		readers[i].carrier = &carriers[i];
		pthread_create(&readers[i].thread, NULL, read_to_the_end, &readers[i]);
	}
	http2_get(&http2, 1, "/events");
	gateway_process_wait_metric(&gateway, "sluice_subscribers{stream=\"events\"}",
				    CARRIER_COUNT + 1);
	status = gateway_process_stop(&gateway);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	for (size_t i = 0; i < CARRIER_COUNT; i++)
		assert_drained(&readers[i]);
	assert_true(http2_next_of(&http2, NGHTTP2_GOAWAY));
	assert_int_equal(http2_error(&http2), NGHTTP2_NO_ERROR);
	http2_close(&http2);
	gateway_process_start_ready(&gateway);
}

/* A client that was told to come back gets what was produced meanwhile, once. */
static void test_live_stopped_and_started_goes_on_where_it_was(void **state)
{
	const struct sse_client_options options = {.retry_ms = 50, .retry_limit_ms = 50};
	struct watch watch = {0};

	(void)state;
	assert_true(watch_open_connected(&watch, loop, gateway.url, "/events", &options));
	produce("events", NULL, "before");
	assert_true(watch_until(&watch, 2));
	gateway_process_stop(&gateway);
	produce("events", NULL, "meanwhile");
	gateway_process_start(&gateway);
	assert_true(watch_until(&watch, 4));
	produce("events", NULL, "after");
	assert_true(watch_until(&watch, 5));
	assert_event(&watch, 1, "message", "before");
	assert_event(&watch, 2, "connected", "{\"stream\":\"events\"}");
	assert_event(&watch, 3, "message", "meanwhile");
	assert_event(&watch, 4, "message", "after");
	watch_close(&watch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOOP_TEST(test_live_every_carrier_delivers),
	    LOOP_TEST(test_live_two_subscribers_get_equal_ids),
	    LOOP_TEST(test_live_values_arrive_as_browsers_read_them),
	    LOOP_TEST(test_live_tombstone_arrives_with_empty_data),
	    LOOP_TEST(test_live_large_value_arrives_whole),
	    LOOP_TEST(test_live_mapping_makes_the_fields),
	    LOOP_TEST(test_live_operators_choose_for_each_subscriber),
	    LOOP_TEST(test_live_body_narrows_as_a_filter_does),
	    LOOP_TEST(test_live_body_and_filter_both_hold),
	    LOOP_TEST(test_live_mapping_takes_constants_and_the_key),
	    LOOP_TEST(test_live_key_filter_selects),
	    LOOP_TEST(test_live_header_filter_selects),
	    LOOP_TEST(test_live_start_is_where_the_stream_says),
	    LOOP_TEST(test_live_topic_of_the_path_opens_on_first_use),
	    LOOP_TEST(test_live_connected_id_resumes),
	    LOOP_TEST(test_live_heartbeat_moves_the_id_of_an_idle_subscriber),
	    LOOP_TEST(test_live_head_is_answered_without_a_stream),
	    LOOP_TEST(test_live_sigterm_ends_streams_in_good_order),
	    LOOP_TEST(test_live_stopped_and_started_goes_on_where_it_was),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
