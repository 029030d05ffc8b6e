/* Filters per user: stored by the command line or by hand, they narrow the open streams of a
 * subject on every replica at once, and nothing that matches is lost or comes twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/credentials.h"
#include "lib/gateway_process.h"
#include "lib/http_client.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/ledger.h"
#include "lib/loop.h"
#include "lib/postgres_server.h"
#include "lib/watch.h"

#define SECRET "0123456789abcdef0123456789abcdef"

enum {
	REPLICAS = 2,
	PARTITIONS = 4,
	KINDS = 5,
	PHASES = 8,
	PHASE_EVENTS = 400,
	EVENTS = PHASES * PHASE_EVENTS,
	PATIENCE_MS = 60000, /* for tests that fail */
	TURN_MS = 20,
	CROWD = 250,
};

/* A window of 64 KiB holds a part of a phase. */
/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [{ "address": "127.0.0.1", "port": 0 }],
	"http": { "loops": 2 },
	"kafka": { "bootstrap.servers": "${FILTERS_KAFKA}", "fetch.wait.max.ms": 10 },
	"postgres": { "url": "${FILTERS_POSTGRES}", "migrate": true },
	"auth": { "issuers": [{ "algorithms": ["HS256"], "secret": "0123456789abcdef0123456789abcdef" }] },
	"streams": {
		"wide": { "path": "/wide", "topics": ["events"], "user_filters": true, "client_filters": true,
			"access": { "claims": { "role": ["reader"] } } },
		"small": { "path": "/small", "topics": ["events"], "user_filters": true, "window": "64KiB", "max_event": "32KiB",
			"access": { "claims": { "role": ["reader"] } } },
		"keyed": { "path": "/keyed/{half}", "topics": ["events"], "user_filters": true, "window": "64KiB", "max_event": "32KiB",
			"access": { "claims": { "role": ["reader"] } },
			"filter": { "value": { "half": ["{path.half}", "both"] } } },
		"at_least": { "path": "/at_least/{kind}", "topics": ["events"],
			"access": { "claims": { "role": ["reader"] } },
			"params": { "kind": { "in": "path", "type": "integer" } },
			"filter": { "value": { "kind": [{ "numeric": [">=", "{path.kind}"] }] } } },
		"plain": { "path": "/plain", "topics": ["events"], "access": "public" }
	}
}
);
/* clang-format on */

static struct kafka_broker broker;
static struct kafka_producer *producer;
static struct postgres_server postgres;
static struct gateway_process replicas[REPLICAS];

static int start(void **state)
{
	(void)state;
	postgres_server_start(&postgres);
	kafka_broker_start(&broker);
	kafka_broker_create_topic(&broker, "events", PARTITIONS);
	producer = kafka_producer_new(broker.bootstrap, NULL);
	setenv("FILTERS_KAFKA", broker.bootstrap, 1);
	setenv("FILTERS_POSTGRES", postgres.url, 1);
	for (int i = 0; i < REPLICAS; i++)
		gateway_process_launch(&replicas[i], config);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	for (int i = 0; i < REPLICAS; i++) {
		assert_int_equal(gateway_process_stop(&replicas[i]), 0);
		gateway_process_fini(&replicas[i]);
	}
	kafka_producer_free(producer);
	kafka_broker_fini(&broker);
	postgres_server_fini(&postgres);
	return 0;
}

/* The new filter's id. */
static int add_filter(const char *subject, const char *stream, const char *pattern)
{
	const char *const arguments[] = {"filter", "add",       "--subject", subject, "--stream",
					 stream,   "--pattern", pattern,     NULL};
	int status, id;
	char *said = gateway_process_run(&replicas[0], arguments, &status);

	if (status)
		fail_msg("%s", said);
	id = atoi(said);
	free(said);
	return id;
}

static void remove_filter(int id)
{
	char text[16];
	const char *const arguments[] = {"filter", "remove", "--id", text, NULL};
	int status;

	snprintf(text, sizeof(text), "%d", id);
	free(gateway_process_run(&replicas[0], arguments, &status));
	assert_int_equal(status, 0);
}

