/*
 * The promise: every matching event exactly once and in partition order, whatever is cut, killed or
 * moved.
 *
 * What happens when is drawn from a seed that is printed; SLUICE_TEST_SEED sets it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "lib/credentials.h"
#include "lib/gateway_process.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/ledger.h"
#include "lib/random.h"
#include "lib/sse_client.h"

enum {
	PARTITIONS = 24,
	EVENTS = 50000,
	STEPS = 100, /* the events come in so many portions, with something done to somebody between
			them */
	CUTS_A_STEP = 4,
	KILLS = 6,
	REPLICAS = 2,
	USERS = 100,
	USER_SUBSCRIBERS = 20,
	TICKS_EVERY = 8, /* one event in so many goes to the other topic */
	MAX_SUBSCRIBERS = 32,
	MAX_CUT_BITS = 15, /* a cut comes within so many bytes, small ones as often as large ones */
	STEP_TURNS = 8,
	TURN_MS = 10,
	PATIENCE_MS = 120000,
};

static const char *const levels[] = {"debug", "info", "warn", "error"};
static const char *const regions[] = {"eu", "us", "asia"};

/* What an event is follows from its number. */
struct event {
	uint32_t partition;
	uint32_t user;
	uint32_t level;
	uint32_t region;
	uint32_t padding;
	bool tick;
};

static struct event event_of(uint32_t number)
{
	uint64_t bits = random_mix(number);
	return (struct event){
	    .partition = (uint32_t)(bits % PARTITIONS),
	    .user = (uint32_t)((bits >> 8) % USERS),
	    .level = (uint32_t)((bits >> 20) % 4),
	    .region = (uint32_t)((bits >> 24) % 3),
	    .padding = (uint32_t)((bits >> 32) % 250),
	    .tick = (bits >> 48) % TICKS_EVERY == 0,
	};
}

struct subscriber {
	struct ledger ledger;
	struct sse_client *client;
	char path[64];
	enum sse_client_http http;
	uint32_t connected;
	bool (*wants)(const struct subscriber *subscriber, const struct event *event);
	uint32_t choice; /* the user or the level */
};

static bool wants_all(const struct subscriber *subscriber, const struct event *event)
{
	(void)subscriber;
	return !event->tick;
}

static bool wants_user(const struct subscriber *subscriber, const struct event *event)
{
	return !event->tick && event->user == subscriber->choice;
}

/* "asia" is filtered out for everybody. */
static bool wants_level(const struct subscriber *subscriber, const struct event *event)
{
	return !event->tick && event->level == subscriber->choice && event->region < 2;
}

static bool wants_ticks(const struct subscriber *subscriber, const struct event *event)
{
	(void)subscriber;
	return event->tick;
}

/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [
		{ "address": "127.0.0.1", "port": "${PROMISE_PORT}" },
		{ "address": "127.0.0.1", "port": "${PROMISE_TLS_PORT}",
		  "tls": { "certificate_file": "${PROMISE_FOLDER}/cert.pem", "key_file": "${PROMISE_FOLDER}/key.pem" } }
	],
	"http": { "loops": 2 },
	"kafka": { "bootstrap.servers": "${PROMISE_KAFKA}", "fetch.wait.max.ms": 10 },
	"ingest": { "warm": "${PROMISE_WARM}" },
	"replay": { "readers": 2, "chunk": "${PROMISE_CHUNK}" },
	"streams": {
		"all": { "path": "/all", "topics": ["${PROMISE_TOPIC}"], "access": "public",
			"heartbeat": "100ms", "window": "${PROMISE_WINDOW}", "max_event": "16KiB" },
		"history": { "path": "/history", "topics": ["${PROMISE_TOPIC}"], "access": "public",
			"start": "earliest", "window": "${PROMISE_WINDOW}", "max_event": "16KiB" },
		"user": { "path": "/users/{user}", "topics": ["${PROMISE_TOPIC}"], "access": "public",
			"filter": { "key": ["{path.user}"] },
			"heartbeat": "100ms", "window": "${PROMISE_WINDOW}", "max_event": "16KiB" },
		"level": { "path": "/levels", "topics": ["${PROMISE_TOPIC}"], "access": "public",
			"params": { "level": { "in": "query" } },
			"filter": { "value": { "level": ["{query.level}"], "region": ["eu", "us"] } },
			"heartbeat": "100ms", "window": "${PROMISE_WINDOW}", "max_event": "16KiB" },
		"topic": { "path": "/topics/{topic}", "topics": ["{path.topic}"], "allow_topics": ["ticks.*"],
			"access": "public",
			"heartbeat": "100ms", "window": "${PROMISE_WINDOW}", "max_event": "16KiB" }
	}
}
);
/* clang-format on */

