/* The journal on a real Kafka and a real PostgreSQL: whatever is killed, stopped, paused or full,
 * each event that passes a stream's filter is there once, without a hole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "lib/gateway_process.h"
#include "lib/http_client.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/postgres_server.h"
#include "lib/watch.h"

enum {
	PARTITIONS = 4,
	GATEWAYS = 2,
	USERS = 7,
	KINDS = 3,
	PATIENCE_MS = 90000, /* for tests that fail */
	TURN_MS = 20,
};

/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [{ "address": "127.0.0.1", "port": 0 }],
	"http": { "loops": 1 },
	"kafka": { "bootstrap.servers": "${JOURNAL_KAFKA}", "fetch.wait.max.ms": 10,
		"topic.metadata.refresh.interval.ms": 500, "reconnect.backoff.max.ms": 500,
		"session.timeout.ms": 6000, "heartbeat.interval.ms": 300 },
	"ingest": { "warm": "0s" },
	"postgres": { "url": "${JOURNAL_POSTGRES}", "migrate": true },
	"journal": { "group": "${JOURNAL_TOPIC}", "batch": 700, "linger": "10ms" },
	"streams": {
		"all": { "path": "/all", "topics": ["${JOURNAL_TOPIC}"], "access": "public",
			"journal": { "retain": "24h" } },
		"user": { "path": "/users/{user}", "topics": ["${JOURNAL_TOPIC}"],
			"access": "public", "filter": { "value": { "user": ["{path.user}"] } },
			"journal": { "retain": "1h" } },
		"kind": { "path": "/kind", "topics": ["${JOURNAL_TOPIC}"], "access": "public",
			"filter": { "value": { "kind": ["0"] } }, "event": { "id": "/value/id" },
			"journal": { "retain": "1h" } }
	}
}
);

/* One stream less. */
static const char config_before[] = JSON(
{
	"listeners": [{ "address": "127.0.0.1", "port": 0 }],
	"http": { "loops": 1 },
	"kafka": { "bootstrap.servers": "${JOURNAL_KAFKA}", "fetch.wait.max.ms": 10,
		"session.timeout.ms": 6000, "heartbeat.interval.ms": 300 },
	"ingest": { "warm": "0s" },
	"postgres": { "url": "${JOURNAL_POSTGRES}", "migrate": true },
	"journal": { "group": "${JOURNAL_TOPIC}" },
	"streams": {
		"all": { "path": "/all", "topics": ["${JOURNAL_TOPIC}"], "access": "public",
			"journal": { "retain": "24h" } }
	}
}
);
/* clang-format on */

static struct kafka_broker broker;
static struct kafka_producer *producer;
static char folder[CHILD_PATH_BYTES];
static struct postgres_server postgres;
static struct gateway_process gateways[GATEWAYS];
static struct sse_client_loop *loop;
static char topic[64];
static int sent; /* on the test's topic */

static long long ask(const char *sql)
{
	return postgres_server_ask(&postgres, sql);
}

static void remove_all(void)
{
	postgres_server_execute(&postgres,
				"set client_min_messages = warning; drop schema public cascade;"
				" create schema public");
}

/* Records `sent` … `sent + count - 1`: partition, user, kind and id follow from the number. */
static void send_events(int count)
{
	char value[128];

	for (int i = 0; i < count; i++, sent++) {
		snprintf(value, sizeof(value),
			 "{\"n\":%d,\"user\":\"u%d\",\"kind\":\"%d\",\"id\":\"id-%d\"}", sent,
			 sent % USERS, sent % KINDS, sent);
		kafka_producer_send(producer,
				    &(struct kafka_message){.topic = topic,
							    .partition = sent % PARTITIONS,
							    .value = slice_of(value)});
	}
	kafka_producer_flush(producer);
}

/* In `steps` steps, with a moment in between. */
static void send_slowly(int count, int steps)
{
	for (int i = 0; i < steps; i++) {
		send_events(count / steps);
		child_sleep_ms(TURN_MS);
	}
}

static void wait_until(const char *statement, long long expected)
{
	uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;
	long long got;

	while ((got = ask(statement)) != expected) {
		if (clock_monotonic_ms() > deadline_ms)
			fail_msg("%s: %lld, expected %lld", statement, got, expected);
		child_sleep_ms(TURN_MS);
	}
}

