/*
 * The promise for all that a stream can be: every event that is for a client comes exactly once and
 * in partition order, as what it is to that stream, while clients of many kinds are cut off at any
 * byte, sent away, moved to the other replica and put to sleep, gateways are killed and restarted,
 * and filters change.
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

#include "base/clock.h"
#include "lib/credentials.h"
#include "lib/gateway_process.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/postgres_server.h"
#include "lib/random.h"
#include "lib/sse_client.h"
#include "life_promise.h"

#define SECRET "0123456789abcdef0123456789abcdef"

enum {
	REPLICAS = 2,
	TASK_STEPS = 8, /* so many more than the one before */
	STEPS = 10,     /* of a phase */
	STEP_EVENTS = 60,
	CROWD_EVENTS = 600, /* more than a small window holds */
	CUTS_A_STEP = 6,
	MAX_CUT_BITS = 14,
	STEP_TURNS = 4,
	TURN_MS = 10,
	LANES = 4,
	MAX_CLIENTS = 80,
	JOURNALS = 5, /* of `events` */
	ID_BYTES = 4096,
	PATIENCE_MS = 90000, /* for tests that fail */
};

/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"server_id": "life",
	"listeners": [
		{ "address": "127.0.0.1", "port": "${LIFE_PORT}" },
		{ "address": "127.0.0.1", "port": "${LIFE_TLS_PORT}",
		  "tls": { "certificate_file": "${LIFE_FOLDER}/cert.pem", "key_file": "${LIFE_FOLDER}/key.pem" } }
	],
	"http": { "loops": 2, "drain": "1s" },
	"kafka": { "bootstrap.servers": "${LIFE_KAFKA}", "fetch.wait.max.ms": 10,
		"session.timeout.ms": 6000, "heartbeat.interval.ms": 300 },
	"ingest": { "warm": "${LIFE_WARM}" },
	"postgres": { "url": "${LIFE_POSTGRES}", "migrate": true },
	"journal": { "linger": "20ms" },
	"replay": { "chunk": "16KiB" },
	"auth": { "issuers": [{ "algorithms": ["HS256"], "secret": "0123456789abcdef0123456789abcdef" }] },
	"streams": {
		"wide": { "path": "/wide", "topics": ["events", "more"], "access": "public", "max_event": "1KiB",
			"tombstones": "skip", "heartbeat": { "every": "100ms", "as": "comment" }, "window": "16MiB" },
		"record": { "path": "/record", "topics": ["events"], "access": "public", "max_event": "1KiB",
			"event": { "envelope": "record" }, "welcome": { "data": { "me": "{claims.sub}" } },
			"heartbeat": { "every": "100ms", "as": "event", "event": "beat" },
			"window": "64KiB", "journal": { "retain": "24h" } },
		"cloud": { "path": "/cloud", "topics": ["more", "events"], "access": "public", "max_event": "1KiB",
			"event": { "envelope": "cloudevents" }, "tombstones": { "event": "deleted" },
			"heartbeat": "100ms", "max_age": "1s", "window": "64KiB" },
		"user": { "path": "/users/{user}", "topics": ["events"], "access": "public", "max_event": "1KiB",
			"filter": { "headers": { "user": ["{path.user}"] } }, "event": { "event": "/value/level" },
			"tombstones": { "event": "deleted" }, "undecodable": "error", "welcome": { "data": "{path.user}" },
			"heartbeat": "100ms", "max_age": "2s", "window": "64KiB", "journal": { "retain": "24h" } },
		"level": { "path": "/levels", "topics": ["events"], "access": "public", "max_event": "1KiB",
			"params": { "level": { "enum": ["debug", "info", "warn", "alarm"], "ordered": true } },
			"filter": { "value": { "level": [{ "at-least": "{query.level}" }] } },
			"undecodable": "error", "heartbeat": "100ms", "idle_timeout": "1s", "window": "64KiB" },
		"rank": { "path": "/ranks/{rank}", "topics": ["events"], "access": "public", "max_event": "1KiB",
			"params": { "rank": { "in": "path", "type": "integer" } },
			"filter": { "value": { "rank": [{ "numeric": [">=", "{path.rank}"] }] } },
			"heartbeat": "100ms", "window": "64KiB", "journal": { "retain": "24h" } },
		"narrow": { "path": "/narrow", "topics": ["events"], "access": "public", "max_event": "1KiB",
			"client_filters": true, "tombstones": { "event": "deleted" },
			"heartbeat": "100ms", "window": "64KiB", "journal": { "retain": "24h" } },
		"mine": { "path": "/mine", "topics": ["events"], "access": { "claims": { "role": ["reader"] } },
			"max_event": "1KiB", "user_filters": true, "tombstones": "skip",
			"heartbeat": "100ms", "window": "16MiB" },
		"mine_small": { "path": "/mine_small/{user}", "topics": ["events"], "access": { "claims": { "role": ["reader"] } },
			"max_event": "1KiB", "user_filters": true, "tombstones": { "event": "deleted" },
			"filter": { "headers": { "user": ["{path.user}", "all"] } },
			"heartbeat": "100ms", "window": "64KiB" },
		"mine_kept": { "path": "/mine_kept", "topics": ["events"], "access": { "claims": { "role": ["reader"] } },
			"max_event": "1KiB", "user_filters": true, "client_filters": true, "tombstones": "skip",
			"heartbeat": "100ms", "window": "64KiB", "journal": { "retain": "24h" } },
		"task": { "path": "/tasks/{task}", "topics": ["tasks"], "access": "public", "start": "earliest",
			"filter": { "value": { "task": ["{path.task}"] } },
			"end_when": { "value": { "status": ["done"] } },
			"heartbeat": "100ms", "window": "64KiB", "max_event": "1KiB" },
		"task_kept": { "path": "/kept_tasks/{task}", "topics": ["tasks"], "access": "public", "start": "earliest",
			"filter": { "value": { "task": ["{path.task}"] } },
			"end_when": { "value": { "status": [{ "prefix": "do" }] } },
			"heartbeat": "100ms", "window": "64KiB", "max_event": "1KiB", "journal": { "retain": "24h" } },
		"task_last": { "path": "/last_tasks/{task}", "topics": ["tasks"], "access": "public",
			"filter": { "value": { "task": ["{path.task}"] } },
			"end_when": { "value": { "status": ["done"] } },
			"heartbeat": "100ms", "window": "64KiB", "max_event": "1KiB" },
		"poll": { "path": "/poll", "topics": ["events", "more"], "access": "public", "max_event": "1KiB",
			"params": { "follow": { "type": "boolean" } }, "follow": "{query.follow}", "start": "earliest",
			"tombstones": "skip", "heartbeat": "100ms", "window": "64KiB" }
	}
}
);
/* clang-format on */