struct settings {
	const char *name, *warm, *window, *chunk;
};

struct run {
	const struct settings *settings;
	struct gateway_process replicas[REPLICAS];
	char ports[REPLICAS][2][8];
	char folder[CHILD_PATH_BYTES]; /* the certificate's */
	char ca_file[CREDENTIALS_PATH_BYTES];
	bool up[REPLICAS];
	struct kafka_producer *producer;
	char topic[32], ticks[32];
	struct sse_client_loop *loop;
	struct subscriber subscribers[MAX_SUBSCRIBERS];
	size_t count;
	uint32_t sent;
	double replays_from_kafka; /* of replicas that were killed */
};

static struct kafka_broker broker;

/* The gateway takes them from the environment. */
static void set_environment(const struct run *run)
{
	setenv("PROMISE_KAFKA", broker.bootstrap, 1);
	setenv("PROMISE_FOLDER", run->folder, 1);
	setenv("PROMISE_TOPIC", run->topic, 1);
	setenv("PROMISE_WARM", run->settings->warm, 1);
	setenv("PROMISE_WINDOW", run->settings->window, 1);
	setenv("PROMISE_CHUNK", run->settings->chunk, 1);
}

static void start_replica(struct run *run, size_t number)
{
	setenv("PROMISE_PORT", run->ports[number][0], 1);
	setenv("PROMISE_TLS_PORT", run->ports[number][1], 1);
	gateway_process_start(&run->replicas[number]);
	run->up[number] = true;
}

static void take(struct subscriber *subscriber, const struct sse_event *event)
{
	json_t *value = json_loadb(event->data.base, event->data.len, 0, NULL);
	const json_t *number = json_object_get(value, "n");
	if (json_is_integer(number)) {
		uint32_t n = (uint32_t)json_integer_value(number);
		ledger_take(&subscriber->ledger, n, event_of(n).partition);
	} else {
		ledger_fail(&subscriber->ledger, "what came is no event: %.*s",
			    (int)event->data.len, event->data.base);
	}
	json_decref(value);
}

static void on_event(void *context, struct sse_client *client, const struct sse_event *event)
{
	struct subscriber *subscriber = context;
	(void)client;
	if (slice_equal(event->type, SLICE_LIT("connected")))
		subscriber->connected++;
	else if (slice_equal(event->type, SLICE_LIT("message")))
		take(subscriber, event);
	else
		ledger_fail(&subscriber->ledger, "a %.*s event came: %.*s", (int)event->type.len,
			    event->type.base, (int)event->data.len, event->data.base);
}

static void url_of(const struct run *run, const struct subscriber *subscriber, uint32_t replica,
		   char *url, size_t size)
{
	bool tls = subscriber->http == SSE_CLIENT_HTTP2_TLS;
	snprintf(url, size, "%s://127.0.0.1:%s%s", tls ? "https" : "http", run->ports[replica][tls],
		 subscriber->path);
}

static struct subscriber *add(struct run *run,
			      bool (*wants)(const struct subscriber *, const struct event *),
			      uint32_t choice, const char *path)
{
	static const enum sse_client_http https[] = {SSE_CLIENT_HTTP1, SSE_CLIENT_HTTP2_TLS,
						     SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE};
	struct subscriber *subscriber = &run->subscribers[run->count];
	char url[128];
	subscriber->wants = wants;
	subscriber->choice = choice;
	subscriber->http = https[run->count % 3];
	snprintf(subscriber->path, sizeof(subscriber->path), "%s", path);
	ledger_init(&subscriber->ledger, path, EVENTS);
	url_of(run, subscriber, random_draw(REPLICAS), url, sizeof(url));
	subscriber->client = sse_client_open(
	    run->loop, &(struct sse_client_options){
			   .url = url,
			   .http = subscriber->http,
			   .ca_file = run->ca_file,
			   /* libcurl 7.88 fails to share it. */
			   .own_connection = subscriber->http == SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE,
			   .eager = true,
			   .retry_ms = 1 + random_draw(40),
			   .on_event = on_event,
			   .context = subscriber,
		       });
	run->count++;
	return subscriber;
}

