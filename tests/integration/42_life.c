/* The life of a stream by time: its welcome, its heartbeats, and its ends, over both versions of
 * HTTP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "lib/credentials.h"
#include "lib/gateway_process.h"
#include "lib/http_client.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/loop.h"
#include "lib/watch.h"

#define SECRET "0123456789abcdef0123456789abcdef"

enum {
	CARRIERS = 2,
	PATIENCE_TURNS = 3000, /* for tests that fail */
	TURN_MS = 20,
	DRAIN_MS = 1000,
};

/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"server_id": "gw-of-life",
	"listeners": [{ "address": "127.0.0.1", "port": 0 }],
	"http": { "loops": 2, "drain": "1s" },
	"kafka": { "bootstrap.servers": "${LIFE_KAFKA}", "fetch.wait.max.ms": 10 },
	"auth": { "issuers": [{ "algorithms": ["HS256"], "secret": "0123456789abcdef0123456789abcdef" }], "leeway": "0s" },
	"streams": {
		"hello": { "path": "/hello/{name}", "topics": ["events"],
			"params": { "level": { "in": "query", "type": "integer" }, "more": { "in": "query" } },
			"access": { "claims": { "sub": ["{path.name}"] } },
			"welcome": { "event": "hello", "data": { "me": "{claims.sub}", "roles": "{claims.roles}", "level": "{query.level}",
				"text": "{path.name} has {query.level} of {{}}{query.more}", "version": 2 } } },
		"first": { "path": "/first", "topics": ["history"], "access": "public", "start": "earliest",
			"welcome": { "data": ["{claims.sub}"] } },
		"newest": { "path": "/newest", "topics": ["history"], "access": "public", "start": { "last": 3 },
			"welcome": { "data": 1 } },
		"current": { "path": "/current", "topics": ["history"], "access": "public", "start": "current",
			"welcome": { "data": 1 } },
		"large": { "path": "/large", "topics": ["events"], "access": { "claims": { "sub": ["ada"] } },
			"welcome": { "data": ["{claims.pad}{claims.pad}{claims.pad}{claims.pad}{claims.pad}", "{claims.pad}{claims.pad}{claims.pad}{claims.pad}"] } },
		"comments": { "path": "/comments", "topics": ["events"], "access": "public",
			"heartbeat": { "every": "100ms", "as": "comment" } },
		"beats": { "path": "/beats/{key}", "topics": ["own"], "access": "public", "filter": { "key": ["{path.key}"] },
			"event": { "id": "/value/id" }, "heartbeat": { "every": "100ms", "as": "event", "event": "beat" } },
		"aged": { "path": "/aged", "topics": ["aged"], "access": "public", "max_age": "1s" },
		"idle": { "path": "/idle/{key}", "topics": ["own"], "access": "public", "filter": { "key": ["{path.key}"] },
			"idle_timeout": "1s" }
	}
}
);
/* clang-format on */

static const enum sse_client_http carriers[CARRIERS] = {SSE_CLIENT_HTTP1,
							SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE};

static struct kafka_broker broker;
static struct gateway_process gateway;
static struct kafka_producer *producer;

static void produce(const char *topic, const char *key, const char *value)
{
	kafka_producer_send_text(producer, topic, key, value);
	kafka_producer_flush(producer);
}

static int start(void **state)
{
	static const char *const topics[] = {"events", "history", "own", "aged"};

	(void)state;
	kafka_broker_start(&broker);
	for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++)
		kafka_broker_create_topic(&broker, topics[i], 1);
	producer = kafka_producer_new(broker.bootstrap, NULL);
	for (int i = 0; i < 10; i++)
		produce("history", i % 2 ? "odd" : "even", "{}");
	setenv("LIFE_KAFKA", broker.bootstrap, 1);
	gateway_process_launch(&gateway, config);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	assert_int_equal(gateway_process_stop(&gateway), 0);
	gateway_process_fini(&gateway);
	kafka_producer_free(producer);
	kafka_broker_fini(&broker);
	return 0;
}

/* Waits for `connected`. `claims` and `id` may be NULL. Comes back when the stream says, which it
 * does not before it ends. */
