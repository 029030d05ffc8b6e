/*
 * The whole of feed/ on a log in memory: one thread writes as ingest does, this thread is the loop,
 * replay workers read the log. Carriers take bytes in random portions. What arrives is parsed and
 * counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "event/document.h"
#include "event/event_id.h"
#include "event/frame.h"
#include "feed/fanout.h"
#include "feed/feeds.h"
#include "feed/replay.h"
#include "feed/subscriber.h"

enum { PARTITIONS = 5, USERS = 7, MAX_EVENTS = 20000, REPLICAS = 2 };

/* The log: what Kafka would hold. Written before it is handed over, so that a replay finds it. */
struct log {
	_Atomic int64_t low[PARTITIONS], high[PARTITIONS];
	uint8_t user[PARTITIONS][MAX_EVENTS];
};

/* One gateway: it reads the log in an order and at a pace of its own. */
struct replica {
	struct feeds *feeds;
	struct replay *replay;
	struct fanout *fanout;
	void *token;
	int64_t next[PARTITIONS];
};

struct world {
	struct log log;
	struct stream stream;
	struct replica replicas[REPLICAS];
	struct fanout_settings settings;
	unsigned seed;
};

static void on_want(void *context, const char *topic, uint32_t warm_ms, void *token)
{
	(void)topic;
	(void)warm_ms;
	((struct replica *)context)->token = token;
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

static void *source_open(void *context)
{
	return context;
}

static void source_close(void *reader)
{
	(void)reader;
}

struct record_text {
	char key[8], value[64];
};

static void make_record(const struct log *log, int32_t partition, int64_t offset,
			struct record_text *text, struct record *record)
{
	snprintf(text->key, sizeof(text->key), "%u", log->user[partition][offset]);
	snprintf(text->value, sizeof(text->value), "{\"p\":%d,\"o\":%lld}", partition,
		 (long long)offset);
	*record = (struct record){
	    .topic = SLICE_LIT("t"),
	    .partition = partition,
	    .offset = offset,
	    .timestamp_ms = offset,
	    .has_key = true,
	    .has_value = true,
	    .key = slice_of(text->key),
	    .value = slice_of(text->value),
	};
}

static int source_read(void *reader, const struct replay_source_range *ranges, size_t count,
		       uint64_t budget, bool (*on_record)(void *, size_t, const struct record *),
		       void (*progress)(void *, size_t, int64_t), void *visitor)
{
	const struct log *log = reader;

	for (size_t i = 0; i < count; i++) {
		for (int64_t o = ranges[i].from; o < ranges[i].until; o++) {
			struct record_text text;
			struct record record;

			if (o < log->low[ranges[i].partition])
				continue;
			make_record(log, ranges[i].partition, o, &text, &record);
			if (!on_record(visitor, i, &record))
				return ERROR_CANCELLED;
			if (!--budget)
				return ERROR_LIMIT;
		}
		progress(visitor, i, ranges[i].until);
	}
	return 0;
}

static int source_bounds(void *reader, const char *topic, int32_t partition, int64_t *low,
			 int64_t *high)
{
	const struct log *log = reader;

	(void)topic;
	*low = log->low[partition];
	*high = log->high[partition];
	return 0;
}

static int find_variable(void *context, struct slice name, enum pattern_variable_type *type,
			 bool *optional)
{
	(void)context;
	*type = PATTERN_STRING;
	*optional = false;
	return slice_equal(name, SLICE_LIT("path.user")) ? 0 : ERROR_NOT_FOUND;
}

static void open_replica(struct world *world, struct replica *replica)
{
	const struct feeds_source source = {on_want, on_unwant, replica};
	const struct replay_settings replay_settings = {2, 4096, 4, 1000};
	const struct replay_source replay_source = {source_open, source_close, source_read,
						    source_bounds, &world->log};

	replica->feeds = feeds_new(&source, 0, on_wake, NULL);
	feeds_declare(replica->feeds, &world->stream);
	replica->replay = replay_new(&replay_settings, &replay_source, replica->feeds);
	replay_start(replica->replay);
	replica->fanout =
	    fanout_new(replica->feeds, replica->replay, &world->settings, on_wake, NULL);
	for (int32_t p = 0; p < PARTITIONS; p++)
		feeds_on_partition(replica->feeds, replica->token, p, 0);
	feeds_on_flush(replica->feeds);
	feeds_on_caught_up(replica->feeds, replica->token);
}

static void open_world(struct world *world, uint64_t window_bytes, bool filtered)
{
	static const char *const roots[] = {"key", "value", NULL};
	static char topic[] = "t", *topics[] = {topic};
	const struct pattern_scope scope = {find_variable, NULL, roots};
	json_t *filter = json_loads("{\"key\": [\"{path.user}\"]}", 0, NULL);
	struct pattern_error error;

	memset(world, 0, sizeof(*world));
	world->seed = 7;
	world->stream.name = mem_strdup("test");
	world->stream.topics = topics;
	world->stream.topic_count = 1;
	world->stream.window_bytes = window_bytes;
	world->stream.max_event_bytes = 1 << 20;
	world->stream.heartbeat_ms = 1000000;
	assert_int_equal(mapping_compile(NULL, &world->stream.mapping, NULL, NULL), 0);
	if (filtered) {
		assert_int_equal(pattern_compile(filter, &scope, &world->stream.filter, &error), 0);
		world->stream.parts = DOCUMENT_KEY;
	}
	json_decref(filter);
	world->settings.slow_client_timeout_ms = 1000000;
	for (int i = 0; i < REPLICAS; i++)
		open_replica(world, &world->replicas[i]);
}

static void close_world(struct world *world)
{
	for (int i = 0; i < REPLICAS; i++) {
		struct replica *replica = &world->replicas[i];

		replay_stop(replica->replay);
		fanout_free(replica->fanout);
		feeds_free(replica->feeds);
		replay_free(replica->replay);
	}
	mapping_free(world->stream.mapping);
	if (world->stream.filter)
		pattern_free(world->stream.filter);
	free(world->stream.name);
}

static void produce(struct world *world)
{
	int32_t partition = rand_r(&world->seed) % PARTITIONS;
	int64_t offset = world->log.high[partition];

	world->log.user[partition][offset] = (uint8_t)(rand_r(&world->seed) % USERS);
	world->log.high[partition] = offset + 1;
}

/* Hands over what one partition has, up to `most` records, as ingest does. */
static void ingest(struct world *world, struct replica *replica, int32_t partition, int most)
{
	while (most-- > 0 && replica->next[partition] < world->log.high[partition]) {
		struct record_text text;
		struct record record;

		make_record(&world->log, partition, replica->next[partition]++, &text, &record);
		feeds_on_record(replica->feeds, replica->token, &record);
	}
}

/* A client that counts. */
struct client {
	struct carrier carrier; /* first */
	struct world *world;
	struct replica *at;
	int user; /* -1: everything */
	struct subscriber *subscriber;
	struct buffer unparsed;
	char last_event_id[1024];
	int64_t next[PARTITIONS];  /* lowest offset that may still come */
	int64_t first[PARTITIONS]; /* where it began */
	uint64_t received, gaps, connected, heartbeats;
	bool aborted;
	bool any_start; /* the first event of a partition may have any offset */
};

static void on_ready(struct carrier *carrier)
{
	(void)carrier;
}

static void on_abort(struct carrier *carrier)
{
	((struct client *)carrier)->aborted = true;
}

static const struct carrier_ops ops = {on_ready, on_abort};

static void init_client(struct client *client, struct world *world, int user)
{
	memset(client, 0, sizeof(*client));
	client->carrier.ops = &ops;
	client->world = world;
	client->user = user;
	for (int p = 0; p < PARTITIONS; p++)
		client->next[p] = client->first[p] = world->log.high[p];
}

static void connect_client(struct client *client)
{
	struct world *world = client->world;
	struct subscriber_start start = {0};
	struct route_keys keys = {0};
	struct position position;
	struct feed *feed;
	const char *reason;
	unsigned flags;

	client->at = &world->replicas[rand_r(&world->seed) % REPLICAS];
	assert_int_equal(feeds_open(client->at->feeds, &world->stream, NULL, &feed), 0);
	if (client->last_event_id[0]) {
		assert_int_equal(event_id_decode(slice_of(client->last_event_id), feed->hash,
						 &flags, &position, &reason),
				 0);
		start.position = &position;
	}
	if (world->stream.filter) {
		json_t *variables =
		    json_pack("{s:{s:s#}}", "path", "user", &"0123456789"[client->user], 1);

		assert_int_equal(pattern_request_keys(world->stream.filter, variables, &keys), 0);
		json_decref(variables);
	}
	client->subscriber =
	    subscriber_new(client->at->fanout, feed, &keys, &start, INT64_MAX, &client->carrier);
	if (start.position)
		position_fini(&position);
}

static void disconnect_client(struct client *client)
{
	if (client->subscriber)
		subscriber_free(client->subscriber, CLOSE_CLIENT);
	client->subscriber = NULL;
	client->aborted = false;
	buffer_clear(&client->unparsed);
}

/* An event with data: it must be the client's, not have come before, and follow its partition's
 * order without a hole. */
static void check_event(struct client *client, const char *data)
{
	const struct log *log = &client->world->log;
	int partition;
	long long offset;

	assert_int_equal(sscanf(data, "{\"p\":%d,\"o\":%lld}", &partition, &offset), 2);
	if (client->any_start && client->next[partition] < 0)
		client->next[partition] = offset;
	assert_true(offset >= client->next[partition]);
	if (client->user >= 0)
		assert_int_equal(log->user[partition][offset], client->user);
	for (int64_t o = client->next[partition]; o < offset; o++)
		assert_true(client->user >= 0 && log->user[partition][o] != client->user);
	client->next[partition] = offset + 1;
	client->received++;
}

static void check_frame(struct client *client, struct slice frame)
{
	char text[2048];
	struct slice id = frame_id(frame);
	const char *data;

	assert_true(frame.len < sizeof(text));
	memcpy(text, frame.base, frame.len);
	text[frame.len] = '\0';
	if (id.len) {
		memcpy(client->last_event_id, id.base, id.len);
		client->last_event_id[id.len] = '\0';
	}
	data = strstr(text, "data: ");
	if (strstr(text, "event: connected"))
		client->connected++;
	else if (strstr(text, "event: gap"))
		client->gaps++;
	else if (data)
		check_event(client, data + 6);
	else
		client->heartbeats++;
}

static void parse(struct client *client)
{
	char *at = client->unparsed.base, *end = at + client->unparsed.len, *stop;

	while (at < end && (stop = memmem(at, (size_t)(end - at), "\n\n", 2))) {
		check_frame(client, (struct slice){at, (size_t)(stop + 2 - at)});
		at = stop + 2;
	}
	client->unparsed.len = (size_t)(end - at);
	memmove(client->unparsed.base, at, client->unparsed.len);
}

/* Takes up to `most` bytes in random portions; true where there was anything. */
static bool take(struct client *client, size_t most)
{
	bool any = false;

	while (most && !client->aborted) {
		size_t portion = 1 + (size_t)rand_r(&client->world->seed) % 3000;
		struct slice bytes =
		    subscriber_peek(client->subscriber, portion < most ? portion : most);

		if (!bytes.len)
			break;
		if (rand_r(&client->world->seed) % 4 == 0)
			bytes.len = 1 + (size_t)rand_r(&client->world->seed) % bytes.len;
		buffer_append_slice(&client->unparsed, bytes);
		subscriber_consume(client->subscriber, bytes.len);
		most -= bytes.len;
		any = true;
		parse(client);
	}
	return any;
}

/*
 * Every replica reads on: all there is, or a little of some partitions. Replica i leaves partition
 * i behind for a while and then takes much of it, so that their orders differ widely.
 */
static void turn(struct world *world, bool all)
{
	for (int i = 0; i < REPLICAS; i++) {
		struct replica *replica = &world->replicas[i];

		for (int p = 0; p < PARTITIONS; p++) {
			if (all)
				ingest(world, replica, p, MAX_EVENTS);
			else if (p != i)
				ingest(world, replica, p, rand_r(&world->seed) % 10);
			else if (rand_r(&world->seed) % 200 == 0)
				ingest(world, replica, p, 1000);
		}
		feeds_on_flush(replica->feeds);
		fanout_turn(replica->fanout);
	}
}

static void tick(struct world *world)
{
	for (int i = 0; i < REPLICAS; i++)
		fanout_tick(world->replicas[i].fanout);
}

static bool has_all(const struct client *client)
{
	const struct log *log = &client->world->log;

	for (int p = 0; p < PARTITIONS; p++)
		for (int64_t o = client->next[p]; o < log->high[p]; o++)
			if (client->user < 0 || log->user[p][o] == client->user)
				return false;
	return true;
}

/* Until everything has come to all; replays run on their own threads, so it is asked again for a
 * while. All read, as one that does not would hold a chunk that another waits for. */
static void drain(struct client *clients, int count)
{
	bool whole = false;

	for (int tries = 0; tries < 20000 && !whole; tries++) {
		whole = true;
		turn(clients->world, true);
		for (int i = 0; i < count; i++) {
			if (clients[i].aborted)
				disconnect_client(&clients[i]);
			if (!clients[i].subscriber)
				connect_client(&clients[i]);
			take(&clients[i], 1 << 20);
			whole = whole && has_all(&clients[i]);
		}
		if (!whole)
			usleep(200);
	}
	assert_true(whole);
}

struct promise_row {
	const char *name;
	uint64_t window_bytes;
	bool filtered;
	int away; /* rounds that a client stays away, about */
};

/*
 * The promise: clients with and without a filter, cut off at random places and back at any replica
 * with the last id that they saw, read with random appetite; each gets every event that is its own
 * exactly once and in partition order, from the window and from replay.
 */
static void test_subscriber_cut_at_random_gets_every_event_once(void **state)
{
	static const struct promise_row rows[] = {
	    {"window", 64 << 20, false, 20},
	    {"window, filtered", 64 << 20, true, 20},
	    {"small window, back at once", 64 << 10, false, 1},
	    {"replay", 64 << 10, false, 20},
	    {"replay, filtered", 64 << 10, true, 20},
	};
	static struct world world;
	static struct client clients[USERS];

	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		open_world(&world, rows[row].window_bytes, rows[row].filtered);
		for (int i = 0; i < USERS; i++) {
			init_client(&clients[i], &world, rows[row].filtered ? i : -1);
			connect_client(&clients[i]);
			take(&clients[i], SIZE_MAX);
		}
		for (int round = 0; round < 2000; round++) {
			int events = rand_r(&world.seed) % 20;
			struct client *client = &clients[rand_r(&world.seed) % USERS];

			while (events--)
				produce(&world);
			turn(&world, false);
			if (round % 3 == 0)
				tick(&world);
			if (client->subscriber && !client->aborted)
				take(client, (size_t)rand_r(&world.seed) % 20000);
			if (client->aborted || rand_r(&world.seed) % 10 == 0)
				disconnect_client(client);
			if (!client->subscriber && rand_r(&world.seed) % rows[row].away == 0)
				connect_client(client);
		}
		drain(clients, USERS);
		for (int i = 0; i < USERS; i++) {
			assert_true(clients[i].received > 0);
			assert_int_equal(clients[i].gaps, 0);
			disconnect_client(&clients[i]);
			buffer_free(&clients[i].unparsed);
		}
		close_world(&world);
	}
}

