/* Every configuration of conf/examples, run as it is against a real Kafka: what its records give to
 * whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/credentials.h"
#include "lib/gateway_process.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/postgres_server.h"
#include "lib/watch.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define FOLDER "conf/examples"

enum { MAX_RECORDS = 16, MAX_CLIENTS = 5, MAX_EVENTS = 16 };

struct row {
	const char *topic, *key, *value; /* value NULL: a tombstone */
};

/* What a client must get after `connected`: "type|data", where each * in the data stands for
 * anything. */
struct client {
	const char *path, *claims; /* claims NULL: no token */
	const char *events[MAX_EVENTS];
	long refused;   /* this status instead of a stream */
	bool late;      /* opened after all records */
	bool ends;      /* then the stream ends, and the next request gets 204 */
	bool conflated; /* of the events some may be left out, but not the last */
};

struct example {
	const char *name;
	const char *topics[4]; /* of one partition each */
	struct row before[MAX_RECORDS], after[MAX_RECORDS];
	struct client clients[MAX_CLIENTS];
};

static const struct example examples[] = {
    {
	"user-notifications",
	{"notifications"},
	{{0}},
	{
	    {"notifications", NULL, "{\"user_id\":\"ada\",\"type\":\"mention\",\"n\":1}"},
	    {"notifications", NULL, "{\"user_id\":\"grace\",\"type\":\"mention\",\"n\":2}"},
	    {"notifications", NULL, "{\"user_id\":\"ada\",\"type\":\"invoice\",\"n\":3}"},
	},
	{
	    {.path = "/users/ada/notifications",
	     .claims = "{\"sub\":\"ada\",\"name\":\"Ada\"}",
	     .events = {"welcome|{\"user\":\"ada\",\"message\":\"Hello, Ada.\"}",
			"mention|{\"user_id\":\"ada\",\"type\":\"mention\",\"n\":1}",
			"invoice|{\"user_id\":\"ada\",\"type\":\"invoice\",\"n\":3}"}},
	    {.path = "/users/ada/notifications?since=1h",
	     .claims = "{\"sub\":\"ada\",\"name\":\"Ada\"}",
	     .late = true,
	     .events = {"welcome|*", "mention|*\"n\":1}", "invoice|*\"n\":3}"}},
	    {.path = "/users/ada/notifications", .claims = "{\"sub\":\"grace\"}", .refused = 403},
	    {.path = "/users/ada/notifications", .refused = 401},
	},
    },
    {
	"live-data",
	{"measurements"},
	{{0}},
	{
	    {"measurements", "a", "{\"type\":\"temperature\",\"sensor\":\"a\",\"value\":1}"},
	    {"measurements", "b", "{\"type\":\"humidity\",\"sensor\":\"b\",\"value\":40}"},
	    {"measurements", "a", "{\"type\":\"temperature\",\"sensor\":\"a\",\"value\":2}"},
	    {"measurements", "a", "{\"type\":\"temperature\",\"sensor\":\"a\",\"value\":3}"},
	    {"measurements", "c", "{\"type\":\"temperature\",\"sensor\":\"c\",\"value\":4}"},
	},
	{
	    {.path = "/live?type=temperature&interval=100",
	     .conflated = true,
	     .events = {"temperature|*\"value\":1}", "temperature|*\"value\":2}",
			"temperature|*\"value\":3}", "temperature|*\"value\":4}"}},
	    {.path = "/live?interval=50", .refused = 400},
	    {.path = "/live?type=noise", .refused = 400},
	},
    },
    {
	"broadcast",
	{"announcements"},
	{
	    {"announcements", NULL, "{\"text\":\"one\"}"},
	    {"announcements", NULL, "{\"text\":\"two\"}"},
	    {"announcements", NULL, "{\"text\":\"three\"}"},
	    {"announcements", NULL, "{\"text\":\"four\"}"},
	},
	{{"announcements", NULL, "{\"text\":\"five\"}"}},
	{
	    {.path = "/announcements",
	     .events = {"message|{\"text\":\"two\"}", "message|{\"text\":\"three\"}",
			"message|{\"text\":\"four\"}", "message|{\"text\":\"five\"}"}},
	},
    },
    {
	"task-progress",
	{"task-progress"},
	{{"task-progress", "t1", "{\"status\":\"running\",\"percent\":10}"}},
	{
	    {"task-progress", "t2", "{\"status\":\"completed\"}"},
	    {"task-progress", "t1", "{\"status\":\"running\",\"percent\":60}"},
	    {"task-progress", "t1", "{\"status\":\"failed\",\"why\":\"no paper\"}"},
	    {"task-progress", "t1", "{\"status\":\"running\",\"percent\":99}"},
	},
	{
	    {.path = "/tasks/t1/progress",
	     .claims = "{\"tasks\":[\"t1\",\"t3\"]}",
	     .ends = true,
	     .events = {"running|*10}", "running|*60}", "failed|*no paper*", "end|*"}},
	    {.path = "/tasks/t2/progress",
	     .claims = "{\"tasks\":[\"t2\"]}",
	     .late = true,
	     .ends = true,
	     .events = {"completed|*", "end|*"}},
	    {.path = "/tasks/t2/progress", .claims = "{\"tasks\":[\"t1\"]}", .refused = 403},
	},
    },
    {
	"logs",
	{"logs"},
	{
	    {"logs", NULL, "{\"level\":\"error\",\"service\":\"billing\",\"n\":1}"},
	    {"logs", NULL, "{\"level\":\"debug\",\"service\":\"billing\",\"n\":2}"},
	    {"logs", NULL, "{\"level\":\"warn\",\"service\":\"billing\",\"n\":3}"},
	    {"logs", NULL, "{\"level\":\"error\",\"service\":\"search\",\"n\":4}"},
	    {"logs", NULL, "{\"level\":\"warn\",\"service\":\"billing\",\"n\":5}"},
	},
	{
	    {"logs", NULL, "{\"level\":\"info\",\"service\":\"billing\",\"n\":6}"},
	    {"logs", NULL, "{\"level\":\"error\",\"service\":\"billing\",\"n\":7}"},
	},
	{
	    {.path = "/logs?level=warn&service=billing&follow=false&tail=2",
	     .claims = "{\"scope\":\"profile logs:read\"}",
	     .ends = true,
	     .events = {"warn|*\"n\":3}", "warn|*\"n\":5}", "end|*"}},
	    {.path = "/logs?level=warn&tail=3",
	     .claims = "{\"scope\":\"logs:read\"}",
	     .events = {"warn|*\"n\":3}", "error|*\"n\":4}", "warn|*\"n\":5}", "error|*\"n\":7}"}},
	    {.path = "/logs?level=loud", .claims = "{\"scope\":\"logs:read\"}", .refused = 400},
	    {.path = "/logs", .claims = "{\"scope\":\"profile\"}", .refused = 403},
	},
    },
    {
	"dashboard",
	{"machines"},
	{
	    {"machines", "m1", "{\"load\":1}"},
	    {"machines", "m2", "{\"load\":2}"},
	    {"machines", "m1", "{\"load\":3}"},
	},
	{
	    {"machines", "m2", NULL},
	    {"machines", "m3", "{\"load\":4}"},
	},
	{
	    {.path = "/dashboard",
	     .events = {"state|*\"key\":\"m2\",*\"value\":{\"load\":2}}",
			"state|*\"key\":\"m1\",*\"value\":{\"load\":3}}",
			"removed|*\"key\":\"m2\",*\"value\":null}",
			"state|*\"key\":\"m3\",*\"value\":{\"load\":4}}"}},
	    {.path = "/dashboard",
	     .late = true,
	     .events = {"state|*\"key\":\"m1\",*", "state|*\"key\":\"m3\",*"}},
	},
    },
    {
	"system-logs",
	{"system-logs"},
	{{0}},
	{
	    {"system-logs", NULL, "{\"unit\":\"dns\",\"took_ms\":3}"},
	    {"system-logs", NULL, "{\"unit\":\"mail\",\"took_ms\":300}"},
	    {"system-logs", NULL, "{\"unit\":\"dns\",\"took_ms\":900}"},
	},
	{
	    {.path = "/system/logs",
	     .claims = "{\"roles\":[\"user\",\"admin\"]}",
	     .events = {"message|*\"took_ms\":3}", "message|*\"took_ms\":300}",
			"message|*\"took_ms\":900}"}},
	    {.path = "/system/logs?filter=%7B%22value%22:%7B%22took_ms%22:%5B%7B%22numeric%22:"
		     "%5B%22%3E%22,100%5D%7D%5D%7D%7D",
	     .claims = "{\"roles\":[\"admin\"]}",
	     .events = {"message|*\"took_ms\":300}", "message|*\"took_ms\":900}"}},
	    {.path = "/system/logs", .claims = "{\"roles\":[\"user\"]}", .refused = 403},
	},
    },
    {
	"user-orders",
	{"orders"},
	{{0}},
	{
	    {"orders", NULL, "{\"user_id\":42,\"state\":\"created\"}"},
	    {"orders", NULL, "{\"user_id\":7,\"state\":\"paid\"}"},
	    {"orders", NULL, "{\"user_id\":42.0,\"state\":\"paid\"}"},
	},
	{
	    {.path = "/users/42/orders",
	     .claims = "{\"user_id\":42}",
	     .events = {"created|*", "paid|*"}},
	    {.path = "/users/42/orders?state=paid",
	     .claims = "{\"role\":\"support\"}",
	     .events = {"paid|*42.0*"}},
	    {.path = "/users/42/orders", .claims = "{\"user_id\":7}", .refused = 403},
	    {.path = "/users/0/orders", .claims = "{\"role\":\"support\"}", .refused = 400},
	},
    },
    {
	"activity",
	{"orders", "payments", "shipments"},
	{{0}},
	{
	    {"orders", "ada", "{\"n\":1}"},
	    {"payments", "grace", "{\"n\":2}"},
	    {"payments", "ada", "{\"n\":3}"},
	    {"shipments", "ada", "{\"n\":4}"},
	},
	{
	    {.path = "/customers/ada/activity",
	     .claims = "{\"sub\":\"ada\"}",
	     .events = {"orders|*\"specversion\":\"1.0\"*\"data\":{\"n\":1}*",
			"payments|*\"data\":{\"n\":3}*", "shipments|*\"data\":{\"n\":4}*"}},
	    {.path = "/customers/ada/activity", .claims = "{\"sub\":\"grace\"}", .refused = 403},
	},
    },
};

