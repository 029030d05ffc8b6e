/* Subscribers with an interval, on the world of world.h. Their intervals are over when a test says
 * so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "feed/checks.h"
#include "feed/subscriber_priv.h"
#include "world.h"

enum { LONG_MS = 1000000, CLIENTS = 5, KEYS = USERS };

/* One that knows of each key how far it has got. */
struct watcher {
	struct client client; /* first */
	int64_t last[KEYS];
	unsigned keys; /* that are for it */
};

static struct world world;
static struct watcher watchers[CLIENTS];

/* An event of a key comes once, and never after a later one. */
static void judge(struct client *client, int partition, int64_t offset)
{
	struct watcher *watcher = (struct watcher *)client;
	int key = world.log.user[partition][offset];

	assert_true(watcher->keys >> key & 1);
	assert_true(offset > watcher->last[key]);
	watcher->last[key] = offset;
	client->received++;
}

static void init_watcher(struct watcher *watcher, int user)
{
	init_client(&watcher->client, &world, user);
	watcher->client.judge = judge;
	watcher->client.interval_ms = LONG_MS;
	watcher->keys = user < 0 ? (1 << KEYS) - 1 : 1U << user;
	memset(watcher->last, -1, sizeof(watcher->last));
}

/* A key has one partition. */
static void produce_key(int key)
{
	int partition = key % PARTITIONS;
	int64_t offset = world.log.high[partition];

	world.log.user[partition][offset] = (uint8_t)key;
	world.log.high[partition] = offset + 1;
}

/* What a replay carries goes out, too. */
static void pass_interval(struct client *client)
{
	struct subscriber *subscriber = client->subscriber;

	if (!subscriber || !subscriber->conflation)
		return;
	subscriber->conflation->due_ms = 0;
	if (subscriber->job && subscriber->job->carries_ms)
		subscriber->job->carries_ms = subscriber->at->fanout->now_ms - LONG_MS;
}

static int64_t newest_of(int key)
{
	int partition = key % PARTITIONS;
	int64_t offset = world.log.high[partition] - 1;

	while (offset >= 0 && world.log.user[partition][offset] != key)
		offset--;
	return offset;
}

static bool has_newest(const struct watcher *watcher)
{
	for (int key = 0; key < KEYS; key++)
		if (watcher->keys >> key & 1 && watcher->last[key] != newest_of(key))
			return false;
	return true;
}

/* Until all have the newest of each of their keys. */
static void settle(int count)
{
	bool whole = false;

	for (int tries = 0; tries < 20000 && !whole; tries++) {
		whole = true;
		turn(&world, true);
		for (int i = 0; i < count; i++) {
			struct client *client = &watchers[i].client;

			if (client->aborted)
				disconnect_client(client);
			if (!client->subscriber)
				connect_client(client);
			pass_interval(client);
			take(client, SIZE_MAX);
			whole = whole && has_newest(&watchers[i]);
		}
		if (!whole)
			usleep(200);
	}
	assert_true(whole);
}

static void close_watchers(int count)
{
	for (int i = 0; i < count; i++) {
		disconnect_client(&watchers[i].client);
		buffer_free(&watchers[i].client.unparsed);
	}
	close_world(&world);
}

/* One client at the first replica, that has nothing to take. */
static struct client *open_one(uint64_t window_bytes, bool by_key)
{
	struct client *client = &watchers[0].client;

	open_world(&world, window_bytes, false);
	world.stream.interval.per_key = by_key;
	init_watcher(&watchers[0], -1);
	connect_client_to(client, &world.replicas[0]);
	take(client, SIZE_MAX);
	return client;
}

static void produce_and_take(struct client *client, int key)
{
	produce_key(key);
	turn(&world, true);
	take(client, SIZE_MAX);
}

/* The first event after a silence comes at once; of those that follow, the newest when the interval
 * is over. */
static void test_conflation_first_comes_at_once_then_the_newest(void **state)
{
	uint64_t before = metrics_sum(METRIC_EVENTS_CONFLATED);
	struct client *client = open_one(1 << 20, false);

	(void)state;
	produce_and_take(client, 0);
	assert_int_equal(client->received, 1);
	for (int i = 0; i < 50; i++)
		produce_and_take(client, i % KEYS);
	assert_int_equal(client->received, 1);
	pass_interval(client);
	take(client, SIZE_MAX);
	assert_int_equal(client->received, 2);
	assert_int_equal(watchers[0].last[49 % KEYS], newest_of(49 % KEYS));
	pass_interval(client);
	take(client, SIZE_MAX);
	assert_int_equal(client->received, 2);
	assert_int_equal(metrics_sum(METRIC_EVENTS_CONFLATED), before + 49);
	close_watchers(1);
}