struct client {
	struct sse_client *sse; /* NULL: it is away */
	const char *subject;
	enum sse_client_http http;
	struct lane lanes[LANES];
	size_t count;
	int home;                        /* the replica that it stays with; -1: it moves */
	uint32_t away_since;             /* what was sent by then */
	char last_id[ID_BYTES];          /* of all that moves it */
	char last_id_of_event[ID_BYTES]; /* of what it counts */
};

static struct kafka_broker broker;
static struct kafka_producer *producer;
static char folder[CHILD_PATH_BYTES];
static char ca_file[CREDENTIALS_PATH_BYTES];
static struct postgres_server postgres;
static struct gateway_process replicas[REPLICAS];
static char ports[REPLICAS][2][8];
static bool up[REPLICAS];
static struct sse_client_loop *loop;
static struct client clients[MAX_CLIENTS];
static size_t client_count;
static uint32_t steps_of[TASKS];
static bool is_late_open[TASKS];
static unsigned refused;

static const char *const sources[] = {"window", "kafka", "journal"};
enum { SOURCES = 3 };
static double replays[SOURCES]; /* of gateways that have gone */

/* In a connection of several streams the type begins with the stream's. */
static struct lane *lane_of(struct client *client, const char **type)
{
	if (client->count == 1)
		return &client->lanes[0];
	for (size_t i = 0; i < client->count; i++) {
		size_t len = strlen(client->lanes[i].address);

		if (strncmp(*type, client->lanes[i].address, len) != 0 ||
		    ((*type)[len] && (*type)[len] != '#'))
			continue;
		*type = (*type)[len] ? *type + len + 1 : "message";
		return &client->lanes[i];
	}
	ledger_fail(&client->lanes[0].ledger, "an event of nobody came: %s", *type);
	return &client->lanes[0];
}

static void keep_id(char kept[ID_BYTES], struct slice id)
{
	if (id.len >= ID_BYTES)
		child_die("an id has %zu bytes", id.len);
	snprintf(kept, ID_BYTES, "%.*s", (int)id.len, id.base ? id.base : "");
}

static void on_event(void *context, struct sse_client *sse, const struct sse_event *event)
{
	struct client *client = context;
	struct buffer type_text = {0}, data_text = {0};
	const char *type, *text;
	struct lane *lane;

	(void)sse;
	buffer_append_slice(&type_text, event->type);
	buffer_append_slice(&data_text, event->data);
	type = buffer_text(&type_text);
	text = buffer_text(&data_text);
	lane = lane_of(client, &type);
	if (!take_notice(lane, type, text) && take_record(lane, type, text))
		keep_id(client->last_id_of_event, event->last_event_id);
	buffer_free(&type_text);
	buffer_free(&data_text);
}

