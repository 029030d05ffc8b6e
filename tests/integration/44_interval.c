/*
 * Streams with an interval: of the many values that a few keys have, each client gets a few, in
 * order, and at the end the last of each; from the window, from the journal and from Kafka, however
 * often its connection is cut.
 *
 * What happens when is drawn from a seed that is printed; SLUICE_TEST_SEED sets it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/gateway_process.h"
#include "lib/http_client.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/postgres_server.h"
#include "lib/random.h"
#include "lib/sse_client.h"

enum {
	REPLICAS = 2,
	PARTITIONS = 4,
	KEYS = 20,
	STEPS = 36,
	EVENTS_A_STEP = 400,
	SLEEP_STEPS = 6,     /* after so many a sleeper goes, for half as many */
	PATIENCE_MS = 60000, /* for tests that fail */
	STEADY_MS = 1000,    /* the interval of those that stay */
	RESTLESS_MS = 200,   /* of the others */
	MAX_CUT_BYTES = 8192,
};

/* A window of 64 KiB holds less than a step. */
/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [{ "address": "127.0.0.1", "port": 0 }],
	"http": { "loops": 2 },
	"kafka": { "bootstrap.servers": "${INTERVAL_KAFKA}", "fetch.wait.max.ms": 10 },
	"postgres": { "url": "${INTERVAL_POSTGRES}", "migrate": true },
	"journal": { "batch": 500, "linger": "20ms" },
	"replay": { "chunk": "16KiB" },
	"streams": {
		"wide": { "path": "/wide", "topics": ["values"], "access": "public", "heartbeat": "200ms",
			"params": { "interval": { "type": "integer" } },
			"interval": { "every": "{query.interval}", "max": "10s", "per_key": true } },
		"small": { "path": "/small", "topics": ["values"], "access": "public", "heartbeat": "200ms",
			"params": { "interval": { "type": "integer", "required": true } },
			"interval": { "every": "{query.interval}", "per_key": true },
			"window": "64KiB", "max_event": "16KiB" },
		"kept": { "path": "/kept", "topics": ["values"], "access": "public", "heartbeat": "200ms",
			"params": { "interval": { "type": "integer", "required": true } },
			"interval": { "every": "{query.interval}", "per_key": true },
			"window": "64KiB", "max_event": "16KiB", "journal": { "retain": "1h" } },
		"one": { "path": "/one/{key}", "topics": ["values"], "access": "public", "heartbeat": "200ms",
			"params": { "interval": { "type": "integer", "required": true } },
			"interval": { "every": "{query.interval}" },
			"filter": { "key": ["{path.key}"] },
			"window": "64KiB", "max_event": "16KiB", "journal": { "retain": "1h" } }
	}
}
);
/* clang-format on */

enum habit { STEADY, RESTLESS, SLEEPER, HABITS };

struct client {
	const char *path;
	enum habit habit;
	int key; /* -1: all */
	struct sse_client *sse;
	int last[KEYS]; /* 0: none */
	unsigned received;
	char last_event_id[1024];
	char fault[256];
};

static struct kafka_broker broker;
static struct kafka_producer *producer;
static struct postgres_server postgres;
static struct gateway_process replicas[REPLICAS];
static struct sse_client_loop *loop;
static int newest[KEYS];
static struct client clients[4 * HABITS];
enum { CLIENTS = sizeof(clients) / sizeof(clients[0]) };

static int start(void **state)
{
	(void)state;
	random_start();
	postgres_server_start(&postgres);
	kafka_broker_start(&broker);
	kafka_broker_create_topic(&broker, "values", PARTITIONS);
	producer = kafka_producer_new(broker.bootstrap, NULL);
	setenv("INTERVAL_KAFKA", broker.bootstrap, 1);
	setenv("INTERVAL_POSTGRES", postgres.url, 1);
	for (int i = 0; i < REPLICAS; i++)
		gateway_process_launch(&replicas[i], config);
	loop = sse_client_loop_new();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	sse_client_loop_free(loop);
	for (int i = 0; i < REPLICAS; i++) {
		assert_int_equal(gateway_process_stop(&replicas[i]), 0);
		gateway_process_fini(&replicas[i]);
	}
	kafka_producer_free(producer);
	kafka_broker_fini(&broker);
	postgres_server_fini(&postgres);
	return 0;
}

