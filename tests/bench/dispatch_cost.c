/*
 * dispatch_cost: what an event costs that a few of many filtered subscribers get, from the record
 * to the subscribers' bytes.
 *
 *     dispatch_cost KIND SUBSCRIBERS MATCHES EVENTS [USERS]
 *     valgrind --tool=callgrind --toggle-collect=deliver_event dispatch_cost …
 *
 * KIND says what narrows each subscriber, to values of its own:
 *
 *     equal    the filter compares the key with the request's user: route keys alone decide
 *     bound    and an amount and a region with the request's: the filter is bound for each
 *     checks   the filter is that of "equal"; each has a pattern besides, as user_filter's rows are
 *
 * MATCHES subscribers have the same user; with "bound" and "checks" there is one more, whom the
 * event is refused. Each event is for one user, all of them in turn, or USERS of them. feed/ is
 * driven in this thread as ingest and a loop drive it, with carriers that take everything. Prints
 * how many events and deliveries there were, and the nanoseconds of deliver_event(); callgrind
 * counts its instructions.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "event/document.h"
#include "event/user_filter.h"
#include "feed/checks.h"
#include "feed/fanout.h"
#include "feed/feeds.h"
#include "feed/replay.h"
#include "feed/subscriber.h"

enum kind { KIND_EQUAL, KIND_BOUND, KIND_CHECKS };

static const char *const kinds[] = {
    [KIND_EQUAL] = "equal",
    [KIND_BOUND] = "bound",
    [KIND_CHECKS] = "checks",
};

/* What an event has, and above what the one who gets nothing asks for it to be. */
enum { AMOUNT = 10000000, TOO_MUCH = 100000000 };

struct client {
	struct carrier carrier; /* first */
	struct world *world;
	struct subscriber *subscriber;
	struct client *next; /* of those that are ready */
};

struct world {
	struct stream stream;
	struct feeds *feeds;
	struct replay *replay;
	struct fanout *fanout;
	void *token;
	enum kind kind;
	struct client *clients;
	uint32_t client_count;
	uint32_t matches;
	uint32_t group;       /* clients of one user */
	uint32_t users;       /* that events are for */
	struct client *ready; /* those that the last turn has woken */
	uint64_t deliveries;
};

static void on_want(void *context, const char *topic, uint32_t warm_ms, void *token)
{
	(void)topic;
	(void)warm_ms;
	((struct world *)context)->token = token;
}

static void on_unwant(void *context, const char *topic)
{
	(void)context;
	(void)topic;
}

static void on_wake(void *context)
{
	(void)context;
}

/* Nobody is behind: no replay reads. */
static void *source_open(void *context)
{
	return context;
}

static void source_close(void *reader)
{
	(void)reader;
}

static int find_variable(void *context, struct slice name, enum pattern_variable_type *type,
			 bool *optional)
{
	(void)context;
	(void)name;
	*type = PATTERN_ANY;
	*optional = false;
	return 0;
}

static void make_stream(struct stream *stream, enum kind kind)
{
	static const char equal[] = "{\"key\": [\"{path.user_id}\"]}";
	static const char bound[] = "{\"key\": [\"{path.user_id}\"], \"value\": {"
				    "\"amount\": [{\"numeric\": [\">\", \"{query.above}\"]}],"
				    "\"region\": [{\"prefix\": \"{query.region}\"}]}}";
	static const char *const roots[] = {"key", "value", NULL};
	static char name[] = "orders", *topics[] = {name};
	const struct pattern_scope scope = {.find = find_variable, .roots = roots};
	json_t *filter = json_loads(kind == KIND_BOUND ? bound : equal, 0, NULL);
	struct pattern_error error;

	stream->name = name;
	stream->topics = topics;
	stream->topic_count = 1;
	stream->window_bytes = 64 << 20;
	stream->max_event_bytes = 1 << 20;
	stream->heartbeat_ms = 3600000;
	stream->keeps_records = kind != KIND_EQUAL;
	if (mapping_compile(NULL, &stream->mapping, NULL, NULL) ||
	    pattern_compile(filter, &scope, &stream->filter, &error))
		errx(1, "the stream does not compile");
	stream->parts = document_parts_of(stream->filter);
	json_decref(filter);
}

static void open_world(struct world *world)
{
	static const struct fanout_settings fanout_settings = {.slow_client_timeout_ms = 3600000,
							       .look_bytes = FANOUT_LOOK_BYTES};
	static const struct replay_settings replay_settings = {
	    .workers = 1, .chunk_bytes = 16384, .chunks = 1, .last_scan = 1};
	const struct feeds_source feeds_source = {on_want, on_unwant, world};
	const struct replay_source replay_source = {
	    .open = source_open, .close = source_close, .context = world};

	make_stream(&world->stream, world->kind);
	world->feeds = feeds_new(&feeds_source, 0, on_wake, NULL);
	feeds_declare(world->feeds, &world->stream);
	world->replay = replay_new(&replay_settings, &replay_source, NULL, world->feeds);
	world->fanout = fanout_new(world->feeds, world->replay, &fanout_settings, on_wake, NULL);
	feeds_on_partition(world->feeds, world->token, 0, 0);
	feeds_on_flush(world->feeds);
	feeds_on_caught_up(world->feeds, world->token);
}

static void on_ready(struct carrier *carrier)
{
	struct client *client = (struct client *)carrier;

	client->next = client->world->ready;
	client->world->ready = client;
}

static void on_abort(struct carrier *carrier)
{
	(void)carrier;
	errx(1, "a subscriber was given up");
}

static void take_all(struct client *client)
{
	struct slice bytes;

	while ((bytes = subscriber_peek(client->subscriber, 65536)).len)
		subscriber_consume(client->subscriber, bytes.len);
}

