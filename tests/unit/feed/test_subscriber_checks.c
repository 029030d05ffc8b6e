/* Subscribers that are narrowed by checks, on the world of world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feed/checks.h"
#include "world.h"

enum { CLIENTS = 6, MAX_CHANGES = 4000, ALL_USERS = (1 << USERS) - 1 };
enum { ALL_PARTITIONS = (1 << PARTITIONS) - 1 };

/* What a client's checks let pass. */
struct narrowing {
	unsigned users, partitions;
	int since; /* the number of changes, of all clients, before it */
};

struct narrowed {
	struct client client; /* first */
	struct narrowing history[MAX_CHANGES];
	int changes;
	bool seen[PARTITIONS][MAX_EVENTS];
};

static struct world world;
static struct narrowed narrowed[CLIENTS];
static int changes;                          /* of all clients */
static int produced[PARTITIONS][MAX_EVENTS]; /* how many changes were before */

/* The bits as what a pattern's list has: strings or numbers. */
static json_t *list(unsigned bits, bool strings)
{
	json_t *values = json_array();

	for (int i = 0; bits >> i; i++)
		if (bits >> i & 1)
			json_array_append_new(values,
					      strings ? json_sprintf("%d", i) : json_integer(i));
	return values;
}

static struct checks *checks_of(const struct narrowing *narrowing)
{
	struct pattern *patterns[2];
	size_t count = 0;

	if (!narrowing->users || !narrowing->partitions)
		return checks_new_closed();
	if (narrowing->users == ALL_USERS && narrowing->partitions == ALL_PARTITIONS)
		return NULL;
	if (narrowing->users != ALL_USERS)
		patterns[count++] =
		    compile_pattern(json_pack("{s:o}", "key", list(narrowing->users, true)));
	if (narrowing->partitions != ALL_PARTITIONS)
		patterns[count++] = compile_pattern(
		    json_pack("{s:{s:o}}", "value", "p", list(narrowing->partitions, false)));
	return checks_new(patterns, count);
}

static bool passes(const struct narrowed *one, const struct narrowing *narrowing, int partition,
		   int64_t offset)
{
	unsigned user = world.log.user[partition][offset];

	if (one->client.user >= 0 && user != (unsigned)one->client.user)
		return false;
	return narrowing->users >> user & 1 && narrowing->partitions >> partition & 1;
}

/* How many of the narrowings that held at any time since the event was produced let it pass. */
static int count_passes(const struct narrowed *one, int partition, int64_t offset, int *of)
{
	int passed = 0;

	*of = 0;
	for (int i = one->changes; i-- > 0;) {
		*of += 1;
		passed += passes(one, &one->history[i], partition, offset);
		if (one->history[i].since <= produced[partition][offset])
			break;
	}
	return passed;
}

/* In its partition's order, once, and only where a narrowing has let it pass since it was produced.
 */
static void judge(struct client *client, int partition, int64_t offset)
{
	struct narrowed *one = (struct narrowed *)client;
	int of;

	assert_true(offset >= client->next[partition]);
	assert_true(count_passes(one, partition, offset, &of) > 0);
	client->next[partition] = offset + 1;
	one->seen[partition][offset] = true;
	client->received++;
}

static void narrow(struct narrowed *one, unsigned users, unsigned partitions)
{
	struct narrowing *narrowing = &one->history[one->changes++];

	assert_true(one->changes < MAX_CHANGES);
	*narrowing = (struct narrowing){users, partitions, ++changes};
	checks_unref(one->client.checks);
	one->client.checks = checks_of(narrowing);
	if (one->client.subscriber && !one->client.aborted)
		subscriber_set_checks(one->client.subscriber, one->client.checks);
}

static void narrow_at_random(struct narrowed *one)
{
	unsigned users = (unsigned)rand_r(&world.seed) & ALL_USERS;
	unsigned partitions = (unsigned)rand_r(&world.seed) & ALL_PARTITIONS;
	int kind = rand_r(&world.seed) % 8;

	narrow(one,
	       kind == 0  ? 0
	       : kind < 4 ? ALL_USERS
			  : users,
	       kind == 1 || kind > 5 ? ALL_PARTITIONS : partitions);
}

static void produce_stamped(void)
{
	int64_t before[PARTITIONS];

	for (int p = 0; p < PARTITIONS; p++)
		before[p] = world.log.high[p];
	produce(&world);
	for (int p = 0; p < PARTITIONS; p++)
		if (world.log.high[p] != before[p])
			produced[p][before[p]] = changes;
}

static void open_narrowed(uint64_t window_bytes, bool filtered, const char *mapping)
{
	changes = 0;
	open_world_that_keeps(&world, window_bytes, filtered, true);
	if (mapping)
		set_mapping(&world, mapping);
	memset(narrowed, 0, sizeof(narrowed));
	for (int i = 0; i < CLIENTS; i++) {
		init_client(&narrowed[i].client, &world, filtered ? i : -1);
		narrowed[i].client.judge = judge;
		narrow(&narrowed[i], ALL_USERS, i % 2 ? ALL_PARTITIONS : 3);
		connect_client(&narrowed[i].client);
		take(&narrowed[i].client, SIZE_MAX);
	}
}