/* `stream` has `count` events, each once, in `[first, end)` of its partitions; its rows are of
 * offsets that are claimed. */
static void assert_exactly(const char *stream, int count)
{
	char statement[1024];
	char *found;

	snprintf(statement, sizeof(statement),
		 "with f as (select feed_id from journal_feed where stream = '%s'),"
		 " e as (select e.* from journal_event e join f using (feed_id))"
		 " select concat_ws(' ', (select count(*) from e),"
		 " (select count(distinct (topic, partition, \"offset\")) from e),"
		 " (select count(distinct convert_from(value, 'UTF8')::json->>'n') from e),"
		 " (select count(*) from e join journal_offset o using (feed_id, topic, partition)"
		 "  where e.\"offset\" >= o.first_offset and e.\"offset\" < o.next_offset))",
		 stream);
	found = postgres_server_query(&postgres, statement);
	char expected[128];
	snprintf(expected, sizeof(expected), "%d %d %d %d", count, count, count, count);
	if (!found || strcmp(found, expected) != 0)
		fail_msg("%s: rows, offsets, events, claimed: %s, expected %s", stream,
			 found ? found : "nothing", expected);
	free(found);
}

/* All that was sent is journaled for all streams, each once. */
static void assert_complete(void)
{
	wait_until("select min(n) from (select sum(next_offset) as n from journal_offset"
		   " group by feed_id) s having count(*) = 3",
		   sent);
	assert_int_equal(ask("select sum(first_offset) from journal_offset"), 0);
	assert_exactly("all", sent);
	assert_exactly("user", sent);
	assert_exactly("kind", (sent + KINDS - 1) / KINDS);
	assert_int_equal(ask("select count(*) from journal_event where event_id is not null"),
			 (sent + KINDS - 1) / KINDS);
	assert_int_equal(ask("select count(distinct route) from journal_event e"
			     " join journal_feed f using (feed_id) where f.stream = 'user'"),
			 sent < USERS ? sent : USERS);
}

static void start_gateways(int count)
{
	for (int i = 0; i < count; i++)
		gateway_process_start(&gateways[i]);
	for (int i = 0; i < count; i++)
		gateway_process_wait_ready(&gateways[i], PATIENCE_MS);
}

/* The partitions that a gateway says it writes. */
static int count_partitions(struct gateway_process *gateway)
{
	char url[128];
	struct http_client_answer answer;
	const char *found;
	int count = -1;

	snprintf(url, sizeof(url), "%s/readyz", gateway->url);
	http_client_get(url, &answer);
	found = answer.status ? strstr(buffer_text(&answer.body), "\"partitions\":") : NULL;
	found = found ? strstr(buffer_text(&answer.body), "\"journal\":") : NULL;
	if (found)
		sscanf(strstr(found, "\"partitions\":"), "\"partitions\":%d", &count);
	http_client_answer_fini(&answer);
	return count;
}

static void wait_for_partitions(struct gateway_process *gateway, int expected)
{
	uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;

	while (count_partitions(gateway) != expected) {
		assert_true(clock_monotonic_ms() < deadline_ms);
		child_sleep_ms(TURN_MS);
	}
}

/* /readyz says that the gateway is ready and holds the text. */
static void wait_ready_with(struct gateway_process *gateway, const char *text)
{
	uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;
	char url[128];
	bool found = false;

	snprintf(url, sizeof(url), "%s/readyz", gateway->url);
	while (!found) {
		struct http_client_answer answer;

		http_client_get(url, &answer);
		assert_int_equal(answer.status, 200);
		found = strstr(buffer_text(&answer.body), text);
		if (clock_monotonic_ms() > deadline_ms)
			fail_msg("no %s in %s", text, buffer_text(&answer.body));
		http_client_answer_fini(&answer);
		child_sleep_ms(TURN_MS);
	}
}

static void wait_for_metric(struct gateway_process *gateway, const char *series, double expected)
{
	uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;

	while (gateway_process_metric(gateway, series) != expected) {
		assert_true(clock_monotonic_ms() < deadline_ms);
		child_sleep_ms(TURN_MS);
	}
}

