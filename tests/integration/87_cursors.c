/* Cursors: where a subject stands, kept by the gateway: closed and opened again, moved between
 * replicas, killed, without PostgreSQL, and by the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "lib/credentials.h"
#include "lib/gateway_process.h"
#include "lib/http_client.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/loop.h"
#include "lib/postgres_server.h"
#include "lib/watch.h"

#define SECRET "0123456789abcdef0123456789abcdef"

enum { REPLICAS = 2, PATIENCE_MS = 30000, STEP_MS = 10 };

/* Heartbeats would move the ids. Saves by the clock are as rare as each test likes. */
/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [{ "address": "127.0.0.1", "port": 0 }],
	"http": { "loops": 2 },
	"kafka": { "bootstrap.servers": "${CURSORS_KAFKA}", "fetch.wait.max.ms": 10 },
	"postgres": { "url": "${CURSORS_POSTGRES}", "migrate": true },
	"cursors": { "save": "${CURSORS_SAVE}", "per_subject": 20 },
	"auth": { "issuers": [{ "algorithms": ["HS256"], "secret": "0123456789abcdef0123456789abcdef" }] },
	"streams": {
		"events": { "path": "/events", "topics": ["${CURSORS_TOPIC}"], "access": "public", "heartbeat": "1h" },
		"topic": { "path": "/topics/{topic}", "topics": ["{path.topic}"], "allow_topics": ["*"],
			"access": "public", "heartbeat": "1h" }
	}
}
);
/* clang-format on */

static struct kafka_broker broker;
static struct kafka_producer *producer;
static struct postgres_server postgres;
static struct gateway_process replicas[REPLICAS];

static void start_replica(int number, const char *save, const char *topic)
{
	setenv("CURSORS_SAVE", save, 1);
	setenv("CURSORS_TOPIC", topic, 1);
	gateway_process_start_ready(&replicas[number]);
}

static int start(void **state)
{
	(void)state;
	postgres_server_start(&postgres);
	kafka_broker_start(&broker);
	kafka_broker_create_topic(&broker, "events", 1);
	kafka_broker_create_topic(&broker, "others", 1);
	producer = kafka_producer_new(broker.bootstrap, NULL);
	setenv("CURSORS_KAFKA", broker.bootstrap, 1);
	setenv("CURSORS_POSTGRES", postgres.url, 1);
	for (int i = 0; i < REPLICAS; i++) {
		gateway_process_init(&replicas[i]);
		gateway_process_configure(&replicas[i], config);
		start_replica(i, "1h", "events");
	}
	return 0;
}

static int stop(void **state)
{
	(void)state;
	for (int i = 0; i < REPLICAS; i++)
		gateway_process_fini(&replicas[i]);
	kafka_producer_free(producer);
	kafka_broker_fini(&broker);
	postgres_server_fini(&postgres);
	return 0;
}

static void produce_to(const char *topic, int number)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", number);
	kafka_producer_send_text(producer, topic, NULL, text);
	kafka_producer_flush(producer);
}

static void produce(int number)
{
	produce_to("events", number);
}

/* Returns when the replicas have read all that was produced: who begins now gets nothing of it. */
static void settle(void)
{
	static int marker = -1;
	struct watch witnesses[REPLICAS] = {{0}};
	char text[16];

	for (int i = 0; i < REPLICAS; i++)
		assert_true(
		    watch_open_connected(&witnesses[i], loop, replicas[i].url, "/events", NULL));
	produce(--marker);
	snprintf(text, sizeof(text), "%d", marker);
	for (int i = 0; i < REPLICAS; i++) {
		size_t seen = 1;

		do
			assert_true(watch_until(&witnesses[i], seen + 1));
		while (strcmp(witnesses[i].events[seen++].data, text));
		watch_close(&witnesses[i]);
	}
}

static int open_loop(void **state)
{
	loop_open(state);
	settle();
	return 0;
}

/* "Authorization: Bearer …"; NULL subject: a token without one. */
static const char *bearer(const char *subject, struct buffer *field)
{
	char claims[256] = "{}";

	if (subject)
		snprintf(claims, sizeof(claims), "{\"sub\":\"%s\"}", subject);
	return credentials_bearer(SECRET, claims, field);
}

/* A client, and how many of its events were looked at. */
struct page {
	struct watch watch;
	size_t seen;
};

struct opening {
	int replica;
	const char *subject;
	enum sse_client_http http;
	const char *last_event_id;
};

