/* What Kafka does to a stream: it goes and comes back, topics appear, grow, shrink and are made
 * anew, transactions are aborted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/gateway_process.h"
#include "lib/http_client.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/ledger.h"
#include "lib/watch.h"

enum {
	PARTITIONS = 4,
	SUBSCRIBERS = 12,
	ROUNDS = 2,
	ROUND_EVENTS = 3000,
	EVENTS = ROUNDS * ROUND_EVENTS,
	USERS = 5,
	TURN_MS = 20,
	PATIENCE_MS = 60000, /* for tests that fail */
};

/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [{ "address": "127.0.0.1", "port": "${OUTAGE_PORT}" }],
	"http": { "loops": 2 },
	"kafka": { "bootstrap.servers": "${OUTAGE_KAFKA}", "fetch.wait.max.ms": 10,
		"topic.metadata.refresh.interval.ms": 500, "reconnect.backoff.max.ms": 500 },
	"ingest": { "warm": "0s" },
	"replay": { "readers": 2, "chunk": "16KiB" },
	"streams": {
		"all": { "path": "/all", "topics": ["${OUTAGE_TOPIC}"], "access": "public",
			"heartbeat": "100ms" },
		"tiny": { "path": "/tiny", "topics": ["${OUTAGE_TOPIC}"], "access": "public",
			"heartbeat": "100ms", "window": "64KiB", "max_event": "16KiB" },
		"user": { "path": "/users/{user}", "topics": ["${OUTAGE_TOPIC}"], "access": "public",
			"filter": { "key": ["{path.user}"] },
			"heartbeat": "100ms", "window": "64KiB", "max_event": "16KiB" },
		"latest": { "path": "/latest", "topics": ["${OUTAGE_TOPIC}"], "access": "public",
			"on_gap": "latest" },
		"close": { "path": "/close", "topics": ["${OUTAGE_TOPIC}"], "access": "public",
			"on_gap": "close" },
		"topic": { "path": "/topics/{topic}", "topics": ["{path.topic}"], "allow_topics": ["*"],
			"access": "public" }
	}
}
);
/* clang-format on */

static struct kafka_broker broker;
static struct kafka_producer *producer;
static struct gateway_process gateway;
static struct sse_client_loop *loop;

/* A gateway that begins at the end of `topic`, whose streams are its only ones. */
static void start_gateway(const char *topic)
{
	setenv("OUTAGE_TOPIC", topic, 1);
	gateway_process_start(&gateway);
}

static void restart_gateway(const char *topic)
{
	assert_int_equal(gateway_process_stop(&gateway), 0);
	start_gateway(topic);
	gateway_process_wait_ready(&gateway, PATIENCE_MS);
}

static void send_to(const char *topic, int32_t partition, const char *prefix, int first, int count)
{
	char value[64];

	for (int i = first; i < first + count; i++) {
		snprintf(value, sizeof(value), "%s%d", prefix, i);
		kafka_producer_send(producer, &(struct kafka_message){.topic = topic,
								      .partition = partition,
								      .value = slice_of(value)});
	}
	kafka_producer_flush(producer);
}

/* One that knows nothing of partitions and topics as they were. */
static void renew_producer(void)
{
	kafka_producer_free(producer);
	producer = kafka_producer_new(broker.bootstrap, NULL);
}

/* Its events from `from` on are the texts that send_to() makes; then there are none. */
static void assert_texts(struct watch *watch, size_t from, const char *prefix, int first, int count)
{
	char value[64];

	assert_true(watch_until(watch, from + (size_t)count));
	for (int i = 0; i < count; i++) {
		snprintf(value, sizeof(value), "%s%d", prefix, first + i);
		assert_string_equal(watch->events[from + (size_t)i].type, "message");
		assert_string_equal(watch->events[from + (size_t)i].data, value);
	}
}

/* One gap of one partition, as `event` tells it. */
static void assert_gap(const struct watch_event *event, const char *reason, const char *topic,
		       int partition, int from, int to)
{
	char expected[256];

	snprintf(expected, sizeof(expected),
		 "{\"reason\": \"%s\", \"missed\": [{\"topic\": \"%s\", \"partition\": %d, "
		 "\"from\": %d, \"to\": %d}]}",
		 reason, topic, partition, from, to);
	assert_string_equal(event->type, "gap");
	json_t *want = json_loads(expected, 0, NULL), *got = json_loads(event->data, 0, NULL);
	if (!json_equal(want, got))
		fail_msg("expected %s, got %s", expected, event->data);
	json_decref(want);
	json_decref(got);
}