static void add_subscribers(struct run *run)
{
	char path[64];
	add(run, wants_all, 0, "/all");
	add(run, wants_all, 0, "/all");
	for (uint32_t i = 0; i < USER_SUBSCRIBERS; i++) {
		snprintf(path, sizeof(path), "/users/user-%u", i);
		add(run, wants_user, i, path);
	}
	for (uint32_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "/levels?level=%s", levels[i]);
		add(run, wants_level, i, path);
	}
	snprintf(path, sizeof(path), "/topics/%s", run->ticks);
	add(run, wants_ticks, 0, path);
}

/* One that comes in the middle and wants all from the beginning. */
static void add_latecomer(struct run *run)
{
	struct subscriber *subscriber = add(run, wants_all, 0, "/history");
	for (uint32_t n = 0; n < run->sent; n++) {
		struct event event = event_of(n);
		if (wants_all(subscriber, &event))
			ledger_owe(&subscriber->ledger, n);
	}
}

static void owe(struct run *run, uint32_t number, const struct event *event)
{
	for (size_t i = 0; i < run->count; i++)
		if (run->subscribers[i].wants(&run->subscribers[i], event))
			ledger_owe(&run->subscribers[i].ledger, number);
}

static void send_one(struct run *run, uint32_t number)
{
	static const char padding[] =
	    "and so on, and so on, and so on, and so on, and so on, and so on, and so on, and so "
	    "on, and so on, and so on, and so on, and so on, and so on, and so on, and so on, and "
	    "so on, and so on, and so on, and so on, and so on, and so on, and so on, and so on";
	struct event event = event_of(number);
	char key[32], value[512];
	snprintf(key, sizeof(key), "user-%u", event.user);
	snprintf(value, sizeof(value),
		 "{\"n\":%u,\"level\":\"%s\",\"region\":\"%s\",\"text\":\"\\u2028 \\\" %.*s\"}",
		 number, levels[event.level], regions[event.region], (int)event.padding, padding);
	kafka_producer_send(run->producer, &(struct kafka_message){
					       .topic = event.tick ? run->ticks : run->topic,
					       .partition = (int32_t)event.partition,
					       .key = slice_of(key),
					       .value = slice_of(value),
					   });
	owe(run, number, &event);
}

static void send_portion(struct run *run)
{
	for (int i = 0; i < EVENTS / STEPS; i++)
		send_one(run, run->sent++);
	kafka_producer_flush(run->producer);
}

/* At any byte of what comes next, or at once; half of them go on elsewhere. */
static void cut_somebody(struct run *run)
{
	struct subscriber *subscriber = &run->subscribers[random_draw((uint32_t)run->count)];
	char url[128];
	url_of(run, subscriber, random_draw(REPLICAS), url, sizeof(url));
	if (random_draw(3))
		sse_client_cut_after(subscriber->client,
				     1 + random_draw(1u << random_draw(MAX_CUT_BITS + 1)));
	else
		sse_client_cut(subscriber->client);
	sse_client_set_url(subscriber->client, url);
}

static void kill_somebody(struct run *run)
{
	uint32_t replica = random_draw(REPLICAS);
	run->replays_from_kafka += gateway_process_metric(&run->replicas[replica],
							  "sluice_replays_total{source=\"kafka\"}");
	gateway_process_kill(&run->replicas[replica]);
	run->up[replica] = false;
}

static void start_killed(struct run *run)
{
	for (size_t i = 0; i < REPLICAS; i++)
		if (!run->up[i])
			start_replica(run, i);
}

static bool all_complete(void *context)
{
	const struct run *run = context;
	for (size_t i = 0; i < run->count; i++) {
		if (run->subscribers[i].ledger.fault[0])
			return true;
		if (!ledger_complete(&run->subscribers[i].ledger))
			return false;
	}
	return true;
}

static bool all_connected(void *context)
{
	const struct run *run = context;
	for (size_t i = 0; i < run->count; i++)
		if (!run->subscribers[i].connected)
			return false;
	return true;
}

static bool report(const struct subscriber *subscriber)
{
	struct sse_client_facts facts = sse_client_facts(subscriber->client);
	if (ledger_report(&subscriber->ledger))
		return true;
	fprintf(stderr, "  state %d, status %ld, %llu streams, %llu ends, id %.*s\n", facts.state,
		facts.status, (unsigned long long)facts.opens, (unsigned long long)facts.ends,
		(int)facts.last_event_id.len, facts.last_event_id.base);
	return false;
}

static void check_ledgers(const struct run *run)
{
	bool good = true;
	for (size_t i = 0; i < run->count; i++)
		good &= report(&run->subscribers[i]);
	assert_true(good);
}

