/*
 * world: the whole of feed/ on a log in memory: one thread writes as ingest does, this thread is
 * the loop, replay workers read the log. Carriers take bytes in random portions. What arrives is
 * parsed and counted.
 */
#ifndef SLUICE_TESTS_UNIT_FEED_WORLD_H
#define SLUICE_TESTS_UNIT_FEED_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base64url.h"
#include "base/mem.h"
#include "event/document.h"
#include "event/event_id.h"
#include "event/frame.h"
#include "feed/checks.h"
#include "feed/fanout.h"
#include "feed/feeds.h"
#include "feed/replay.h"
#include "feed/subscriber.h"

enum { PARTITIONS = 5, USERS = 7, MAX_EVENTS = 20000, REPLICAS = 2, TOMBSTONE = 0x80 };
/* Of an event's value: it is longer than WORLD_SMALL_BYTES; it has `"e":1`, for an end_when. */
enum { MARK_LARGE = 1, MARK_END = 2, WORLD_SMALL_BYTES = 32 };

/* Rounds at random, of which ThreadSanitizer's quarter finds the races. */
#ifdef __SANITIZE_THREAD__
#define WORLD_ROUNDS(count) ((count) / 4)
#else
#define WORLD_ROUNDS(count) (count)
#endif

/* The log: what Kafka would hold. Written before it is handed over, so that a replay finds it. */
struct log {
	_Atomic int64_t low[PARTITIONS], high[PARTITIONS];
	uint8_t user[PARTITIONS][MAX_EVENTS], marks[PARTITIONS][MAX_EVENTS];
	_Atomic int absent; /* so often the last partition is said not to be there */
	_Atomic bool down;
	uint64_t read_budget; /* records that a read gives at most; 0: as many as are asked for */
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
	const struct replay_journal *journal; /* NULL: none */
	unsigned seed;
	int user_span; /* users that events are for; those from USERS on are nobody here */
	bool replays_stopped;
};

/* The event's SSE fields come from where `source`, a stream's `event`, says. Before there are
 * records. */
static inline void set_mapping(struct world *world, const char *source)
{
	json_t *json = json_loads(source, 0, NULL);
	char pointer[256], reason[256];

	mapping_free(world->stream.mapping);
	assert_int_equal(mapping_compile(json, &world->stream.mapping, pointer, reason), 0);
	world->stream.parts |= mapping_parts(world->stream.mapping);
	json_decref(json);
}

static inline void on_want(void *context, const char *topic, uint32_t warm_ms, void *token)
{
	(void)topic;
	(void)warm_ms;
	((struct replica *)context)->token = token;
}

static inline void on_unwant(void *context, const char *topic)
{
	(void)context;
	(void)topic;
}

static inline void on_wake(void *context)
{
	(void)context;
}

static inline void *source_open(void *context)
{
	return context;
}

static inline void source_close(void *reader)
{
	(void)reader;
}

struct record_text {
	char key[8], value[64];
};

static inline void make_record(const struct log *log, int32_t partition, int64_t offset,
			       struct record_text *text, struct record *record)
{
	snprintf(text->key, sizeof(text->key), "%u", log->user[partition][offset] & ~TOMBSTONE);
	snprintf(text->value, sizeof(text->value), "{\"p\":%d,\"o\":%lld%s%s}", partition,
		 (long long)offset, log->marks[partition][offset] & MARK_END ? ",\"e\":1" : "",
		 log->marks[partition][offset] & MARK_LARGE ? ",\"x\":\"0123456789abcdef\"" : "");
	*record = (struct record){
	    .topic = SLICE_LIT("t"),
	    .partition = partition,
	    .offset = offset,
	    .timestamp_ms = offset,
	    .has_key = true,
	    .has_value = !(log->user[partition][offset] & TOMBSTONE),
	    .key = slice_of(text->key),
	};
	if (record->has_value)
		record->value = slice_of(text->value);
}