static void on_comment(void *context, struct sse_client *sse, struct slice text)
{
	struct client *client = context;

	(void)sse;
	if (text.len > 5 && !memcmp(text.base, " life", 5))
		client->lanes[0].comments++;
}

static void append_encoded(struct buffer *out, const char *text)
{
	for (; *text; text++) {
		if (strchr("?&=%#", *text))
			buffer_append_format(out, "%%%02X", (unsigned)*text);
		else
			buffer_append(out, text, 1);
	}
}

static void make_url(const struct client *client, int replica, struct buffer *url)
{
	bool tls = client->http == SSE_CLIENT_HTTP2_TLS;

	buffer_append_format(url, "%s://127.0.0.1:%s", tls ? "https" : "http", ports[replica][tls]);
	if (client->count == 1)
		buffer_append_text(url, client->lanes[0].address);
	for (size_t i = 0; client->count > 1 && i < client->count; i++) {
		buffer_append_text(url, i ? "&s=" : "/streams?s=");
		append_encoded(url, client->lanes[i].address);
	}
}

static int choose_replica(const struct client *client)
{
	return client->home >= 0 ? client->home : (int)random_draw(REPLICAS);
}

static void connect_with(struct client *client, const char *id)
{
	const char *body = client->lanes[0].kind->body;
	struct buffer url = {0}, token = {0}, claims = {0};

	make_url(client, choose_replica(client), &url);
	buffer_append_format(&claims, "{\"sub\":\"%s\",\"role\":\"reader\"}", client->subject);
	credentials_bearer(SECRET, buffer_text(&claims), &token);
	const char *const fields[] = {buffer_text(&token), "Content-Type: application/json"};

	client->sse = sse_client_open(
	    loop, &(struct sse_client_options){.url = buffer_text(&url),
					       .http = client->http,
					       .headers = fields,
					       .header_count = body ? 2 : 1,
					       .body = body,
					       .ca_file = ca_file,
					       .last_event_id = *id ? id : NULL,
					       /* libcurl 7.88 fails to share it. */
					       .own_connection =
						   client->http == SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE,
					       .eager = true,
					       .retry_ms = 1 + random_draw(40),
					       .retry_limit_ms = 50,
					       .on_event = on_event,
					       .on_comment = on_comment,
					       .context = client});
	buffer_free(&url);
	buffer_free(&token);
	buffer_free(&claims);
}

static void disconnect(struct client *client)
{
	keep_id(client->last_id, sse_client_facts(client->sse).last_event_id);
	sse_client_close(client->sse);
	client->sse = NULL;
	client->away_since = sent;
}

/* Who has filters that change is owed what passes now of all that it has missed. */
static void wake(struct client *client)
{
	for (size_t i = 0; i < client->count; i++)
		for (uint32_t n = client->away_since; client->lanes[i].is_adas && n < sent; n++)
			owe(&client->lanes[i], n);
	connect_with(client, client->last_id);
}

struct choice {
	enum kind_name kind;
	uint32_t of;
};

static struct client *add_client(const char *subject, enum sse_client_http http,
				 const struct choice *choices, size_t count)
{
	struct client *client = &clients[client_count++];

	assert_true(client_count <= MAX_CLIENTS);
	*client = (struct client){.subject = subject, .http = http, .count = count, .home = -1};
	for (size_t i = 0; i < count; i++) {
		struct lane *lane = &client->lanes[i];
		char name[48];

		lane->kind = &kinds[choices[i].kind];
		lane->choice = choices[i].of;
		lane->is_adas = !strcmp(subject, "ada");
		lane->marked = -1;
		choose_address(lane);
		snprintf(name, sizeof(name), "%zu%s %.30s", client_count - 1,
			 count > 1 ? " (several)" : "", lane->address);
		ledger_init(&lane->ledger, name, MAX_EVENTS);
	}
	return client;
}

enum { STAYS_AT_0, STAYS_AT_1, MOVES, SLEEPS };
#define H1  SSE_CLIENT_HTTP1
#define H2  SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE
#define TLS SSE_CLIENT_HTTP2_TLS