static void open_stream(struct watch *watch, size_t carrier, const char *path, const char *claims,
			const char *id)
{
	struct buffer field = {0};
	const char *const fields[] = {claims ? credentials_bearer(SECRET, claims, &field) : ""};
	/* libcurl 7.88.1 fails where it reuses a connection of prior knowledge (curl/curl#10634).
	 */
	const struct sse_client_options options = {
	    .http = carriers[carrier],
	    .headers = fields,
	    .header_count = claims ? 1 : 0,
	    .last_event_id = id,
	    .own_connection = true,
	    .retry_ms = PATIENCE_TURNS * TURN_MS,
	};

	assert_true(watch_open_connected(watch, loop, gateway.url, path, &options));
	buffer_free(&field);
}

static void assert_event(const struct watch *watch, size_t i, const char *type, const char *data)
{
	assert_in_range(i, 0, watch->count - 1);
	assert_string_equal(watch->events[i].type, type);
	assert_string_equal(watch->events[i].data, data);
}

static double closes(const char *reason)
{
	char series[64];

	snprintf(series, sizeof(series), "sluice_closes_total{reason=\"%s\"}", reason);
	return gateway_process_metric(&gateway, series);
}

/* The welcome has the token's and the request's values, the id of `connected`, and comes once. */
static void test_life_welcome_has_the_requests_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < CARRIERS; i++) {
		struct watch watch = {0};

		open_stream(&watch, i, "/hello/ada?level=3",
			    "{\"sub\":\"ada\",\"roles\":[\"x\\r\\n\",\"}\\\"\"]}", NULL);
		produce("events", NULL, "after");
		assert_true(watch_until(&watch, 3));
		assert_event(&watch, 1, "hello",
			     "{\"me\":\"ada\",\"roles\":[\"x\\r\\n\",\"}\\\"\"],\"level\":3,"
			     "\"text\":\"ada has 3 of {}\",\"version\":2}");
		assert_string_equal(watch.events[0].id, watch.events[1].id);
		assert_true(*watch.events[1].id);
		assert_event(&watch, 2, "message", "after");
		watch_close(&watch);
	}
}

/* Wherever a stream begins, the welcome comes right after `connected`, also to one that comes back.
 */
static void test_life_welcome_comes_wherever_a_stream_begins(void **state)
{
	static const struct {
		const char *path, *data;
		size_t events;
	} rows[] = {
	    {"/first", "[null]", 10},
	    {"/newest", "1", 3},
	    {"/current", "1", 2},
	    {"/newest?since=1h", "1", 10},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct watch watch = {0}, back = {0};
		struct slice last;
		char *id;

		print_message("%s\n", rows[i].path);
		open_stream(&watch, i % CARRIERS, rows[i].path, NULL, NULL);
		assert_true(watch_until(&watch, 2 + rows[i].events));
		assert_event(&watch, 1, "welcome", rows[i].data);
		assert_string_equal(watch.events[0].id, watch.events[1].id);
		assert_int_equal(watch_count(&watch, "welcome"), 1);
		/* A state's id comes after it. */
		if (!*watch.events[1 + rows[i].events].id)
			assert_true(watch_until_id_changes(&watch, ""));
		last = sse_client_facts(watch.client).last_event_id;
		id = mem_strndup(last.base, last.len);
		open_stream(&back, i % CARRIERS, rows[i].path, NULL, id);
		assert_true(watch_until(&back, 2));
		assert_event(&back, 1, "welcome", rows[i].data);
		assert_string_equal(back.events[1].id, id);
		free(id);
		watch_close(&back);
		watch_close(&watch);
	}
}

/* A token whose claims make the welcome too large is told so. */
static void test_life_welcome_that_is_too_large_is_refused(void **state)
{
	struct http_client_answer answer = {0};
	struct buffer claims = {0}, field = {0}, url = {0};

	(void)state;
	buffer_append_text(&claims, "{\"sub\":\"ada\",\"pad\":\"");
	for (int i = 0; i < 4000; i++)
		buffer_append_text(&claims, "x");
	buffer_append_text(&claims, "\"}");
	buffer_append_format(&url, "%s/large", gateway.url);
	const char *const fields[] = {credentials_bearer(SECRET, buffer_text(&claims), &field)};

	http_client_send(&(struct http_client_request){.url = buffer_text(&url),
						       .headers = fields,
						       .header_count = 1},
			 &answer);
	assert_int_equal(answer.status, 400);
	assert_non_null(strstr(buffer_text(&answer.body), "welcome event larger than 32768 bytes"));
	http_client_answer_fini(&answer);
	buffer_free(&claims);
	buffer_free(&field);
	buffer_free(&url);
}