static const char *bearer(const char *subject, struct buffer *field)
{
	char claims[256];

	snprintf(claims, sizeof(claims), "{\"sub\":\"%s\",\"role\":\"reader\"}", subject);
	return credentials_bearer(SECRET, claims, field);
}

/* Events: {"n": 17, "p": 1, "kind": 3, "half": "1"}; marks: {"mark": 2, "half": "both"}. */

static uint8_t kinds[EVENTS], halves[EVENTS];
static int phase;
static unsigned seed;

static void send_value(int32_t partition, const char *value)
{
	kafka_producer_send(producer, &(struct kafka_message){.topic = "events",
							      .partition = partition,
							      .value = slice_of(value)});
}

/* Ada's filters by phase: the kinds that pass; all of them: no filter. */
static const unsigned accepted[PHASES] = {0x1f, 0x03, 0x1f, 0x06, 0x00, 0x12, 0x1c, 0x1f};

static bool is_open_phase(void)
{
	return accepted[phase] == 0x1f;
}

/* A subscriber that counts. */
struct client {
	struct sse_client *sse;
	const char *subject, *path;
	int half; /* -1: both */
	char last_event_id[1024];
	int marked;  /* the newest phase whose mark has come */
	bool baited; /* what only a stream without a filter passes has come since the last mark */
	struct ledger ledger;
};

static void take_mark(struct client *client, int mark)
{
	if (!client->baited || is_open_phase() || strcmp(client->subject, "ada") != 0)
		client->marked = mark;
	client->baited = false;
}

static void on_event(void *context, struct sse_client *sse, const struct sse_event *event)
{
	struct client *client = context;
	struct buffer data = {0};
	int number, partition, mark;

	(void)sse;
	buffer_append_slice(&data, event->data);
	if (slice_equal(event->type, SLICE_LIT("gap")))
		ledger_fail(&client->ledger, "a gap: %s", buffer_text(&data));
	else if (sscanf(buffer_text(&data), "{\"n\":%d,\"p\":%d", &number, &partition) == 2)
		ledger_take(&client->ledger, (uint32_t)number, (uint32_t)partition);
	else if (strstr(buffer_text(&data), "bait"))
		client->baited = true;
	else if (sscanf(buffer_text(&data), "{\"mark\":%d", &mark) == 1)
		take_mark(client, mark);
	buffer_free(&data);
}

static void url_at(const struct client *client, int replica, char url[128])
{
	snprintf(url, 128, "%s%s", replicas[replica].url, client->path);
}

static void connect_client(struct client *client, int replica)
{
	struct buffer field = {0};
	const char *const fields[] = {bearer(client->subject, &field)};
	char url[128];

	url_at(client, replica, url);
	client->sse = sse_client_open(
	    loop, &(struct sse_client_options){
		      .url = url,
		      .headers = fields,
		      .header_count = 1,
		      .last_event_id = *client->last_event_id ? client->last_event_id : NULL,
		      .own_connection = true,
		      .retry_ms = 10,
		      .retry_limit_ms = 50,
		      .on_event = on_event,
		      .context = client});
	buffer_free(&field);
}

static void disconnect_client(struct client *client)
{
	const struct sse_client_facts facts = sse_client_facts(client->sse);

	snprintf(client->last_event_id, sizeof(client->last_event_id), "%.*s",
		 (int)facts.last_event_id.len, facts.last_event_id.base);
	sse_client_close(client->sse);
	client->sse = NULL;
}

static struct client clients[] = {
    {.subject = "ada", .path = "/wide", .half = -1},
    {.subject = "ada", .path = "/wide", .half = -1},
    {.subject = "ada", .path = "/small", .half = -1},
    {.subject = "ada", .path = "/small", .half = -1},
    {.subject = "ada", .path = "/keyed/0", .half = 0},
    {.subject = "ada", .path = "/keyed/1", .half = 1},
    {.subject = "bob", .path = "/wide", .half = -1},
    {.subject = "bob", .path = "/keyed/1", .half = 1},
};
enum { CLIENTS = sizeof(clients) / sizeof(clients[0]) };

