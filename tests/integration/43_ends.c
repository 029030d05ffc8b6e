/* Streams that end by themselves, over HTTP/1.1 and HTTP/2: with an event (end_when), with what
 * there is (follow), for those who come late, come back, are cut off, or have a cursor; from the
 * window, from Kafka and from the journal. */
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
#include "lib/postgres_server.h"
#include "lib/sse_client.h"

#define SECRET "0123456789abcdef0123456789abcdef"

enum { PARTITIONS = 6, TASKS = 8, STEPS = 12, LOGGED = 300, PATIENCE_MS = 60000, STEP_MS = 10 };

/* Heartbeats would move the ids. */
/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [{ "address": "127.0.0.1", "port": "${ENDS_PORT}" }],
	"http": { "loops": 2 },
	"kafka": { "bootstrap.servers": "${ENDS_KAFKA}", "fetch.wait.max.ms": 10 },
	"ingest": { "warm": "0s" },
	"postgres": { "url": "${ENDS_POSTGRES}", "migrate": true },
	"journal": { "group": "ends", "linger": "20ms" },
	"cursors": { "save": "100ms" },
	"auth": { "issuers": [{ "algorithms": ["HS256"], "secret": "0123456789abcdef0123456789abcdef" }] },
	"streams": {
		"task": { "path": "/tasks/{id}", "topics": ["tasks"], "access": "public", "heartbeat": "1h",
			"filter": { "value": { "task": ["{path.id}"] } },
			"end_when": { "value": { "status": ["done", "failed"] } } },
		"bound": { "path": "/bound/{id}", "topics": ["tasks"], "access": "public", "heartbeat": "1h",
			"start": "earliest",
			"end_when": { "value": { "task": ["{path.id}"], "status": [{ "prefix": "do" }] } } },
		"kept": { "path": "/kept/{id}", "topics": ["tasks"], "access": "public", "heartbeat": "1h",
			"filter": { "value": { "task": ["{path.id}"] } },
			"end_when": { "value": { "status": ["done", "failed"] } },
			"journal": { "retain": "24h" } },
		"ids": { "path": "/ids/{id}", "topics": ["tasks"], "access": "public", "heartbeat": "1h",
			"filter": { "value": { "task": ["{path.id}"] } }, "event": { "id": "/value/id" },
			"end_when": { "value": { "status": ["done"] } } },
		"until": { "path": "/until/{id}", "topics": ["tasks"], "access": "public", "heartbeat": "1h",
			"params": { "n": { "type": "integer" } }, "filter": { "value": { "task": ["{path.id}"] } },
			"start": "earliest", "end_when": { "value": { "n": [{ "numeric": [">=", "{query.n}"] }] } } },
		"claimed": { "path": "/claimed", "topics": ["tasks"], "access": "public", "heartbeat": "1h",
			"end_when": { "key": ["{claims.task}"] } },
		"log": { "path": "/log", "topics": ["log"], "access": "public", "heartbeat": "1h",
			"params": { "last": { "type": "integer", "maximum": 1000 },
				"follow": { "type": "boolean", "default": true } },
			"start": { "last": "{query.last}" }, "follow": "{query.follow}" },
		"log_kept": { "path": "/log_kept", "topics": ["log"], "access": "public", "heartbeat": "1h",
			"params": { "last": { "type": "integer" }, "follow": { "type": "boolean" } },
			"start": { "last": "{query.last}" }, "follow": "{query.follow}",
			"journal": { "retain": "24h" } },
		"state": { "path": "/state", "topics": ["log"], "access": "public", "heartbeat": "1h",
			"params": { "tail": { "in": "header", "type": "boolean", "required": true } },
			"start": "current", "follow": "{header.tail}" }
	}
}
);
/* clang-format on */

static struct kafka_broker broker;
static struct kafka_producer *producer;
static struct postgres_server postgres;
static struct gateway_process gateway;
static struct sse_client_loop *loop;
static int sent_since_start;

static void start_gateway(void)
{
	gateway_process_start_ready(&gateway);
	sent_since_start = 0;
}

/* Its windows are empty then. */
static void restart_gateway(void)
{
	gateway_process_stop(&gateway);
	start_gateway();
}

