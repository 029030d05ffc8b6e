/*
 * Several streams in one connection: each stream's events exactly once and in their order, whatever
 * is cut, killed or restarted; and who may have them.
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

#include "base/base64url.h"
#include "lib/credentials.h"
#include "lib/gateway_process.h"
#include "lib/http_client.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/ledger.h"
#include "lib/loop.h"
#include "lib/postgres_server.h"
#include "lib/random.h"
#include "lib/watch.h"

#define SECRET "0123456789abcdef0123456789abcdef"

enum {
	PARTITIONS = 8,
	STEPS = 40,
	STEP_EVENTS = 150,
	EVENTS = STEPS * STEP_EVENTS,
	KILL_EVERY = 13, /* steps */
	STREAMS = 4,
	CLIENTS = 4,
	MAX_CUT_BITS = 14,
	STEP_TURNS = 6,
	TURN_MS = 10,
	PATIENCE_MS = 60000, /* for tests that fail */
};

/* Windows that hold a few steps, and nothing after a start: the rest comes from Kafka. The notes
 * have ids of their own, which nothing but a window finds again. */
/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [
		{ "address": "127.0.0.1", "port": "${STREAMS_PORT}" },
		{ "address": "127.0.0.1", "port": "${STREAMS_TLS_PORT}",
		  "tls": { "certificate_file": "${STREAMS_FOLDER}/cert.pem", "key_file": "${STREAMS_FOLDER}/key.pem" } }
	],
	"http": { "loops": 2, "drain": "1s" },
	"cors": { "origins": ["https://example.org"] },
	"kafka": { "bootstrap.servers": "${STREAMS_KAFKA}", "fetch.wait.max.ms": 10 },
	"ingest": { "warm": "0s" },
	"replay": { "chunk": "16KiB" },
	"postgres": { "url": "${STREAMS_POSTGRES}", "migrate": true },
	"auth": { "issuers": [{ "algorithms": ["HS256"], "secret": "0123456789abcdef0123456789abcdef" }] },
	"streams": {
		"orders": { "path": "/users/{user}/orders", "topics": ["orders"],
			"access": { "claims": { "users": ["{path.user}"] } },
			"filter": { "key": ["{path.user}"] },
			"event": { "event": "/value/type" },
			"heartbeat": "100ms", "window": "64KiB", "max_event": "16KiB" },
		"topic": { "path": "/topics/{topic}", "topics": ["{path.topic}"], "allow_topics": ["alerts"],
			"access": "public",
			"params": { "level": { "in": "query" } },
			"filter": { "value": { "level": ["{query.level}"] } },
			"heartbeat": "100ms", "window": "64KiB", "max_event": "16KiB" },
		"notes": { "path": "/notes", "topics": ["notes"], "access": "public",
			"event": { "id": "/value/id" } },
		"narrowed": { "path": "/narrowed", "topics": ["notes"], "user_filters": true,
			"access": { "claims": { "role": ["reader"] } } }
	}
}
);
/* clang-format on */

static struct kafka_broker broker;
static struct kafka_producer *producer;
static char folder[CHILD_PATH_BYTES];
static char ca_file[CREDENTIALS_PATH_BYTES];
static struct postgres_server postgres;
static struct gateway_process gateway;

/* What an event is follows from its number. */
struct event {
	bool is_alert;
	uint32_t partition;
	uint32_t user;  /* of an order */
	uint32_t level; /* of an alert */
	uint32_t type;  /* of an order; 0: none */
	uint32_t padding;
};

static const char *const users[] = {"ada", "grace", "edsger"};
static const char *const levels[] = {"info", "warn"};
static const char *const types[] = {"", "created", "paid"};

static struct event event_of(uint32_t number)
{
	uint64_t bits = random_mix(number);