/* By key, the newest of each comes, in the order in which they are in the window. */
static void test_conflation_by_key_gives_the_newest_of_each_in_order(void **state)
{
	static const int keys[] = {0, 1, 2, 1, 0, 3, 1};
	struct client *client = open_one(1 << 20, true);
	struct slice bytes;
	char expected[256] = "", text[1024];
	const char *at = text;

	(void)state;
	produce_and_take(client, 6);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		produce_and_take(client, keys[i]);
	assert_int_equal(client->received, 1);
	pass_interval(client);
	bytes = subscriber_peek(client->subscriber, SIZE_MAX);
	assert_true(bytes.len < sizeof(text));
	memcpy(text, bytes.base, bytes.len);
	text[bytes.len] = '\0';
	/* By their partitions, which are as their keys. */
	while ((at = strstr(at, "\"p\":")))
		strncat(expected, at += 4, 1);
	assert_string_equal(expected, "2031");
	take(client, SIZE_MAX);
	assert_int_equal(client->received, 5);
	assert_true(has_newest(&watchers[0]) || newest_of(4) < 0);
	close_watchers(1);
}

struct promise_row {
	const char *name;
	uint64_t window_bytes;
	bool filtered, by_key, tracked;
	int away;
};

/*
 * The promise, conflated: clients cut off at random places and back at any replica with the last
 * id that they saw, or with what their cursor has; no event comes twice or after a newer one of its
 * key, and each ends with the newest of each.
 */
static void test_conflation_cut_at_random_ends_with_the_newest(void **state)
{
	static const struct promise_row rows[] = {
	    {"window", 64 << 20, false, true, false, 20},
	    {"window, filtered", 64 << 20, true, true, false, 20},
	    {"window, filtered, one key", 64 << 20, true, false, false, 20},
	    {"small window", 64 << 10, false, true, false, 1},
	    {"replay", 64 << 10, false, true, false, 20},
	    {"replay, filtered", 64 << 10, true, true, false, 20},
	    {"replay, filtered, one key", 64 << 10, true, false, false, 20},
	    {"window, tracked", 64 << 20, false, true, true, 20},
	    {"replay, tracked", 64 << 10, false, true, true, 20},
	    {"replay, tracked, filtered", 64 << 10, true, false, true, 20},
	};

	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		open_world(&world, rows[row].window_bytes, rows[row].filtered);
		world.stream.interval.per_key = rows[row].by_key;
		world.stream.heartbeat_ms = row % 2 ? 0 : 1000000;
		world.log.read_budget = row % 2 ? 50 : 0;
		for (int i = 0; i < CLIENTS; i++) {
			init_watcher(&watchers[i], rows[row].filtered ? i : -1);
			watchers[i].client.tracked = rows[row].tracked;
			connect_client(&watchers[i].client);
			take(&watchers[i].client, SIZE_MAX);
		}
		for (int round = 0; round < WORLD_ROUNDS(3000); round++) {
			int events = rand_r(&world.seed) % 20;
			struct client *client = &watchers[rand_r(&world.seed) % CLIENTS].client;

			while (events--)
				produce_key(rand_r(&world.seed) % KEYS);
			turn(&world, false);
			if (round % 3 == 0)
				tick(&world);
			if (rand_r(&world.seed) % 3 == 0)
				pass_interval(client);
			if (client->subscriber && !client->aborted)
				take(client, (size_t)rand_r(&world.seed) % 1500);
			if (client->aborted || rand_r(&world.seed) % 10 == 0)
				disconnect_client(client);
			if (!client->subscriber && rand_r(&world.seed) % rows[row].away == 0)
				connect_client(client);
		}
		settle(CLIENTS);
		for (int i = 0; i < CLIENTS; i++) {
			uint64_t received = watchers[i].client.received;

			assert_true(received > 0 && received < 15000);
			assert_int_equal(watchers[i].client.gaps, 0);
		}
		close_watchers(CLIENTS);
	}
}

static void reconnect(struct client *client)
{
	disconnect_client(client);
	connect_client_to(client, &world.replicas[0]);
	take(client, SIZE_MAX);
}

/* A heartbeat while an event waits does not take the id past it: who comes back with that id gets
 * it. So does who comes back with the id that a cursor would have. */
static void test_conflation_id_never_runs_ahead_of_what_waits(void **state)
{
	(void)state;
	for (int row = 0; row < 4; row++) {
		struct client *client = open_one(row < 2 ? 1 << 20 : 64 << 20, row % 2);

		produce_and_take(client, 0);
		produce_and_take(client, 1);
		produce_and_take(client, 2);
		produce_and_take(client, 1);
		world.stream.heartbeat_ms = 0;
		client->tracked = row >= 2;
		for (int i = 0; i < 10; i++)
			tick(&world);
		take(client, SIZE_MAX);
		assert_true(client->heartbeats > 0);
		assert_int_equal(client->received, 1);
		reconnect(client);
		pass_interval(client);
		take(client, SIZE_MAX);
		assert_int_equal(watchers[0].last[1], newest_of(1));
		if (row % 2)
			assert_int_equal(watchers[0].last[2], newest_of(2));
		assert_int_equal(client->received, row % 2 ? 3 : 2);
		close_watchers(1);
	}
}

