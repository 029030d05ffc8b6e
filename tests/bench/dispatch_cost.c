/*
 * dispatch_cost: what an event costs that one of many filtered subscribers gets, from the record to
 * the subscriber's bytes.
 *
 *     valgrind --tool=callgrind --toggle-collect=deliver_event dispatch_cost SUBSCRIBERS EVENTS
 *
 * feed/ is driven in this thread as ingest and a loop drive it, with carriers that take everything.
 * Prints how many events and deliveries there were; callgrind counts the instructions of
 * deliver_event() alone.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "event/document.h"
#include "feed/fanout.h"
#include "feed/feeds.h"
#include "feed/replay.h"
#include "feed/subscriber.h"

struct client {
	struct carrier carrier; /* first */
	struct world *world;
	struct subscriber *subscriber;
};

struct world {
	struct stream stream;
	struct feeds *feeds;
	struct replay *replay;
	struct fanout *fanout;
	void *token;
	struct client *clients;
	uint32_t client_count;
	struct client *ready; /* the one that the last turn has woken */
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
	*type = PATTERN_STRING;
	*optional = false;
	return slice_equal(name, SLICE_LIT("path.user_id")) ? 0 : ERROR_NOT_FOUND;
}

static void make_stream(struct stream *stream)
{
	static const char *const roots[] = {"key", "value", NULL};
	static char name[] = "orders", *topics[] = {name};
	const struct pattern_scope scope = {find_variable, NULL, roots};
	json_t *filter = json_pack("{s:[s]}", "key", "{path.user_id}");
	struct pattern_error error;

	stream->name = name;
	stream->topics = topics;
	stream->topic_count = 1;
	stream->window_bytes = 64 << 20;
	stream->max_event_bytes = 1 << 20;
	stream->heartbeat_ms = 3600000;
	stream->parts = DOCUMENT_KEY;
	if (mapping_compile(NULL, &stream->mapping, NULL, NULL) ||
	    pattern_compile(filter, &scope, &stream->filter, &error))
		errx(1, "the stream does not compile");
	json_decref(filter);
}

static void open_world(struct world *world)
{
	static const struct fanout_settings fanout_settings = {.slow_client_timeout_ms = 3600000};
	static const struct replay_settings replay_settings = {
	    .workers = 1, .chunk_bytes = 16384, .chunks = 1, .last_scan = 1};
	const struct feeds_source feeds_source = {on_want, on_unwant, world};
	const struct replay_source replay_source = {
	    .open = source_open, .close = source_close, .context = world};

	make_stream(&world->stream);
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

static void subscribe(struct world *world, uint32_t number)
{
	static const struct carrier_ops ops = {on_ready, on_abort};
	static const struct subscriber_start start;
	struct client *client = &world->clients[number];
	struct route_keys keys = {0};
	struct feed *feed;
	char user[24];
	json_t *variables;

	snprintf(user, sizeof(user), "user-%u", number);
	variables = json_pack("{s:{s:s}}", "path", "user_id", user);
	if (feeds_open(world->feeds, &world->stream, NULL, &feed) ||
	    pattern_request_keys(world->stream.filter, variables, &keys))
		errx(1, "no subscription");
	json_decref(variables);
	client->carrier.ops = &ops;
	client->world = world;
	client->subscriber =
	    subscriber_new(world->fanout, feed, &keys, &start, INT64_MAX, &client->carrier);
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
	if (!world->ready)
		return;
	take_all(world->ready);
	world->deliveries++;
}

static void run(struct world *world, uint32_t events)
{
	static const struct slice value = {"{\"order\":1,\"item\":\"kite\"}", 25};
	struct record record = {
	    .topic = SLICE_LIT("orders"), .has_key = true, .has_value = true, .value = value};
	char user[24];

	for (uint32_t i = 0; i < events; i++) {
		snprintf(user, sizeof(user), "user-%u",
			 (uint32_t)((uint64_t)i * 7919 % world->client_count));
		record.key = slice_of(user);
		record.offset = i;
		deliver_event(world, &record);
	}
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

int main(int argc, char **argv)
{
	struct world world = {0};
	uint32_t events;

	if (argc != 3)
		errx(2, "usage: dispatch_cost SUBSCRIBERS EVENTS");
	world.client_count = (uint32_t)strtoul(argv[1], NULL, 10);
	events = (uint32_t)strtoul(argv[2], NULL, 10);
	world.clients = mem_zalloc(world.client_count * sizeof(world.clients[0]));
	open_world(&world);
	for (uint32_t i = 0; i < world.client_count; i++)
		subscribe(&world, i);
	run(&world, events);
	printf("{\"events\": %u, \"deliveries\": %llu}\n", events,
	       (unsigned long long)world.deliveries);
	close_world(&world);
	return 0;
}