static bool has_server_comment(void *context)
{
	const struct watch *watch = context;

	return watch->comment && strstr(watch->comment, "gw-of-life");
}

/* A comment of the server and the time, beside an id that moves with the topic. */
static void test_life_heartbeat_comments_name_the_server(void **state)
{
	(void)state;
	for (size_t i = 0; i < CARRIERS; i++) {
		struct watch watch = {0};
		int year, at = 0;

		open_stream(&watch, i, "/comments", NULL, NULL);
		assert_true(sse_client_loop_until(loop, has_server_comment, &watch,
						  PATIENCE_TURNS * TURN_MS));
		sscanf(watch.comment, " gw-of-life %d-%*2d-%*2dT%*2d:%*2d:%*2d.%*3dZ%n", &year,
		       &at);
		assert_int_equal(at, strlen(watch.comment));
		assert_int_equal(watch.count, 1);
		watch_close(&watch);
	}
}

static void produce_own(const char *key, int number)
{
	char value[64];

	snprintf(value, sizeof(value), "{\"id\":\"%s-%d\"}", key, number);
	produce("own", key, value);
}

/* Waits for an event of the type from `from` on; where it is. */
static size_t wait_for_type(struct watch *watch, size_t from, const char *type)
{
	for (;; from++) {
		assert_true(watch_until(watch, from + 1));
		if (!strcmp(watch->events[from].type, type))
			return from;
	}
}

/* Waits for the next event, which has this id of its own. */
static size_t wait_for_own(struct watch *watch, size_t from, const char *key, int number)
{
	size_t at = wait_for_type(watch, from, "message");
	char id[32];

	snprintf(id, sizeof(id), "%s-%d", key, number);
	assert_string_equal(watch->events[at].id, id);
	return at;
}

/* Waits for a heartbeat with another id than the one at `after`: it has seen more of the topic. */
static size_t wait_for_moved_beat(struct watch *watch, size_t after)
{
	size_t at = wait_for_type(watch, after + 1, "beat");

	while (!strcmp(watch->events[at].id, watch->events[after].id))
		at = wait_for_type(watch, at + 1, "beat");
	return at;
}

static void check_beat(const struct watch_event *beat)
{
	json_t *data = json_loads(beat->data, 0, NULL);

	assert_string_equal(json_string_value(json_object_get(data, "server_id")), "gw-of-life");
	assert_int_equal(json_string_length(json_object_get(data, "time")), 24);
	json_decref(data);
}

/* A stream with ids of its events' own: the id of a heartbeat event is Sluice's, is beyond what was
 * for others meanwhile, and who comes back with it gets what came after, once. */
static void test_life_heartbeat_events_resume_exactly(void **state)
{
	(void)state;
	for (size_t i = 0; i < CARRIERS; i++) {
		const char *key = i ? "b" : "a", *path = i ? "/beats/b" : "/beats/a";
		struct watch watch = {0}, back = {0};
		size_t event = 0, beat, at = 0;

		open_stream(&watch, i, path, NULL, NULL);
		for (int n = 0; n < 3; n++) {
			produce_own(key, n);
			event = wait_for_own(&watch, event + 1, key, n);
		}
		beat = wait_for_moved_beat(&watch, event);
		check_beat(&watch.events[beat]);
		produce_own("other", 0);
		beat = wait_for_moved_beat(&watch, beat);
		for (int n = 3; n < 6; n++)
			produce_own(key, n);
		open_stream(&back, i, path, NULL, watch.events[beat].id);
		assert_string_equal(back.events[0].id, watch.events[beat].id);
		for (int n = 3; n < 6; n++)
			at = wait_for_own(&back, at + 1, key, n);
		watch_close(&watch);
		watch_close(&back);
	}
}

/* A stream that is too old ends, with a time to come back of the client's own; what is produced
 * meanwhile comes once, over all its lives. */