/* When all is sent, heartbeats move the id on as for everybody. */
static void test_conflation_idle_heartbeat_moves_the_id(void **state)
{
	struct client *client = open_one(1 << 20, true);
	char before[1024];

	(void)state;
	produce_and_take(client, 0);
	strcpy(before, client->last_event_id);
	produce_and_take(client, 1);
	pass_interval(client);
	take(client, SIZE_MAX);
	assert_string_not_equal(client->last_event_id, before);
	strcpy(before, client->last_event_id);
	feeds_on_end(client->at->feeds, client->at->token, 0, world.log.high[0] + 5);
	feeds_on_flush(client->at->feeds);
	fanout_turn(client->at->fanout);
	world.stream.heartbeat_ms = 0;
	for (int i = 0; i < 10; i++)
		tick(&world);
	take(client, SIZE_MAX);
	assert_string_not_equal(client->last_event_id, before);
	close_watchers(1);
}

/* The gateway goes, or the token, while an event waits: the last id is from before it. */
static void test_conflation_ended_early_resumes_with_what_waited(void **state)
{
	(void)state;
	for (int row = 0; row < 2; row++) {
		struct client *client = open_one(1 << 20, true);

		produce_and_take(client, 0);
		produce_and_take(client, 1);
		if (row)
			subscriber_revoke(client->subscriber);
		else
			fanout_drain(client->at->fanout);
		subscriber_consume(client->subscriber,
				   subscriber_peek(client->subscriber, SIZE_MAX).len);
		assert_true(subscriber_ended(client->subscriber));
		assert_int_equal(client->received, 1);
		reconnect(client);
		pass_interval(client);
		take(client, SIZE_MAX);
		assert_int_equal(watchers[0].last[1], newest_of(1));
		close_watchers(1);
	}
}

/* Cut off in the middle of what goes out at once, a client gets the rest and nothing again. */
static void test_conflation_cut_inside_a_flush_goes_on_exactly(void **state)
{
	(void)state;
	for (size_t bytes = 1; bytes < 700; bytes += 7) {
		struct client *client = open_one(1 << 20, true);

		produce_and_take(client, 0);
		for (int key = 0; key < KEYS; key++)
			produce_and_take(client, key);
		pass_interval(client);
		take(client, bytes);
		reconnect(client);
		pass_interval(client);
		take(client, SIZE_MAX);
		assert_true(has_newest(&watchers[0]));
		assert_int_equal(client->received, 1 + KEYS);
		close_watchers(1);
	}
}

/* What waits and no longer passes does not go out; what it had superseded and passes does. */
static void test_conflation_checks_that_change_look_again(void **state)
{
	struct client *client = &watchers[0].client;

	(void)state;
	for (int row = 0; row < 4; row++) {
		struct checks *first = make_checks_of("{\"key\": [\"0\", \"1\", \"2\", \"3\"]}");
		struct checks *then = make_checks_of("{\"key\": [\"1\", \"3\", \"4\"]}");

		open_world_that_keeps(&world, 1 << 20, false, true);
		world.stream.interval.per_key = row % 2;
		init_watcher(&watchers[0], -1);
		client->checks = row < 2 ? first : NULL;
		connect_client_to(client, &world.replicas[0]);
		take(client, SIZE_MAX);
		produce_and_take(client, 0);
		for (int key = 1; key < 6; key++)
			produce_and_take(client, key);
		subscriber_set_checks(client->subscriber, then);
		watchers[0].keys = 1 << 1 | 1 << 3 | 1 << 4;
		take(client, SIZE_MAX);
		assert_int_equal(client->received, 1);
		pass_interval(client);
		take(client, SIZE_MAX);
		assert_int_equal(client->received, row % 2 ? (row < 2 ? 3 : 4) : 2);
		assert_int_equal(watchers[0].last[5], -1);
		checks_unref(first);
		checks_unref(then);
		client->checks = NULL;
		close_watchers(1);
	}
}

/* An event that the checks refuse supersedes nothing: neither while the interval lasts nor when the
 * client has not taken yet what is due. */