	return (struct event){
	    .is_alert = bits % 3 == 0,
	    .partition = (uint32_t)((bits >> 8) % PARTITIONS),
	    .user = (uint32_t)((bits >> 16) % 3),
	    .level = (uint32_t)((bits >> 24) % 2),
	    .type = (uint32_t)((bits >> 32) % 3),
	    .padding = (uint32_t)((bits >> 40) % 300),
	};
}

static bool wants_ada(const struct event *event)
{
	return !event->is_alert && event->user == 0;
}

static bool wants_grace(const struct event *event)
{
	return !event->is_alert && event->user == 1;
}

static bool wants_warnings(const struct event *event)
{
	return event->is_alert && event->level == 1;
}

static bool wants_alerts(const struct event *event)
{
	return event->is_alert;
}

static const struct {
	const char *address, *encoded;
	bool (*wants)(const struct event *event);
} streams[STREAMS] = {
    {"/users/ada/orders", "/users/ada/orders", wants_ada},
    {"/topics/alerts?level=warn", "%2Ftopics%2Falerts%3Flevel%3Dwarn", wants_warnings},
    {"/users/grace/orders", "%2fusers%2fgrace%2forders", wants_grace},
    {"/topics/alerts", "/topics/alerts", wants_alerts},
};

static int start(void **state)
{
	(void)state;
	random_start();
	kafka_broker_start(&broker);
	kafka_broker_create_topic(&broker, "orders", PARTITIONS);
	kafka_broker_create_topic(&broker, "alerts", PARTITIONS);
	kafka_broker_create_topic(&broker, "notes", 1);
	producer = kafka_producer_new(broker.bootstrap, NULL);
	postgres_server_start(&postgres);
	child_make_folder(folder);
	credentials_write_certificate(folder, ca_file);
	setenv("STREAMS_FOLDER", folder, 1);
	child_export_port("STREAMS_PORT");
	child_export_port("STREAMS_TLS_PORT");
	setenv("STREAMS_KAFKA", broker.bootstrap, 1);
	setenv("STREAMS_POSTGRES", postgres.url, 1);
	gateway_process_launch(&gateway, config);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	assert_int_equal(gateway_process_stop(&gateway), 0);
	gateway_process_fini(&gateway);
	kafka_producer_free(producer);
	kafka_broker_fini(&broker);
	postgres_server_fini(&postgres);
	child_remove_folder(folder);
	return 0;
}

struct subscriber {
	struct sse_client *client;
	struct ledger ledgers[STREAMS];
	const size_t *chosen; /* of the streams */
	size_t count;
	size_t connected;
};

struct run {
	struct subscriber subscribers[CLIENTS];
	uint32_t sent;
};

/* The ledger of the stream that the event's type begins with; *type is what follows. */
static struct ledger *ledger_of(struct subscriber *subscriber, const struct sse_event *event,
				struct slice *type)
{
	size_t mark = slice_find(event->type, 0, event->type.len, '#');

	for (size_t i = 0; i < subscriber->count; i++) {
		if (!slice_equal((struct slice){event->type.base, mark},
				 slice_of(streams[subscriber->chosen[i]].address)))
			continue;
		*type = (struct slice){event->type.base + mark, event->type.len - mark};
		if (type->len)
			*type = (struct slice){type->base + 1, type->len - 1};
		return &subscriber->ledgers[i];
	}
	ledger_fail(&subscriber->ledgers[0], "an event of nobody came: %.*s", (int)event->type.len,
		    event->type.base);
	return &subscriber->ledgers[0];
}

static void take(struct ledger *ledger, struct slice type, const struct sse_event *event)
{
	json_t *value = json_loadb(event->data.base, event->data.len, 0, NULL);
	const json_t *number = json_object_get(value, "n");
	uint32_t n = (uint32_t)json_integer_value(number);
	struct event sent = event_of(n);

	if (!json_is_integer(number) ||
	    !slice_equal(type, slice_of(sent.is_alert ? "" : types[sent.type])))
		ledger_fail(ledger, "what came is no such event: %.*s: %.*s", (int)type.len,
			    type.base, (int)event->data.len, event->data.base);
	else
		ledger_take(ledger, n, sent.partition);
	json_decref(value);
}