static const struct {
	const char *subject;
	enum sse_client_http http;
	int manner;
	struct choice choices[LANES];
	size_t count;
} plan[] = {
    /* What their marks say holds for their whole replica. */
    {"ada", H1, STAYS_AT_0, {{MINE, 0}, {MINE_SMALL, 0}, {MINE_KEPT, 0}}, 3},
    {"ada", H2, STAYS_AT_1, {{MINE, 0}, {MINE_SMALL, 0}, {MINE_KEPT, 0}}, 3},
    {"ada", H1, MOVES, {{MINE, 0}}, 1},
    {"ada", H1, SLEEPS, {{MINE, 0}}, 1},
    {"ada", H2, MOVES, {{MINE_SMALL, 1}}, 1},
    {"ada", TLS, SLEEPS, {{MINE_SMALL, 2}}, 1},
    {"ada", TLS, MOVES, {{MINE_KEPT, 0}}, 1},
    {"ada", H1, SLEEPS, {{MINE_KEPT, 0}}, 1},
    {"ada", H1, MOVES, {{MINE_POST, 0}}, 1},
    {"ada", TLS, SLEEPS, {{MINE_POST, 0}}, 1},
    {"ada", TLS, MOVES, {{MINE_SMALL, 3}, {MINE, 0}, {USER, 3}}, 3},
    {"ada", H1, SLEEPS, {{MINE_KEPT, 0}, {LEVEL, 1}, {MINE_SMALL, 0}}, 3},
    {"bob", H1, MOVES, {{MINE, 0}}, 1},
    {"bob", TLS, MOVES, {{MINE_SMALL, 1}}, 1},
    {"bob", H1, MOVES, {{WIDE, 0}}, 1},
    {"bob", TLS, SLEEPS, {{WIDE, 0}}, 1},
    {"bob", H1, MOVES, {{RECORDS, 0}}, 1},
    {"bob", H2, SLEEPS, {{RECORDS, 0}}, 1},
    {"bob", H1, MOVES, {{CLOUDS, 0}}, 1},
    {"bob", TLS, SLEEPS, {{CLOUDS, 0}}, 1},
    {"bob", H2, MOVES, {{USER, 0}}, 1},
    {"bob", H1, MOVES, {{USER, 1}}, 1},
    {"bob", TLS, SLEEPS, {{USER, 2}}, 1},
    {"bob", H1, MOVES, {{LEVEL, 2}}, 1},
    {"bob", TLS, SLEEPS, {{LEVEL, 3}}, 1},
    {"bob", H1, MOVES, {{RANK, 3}}, 1},
    {"bob", H2, SLEEPS, {{RANK, 4}}, 1},
    {"bob", H1, MOVES, {{NARROW_GET, 1}}, 1},
    {"bob", TLS, SLEEPS, {{NARROW_GET, 5}}, 1},
    {"bob", H1, SLEEPS, {{NARROW_POST, 0}}, 1},
    {"bob", TLS, MOVES, {{NARROW_POST, 0}}, 1},
    {"bob", H1, MOVES, {{POLL, 0}}, 1},
    {"bob", TLS, MOVES, {{POLL, 0}}, 1},
    {"bob", H1, MOVES, {{WIDE, 0}, {USER, 1}, {NARROW_GET, 2}, {TASK, 3}}, 4},
    {"bob", H2, MOVES, {{RECORDS, 0}, {LEVEL, 0}, {RANK, 5}, {TASK_KEPT, 4}}, 4},
    {"bob", TLS, SLEEPS, {{CLOUDS, 0}, {USER, 2}, {WIDE, 0}}, 3},
    {"bob", H1, MOVES, {{TASK, 0}}, 1},
    {"bob", H2, MOVES, {{TASK, 4}}, 1},
    {"bob", TLS, SLEEPS, {{TASK, 5}}, 1},
    {"bob", H1, MOVES, {{TASK_KEPT, 1}}, 1},
    {"bob", TLS, SLEEPS, {{TASK_KEPT, 6}}, 1},
    {"bob", H2, MOVES, {{TASK_LAST, 2}}, 1},
    {"bob", H1, MOVES, {{TASK_LAST, 7}}, 1},
    {"bob", TLS, MOVES, {{TASK, 1}, {TASK_KEPT, 6}}, 2},
};
enum { PLANNED = sizeof(plan) / sizeof(plan[0]) };

static bool is_sleeper(size_t i)
{
	return i < PLANNED && plan[i].manner == SLEEPS;
}

static void add_planned(void)
{
	for (size_t i = 0; i < PLANNED; i++) {
		struct client *client =
		    add_client(plan[i].subject, plan[i].http, plan[i].choices, plan[i].count);

		if (plan[i].manner <= STAYS_AT_1)
			client->home = plan[i].manner;
		connect_with(client, "");
	}
}