/* Waits for the frame that a counter counts. */
static void wait_for(struct client *client, const uint64_t *counter)
{
	for (int tries = 0; tries < 20000 && !*counter; tries++) {
		turn(client->world, true);
		take(client, SIZE_MAX);
		usleep(500);
	}
	assert_true(*counter > 0);
}

struct gap_row {
	enum stream_on_gap on_gap;
	bool ends;
	int64_t next; /* of partition 0 afterwards */
};

/* Retention was faster than the client: it is told by a gap event, and goes on where the stream
 * says. */
static void test_subscriber_behind_retention_is_told_of_the_gap(void **state)
{
	static const struct gap_row rows[] = {
	    {STREAM_GAP_EARLIEST, false, 500},
	    {STREAM_GAP_LATEST, false, 0},
	    {STREAM_GAP_CLOSE, true, 0},
	};
	static struct world world;
	static struct client client;

	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		open_world(&world, 16 << 10, false);
		world.stream.on_gap = rows[row].on_gap;
		init_client(&client, &world, -1);
		connect_client(&client);
		take(&client, SIZE_MAX);
		disconnect_client(&client);
		for (int i = 0; i < 5000; i++)
			produce(&world);
		turn(&world, true);
		world.log.low[0] = 500;
		client.next[0] = rows[row].on_gap == STREAM_GAP_EARLIEST ? 500 : world.log.high[0];
		if (rows[row].on_gap == STREAM_GAP_LATEST)
			for (int p = 0; p < PARTITIONS; p++)
				client.first[p] = world.log.high[p];
		connect_client(&client);
		wait_for(&client, &client.gaps);
		if (rows[row].ends)
			assert_true(subscriber_ended(client.subscriber));
		else
			drain(&client, 1);
		assert_int_equal(client.gaps, 1);
		disconnect_client(&client);
		buffer_free(&client.unparsed);
		close_world(&world);
	}
}