/* Its event `at` is the `connected` of its second connection, the one that the gateway's restart
 * brought with it; there was no other. */
static void assert_reconnected_once(struct watch *watch, size_t at)
{
	assert_true(watch_until(watch, at + 1));
	assert_string_equal(watch->events[at].type, "connected");
	assert_int_equal(sse_client_facts(watch->client).opens, 2);
}

static void open_with_id(struct watch *watch, const char *path, const char *id)
{
	assert_true(watch_open_connected(watch, loop, gateway.url, path,
					 &(struct sse_client_options){.last_event_id = id}));
}

/* The id of one that has seen everything up to and with the watch's last event. */
static char *last_id(const struct watch *watch)
{
	return strdup(watch->events[watch->count - 1].id);
}

struct listener {
	struct ledger ledger;
	struct sse_client *client;
	int user; /* -1: all */
	bool connected;
};

static void take_numbered(void *context, struct sse_client *client, const struct sse_event *event)
{
	struct listener *listener = context;
	char text[32];

	(void)client;
	if (slice_equal(event->type, SLICE_LIT("connected"))) {
		listener->connected = true;
	} else if (slice_equal(event->type, SLICE_LIT("message")) &&
		   event->data.len < sizeof(text)) {
		snprintf(text, sizeof(text), "%.*s", (int)event->data.len, event->data.base);
		uint32_t number = (uint32_t)strtoul(text, NULL, 10);
		ledger_take(&listener->ledger, number, number % PARTITIONS);
	} else {
		ledger_fail(&listener->ledger, "%.*s: %.*s", (int)event->type.len, event->type.base,
			    (int)event->data.len, event->data.base);
	}
}

static void open_listeners(struct listener *listeners)
{
	static const char *const paths[] = {"/all", "/tiny"};
	char url[128], name[48];

	for (int i = 0; i < SUBSCRIBERS; i++) {
		bool is_filtered = i % 3 == 2;
		listeners[i].user = is_filtered ? i % USERS : -1;
		if (is_filtered)
			snprintf(name, sizeof(name), "/users/%d", i % USERS);
		else
			snprintf(name, sizeof(name), "%s", paths[i % 3]);
		snprintf(url, sizeof(url), "%s%s", gateway.url, name);
		ledger_init(&listeners[i].ledger, name, EVENTS);
		listeners[i].client = sse_client_open(
		    loop, &(struct sse_client_options){
			      .url = url,
			      .http = i % 2 ? SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE : SSE_CLIENT_HTTP1,
			      .retry_ms = 20,
			      .on_event = take_numbered,
			      .context = &listeners[i]});
	}
}

static bool all_connected(void *context)
{
	const struct listener *listeners = context;

	for (int i = 0; i < SUBSCRIBERS; i++)
		if (!listeners[i].connected)
			return false;
	return true;
}

static bool all_complete(void *context)
{
	const struct listener *listeners = context;

	for (int i = 0; i < SUBSCRIBERS; i++)
		if (!ledger_complete(&listeners[i].ledger) && !listeners[i].ledger.fault[0])
			return false;
	return true;
}

static void send_numbered(struct listener *listeners, uint32_t first, uint32_t count)
{
	char key[16], value[16];

	for (uint32_t n = first; n < first + count; n++) {
		int user = (int)(n / PARTITIONS % USERS);
		snprintf(key, sizeof(key), "%d", user);
		snprintf(value, sizeof(value), "%u", n);
		kafka_producer_send(producer, &(struct kafka_message){
						  .topic = "killed",
						  .partition = (int32_t)(n % PARTITIONS),
						  .key = slice_of(key),
						  .value = slice_of(value),
					      });
		for (int i = 0; i < SUBSCRIBERS; i++)
			if (listeners[i].user == -1 || listeners[i].user == user)
				ledger_owe(&listeners[i].ledger, n);
	}
}

static void run_turns(int turns)
{
	for (int i = 0; i < turns; i++)
		sse_client_loop_run(loop, TURN_MS);
}