static struct kafka_broker broker;
static struct kafka_producer *producer;
static struct postgres_server postgres;

static void write_secret(void)
{
	char path[CHILD_PATH_BYTES + 16];
	FILE *file;

	snprintf(path, sizeof(path), "%s/jwt.key", postgres.folder);
	file = fopen(path, "w");
	if (!file || fputs(SECRET "\n", file) < 0 || fclose(file))
		child_die("%s cannot be written", path);
	setenv("SLUICE_JWT_SECRET_FILE", path, 1);
}

static int start(void **state)
{
	(void)state;
	postgres_server_start(&postgres);
	write_secret();
	kafka_broker_start(&broker);
	producer = kafka_producer_new(broker.bootstrap, NULL);
	setenv("SLUICE_KAFKA", broker.bootstrap, 1);
	setenv("SLUICE_POSTGRES", postgres.url, 1);
	setenv("SLUICE_ADDRESS", "127.0.0.1", 1);
	setenv("SLUICE_PORT", "0", 1);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kafka_producer_free(producer);
	kafka_broker_fini(&broker);
	postgres_server_fini(&postgres);
	return 0;
}

/* A topic of an earlier example is there already. */
static void create_topics(const struct example *example)
{
	static const char *created[32];
	size_t n;

	for (size_t i = 0; i < 4 && example->topics[i]; i++) {
		for (n = 0; created[n] && strcmp(created[n], example->topics[i]) != 0; n++)
			;
		if (created[n])
			continue;
		created[n] = example->topics[i];
		kafka_broker_create_topic(&broker, example->topics[i], 1);
	}
}