static int start(void **state)
{
	(void)state;
	postgres_server_start(&postgres);
	kafka_broker_start(&broker);
	kafka_broker_create_topic(&broker, "tasks", PARTITIONS);
	kafka_broker_create_topic(&broker, "log", PARTITIONS);
	producer = kafka_producer_new(broker.bootstrap, NULL);
	child_export_port("ENDS_PORT");
	setenv("ENDS_KAFKA", broker.bootstrap, 1);
	setenv("ENDS_POSTGRES", postgres.url, 1);
	gateway_process_init(&gateway);
	gateway_process_configure(&gateway, config);
	start_gateway();
	loop = sse_client_loop_new();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	sse_client_loop_free(loop);
	gateway_process_fini(&gateway);
	kafka_producer_free(producer);
	kafka_broker_fini(&broker);
	postgres_server_fini(&postgres);
	return 0;
}

/* The gateway has read all that was sent. */
static void wait_ingested(void)
{
	kafka_producer_flush(producer);
	gateway_process_wait_metric(&gateway, "sluice_records_total", sent_since_start);
}

/* The journal has all of the topic, and Kafka forgets it. */
static void move_to_journal(const char *topic)
{
	int64_t low, high[PARTITIONS], all = 0;
	char statement[256];

	for (int32_t p = 0; p < PARTITIONS; p++) {
		kafka_broker_offsets(&broker, topic, p, &low, &high[p]);
		all += high[p];
	}
	snprintf(statement, sizeof(statement),
		 "select sum(next_offset) from journal_offset join journal_feed using (feed_id)"
		 " where '%s' = any (topics)",
		 topic);
	postgres_server_wait(&postgres, statement, all);
	for (int32_t p = 0; p < PARTITIONS; p++)
		kafka_broker_delete_records(&broker, topic, p, high[p]);
}

static void produce(const char *topic, const char *key, const char *value)
{
	kafka_producer_send_text(producer, topic, key, value);
	sent_since_start++;
}

static void send_step(const char *task, const char *status, int number)
{
	char value[128];

	snprintf(value, sizeof(value),
		 "{\"task\":\"%s\",\"status\":\"%s\",\"n\":%d,\"id\":\"%s-%d\"}", task, status,
		 number, task, number);
	produce("tasks", task, value);
}

/* A client that writes down what comes: "message 3", "end end_when". */
struct page {
	struct sse_client *client;
	struct buffer seen;
	int last; /* the number of the last event */
	char last_id[2048];
};

static void on_event(void *context, struct sse_client *client, const struct sse_event *event)
{
	struct page *page = context;
	json_t *data = json_loadb(event->data.base, event->data.len, 0, NULL);
	const char *reason = json_string_value(json_object_get(data, "reason"));
	const json_t *number = json_object_get(data, "n");

	buffer_append_slice(&page->seen, event->type);
	if (number) {
		struct slice id = sse_client_facts(client).last_event_id;

		page->last = (int)json_integer_value(number);
		snprintf(page->last_id, sizeof(page->last_id), "%.*s", (int)id.len, id.base);
		buffer_append_format(&page->seen, " %d", page->last);
	} else if (reason) {
		buffer_append_format(&page->seen, " %s", reason);
	}
	buffer_append_text(&page->seen, "\n");
	json_decref(data);
}

static void open_page(struct page *page, const char *path, enum sse_client_http http)
{
	char url[256];

	snprintf(url, sizeof(url), "%s%s", gateway.url, path);
	page->client =
	    sse_client_open(loop, &(struct sse_client_options){
				      .url = url,
				      .http = http,
				      .last_event_id = *page->last_id ? page->last_id : NULL,
				      .retry_ms = 20,
				      .on_event = on_event,
				      .context = page,
				  });
}

static void open_task(struct page *page, const char *stream, const char *task,
		      enum sse_client_http http)
{
	char path[128];

	snprintf(path, sizeof(path), "/%s/%s", stream, task);
	open_page(page, path, http);
}

static bool is_closed(void *context)
{
	const struct page *page = context;

	return sse_client_facts(page->client).state == SSE_CLIENT_CLOSED;
}

static bool has_connected(void *context)
{
	const struct page *page = context;

	return page->seen.len > 0;
}

static bool has_the_last(void *context)
{
	return ((const struct page *)context)->last == STEPS;
}

/* It was told to stop, after this. */
static void expect_closed(struct page *page, const char *seen, uint64_t opens)
{
	struct sse_client_facts facts;

	if (!sse_client_loop_until(loop, is_closed, page, PATIENCE_MS))
		fail_msg("the stream does not end; until now: %s", buffer_text(&page->seen));
	facts = sse_client_facts(page->client);
	assert_string_equal(buffer_text(&page->seen), seen);
	assert_int_equal(facts.status, 204);
	assert_int_equal(facts.opens, opens);
	sse_client_close(page->client);
	buffer_free(&page->seen);
}

static void run_task(const char *task, const char *last_status)
{
	for (int n = 1; n < STEPS; n++)
		send_step(task, "runs", n);
	send_step(task, last_status, STEPS);
}

