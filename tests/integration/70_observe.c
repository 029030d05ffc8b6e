/* What an operator sees: /healthz, /readyz, /metrics and the log, through a topic that comes later
 * and a Kafka that goes and comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "lib/gateway_process.h"
#include "lib/http_client.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/loop.h"
#include "lib/watch.h"

/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [
		{ "address": "127.0.0.1", "port": "${OBSERVE_PORT}" },
		{ "address": "127.0.0.1", "port": 0, "serve": ["streams"] }
	],
	"http": { "loops": 2, "drain": "1s" },
	"kafka": { "bootstrap.servers": "${OBSERVE_KAFKA}", "fetch.wait.max.ms": 10, "reconnect.backoff.max.ms": 500 },
	"streams": {
		"events": { "path": "/events", "topics": ["events"], "access": "public" },
		"later": { "path": "/later", "topics": ["later"], "access": "public" },
		"small": { "path": "/small", "topics": ["small"], "access": "public", "window": "64KiB", "max_event": "16KiB" },
		"closing": { "path": "/closing", "topics": ["small"], "access": "public", "window": "64KiB", "max_event": "16KiB", "on_gap": "close" },
		"topics": { "path": "/topics/{topic}", "topics": ["{path.topic}"], "allow_topics": ["observe.*"], "access": "public" }
	}
}
);
/* clang-format on */

enum { PATIENCE_MS = 30000, POLL_MS = 10, SMALL_RECORDS = 40, SMALL_BYTES = 4000, DELETED = 20 };

static const char promtool[] = "build/tools/usr/bin/promtool";

static struct kafka_broker broker;
static struct gateway_process gateway;
static struct kafka_producer *producer;

static int start(void **state)
{
	(void)state;
	if (access(promtool, X_OK))
		child_die("%s is missing: `tests/deps.sh test` unpacks it", promtool);
	kafka_broker_start(&broker);
	kafka_broker_create_topic(&broker, "events", 1);
	kafka_broker_create_topic(&broker, "small", 1);
	producer = kafka_producer_new(broker.bootstrap, NULL);
	gateway_process_init(&gateway);
	child_export_port("OBSERVE_PORT");
	setenv("OBSERVE_KAFKA", broker.bootstrap, 1);
	gateway_process_configure(&gateway, config);
	gateway_process_start_ready(&gateway);
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

static void produce(const char *topic, const char *value)
{
	kafka_producer_send_text(producer, topic, NULL, value);
	kafka_producer_flush(producer);
}

static long get(const char *path, struct http_client_answer *answer)
{
	char url[128];

	snprintf(url, sizeof(url), "%s%s", gateway.url, path);
	http_client_get(url, answer);
	return answer->status;
}

/* One topic of /readyz; the caller's. `status` may be NULL. */
static json_t *readiness_of(const char *topic, long *status)
{
	struct http_client_answer answer;
	json_t *ready, *entry, *found = NULL;
	size_t i;

	get("/readyz", &answer);
	if (status)
		*status = answer.status;
	ready = json_loads(answer.body.base, 0, NULL);
	assert_non_null(ready);
	assert_int_equal(json_is_true(json_object_get(ready, "ready")), answer.status == 200);
	json_array_foreach(json_object_get(ready, "topics"), i, entry)
	{
		if (strcmp(json_string_value(json_object_get(entry, "topic")), topic) == 0)
			found = json_incref(entry);
	}
	json_decref(ready);
	http_client_answer_fini(&answer);
	return found;
}

/* Waits until the topic's problem holds the text; NULL: until there is none. */
static void wait_for_problem(const char *topic, const char *wanted)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;

	for (;;) {
		json_t *entry = readiness_of(topic, NULL);
		const char *problem = json_string_value(json_object_get(entry, "problem"));
		bool holds = wanted ? problem && strstr(problem, wanted) : entry && !problem;

		if (!holds && clock_monotonic_ms() > deadline)
			fail_msg("%s: wanted \"%s\", but the problem is \"%s\"", topic,
				 wanted ? wanted : "", problem ? problem : "");
		json_decref(entry);
		if (holds)
			return;
		child_sleep_ms(POLL_MS);
	}
}

static double metric(const char *series)
{
	double value = gateway_process_metric(&gateway, series);

	if (value < 0)
		fail_msg("there is no %s", series);
	return value;
}