static inline int source_read(void *reader, const struct replay_source_range *ranges, size_t count,
			      uint64_t budget,
			      bool (*on_record)(void *, size_t, const struct record *),
			      void (*progress)(void *, size_t, int64_t), void *visitor)
{
	const struct log *log = reader;

	if (log->read_budget && log->read_budget < budget)
		budget = log->read_budget;
	for (size_t i = 0; i < count; i++) {
		for (int64_t o = ranges[i].from; o < ranges[i].until; o++) {
			struct record_text text;
			struct record record;

			if (o < log->low[ranges[i].partition])
				return ERROR_KAFKA;
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

static inline int source_bounds(void *reader, const char *topic, int32_t partition, int64_t *low,
				int64_t *high)
{
	struct log *log = reader;

	(void)topic;
	if (partition == PARTITIONS - 1 && log->absent) {
		log->absent--;
		return ERROR_NOT_FOUND;
	}
	if (log->down)
		return ERROR_KAFKA;
	*low = log->low[partition];
	*high = log->high[partition];
	return 0;
}

/* Timestamps are offsets. */
static inline int source_seek_time(void *reader, struct replay_source_range *ranges, size_t count,
				   int64_t since_ms)
{
	const struct log *log = reader;

	if (log->down)
		return ERROR_KAFKA;
	for (size_t i = 0; i < count; i++) {
		int64_t low = log->low[ranges[i].partition];
		int64_t high = log->high[ranges[i].partition];
		int64_t found = since_ms > low ? since_ms : low;

		ranges[i].from = found < high ? found : high;
	}
	return 0;
}

static inline int find_variable(void *context, struct slice name, enum pattern_variable_type *type,
				bool *optional)
{
	(void)context;
	*type = PATTERN_STRING;
	*optional = false;
	return slice_equal(name, SLICE_LIT("path.user")) ? 0 : ERROR_NOT_FOUND;
}

/* Take over `source`. */
static inline struct pattern *compile_pattern(json_t *source)
{
	static const char *const roots[] = {"key", "value", NULL};
	const struct pattern_scope scope = {find_variable, NULL, roots};
	struct pattern_error error;
	struct pattern *pattern;

	assert_int_equal(pattern_compile(source, &scope, &pattern, &error), 0);
	json_decref(source);
	return pattern;
}

static inline struct checks *make_checks(json_t *source)
{
	struct pattern *pattern = compile_pattern(source);

	return checks_new(&pattern, 1);
}

/* The same from JSON text. */
static inline struct checks *make_checks_of(const char *source)
{
	return make_checks(json_loads(source, 0, NULL));
}

/* What the next worlds' replays hold of the last events. */
static uint64_t world_last_bytes = 1 << 20;

/* How much of a window the next worlds' subscribers look at in one go. */
static uint32_t world_look_bytes = FANOUT_LOOK_BYTES;

static inline void open_replica(struct world *world, struct replica *replica)
{
	const struct feeds_source source = {on_want, on_unwant, replica};
	const struct replay_settings replay_settings = {2,  4096,   4, 1000, world_last_bytes,
							20, 1 << 20};
	const struct replay_source replay_source = {source_open,   source_close,     source_read,
						    source_bounds, source_seek_time, &world->log};

	replica->feeds = feeds_new(&source, 0, on_wake, NULL);
	feeds_declare(replica->feeds, &world->stream);
	replica->replay =
	    replay_new(&replay_settings, &replay_source, world->journal, replica->feeds);
	replay_start(replica->replay);
	replica->fanout =
	    fanout_new(replica->feeds, replica->replay, &world->settings, on_wake, NULL);
	for (int32_t p = 0; p < PARTITIONS; p++)
		feeds_on_partition(replica->feeds, replica->token, p, 0);
	feeds_on_flush(replica->feeds);
	feeds_on_caught_up(replica->feeds, replica->token);
}

/* What the next worlds have for a journal; NULL: none. Its context is the world's log. */
static struct replay_journal *world_journal;

static inline void open_world_that_keeps(struct world *world, uint64_t window_bytes, bool filtered,
					 bool keeps_records)
{
	static const char *const roots[] = {"key", "value", NULL};
	static char topic[] = "t", *topics[] = {topic}, heartbeat_event[] = "heartbeat";
	const struct pattern_scope scope = {find_variable, NULL, roots};
	json_t *filter = json_loads("{\"key\": [\"{path.user}\"]}", 0, NULL);
	struct pattern_error error;

	memset(world, 0, sizeof(*world));
	world->journal = world_journal;
	world->stream.journal_retain_ms = world_journal ? 3600000 : 0;
	world->seed = 7;
	world->user_span = USERS;
	world->stream.name = mem_strdup("test");
	world->stream.topics = topics;
	world->stream.topic_count = 1;
	world->stream.window_bytes = window_bytes;
	world->stream.max_event_bytes = 1 << 20;
	world->stream.keeps_records = keeps_records;
	world->stream.heartbeat_ms = 1000000;
	assert_int_equal(mapping_compile(NULL, &world->stream.mapping, NULL, NULL), 0);
	if (filtered) {
		assert_int_equal(pattern_compile(filter, &scope, &world->stream.filter, &error), 0);
		world->stream.parts = DOCUMENT_KEY;
	}
	json_decref(filter);
	world->stream.heartbeat_event = heartbeat_event;
	world->settings.slow_client_timeout_ms = 1000000;
	world->settings.look_bytes = world_look_bytes;
	world->settings.server_id = "gw-1";
	for (int i = 0; i < REPLICAS; i++)
		open_replica(world, &world->replicas[i]);
}

static inline void open_world(struct world *world, uint64_t window_bytes, bool filtered)
{
	open_world_that_keeps(world, window_bytes, filtered, false);
}

static inline void stop_replays(struct world *world)
{
	for (int i = 0; i < REPLICAS; i++)
		replay_stop(world->replicas[i].replay);
	world->replays_stopped = true;
}

static inline void close_world(struct world *world)
{
	if (!world->replays_stopped)
		stop_replays(world);
	for (int i = 0; i < REPLICAS; i++) {
		struct replica *replica = &world->replicas[i];

		fanout_free(replica->fanout);
		feeds_free(replica->feeds);
		replay_free(replica->replay);
	}
	mapping_free(world->stream.mapping);
	if (world->stream.filter)
		pattern_free(world->stream.filter);
	free(world->stream.name);
}

static inline void produce(struct world *world)
{
	int32_t partition = rand_r(&world->seed) % PARTITIONS;
	int64_t offset = world->log.high[partition];

	world->log.user[partition][offset] = (uint8_t)(rand_r(&world->seed) % world->user_span);
	world->log.high[partition] = offset + 1;
}

/* Hands over what one partition has, up to `most` records, as ingest does. */
static inline void ingest(struct world *world, struct replica *replica, int32_t partition, int most)
{
	while (most-- > 0 && replica->next[partition] < world->log.high[partition]) {
		struct record_text text;
		struct record record;

		make_record(&world->log, partition, replica->next[partition]++, &text, &record);
		feeds_on_record(replica->feeds, replica->token, &record);
	}
}

#define WELCOME SLICE_LIT("event: welcome\ndata: {}\n\n")

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
	uint64_t received, gaps, connected, heartbeats, limits, timeouts;
	bool aborted;
	bool follows_gaps;   /* goes on at the log's beginning after a gap event */
	bool any_start;      /* the first event of a partition may have any offset */
	bool tracked;        /* comes back with what subscriber_position() said at its end */
	bool has_new_id;     /* since it connected */
	bool awaits_welcome; /* it was promised one, right after `connected` */
	bool was_connected;  /* the frame before was that */
	bool connected_has_id;
	uint32_t interval_ms;
	struct checks *checks;   /* given at the start; borrowed */
	struct checks *end_when; /* likewise */
	bool is_bounded;
	bool has_final_id;
	uint64_t ends;
	/* Judges an event in place of what is checked otherwise. */
	void (*judge)(struct client *client, int partition, int64_t offset);
	/* After each frame that has an id. */
	void (*on_id)(struct client *client, struct slice id);
};

static inline void on_ready(struct carrier *carrier)
{
	(void)carrier;
}

static inline void on_abort(struct carrier *carrier)
{
	((struct client *)carrier)->aborted = true;
}

static const struct carrier_ops ops = {on_ready, on_abort};

static inline void init_client(struct client *client, struct world *world, int user)
{
	memset(client, 0, sizeof(*client));
	client->carrier.ops = &ops;
	client->world = world;
	client->user = user;
	for (int p = 0; p < PARTITIONS; p++)
		client->next[p] = client->first[p] = world->log.high[p];
}

/* At a replica of the world's choice where `at` is NULL. */
static inline void connect_client_to(struct client *client, struct replica *at)
{
	struct world *world = client->world;
	struct subscriber_start start = {0};
	struct route_keys keys = {0};
	struct position position;
	struct feed *feed;
	const char *reason;
	unsigned flags;

	start.checks = client->checks;
	start.end_when = client->end_when;
	start.is_bounded = client->is_bounded;
	start.tracked = client->tracked;
	start.welcome = WELCOME;
	client->awaits_welcome = true;
	start.interval_ms = client->interval_ms;
	client->has_new_id = false;
	client->at = at ? at : &world->replicas[rand_r(&world->seed) % REPLICAS];
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

static inline void connect_client(struct client *client)
{
	connect_client_to(client, NULL);
}

/* Also of one that fell out of the window. */
static inline void keep_position(struct client *client)
{
	struct buffer id = {0};
	bool known = subscriber_position(client->subscriber, &id);

	assert_true(known || !client->has_new_id);
	if (known) {
		assert_true(id.len < sizeof(client->last_event_id));
		strcpy(client->last_event_id, buffer_text(&id));
	}
	buffer_free(&id);
}

static inline void disconnect_client(struct client *client)
{
	if (client->subscriber && client->tracked)
		keep_position(client);
	if (client->subscriber)
		subscriber_free(client->subscriber, CLOSE_CLIENT);
	client->subscriber = NULL;
	client->aborted = false;
	client->awaits_welcome = client->was_connected = false;
	buffer_clear(&client->unparsed);
}

/* As a record's value says it, its envelope, or an error in its place. */
static inline void read_place(const char *data, int *partition, long long *offset)
{
	const char *place = strstr(data, "\"partition\":");

	if (place)
		assert_int_equal(
		    sscanf(place, "\"partition\":%d,\"offset\":%lld", partition, offset), 2);
	else
		assert_int_equal(sscanf(data, "{\"p\":%d,\"o\":%lld", partition, offset), 2);
}

/* An event with data: it must be the client's, not have come before, and follow its partition's
 * order without a hole. */
static inline void check_event(struct client *client, const char *data)
{
	const struct log *log = &client->world->log;
	int partition;
	long long offset;

	read_place(data, &partition, &offset);
	assert_false(client->awaits_welcome);
	if (client->judge) {
		client->judge(client, partition, offset);
		return;
	}
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

/* What is below the log's beginning is what it tells of. */
static inline void take_gap(struct client *client)
{
	const struct log *log = &client->world->log;

	client->gaps++;
	for (int p = 0; p < PARTITIONS && client->follows_gaps; p++)
		if (client->next[p] < log->low[p] || client->next[p] > log->high[p])
			client->next[p] = log->low[p];
}

/* The welcome stands right after `connected` and has its id, and nowhere else. */
static inline bool take_welcome(struct client *client, const char *text, struct slice id)
{
	bool is_welcome = strstr(text, "event: welcome");

	assert_int_equal(is_welcome, client->was_connected && client->awaits_welcome);
	client->was_connected = strstr(text, "event: connected");
	if (client->was_connected)
		client->connected_has_id = id.len;
	if (!is_welcome)
		return false;
	client->awaits_welcome = false;
	assert_true(client->connected_has_id == (id.len > 0));
	assert_true(!id.len || slice_equal(id, slice_of(client->last_event_id)));
	return true;
}

/* The flags are the id's second byte. */
static inline bool is_final(struct slice id)
{
	uint8_t bytes[3];

	return id.len > 4 && !base64url_decode((struct slice){id.base, 4}, bytes) &&
	       bytes[0] == 1 && bytes[1] & EVENT_ID_FINAL;
}

static inline void take_end(struct client *client)
{
	assert_true(client->has_final_id);
	client->ends++;
}

static inline void check_text(struct client *client, struct slice frame)
{
	char text[2048];
	struct slice id = frame_id(frame);
	const char *data;

	assert_true(frame.len < sizeof(text));
	assert_int_equal(client->ends, 0);
	memcpy(text, frame.base, frame.len);
	text[frame.len] = '\0';
	if (take_welcome(client, text, id))
		return;
	client->has_new_id = client->has_new_id || id.len;
	if (id.len) {
		memcpy(client->last_event_id, id.base, id.len);
		client->last_event_id[id.len] = '\0';
		client->has_final_id = is_final(id);
	}
	data = strstr(text, "data: ");
	if (strstr(text, "event: connected"))
		client->connected++;
	else if (strstr(text, "event: gap"))
		take_gap(client);
	else if (strstr(text, "event: limit"))
		client->limits++;
	else if (strstr(text, "event: timeout"))
		client->timeouts++;
	else if (strstr(text, "event: heartbeat"))
		client->heartbeats++;
	else if (strstr(text, "event: end"))
		take_end(client);
	else if (data)
		check_event(client, data + 6);
	else
		client->heartbeats++;
}

static inline void check_frame(struct client *client, struct slice frame)
{
	check_text(client, frame);
	if (client->on_id && frame_id(frame).len)
		client->on_id(client, frame_id(frame));
}

static inline void parse(struct client *client)
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
static inline bool take(struct client *client, size_t most)
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
static inline void turn(struct world *world, bool all)
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

static inline void tick(struct world *world)
{
	for (int i = 0; i < REPLICAS; i++)
		fanout_tick(world->replicas[i].fanout);
}

static inline bool has_all(const struct client *client)
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
static inline void drain(struct client *clients, int count)
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

/* Waits for the frame that a counter counts. */
static inline void wait_for(struct client *client, const uint64_t *counter)
{
	for (int tries = 0; tries < 20000 && !*counter; tries++) {
		turn(client->world, true);
		tick(client->world);
		take(client, SIZE_MAX);
		usleep(500);
	}
	assert_true(*counter > 0);
}

/* Connects, goes, and comes back when 5,000 events have passed a small window. */
static inline void come_back_late(struct world *world, struct client *client)
{
	open_world(world, 16 << 10, false);
	init_client(client, world, -1);
	for (int i = 0; i < 100; i++)
		produce(world);
	turn(world, true);
	for (int p = 0; p < PARTITIONS; p++)
		client->next[p] = client->first[p] = world->log.high[p];
	connect_client(client);
	take(client, SIZE_MAX);
	disconnect_client(client);
	for (int i = 0; i < 5000; i++)
		produce(world);
	turn(world, true);
}

static inline void end_alone(struct world *world, struct client *client)
{
	disconnect_client(client);
	buffer_free(&client->unparsed);
	close_world(world);
}

#endif