/* Users are named after their group. */
static json_t *variables_of(const struct world *world, uint32_t number)
{
	uint32_t user = number / world->group;
	bool refused = number % world->group >= world->matches;
	char name[24], region[24];

	snprintf(name, sizeof(name), "user-%06u", user);
	snprintf(region, sizeof(region), "region-%06u", user);
	return json_pack("{s:{s:s}, s:{s:i, s:s}}", "path", "user_id", name, "query", "above",
			 (int)number + (refused ? TOO_MUCH : 0), "region", region);
}

static struct pattern *pattern_of(const struct world *world, const json_t *variables)
{
	const json_t *query = json_object_get(variables, "query");
	struct pattern_error error;
	struct pattern *pattern = NULL;
	char text[160];
	int rc;

	if (world->kind == KIND_BOUND) {
		rc = pattern_bind(world->stream.filter, variables, &pattern, &error);
	} else {
		snprintf(text, sizeof(text),
			 "{\"value\": {\"amount\": [{\"numeric\": [\">\", %lld]}], \"region\": "
			 "[{\"prefix\": \"%s\"}]}}",
			 json_integer_value(json_object_get(query, "above")),
			 json_string_value(json_object_get(query, "region")));
		rc = user_filter_compile(slice_of(text), &pattern, &error);
	}
	if (rc)
		errx(1, "no pattern");
	return pattern;
}

static void subscribe(struct world *world, uint32_t number)
{
	static const struct carrier_ops ops = {on_ready, on_abort};
	struct client *client = &world->clients[number];
	json_t *variables = variables_of(world, number);
	struct subscriber_start start = {0};
	struct route_keys keys = {0};
	struct feed *feed;

	if (feeds_open(world->feeds, &world->stream, NULL, &feed) ||
	    pattern_request_keys(world->stream.filter, variables, &keys))
		errx(1, "no subscription");
	if (world->kind != KIND_EQUAL) {
		struct pattern *pattern = pattern_of(world, variables);

		start.checks = checks_new(&pattern, 1);
	}
	json_decref(variables);
	client->carrier.ops = &ops;
	client->world = world;
	client->subscriber =
	    subscriber_new(world->fanout, feed, &keys, &start, INT64_MAX, &client->carrier);
	checks_unref(start.checks);
	take_all(client);
}

/* What callgrind counts. */
void deliver_event(struct world *world, const struct record *record);
__attribute__((noinline)) void deliver_event(struct world *world, const struct record *record)
{
	world->ready = NULL;
	feeds_on_record(world->feeds, world->token, record);
	feeds_on_flush(world->feeds);
	fanout_turn(world->fanout);
	for (struct client *client = world->ready; client; client = client->next) {
		take_all(client);
		world->deliveries++;
	}
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Neighbours in time are far from each other in memory. */
static uint64_t run(struct world *world, uint32_t events)
{
	enum { STRIDE = 7919 };
	struct record record = {.topic = SLICE_LIT("orders"), .has_key = true, .has_value = true};
	char user[24], value[96];
	uint64_t spent = 0;

	for (uint32_t i = 0; i < events; i++) {
		uint32_t number = (uint32_t)((uint64_t)i * STRIDE % world->users);
		uint64_t started;

		snprintf(user, sizeof(user), "user-%06u", number);
		snprintf(
		    value, sizeof(value),
		    "{\"order\":%u,\"item\":\"kite\",\"amount\":%d,\"region\":\"region-%06u\"}", i,
		    AMOUNT, number);
		record.key = slice_of(user);
		record.value = slice_of(value);
		record.offset = i;
		started = now_ns();
		deliver_event(world, &record);
		spent += now_ns() - started;
	}
	return spent;
}

static void close_world(struct world *world)
{
	for (uint32_t i = 0; i < world->client_count; i++)
		subscriber_free(world->clients[i].subscriber, CLOSE_CLIENT);
	replay_stop(world->replay);
	fanout_free(world->fanout);
	feeds_free(world->feeds);
	replay_free(world->replay);
	mapping_free(world->stream.mapping);
	pattern_free(world->stream.filter);
	free(world->clients);
}

static bool read_kind(const char *name, enum kind *kind)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i], name))
			continue;
		*kind = (enum kind)i;
		return true;
	}
	return false;
}

static uint32_t number_of(const char *argument)
{
	unsigned long number = strtoul(argument, NULL, 10);

	if (!number || number > UINT32_MAX)
		errx(2, "%s is no number", argument);
	return (uint32_t)number;
}

int main(int argc, char **argv)
{
	struct world world = {0};
	uint32_t events;
	uint64_t spent;

	if (argc < 5 || argc > 6 || !read_kind(argv[1], &world.kind))
		errx(2, "usage: dispatch_cost equal|bound|checks SUBSCRIBERS MATCHES EVENTS "
			"[USERS]");
	world.matches = number_of(argv[3]);
	events = number_of(argv[4]);
	world.group = world.matches + (world.kind != KIND_EQUAL);
	world.users = number_of(argv[2]) / world.group;
	world.client_count = world.users * world.group;
	if (argc == 6 && number_of(argv[5]) < world.users)
		world.users = number_of(argv[5]);
	world.clients = mem_zalloc(world.client_count * sizeof(world.clients[0]));
	open_world(&world);
	for (uint32_t i = 0; i < world.client_count; i++)
		subscribe(&world, i);
	spent = run(&world, events);
	printf("{\"events\": %u, \"deliveries\": %llu, \"ns\": %llu}\n", events,
	       (unsigned long long)world.deliveries, (unsigned long long)spent);
	close_world(&world);
	return 0;
}