/* A counter may move a moment after the client has what it counts. */
static void wait_for_metric(const char *series, double wanted)
{
	uint64_t deadline = clock_monotonic_ms() + PATIENCE_MS;
	double value = metric(series);

	while (value < wanted && clock_monotonic_ms() < deadline) {
		child_sleep_ms(POLL_MS);
		value = metric(series);
	}
	if (value < wanted || value > wanted)
		fail_msg("%s: wanted %g, but it is %g", series, wanted, value);
}

static void open_connected(struct watch *watch, const char *path, const char *last_event_id)
{
	const struct sse_client_options options = {.last_event_id = last_event_id};

	assert_true(watch_open_connected(watch, loop, gateway.url, path, &options));
}

/* The operator's paths are answered where `serve` says so, and there alone. */
static void test_observe_admin_paths_are_on_their_listener_alone(void **state)
{
	static const char *const paths[] = {"/healthz", "/readyz", "/metrics", "/",
					    "/streams.json"};
	struct http_client_answer answer;
	char url[128];

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		print_message("%s\n", paths[i]);
		assert_int_equal(get(paths[i], &answer), 200);
		assert_true(answer.body.len > 0);
		http_client_answer_fini(&answer);
		snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", gateway.ports[1], paths[i]);
		http_client_get(url, &answer);
		assert_int_equal(answer.status, 404);
		http_client_answer_fini(&answer);
	}
}

/* A topic that does not exist is named, and holds nothing up; once it is made it is read. */
static void test_observe_readyz_names_a_missing_topic_until_it_is_made(void **state)
{
	struct watch watch = {0};
	json_t *entry;
	long status;

	(void)state;
	wait_for_problem("later", "the topic does not exist");
	entry = readiness_of("events", &status);
	assert_int_equal(status, 200);
	assert_null(json_object_get(entry, "problem"));
	assert_int_equal(json_integer_value(json_object_get(entry, "partitions")), 1);
	json_decref(entry);
	open_connected(&watch, "/later", NULL);
	kafka_broker_create_topic(&broker, "later", 2);
	wait_for_problem("later", NULL);
	produce("later", "first");
	assert_true(watch_until(&watch, 2));
	entry = readiness_of("later", NULL);
	assert_true(json_is_true(json_object_get(entry, "caught_up")));
	assert_int_equal(json_integer_value(json_object_get(entry, "partitions")), 2);
	json_decref(entry);
	watch_close(&watch);
}

/* Each counter moves by what happened. */
static void test_observe_counters_count(void **state)
{
	static const char *const counters[] = {
	    "sluice_records_total",
	    "sluice_deliveries_total",
	    "sluice_subscriptions_total",
	    "sluice_delivery_latency_seconds_count",
	    "sluice_delivery_latency_seconds_bucket{le=\"+Inf\"}",
	    "sluice_closes_total{reason=\"client\"}",
	    "sluice_http_responses_total{class=\"4xx\"}",
	};
	static const double moves[] = {3, 6, 2, 6, 6, 2, 1};
	enum { COUNT = sizeof(counters) / sizeof(counters[0]) };
	static const char subscribers[] = "sluice_subscribers{stream=\"events\"}";
	struct http_client_answer answer;
	struct watch one = {0}, other = {0};
	double before[COUNT], bytes = metric("sluice_delivered_bytes_total");

	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		before[i] = metric(counters[i]);
	open_connected(&one, "/events", NULL);
	open_connected(&other, "/events", NULL);
	wait_for_metric(subscribers, 2);
	for (int i = 0; i < 3; i++)
		produce("events", "x");
	assert_true(watch_until(&one, 4) && watch_until(&other, 4));
	get("/nope", &answer);
	http_client_answer_fini(&answer);
	watch_close(&one);
	watch_close(&other);
	for (size_t i = 0; i < COUNT; i++)
		wait_for_metric(counters[i], before[i] + moves[i]);
	wait_for_metric(subscribers, 0);
	assert_true(metric("sluice_delivered_bytes_total") > bytes);
	assert_true(metric("sluice_window_events{stream=\"events\"}") >= 3);
	assert_true(metric("sluice_window_bytes{stream=\"events\"}") > 0);
	assert_true(metric("sluice_delivery_latency_seconds_sum") > 0);
	assert_true(metric("sluice_kafka_lag_records{topic=\"events\"}") <= 0);
	assert_true(metric("sluice_kafka_caught_up{topic=\"events\"}") > 0);
}

