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

static void pass_interval(struct client *client)
{
	if (client->subscriber && client->subscriber->conflation)
		client->subscriber->conflation->due_ms = 0;
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
	/* The fourth of them stands before: 2, 0, 3, 1, by their partitions. */
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
		for (int i = 0; i < CLIENTS; i++) {
			init_watcher(&watchers[i], rows[row].filtered ? i : -1);
			watchers[i].client.tracked = rows[row].tracked;
			connect_client(&watchers[i].client);
			take(&watchers[i].client, SIZE_MAX);
		}
		for (int round = 0; round < 3000; round++) {
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_conflation_first_comes_at_once_then_the_newest),
	    cmocka_unit_test(test_conflation_by_key_gives_the_newest_of_each_in_order),
	    cmocka_unit_test(test_conflation_cut_at_random_ends_with_the_newest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
