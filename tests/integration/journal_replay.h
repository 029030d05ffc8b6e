/*
 * journal_replay: what the programs about replays from the journal share: a real Kafka, a real
 * PostgreSQL, gateways with small windows, numbered events, and clients that count.
 */
#ifndef SLUICE_TESTS_INTEGRATION_JOURNAL_REPLAY_H
#define SLUICE_TESTS_INTEGRATION_JOURNAL_REPLAY_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "lib/gateway_process.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/ledger.h"
#include "lib/postgres_server.h"
#include "lib/sse_client.h"

enum {
	PARTITIONS = 24,
	REPLICAS = 2,
	USERS = 10,
	FEEDS = 5,        /* journaled */
	EVENT_EVERY = 10, /* ms, by their timestamps */
	MAX_EVENTS = 40000,
	PATIENCE_MS = 90000, /* for tests that fail */
	TURN_MS = 20,
};

/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [{ "address": "127.0.0.1", "port": "${REPLAY_PORT}" }],
	"http": { "loops": 2 },
	"kafka": { "bootstrap.servers": "${REPLAY_KAFKA}", "fetch.wait.max.ms": 10,
		"reconnect.backoff.max.ms": 500, "session.timeout.ms": 6000,
		"heartbeat.interval.ms": 300 },
	"ingest": { "warm": "0s" },
	"postgres": { "url": "${REPLAY_POSTGRES}", "migrate": true },
	"journal": { "group": "${REPLAY_TOPIC}", "batch": 500, "linger": "20ms" },
	"replay": { "readers": 2, "chunk": "16KiB" },
	"streams": {
		"all": { "path": "/all", "topics": ["${REPLAY_TOPIC}"], "access": "public",
			"heartbeat": "100ms", "window": "64KiB", "max_event": "16KiB",
			"journal": { "retain": "24h" } },
		"user": { "path": "/users/{user}", "topics": ["${REPLAY_TOPIC}"],
			"access": "public", "filter": { "value": { "user": ["{path.user}"] } },
			"heartbeat": "100ms", "window": "64KiB", "max_event": "16KiB",
			"journal": { "retain": "24h" } },
		"last": { "path": "/last/{user}", "topics": ["${REPLAY_TOPIC}"],
			"access": "public", "filter": { "value": { "user": ["{path.user}"] } },
			"start": { "last": 40 }, "window": "64KiB", "max_event": "16KiB",
			"journal": { "retain": "24h" } },
		"ids": { "path": "/ids", "topics": ["${REPLAY_TOPIC}"], "access": "public",
			"event": { "id": "/value/id" }, "window": "64KiB", "max_event": "16KiB",
			"journal": { "retain": "24h" } },
		"state": { "path": "/state", "topics": ["${REPLAY_TOPIC}"], "access": "public",
			"start": "current", "window": "64KiB", "max_event": "16KiB",
			"journal": { "retain": "24h" } },
		"plain": { "path": "/plain", "topics": ["${REPLAY_TOPIC}"], "access": "public",
			"window": "64KiB", "max_event": "16KiB" }
	}
}
);
/* clang-format on */

static struct kafka_broker broker;
static struct kafka_producer *producer;
static struct postgres_server postgres;
static struct gateway_process replicas[REPLICAS];
static char ports[REPLICAS][8];
static struct sse_client_loop *loop;
static char topic[64];
static uint32_t sent; /* on the test's topic */
static int64_t first_event_ms;

static inline void start_replica(int number)
{
	setenv("REPLAY_PORT", ports[number], 1);
	gateway_process_start_ready(&replicas[number]);
}

/* What an event is follows from its number. */
static inline int32_t partition_of(uint32_t number)
{
	return (int32_t)(number % PARTITIONS);
}

static inline uint32_t user_of(uint32_t number)
{
	return number / PARTITIONS * 7 % USERS;
}

static inline int64_t time_of(uint32_t number)
{
	return first_event_ms + (int64_t)number * EVENT_EVERY;
}