static void on_event(void *context, struct sse_client *client, const struct sse_event *event)
{
	struct subscriber *subscriber = context;
	struct slice type = {NULL, 0};
	struct ledger *ledger = ledger_of(subscriber, event, &type);

	(void)client;
	if (slice_equal(type, SLICE_LIT("connected")))
		subscriber->connected++;
	else
		take(ledger, type, event);
}

static void open_subscriber(struct subscriber *subscriber, enum sse_client_http http, bool tls,
			    const size_t *chosen, size_t count, const char *authorization)
{
	struct buffer url = {0};

	buffer_append_format(&url, "http%s://127.0.0.1:%u/streams?", tls ? "s" : "",
			     gateway.ports[tls]);
	for (size_t i = 0; i < count; i++) {
		buffer_append_format(&url, "%ss=%s", i ? "&" : "", streams[chosen[i]].encoded);
		ledger_init(&subscriber->ledgers[i], streams[chosen[i]].address, EVENTS);
	}
	subscriber->chosen = chosen;
	subscriber->count = count;
	subscriber->client = sse_client_open(loop, &(struct sse_client_options){
						       .url = buffer_text(&url),
						       .http = http,
						       .headers = &authorization,
						       .header_count = 1,
						       .ca_file = ca_file,
						       .own_connection = http != SSE_CLIENT_HTTP1,
						       .retry_ms = 10,
						       .retry_limit_ms = 100,
						       .on_event = on_event,
						       .context = subscriber,
						   });
	buffer_free(&url);
}

static void send_one(struct run *run)
{
	static const char padding[] =
	    "................................................................................"
	    "................................................................................"
	    "................................................................................"
	    "............................................................";
	uint32_t number = run->sent++;
	struct event event = event_of(number);
	char value[512], type[32] = "";

	if (event.type && !event.is_alert)
		snprintf(type, sizeof(type), "\"type\":\"%s\",", types[event.type]);
	snprintf(value, sizeof(value), "{\"n\":%u,%s\"level\":\"%s\",\"text\":\"%.*s\"}", number,
		 type, levels[event.level], (int)event.padding, padding);
	kafka_producer_send(producer, &(struct kafka_message){
					  .topic = event.is_alert ? "alerts" : "orders",
					  .partition = (int32_t)event.partition,
					  .key = slice_of(users[event.user]),
					  .value = slice_of(value),
				      });
	for (size_t i = 0; i < CLIENTS; i++)
		for (size_t j = 0; j < run->subscribers[i].count; j++)
			if (streams[run->subscribers[i].chosen[j]].wants(&event))
				ledger_owe(&run->subscribers[i].ledgers[j], number);
}

static void send_step(struct run *run)
{
	for (int i = 0; i < STEP_EVENTS; i++)
		send_one(run);
	kafka_producer_flush(producer);
}

static bool all_connected(void *context)
{
	const struct run *run = context;

	for (size_t i = 0; i < CLIENTS; i++)
		if (run->subscribers[i].connected < run->subscribers[i].count)
			return false;
	return true;
}

static bool all_complete(void *context)
{
	const struct run *run = context;

	for (size_t i = 0; i < CLIENTS; i++)
		for (size_t j = 0; j < run->subscribers[i].count; j++)
			if (!ledger_complete(&run->subscribers[i].ledgers[j]) ||
			    run->subscribers[i].ledgers[j].fault[0])
				return run->subscribers[i].ledgers[j].fault[0];
	return true;
}