static void test_conflation_refused_event_supersedes_nothing(void **state)
{
	struct client *client = &watchers[0].client;
	struct checks *checks = make_checks_of("{\"value\": {\"o\": [{\"numeric\": [\"<\", 5]}]}}");

	(void)state;
	for (int row = 0; row < 4; row++) {
		uint64_t before = metrics_sum(METRIC_EVENTS_CONFLATED);

		open_world_that_keeps(&world, 1 << 20, false, true);
		world.stream.interval.per_key = row % 2;
		init_watcher(&watchers[0], -1);
		client->checks = checks;
		connect_client_to(client, &world.replicas[0]);
		take(client, SIZE_MAX);
		for (int i = 0; i < 20; i++) {
			if (row >= 2 && i == 2)
				pass_interval(client);
			produce_key(0);
			turn(&world, true);
			if (row < 2 || i < 2)
				take(client, SIZE_MAX);
		}
		assert_int_equal(client->received, 1);
		pass_interval(client);
		take(client, SIZE_MAX);
		assert_int_equal(client->received, 2);
		assert_int_equal(watchers[0].last[0], 4);
		assert_int_equal(metrics_sum(METRIC_EVENTS_CONFLATED), before + 3);
		close_watchers(1);
	}
	checks_unref(checks);
}

/* The window drops what waits for the interval's end: it is read again, and nothing is lost. */
static void test_conflation_faster_window_is_read_again(void **state)
{
	struct client *client = open_one(16 << 10, true);

	(void)state;
	produce_and_take(client, 0);
	produce_and_take(client, 1);
	for (int i = 0; i < 3000; i++)
		produce_key(2 + i % 2);
	turn(&world, true);
	assert_true(window_tail(client->subscriber->at->feed->window) > 1000);
	settle(1);
	assert_true(client->received > 3 && client->received < 50);
	assert_int_equal(client->gaps, 0);
	close_watchers(1);
}

static bool is_in_oldest_quarter(const struct subscriber *subscriber)
{
	uint64_t tail = window_tail(subscriber->at->feed->window);

	assert_true(subscriber->cursor >= tail);
	return subscriber->cursor - tail <= (subscriber->at->dispatched - tail) / 4;
}

/* What waits is about to leave the window: it goes out before its time. */
static void test_conflation_endangered_goes_out_early(void **state)
{
	struct client *client = open_one(64 << 10, true);

	(void)state;
	while (!window_tail(client->subscriber->at->feed->window)) {
		pass_interval(client);
		produce_and_take(client, 0);
	}
	client->received = 0;
	do
		produce_and_take(client, 1);
	while (!is_in_oldest_quarter(client->subscriber));
	assert_int_equal(client->received, 0);
	client->at->fanout->now_ms += 500;
	conflation_tick(client->at->fanout);
	take(client, SIZE_MAX);
	assert_int_equal(client->received, 1);
	assert_int_equal(client->subscriber->state, SUBSCRIBER_LIVE);
	close_watchers(1);
}

/* A burst goes through all of the window between two turns: those that are level read it again,
 * conflated. */
static void test_conflation_burst_is_conflated(void **state)
{
	struct client *client = open_one(16 << 10, true);

	(void)state;
	for (int burst = 0; burst < 3; burst++) {
		for (int i = 0; i < 3000; i++)
			produce_key(i % KEYS);
		settle(1);
	}
	assert_true(client->received >= KEYS && client->received < 500);
	close_watchers(1);
}

/* Who comes back late gets of what it missed the newest of each key, or the newest alone, and ids
 * that are exact: also where it is cut off again after each few bytes. */
static void test_conflation_replay_is_conflated(void **state)
{
	struct client *client = &watchers[0].client;

	(void)state;
	for (int row = 0; row < 4; row++) {
		int keys = row < 2 ? KEYS : 1;

		open_world(&world, 16 << 10, false);
		world.stream.interval.per_key = row < 2;
		init_watcher(&watchers[0], -1);
		watchers[0].keys = (1U << keys) - 1;
		connect_client(client);
		take(client, SIZE_MAX);
		disconnect_client(client);
		for (int i = 0; i < 10000; i++)
			produce_key(i % keys);
		turn(&world, true);
		connect_client(client);
		for (int tries = 0; row % 2 && tries < 20000 && !has_newest(&watchers[0]);
		     tries++) {
			uint64_t before = client->received;

			turn(&world, true);
			pass_interval(client);
			take(client, 150 + (size_t)rand_r(&world.seed) % 300);
			if (client->received > before) {
				disconnect_client(client);
				connect_client(client);
			}
			usleep(100);
		}
		settle(1);
		assert_true(client->received < 100);
		assert_int_equal(client->gaps, 0);
		close_watchers(1);
	}
}

/* One that has been away for `events` of `keys` keys, which the window has lost. */
static struct client *come_back_to_replay(int events, int keys, bool by_key)
{
	struct client *client = open_one(16 << 10, by_key);