static bool has_ended(uint32_t task)
{
	return steps_of[task] >= (task + 1) * TASK_STEPS;
}

/* A client of nothing but tasks that have ended. */
static bool is_over(const struct client *client)
{
	for (size_t i = 0; i < client->count; i++)
		if (!client->lanes[i].kind->is_task || !has_ended(client->lanes[i].choice))
			return false;
	return true;
}

static bool is_closed(const struct client *client)
{
	return sse_client_facts(client->sse).state == SSE_CLIENT_CLOSED;
}

static bool all_connected(void)
{
	for (size_t i = 0; i < client_count; i++)
		for (size_t j = 0; j < clients[i].count; j++)
			if (!clients[i].lanes[j].connected)
				return false;
	return true;
}

static bool all_marked(void)
{
	for (size_t i = 0; i < client_count; i++)
		for (size_t j = 0; clients[i].sse && j < clients[i].count; j++)
			if (clients[i].lanes[j].is_adas && clients[i].lanes[j].kind->narrowed &&
			    clients[i].lanes[j].marked < phase)
				return false;
	return true;
}

/* Or somebody cannot be any more. */
static bool all_complete(void)
{
	bool complete = true;

	for (size_t i = 0; i < client_count; i++) {
		const struct client *client = &clients[i];

		for (size_t j = 0; j < client->count; j++)
			if (client->lanes[j].ledger.fault[0])
				return true;
		for (size_t j = 0; client->sse && j < client->count; j++)
			complete &= ledger_complete(&client->lanes[j].ledger);
		if (client->sse && is_over(client))
			complete &= is_closed(client);
	}
	return complete;
}

/* Everybody has seen what its streams do by themselves when nothing else happens. */
static bool all_noticed(void)
{
	for (size_t i = 0; i < client_count; i++) {
		const struct lane *lane = &clients[i].lanes[0];

		if (clients[i].count == 1 &&
		    ((lane->kind->beats && !lane->beats) ||
		     (lane->kind->comments && !lane->comments) ||
		     (lane->kind->ages && !lane->timeouts) ||
		     (lane->kind->idles && !lane->timeouts) || (lane->kind->polls && !lane->ends)))
			return false;
	}
	return true;
}

/* A page's own part: who polls comes back after its last event, who is told that something cannot
 * be looked up now asks again. */
static void tend(struct client *client)
{
	struct sse_client_facts facts = sse_client_facts(client->sse);

	if (facts.state != SSE_CLIENT_CLOSED || (facts.status == 204 && is_over(client)))
		return;
	if (facts.status == 204 && client->lanes[0].kind->polls) {
		sse_client_close(client->sse);
		connect_with(client, client->last_id_of_event);
	} else if (facts.status == 503) {
		refused++;
		disconnect(client);
		connect_with(client, client->last_id);
	} else {
		ledger_fail(&client->lanes[0].ledger, "it is told %ld: %.*s", facts.status,
			    (int)facts.body.len, facts.body.base ? facts.body.base : "");
	}
}

static void run_turn(uint32_t timeout_ms)
{
	for (size_t i = 0; i < client_count; i++)
		if (clients[i].sse)
			tend(&clients[i]);
	sse_client_loop_run(loop, timeout_ms);
}

static bool run_until(bool (*done)(void), uint32_t patience_ms)
{
	uint64_t deadline_ms = clock_monotonic_ms() + patience_ms;

	while (!done()) {
		if (clock_monotonic_ms() > deadline_ms)
			return false;
		run_turn(TURN_MS);
	}
	return true;
}

static bool report(const struct client *client)
{
	struct sse_client_facts facts;
	bool good = true;

	for (size_t i = 0; i < client->count; i++)
		good &= ledger_report(&client->lanes[i].ledger);
	if (good && (!is_over(client) || (is_closed(client) && client->lanes[0].ends <= 1)))
		return true;
	facts = sse_client_facts(client->sse);
	fprintf(stderr, "  client %zu: state %d, status %ld, %llu opens, %u ends, id %.*s\n",
		(size_t)(client - clients), facts.state, facts.status,
		(unsigned long long)facts.opens, client->lanes[0].ends,
		(int)facts.last_event_id.len, facts.last_event_id.base);
	return false;
}

static void check_all(void)
{
	bool good = true;

	run_until(all_complete, PATIENCE_MS);
	for (size_t i = 0; i < client_count; i++)
		if (clients[i].sse)
			good &= report(&clients[i]);
	assert_true(good);
}

/* Puts a record into the log; `number` NO_EVENT: one that does not count. */
static void produce(int number, const struct kafka_message *message, enum topic topic)
{
	int64_t *offset = &next_offset[topic][message->partition];

	assert_true(*offset < MAX_EVENTS);
	numbers[topic][message->partition][(*offset)++] = number;
	kafka_producer_send(producer, message);
}