static void check_ledgers(struct run *run)
{
	bool good = true;

	sse_client_loop_until(loop, all_complete, run, PATIENCE_MS);
	for (size_t i = 0; i < CLIENTS; i++) {
		const struct subscriber *subscriber = &run->subscribers[i];
		struct sse_client_facts facts = sse_client_facts(subscriber->client);
		bool complete = true;

		for (size_t j = 0; j < subscriber->count; j++)
			complete &= ledger_report(&subscriber->ledgers[j]);
		if (!complete)
			fprintf(stderr, "  status %ld, %llu opens, id %.*s\n", facts.status,
				(unsigned long long)facts.opens, (int)facts.last_event_id.len,
				facts.last_event_id.base);
		good &= complete;
	}
	assert_true(good);
}

static void cut_somebody(struct run *run)
{
	struct sse_client *client = run->subscribers[random_draw(CLIENTS)].client;

	if (random_draw(3))
		sse_client_cut_after(client, 1 + random_draw(1u << random_draw(MAX_CUT_BITS + 1)));
	else
		sse_client_cut(client);
}

/* With a kill a client's next id is where its bytes broke off, with a stop where they were ended.
 */
static void restart(struct run *run)
{
	if (random_draw(2))
		gateway_process_kill(&gateway);
	else
		assert_int_equal(gateway_process_stop(&gateway), 0);
	send_step(run);
	gateway_process_start(&gateway);
}

static void play(struct run *run)
{
	for (int step = 1; run->sent < EVENTS - 2 * STEP_EVENTS; step++) {
		send_step(run);
		for (int i = 0; i < 3; i++)
			cut_somebody(run);
		if (step % KILL_EVERY == 0)
			restart(run);
		for (int i = 0; i < STEP_TURNS; i++)
			sse_client_loop_run(loop, random_draw(TURN_MS));
	}
}

/* Each stream's events come to each connection exactly once and in their order, over HTTP/1.1 and
 * HTTP/2, through cuts at any byte, kills and restarts; from windows and from Kafka. */
static void test_streams_every_event_comes_exactly_once(void **state)
{
	static const size_t two[] = {0, 1}, three[] = {2, 3, 0}, all[] = {3, 1, 2, 0};
	struct buffer authorization = {0};
	struct run run = {0};

	(void)state;
	credentials_bearer(SECRET, "{\"users\":[\"ada\",\"grace\"]}", &authorization);
	open_subscriber(&run.subscribers[0], SSE_CLIENT_HTTP1, false, three, 3, authorization.base);
	open_subscriber(&run.subscribers[1], SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE, false, three, 3,
			authorization.base);
	open_subscriber(&run.subscribers[2], SSE_CLIENT_HTTP1, true, all, 4, authorization.base);
	open_subscriber(&run.subscribers[3], SSE_CLIENT_HTTP2_TLS, true, two, 2,
			authorization.base);
	assert_true(sse_client_loop_until(loop, all_connected, &run, PATIENCE_MS));
	play(&run);
	check_ledgers(&run);
	/* What comes last, when all else has come, comes after all that came twice. */
	send_step(&run);
	check_ledgers(&run);
	assert_true(gateway_process_metric(&gateway, "sluice_replays_total{source=\"kafka\"}") > 0);
	for (size_t i = 0; i < CLIENTS; i++)
		for (size_t j = 0; j < run.subscribers[i].count; j++)
			ledger_fini(&run.subscribers[i].ledgers[j]);
	buffer_free(&authorization);
}

static void check_answer(const char *path, const char *field, long status, const char *detail)
{
	struct http_client_answer answer = {0};
	char url[512];
	json_t *problem;
	const char *said;

	snprintf(url, sizeof(url), "%s%s", gateway.url, path);
	http_client_send(&(struct http_client_request){.url = url,
						       .headers = &field,
						       .header_count = field != NULL},
			 &answer);
	assert_int_equal(answer.status, status);
	problem = json_loadb(answer.body.base, answer.body.len, 0, NULL);
	said = json_string_value(json_object_get(problem, "detail"));
	if (!said || strncmp(said, detail, strlen(detail)) != 0)
		fail_msg("%s: %s", path, said);
	json_decref(problem);
	http_client_answer_fini(&answer);
}

