/* What records become: envelopes, tombstones, error events. The same frames, ids too, live and
 * after a reconnect from the window, from Kafka and from the journal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "lib/gateway_process.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/postgres_server.h"
#include "lib/watch.h"

enum { LARGE_BYTES = 3000, JOURNALS = 9 };

/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [{ "address": "127.0.0.1", "port": 0 }],
	"http": { "loops": 1 },
	"kafka": { "bootstrap.servers": "${RECORDS_KAFKA}", "fetch.wait.max.ms": 10,
		"session.timeout.ms": 6000, "heartbeat.interval.ms": 300 },
	"ingest": { "warm": "0s" },
	"postgres": { "url": "${RECORDS_POSTGRES}", "migrate": true },
	"journal": { "linger": "20ms" },
	"streams": {
		"fields": { "path": "/fields", "topics": ["records"], "access": "public", "max_event": 1024,
			"event": { "event": "/value/type" }, "tombstones": { "event": "deleted" },
			"undecodable": "error", "journal": { "retain": "24h" } },
		"record": { "path": "/record", "topics": ["records"], "access": "public", "max_event": 1024,
			"event": { "envelope": "record" }, "journal": { "retain": "24h" } },
		"cloud": { "path": "/cloud", "topics": ["records"], "access": "public", "max_event": 1024,
			"event": { "envelope": "cloudevents" }, "tombstones": { "event": "deleted" },
			"journal": { "retain": "24h" } },
		"user": { "path": "/users/{user}", "topics": ["records"], "access": "public", "max_event": 1024,
			"filter": { "value": { "user": ["{path.user}"] } },
			"undecodable": "error", "journal": { "retain": "24h" } },
		"ends": { "path": "/ends", "topics": ["records"], "access": "public", "max_event": 1024,
			"filter": { "value": { "type": ["end"] } },
			"undecodable": "error", "journal": { "retain": "24h" } },
		"quiet": { "path": "/quiet", "topics": ["records"], "access": "public", "max_event": 1024,
			"event": { "event": "/value/type" }, "tombstones": "skip", "too_large": "skip",
			"journal": { "retain": "24h" } },
		"narrow": { "path": "/narrow", "topics": ["records"], "access": "public", "max_event": 1024,
			"client_filters": true, "journal": { "retain": "24h" } },
		"last": { "path": "/last", "topics": ["records"], "access": "public", "max_event": 1024,
			"event": { "envelope": "record" }, "tombstones": "skip",
			"start": { "last": 100 }, "journal": { "retain": "24h" } },
		"state": { "path": "/state", "topics": ["records"], "access": "public", "max_event": 1024,
			"tombstones": "skip", "start": "current", "journal": { "retain": "24h" } }
	}
}
);
/* clang-format on */

static char large_json[LARGE_BYTES], large_text[LARGE_BYTES];

static const struct kafka_header order_headers[] = {
    {"ce_type", SLICE_LIT("order")}, {"ce_id", SLICE_LIT("i1")},
    {"x", SLICE_LIT("1")},           {"x", {NULL, 0}},
    {"x", SLICE_LIT("\xff")},        {"empty", SLICE_LIT("")}};
static const struct kafka_header structured_headers[] = {
    {"content-type", SLICE_LIT("application/cloudevents+json; charset=UTF-8")}};

#define HEADERS(of) .headers = (of), .header_count = sizeof(of) / sizeof((of)[0])

/* By their offsets. */
static const struct kafka_message messages[] = {
    {.key = SLICE_LIT("k1"),
     .value = SLICE_LIT("{\"type\":\"a\",\"user\":\"u1\",\"n\":1.10}"),
     HEADERS(order_headers)},
    {.key = SLICE_LIT("\xff\0"), .value = SLICE_LIT("\xc3(")},
    {.value = SLICE_LIT("hello\r\nworld")},
    {.key = SLICE_LIT("k1")},
    {.key = SLICE_LIT("k2"), .value = {large_json, sizeof(large_json)}},
    {.key = SLICE_LIT("k2"), .value = {large_text, sizeof(large_text)}},
    {.key = SLICE_LIT("k3"), .value = SLICE_LIT("{\"type\":")},
    {.key = SLICE_LIT("k3"),
     .value = SLICE_LIT("{\n\"type\": \"b\",\r\n\"user\": \"u1\", \"n\": 18446744073709551616 }")},
    {.key = SLICE_LIT("k4"),
     .value = SLICE_LIT("{\"specversion\":\"1.0\",\"type\":\"s\",\"id\":\"1\",\"source\":\"x\"}"),
     HEADERS(structured_headers)},
    {.key = SLICE_LIT("k2"), .value = SLICE_LIT("{\"type\":\"end\",\"user\":\"u1\"}")},
    {.key = SLICE_LIT("k5"), .value = SLICE_LIT("{\"type\":\"end\",\"user\":\"u2\"}")},
};
enum { MESSAGES = sizeof(messages) / sizeof(messages[0]) };