static void append_steps(struct buffer *out)
{
	for (int n = 1; n <= STEPS; n++)
		buffer_append_format(out, "message %d\n", n);
}

/* Each of several tasks ends its own streams, on both versions of HTTP, with its last event, though
 * its topic goes on and the task itself does; then the browser is told to stop. */
static void test_ends_with_the_event_for_each_task(void **state)
{
	static struct page pages[TASKS][2];
	struct buffer expected = {0};
	char task[TASKS][24];

	(void)state;
	for (int t = 0; t < TASKS; t++) {
		snprintf(task[t], sizeof(task[t]), "live-%d", t);
		for (int h = 0; h < 2; h++) {
			open_task(&pages[t][h], t % 2 ? "kept" : "tasks", task[t],
				  h ? SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE : SSE_CLIENT_HTTP1);
			assert_true(
			    sse_client_loop_until(loop, has_connected, &pages[t][h], PATIENCE_MS));
		}
	}
	for (int n = 1; n <= STEPS + 3; n++)
		for (int t = 0; t < TASKS; t++)
			send_step(task[t], n == STEPS ? (t % 3 ? "done" : "failed") : "runs", n);
	buffer_append_text(&expected, "connected\n");
	append_steps(&expected);
	buffer_append_text(&expected, "end end_when\n");
	for (int t = 0; t < TASKS; t++)
		for (int h = 0; h < 2; h++)
			expect_closed(&pages[t][h], buffer_text(&expected), 1);
	buffer_free(&expected);
}

/* A pattern with the request's values, on a stream that is not filtered: others' last events end
 * nothing. */
static void test_ends_with_a_pattern_of_the_request(void **state)
{
	(void)state;
	run_task("bound-1", "done");
	run_task("bound-2", "done");
	wait_ingested();
	for (int again = 0; again < 2; again++) {
		struct page page = {0};

		open_task(&page, "bound", again ? "bound-2" : "bound-1", SSE_CLIENT_HTTP1);
		assert_true(sse_client_loop_until(loop, is_closed, &page, PATIENCE_MS));
		assert_int_equal(page.last, STEPS);
		assert_non_null(strstr(buffer_text(&page.seen), "end end_when\n"));
		assert_int_equal(sse_client_facts(page.client).status, 204);
		sse_client_close(page.client);
		buffer_free(&page.seen);
	}
}

static bool goes_on(void *context)
{
	struct page *page = context;

	return strstr(buffer_text(&page->seen), "message 12\nmessage 1\n");
}

/* Where the request lacks what its end depends on, there is none. */
static void test_ends_with_nothing_where_the_request_says_nothing(void **state)
{
	struct page pages[2] = {{0}};

	(void)state;
	run_task("until", "runs");
	wait_ingested();
	open_page(&pages[0], "/until/until?n=2", SSE_CLIENT_HTTP1);
	open_page(&pages[1], "/until/until", SSE_CLIENT_HTTP1);
	expect_closed(&pages[0], "connected\nmessage 1\nmessage 2\nend end_when\n", 1);
	assert_true(sse_client_loop_until(loop, has_the_last, &pages[1], PATIENCE_MS));
	run_task("until", "runs");
	assert_true(sse_client_loop_until(loop, goes_on, &pages[1], PATIENCE_MS));
	assert_null(strstr(buffer_text(&pages[1].seen), "end"));
	sse_client_close(pages[1].client);
	buffer_free(&pages[1].seen);
}

/* Who comes when all is over gets the last state and the end: from the window, from Kafka, and from
 * the journal when Kafka has forgotten. */
static void test_ends_are_told_to_those_who_come_late(void **state)
{
	static const struct {
		const char *stream;
		bool restarts, forgets;
	} rows[] = {
	    {"tasks", false, false},
	    {"kept", false, false},
	    {"tasks", true, false},
	    {"kept", true, true},
	};
	char last[64];

	(void)state;
	run_task("late", "failed");
	wait_ingested();
	snprintf(last, sizeof(last), "connected\nmessage %d\nend end_when\n", STEPS);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct page pages[2] = {{0}};

		if (rows[i].forgets)
			move_to_journal("tasks");
		if (rows[i].restarts)
			restart_gateway();
		for (int h = 0; h < 2; h++)
			open_task(&pages[h], rows[i].stream, "late",
				  h ? SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE : SSE_CLIENT_HTTP1);
		for (int h = 0; h < 2; h++)
			expect_closed(&pages[h], last, 1);
	}
}