/* Two gateways share the partitions, and all is written once; the lag goes to nothing. */
static void test_journal_two_gateways_share_the_writing(void **state)
{
	(void)state;
	start_gateways(2);
	wait_for_partitions(&gateways[0], PARTITIONS / 2);
	wait_for_partitions(&gateways[1], PARTITIONS / 2);
	send_slowly(20000, 20);
	assert_complete();
	for (int i = 0; i < 2; i++) {
		char lag[128];

		snprintf(lag, sizeof(lag), "sluice_journal_lag_records{topic=\"%s\"}", topic);
		assert_true(gateway_process_metric(&gateways[i], "sluice_journal_rows_total") > 0);
		wait_ready_with(&gateways[i], "\"journal\":{\"ok\":true");
		wait_for_metric(&gateways[i], lag, 0);
		wait_for_metric(&gateways[i], "sluice_journal_ok", 1);
	}
	/* What is stopped in good order leaves its partitions at once. */
	send_events(500);
	assert_int_equal(gateway_process_stop(&gateways[1]), 0);
	wait_for_partitions(&gateways[0], PARTITIONS);
	send_events(500);
	assert_complete();
}

/* A gateway that is killed in the middle, again and again, leaves nothing out and nothing twice. */
static void test_journal_gateway_killed(void **state)
{
	(void)state;
	start_gateways(2);
	wait_for_partitions(&gateways[0], PARTITIONS / 2);
	for (int i = 0; i < 3; i++) {
		send_slowly(4000, 10);
		gateway_process_kill(&gateways[i % 2]);
		send_slowly(2000, 5);
		gateway_process_start(&gateways[i % 2]);
	}
	assert_complete();
}

/* PostgreSQL is killed in the middle: what it forgets with what it had not put on its disk yet is
 * written again. */
static void test_journal_postgres_killed(void **state)
{
	(void)state;
	start_gateways(2);
	wait_for_partitions(&gateways[1], PARTITIONS / 2);
	for (int i = 0; i < 4; i++) {
		send_slowly(4000, 10);
		private_postgres_kill(postgres.cluster);
		send_slowly(2000, 5);
		postgres_server_restart(&postgres);
	}
	assert_complete();
}

/* A gateway that stands still over a rebalance, with a batch on its way, writes nothing of it when
 * it goes on. */
static void test_journal_zombie_writes_nothing(void **state)
{
	(void)state;
	start_gateways(2);
	wait_for_partitions(&gateways[0], PARTITIONS / 2);
	send_events(2000);
	assert_complete();
	private_postgres_pause(postgres.cluster);
	send_slowly(3000, 10);
	child_sleep_ms(1000);
	kill(gateways[0].child.pid, SIGSTOP);
	private_postgres_resume(postgres.cluster);
	send_slowly(3000, 10);
	assert_complete();
	wait_for_partitions(&gateways[1], PARTITIONS);
	kill(gateways[0].child.pid, SIGCONT);
	wait_for_partitions(&gateways[0], PARTITIONS / 2);
	send_slowly(3000, 10);
	assert_complete();
	assert_true(gateway_process_metric(
			&gateways[0], "sluice_journal_batches_total{result=\"conflict\"}") >= 1);
}

static void assert_live(struct watch *watch, size_t from, int first, int count)
{
	assert_true(watch_until(watch, from + (size_t)count));
	for (int i = 0; i < count; i++) {
		char expected[32];

		snprintf(expected, sizeof(expected), "{\"n\":%d,", first + i);
		assert_memory_equal(watch->events[from + (size_t)i].data, expected,
				    strlen(expected));
	}
}

/* While PostgreSQL is away live events go on, the gateway is ready and says what is the matter;
 * afterwards the journal catches up. One that is started meanwhile does the same. */
static void test_journal_postgres_stopped_for_a_while(void **state)
{
	struct watch watch = {0};

	(void)state;
	start_gateways(1);
	send_events(1000);
	assert_complete();
	assert_true(watch_open_connected(&watch, loop, gateways[0].url, "/all", NULL));
	private_postgres_stop(postgres.cluster);
	for (int i = 0; i < 40; i++) {
		send_events(1);
		assert_live(&watch, 1 + (size_t)i, 1000 + i, 1);
	}
	send_events(5000);
	wait_ready_with(&gateways[0], "\"journal\":{\"ok\":false");
	wait_for_metric(&gateways[0], "sluice_journal_ok", 0);
	gateway_process_start_ready(&gateways[1]);
	wait_ready_with(&gateways[1], "\"journal\":{\"ok\":false");
	postgres_server_restart(&postgres);
	assert_complete();
	wait_ready_with(&gateways[0], "\"journal\":{\"ok\":true");
	assert_int_equal(gateway_process_count_log(&gateways[0], "the journal is not written"), 1);
	assert_int_equal(gateway_process_count_log(&gateways[0], "the journal is written again"),
			 1);
	watch_close(&watch);
}