/* Each key has one partition, and its values are numbered. */
static void send_value(void)
{
	int k = (int)random_draw(KEYS);
	char key[8], value[160];

	snprintf(key, sizeof(key), "%d", k);
	snprintf(value, sizeof(value), "{\"k\":%d,\"n\":%d,\"text\":\"%080d\"}", k, ++newest[k], 0);
	kafka_producer_send(producer, &(struct kafka_message){.topic = "values",
							      .partition = k % PARTITIONS,
							      .key = slice_of(key),
							      .value = slice_of(value)});
}

static void send_step(void)
{
	for (int i = 0; i < EVENTS_A_STEP; i++)
		send_value();
	kafka_producer_flush(producer);
}

static void take_value(struct client *client, int k, int n)
{
	if (k < 0 || k >= KEYS || (client->key >= 0 && k != client->key))
		snprintf(client->fault, sizeof(client->fault), "key %d is not for it", k);
	else if (n <= client->last[k])
		snprintf(client->fault, sizeof(client->fault), "key %d: %d came after %d", k, n,
			 client->last[k]);
	else
		client->last[k] = n;
	client->received++;
}

static void on_event(void *context, struct sse_client *sse, const struct sse_event *event)
{
	struct client *client = context;
	struct buffer data = {0};
	int k, n;

	(void)sse;
	buffer_append_slice(&data, event->data);
	if (sscanf(buffer_text(&data), "{\"k\":%d,\"n\":%d", &k, &n) == 2)
		take_value(client, k, n);
	else if (!slice_equal(event->type, SLICE_LIT("connected")))
		snprintf(client->fault, sizeof(client->fault), "%.*s: %s", (int)event->type.len,
			 event->type.base, buffer_text(&data));
	buffer_free(&data);
}

static void url_of(const struct client *client, char url[128])
{
	snprintf(url, 128, "%s%s?interval=%d", replicas[random_draw(REPLICAS)].url, client->path,
		 client->habit == STEADY ? STEADY_MS : RESTLESS_MS);
}

static void connect_client(struct client *client)
{
	char url[128];

	url_of(client, url);
	client->sse = sse_client_open(
	    loop, &(struct sse_client_options){
		      .url = url,
		      .last_event_id = *client->last_event_id ? client->last_event_id : NULL,
		      .retry_ms = 10,
		      .retry_limit_ms = 100,
		      .on_event = on_event,
		      .context = client});
}

static void disconnect_client(struct client *client)
{
	struct slice id = sse_client_facts(client->sse).last_event_id;

	snprintf(client->last_event_id, sizeof(client->last_event_id), "%.*s", (int)id.len,
		 id.base ? id.base : "");
	sse_client_close(client->sse);
	client->sse = NULL;
}

static bool are_open(void *context)
{
	(void)context;
	for (int i = 0; i < CLIENTS; i++)
		if (!sse_client_facts(clients[i].sse).last_event_id.len)
			return false;
	return true;
}

static void connect_all(void)
{
	static const char *const paths[] = {"/wide", "/small", "/kept", "/one/7"};

	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){.path = paths[i / HABITS],
					     .habit = (enum habit)(i % HABITS),
					     .key = i / HABITS == 3 ? 7 : -1};
		connect_client(&clients[i]);
	}
	assert_true(sse_client_loop_until(loop, are_open, NULL, PATIENCE_MS));
}

/* It goes on at any replica. */
static void cut(struct client *client)
{
	char url[128];

	url_of(client, url);
	sse_client_set_url(client->sse, url);
	if (random_draw(3))
		sse_client_cut_after(client->sse, 1 + random_draw(MAX_CUT_BYTES));
	else
		sse_client_cut(client->sse);
}