	watchers[0].keys = (1U << keys) - 1;
	world.log.read_budget = 100;
	disconnect_client(client);
	for (int i = 0; i < events; i++)
		produce_key(i % keys);
	turn(&world, true);
	connect_client_to(client, &world.replicas[0]);
	return client;
}

/* However many slices a replay takes, within an interval it gives the newest of all that was
 * missed; and meanwhile the id says where the client stands. */
static void test_conflation_replay_of_many_slices_gives_the_newest(void **state)
{
	(void)state;
	for (int keys = 1; keys <= KEYS; keys += KEYS - 1) {
		struct client *client = come_back_to_replay(5000, keys, keys > 1);
		char id[sizeof(client->last_event_id)];

		strcpy(id, client->last_event_id);
		for (int tries = 0; tries < 20000 && !has_newest(&watchers[0]); tries++) {
			if (!client->received) {
				keep_position(client);
				assert_string_equal(client->last_event_id, id);
			}
			turn(&world, true);
			take(client, SIZE_MAX);
			usleep(200);
		}
		assert_int_equal(client->received, keys);
		close_watchers(1);
	}
}

/* A replay that lasts longer than an interval gives the newest of what is read so far at its end,
 * so that who is cut off gets on. */
static void test_conflation_long_replay_gives_one_an_interval(void **state)
{
	struct client *client = come_back_to_replay(5000, 1, false);

	(void)state;
	for (int tries = 0; tries < 20000 && !has_newest(&watchers[0]); tries++) {
		uint64_t before = client->received;

		turn(&world, true);
		pass_interval(client);
		take(client, SIZE_MAX);
		assert_true(client->received <= before + 1);
		if (client->received > before)
			reconnect(client);
		usleep(200);
	}
	assert_true(has_newest(&watchers[0]));
	assert_true(client->received > 5 && client->received <= 51);
	close_watchers(1);
}

static bool has_arrived(struct fanout *fanout)
{
	bool arrived;

	pthread_mutex_lock(&fanout->inbox_lock);
	arrived = fanout->inbox;
	pthread_mutex_unlock(&fanout->inbox_lock);
	return arrived;
}

/* What was read before the log lost what comes then is told before the gap, with an id from which
 * the gap is told again. */
static void test_conflation_replay_gives_what_it_carries_before_a_gap(void **state)
{
	enum { EVENTS = 5000, READ = 100 };
	struct client *client = come_back_to_replay(EVENTS, 1, false);
	struct fanout *fanout = client->at->fanout;

	(void)state;
	for (int tries = 0; tries < 20000 && !has_arrived(fanout); tries++)
		usleep(200);
	assert_true(has_arrived(fanout));
	world.log.low[0] = EVENTS - READ;
	subscriber_recheck(client->subscriber);
	for (int tries = 0; tries < 20000 && !client->received; tries++) {
		fanout_turn(fanout);
		take(client, 1);
		usleep(200);
	}
	assert_int_equal(watchers[0].last[0], READ - 1);
	assert_int_equal(client->gaps, 0);
	reconnect(client);
	settle(1);
	assert_int_equal(client->gaps, 1);
	assert_int_equal(client->received, 2);
	close_watchers(1);
}

/* start: {"last": N} is what was asked for, in the window or not; what comes after it is conflated.
 */
static void test_conflation_last_n_come_as_they_are(void **state)
{
	static const uint64_t windows[] = {1 << 20, 8 << 10};
	struct client *client = &watchers[0].client;

	(void)state;
	for (size_t row = 0; row < 2; row++) {
		open_world(&world, windows[row], false);
		for (int i = 0; i < 2000; i++)
			produce_key(0);
		turn(&world, true);
		world.stream.start = STREAM_START_LAST;
		world.stream.start_last = 100;
		init_watcher(&watchers[0], -1);
		watchers[0].keys = 1;
		connect_client(client);
		for (int tries = 0; tries < 20000 && client->received < 100; tries++) {
			fanout_turn(client->at->fanout);
			take(client, 500);
			usleep(200);
		}
		assert_int_equal(client->received, 100);
		for (int i = 0; i < 10; i++)
			produce_key(0);
		settle(1);
		assert_true(client->received <= 102);
		close_watchers(1);
	}
}

/* Of a gap in the log all are told, whatever else waits. */
static void test_conflation_gap_is_not_superseded(void **state)
{
	(void)state;
	for (int by_key = 0; by_key < 2; by_key++) {
		struct client *client = open_one(1 << 20, by_key);
		struct replica *replica = client->at;

		produce_and_take(client, 0);
		produce_and_take(client, 1);
		for (int i = 0; i < 10; i++)
			produce_key(0);
		world.log.low[0] = world.log.high[0];
		feeds_on_gap(replica->feeds, replica->token, 0, replica->next[0], world.log.low[0]);
		replica->next[0] = world.log.low[0];
		produce_and_take(client, 1);
		produce_and_take(client, 2);
		assert_int_equal(client->gaps, 0);
		pass_interval(client);
		take(client, SIZE_MAX);
		assert_int_equal(client->gaps, 1);
		assert_int_equal(client->received, by_key ? 3 : 2);
		close_watchers(1);
	}
}