/* Each stream is authorized by itself; the first that is not allowed, or not there, refuses the
 * connection under its name. */
static void test_streams_refusal_names_the_stream(void **state)
{
	struct buffer ada = {0};

	(void)state;
	credentials_bearer(SECRET, "{\"users\":[\"ada\"]}", &ada);
	check_answer("/streams?s=/users/ada/orders&s=/users/grace/orders", ada.base, 403,
		     "/users/grace/orders: The token does not give access");
	check_answer("/streams?s=/topics/alerts&s=/users/ada/orders", NULL, 401,
		     "/users/ada/orders: This stream needs a token");
	check_answer("/streams?s=/topics/alerts&s=/topics/orders", NULL, 404,
		     "/topics/orders: This stream has no such topic");
	check_answer("/streams?s=/topics/alerts&s=/nowhere%3Fx", NULL, 404,
		     "/nowhere?x: No stream");
	check_answer("/streams?s=/topics/alerts%3Fsince%3Dlong", NULL, 400,
		     "/topics/alerts?since=long: since is no time");
	check_answer("/streams?s=/topics/alerts%3Ffilter%3D%257B%257D", NULL, 400,
		     "/topics/alerts?filter=%7B%7D: This stream takes no filter");
	check_answer("/streams?s=/topics/alerts%3Faccess_token%3Dx", NULL, 400, "The token is the");
	check_answer("/streams?s=/topics/alerts%3Fcursor%3Dx", NULL, 400,
		     "/topics/alerts?cursor=x: A cursor");
	check_answer("/streams?s=/topics/alerts&s=/topics/alerts", NULL, 400,
		     "/topics/alerts: It is named twice");
	check_answer("/streams", NULL, 400, "Name the streams");
	check_answer("/streams?s=/topics/alerts", "last-event-id: AQ", 400, "Last-Event-ID");
	check_answer("/streams?s=/topics/alerts&lastEventId=~AAAAAAAA.", NULL, 400,
		     "Last-Event-ID is not one of these streams': it belongs to other streams");
	buffer_free(&ada);
}

static void check_head(const char *method, const char *field, long status)
{
	const char *const fields[] = {"origin: https://example.org", field};
	struct http_client_answer answer = {0};
	struct slice origin;
	char url[512];

	snprintf(url, sizeof(url), "%s/streams?s=/topics/alerts&s=/notes", gateway.url);
	http_client_send(&(struct http_client_request){.method = method,
						       .url = url,
						       .headers = fields,
						       .header_count = 1 + (field != NULL)},
			 &answer);
	assert_int_equal(answer.status, status);
	origin = http_client_header(&answer, "access-control-allow-origin");
	assert_true(slice_equal(origin, SLICE_LIT("https://example.org")));
	http_client_answer_fini(&answer);
}

/* HEAD, OPTIONS, the origin's fields and what is not allowed are as with one stream. */
static void test_streams_methods_and_origins_are_as_with_one(void **state)
{
	(void)state;
	check_head("HEAD", NULL, 200);
	check_head("OPTIONS", "access-control-request-method: GET", 204);
	check_head("POST", NULL, 405);
	check_head("HEAD", "accept: text/html", 406);
}

static void open_watch(struct watch *watch, const char *path, const char *field, const char *id)
{
	watch_open(watch, loop, gateway.url, path,
		   &(struct sse_client_options){.headers = &field,
						.header_count = field != NULL,
						.last_event_id = id,
						.retry_ms = 10,
						.retry_limit_ms = 100});
}

struct wait {
	const struct watch *watch;
	const char *type, *data;
	size_t count;
};

static bool has_come(void *context)
{
	const struct wait *wait = context;
	size_t count = 0;

	for (size_t i = 0; i < wait->watch->count; i++)
		count += !strcmp(wait->watch->events[i].type, wait->type) &&
			 (!wait->data || strstr(wait->watch->events[i].data, wait->data));
	return count >= wait->count;
}