/* Kafka is killed in the middle of what is being written; while it is away half of the clients come
 * back with their ids. */
static void kill_kafka_in_between(struct listener *listeners, uint32_t first)
{
	send_numbered(listeners, first, ROUND_EVENTS / 3);
	run_turns(3);
	kafka_broker_kill(&broker);
	send_numbered(listeners, first + ROUND_EVENTS / 3, ROUND_EVENTS / 3);
	for (int i = 0; i < SUBSCRIBERS; i += 2)
		sse_client_cut(listeners[i].client);
	run_turns(10);
	kafka_broker_restart(&broker);
	for (int i = 1; i < SUBSCRIBERS; i += 2)
		sse_client_cut(listeners[i].client);
	send_numbered(listeners, first + 2 * (ROUND_EVENTS / 3), ROUND_EVENTS / 3);
	kafka_producer_flush(producer);
}

/* Subscribers that stay, and those that come back meanwhile, miss nothing and get nothing twice
 * when Kafka is killed. */
static void test_outage_kafka_killed_loses_and_repeats_nothing(void **state)
{
	struct listener listeners[SUBSCRIBERS] = {0};
	bool good = true;

	(void)state;
	kafka_broker_create_topic(&broker, "killed", PARTITIONS);
	start_gateway("killed");
	gateway_process_wait_ready(&gateway, PATIENCE_MS);
	open_listeners(listeners);
	assert_true(sse_client_loop_until(loop, all_connected, listeners, PATIENCE_MS));
	for (uint32_t round = 0; round < ROUNDS; round++) {
		kill_kafka_in_between(listeners, round * ROUND_EVENTS);
		sse_client_loop_until(loop, all_complete, listeners, PATIENCE_MS);
	}
	for (int i = 0; i < SUBSCRIBERS; i++) {
		good &= ledger_report(&listeners[i].ledger);
		ledger_fini(&listeners[i].ledger);
		sse_client_close(listeners[i].client);
	}
	assert_true(good);
}

static void assert_not_ready(const char *reason)
{
	char url[128];
	struct http_client_answer answer;

	snprintf(url, sizeof(url), "%s/readyz", gateway.url);
	do
		http_client_get(url, &answer);
	while (answer.status == 503 && !strstr(buffer_text(&answer.body), "\"problem\""));
	assert_int_equal(answer.status, 503);
	if (!strstr(buffer_text(&answer.body), reason))
		fail_msg("/readyz: %s", buffer_text(&answer.body));
	http_client_answer_fini(&answer);
}

static bool is_open(void *watch)
{
	return sse_client_facts(((const struct watch *)watch)->client).state == SSE_CLIENT_OPEN;
}

/* A gateway that starts while Kafka is down takes clients, says what it waits for, and serves them
 * when Kafka is back. */
static void test_outage_gateway_started_without_kafka_waits(void **state)
{
	struct watch before = {0}, fresh = {0}, returning = {0};

	(void)state;
	kafka_broker_create_topic(&broker, "awaited", 1);
	start_gateway("awaited");
	open_with_id(&before, "/all", NULL);
	send_to("awaited", 0, "before ", 0, 5);
	assert_texts(&before, 1, "before ", 0, 5);
	char *id = strdup(before.events[3].id);
	watch_close(&before);

	gateway_process_kill(&gateway);
	kafka_broker_stop(&broker);
	start_gateway("awaited");
	watch_open(&fresh, loop, gateway.url, "/all", NULL);
	watch_open(&returning, loop, gateway.url, "/all",
		   &(struct sse_client_options){.last_event_id = id});
	assert_true(sse_client_loop_until(loop, is_open, &fresh, PATIENCE_MS));
	assert_true(sse_client_loop_until(loop, is_open, &returning, PATIENCE_MS));
	assert_not_ready("no broker is reachable");
	run_turns(10);
	assert_int_equal(fresh.count, 0);

	kafka_broker_restart(&broker);
	assert_true(watch_until(&fresh, 1));
	assert_string_equal(fresh.events[0].type, "connected");
	send_to("awaited", 0, "after ", 0, 3);
	assert_texts(&fresh, 1, "after ", 0, 3);
	assert_texts(&returning, 1, "before ", 3, 2);
	assert_texts(&returning, 3, "after ", 0, 3);
	gateway_process_wait_ready(&gateway, PATIENCE_MS);
	watch_close(&fresh);
	watch_close(&returning);
	free(id);
}