/* The end of an interval is seen by the loop's tick, not before, and those that began together do
 * not end together. */
static void test_conflation_tick_tells_those_that_are_due(void **state)
{
	enum { MANY = 200, INTERVAL_MS = 10000 };
	static struct client many[MANY];
	struct fanout *fanout;
	uint64_t begin_ms;
	int rounds = 0, told = 0;

	(void)state;
	open_world(&world, 1 << 20, false);
	fanout = world.replicas[0].fanout;
	for (int i = 0; i < MANY; i++) {
		init_client(&many[i], &world, -1);
		many[i].interval_ms = INTERVAL_MS;
		connect_client_to(&many[i], &world.replicas[0]);
		take(&many[i], SIZE_MAX);
	}
	for (int n = 0; n < 2; n++) {
		produce_key(0);
		turn(&world, true);
		for (int i = 0; i < MANY; i++)
			assert_int_equal(take(&many[i], SIZE_MAX), !n);
	}
	begin_ms = fanout->now_ms;
	for (; told < MANY; rounds++) {
		int now = 0;

		fanout->now_ms += FANOUT_TICK_MS;
		conflation_tick(fanout);
		for (int i = 0; i < MANY; i++)
			now += many[i].subscriber->told;
		assert_true(!now || fanout->now_ms + 2000 > begin_ms + INTERVAL_MS);
		assert_true(now - told < MANY / 2);
		told = now;
		assert_true(rounds < 2 * INTERVAL_MS / FANOUT_TICK_MS);
	}
	for (int i = 0; i < MANY; i++) {
		take(&many[i], SIZE_MAX);
		assert_int_equal(many[i].received, 2);
		disconnect_client(&many[i]);
		buffer_free(&many[i].unparsed);
	}
	close_world(&world);
}

/* Many keys, more than wait for one client at a time. */
enum { MANY_KEYS = 3 * CONFLATION_MAX_DUE };
static int64_t many_last[MANY_KEYS];

static void judge_many(struct client *client, int partition, int64_t offset)
{
	int key = (int)(offset % MANY_KEYS);

	(void)partition;
	assert_true(offset > many_last[key]);
	many_last[key] = offset;
	client->received++;
}

static void send_many(struct replica *replica, int64_t offset)
{
	char key[16], value[64];
	const struct record record = {
	    .topic = SLICE_LIT("t"),
	    .offset = offset,
	    .timestamp_ms = offset,
	    .has_key = true,
	    .has_value = true,
	    .key = {key, (size_t)snprintf(key, sizeof(key), "%d", (int)(offset % MANY_KEYS))},
	    .value = {value, (size_t)snprintf(value, sizeof(value), "{\"p\":0,\"o\":%lld}",
					      (long long)offset)},
	};

	feeds_on_record(replica->feeds, replica->token, &record);
}

/* A client that reads slowly gets all keys, a portion at a time, though each changes all the time:
 * with checks and without. */
static void test_conflation_slow_client_gets_every_key(void **state)
{
	struct client *client = &watchers[0].client;
	struct checks *checks = make_checks_of("{\"key\": [{\"exists\": true}]}");

	(void)state;
	for (int checked = 0; checked < 2; checked++) {
		int64_t next = 0;
		int keys = 0;

		open_world_that_keeps(&world, 256 << 20, false, true);
		world.stream.interval.per_key = true;
		init_watcher(&watchers[0], -1);
		client->judge = judge_many;
		client->checks = checked ? checks : NULL;
		memset(many_last, -1, sizeof(many_last));
		connect_client_to(client, &world.replicas[0]);
		take(client, SIZE_MAX);
		for (int round = 0; round < 60; round++) {
			for (int i = 0; i < MANY_KEYS / 4; i++)
				send_many(client->at, next++);
			feeds_on_flush(client->at->feeds);
			fanout_turn(client->at->fanout);
			pass_interval(client);
			take(client, 60000);
			assert_true(!client->subscriber->pending ||
				    client->subscriber->pending->len < 128 << 10);
		}
		for (int round = 0; round < 10; round++) {
			pass_interval(client);
			take(client, SIZE_MAX);
		}
		for (int key = 0; key < MANY_KEYS; key++)
			keys += many_last[key] + MANY_KEYS >= next;
		assert_int_equal(keys, MANY_KEYS);
		close_watchers(1);
	}
	checks_unref(checks);
}