/* Those that are away for two phases at a time. */
static bool is_sleeper(int i)
{
	return i == 1 || i == 3 || i == 7;
}

/* Those that stay, one at each replica: what their marks say holds for the whole replica, as theirs
 * is the filter that is changed last. */
static bool is_mover(int i)
{
	return i != 4 && i != 5;
}

static int filter_ids[3];

static void set_filters(void)
{
	static const char *const streams[] = {"wide", "small", "keyed"};
	char pattern[256];
	int len;

	len = snprintf(pattern, sizeof(pattern),
		       "{\"$or\": [{\"value\": {\"mark\": [%d]}}, "
		       "{\"value\": {\"kind\": [-1",
		       phase);
	for (int kind = 0; kind < KINDS; kind++)
		if (accepted[phase] >> kind & 1)
			len += snprintf(pattern + len, sizeof(pattern) - (size_t)len, ", %d", kind);
	snprintf(pattern + len, sizeof(pattern) - (size_t)len, "]}}]}");
	for (int i = 0; i < 3; i++) {
		int old = filter_ids[i];

		/* First the new one: both hold for a moment. */
		filter_ids[i] = is_open_phase() ? 0 : add_filter("ada", streams[i], pattern);
		if (old)
			remove_filter(old);
	}
}

static bool all_marked(void *context)
{
	(void)context;
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].sse && clients[i].marked < phase)
			return false;
	return true;
}

/* A phase's mark passes its own filter and none before, the bait none at all: who has the one and
 * not the other is filtered by it. */
static void wait_for_marks(void)
{
	for (int tries = 0; !all_marked(NULL); tries++) {
		char value[64];

		assert_true(tries < PATIENCE_MS / 50);
		snprintf(value, sizeof(value), "{\"mark\":%d,\"half\":\"both\"}", phase);
		send_value(0, "{\"bait\":1,\"half\":\"both\"}");
		send_value(0, value);
		kafka_producer_flush(producer);
		(void)sse_client_loop_until(loop, all_marked, NULL, 50);
	}
}

static bool passes(const struct client *client, int number, unsigned mask)
{
	if (client->half >= 0 && halves[number] != client->half)
		return false;
	return strcmp(client->subject, "ada") != 0 || (mask >> kinds[number] & 1);
}

/* With clients that are cut off and come back at the other replica. */
static void produce_phase(void)
{
	for (int i = 0; i < PHASE_EVENTS; i++) {
		int number = phase * PHASE_EVENTS + i, partition = rand_r(&seed) % PARTITIONS;
		int moved = rand_r(&seed) % CLIENTS;
		struct client *client = &clients[moved];
		char value[400];

		kinds[number] = (uint8_t)(rand_r(&seed) % KINDS);
		halves[number] = (uint8_t)(rand_r(&seed) % 2);
		for (int c = 0; c < CLIENTS; c++)
			if (clients[c].sse && passes(&clients[c], number, accepted[phase]))
				ledger_owe(&clients[c].ledger, (uint32_t)number);
		snprintf(value, sizeof(value),
			 "{\"n\":%d,\"p\":%d,\"kind\":%d,\"half\":\"%d\",\"pad\":\"%0200d\"}",
			 number, partition, kinds[number], halves[number], 0);
		send_value(partition, value);
		if (i % 20 || !client->sse)
			continue;
		kafka_producer_flush(producer);
		sse_client_loop_run(loop, 1);
		if (is_mover(moved)) {
			char url[128];

			url_at(client, rand_r(&seed) % REPLICAS, url);
			sse_client_set_url(client->sse, url);
			sse_client_cut_after(client->sse, (uint64_t)(rand_r(&seed) % 2000));
		}
	}
	kafka_producer_flush(producer);
}