static inline void send_one(bool tombstone)
{
	char key[32], value[256];

	snprintf(key, sizeof(key), "%u-%u", partition_of(sent), user_of(sent));
	snprintf(value, sizeof(value),
		 "{\"n\":%u,\"user\":\"u%u\",\"id\":\"id-%u\",\"text\":\"%.*s\"}", sent,
		 user_of(sent), sent, (int)(sent % 90),
		 "and so on, and so on, and so on, and so on, and so on, and so on, and so on, and "
		 "so on, and so on, and so on");
	kafka_producer_send(producer, &(struct kafka_message){
					  .topic = topic,
					  .partition = partition_of(sent),
					  .key = slice_of(key),
					  .value = tombstone ? (struct slice){0} : slice_of(value),
					  .timestamp_ms = time_of(sent),
				      });
	sent++;
}

static inline void send_events(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		send_one(false);
	kafka_producer_flush(producer);
}

/* All streams' journals have all that was sent. */
static inline void wait_journaled(void)
{
	char statement[256];

	snprintf(statement, sizeof(statement),
		 "select count(*) from (select sum(next_offset) s from journal_offset"
		 " join journal_feed using (feed_id) where '%s' = any (topics) group by feed_id) f"
		 " where s = %u",
		 topic, sent);
	postgres_server_wait(&postgres, statement, FEEDS);
}

/* A gateway that was not started since has read all that was sent. */
static inline void wait_ingested(int replica)
{
	gateway_process_wait_metric(&replicas[replica], "sluice_records_total", sent);
}

/* What all streams' journals have of the partition. */
static inline int64_t journaled(int32_t partition)
{
	char statement[256];

	snprintf(statement, sizeof(statement),
		 "select case when count(*) = %d then min(next_offset) end"
		 " from journal_offset join journal_feed using (feed_id)"
		 " where '%s' = any (topics) and partition = %d",
		 FEEDS, topic, partition);
	return postgres_server_ask(&postgres, statement);
}

/* Kafka deletes all but the newest `keep` of each partition that are journaled, and on
 * PostgreSQL's disk: what a killed server has forgotten, Kafka has to give again. */
static inline void forget_in_kafka(int64_t keep)
{
	int64_t next[PARTITIONS];

	for (int32_t p = 0; p < PARTITIONS; p++)
		next[p] = journaled(p);
	postgres_server_ask(&postgres, "checkpoint");
	for (int32_t p = 0; p < PARTITIONS; p++) {
		int64_t low, high;

		kafka_broker_offsets(&broker, topic, p, &low, &high);
		if (next[p] - keep > low)
			kafka_broker_delete_records(&broker, topic, p, next[p] - keep);
	}
}

struct subscriber {
	struct ledger ledger;
	struct sse_client *client;
	int user; /* -1: everybody's */
	uint32_t connected, gaps, limits;
	char last_event_id[2048];
};

static inline void keep_id(struct subscriber *subscriber, const struct sse_client *client)
{
	struct slice id = sse_client_facts(client).last_event_id;

	snprintf(subscriber->last_event_id, sizeof(subscriber->last_event_id), "%.*s", (int)id.len,
		 id.base ? id.base : "");
}

static inline void take_event(struct subscriber *subscriber, struct slice data)
{
	json_t *value = json_loadb(data.base, data.len, 0, NULL);
	const json_t *number = json_object_get(value, "n");

	if (json_is_integer(number)) {
		uint32_t n = (uint32_t)json_integer_value(number);

		ledger_take(&subscriber->ledger, n, (uint32_t)partition_of(n));
	} else if (data.len) {
		ledger_fail(&subscriber->ledger, "what came is no event: %.*s", (int)data.len,
			    data.base);
	}
	json_decref(value);
}

static inline void on_event(void *context, struct sse_client *client, const struct sse_event *event)
{
	struct subscriber *subscriber = context;

	keep_id(subscriber, client);
	if (slice_equal(event->type, SLICE_LIT("connected")))
		subscriber->connected++;
	else if (slice_equal(event->type, SLICE_LIT("gap")))
		subscriber->gaps++;
	else if (slice_equal(event->type, SLICE_LIT("message")))
		take_event(subscriber, event->data);
	else
		ledger_fail(&subscriber->ledger, "a %.*s event came", (int)event->type.len,
			    event->type.base);
}