/* An idle subscriber's heartbeat moves its id over events that are not its own. */
static void test_subscriber_idle_heartbeat_moves_the_id(void **state)
{
	static struct world world;
	static struct client client;
	char before[1024];

	(void)state;
	open_world(&world, 1 << 20, true);
	world.stream.heartbeat_ms = 0;
	init_client(&client, &world, 9);
	connect_client(&client);
	take(&client, SIZE_MAX);
	strcpy(before, client.last_event_id);
	for (int i = 0; i < 100; i++)
		produce(&world);
	turn(&world, true);
	tick(&world);
	take(&client, SIZE_MAX);
	assert_int_equal(client.heartbeats, 1);
	assert_int_equal(client.received, 0);
	assert_string_not_equal(client.last_event_id, before);
	disconnect_client(&client);
	buffer_free(&client.unparsed);
	close_world(&world);
}

/* One that takes nothing is given up after the time that it has. */
static void test_subscriber_without_progress_is_given_up(void **state)
{
	static struct world world;
	static struct client client;

	(void)state;
	open_world(&world, 1 << 20, false);
	init_client(&client, &world, -1);
	connect_client(&client);
	take(&client, SIZE_MAX);
	produce(&world);
	turn(&world, true);
	tick(&world);
	assert_false(client.aborted);
	world.settings.slow_client_timeout_ms = 0;
	tick(&world);
	assert_true(client.aborted);
	disconnect_client(&client);
	buffer_free(&client.unparsed);
	close_world(&world);
}