static bool all_complete(void *context)
{
	(void)context;
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].sse && !ledger_complete(&clients[i].ledger))
			return false;
	return true;
}

static void report_all(void)
{
	bool good = true;

	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].sse)
			good = ledger_report(&clients[i].ledger) && good;
	assert_true(good);
}

/* One that comes back is owed what passes now of all that it has not seen. */
static void wake(struct client *client, int from, int until)
{
	for (int number = from; number < until; number++)
		if (passes(client, number, accepted[phase]))
			ledger_owe(&client->ledger, (uint32_t)number);
	connect_client(client, rand_r(&seed) % REPLICAS);
}

/*
 * An open stream narrowed, widened and closed to everything, by clients of which some are cut off
 * and moved, and some are away while the filter changes: each gets what passes, once and in order.
 * Another subject gets everything.
 */
static void test_user_filters_changed_on_open_streams_keep_the_promise(void **state)
{
	(void)state;
	for (int i = 0; i < CLIENTS; i++) {
		char name[48];

		snprintf(name, sizeof(name), "%s %d %s", clients[i].subject, i, clients[i].path);
		ledger_init(&clients[i].ledger, name, EVENTS);
		clients[i].marked = -1;
		connect_client(&clients[i], i % REPLICAS);
	}
	for (phase = 0; phase < PHASES; phase++) {
		set_filters();
		wait_for_marks();
		for (int i = 0; i < CLIENTS; i++) {
			if (!is_sleeper(i))
				continue;
			if (phase % 3 == 1)
				disconnect_client(&clients[i]);
			else if (phase % 3 == 0 && phase)
				wake(&clients[i], (phase - 2) * PHASE_EVENTS, phase * PHASE_EVENTS);
		}
		produce_phase();
		(void)sse_client_loop_until(loop, all_complete, NULL, PATIENCE_MS);
		report_all();
	}
	phase--;
	for (int i = 0; i < CLIENTS; i++)
		if (!clients[i].sse)
			wake(&clients[i], phase * PHASE_EVENTS, EVENTS);
	(void)sse_client_loop_until(loop, all_complete, NULL, PATIENCE_MS);
	report_all();
	for (int i = 0; i < CLIENTS; i++) {
		sse_client_close(clients[i].sse);
		clients[i].sse = NULL;
		ledger_fini(&clients[i].ledger);
	}
}

/* `body` NULL: none. */
static void open_with_body(struct watch *watch, const char *subject, int replica, const char *path,
			   const char *body)
{
	struct buffer field = {0};
	const char *const fields[] = {bearer(subject, &field), "Content-Type: application/json"};
	const struct sse_client_options options = {.headers = fields,
						   .header_count = body ? 2 : 1,
						   .body = body,
						   .own_connection = true,
						   .retry_ms = 10};

	*watch = (struct watch){0};
	assert_true(watch_open_connected(watch, loop, replicas[replica].url, path, &options));
	buffer_free(&field);
}

static void open_as(struct watch *watch, const char *subject, int replica, const char *path)
{
	open_with_body(watch, subject, replica, path, NULL);
}

/* All that a watch has got since then is of the kind; the newest is the one that was sent last. */
static bool has_last(const struct watch *watch, size_t before, int kind, const char *last)
{
	char begin[32];

	snprintf(begin, sizeof(begin), "{\"kind\":%d,", kind);
	for (size_t i = before; i < watch->count; i++)
		assert_int_equal(strncmp(watch->events[i].data, begin, strlen(begin)), 0);
	return watch->count > before && !strcmp(watch->events[watch->count - 1].data, last);
}

/* Sends events of the kind until all watches let it pass, and the last one has come. */
static void wait_for_kind_at(struct watch *watches, size_t count, int kind)
{
	size_t before[CROWD];
	bool all = false;

	for (size_t i = 0; i < count; i++)
		before[i] = watches[i].count;
	for (int tries = 0; !all; tries++) {
		char value[64];

		assert_true(tries < PATIENCE_MS / (10 * TURN_MS));
		snprintf(value, sizeof(value), "{\"kind\":%d,\"try\":%d}", kind, tries);
		send_value(0, value);
		kafka_producer_flush(producer);
		for (int turn = 0; turn < 10 && !all; turn++) {
			sse_client_loop_run(loop, TURN_MS);
			all = true;
			for (size_t i = 0; i < count; i++)
				all = has_last(&watches[i], before[i], kind, value) && all;
		}
	}
}