/* `data` is a part of it; NULL: any. */
static void wait_for(const struct watch *watch, const char *type, const char *data, size_t count)
{
	struct wait wait = {watch, type, data, count};

	if (!sse_client_loop_until(loop, has_come, &wait, PATIENCE_MS))
		fail_msg("%s %s did not come %zu times; status %ld, %zu events", type, data, count,
			 sse_client_facts(watch->client).status, watch->count);
}

static void send_note(const char *id, const char *text)
{
	char value[256];

	snprintf(value, sizeof(value), "{\"id\":\"%s\",\"text\":\"%s\"}", id, text);
	kafka_producer_send_text(producer, "notes", "k", value);
	kafka_producer_flush(producer);
}

static void send_alert(const char *text)
{
	char value[256];

	snprintf(value, sizeof(value), "{\"level\":\"warn\",\"text\":\"%s\"}", text);
	kafka_producer_send_text(producer, "alerts", "k", value);
	kafka_producer_flush(producer);
}

/* Ids that the records bring stand in the combined id, too, whatever is in them; both kinds go on
 * where they were. */
static void test_streams_ids_of_records_come_back(void **state)
{
	static const char *const ids[] = {"note 1", "plain-2", "n\xc3\xb6te.3", "~4", "."};
	struct watch watch = {0};
	char text[16];

	(void)state;
	open_watch(&watch, "/streams?s=/notes&s=/topics/alerts", NULL, NULL);
	wait_for(&watch, "/notes#connected", NULL, 1);
	wait_for(&watch, "/topics/alerts#connected", NULL, 1);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		snprintf(text, sizeof(text), "record %zu", i);
		send_note(ids[i], text);
		send_alert(text);
		wait_for(&watch, "/notes", text, 1);
		wait_for(&watch, "/topics/alerts", text, 1);
		sse_client_cut(watch.client);
	}
	wait_for(&watch, "/topics/alerts#connected", NULL, 6);
	wait_for(&watch, "/notes#connected", NULL, 6);
	assert_int_equal(watch_count(&watch, "/notes"), 5);
	assert_int_equal(watch_count(&watch, "/topics/alerts"), 5);
	assert_int_equal(watch.count, 2 * 6 + 2 * 5);
	watch_close(&watch);
}

/* Replaces a part of the id by that of the same position with the final flag. */
static void make_final(struct buffer *id, size_t part)
{
	enum { FLAGS_AT = 1, FINAL = 1, MAX_BYTES = 256 };
	uint8_t raw[MAX_BYTES];
	size_t from = 0, end;

	for (size_t i = 0; i <= part; i++)
		from = slice_find(buffer_slice(id), from, id->len, '.') + 1;
	end = slice_find(buffer_slice(id), from, id->len, '.');
	assert_true(end - from < MAX_BYTES);
	assert_int_equal(base64url_decode((struct slice){id->base + from, end - from}, raw), 0);
	raw[FLAGS_AT] |= FINAL;
	base64url_encode(raw, base64url_decoded_len(end - from), id->base + from);
}

/* A stream that has ended for good is not opened again; where all have, the answer is 204. */
static void test_streams_final_ids_end_their_streams(void **state)
{
	static const char path[] = "/streams?s=/topics/alerts&s=/topics/alerts%3Flevel%3Dwarn";
	struct watch watch = {0}, rest = {0}, over = {0};
	struct buffer id = {0};

	(void)state;
	open_watch(&watch, path, NULL, NULL);
	wait_for(&watch, "/topics/alerts#connected", NULL, 1);
	wait_for(&watch, "/topics/alerts?level=warn#connected", NULL, 1);
	buffer_append_text(&id, watch.events[1].id);
	make_final(&id, 0);
	open_watch(&rest, path, NULL, buffer_text(&id));
	wait_for(&rest, "/topics/alerts?level=warn#connected", NULL, 1);
	send_alert("for one");
	wait_for(&rest, "/topics/alerts?level=warn", "for one", 1);
	assert_int_equal(rest.count, 2);
	make_final(&id, 1);
	open_watch(&over, path, NULL, buffer_text(&id));
	assert_true(watch_until_closed(&over));
	assert_int_equal(sse_client_facts(over.client).status, 204);
	watch_close(&watch);
	watch_close(&rest);
	watch_close(&over);
	buffer_free(&id);
}