static void fill_small(void)
{
	char value[SMALL_BYTES + 1];

	memset(value, 'x', SMALL_BYTES);
	value[SMALL_BYTES] = '\0';
	for (int i = 0; i < SMALL_RECORDS; i++)
		kafka_producer_send_text(producer, "small", NULL, value);
	kafka_producer_flush(producer);
}

/* A replay counts for its source: the window where it still holds the position, Kafka where it does
 * not; a gap that was told counts, too. */
static void test_observe_replays_and_gaps_count(void **state)
{
	static const char gap[] = "{\"reason\":\"expired\",\"missed\":[{\"topic\":\"small\","
				  "\"partition\":0,\"from\":1,\"to\":20}]}";
	double window = metric("sluice_replays_total{source=\"window\"}");
	double kafka = metric("sluice_replays_total{source=\"kafka\"}");
	double replayed = metric("sluice_replayed_events_total"),
	       gaps = metric("sluice_gaps_total");
	double closes = metric("sluice_closes_total{reason=\"gap\"}");
	struct watch watch = {0}, again = {0};
	char *id, *closing_id;

	(void)state;
	open_connected(&watch, "/closing", NULL);
	closing_id = mem_strdup(watch.events[0].id);
	watch_close(&watch);
	open_connected(&watch, "/small", NULL);
	produce("small", "0");
	produce("small", "1");
	assert_true(watch_until(&watch, 3));
	id = mem_strdup(watch.events[1].id);
	open_connected(&again, "/small", id);
	assert_true(watch_until(&again, 2));
	wait_for_metric("sluice_replays_total{source=\"window\"}", window + 1);
	watch_close(&again);
	watch_close(&watch);

	fill_small();
	open_connected(&watch, "/small", id);
	assert_true(watch_until(&watch, 2 + SMALL_RECORDS));
	wait_for_metric("sluice_replays_total{source=\"kafka\"}", kafka + 1);
	assert_true(metric("sluice_replayed_events_total") > replayed);
	assert_true(metric("sluice_gaps_total") <= gaps);
	watch_close(&watch);

	kafka_broker_delete_records(&broker, "small", 0, DELETED);
	open_connected(&watch, "/small", id);
	assert_true(watch_until(&watch, 2 + 2 + SMALL_RECORDS - DELETED));
	assert_string_equal(watch.events[1].type, "gap");
	assert_string_equal(watch.events[1].data, gap);
	wait_for_metric("sluice_gaps_total", gaps + 1);
	watch_close(&watch);

	open_connected(&watch, "/closing", closing_id);
	wait_for_metric("sluice_closes_total{reason=\"gap\"}", closes + 1);
	watch_close(&watch);
	free(id);
	free(closing_id);
}

/* Runs `promtool check metrics`, which is silent where it finds nothing; what it says goes to
 * `said`, the caller's to free(). */
static int check_with_promtool(const char *file, char **said)
{
	struct child child;
	struct buffer command = {0};
	int status;

	buffer_append_format(&command, "%s check metrics <%s", promtool, file);
	const char *const argv[] = {"sh", "-c", buffer_text(&command), NULL};
	child_init(&child, "promtool");
	child_start(&child, argv);
	status = child_wait(&child, PATIENCE_MS);
	*said = child_read_file(child.log);
	buffer_free(&command);
	return status;
}

/* Prometheus' own tool finds nothing wrong with /metrics. */
static void test_observe_metrics_pass_promtool(void **state)
{
	static const char bad[] = "# TYPE x counter\nx{a=\"b} 1\n";
	char file[CHILD_PATH_BYTES + 16], *said;
	struct http_client_answer answer;
	struct watch topic = {0};

	(void)state;
	open_connected(&topic, "/topics/observe.x", NULL);
	wait_for_metric("sluice_subscribers{stream=\"topics\",topic=\"observe.x\"}", 1);
	assert_int_equal(get("/metrics", &answer), 200);
	assert_true(slice_equal(http_client_header(&answer, "content-type"),
				SLICE_LIT("text/plain; version=0.0.4; charset=utf-8")));
	snprintf(file, sizeof(file), "%s/metrics", gateway.folder);
	child_write_file(file, answer.body.base);
	assert_int_equal(check_with_promtool(file, &said), 0);
	assert_string_equal(said, "");
	free(said);
	/* The check can fail. */
	child_write_file(file, bad);
	assert_int_not_equal(check_with_promtool(file, &said), 0);
	free(said);
	http_client_answer_fini(&answer);
	watch_close(&topic);
}