static void wait_for_kind(struct watch *watch, int kind)
{
	wait_for_kind_at(watch, 1, kind);
}

static size_t count_log(const char *text)
{
	size_t count = 0;

	for (int i = 0; i < REPLICAS; i++)
		count += gateway_process_count_log(&replicas[i], text);
	return count;
}

/* A pattern that somebody has written into the table and that is none lets nothing pass, and the
 * log says why; an emptied table lets everything pass. */
static void test_user_filters_edited_by_hand_close_until_mended(void **state)
{
	size_t logged = count_log("a filter cannot be used");
	struct watch watch;

	(void)state;
	open_as(&watch, "eve", 0, "/wide");
	wait_for_kind(&watch, 1);
	postgres_server_execute(&postgres, "insert into user_filter (subject, stream, pattern)"
					   " values ('eve', 'wide', '{\"value\": {\"kind\": 3}}')");
	for (int tries = 0; count_log("a filter cannot be used") == logged; tries++) {
		assert_true(tries < PATIENCE_MS / TURN_MS);
		sse_client_loop_run(loop, TURN_MS);
	}
	sse_client_loop_run(loop, TURN_MS);
	send_value(0, "{\"kind\":2}");
	kafka_producer_flush(producer);
	postgres_server_execute(&postgres,
				"update user_filter set pattern = '{\"value\": {\"kind\": [3, 4]}}'"
				" where subject = 'eve'");
	wait_for_kind(&watch, 3);
	postgres_server_execute(&postgres, "truncate user_filter");
	wait_for_kind(&watch, 0);
	watch_close(&watch);
}

static long status_of(const char *subject, const char *path, struct http_client_answer *answer)
{
	struct buffer field = {0}, url = {0};
	const char *const fields[] = {bearer(subject, &field)};

	buffer_append_format(&url, "%s%s", replicas[0].url, path);
	http_client_send(&(struct http_client_request){.method = "HEAD",
						       .url = buffer_text(&url),
						       .headers = fields,
						       .header_count = 1,
						       .timeout_ms = PATIENCE_MS},
			 answer);
	buffer_free(&url);
	buffer_free(&field);
	return answer->status;
}

/* The connection that reads filters comes back when its back-off allows: until then it is 503. */
static void wait_until_served(const char *subject, const char *path)
{
	struct http_client_answer answer;

	for (int tries = 0;; tries++) {
		long status = status_of(subject, path, &answer);

		http_client_answer_fini(&answer);
		if (status == 200)
			return;
		assert_int_equal(status, 503);
		assert_true(tries < PATIENCE_MS / TURN_MS);
		sse_client_loop_run(loop, TURN_MS);
	}
}

/* Without PostgreSQL nothing opens for one of whom nothing is known, and what is open goes on; what
 * was changed while it was not heard is made up for. */
static void test_user_filters_without_postgres_fail_closed(void **state)
{
	struct http_client_answer answer;
	struct watch watch;
	int id = add_filter("kim", "wide", "{\"value\": {\"kind\": [{\"numeric\": [\">\", 2]}]}}");

	(void)state;
	open_as(&watch, "kim", 0, "/wide");
	send_value(0, "{\"kind\":1}");
	wait_for_kind(&watch, 3);
	private_postgres_stop(postgres.cluster);
	assert_int_equal(status_of("nobody", "/wide", &answer), 503);
	assert_true(http_client_header(&answer, "retry-after").len > 0);
	http_client_answer_fini(&answer);
	/* Known by the open stream; and one that nobody narrows. */
	assert_int_equal(status_of("kim", "/wide", &answer), 200);
	http_client_answer_fini(&answer);
	assert_int_equal(status_of("nobody", "/plain", &answer), 200);
	http_client_answer_fini(&answer);
	send_value(0, "{\"kind\":1}");
	wait_for_kind(&watch, 4);
	postgres_server_restart(&postgres);
	remove_filter(id);
	wait_for_kind(&watch, 1);
	wait_until_served("nobody", "/wide");
	watch_close(&watch);
}