static void open_at(struct page *page, const struct opening *opening, const char *path)
{
	struct buffer field = {0};
	const char *const fields[] = {bearer(opening->subject, &field)};
	const struct sse_client_options options = {
	    .http = opening->http,
	    .headers = fields,
	    .header_count = 1,
	    .own_connection = true,
	    .last_event_id = opening->last_event_id,
	    .retry_ms = 10,
	};

	*page = (struct page){.seen = 1};
	assert_true(watch_open_connected(&page->watch, loop, replicas[opening->replica].url, path,
					 &options));
	buffer_free(&field);
}

/* The next events are these numbers. */
static void expect(struct page *page, int first, int last)
{
	for (int number = first; number <= last; number++) {
		const struct watch_event *event;

		assert_true(watch_until(&page->watch, page->seen + 1));
		event = &page->watch.events[page->seen++];
		assert_string_equal(event->type, "message");
		assert_int_equal(atoi(event->data), number);
	}
}

static void close_page(struct page *page)
{
	watch_close(&page->watch);
}

static const char *last_id(const struct page *page)
{
	return page->watch.events[page->watch.count - 1].id;
}

/* The event id of a subject's cursor on a stream; "" where there is none. Static. */
static const char *stands_at(const char *subject, const char *stream, const char *name)
{
	static char id[1024];
	const char *const arguments[] = {"cursor", "list",   "--subject", subject, "--stream",
					 stream,   "--name", name,        NULL};
	int status;
	char *said = gateway_process_run(&replicas[0], arguments, &status);
	json_t *row = json_loads(said, JSON_DISABLE_EOF_CHECK, NULL);

	assert_int_equal(status, 0);
	snprintf(id, sizeof(id), "%s",
		 row ? json_string_value(json_object_get(row, "event_id")) : "");
	json_decref(row);
	free(said);
	return id;
}

static void await_saved(const char *subject, const char *name, const char *id)
{
	uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;

	while (strcmp(stands_at(subject, "events", name), id)) {
		if (clock_monotonic_ms() > deadline_ms)
			fail_msg("the cursor of %s is not saved", subject);
		sse_client_loop_run(loop, STEP_MS);
	}
}

/* Closes it, and returns when the gateway has saved where it was. */
static void close_and_await_saved(struct page *page, const char *subject, const char *name)
{
	char id[1024];

	snprintf(id, sizeof(id), "%s", last_id(page));
	close_page(page);
	await_saved(subject, name, id);
}

/* A page that is closed and opened again, here or at another replica, over both versions of HTTP,
 * goes on exactly where it was. */
static void test_cursors_closed_and_opened_again_go_on(void **state)
{
	const struct opening ways[] = {
	    {0, "ada", SSE_CLIENT_HTTP1, NULL},
	    {0, "ada", SSE_CLIENT_HTTP1, NULL},
	    {1, "ada", SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE, NULL},
	    {0, "ada", SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE, NULL},
	    {1, "ada", SSE_CLIENT_HTTP1, NULL},
	};
	struct page page;
	int number = 100;

	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		open_at(&page, &ways[i], "/events?cursor=page");
		if (i)
			expect(&page, number - 2, number - 1);
		produce(number);
		produce(number + 1);
		expect(&page, number, number + 1);
		close_and_await_saved(&page, "ada", "page");
		produce(number + 2);
		produce(number + 3);
		number += 4;
	}
}

/* An id that the client brings wins, and the cursor follows it from there. */
static void test_cursors_follow_a_last_event_id(void **state)
{
	struct opening opening = {0, "eve", SSE_CLIENT_HTTP1, NULL};
	struct page page;
	char first[1024];

	(void)state;
	open_at(&page, &opening, "/events?cursor=page");
	for (int i = 200; i < 204; i++)
		produce(i);
	expect(&page, 200, 203);
	snprintf(first, sizeof(first), "%s", page.watch.events[1].id);
	close_and_await_saved(&page, "eve", "page");
	opening.last_event_id = first;
	open_at(&page, &opening, "/events?cursor=page");
	assert_string_equal(page.watch.events[0].id, first);
	assert_string_equal(stands_at("eve", "events", "page"), first);
	expect(&page, 201, 203);
	close_and_await_saved(&page, "eve", "page");
	opening.last_event_id = NULL;
	open_at(&page, &opening, "/events?cursor=page");
	produce(204);
	expect(&page, 204, 204);
	close_and_await_saved(&page, "eve", "page");
}