static void disturb(int step)
{
	for (int i = 0; i < CLIENTS; i++) {
		struct client *client = &clients[i];

		if (client->habit == RESTLESS && random_draw(2))
			cut(client);
		if (client->habit != SLEEPER || step % (SLEEP_STEPS / 2))
			continue;
		if (client->sse)
			disconnect_client(client);
		else
			connect_client(client);
	}
}

static bool has_newest(const struct client *client)
{
	for (int k = 0; k < KEYS; k++)
		if ((client->key < 0 || client->key == k) && client->last[k] != newest[k])
			return false;
	return true;
}

static bool all_have_newest(void *context)
{
	(void)context;
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].fault[0])
			return true;
	for (int i = 0; i < CLIENTS; i++)
		if (!has_newest(&clients[i]))
			return false;
	return true;
}

static void check_all(void)
{
	static const char *const habits[] = {"steady", "restless", "sleeper"};
	bool good = sse_client_loop_until(loop, all_have_newest, NULL, PATIENCE_MS);

	for (int i = 0; i < CLIENTS; i++) {
		const struct client *client = &clients[i];

		if (client->fault[0] || !has_newest(client))
			good = false;
		print_message("%s, %s: %u events%s%s%s\n", client->path, habits[client->habit],
			      client->received, client->fault[0] ? ", " : "", client->fault,
			      has_newest(client) ? "" : ", not the newest");
	}
	assert_true(good);
}

static double metric_of_all(const char *series)
{
	double sum = 0;

	for (int i = 0; i < REPLICAS; i++)
		sum += gateway_process_metric(&replicas[i], series);
	return sum;
}

/* A fraction of what was sent comes, each key's in order, and at last the last. */
static void test_interval_ends_with_the_last_of_each_key(void **state)
{
	(void)state;
	connect_all();
	for (int step = 0; step < STEPS; step++) {
		send_step();
		disturb(step);
		sse_client_loop_run(loop, random_draw(200));
	}
	for (int i = 0; i < CLIENTS; i++)
		if (!clients[i].sse)
			connect_client(&clients[i]);
	check_all();
	/* What is sent last would come after everything that came twice. */
	send_step();
	check_all();
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].habit == STEADY)
			assert_true(clients[i].received < STEPS * EVENTS_A_STEP / 4);
	assert_true(metric_of_all("sluice_conflated_events_total") > STEPS * EVENTS_A_STEP);
	assert_true(metric_of_all("sluice_replays_total{source=\"window\"}") > 0);
	assert_true(metric_of_all("sluice_replays_total{source=\"journal\"}") > 0);
	assert_true(metric_of_all("sluice_replays_total{source=\"kafka\"}") > 0);
}

/* An interval out of bounds is answered 400 with what would be right. */
static void test_interval_out_of_bounds_is_refused(void **state)
{
	static const struct {
		const char *path, *detail;
	} rows[] = {
	    {"/wide?interval=99",
	     "query parameter \\\"interval\\\" is 99, but must be from 100 to 10000 milliseconds"},
	    {"/wide?interval=10001",
	     "query parameter \\\"interval\\\" is 10001, but must be from 100 to 10000"},
	    {"/wide?interval=0", "must be from 100 to 10000 milliseconds"},
	    {"/wide?interval=1s", "must be an integer"},
	    {"/wide?interval=", "must be an integer"},
	    {"/small", "is missing"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_client_answer answer = {0};
		char url[128];

		snprintf(url, sizeof(url), "%s%s", replicas[0].url, rows[i].path);
		http_client_get(url, &answer);
		if (answer.status != 400 || !strstr(buffer_text(&answer.body), rows[i].detail))
			fail_msg("%s: %ld %s", rows[i].path, answer.status,
				 buffer_text(&answer.body));
		http_client_answer_fini(&answer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_interval_ends_with_the_last_of_each_key),
	    cmocka_unit_test(test_interval_out_of_bounds_is_refused),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