/* A token that has expired ends the stream with an event that says so. */
static void test_subscriber_expired_ends_with_timeout(void **state)
{
	static struct world world;
	static struct client client;
	struct route_keys keys = {0};
	struct feed *feed;

	(void)state;
	open_world(&world, 1 << 20, false);
	init_client(&client, &world, -1);
	assert_int_equal(feeds_open(world.replicas[0].feeds, &world.stream, NULL, &feed), 0);
	client.subscriber = subscriber_new(world.replicas[0].fanout, feed, &keys,
					   &(struct subscriber_start){0}, 1, &client.carrier);
	take(&client, SIZE_MAX);
	tick(&world);
	struct slice bytes = subscriber_peek(client.subscriber, SIZE_MAX);

	assert_non_null(memmem(bytes.base, bytes.len, "event: timeout", 14));
	assert_non_null(memmem(bytes.base, bytes.len, "token_expired", 13));
	assert_false(subscriber_ended(client.subscriber));
	subscriber_consume(client.subscriber, bytes.len);
	assert_true(subscriber_ended(client.subscriber));
	disconnect_client(&client);
	buffer_free(&client.unparsed);
	close_world(&world);
}

/* start: {"last": N} gives the newest N first, whether the window has them or not; cut off in the
 * middle, the rest comes after. */