/* A cursor is its subject's alone, and one for each value of the stream's parameters. */
static void test_cursors_are_one_for_each_subject_and_parameter(void **state)
{
	const struct opening ann = {0, "ann", SSE_CLIENT_HTTP1, NULL},
			     ben = {0, "ben", SSE_CLIENT_HTTP1, NULL};
	struct page one, other;

	(void)state;
	open_at(&one, &ann, "/events?cursor=page");
	produce(300);
	expect(&one, 300, 300);
	close_and_await_saved(&one, "ann", "page");
	produce(301);
	settle();
	open_at(&other, &ben, "/events?cursor=page");
	produce(302);
	expect(&other, 302, 302);
	close_and_await_saved(&other, "ben", "page");

	open_at(&one, &ann, "/topics/events?cursor=page");
	open_at(&other, &ann, "/topics/others?cursor=page");
	produce(303);
	produce_to("others", 1);
	expect(&one, 303, 303);
	expect(&other, 1, 1);
	close_page(&one);
	close_page(&other);
}

/* Of two streams with one cursor the one that was opened later is saved, on whichever replica. */
static void test_cursors_of_two_streams_follow_the_later_one(void **state)
{
	const struct opening here = {0, "kim", SSE_CLIENT_HTTP1, NULL},
			     there = {1, "kim", SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE, NULL};
	double superseded = gateway_process_metric(
	    &replicas[0], "sluice_cursor_saves_total{result=\"superseded\"}");
	struct page early, late;

	(void)state;
	open_at(&early, &here, "/events?cursor=page");
	open_at(&late, &there, "/events?cursor=page");
	produce(400);
	expect(&early, 400, 400);
	expect(&late, 400, 400);
	close_and_await_saved(&late, "kim", "page");
	produce(401);
	expect(&early, 401, 401);
	close_page(&early);
	while (gateway_process_metric(
		   &replicas[0], "sluice_cursor_saves_total{result=\"superseded\"}") <= superseded)
		sse_client_loop_run(loop, STEP_MS);
	open_at(&late, &here, "/events?cursor=page");
	expect(&late, 401, 401);
	close_and_await_saved(&late, "kim", "page");
}

static long ask(const char *method, const char *path, const char *subject, bool with_token,
		struct http_client_answer *answer)
{
	struct buffer field = {0};
	const char *const fields[] = {bearer(subject, &field)};
	char url[512];
	struct http_client_request request = {
	    .method = method,
	    .url = url,
	    .headers = fields,
	    .header_count = with_token,
	    .timeout_ms = 20000,
	};

	snprintf(url, sizeof(url), "%s%s", replicas[0].url, path);
	http_client_send(&request, answer);
	buffer_free(&field);
	return answer->status;
}

#define LONG_NAME_64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LONG_NAME_256 LONG_NAME_64 LONG_NAME_64 LONG_NAME_64 LONG_NAME_64

/* What cannot be a cursor is said, with what would be right; nothing is made of it. */
static void test_cursors_that_cannot_be_are_refused(void **state)
{
	static const struct {
		const char *path, *subject;
		bool with_token;
		long status;
		const char *says;
	} rows[] = {
	    {"/events?cursor=x", NULL, false, 401, "send one"},
	    {"/events?cursor=x", NULL, true, 400, "\\\"sub\\\""},
	    {"/events?cursor=", "zoe", true, 400, "1 to 255 bytes"},
	    {"/events?cursor=" LONG_NAME_256, "zoe", true, 400, "1 to 255 bytes"},
	    {"/events?cursor=a%0Ab", "zoe", true, 400, "control"},
	    {"/events?cursor=a%0Db", "zoe", true, 400, "control"},
	    {"/events?cursor=a%00b", "zoe", true, 400, "control"},
	    {"/events?cursor=a%7Fb", "zoe", true, 400, "control"},
	    {"/events?cursor=a%C2%85b", "zoe", true, 400, "control"},
	    {"/events?cursor=a%FFb", "zoe", true, 400, "UTF-8"},
	    {"/events?cursor=a%4", "zoe", true, 400, "UTF-8"},
	    {"/topics/none?cursor=x&lastEventId=x", "zoe", true, 400, "Last-Event-ID"},
	};
	struct http_client_answer answer;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].path);
		assert_int_equal(
		    ask("GET", rows[i].path, rows[i].subject, rows[i].with_token, &answer),
		    rows[i].status);
		assert_non_null(strstr(buffer_text(&answer.body), rows[i].says));
		http_client_answer_fini(&answer);
	}
	/* HEAD opens nothing. */
	assert_int_equal(ask("HEAD", "/events?cursor=x", "zoe", true, &answer), 200);
	http_client_answer_fini(&answer);
	assert_string_equal(stands_at("zoe", "events", "x"), "");
}