static void give_to_server(const char *path)
{
	const struct passwd *server = getpwnam("postgres");

	if (geteuid() == 0 && server && chown(path, server->pw_uid, server->pw_gid))
		child_die("%s: %s", path, strerror(errno));
}

static char small[CHILD_PATH_BYTES + 8]; /* a small file system of memory; "": none */

/* False where nobody may mount one. */
static bool mount_small(void)
{
	char statement[2 * CHILD_PATH_BYTES];

	snprintf(small, sizeof(small), "%s/small", folder);
	if (mkdir(small, 0755) || mount("small", small, "tmpfs", 0, "size=24m")) {
		rmdir(small);
		*small = '\0';
		return false;
	}
	give_to_server(small);
	snprintf(statement, sizeof(statement), "create tablespace small location '%s'", small);
	postgres_server_execute(&postgres, statement);
	postgres_server_execute(&postgres, "alter role sluice set default_tablespace = small");
	return true;
}

static void unmount_small(void)
{
	postgres_server_execute(&postgres, "alter role sluice reset default_tablespace");
	remove_all();
	postgres_server_execute(&postgres, "drop tablespace small");
	if (umount(small))
		child_die("%s: %s", small, strerror(errno));
	rmdir(small);
	*small = '\0';
}

static void name_ballast(char path[sizeof(small) + 16])
{
	snprintf(path, sizeof(small) + 16, "%s/ballast", small);
}

/* Takes all but `left` bytes of what is free. */
static void fill_up(uint64_t left)
{
	char path[sizeof(small) + 16];
	struct statvfs room;
	int file;

	name_ballast(path);
	file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (file < 0 || statvfs(small, &room) ||
	    posix_fallocate(file, 0, (off_t)(room.f_bavail * room.f_frsize - left)))
		child_die("%s cannot be filled", small);
	close(file);
}

static void make_room(void)
{
	char path[sizeof(small) + 16];

	name_ballast(path);
	assert_int_equal(unlink(path), 0);
}

/* While PostgreSQL's disk is full that is said, and live events go on; when there is room again
 * all is written, without help. */
static void test_journal_disk_full(void **state)
{
	struct watch watch = {0};

	(void)state;
	if (!mount_small())
		skip();
	start_gateways(1);
	assert_true(watch_open_connected(&watch, loop, gateways[0].url, "/all", NULL));
	send_events(100);
	assert_complete();
	fill_up(256 << 10);
	send_events(10000);
	wait_ready_with(&gateways[0], "No space left on device");
	assert_true(watch_until(&watch, 1 + 10100));
	make_room();
	assert_complete();
	wait_ready_with(&gateways[0], "\"journal\":{\"ok\":true");
	watch_close(&watch);
}

/* A stream that is journaled later gets what Kafka has, as far as it retains; those that were
 * journaled before get nothing twice. */
static void test_journal_stream_that_is_added_is_filled(void **state)
{
	(void)state;
	gateway_process_configure(&gateways[0], config_before);
	start_gateways(1);
	send_events(3000);
	wait_until("select sum(next_offset) from journal_offset", 3000);
	assert_int_equal(gateway_process_stop(&gateways[0]), 0);
	gateway_process_configure(&gateways[0], config);
	start_gateways(1);
	send_events(1000);
	assert_complete();
}

/* What Kafka has deleted before it was journaled is not claimed: the journal begins after it. */
static void test_journal_kafka_was_faster(void **state)
{
	(void)state;
	start_gateways(1);
	send_events(400);
	assert_complete();
	assert_int_equal(gateway_process_stop(&gateways[0]), 0);
	send_events(400);
	for (int i = 0; i < PARTITIONS; i++)
		kafka_broker_delete_records(&broker, topic, i, 150);
	start_gateways(1);
	wait_until("select sum(next_offset) from journal_offset", 3 * sent);
	assert_int_equal(ask("select count(*) from journal_offset where first_offset = 150"),
			 3 * PARTITIONS);
	assert_int_equal(ask("select count(*) from journal_event e join journal_feed f"
			     " using (feed_id) where f.stream = 'all' and \"offset\" >= 150"),
			 200);
	assert_int_equal(ask("select count(distinct (partition, \"offset\")) from journal_event e"
			     " join journal_feed f using (feed_id) where f.stream = 'all'"),
			 600);
}