static struct watch crowd[CROWD];

/* More subjects than are read at once, known before and after PostgreSQL was away. */
static void test_user_filters_of_a_crowd_are_made_up_for(void **state)
{
	(void)state;
	postgres_server_execute(&postgres,
				"insert into user_filter (subject, stream, pattern)"
				" select 'crowd-' || n, 'wide', '{\"value\": {\"kind\": [11]}}'"
				" from generate_series(0, 249) n");
	for (int i = 0; i < CROWD; i++) {
		char subject[32];

		snprintf(subject, sizeof(subject), "crowd-%d", i);
		open_as(&crowd[i], subject, 0, "/wide");
	}
	send_value(0, "{\"kind\":12}");
	wait_for_kind_at(crowd, CROWD, 11);
	private_postgres_stop(postgres.cluster);
	postgres_server_restart(&postgres);
	postgres_server_execute(&postgres,
				"update user_filter set pattern = '{\"value\": {\"kind\": [12]}}'");
	wait_for_kind_at(crowd, CROWD, 12);
	private_postgres_stop(postgres.cluster);
	postgres_server_restart(&postgres);
	postgres_server_execute(&postgres, "delete from user_filter");
	wait_for_kind_at(crowd, CROWD, 13);
	for (int i = 0; i < CROWD; i++)
		watch_close(&crowd[i]);
}

/* A stream's own filter with a variable inside an operator is checked as well. */
static void test_user_filters_beside_an_inexact_filter(void **state)
{
	struct watch watch;

	(void)state;
	open_as(&watch, "ann", 0, "/at_least/3");
	send_value(0, "{\"kind\":2}");
	send_value(0, "{\"kind\":-7}");
	wait_for_kind(&watch, 3);
	send_value(0, "{\"kind\":2}");
	wait_for_kind(&watch, 4);
	watch_close(&watch);
}

/* A client's own pattern holds beside them, also where its request has to wait: for them, and for
 * its cursor. */
static void test_user_filters_beside_a_body(void **state)
{
	int id = add_filter("zoe", "wide", "{\"value\": {\"kind\": [{\"numeric\": [\">\", 2]}]}}");
	struct watch watch;

	(void)state;
	open_with_body(&watch, "zoe", 0, "/wide?cursor=page",
		       "{\"value\": {\"kind\": [{\"numeric\": [\"<\", 5]}]}}");
	send_value(0, "{\"kind\":2}");
	send_value(0, "{\"kind\":5}");
	wait_for_kind(&watch, 3);
	send_value(0, "{\"kind\":5}");
	remove_filter(id);
	wait_for_kind(&watch, 1);
	send_value(0, "{\"kind\":5}");
	wait_for_kind(&watch, 4);
	watch_close(&watch);
}

struct refusal {
	const char *arguments[9];
	int status;
	const char *says;
};