/* One after the other, so that those of several topics come in this order. */
static void produce(const struct row *rows)
{
	for (int i = 0; i < MAX_RECORDS && rows[i].topic; i++) {
		const struct kafka_message message = {
		    .topic = rows[i].topic,
		    .partition = 0,
		    .key = slice_of(rows[i].key ? rows[i].key : ""),
		    .value = slice_of(rows[i].value ? rows[i].value : ""),
		};
		struct kafka_message sent = message;

		if (!rows[i].key)
			sent.key.base = NULL;
		if (!rows[i].value)
			sent.value.base = NULL;
		kafka_producer_send(producer, &sent);
		kafka_producer_flush(producer);
	}
}

static bool looks_like(const char *text, const char *wanted)
{
	for (; *wanted && *wanted != '*'; text++, wanted++)
		if (*text != *wanted)
			return false;
	if (!*wanted)
		return !*text;
	for (;; text++) {
		if (looks_like(text, wanted + 1))
			return true;
		if (!*text)
			return false;
	}
}

static bool is_event(const struct watch_event *event, const char *wanted)
{
	size_t type_len = strcspn(wanted, "|");

	return strlen(event->type) == type_len && !memcmp(event->type, wanted, type_len) &&
	       looks_like(event->data, wanted + type_len + 1);
}