/* A topic that appears while the gateway runs is read from its beginning, also by one who was
 * connected before. */
static void test_outage_topic_that_appears_is_read_from_its_beginning(void **state)
{
	struct watch watch = {0}, dynamic = {0};

	(void)state;
	start_gateway("late");
	open_with_id(&watch, "/all", NULL);
	open_with_id(&dynamic, "/topics/late", NULL);
	kafka_broker_create_topic(&broker, "late", 1);
	send_to("late", 0, "", 0, 50);
	assert_texts(&watch, 1, "", 0, 50);
	assert_texts(&dynamic, 1, "", 0, 50);
	watch_close(&watch);
	watch_close(&dynamic);
}

/* Events of partitions that are added reach those who are connected, and those whose id knows
 * nothing of them: in memory and from Kafka. */
static void test_outage_partitions_added_are_read_from_their_beginning(void **state)
{
	struct watch live = {0}, returning = {0}, later = {0};

	(void)state;
	kafka_broker_create_topic(&broker, "grown", 1);
	start_gateway("grown");
	open_with_id(&live, "/all", NULL);
	send_to("grown", 0, "old ", 0, 5);
	assert_texts(&live, 1, "old ", 0, 5);
	char *id = last_id(&live);
	kafka_broker_grow_topic(&broker, "grown", 3);
	renew_producer();
	send_to("grown", 2, "new ", 0, 20);
	assert_texts(&live, 6, "new ", 0, 20);
	open_with_id(&returning, "/all", id);
	assert_texts(&returning, 1, "new ", 0, 20);
	restart_gateway("grown");
	open_with_id(&later, "/all", id);
	assert_texts(&later, 1, "new ", 0, 20);
	send_to("grown", 1, "last ", 0, 1);
	assert_texts(&later, 21, "last ", 0, 1);
	assert_reconnected_once(&live, 26);
	assert_reconnected_once(&returning, 21);
	assert_texts(&live, 27, "last ", 0, 1);
	assert_texts(&returning, 22, "last ", 0, 1);
	watch_close(&live);
	watch_close(&returning);
	watch_close(&later);
	free(id);
}

/* Writes 0 … 19, takes an id of `path` after 4, and deletes what is before 10. */
static char *expire(const char *topic, const char *path)
{
	struct watch watch = {0};

	kafka_broker_create_topic(&broker, topic, 1);
	start_gateway(topic);
	open_with_id(&watch, path, NULL);
	send_to(topic, 0, "", 0, 5);
	assert_texts(&watch, 1, "", 0, 5);
	char *id = last_id(&watch);
	watch_close(&watch);
	send_to(topic, 0, "", 5, 15);
	kafka_broker_delete_records(&broker, topic, 0, 10);
	return id;
}

/* What Kafka has deleted and the window still has is no gap. */
static void test_outage_deleted_records_in_the_window_are_served(void **state)
{
	struct watch watch = {0};

	(void)state;
	char *id = expire("remembered", "/all");
	open_with_id(&watch, "/all", id);
	assert_texts(&watch, 1, "", 5, 15);
	watch_close(&watch);
	free(id);
}

/* What is deleted for good is told of, with numbers; on_gap earliest goes on with what is left. */
static void test_outage_deleted_records_are_a_gap_then_earliest(void **state)
{
	struct watch watch = {0}, again = {0};

	(void)state;
	char *id = expire("deleted.earliest", "/all");
	restart_gateway("deleted.earliest");
	open_with_id(&watch, "/all", id);
	assert_true(watch_until(&watch, 2));
	assert_gap(&watch.events[1], "expired", "deleted.earliest", 0, 5, 10);
	assert_texts(&watch, 2, "", 10, 10);
	send_to("deleted.earliest", 0, "", 20, 5);
	assert_texts(&watch, 12, "", 20, 5);
	/* The gap is told once: its id leads on. */
	open_with_id(&again, "/all", watch.events[1].id);
	assert_texts(&again, 1, "", 10, 15);
	watch_close(&watch);
	watch_close(&again);
	free(id);
}