static void produce_event(uint32_t number)
{
	static char padding[2048];
	const struct event *event = &events[number];
	char user[8], rank[8], mark[8], key[16], value[2048];

	memset(padding, '.', sizeof(padding));
	snprintf(user, sizeof(user), "u%u", event->user);
	snprintf(rank, sizeof(rank), "%u", event->rank);
	snprintf(mark, sizeof(mark), "%d", event->closes);
	snprintf(key, sizeof(key), "%u", number);
	if (event->topic == STEPS_OF_TASKS)
		snprintf(value, sizeof(value), "{\"n\":%u,\"task\":\"t%u\",\"status\":\"%s\"}",
			 number, event->task, event->is_last ? "done" : "runs");
	else
		snprintf(value, sizeof(value),
			 "{\"n\":%u,\"mark\":%s,\"rank\":%u,\"level\":\"%s\",\"text\":\"%.*s\"%s",
			 number, mark, event->rank, levels[event->level], (int)event->padding,
			 padding, event->shape == BROKEN ? "" : "}");
	const struct kafka_header headers[] = {
	    {"user", slice_of(user)}, {"rank", slice_of(rank)}, {"mark", slice_of(mark)}};

	produce((int)number,
		&(struct kafka_message){
		    .topic = topics[event->topic],
		    .partition = (int32_t)event->partition,
		    .key = slice_of(key),
		    .value = event->shape == TOMBSTONE ? (struct slice){0} : slice_of(value),
		    .headers = headers,
		    .header_count = 3,
		},
		event->topic);
}

static void send_event(struct event event)
{
	uint32_t number = sent++;

	assert_true(sent <= MAX_EVENTS);
	events[number] = event;
	for (size_t i = 0; i < client_count; i++)
		for (size_t j = 0; j < clients[i].count; j++)
			if (clients[i].sse || !clients[i].lanes[j].is_adas)
				owe(&clients[i].lanes[j], number);
	produce_event(number);
}

static void send_any(void)
{
	uint32_t shape = random_draw(24);
	struct event event = {
	    .topic = random_draw(6) ? EVENTS : MORE,
	    .shape = shape < SHAPES ? shape : PLAIN,
	    .partition = random_draw(PARTITIONS),
	    .user = random_draw(USERS),
	    .level = random_draw(LEVELS),
	    .rank = random_draw(RANKS),
	    .padding = random_draw(250),
	    .closes = -1,
	};

	if (event.shape == LARGE)
		event.padding += 1024;
	send_event(event);
}

/* Those of odd numbers go on after their end. */
static void send_steps(void)
{
	for (uint32_t t = 0; t < TASKS; t++) {
		bool ended = has_ended(t);

		if (ended && t % 2 == 0)
			continue;
		steps_of[t]++;
		send_event((struct event){.topic = STEPS_OF_TASKS,
					  .partition = t,
					  .task = t,
					  .is_last = !ended && has_ended(t),
					  .is_after = ended,
					  .closes = -1});
	}
}

/* For all of ada's, in every partition: who has them has passed whatever was sent before. */
static void close_phase(void)
{
	for (uint32_t p = 0; p < PARTITIONS; p++)
		for (uint32_t user = 0; user < USERS; user++)
			send_event((struct event){
			    .partition = p, .user = user, .level = 1, .closes = phase});
	kafka_producer_flush(producer);
}

static void send_portion(void)
{
	for (int i = 0; i < STEP_EVENTS; i++)
		send_any();
	send_steps();
	kafka_producer_flush(producer);
}

/* A phase's mark passes its own filter and none before, the bait none at all: who has the one and
 * not the other is filtered by it. */
static void send_mark(bool is_bait)
{
	char value[64], mark[16];

	snprintf(mark, sizeof(mark), is_bait ? "bait" : "%d", phase);
	snprintf(value, sizeof(value), "{\"%s\":%d,\"level\":\"all\"}", is_bait ? "bait" : "mark",
		 phase);
	const struct kafka_header headers[] = {{"user", SLICE_LIT("all")},
					       {"mark", slice_of(mark)}};
	produce(NO_EVENT,
		&(struct kafka_message){.topic = "events",
					.key = slice_of(is_bait ? "bait" : "mark"),
					.value = slice_of(value),
					.headers = headers,
					.header_count = 2},
		EVENTS);
}