/* The first event that the client must have, whatever it looked at when, and has not. */
static bool lacks(const struct narrowed *one)
{
	for (int p = 0; p < PARTITIONS; p++) {
		for (int64_t o = one->client.first[p]; o < world.log.high[p]; o++) {
			int of;

			if (!one->seen[p][o] && count_passes(one, p, o, &of) == of)
				return true;
		}
	}
	return false;
}

static void drain_narrowed(void)
{
	bool whole = false;

	for (int tries = 0; tries < 20000 && !whole; tries++) {
		whole = true;
		turn(&world, true);
		for (int i = 0; i < CLIENTS; i++) {
			struct client *client = &narrowed[i].client;

			if (client->aborted)
				disconnect_client(client);
			if (!client->subscriber)
				connect_client(client);
			while (take(client, 1 << 20))
				;
		}
		for (int i = 0; whole && i < CLIENTS; i++)
			whole = !lacks(&narrowed[i]);
		if (!whole)
			usleep(1000);
	}
	assert_true(whole);
}

static void close_narrowed(void)
{
	for (int i = 0; i < CLIENTS; i++) {
		disconnect_client(&narrowed[i].client);
		checks_unref(narrowed[i].client.checks);
		buffer_free(&narrowed[i].client.unparsed);
	}
	close_world(&world);
}

struct promise_row {
	const char *name;
	uint64_t window_bytes;
	bool filtered;
	int away;    /* rounds that a client stays away, about */
	int changed; /* rounds between the changes of a client's checks, about */
	const char *mapping;
	uint32_t look_bytes;
};

#define IDS_THAT_EVENTS_LACK "{\"id\": \"/value/none\"}"

/*
 * The promise, with checks that change on open streams and while their clients are away: what
 * matched ever since it was produced comes once and in order, from the window and from replay; what
 * never matched does not.
 */
static void test_subscriber_checks_changed_at_random_keep_the_promise(void **state)
{
	static const struct promise_row rows[] = {
	    {"window, never changed", 64 << 20, false, 20, 1 << 20, NULL, FANOUT_LOOK_BYTES},
	    {"window", 64 << 20, false, 20, 20, NULL, FANOUT_LOOK_BYTES},
	    {"window, in portions", 64 << 20, false, 20, 20, NULL, 4 << 10},
	    {"window, keys too", 64 << 20, true, 20, 20, NULL, FANOUT_LOOK_BYTES},
	    {"window, keys too, in portions", 64 << 20, true, 20, 20, NULL, 2 << 10},
	    {"replay, never changed", 64 << 10, false, 20, 1 << 20, NULL, 4 << 10},
	    {"replay", 64 << 10, false, 20, 20, NULL, FANOUT_LOOK_BYTES},
	    {"replay, in portions", 64 << 10, false, 20, 20, NULL, 4 << 10},
	    {"replay, keys too", 64 << 10, true, 20, 20, NULL, FANOUT_LOOK_BYTES},
	    {"replay, keys too, in portions", 64 << 10, true, 20, 20, NULL, 2 << 10},
	    {"replay, without ids of their own", 64 << 10, true, 20, 20, IDS_THAT_EVENTS_LACK,
	     1 << 10},
	};

	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		world_look_bytes = rows[row].look_bytes;
		open_narrowed(rows[row].window_bytes, rows[row].filtered, rows[row].mapping);
		for (int round = 0; round < 1500; round++) {
			int events = rand_r(&world.seed) % 20;
			struct narrowed *one = &narrowed[rand_r(&world.seed) % CLIENTS];
			struct client *client = &one->client;

			while (events--)
				produce_stamped();
			turn(&world, false);
			if (round % 3 == 0)
				tick(&world);
			if (rand_r(&world.seed) % rows[row].changed == 0)
				narrow_at_random(one);
			if (client->subscriber && !client->aborted)
				take(client, (size_t)rand_r(&world.seed) % 20000);
			if (client->aborted || rand_r(&world.seed) % 10 == 0)
				disconnect_client(client);
			if (!client->subscriber && rand_r(&world.seed) % rows[row].away == 0)
				connect_client(client);
		}
		drain_narrowed();
		for (int i = 0; i < CLIENTS; i++) {
			assert_true(narrowed[i].client.received > 0);
			assert_int_equal(narrowed[i].client.gaps, 0);
		}
		close_narrowed();
	}
	world_look_bytes = FANOUT_LOOK_BYTES;
}

/* Every change is exact where the client has taken all there was: it gets what passes the checks of
 * its time and nothing else, also when they are taken away. */