/* One whose client takes less than all keys change gets the one that changes most often, too. */
static void test_conflation_hot_key_comes_to_a_slow_client(void **state)
{
	struct client *client = &watchers[0].client;
	int64_t hot = 0;
	int times = 0;

	(void)state;
	open_one(64 << 20, true);
	client->judge = judge_many;
	memset(many_last, -1, sizeof(many_last));
	for (int64_t round = 0; round < 200; round++) {
		for (int64_t i = 0; i < 1500; i++)
			send_many(client->at, round * MANY_KEYS + i);
		feeds_on_flush(client->at->feeds);
		fanout_turn(client->at->fanout);
		pass_interval(client);
		take(client, 40000);
		times += many_last[1499] > hot;
		hot = many_last[1499];
	}
	assert_true(times > 10);
	close_watchers(1);
}

/* The first replica gets an event of each of so many keys. */
static void send_round(struct client *client, int64_t round, int keys)
{
	for (int64_t i = 0; i < keys; i++)
		send_many(client->at, round * MANY_KEYS + i);
	feeds_on_flush(client->at->feeds);
	fanout_turn(client->at->fanout);
}

static void expect_round(int64_t round, int keys)
{
	for (int64_t i = 0; i < keys; i++)
		assert_int_equal(many_last[i], round * MANY_KEYS + i);
}

/* More keys than wait for a client at a time come in one interval, too. */
static void test_conflation_many_keys_come_in_one_interval(void **state)
{
	struct client *client = open_one(64 << 20, true);

	(void)state;
	client->judge = judge_many;
	memset(many_last, -1, sizeof(many_last));
	send_round(client, 0, 1);
	take(client, SIZE_MAX);
	send_round(client, 1, MANY_KEYS);
	send_round(client, 2, MANY_KEYS);
	pass_interval(client);
	take(client, SIZE_MAX);
	expect_round(2, MANY_KEYS);
	assert_int_equal(client->received, 1 + MANY_KEYS);
	close_watchers(1);
}

/* What one with checks is offered is noted, however much it is, as long as it has few keys: the
 * window is not asked again. */
static void test_conflation_noted_is_bounded_by_keys(void **state)
{
	enum { SOME_KEYS = 1000, ROUNDS = 20 };
	struct client *client = &watchers[0].client;
	struct checks *checks = make_checks_of("{\"key\": [{\"exists\": true}]}");

	(void)state;
	open_world_that_keeps(&world, 64 << 20, false, true);
	world.stream.interval.per_key = true;
	init_watcher(&watchers[0], -1);
	client->judge = judge_many;
	client->checks = checks;
	memset(many_last, -1, sizeof(many_last));
	connect_client_to(client, &world.replicas[0]);
	take(client, SIZE_MAX);
	send_round(client, 0, 1);
	take(client, SIZE_MAX);
	for (int round = 1; round <= ROUNDS; round++)
		send_round(client, round, SOME_KEYS);
	assert_false(client->subscriber->conflation->walks);
	assert_true(client->subscriber->conflation->noted_capacity <= CONFLATION_MAX_NOTED);
	pass_interval(client);
	take(client, SIZE_MAX);
	expect_round(ROUNDS, SOME_KEYS);
	assert_int_equal(client->received, 1 + SOME_KEYS);
	send_round(client, ROUNDS + 1, MANY_KEYS);
	assert_true(client->subscriber->conflation->walks);
	pass_interval(client);
	take(client, SIZE_MAX);
	expect_round(ROUNDS + 1, MANY_KEYS);
	close_watchers(1);
	checks_unref(checks);
}

/* Who comes back with the id of a heartbeat that came between two flushes of which the second had
 * begun to gather before the first was taken gets nothing again. */
static void test_conflation_heartbeat_between_flushes_is_exact(void **state)
{
	enum { SOME_KEYS = 2000 };
	struct client *client = open_one(64 << 20, true);

	(void)state;
	client->judge = judge_many;
	memset(many_last, -1, sizeof(many_last));
	send_round(client, 0, 1);
	take(client, SIZE_MAX);
	send_round(client, 1, SOME_KEYS);
	pass_interval(client);
	take(client, 1000);
	send_round(client, 2, 10);
	take(client, SIZE_MAX);
	assert_true(conflation_lags(client->subscriber));
	world.stream.heartbeat_ms = 0;
	for (int i = 0; i < 10; i++)
		tick(&world);
	take(client, SIZE_MAX);
	assert_true(client->heartbeats > 0);
	reconnect(client);
	pass_interval(client);
	take(client, SIZE_MAX);
	expect_round(2, 10);
	assert_int_equal(client->received, 1 + SOME_KEYS + 10);
	close_watchers(1);
}