/* What a subscriber gets: the offsets' letters, 'e' for an error in its place, '.' for nothing. */
struct expectation {
	const char *path, *what;
};

#define BY_KEY  "%7B%22key%22%3A%5B%22k2%22%5D%7D"
#define BY_USER "%7B%22value%22%3A%7B%22user%22%3A%5B%22u1%22%5D%7D%7D"

static const struct expectation expectations[] = {
    {"/fields", "+ee+eee++++"},
    {"/record", "++++ee+++++"},
    {"/cloud", "++++ee+++++"},
    {"/users/u1", "+...e..+.+."},
    {"/users/u2", "..........+"},
    {"/ends", ".ee..ee..++"},
    {"/quiet", "+......++++"},
    {"/narrow?filter=" BY_KEY, "....ee...+."},
    {"/narrow?filter=" BY_USER, "+......+.+."},
    {"/last", "+++.ee+++++"},
};
enum { PATHS = sizeof(expectations) / sizeof(expectations[0]) };

static struct kafka_broker broker;
static struct postgres_server postgres;
static struct gateway_process gateway;
static struct sse_client_loop *loop;
static struct watch live[PATHS];
static int64_t first_ms;

static int start(void **state)
{
	(void)state;
	postgres_server_start(&postgres);
	kafka_broker_start(&broker);
	kafka_broker_create_topic(&broker, "records", 1);
	setenv("RECORDS_KAFKA", broker.bootstrap, 1);
	setenv("RECORDS_POSTGRES", postgres.url, 1);
	gateway_process_launch(&gateway, config);
	loop = sse_client_loop_new();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	for (int i = 0; i < PATHS; i++)
		watch_close(&live[i]);
	sse_client_loop_free(loop);
	gateway_process_fini(&gateway);
	kafka_broker_fini(&broker);
	postgres_server_fini(&postgres);
	return 0;
}

static void produce(void)
{
	struct kafka_producer *producer = kafka_producer_new(broker.bootstrap, NULL);
	int length =
	    snprintf(large_json, sizeof(large_json), "{\"type\":\"large\",\"user\":\"u1\"}");

	memset(large_json + length, ' ', sizeof(large_json) - (size_t)length);
	memset(large_text, 'x', sizeof(large_text));
	first_ms = clock_unix_ms() - 60000;
	for (int i = 0; i < MESSAGES; i++) {
		struct kafka_message message = messages[i];

		message.topic = "records";
		message.timestamp_ms = first_ms + i;
		kafka_producer_send(producer, &message);
	}
	kafka_producer_flush(producer);
	kafka_producer_free(producer);
}

/* With `connected`, its first. */
static size_t count_of(const struct expectation *expectation)
{
	size_t count = 1;

	for (const char *at = expectation->what; *at; at++)
		count += *at != '.';
	return count;
}

static void assert_error(const struct watch_event *event, int offset)
{
	char expected[256];

	snprintf(expected, sizeof(expected),
		 "\"retry\":true,\"topic\":\"records\",\"partition\":0,\"offset\":%d}", offset);
	assert_string_equal(event->type, "error");
	assert_non_null(strstr(event->data, expected));
	assert_true(!strncmp(event->data, "{\"code\":\"too_large\"", 19) ==
		    (offset == 4 || offset == 5));
}

/* The right records, and errors where they stand for one. */
static void check_live(const struct expectation *expectation, struct watch *watch)
{
	const struct watch_event *event;

	assert_true(watch_until(watch, count_of(expectation)));
	event = watch->events + 1;
	for (int i = 0; i < MESSAGES; i++) {
		if (expectation->what[i] == 'e')
			assert_error(event, i);
		else if (expectation->what[i] == '+')
			assert_string_not_equal(event->type, "error");
		event += expectation->what[i] != '.';
	}
}