static void wait_for_marks(void)
{
	bool marked = false;

	for (int tries = 0; !marked; tries++) {
		assert_true(tries < PATIENCE_MS / 50);
		send_mark(true);
		send_mark(false);
		kafka_producer_flush(producer);
		marked = run_until(all_marked, 50);
	}
}

/* One of the value, one of the headers, which a tombstone has as well. All in one transaction. */
static void set_filters(void)
{
	struct buffer by_value = {0}, by_header = {0}, sql = {0};

	buffer_append_format(&by_value,
			     "{\"$or\": [{\"value\": {\"mark\": [%d]}},"
			     " {\"value\": {\"rank\": [-1",
			     phase);
	buffer_append_format(&by_header,
			     "{\"$or\": [{\"headers\": {\"mark\": [\"%d\"]}},"
			     " {\"headers\": {\"rank\": [\"none\"",
			     phase);
	for (int rank = 0; rank < RANKS; rank++) {
		if (!(accepted[phase] >> rank & 1))
			continue;
		buffer_append_format(&by_value, ", %d", rank);
		buffer_append_format(&by_header, ", \"%d\"", rank);
	}
	buffer_append_text(&by_value, "]}}]}");
	buffer_append_text(&by_header, "]}}]}");
	buffer_append_text(&sql, "begin; delete from user_filter where subject = 'ada';");
	if (accepted[phase] != ALL_RANKS)
		buffer_append_format(&sql,
				     "insert into user_filter (subject, stream, pattern) values"
				     " ('ada', 'mine', '%s'), ('ada', 'mine_kept', '%s'),"
				     " ('ada', 'mine_small', '%s');",
				     buffer_text(&by_value), buffer_text(&by_value),
				     buffer_text(&by_header));
	buffer_append_text(&sql, "commit");
	postgres_server_execute(&postgres, buffer_text(&sql));
	buffer_free(&by_value);
	buffer_free(&by_header);
	buffer_free(&sql);
}

/* All journals of the topic `events` have all that was sent. */
static void wait_journaled(void)
{
	int64_t all = 0;
	char sql[256];

	for (int p = 0; p < PARTITIONS; p++)
		all += next_offset[EVENTS][p];
	snprintf(sql, sizeof(sql),
		 "select count(*) from (select sum(next_offset) s from journal_offset"
		 " join journal_feed using (feed_id) where 'events' = any (topics)"
		 " group by feed_id) f where s = %lld",
		 (long long)all);
	postgres_server_wait(&postgres, sql, JOURNALS);
}

/* At any byte of what comes next, or at once; half of them go on elsewhere. */
static void cut_somebody(void)
{
	struct client *client = &clients[random_draw((uint32_t)client_count)];
	struct buffer url = {0};

	if (!client->sse)
		return;
	make_url(client, choose_replica(client), &url);
	if (random_draw(3))
		sse_client_cut_after(client->sse,
				     1 + random_draw(1u << random_draw(MAX_CUT_BITS + 1)));
	else
		sse_client_cut(client->sse);
	sse_client_set_url(client->sse, buffer_text(&url));
	buffer_free(&url);
}

static void count_replays(int replica)
{
	for (int i = 0; i < SOURCES; i++) {
		char series[64];

		snprintf(series, sizeof(series), "sluice_replays_total{source=\"%s\"}", sources[i]);
		replays[i] += gateway_process_metric(&replicas[replica], series);
	}
}

static void start_replica(int replica)
{
	setenv("LIFE_PORT", ports[replica][0], 1);
	setenv("LIFE_TLS_PORT", ports[replica][1], 1);
	gateway_process_start(&replicas[replica]);
	up[replica] = true;
}

static void start_missing(void)
{
	for (int i = 0; i < REPLICAS; i++)
		if (!up[i])
			start_replica(i);
}

/* With a kill a client's next id is where its bytes broke off, with a stop where it was sent away.
 */
static void take_one_down(void)
{
	int replica = (int)random_draw(REPLICAS);

	count_replays(replica);
	if (random_draw(3))
		gateway_process_kill(&replicas[replica]);
	else
		assert_int_equal(gateway_process_stop(&replicas[replica]), 0);
	up[replica] = false;
}

static void play_phase(void)
{
	uint32_t restart = random_draw(STEPS);

	for (uint32_t step = 0; step < STEPS; step++) {
		start_missing();
		send_portion();
		for (int i = 0; i < CUTS_A_STEP; i++)
			cut_somebody();
		if (step == restart)
			take_one_down();
		for (int i = 0; i < STEP_TURNS; i++)
			run_turn(random_draw(TURN_MS));
	}
	start_missing();
}