/* The window drops what is due before the client has taken it. */
static void test_conflation_due_that_is_dropped_is_read_again(void **state)
{
	struct client *client = open_one(512 << 10, true);
	const struct window *window = client->subscriber->at->feed->window;

	(void)state;
	produce_and_take(client, 0);
	for (int key = 0; key < 2000; key++) {
		send_many(client->at, 1 + key);
		world.log.high[0] = 2 + key;
		world.log.user[0][1 + key] = 0;
	}
	feeds_on_flush(client->at->feeds);
	fanout_turn(client->at->fanout);
	client->at->next[0] = world.log.high[0];
	pass_interval(client);
	take(client, 100);
	assert_non_null(client->subscriber->conflation->due);
	while (window_tail(window) < client->subscriber->cursor) {
		produce_key(1 + rand_r(&world.seed) % (KEYS - 1));
		turn(&world, true);
	}
	settle(1);
	assert_int_equal(client->gaps, 0);
	assert_int_equal(client->subscriber->state, SUBSCRIBER_LIVE);
	assert_null(client->subscriber->conflation->due);
	close_watchers(1);
}

/* Nobody does anything but the loop: the newest comes when the interval is over. */
static void test_conflation_interval_ends_by_itself(void **state)
{
	struct client *client = &watchers[0].client;

	(void)state;
	open_world(&world, 1 << 20, false);
	init_watcher(&watchers[0], -1);
	client->interval_ms = 100;
	connect_client_to(client, &world.replicas[0]);
	take(client, SIZE_MAX);
	produce_and_take(client, 0);
	produce_key(1);
	turn(&world, true);
	for (int tries = 0; tries < 20000 && !client->subscriber->told; tries++) {
		usleep(1000);
		tick(&world);
	}
	assert_true(client->subscriber->told);
	take(client, SIZE_MAX);
	assert_int_equal(watchers[0].last[1], 0);
	close_watchers(1);
}

/* A subscriber goes away while it waits, and while a part of what is due has gone out. */
static void test_conflation_gone_while_waiting_leaves_nothing(void **state)
{
	struct client *client = open_one(1 << 20, true);

	(void)state;
	produce_and_take(client, 0);
	produce_and_take(client, 1);
	disconnect_client(client);
	world.replicas[0].fanout->now_ms += 1000;
	conflation_tick(world.replicas[0].fanout);
	connect_client_to(client, &world.replicas[0]);
	pass_interval(client);
	take(client, 10);
	close_watchers(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_conflation_first_comes_at_once_then_the_newest),
	    cmocka_unit_test(test_conflation_by_key_gives_the_newest_of_each_in_order),
	    cmocka_unit_test(test_conflation_cut_at_random_ends_with_the_newest),
	    cmocka_unit_test(test_conflation_id_never_runs_ahead_of_what_waits),
	    cmocka_unit_test(test_conflation_idle_heartbeat_moves_the_id),
	    cmocka_unit_test(test_conflation_ended_early_resumes_with_what_waited),
	    cmocka_unit_test(test_conflation_cut_inside_a_flush_goes_on_exactly),
	    cmocka_unit_test(test_conflation_checks_that_change_look_again),
	    cmocka_unit_test(test_conflation_refused_event_supersedes_nothing),
	    cmocka_unit_test(test_conflation_faster_window_is_read_again),
	    cmocka_unit_test(test_conflation_endangered_goes_out_early),
	    cmocka_unit_test(test_conflation_burst_is_conflated),
	    cmocka_unit_test(test_conflation_replay_is_conflated),
	    cmocka_unit_test(test_conflation_replay_of_many_slices_gives_the_newest),
	    cmocka_unit_test(test_conflation_long_replay_gives_one_an_interval),
	    cmocka_unit_test(test_conflation_replay_gives_what_it_carries_before_a_gap),
	    cmocka_unit_test(test_conflation_last_n_come_as_they_are),
	    cmocka_unit_test(test_conflation_gap_is_not_superseded),
	    cmocka_unit_test(test_conflation_tick_tells_those_that_are_due),
	    cmocka_unit_test(test_conflation_slow_client_gets_every_key),
	    cmocka_unit_test(test_conflation_hot_key_comes_to_a_slow_client),
	    cmocka_unit_test(test_conflation_many_keys_come_in_one_interval),
	    cmocka_unit_test(test_conflation_noted_is_bounded_by_keys),
	    cmocka_unit_test(test_conflation_heartbeat_between_flushes_is_exact),
	    cmocka_unit_test(test_conflation_due_that_is_dropped_is_read_again),
	    cmocka_unit_test(test_conflation_interval_ends_by_itself),
	    cmocka_unit_test(test_conflation_gone_while_waiting_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