/* What is wrong is said, with the place in the pattern, and nothing is stored. */
static void test_user_filters_command_says_what_is_wrong(void **state)
{
	static const struct refusal rows[] = {
	    {{"filter", "add", "--subject", "s", "--stream", "wide", "--pattern",
	      "{\"value\": {\"a\": 1}}"},
	     1,
	     "--pattern at /value/a: "},
	    {{"filter", "add", "--subject", "s", "--stream", "wide", "--pattern",
	      "{\"claims\": [1]}"},
	     1,
	     "--pattern at /claims: "},
	    {{"filter", "add", "--subject", "s", "--stream", "wide", "--pattern",
	      "{\"key\": [\"{path.user}\"]}"},
	     1,
	     "--pattern at /key/0: "},
	    {{"filter", "add", "--subject", "s", "--stream", "wide", "--pattern", "{\"key\": "},
	     1,
	     "it is not JSON"},
	    {{"filter", "add", "--subject", "s", "--stream", "wide", "--pattern", ""},
	     1,
	     "it is not JSON"},
	    {{"filter", "add", "--subject", "s", "--stream", "wide", "--pattern",
	      "{\"key\": [\"\xff\"]}"},
	     1,
	     "it is not JSON"},
	    {{"filter", "add", "--subject", "s", "--stream", "wide", "--pattern",
	      "{\"value\": {\"a\": [1e300]}}"},
	     1,
	     "--pattern"},
	    {{"filter", "add", "--subject", "s", "--stream", "plain", "--pattern",
	      "{\"key\": [\"1\"]}"},
	     1,
	     "\"plain\" does not say"},
	    {{"filter", "add", "--subject", "s", "--stream", "wyde", "--pattern",
	      "{\"key\": [\"1\"]}"},
	     1,
	     "no stream \"wyde\""},
	    {{"filter", "add", "--subject", "", "--stream", "wide", "--pattern",
	      "{\"key\": [\"1\"]}"},
	     1,
	     "--subject must be"},
	    {{"filter", "add", "--subject", "s", "--stream", "wide"}, 2, "usage: "},
	    {{"filter", "remove", "--id", "9223372036854775807"}, 1, "there is no filter"},
	    {{"filter", "remove", "--id", "1;"}, 1, "--id must be"},
	    {{"filter", "remove"}, 2, "usage: "},
	    {{"filter", "forget"}, 2, "usage: "},
	    {{"filter", "list", "--subject", "s"}, 0, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int status;
		char *said = gateway_process_run(&replicas[0], rows[i].arguments, &status);

		if (status != rows[i].status || !strstr(said, rows[i].says))
			fail_msg("row %zu: %d, %s", i, status, said);
		if (!rows[i].status)
			assert_string_equal(said, "");
		free(said);
	}
}

/* What was added is listed, as JSON lines, until it is removed. */
static void test_user_filters_command_lists_what_is_stored(void **state)
{
	const char *const list[] = {"filter", "list", "--subject", "o'\"brien", NULL};
	int id = add_filter("o'\"brien", "wide", "{\"key\": [\"a\", {\"prefix\": \"b\"}]}"), status;
	char *said = gateway_process_run(&replicas[0], list, &status);
	json_t *row = json_loads(said, 0, NULL);
	const char *subject, *stream;
	json_t *pattern;
	int listed;

	(void)state;
	assert_non_null(row);
	assert_int_equal(json_unpack(row, "{s:i,s:s,s:s,s:o}", "id", &listed, "subject", &subject,
				     "stream", &stream, "pattern", &pattern),
			 0);
	assert_int_equal(listed, id);
	assert_string_equal(subject, "o'\"brien");
	assert_string_equal(stream, "wide");
	assert_int_equal(json_array_size(json_object_get(pattern, "key")), 2);
	json_decref(row);
	free(said);
	remove_filter(id);
	said = gateway_process_run(&replicas[0], list, &status);
	assert_string_equal(said, "");
	free(said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOOP_TEST(test_user_filters_changed_on_open_streams_keep_the_promise),
	    LOOP_TEST(test_user_filters_edited_by_hand_close_until_mended),
	    LOOP_TEST(test_user_filters_without_postgres_fail_closed),
	    LOOP_TEST(test_user_filters_of_a_crowd_are_made_up_for),
	    LOOP_TEST(test_user_filters_beside_an_inexact_filter),
	    LOOP_TEST(test_user_filters_beside_a_body),
	    cmocka_unit_test(test_user_filters_command_says_what_is_wrong),
	    cmocka_unit_test(test_user_filters_command_lists_what_is_stored),
	};

	seed = 11;
	return cmocka_run_group_tests(tests, start, stop);
}