static void test_subscriber_checks_changed_when_level_are_exact(void **state)
{
	(void)state;
	open_narrowed(64 << 20, false, NULL);
	for (int round = 0; round < 200; round++) {
		narrow_at_random(&narrowed[round % CLIENTS]);
		for (int i = 0; i < 30; i++)
			produce_stamped();
		drain_narrowed();
	}
	for (int i = 0; i < CLIENTS; i++)
		for (int p = 0; p < PARTITIONS; p++)
			for (int64_t o = 0; o < world.log.high[p]; o++) {
				const struct narrowed *one = &narrowed[i];
				int at = one->changes - 1;

				while (one->history[at].since > produced[p][o])
					at--;
				assert_int_equal(one->seen[p][o],
						 passes(one, &one->history[at], p, o));
			}
	close_narrowed();
}

/* A frame that is half written when the checks refuse it goes out whole. */
static void test_subscriber_checks_changed_inside_a_frame_finish_it(void **state)
{
	struct narrowed *one = &narrowed[1];
	struct slice bytes;

	(void)state;
	open_narrowed(64 << 20, false, NULL);
	for (int i = 0; i < 3; i++)
		produce_stamped();
	turn(&world, true);
	bytes = subscriber_peek(one->client.subscriber, 10);
	buffer_append_slice(&one->client.unparsed, bytes);
	subscriber_consume(one->client.subscriber, bytes.len);
	narrow(one, 0, 0);
	take(&one->client, SIZE_MAX);
	assert_int_equal(one->client.received, 1);
	assert_int_equal(one->client.unparsed.len, 0);
	narrow(one, ALL_USERS, ALL_PARTITIONS);
	take(&one->client, SIZE_MAX);
	assert_int_equal(one->client.received, 1);
	for (int i = 0; i < 3; i++)
		produce_stamped();
	turn(&world, true);
	take(&one->client, SIZE_MAX);
	assert_int_equal(one->client.received, 4);
	close_narrowed();
}

/* The newest N are the newest N that pass, whether they are in the window or not. */
static void test_subscriber_checks_count_for_start_last(void **state)
{
	static const uint64_t windows[] = {64 << 20, 16 << 10};
	enum { LAST = 40, ONE_USER = 1 << 3 };

	(void)state;
	for (size_t row = 0; row < sizeof(windows) / sizeof(windows[0]); row++) {
		struct narrowed *one = &narrowed[1];

		open_narrowed(windows[row], false, NULL);
		disconnect_client(&one->client);
		world.stream.start = STREAM_START_LAST;
		world.stream.start_last = LAST;
		for (int i = 0; i < 1000; i++)
			produce_stamped();
		turn(&world, true);
		narrow(one, ONE_USER, ALL_PARTITIONS);
		/* All of them were produced before. */
		one->history[0] = one->history[one->changes - 1];
		one->changes = 1;
		one->client.last_event_id[0] = '\0';
		connect_client(&one->client);
		for (int tries = 0; tries < 20000 && one->client.received < LAST; tries++) {
			turn(&world, true);
			take(&one->client, SIZE_MAX);
			usleep(200);
		}
		assert_int_equal(one->client.received, LAST);
		close_narrowed();
	}
}

/* One that comes back to a window full of events looks at some of them in a turn, and gets what
 * passes in the end. */
static void test_subscriber_checks_of_a_full_window_are_looked_at_in_portions(void **state)
{
	enum { EVENTS = 5000, TURNS = 10 };

	(void)state;
	open_narrowed(64 << 20, false, NULL);
	for (int i = 0; i < CLIENTS; i++) {
		disconnect_client(&narrowed[i].client);
		narrow(&narrowed[i], 1, ALL_PARTITIONS);
	}
	for (int i = 0; i < EVENTS; i++)
		produce_stamped();
	turn(&world, true);
	for (int i = 0; i < CLIENTS; i++) {
		connect_client(&narrowed[i].client);
		take(&narrowed[i].client, SIZE_MAX);
		assert_true(lacks(&narrowed[i]));
		assert_in_range(narrowed[i].client.received, 1, EVENTS / USERS / 5);
	}
	for (int i = 0; i < TURNS * CLIENTS; i++) {
		turn(&world, true);
		for (int j = 0; j < CLIENTS; j++)
			while (take(&narrowed[j].client, SIZE_MAX))
				;
	}
	for (int i = 0; i < CLIENTS; i++)
		assert_false(lacks(&narrowed[i]));
	/* What comes then is for those who rested as for any other. */
	for (int i = 0; i < 100; i++)
		produce_stamped();
	drain_narrowed();
	close_narrowed();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_subscriber_checks_changed_at_random_keep_the_promise),
	    cmocka_unit_test(test_subscriber_checks_changed_when_level_are_exact),
	    cmocka_unit_test(test_subscriber_checks_changed_inside_a_frame_finish_it),
	    cmocka_unit_test(test_subscriber_checks_count_for_start_last),
	    cmocka_unit_test(test_subscriber_checks_of_a_full_window_are_looked_at_in_portions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