static void add_late(enum kind_name kind, uint32_t task)
{
	static const enum sse_client_http https[] = {H1, TLS, H2};
	struct client *client = add_client("bob", https[client_count % 3],
					   &(struct choice){.kind = kind, .of = task}, 1);

	for (uint32_t n = 0; n < sent; n++)
		owe(&client->lanes[0], n);
	connect_with(client, "");
}

/* They want a task that is over: all of it, or how it ended. */
static void add_late_ones(void)
{
	for (uint32_t t = 0; t < TASKS; t++) {
		if (!has_ended(t) || is_late_open[t])
			continue;
		is_late_open[t] = true;
		add_late(TASK, t);
		add_late(TASK_KEPT, t);
		/* Where it goes on afterwards, the newest step is not the last. */
		if (t % 2 == 0)
			add_late(TASK_LATE, t);
	}
}

static void send_to_sleep(struct client *client)
{
	if (client->sse && !is_closed(client))
		disconnect(client);
}

/* Two phases away, one here. */
static void change_sleepers(void)
{
	for (size_t i = 0; i < PLANNED; i++) {
		if (!is_sleeper(i))
			continue;
		if (phase % 3 == 1)
			send_to_sleep(&clients[i]);
		else if (!clients[i].sse)
			if (phase % 3 == 0)
				wake(&clients[i]);
	}
}

static void wake_all(void)
{
	for (size_t i = 0; i < client_count; i++)
		if (!clients[i].sse)
			wake(&clients[i]);
}

/* All go; when they come back, windows that are small have not what they missed. */
static void come_back_as_a_crowd(void)
{
	for (size_t i = 0; i < client_count; i++)
		send_to_sleep(&clients[i]);
	for (int i = 0; i < CROWD_EVENTS; i++)
		send_any();
	kafka_producer_flush(producer);
	wait_journaled();
	wake_all();
}

static void test_life_promise_holds(void **state)
{
	(void)state;
	add_planned();
	assert_true(run_until(all_connected, PATIENCE_MS));
	for (phase = 0; phase < PHASES; phase++) {
		set_filters();
		wait_for_marks();
		change_sleepers();
		add_late_ones();
		play_phase();
		close_phase();
		check_all();
	}
	phase--;
	add_late_ones();
	wake_all();
	check_all();
	come_back_as_a_crowd();
	check_all();
	assert_true(run_until(all_noticed, PATIENCE_MS));
	/* What is sent last comes after everything that came twice. */
	send_portion();
	check_all();
	for (int i = 0; i < REPLICAS; i++)
		count_replays(i);
	print_message("%u events; replays: %.0f from windows, %.0f from Kafka, %.0f from the"
		      " journal; %u answers 503\n",
		      sent, replays[0], replays[1], replays[2], refused);
	for (int i = 0; i < SOURCES; i++)
		assert_true(replays[i] > 0);
}

static void set_environment(void)
{
	setenv("LIFE_FOLDER", folder, 1);
	setenv("LIFE_KAFKA", broker.bootstrap, 1);
	setenv("LIFE_POSTGRES", postgres.url, 1);
	/* After a restart windows are empty, or have all. */
	setenv("LIFE_WARM", random_draw(2) ? "0s" : "5m", 1);
}

static int start(void **state)
{
	(void)state;
	random_start();
	kafka_broker_start(&broker);
	for (int t = 0; t < TOPICS; t++)
		kafka_broker_create_topic(&broker, topics[t], PARTITIONS);
	producer = kafka_producer_new(broker.bootstrap, NULL);
	postgres_server_start(&postgres);
	child_make_folder(folder);
	credentials_write_certificate(folder, ca_file);
	set_environment();
	loop = sse_client_loop_new();
	for (int i = 0; i < REPLICAS; i++) {
		gateway_process_init(&replicas[i]);
		gateway_process_configure(&replicas[i], config);
		for (int j = 0; j < 2; j++)
			snprintf(ports[i][j], sizeof(ports[i][j]), "%u", child_free_port());
		start_replica(i);
		gateway_process_wait_ready(&replicas[i], PATIENCE_MS);
	}
	return 0;
}

static int stop(void **state)
{
	(void)state;
	sse_client_loop_free(loop);
	for (size_t i = 0; i < client_count; i++)
		for (size_t j = 0; j < clients[i].count; j++)
			ledger_fini(&clients[i].lanes[j].ledger);
	for (int i = 0; i < REPLICAS; i++) {
		assert_int_equal(gateway_process_stop(&replicas[i]), 0);
		gateway_process_fini(&replicas[i]);
	}
	kafka_producer_free(producer);
	kafka_broker_fini(&broker);
	postgres_server_fini(&postgres);
	child_remove_folder(folder);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_life_promise_holds),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