/* Any other text is a name. */
static void test_cursors_names_are_any_text(void **state)
{
	const struct opening opening = {0, "max", SSE_CLIENT_HTTP1, NULL};
	struct page page;

	(void)state;
	open_at(&page, &opening, "/events?cursor=%F0%9F%90%A6+%27%22%5C%25%C2%A0");
	produce(500);
	expect(&page, 500, 500);
	close_and_await_saved(&page, "max", "\xf0\x9f\x90\xa6 '\"\\%\xc2\xa0");
}

static void assert_unavailable(void)
{
	struct http_client_answer answer;

	assert_int_equal(ask("GET", "/events?cursor=page", "joe", true, &answer), 503);
	assert_true(http_client_header(&answer, "retry-after").len > 0);
	http_client_answer_fini(&answer);
}

/* Without PostgreSQL who asks for a cursor is told to come back, who brings an id of its own is
 * served, and the others go on; afterwards the cursor stands where the stream has come to. */
static void test_cursors_without_postgresql_are_asked_to_come_back(void **state)
{
	struct opening joe = {0, "joe", SSE_CLIENT_HTTP1, NULL},
		       other = {0, "lea", SSE_CLIENT_HTTP1, NULL};
	struct page with, without, back;
	char id[1024];

	(void)state;
	open_at(&with, &joe, "/events?cursor=page");
	open_at(&without, &other, "/events");
	produce(600);
	expect(&with, 600, 600);
	expect(&without, 600, 600);
	private_postgres_kill(postgres.cluster);
	assert_unavailable();
	produce(601);
	expect(&with, 601, 601);
	expect(&without, 601, 601);
	snprintf(id, sizeof(id), "%s", with.watch.events[1].id);
	close_page(&with);
	joe.last_event_id = id;
	open_at(&back, &joe, "/events?cursor=page");
	expect(&back, 601, 601);
	assert_unavailable();
	postgres_server_restart(&postgres);
	produce(602);
	expect(&back, 602, 602);
	close_and_await_saved(&back, "joe", "page");
	close_page(&without);
}

/* With PostgreSQL neither dead nor answering nobody waits for ever; when it answers again, it goes
 * on. */
static void test_cursors_with_postgresql_silent_are_asked_to_come_back(void **state)
{
	const struct opening joe = {0, "joe", SSE_CLIENT_HTTP1, NULL};
	struct page page;

	(void)state;
	private_postgres_pause(postgres.cluster);
	assert_unavailable();
	private_postgres_resume(postgres.cluster);
	open_at(&page, &joe, "/events?cursor=other");
	produce(650);
	expect(&page, 650, 650);
	close_and_await_saved(&page, "joe", "other");
}

/* A stop saves where its streams are; a kill loses what came since the last save, and nothing else:
 * what was saved is not sent again. */
static void test_cursors_survive_a_stop_and_a_kill(void **state)
{
	const struct opening opening = {0, "tom", SSE_CLIENT_HTTP1, NULL};
	struct page page;
	char id[1024];

	(void)state;
	open_at(&page, &opening, "/events?cursor=page");
	produce(700);
	expect(&page, 700, 700);
	snprintf(id, sizeof(id), "%s", last_id(&page));
	assert_int_equal(gateway_process_stop(&replicas[0]), 0);
	close_page(&page);
	assert_string_equal(stands_at("tom", "events", "page"), id);
	produce(701);
	start_replica(0, "100ms", "events");
	open_at(&page, &opening, "/events?cursor=page");
	expect(&page, 701, 701);
	produce(702);
	expect(&page, 702, 702);
	await_saved("tom", "page", last_id(&page));
	gateway_process_kill(&replicas[0]);
	close_page(&page);
	produce(703);
	start_replica(0, "1h", "events");
	open_at(&page, &opening, "/events?cursor=page");
	expect(&page, 703, 703);
	close_and_await_saved(&page, "tom", "page");
}

/* A stream that reads other topics by now: the cursor's position says nothing of them, which is a
 * gap, and the stream starts as it does without a cursor. */