/* Who comes back with the id of the last event, as the connection broke before the end, has had
 * all: the id says so. Where the event has an id of its own, the end is told again. */
static void test_ends_though_cut_before_the_end(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		enum sse_client_http http =
		    i % 2 ? SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE : SSE_CLIENT_HTTP1;
		const char *stream = i < 2 ? "tasks" : "ids";
		struct page page = {0};
		char task[16];

		snprintf(task, sizeof(task), "cut-%d", i);
		open_task(&page, stream, task, http);
		assert_true(sse_client_loop_until(loop, has_connected, &page, PATIENCE_MS));
		run_task(task, "done");
		assert_true(sse_client_loop_until(loop, has_the_last, &page, PATIENCE_MS));
		sse_client_close(page.client);
		buffer_clear(&page.seen);
		open_task(&page, stream, task, http);
		if (i < 2)
			expect_closed(&page, "", 0);
		else
			expect_closed(&page, "connected\nend end_when\n", 1);
	}
}

/* One answer, which ends by itself. */
struct fetched {
	struct http_client_answer answer;
	char last_id[2048];
	int events, ends;
	bool has[LOGGED + 1]; /* by the event's number */
};

static void read_line(struct fetched *fetched, const char *line)
{
	int number;

	if (sscanf(line, "id: %2047s", fetched->last_id) == 1)
		return;
	if (sscanf(line, "data: {\"n\":%d", &number) == 1) {
		assert_in_range(number, 1, LOGGED);
		assert_int_equal(fetched->ends, 0);
		assert_false(fetched->has[number]);
		fetched->has[number] = true;
		fetched->events++;
	}
	fetched->ends += !strcmp(line, "event: end");
}

/* A field may be NULL. */
static long fetch(const char *path, bool http2, const char *last_event_id, const char *field,
		  struct fetched *fetched)
{
	char url[512], id_field[2100];
	const char *fields[2];
	size_t count = 0;
	char *rest;