static size_t count_wanted(const struct client *client)
{
	size_t count = 0;

	while (count < MAX_EVENTS && client->events[count])
		count++;
	return count;
}

static void check_conflated(const struct client *client, struct watch *watch)
{
	size_t wanted = 0, total = count_wanted(client);

	for (size_t seen = 1; wanted < total; seen++) {
		assert_true(watch_until(watch, seen + 1));
		while (wanted < total && !is_event(&watch->events[seen], client->events[wanted]))
			wanted++;
		assert_true(wanted++ < total);
	}
}

static void check_events(const struct example *example, const struct client *client,
			 struct watch *watch)
{
	size_t total = count_wanted(client);

	if (client->conflated) {
		check_conflated(client, watch);
		return;
	}
	if (!watch_until(watch, total + 1))
		fail_msg("%s %s: %zu of %zu events came", example->name, client->path,
			 watch->count - 1, total);
	for (size_t i = 0; i < total; i++)
		if (!is_event(&watch->events[i + 1], client->events[i]))
			fail_msg("%s %s: %s|%s came where %s was wanted", example->name,
				 client->path, watch->events[i + 1].type, watch->events[i + 1].data,
				 client->events[i]);
	if (client->ends) {
		assert_true(watch_until_closed(watch));
		assert_int_equal(sse_client_facts(watch->client).status, 204);
		assert_int_equal(watch->count, total + 1);
	}
}

static void open_client(const struct client *client, struct watch *watch,
			struct sse_client_loop *loop, const char *url)
{
	struct buffer field = {0};
	const char *header;
	struct sse_client_options options = {.retry_ms = 10, .retry_limit_ms = 10};

	if (client->claims) {
		header = credentials_bearer(SECRET, client->claims, &field);
		options.headers = &header;
		options.header_count = 1;
	}
	if (client->refused) {
		watch_open(watch, loop, url, client->path, &options);
		assert_true(watch_until_closed(watch));
		assert_int_equal(sse_client_facts(watch->client).status, client->refused);
	} else {
		assert_true(watch_open_connected(watch, loop, url, client->path, &options));
		assert_string_equal(watch->events[0].type, "connected");
	}
	buffer_free(&field);
}

static void run_clients(const struct example *example, const char *url)
{
	struct sse_client_loop *loop = sse_client_loop_new();
	struct watch watches[MAX_CLIENTS] = {{0}};

	for (int late = 0; late < 2; late++) {
		for (int i = 0; i < MAX_CLIENTS; i++)
			if (example->clients[i].path && example->clients[i].late == late)
				open_client(&example->clients[i], &watches[i], loop, url);
		if (!late)
			produce(example->after);
		for (int i = 0; i < MAX_CLIENTS; i++)
			if (example->clients[i].path && example->clients[i].late == late &&
			    !example->clients[i].refused)
				check_events(example, &example->clients[i], &watches[i]);
	}
	for (int i = 0; i < MAX_CLIENTS; i++)
		if (example->clients[i].path)
			watch_close(&watches[i]);
	sse_client_loop_free(loop);
}

/* The example's file as it is; only its relative $schema does not matter here. */
static void run_example(void **state)
{
	const struct example *example = *state;
	struct gateway_process gateway;
	char path[64];
	char *config;

	create_topics(example);
	produce(example->before);
	snprintf(path, sizeof(path), FOLDER "/%s.json", example->name);
	config = child_read_file(path);
	gateway_process_launch(&gateway, config);
	run_clients(example, gateway.url);
	assert_int_equal(gateway_process_stop(&gateway), 0);
	gateway_process_fini(&gateway);
	free(config);
}

int main(void)
{
	enum { COUNT = sizeof(examples) / sizeof(examples[0]) };
	struct CMUnitTest tests[COUNT];

	for (size_t i = 0; i < COUNT; i++)
		tests[i] = (struct CMUnitTest){
		    .name = examples[i].name,
		    .test_func = run_example,
		    .initial_state = (void *)(uintptr_t)&examples[i],
		};
	return cmocka_run_group_tests_name("examples", tests, start, stop);
}