/* on_gap latest goes on with what is new, and counts what it leaves out as missed. */
static void test_outage_deleted_records_are_a_gap_then_latest(void **state)
{
	struct watch watch = {0};

	(void)state;
	char *id = expire("deleted.latest", "/latest");
	restart_gateway("deleted.latest");
	open_with_id(&watch, "/latest", id);
	assert_true(watch_until(&watch, 2));
	assert_gap(&watch.events[1], "expired", "deleted.latest", 0, 5, 20);
	send_to("deleted.latest", 0, "", 20, 5);
	assert_texts(&watch, 2, "", 20, 5);
	watch_close(&watch);
	free(id);
}

static bool has_come_back(void *context)
{
	return sse_client_facts(((const struct watch *)context)->client).opens >= 2;
}

/* on_gap close ends the stream after the gap event; the client that comes back goes on where it
 * said. */
static void test_outage_deleted_records_are_a_gap_then_close(void **state)
{
	struct watch watch = {0};

	(void)state;
	char *id = expire("deleted.close", "/close");
	restart_gateway("deleted.close");
	open_with_id(&watch, "/close", id);
	assert_true(watch_until(&watch, 2));
	assert_gap(&watch.events[1], "expired", "deleted.close", 0, 5, 10);
	assert_true(sse_client_loop_until(loop, has_come_back, &watch, PATIENCE_MS));
	assert_true(gateway_process_metric(&gateway, "sluice_closes_total{reason=\"gap\"}") == 1);
	assert_true(watch_until(&watch, 3));
	assert_string_equal(watch.events[2].type, "connected");
	assert_texts(&watch, 3, "", 10, 10);
	watch_close(&watch);
	free(id);
}

static void make_anew(const char *topic, int32_t partitions)
{
	kafka_broker_delete_topic(&broker, topic);
	kafka_broker_create_topic(&broker, topic, partitions);
	renew_producer();
}

/* Its topic is made again with one partition while it is away: it has seen `partition` up to beyond
 * its end. */
static void check_beyond_end(const char *topic, int32_t partition)
{
	struct watch watch = {0}, later = {0};

	kafka_broker_create_topic(&broker, topic, 3);
	start_gateway(topic);
	open_with_id(&watch, "/all", NULL);
	send_to(topic, partition, "old ", 0, 20);
	assert_texts(&watch, 1, "old ", 0, 20);
	char *id = last_id(&watch);
	watch_close(&watch);
	gateway_process_kill(&gateway);
	make_anew(topic, 1);
	send_to(topic, 0, "new ", 0, 5);
	start_gateway(topic);
	open_with_id(&later, "/all", id);
	assert_true(watch_until(&later, 2));
	assert_gap(&later.events[1], "beyond_end", topic, partition, 20, 0);
	assert_texts(&later, 2, "new ", 0, 5);
	send_to(topic, 0, "new ", 5, 5);
	assert_texts(&later, 7, "new ", 5, 5);
	watch_close(&later);
	free(id);
}

/* An id beyond the end of a topic that was deleted and made again is a gap, also where the new one
 * has fewer partitions. */
static void test_outage_id_beyond_the_end_is_a_gap(void **state)
{
	(void)state;
	check_beyond_end("anew", 0);
}

/* An id with events of partitions that are no more gets its gap event too, and nobody waits for
 * them. */
static void test_outage_id_with_partitions_that_are_gone_is_a_gap(void **state)
{
	(void)state;
	check_beyond_end("fewer", 2);
}

/* Those who are connected when their topic is made anew are told, and then get all of the new one.
 */
static void test_outage_topic_made_anew_under_subscribers_is_a_gap(void **state)
{
	struct watch watch = {0}, returning = {0};

	(void)state;
	kafka_broker_create_topic(&broker, "remade", 1);
	start_gateway("remade");
	open_with_id(&watch, "/all", NULL);
	send_to("remade", 0, "old ", 0, 20);
	assert_texts(&watch, 1, "old ", 0, 20);
	char *id = last_id(&watch);
	make_anew("remade", 1);
	send_to("remade", 0, "new ", 0, 5);
	assert_true(watch_until(&watch, 22));
	assert_gap(&watch.events[21], "reset", "remade", 0, 20, 0);
	assert_texts(&watch, 22, "new ", 0, 5);
	open_with_id(&returning, "/all", id);
	assert_true(watch_until(&returning, 2));
	assert_string_equal(returning.events[1].type, "gap");
	assert_texts(&returning, 2, "new ", 0, 5);
	send_to("remade", 0, "new ", 5, 5);
	assert_texts(&watch, 27, "new ", 5, 5);
	assert_texts(&returning, 7, "new ", 5, 5);
	watch_close(&watch);
	watch_close(&returning);
	free(id);
}