	memset(fetched, 0, sizeof(*fetched));
	snprintf(url, sizeof(url), "%s%s", gateway.url, path);
	snprintf(id_field, sizeof(id_field), "Last-Event-ID: %s",
		 last_event_id ? last_event_id : "");
	if (last_event_id)
		fields[count++] = id_field;
	if (field)
		fields[count++] = field;
	http_client_send(&(struct http_client_request){.url = url,
						       .headers = fields,
						       .header_count = count,
						       .http2 = http2,
						       .timeout_ms = PATIENCE_MS},
			 &fetched->answer);
	assert_string_equal(fetched->answer.error, "");
	(void)buffer_text(&fetched->answer.body);
	for (char *line = strtok_r(fetched->answer.body.base, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		read_line(fetched, line);
	http_client_answer_fini(&fetched->answer);
	return fetched->answer.status;
}

/* `count` events, among them those from `from` on; then the end, with an id that is answered 204.
 */
static void expect_fetched(const char *path, const char *last_event_id, const char *field, int from,
			   int count)
{
	for (int h = 0; h < 2; h++) {
		static struct fetched fetched, again;

		assert_int_equal(fetch(path, h, last_event_id, field, &fetched), 200);
		if (fetched.events != count || fetched.ends != 1)
			fail_msg("%s gives %d events and %d ends, not %d events", path,
				 fetched.events, fetched.ends, count);
		for (int n = from; n <= LOGGED; n++)
			if (!fetched.has[n])
				fail_msg("%s lacks the event %d", path, n);
		assert_int_equal(fetch(path, h, fetched.last_id, field, &again), 204);
	}
}

/* From the window or from Kafka, and from the window or the journal. */
static void check_backlogs(const char *id_in_the_middle, int missed)
{
	expect_fetched("/log?follow=false", NULL, NULL, LOGGED + 1, 0);
	expect_fetched("/log?follow=false&last=0", NULL, NULL, LOGGED + 1, 0);
	expect_fetched("/log_kept?follow=false&last=1", NULL, NULL, LOGGED, 1);
	expect_fetched("/log_kept?follow=false&last=5", NULL, NULL, LOGGED - 4, 5);
	expect_fetched("/log_kept?follow=false&last=1000", NULL, NULL, 1, LOGGED);
	expect_fetched("/log_kept?follow=false&since=1h", NULL, NULL, 1, LOGGED);
	expect_fetched("/log_kept?follow=false", id_in_the_middle, NULL, LOGGED + 1 - missed,
		       missed);
}

/* The last ten come to the gateway after all others, one after the other: partitions have no order
 * among them. */
static void send_log(int from, int to)
{
	for (int n = from; n <= to; n++) {
		char key[16], value[32];

		snprintf(key, sizeof(key), "%d", n % 50);
		snprintf(value, sizeof(value), "{\"n\":%d}", n);
		kafka_producer_send(producer, &(struct kafka_message){
						  .topic = "log",
						  .partition = n % PARTITIONS,
						  .key = slice_of(key),
						  .value = slice_of(value),
						  .timestamp_ms = clock_unix_ms() - 60000 + n,
					      });
		sent_since_start++;
		if (n >= to - 10)
			wait_ingested();
	}
}

static bool has_event(void *context)
{
	return ((const struct page *)context)->last > 0;
}

/* follow=false: what there is, and the end; from every place where it may be. */
static void test_ends_with_what_there_is(void **state)
{
	enum { MISSED = 120 };
	struct page page = {0};

	(void)state;
	send_log(1, LOGGED - MISSED);
	open_page(&page, "/log_kept?last=1", SSE_CLIENT_HTTP1);
	assert_true(sse_client_loop_until(loop, has_event, &page, PATIENCE_MS));
	assert_int_equal(page.last, LOGGED - MISSED);
	sse_client_close(page.client);
	send_log(LOGGED - MISSED + 1, LOGGED);
	check_backlogs(page.last_id, MISSED);
	expect_fetched("/log?follow=false&last=10", NULL, NULL, LOGGED - 9, 10);
	expect_fetched("/state", NULL, "tail: false", LOGGED - 49, 50);
	restart_gateway();
	check_backlogs(page.last_id, MISSED);
	expect_fetched("/log?follow=false&last=10", NULL, NULL, LOGGED - 9, 10);
	expect_fetched("/state", NULL, "tail: false", LOGGED - 49, 50);
	move_to_journal("log");
	restart_gateway();
	check_backlogs(page.last_id, MISSED);
	buffer_free(&page.seen);
}

/* With a cursor the end is remembered for those who bring no id: an event's, and that of what there
 * was. */
static void test_ends_are_kept_by_cursors(void **state)
{
	static const char *const paths[] = {"/tasks/cursor?cursor=page",
					    "/log?follow=false&last=3&cursor=page"};
	struct buffer field = {0};

	(void)state;
	run_task("cursor", "done");
	produce("log", NULL, "{\"n\":1}");
	wait_ingested();
	credentials_bearer(SECRET, "{\"sub\":\"ada\"}", &field);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;
		static struct fetched fetched;

		/* Until it is saved, it begins anew. */
		assert_int_equal(fetch(paths[i], false, NULL, buffer_text(&field), &fetched), 200);
		while (fetch(paths[i], false, NULL, buffer_text(&field), &fetched) != 204) {
			assert_int_equal(fetched.ends, 1);
			assert_true(clock_monotonic_ms() < deadline_ms);
			child_sleep_ms(STEP_MS);
		}
	}
	buffer_free(&field);
}

/* What a request can get wrong, and what its token may lack. */
static void test_ends_refuse_what_is_wrong(void **state)
{
	static const struct {
		const char *path, *claims; /* NULL: no token */
		long status;
	} rows[] = {
	    {"/log?last=1001", NULL, 400},
	    {"/log?last=-1", NULL, 400},
	    {"/log?last=1.5", NULL, 400},
	    {"/log?last=", NULL, 400},
	    {"/log_kept?last=1000001", NULL, 400},
	    {"/log?follow=no", NULL, 400},
	    {"/log?follow=", NULL, 400},
	    {"/state", NULL, 400},
	    {"/claimed", NULL, 401},
	    {"/claimed", "{\"sub\":\"ada\"}", 403},
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		static struct fetched fetched;
		struct buffer field = {0};
		const char *claims = rows[i / 2].claims;

		credentials_bearer(SECRET, claims ? claims : "{}", &field);
		if (fetch(rows[i / 2].path, i % 2, NULL, claims ? buffer_text(&field) : NULL,
			  &fetched) != rows[i / 2].status)
			fail_msg("%s is answered %ld", rows[i / 2].path, fetched.answer.status);
		buffer_free(&field);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ends_with_the_event_for_each_task),
	    cmocka_unit_test(test_ends_with_a_pattern_of_the_request),
	    cmocka_unit_test(test_ends_with_nothing_where_the_request_says_nothing),
	    cmocka_unit_test(test_ends_though_cut_before_the_end),
	    cmocka_unit_test(test_ends_are_told_to_those_who_come_late),
	    cmocka_unit_test(test_ends_with_what_there_is),
	    cmocka_unit_test(test_ends_are_kept_by_cursors),
	    cmocka_unit_test(test_ends_refuse_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