static void test_life_max_age_loses_nothing(void **state)
{
	struct watch watches[CARRIERS] = {{0}};
	double before = closes("max_age");
	int produced = 0;
	char value[16];

	(void)state;
	for (size_t i = 0; i < CARRIERS; i++)
		open_stream(&watches[i], i, "/aged", NULL, NULL);
	while (watch_count(&watches[0], "connected") < 3 ||
	       watch_count(&watches[1], "connected") < 3) {
		snprintf(value, sizeof(value), "%d", produced++);
		produce("aged", NULL, value);
		sse_client_loop_run(loop, TURN_MS);
		assert_true(produced < PATIENCE_TURNS);
	}
	for (size_t i = 0; i < CARRIERS; i++) {
		int next = 0;

		for (size_t at = 0; next < produced; at++) {
			assert_true(watch_until(&watches[i], at + 1));
			if (!strcmp(watches[i].events[at].type, "message"))
				assert_int_equal(atoi(watches[i].events[at].data), next++);
			else if (!strcmp(watches[i].events[at].type, "timeout"))
				assert_event(&watches[i], at, "timeout",
					     "{\"reason\":\"max_age\"}");
			else
				assert_string_equal(watches[i].events[at].type, "connected");
		}
		watch_close(&watches[i]);
	}
	assert_true(closes("max_age") >= before + 4);
}

/* A stream without events for it ends, and its end has an id that is beyond what was for others;
 * the client that comes back by itself gets what is for it. */
static void test_life_idle_stream_ends_and_comes_back(void **state)
{
	struct watch watches[CARRIERS] = {{0}};
	double before = closes("idle");

	(void)state;
	for (size_t i = 0; i < CARRIERS; i++) {
		open_stream(&watches[i], i, "/idle/c", NULL, NULL);
		produce_own("other", (int)i);
	}
	for (size_t i = 0; i < CARRIERS; i++) {
		size_t end = wait_for_type(&watches[i], 1, "timeout"), back;

		/* The first one may come before Kafka's event does. */
		while (!strcmp(watches[i].events[0].id, watches[i].events[end].id))
			end = wait_for_type(&watches[i], end + 1, "timeout");
		assert_event(&watches[i], end, "timeout", "{\"reason\":\"idle\"}");
		assert_in_range(sse_client_facts(watches[i].client).retry_ms, 1, DRAIN_MS + 1);
		back = wait_for_type(&watches[i], end + 1, "connected");
		assert_string_equal(watches[i].events[back].id, watches[i].events[end].id);
	}
	produce_own("c", 0);
	for (size_t i = 0; i < CARRIERS; i++) {
		wait_for_type(&watches[i], 1, "message");
		watch_close(&watches[i]);
	}
	assert_true(closes("idle") >= before + CARRIERS);
}

/* The end of a token is told in the same way, and its reconnect is answered 401. */
static void test_life_expired_token_is_told_when_to_come_back(void **state)
{
	struct watch watches[CARRIERS] = {{0}};
	char claims[64];

	(void)state;
	snprintf(claims, sizeof(claims), "{\"sub\":\"ada\",\"exp\":%lld}",
		 (long long)time(NULL) + 5);
	for (size_t i = 0; i < CARRIERS; i++)
		open_stream(&watches[i], i, "/hello/ada", claims, NULL);
	for (size_t i = 0; i < CARRIERS; i++) {
		struct sse_client_facts facts;

		assert_true(watch_until(&watches[i], 3));
		assert_event(&watches[i], 2, "timeout", "{\"reason\":\"token_expired\"}");
		assert_true(watch_until_closed(&watches[i]));
		facts = sse_client_facts(watches[i].client);
		assert_int_equal(facts.status, 401);
		assert_in_range(facts.retry_ms, 1, DRAIN_MS + 1);
		watch_close(&watches[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOOP_TEST(test_life_welcome_has_the_requests_values),
	    LOOP_TEST(test_life_welcome_comes_wherever_a_stream_begins),
	    LOOP_TEST(test_life_welcome_that_is_too_large_is_refused),
	    LOOP_TEST(test_life_heartbeat_comments_name_the_server),
	    LOOP_TEST(test_life_heartbeat_events_resume_exactly),
	    LOOP_TEST(test_life_max_age_loses_nothing),
	    LOOP_TEST(test_life_idle_stream_ends_and_comes_back),
	    LOOP_TEST(test_life_expired_token_is_told_when_to_come_back),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