static void send_transaction(struct kafka_producer *transactions, const char *prefix, bool commits)
{
	char value[64];

	kafka_producer_begin(transactions);
	for (int i = 0; i < 10; i++) {
		snprintf(value, sizeof(value), "%s %d", prefix, i);
		kafka_producer_send(transactions,
				    &(struct kafka_message){.topic = "transactions",
							    .partition = 0,
							    .value = slice_of(value)});
	}
	kafka_producer_flush(transactions);
	if (commits)
		kafka_producer_commit(transactions);
	else
		kafka_producer_abort(transactions);
}

/* Committed records come once, aborted ones never: live, from the window, and from Kafka, over
 * reconnects at any place. */
static void test_outage_transactions_deliver_what_is_committed(void **state)
{
	struct watch live = {0}, returning = {0}, later = {0};
	struct kafka_producer *transactions = kafka_producer_new(broker.bootstrap, "outage");

	(void)state;
	kafka_broker_create_topic(&broker, "transactions", 1);
	start_gateway("transactions");
	open_with_id(&live, "/all", NULL);
	send_transaction(transactions, "first", true);
	assert_texts(&live, 1, "first ", 0, 10);
	char *id = strdup(live.events[5].id);
	send_transaction(transactions, "aborted", false);
	send_transaction(transactions, "second", true);
	assert_texts(&live, 11, "second ", 0, 10);
	open_with_id(&returning, "/all", id);
	assert_texts(&returning, 1, "first ", 5, 5);
	assert_texts(&returning, 6, "second ", 0, 10);
	restart_gateway("transactions");
	send_transaction(transactions, "aborted", false);
	open_with_id(&later, "/all", id);
	assert_texts(&later, 1, "first ", 5, 5);
	assert_texts(&later, 6, "second ", 0, 10);
	send_transaction(transactions, "third", true);
	assert_texts(&later, 16, "third ", 0, 10);
	assert_reconnected_once(&live, 21);
	assert_reconnected_once(&returning, 16);
	assert_texts(&live, 22, "third ", 0, 10);
	assert_texts(&returning, 17, "third ", 0, 10);
	watch_close(&live);
	watch_close(&returning);
	watch_close(&later);
	kafka_producer_free(transactions);
	free(id);
}

static int start(void **state)
{
	(void)state;
	kafka_broker_start(&broker);
	setenv("OUTAGE_KAFKA", broker.bootstrap, 1);
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

static int make_gateway(void **state)
{
	(void)state;
	child_export_port("OUTAGE_PORT");
	gateway_process_init(&gateway);
	gateway_process_configure(&gateway, config);
	return 0;
}

static int end_gateway(void **state)
{
	(void)state;
	gateway_process_stop(&gateway);
	gateway_process_fini(&gateway);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_gateway, end_gateway)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_outage_kafka_killed_loses_and_repeats_nothing),
	    TEST(test_outage_gateway_started_without_kafka_waits),
	    TEST(test_outage_topic_that_appears_is_read_from_its_beginning),
	    TEST(test_outage_partitions_added_are_read_from_their_beginning),
	    TEST(test_outage_deleted_records_in_the_window_are_served),
	    TEST(test_outage_deleted_records_are_a_gap_then_earliest),
	    TEST(test_outage_deleted_records_are_a_gap_then_latest),
	    TEST(test_outage_deleted_records_are_a_gap_then_close),
	    TEST(test_outage_id_beyond_the_end_is_a_gap),
	    TEST(test_outage_id_with_partitions_that_are_gone_is_a_gap),
	    TEST(test_outage_topic_made_anew_under_subscribers_is_a_gap),
	    TEST(test_outage_transactions_deliver_what_is_committed),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