/* `last_event_id` NULL: without one. */
static inline void subscribe(struct subscriber *subscriber, int replica, const char *path,
			     const char *last_event_id)
{
	char url[256];

	snprintf(url, sizeof(url), "http://127.0.0.1:%s%s", ports[replica], path);
	subscriber->client = sse_client_open(loop, &(struct sse_client_options){
						       .url = url,
						       .last_event_id = last_event_id,
						       .retry_ms = 20,
						       .retry_limit_ms = 200,
						       .on_event = on_event,
						       .context = subscriber,
						   });
}

static inline void unsubscribe(struct subscriber *subscriber)
{
	if (subscriber->client)
		sse_client_close(subscriber->client);
	subscriber->client = NULL;
}

static inline void subscriber_init(struct subscriber *subscriber, const char *name, int user)
{
	memset(subscriber, 0, sizeof(*subscriber));
	subscriber->user = user;
	ledger_init(&subscriber->ledger, name, MAX_EVENTS);
}

static inline void subscriber_fini(struct subscriber *subscriber)
{
	unsubscribe(subscriber);
	ledger_fini(&subscriber->ledger);
}

/* Its user's of the events [from, sent). */
static inline void owe_from(struct subscriber *subscriber, uint32_t from)
{
	for (uint32_t n = from; n < sent; n++)
		if (subscriber->user < 0 || user_of(n) == (uint32_t)subscriber->user)
			ledger_owe(&subscriber->ledger, n);
}

static inline bool is_complete(void *context)
{
	const struct subscriber *subscriber = context;

	return subscriber->ledger.fault[0] || ledger_complete(&subscriber->ledger);
}

static inline bool is_connected(void *context)
{
	return ((const struct subscriber *)context)->connected > 0;
}

/* All that it is owed, and then nothing that it is not. */
static inline void expect_all(struct subscriber *subscriber)
{
	sse_client_loop_until(loop, is_complete, subscriber, PATIENCE_MS);
	for (int i = 0; i < 10; i++)
		sse_client_loop_run(loop, TURN_MS);
	assert_true(ledger_report(&subscriber->ledger));
}

static inline double metric_of_all(const char *series)
{
	double sum = 0;

	for (int i = 0; i < REPLICAS; i++)
		sum += gateway_process_metric(&replicas[i], series);
	return sum;
}

/* Kafka and PostgreSQL, for the program. */
static inline int start_servers(void **state)
{
	(void)state;
	kafka_broker_start(&broker);
	postgres_server_start(&postgres);
	setenv("REPLAY_KAFKA", broker.bootstrap, 1);
	setenv("REPLAY_POSTGRES", postgres.url, 1);
	return 0;
}

static inline int stop_servers(void **state)
{
	(void)state;
	kafka_broker_fini(&broker);
	postgres_server_fini(&postgres);
	return 0;
}

/* A topic and gateways, for each test. */
static inline int begin_test(void **state)
{
	static int number;

	(void)state;
	/* A test that failed may have left it so. */
	if (postgres_server_ask(&postgres, "select 1") != 1)
		postgres_server_restart(&postgres);
	snprintf(topic, sizeof(topic), "replay.%d", ++number);
	kafka_broker_create_topic(&broker, topic, PARTITIONS);
	setenv("REPLAY_TOPIC", topic, 1);
	sent = 0;
	first_event_ms = clock_unix_ms() - 3600000;
	producer = kafka_producer_new(broker.bootstrap, NULL);
	loop = sse_client_loop_new();
	for (int i = 0; i < REPLICAS; i++) {
		gateway_process_init(&replicas[i]);
		gateway_process_configure(&replicas[i], config);
		snprintf(ports[i], sizeof(ports[i]), "%u", child_free_port());
		start_replica(i);
	}
	return 0;
}

static inline int end_test(void **state)
{
	(void)state;
	sse_client_loop_free(loop);
	kafka_producer_free(producer);
	for (int i = 0; i < REPLICAS; i++) {
		gateway_process_stop(&replicas[i]);
		gateway_process_fini(&replicas[i]);
	}
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)

#endif