static void test_subscriber_start_last_gives_the_newest_first(void **state)
{
	static const uint64_t budgets[] = {64 << 20, 8 << 10};
	static struct world world;
	static struct client client;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		open_world(&world, budgets[i], false);
		for (int n = 0; n < 3000; n++)
			produce(&world);
		turn(&world, true);
		world.stream.start = STREAM_START_LAST;
		world.stream.start_last = 200;
		init_client(&client, &world, -1);
		client.any_start = true;
		memset(client.next, -1, sizeof(client.next));
		connect_client(&client);
		while (client.received < 50) {
			turn(&world, true);
			take(&client, 100);
		}
		disconnect_client(&client);
		connect_client(&client);
		for (int tries = 0; tries < 20000 && client.received < 200; tries++) {
			turn(&world, true);
			take(&client, SIZE_MAX);
			usleep(100);
		}
		assert_int_equal(client.received, 200);
		for (int p = 0; p < PARTITIONS; p++)
			assert_true(client.next[p] == world.log.high[p] || client.next[p] == -1);
		disconnect_client(&client);
		buffer_free(&client.unparsed);
		close_world(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_subscriber_cut_at_random_gets_every_event_once),
	    cmocka_unit_test(test_subscriber_behind_retention_is_told_of_the_gap),
	    cmocka_unit_test(test_subscriber_idle_heartbeat_moves_the_id),
	    cmocka_unit_test(test_subscriber_without_progress_is_given_up),
	    cmocka_unit_test(test_subscriber_expired_ends_with_timeout),
	    cmocka_unit_test(test_subscriber_start_last_gives_the_newest_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