/* While Kafka is away it is said why; streams stay open, and go on when it is back. */
static void test_observe_kafka_that_stops_and_comes_back_is_seen(void **state)
{
	struct watch watch = {0};
	long status;

	(void)state;
	open_connected(&watch, "/events", NULL);
	produce("events", "before");
	assert_true(watch_until(&watch, 2));
	kafka_broker_stop(&broker);
	wait_for_problem("events", "no broker is reachable");
	/* All topics were caught up with, and all replicas see the same: clients are better off
	 * here than nowhere. */
	json_decref(readiness_of("events", &status));
	assert_int_equal(status, 200);
	kafka_broker_restart(&broker);
	wait_for_problem("events", NULL);
	produce("events", "after");
	assert_true(watch_until(&watch, 3));
	assert_string_equal(watch.events[2].data, "after");
	assert_true(gateway_process_count_log(&gateway, "Kafka is reachable") > 0);
	watch_close(&watch);
}

/* A gateway that starts before Kafka lives, says that it is not ready and why, and becomes ready by
 * itself. */
static void test_observe_gateway_that_starts_before_kafka_is_not_ready(void **state)
{
	struct http_client_answer answer;
	json_t *entry;
	long status;

	(void)state;
	gateway_process_stop(&gateway);
	kafka_broker_stop(&broker);
	gateway_process_start(&gateway);
	assert_int_equal(get("/healthz", &answer), 200);
	http_client_answer_fini(&answer);
	wait_for_problem("events", "no broker is reachable");
	entry = readiness_of("events", &status);
	assert_int_equal(status, 503);
	assert_true(json_is_false(json_object_get(entry, "caught_up")));
	json_decref(entry);
	assert_true(metric("sluice_kafka_caught_up{topic=\"events\"}") <= 0);
	kafka_broker_restart(&broker);
	gateway_process_wait_ready(&gateway, PATIENCE_MS);
	wait_for_problem("events", NULL);
	assert_true(metric("sluice_kafka_caught_up{topic=\"events\"}") > 0);
}

/* The log is one JSON object a line, with a time, a level, a module and a message. Last: all that
 * the other tests made is read. */
static void test_observe_log_is_json_lines(void **state)
{
	char *log, *rest;
	size_t lines = 0;

	(void)state;
	gateway_process_stop(&gateway);
	log = child_read_file(gateway.child.log);
	for (char *line = strtok_r(log, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		const char *time, *level, *module, *message;
		json_t *entry = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

		if (json_unpack(entry, "{s:s, s:s, s:s, s:s}", "time", &time, "level", &level,
				"module", &module, "message", &message))
			fail_msg("%s", line);
		assert_int_equal(strlen(time), strlen("2026-01-01T00:00:00.000Z"));
		json_decref(entry);
		lines++;
	}
	assert_true(lines > 5);
	free(log);
}

static bool has_thread(const char *name)
{
	char path[300], line[64];
	struct dirent *entry;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/task", gateway.child.pid);
	DIR *tasks = opendir(path);
	assert_non_null(tasks);
	while (!found && (entry = readdir(tasks))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", gateway.child.pid,
			 entry->d_name);
		FILE *comm = fopen(path, "r");
		if (!comm)
			continue;
		if (fgets(line, sizeof(line), comm)) {
			line[strcspn(line, "\n")] = '\0';
			found = strcmp(line, name) == 0;
		}
		fclose(comm);
	}
	closedir(tasks);
	return found;
}

/* In `top -H` each of the gateway's own threads has a name. */
static void test_observe_threads_have_names(void **state)
{
	static const char *const names[] = {
	    "sluice",        "sluice-ingest",  "sluice-discover", "sluice-loop-0",
	    "sluice-loop-1", "sluice-replay0", "sluice-replay3",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!has_thread(names[i]))
			fail_msg("no thread %s", names[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOOP_TEST(test_observe_admin_paths_are_on_their_listener_alone),
	    LOOP_TEST(test_observe_threads_have_names),
	    LOOP_TEST(test_observe_readyz_names_a_missing_topic_until_it_is_made),
	    LOOP_TEST(test_observe_counters_count),
	    LOOP_TEST(test_observe_replays_and_gaps_count),
	    LOOP_TEST(test_observe_metrics_pass_promtool),
	    LOOP_TEST(test_observe_kafka_that_stops_and_comes_back_is_seen),
	    LOOP_TEST(test_observe_gateway_that_starts_before_kafka_is_not_ready),
	    LOOP_TEST(test_observe_log_is_json_lines),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