/* What is particular to this program's records; the tables of all there is are the unit tests'. */
static void check_data(void)
{
	static const char head[] = "{\"topic\":\"records\",\"partition\":0,\"offset\":";
	char time[25], expected[1024];

	assert_string_equal(live[0].events[4].type, "deleted");
	assert_string_equal(live[0].events[4].data, "{\"key\":\"k1\"}");
	snprintf(expected, sizeof(expected),
		 "%s0,\"timestamp\":%lld,\"key\":\"k1\",\"headers\":{\"ce_type\":\"order\","
		 "\"ce_id\":\"i1\",\"x\":[\"1\",null,{\"base64\":\"/w==\"}],\"empty\":\"\"},"
		 "\"value\":{\"type\":\"a\",\"user\":\"u1\",\"n\":1.10}}",
		 head, (long long)first_ms);
	assert_string_equal(live[1].events[1].data, expected);
	snprintf(expected, sizeof(expected),
		 "%s1,\"timestamp\":%lld,\"key_base64\":\"/wA=\",\"headers\":{},"
		 "\"value_base64\":\"wyg=\"}",
		 head, (long long)first_ms + 1);
	assert_string_equal(live[1].events[2].data, expected);
	clock_format_rfc3339(first_ms, time);
	snprintf(expected, sizeof(expected),
		 "{\"specversion\":\"1.0\",\"id\":\"i1\",\"source\":\"/topics/records\","
		 "\"type\":\"order\",\"time\":\"%s\",\"partitionkey\":\"k1\","
		 "\"datacontenttype\":\"application/json\","
		 "\"data\":{\"type\":\"a\",\"user\":\"u1\",\"n\":1.10}}",
		 time);
	assert_string_equal(live[2].events[1].data, expected);
	assert_string_equal(live[2].events[4].type, "deleted");
	assert_string_equal(
	    live[2].events[9].data,
	    "{\"specversion\":\"1.0\",\"type\":\"s\",\"id\":\"1\",\"source\":\"x\"}");
}

static void assert_same(const struct watch *watch, const struct watch *as, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		assert_string_equal(watch->events[i].type, as->events[i].type);
		assert_string_equal(watch->events[i].data, as->events[i].data);
		assert_string_equal(watch->events[i].id, as->events[i].id);
	}
}

/* Who comes back with the first id gets the same again, and who begins with the last events. */
static void check_again(const char *source)
{
	for (int i = 0; i < PATHS; i++) {
		const struct expectation *expectation = &expectations[i];
		bool is_last = !strcmp(expectation->path, "/last");
		struct sse_client_options options = {.last_event_id =
							 is_last ? NULL : live[i].events[0].id};
		struct watch watch = {0};

		print_message("%s from %s\n", expectation->path, source);
		assert_true(
		    watch_open_connected(&watch, loop, gateway.url, expectation->path, &options));
		assert_true(watch_until(&watch, count_of(expectation)));
		assert_same(&watch, &live[i], count_of(expectation));
		watch_close(&watch);
	}
}

/* The newest of each key, without that of the tombstone's. */
static void check_state(void)
{
	static const char *const expected[] = {"\xef\xbf\xbd(", "{\n\"type\"", "{\"specversion\"",
					       "{\"type\":\"end\"", "{\"type\":\"end\""};
	struct watch watch = {0};

	assert_true(watch_open_connected(&watch, loop, gateway.url, "/state", NULL));
	assert_true(watch_until(&watch, 6));
	for (int i = 0; i < 5; i++)
		assert_memory_equal(watch.events[i + 1].data, expected[i], strlen(expected[i]));
	watch_close(&watch);
}

static double replays(const char *source)
{
	char series[64];

	snprintf(series, sizeof(series), "sluice_replays_total{source=\"%s\"}", source);
	return gateway_process_metric(&gateway, series);
}

/* Live, then from each source in its turn, of which nothing but it has what was missed. */
static void test_records_are_the_same_frames_from_every_source(void **state)
{
	(void)state;
	for (int i = 0; i < PATHS; i++)
		assert_true(
		    watch_open_connected(&live[i], loop, gateway.url, expectations[i].path, NULL));
	produce();
	for (int i = 0; i < PATHS; i++)
		check_live(&expectations[i], &live[i]);
	check_data();
	assert_true(gateway_process_metric(
			&gateway, "sluice_events_skipped_total{reason=\"too_large\"}") > 0);
	check_again("the window");
	assert_true(replays("journal") == 0 && replays("window") > 0);
	postgres_server_wait(
	    &postgres, "select count(*) from journal_offset where next_offset = 11", JOURNALS);

	gateway_process_kill(&gateway);
	gateway_process_start_ready(&gateway);
	private_postgres_stop(postgres.cluster);
	check_again("Kafka");
	check_state();
	assert_true(replays("journal") == 0 && replays("kafka") > 0);

	postgres_server_restart(&postgres);
	kafka_broker_delete_records(&broker, "records", 0, MESSAGES);
	gateway_process_kill(&gateway);
	gateway_process_start_ready(&gateway);
	check_again("the journal");
	check_state();
	assert_true(replays("journal") > 0 && replays("kafka") == 0);
	/* Too large a value was not written. */
	assert_int_equal(
	    postgres_server_ask(&postgres,
				"select count(*) from journal_event where left_out is not null"
				" and value is null"),
	    14);
	assert_int_equal(
	    postgres_server_ask(
		&postgres, "select count(*) from journal_event where octet_length(value) > 1024"),
	    0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_records_are_the_same_frames_from_every_source),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