static void make_topic_anew(void)
{
	kafka_broker_delete_topic(&broker, topic);
	kafka_broker_create_topic(&broker, topic, PARTITIONS);
	kafka_producer_free(producer);
	producer = kafka_producer_new(broker.bootstrap, NULL);
	sent = 0;
}

/* Of a topic that was deleted and made again the old events are removed, and the new ones are there
 * once; also where the new one has become longer than the old one was. */
static void test_journal_topic_made_anew(void **state)
{
	static const int lengths[] = {40, 3000};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		start_gateways(1);
		send_events(2000);
		assert_complete();
		assert_int_equal(gateway_process_stop(&gateways[0]), 0);
		make_topic_anew();
		send_events(lengths[i]);
		start_gateways(1);
		assert_complete();
		assert_int_equal(gateway_process_stop(&gateways[0]), 0);
	}
}

static long long sum_of_ends(void)
{
	long long sum = 0;
	int64_t low, high;

	for (int i = 0; i < PARTITIONS; i++) {
		kafka_broker_offsets(&broker, topic, i, &low, &high);
		sum += high;
	}
	return sum;
}

/* Aborted transactions and their marks leave no row and no hole. */
static void test_journal_transactions(void **state)
{
	struct kafka_producer *transactions = kafka_producer_new(broker.bootstrap, topic);
	uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;

	(void)state;
	start_gateways(1);
	for (int round = 0; round < 6; round++) {
		kafka_producer_begin(transactions);
		for (int i = 0; i < 10; i++)
			kafka_producer_send(
			    transactions, &(struct kafka_message){.topic = topic,
								  .partition = i % PARTITIONS,
								  .value = SLICE_LIT("{\"n\":1}")});
		kafka_producer_flush(transactions);
		if (round % 2)
			kafka_producer_abort(transactions);
		else
			kafka_producer_commit(transactions);
	}
	/* The broker writes the last marks after it has answered. */
	while (ask("select sum(next_offset) from journal_offset") != 3 * sum_of_ends()) {
		assert_true(clock_monotonic_ms() < deadline_ms);
		child_sleep_ms(TURN_MS);
	}
	assert_int_equal(ask("select count(*) from journal_event e join journal_feed f"
			     " using (feed_id) where f.stream = 'all'"),
			 30);
	kafka_producer_free(transactions);
}

static int start(void **state)
{
	(void)state;
	child_make_folder(folder);
	chmod(folder, 0755);
	postgres_server_start(&postgres);
	setenv("JOURNAL_POSTGRES", postgres.url, 1);
	kafka_broker_start(&broker);
	setenv("JOURNAL_KAFKA", broker.bootstrap, 1);
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
	postgres_server_fini(&postgres);
	child_remove_folder(folder);
	return 0;
}

static int set_up(void **state)
{
	static int number;

	(void)state;
	snprintf(topic, sizeof(topic), "journal.%d", number++);
	setenv("JOURNAL_TOPIC", topic, 1);
	kafka_broker_create_topic(&broker, topic, PARTITIONS);
	sent = 0;
	remove_all();
	for (int i = 0; i < GATEWAYS; i++) {
		gateway_process_init(&gateways[i]);
		gateway_process_configure(&gateways[i], config);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < GATEWAYS; i++)
		gateway_process_fini(&gateways[i]);
	if (*small)
		unmount_small();
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_journal_two_gateways_share_the_writing),
	    TEST(test_journal_gateway_killed),
	    TEST(test_journal_postgres_killed),
	    TEST(test_journal_zombie_writes_nothing),
	    TEST(test_journal_postgres_stopped_for_a_while),
	    TEST(test_journal_disk_full),
	    TEST(test_journal_stream_that_is_added_is_filled),
	    TEST(test_journal_kafka_was_faster),
	    TEST(test_journal_topic_made_anew),
	    TEST(test_journal_transactions),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