static void test_cursors_of_other_topics_are_a_gap(void **state)
{
	const struct opening opening = {0, "ian", SSE_CLIENT_HTTP1, NULL};
	struct page page;

	(void)state;
	open_at(&page, &opening, "/events?cursor=page");
	produce(800);
	expect(&page, 800, 800);
	close_and_await_saved(&page, "ian", "page");
	assert_int_equal(gateway_process_stop(&replicas[0]), 0);
	start_replica(0, "1h", "others");

	struct buffer field = {0};
	const char *const fields[] = {bearer("ian", &field)};
	const struct sse_client_options options = {.headers = fields, .header_count = 1};

	page = (struct page){.seen = 2};
	watch_open(&page.watch, loop, replicas[0].url, "/events?cursor=page", &options);
	assert_true(watch_until(&page.watch, 2));
	buffer_free(&field);
	assert_string_equal(page.watch.events[0].type, "gap");
	assert_non_null(strstr(page.watch.events[0].data, "\"stale_cursor\""));
	assert_string_equal(page.watch.events[1].type, "connected");
	produce_to("others", 2);
	expect(&page, 2, 2);
	close_and_await_saved(&page, "ian", "page");
	assert_int_equal(gateway_process_stop(&replicas[0]), 0);
	start_replica(0, "1h", "events");
}

/* The command line lists cursors, narrowed as is asked, and deletes those of one subject; an open
 * stream does not bring its back. */
static void test_cursors_are_listed_and_deleted_by_the_command_line(void **state)
{
	static const char *const list[] = {"cursor", "list", "--subject", "uma", NULL};
	static const char *const delete_all[] = {"cursor", "delete", NULL};
	static const char *const delete_one[] = {"cursor", "delete", "--subject", "uma",
						 "--name", "page",   NULL};
	const struct opening opening = {1, "uma", SSE_CLIENT_HTTP1, NULL};
	double superseded = gateway_process_metric(
	    &replicas[1], "sluice_cursor_saves_total{result=\"superseded\"}");
	struct page page, side;
	int status;
	char *said;

	(void)state;
	open_at(&page, &opening, "/events?cursor=page");
	open_at(&side, &opening, "/events?cursor=side");
	said = gateway_process_run(&replicas[0], list, &status);
	assert_int_equal(status, 0);
	assert_non_null(strstr(said, "\"name\":\"page\""));
	assert_non_null(strstr(said, "\"name\":\"side\""));
	free(said);
	said = gateway_process_run(&replicas[0], delete_all, &status);
	assert_int_not_equal(status, 0);
	assert_non_null(strstr(said, "usage"));
	free(said);
	said = gateway_process_run(&replicas[0], delete_one, &status);
	assert_int_equal(status, 0);
	assert_non_null(strstr(said, "1 cursors deleted"));
	free(said);
	produce(900);
	expect(&page, 900, 900);
	expect(&side, 900, 900);
	close_page(&page);
	while (gateway_process_metric(
		   &replicas[1], "sluice_cursor_saves_total{result=\"superseded\"}") <= superseded)
		sse_client_loop_run(loop, STEP_MS);
	close_and_await_saved(&side, "uma", "side");
	said = gateway_process_run(&replicas[0], list, &status);
	assert_null(strstr(said, "\"name\":\"page\""));
	assert_non_null(strstr(said, "\"name\":\"side\""));
	free(said);
}

/* A subject has so many cursors as the configuration says; the next one is refused. */
static void test_cursors_beyond_the_limit_are_refused(void **state)
{
	const struct opening opening = {1, "vic", SSE_CLIENT_HTTP1, NULL};
	struct http_client_answer answer;
	struct page page;
	char path[64];

	(void)state;
	for (int i = 0; i < 20; i++) {
		snprintf(path, sizeof(path), "/events?cursor=n%d", i);
		open_at(&page, &opening, path);
		close_page(&page);
	}
	assert_int_equal(ask("GET", "/events?cursor=more", "vic", true, &answer), 403);
	http_client_answer_fini(&answer);
	open_at(&page, &opening, "/events?cursor=n0");
	close_page(&page);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_loop, loop_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_cursors_closed_and_opened_again_go_on),
	    TEST(test_cursors_follow_a_last_event_id),
	    TEST(test_cursors_are_one_for_each_subject_and_parameter),
	    TEST(test_cursors_of_two_streams_follow_the_later_one),
	    TEST(test_cursors_that_cannot_be_are_refused),
	    TEST(test_cursors_names_are_any_text),
	    TEST(test_cursors_without_postgresql_are_asked_to_come_back),
	    TEST(test_cursors_with_postgresql_silent_are_asked_to_come_back),
	    TEST(test_cursors_survive_a_stop_and_a_kill),
	    TEST(test_cursors_of_other_topics_are_a_gap),
	    TEST(test_cursors_are_listed_and_deleted_by_the_command_line),
	    TEST(test_cursors_beyond_the_limit_are_refused),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