static void play(struct run *run)
{
	for (int step = 0; step < STEPS - 1; step++) {
		start_killed(run);
		send_portion(run);
		for (int i = 0; i < CUTS_A_STEP; i++)
			cut_somebody(run);
		if (step % (STEPS / KILLS) == STEPS / KILLS / 2)
			kill_somebody(run);
		if (step == STEPS / 2)
			add_latecomer(run);
		for (int i = 0; i < STEP_TURNS; i++)
			sse_client_loop_run(run->loop, random_draw(TURN_MS));
	}
	start_killed(run);
}

/* What is sent last, when all else has come, would come after everything that came twice. */
static void play_to_the_end(struct run *run)
{
	uint64_t began = clock_monotonic_ms();
	play(run);
	sse_client_loop_until(run->loop, all_complete, run, PATIENCE_MS);
	fprintf(stderr, "all but the last portion after %llu ms\n",
		(unsigned long long)(clock_monotonic_ms() - began));
	check_ledgers(run);
	send_portion(run);
	sse_client_loop_until(run->loop, all_complete, run, PATIENCE_MS);
	check_ledgers(run);
}

static void check_ordeal(struct run *run, bool expects_kafka)
{
	uint64_t ends = 0, opens = 0;
	for (size_t i = 0; i < run->count; i++) {
		struct sse_client_facts facts = sse_client_facts(run->subscribers[i].client);
		ends += facts.ends;
		opens += facts.opens;
	}
	for (int i = 0; i < REPLICAS; i++)
		run->replays_from_kafka += gateway_process_metric(
		    &run->replicas[i], "sluice_replays_total{source=\"kafka\"}");
	fprintf(stderr, "%llu connections ended, %llu streams, %.0f replays from Kafka\n",
		(unsigned long long)ends, (unsigned long long)opens, run->replays_from_kafka);
	assert_true(ends >= 100);
	if (expects_kafka)
		assert_true(run->replays_from_kafka >= 50);
}

static void start_run(struct run *run, const struct settings *settings)
{
	*run = (struct run){.settings = settings};
	snprintf(run->topic, sizeof(run->topic), "events.%s", settings->name);
	snprintf(run->ticks, sizeof(run->ticks), "ticks.%s", settings->name);
	kafka_broker_create_topic(&broker, run->topic, PARTITIONS);
	kafka_broker_create_topic(&broker, run->ticks, PARTITIONS);
	run->producer = kafka_producer_new(broker.bootstrap, NULL);
	child_make_folder(run->folder);
	credentials_write_certificate(run->folder, run->ca_file);
	run->loop = sse_client_loop_new();
	set_environment(run);
	for (size_t i = 0; i < REPLICAS; i++) {
		gateway_process_init(&run->replicas[i]);
		gateway_process_configure(&run->replicas[i], config);
		for (int j = 0; j < 2; j++)
			snprintf(run->ports[i][j], sizeof(run->ports[i][j]), "%u",
				 child_free_port());
		start_replica(run, i);
	}
}

static void end_run(struct run *run)
{
	for (size_t i = 0; i < run->count; i++)
		ledger_fini(&run->subscribers[i].ledger);
	sse_client_loop_free(run->loop);
	kafka_producer_free(run->producer);
	child_remove_folder(run->folder);
	for (int i = 0; i < REPLICAS; i++) {
		assert_int_equal(gateway_process_stop(&run->replicas[i]), 0);
		gateway_process_fini(&run->replicas[i]);
	}
}

static void keep_the_promise(const struct settings *settings, bool expects_kafka)
{
	struct run *run = MEM_NEW(struct run);
	start_run(run, settings);
	add_subscribers(run);
	assert_true(sse_client_loop_until(run->loop, all_connected, run, PATIENCE_MS));
	play_to_the_end(run);
	check_ordeal(run, expects_kafka);
	end_run(run);
	free(run);
}

/* With windows that hold everything, the ids lead back into memory. */
static void test_promise_with_large_windows_holds(void **state)
{
	(void)state;
	keep_the_promise(
	    &(struct settings){.name = "large", .warm = "5m", .window = "64MiB", .chunk = "256KiB"},
	    false);
}

/* With windows of a second or so and none at the start, nearly everybody who was away is served
 * from Kafka. */
static void test_promise_with_tiny_windows_holds(void **state)
{
	(void)state;
	keep_the_promise(
	    &(struct settings){.name = "tiny", .warm = "0s", .window = "64KiB", .chunk = "64KiB"},
	    true);
}

static int start(void **state)
{
	(void)state;
	random_start();
	kafka_broker_start(&broker);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kafka_broker_fini(&broker);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_promise_with_large_windows_holds),
	    cmocka_unit_test(test_promise_with_tiny_windows_holds),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