/* A token that is revoked ends the connection at once, with one event that says so; the reconnect
 * is refused. */
static void test_streams_revoked_token_ends_the_connection(void **state)
{
	static const char path[] = "/streams?s=/topics/alerts&s=/users/ada/orders&s=/notes";
	struct buffer revoked = {0}, other = {0};
	struct watch watch = {0}, stays = {0};

	(void)state;
	credentials_bearer(SECRET, "{\"users\":[\"ada\"],\"jti\":\"login 7\"}", &revoked);
	credentials_bearer(SECRET, "{\"users\":[\"ada\"],\"jti\":\"login 8\"}", &other);
	open_watch(&watch, path, revoked.base, NULL);
	open_watch(&stays, path, other.base, NULL);
	assert_true(watch_until(&watch, 3) && watch_until(&stays, 3));
	postgres_server_execute(&postgres,
				"insert into revocation (kind, value) values ('jti', 'login 7')");
	assert_true(watch_until_closed(&watch));
	assert_int_equal(watch.count, 4);
	assert_string_equal(strchr(watch.events[3].type, '#'), "#revoked");
	assert_int_equal(sse_client_facts(watch.client).status, 401);
	send_alert("for the other");
	wait_for(&stays, "/topics/alerts", "for the other", 1);
	assert_int_equal(stays.count, 4);
	watch_close(&watch);
	watch_close(&stays);
	buffer_free(&revoked);
	buffer_free(&other);
}

/* A subject's filters are waited for, narrow their stream alone, and take effect while it is open.
 */
static void test_streams_filters_narrow_their_stream(void **state)
{
	struct buffer field = {0};
	struct watch watch = {0};
	struct wait wait = {&watch, "/narrowed", "a again", 1};

	(void)state;
	postgres_server_execute(
	    &postgres,
	    "insert into user_filter (subject, stream, pattern) values ('ada', 'narrowed', "
	    "'{\"value\": {\"text\": [{\"prefix\": \"b\"}]}}')");
	credentials_bearer(SECRET, "{\"sub\":\"ada\",\"role\":\"reader\"}", &field);
	open_watch(&watch, "/streams?s=/narrowed&s=/notes", field.base, NULL);
	assert_true(watch_until(&watch, 2));
	send_note("x1", "a one");
	send_note("x2", "b two");
	wait_for(&watch, "/narrowed", "b two", 1);
	wait_for(&watch, "/notes", "b two", 1);
	assert_int_equal(watch_count(&watch, "/narrowed"), 1);
	assert_int_equal(watch_count(&watch, "/notes"), 2);
	postgres_server_execute(&postgres, "delete from user_filter");
	/* The change comes by a notification: what was sent before it counted stays out. */
	for (int i = 0; i < PATIENCE_MS / 100 && !has_come(&wait); i++) {
		send_note("x3", "a again");
		(void)sse_client_loop_until(loop, has_come, &wait, 100);
	}
	assert_true(has_come(&wait));
	watch_close(&watch);
	buffer_free(&field);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOOP_TEST(test_streams_refusal_names_the_stream),
	    LOOP_TEST(test_streams_methods_and_origins_are_as_with_one),
	    LOOP_TEST(test_streams_ids_of_records_come_back),
	    LOOP_TEST(test_streams_final_ids_end_their_streams),
	    LOOP_TEST(test_streams_revoked_token_ends_the_connection),
	    LOOP_TEST(test_streams_filters_narrow_their_stream),
	    LOOP_TEST(test_streams_every_event_comes_exactly_once),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
