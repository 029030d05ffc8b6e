/* start: "current": the newest event of each key first, then what comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feed/checks.h"
#include "feed/subscriber_priv.h"
#include "world.h"

enum { MANY_EVENTS = 3000 };

static struct world world;
static struct client client;
/* What came, in its order. */
static struct {
	int partition;
	int64_t offset;
} seen[MANY_EVENTS];
static size_t seen_count;

static void keep_seen(struct client *of, int partition, int64_t offset)
{
	(void)of;
	assert_true(seen_count < MANY_EVENTS);
	seen[seen_count].partition = partition;
	seen[seen_count++].offset = offset;
}

static void begin(int user)
{
	open_world(&world, 16 << 10, user >= 0);
	world.stream.start = STREAM_START_CURRENT;
	init_client(&client, &world, user);
	client.judge = keep_seen;
	seen_count = 0;
}

/* Of one key; its partition is its number's. */
static void put(int user, bool tombstone)
{
	int partition = user % PARTITIONS;
	int64_t offset = world.log.high[partition];

	world.log.user[partition][offset] = (uint8_t)(user | (tombstone ? TOMBSTONE : 0));
	world.log.high[partition] = offset + 1;
}

static void settle(void)
{
	for (int quiet = 0, tries = 0; quiet < 200 && tries < 20000; quiet++, tries++) {
		turn(&world, true);
		tick(&world);
		if (take(&client, SIZE_MAX) || client.subscriber->state == SUBSCRIBER_REPLAYING)
			quiet = 0;
		usleep(200);
	}
}

/* Each key once, with its newest event, by time; then what is produced meanwhile and later. */
static void test_replay_current_gives_each_key_once_then_what_comes(void **state)
{
	(void)state;
	begin(-1);
	for (int i = 0; i < 2000; i++)
		put(i * 3 % USERS, false);
	turn(&world, true);
	connect_client(&client);
	settle();
	assert_int_equal(client.subscriber->state, SUBSCRIBER_LIVE);
	assert_int_equal(seen_count, USERS);
	for (size_t i = 1; i < seen_count; i++)
		assert_true(seen[i].offset >= seen[i - 1].offset);
	for (size_t i = 0; i < seen_count; i++)
		for (int64_t o = seen[i].offset + 1; o < world.log.high[seen[i].partition]; o++)
			assert_int_not_equal(world.log.user[seen[i].partition][o],
					     world.log.user[seen[i].partition][seen[i].offset]);
	assert_int_equal(client.gaps, 0);
	assert_true(client.last_event_id[0]);
	put(3, false);
	settle();
	assert_int_equal(seen_count, USERS + 1);
	end_alone(&world, &client);
}

/* Who comes back with the id after the state goes on from there, without the state. */
static void test_replay_current_is_not_repeated_to_one_with_an_id(void **state)
{
	(void)state;
	begin(-1);
	for (int i = 0; i < 100; i++)
		put(i % USERS, false);
	turn(&world, true);
	connect_client(&client);
	settle();
	disconnect_client(&client);
	assert_int_equal(seen_count, USERS);
	for (int i = 0; i < 10; i++)
		put(1, false);
	turn(&world, true);
	connect_client(&client);
	settle();
	assert_int_equal(seen_count, USERS + 10);
	end_alone(&world, &client);
}

/* Events of the state that a stream ends with come last, the others all the same; the last one's id
 * is final. */
static void test_replay_current_ends_with_its_event(void **state)
{
	(void)state;
	open_world_that_keeps(&world, 16 << 10, false, true);
	world.stream.start = STREAM_START_CURRENT;
	init_client(&client, &world, -1);
	client.judge = keep_seen;
	client.end_when = make_checks(json_pack("{s:[s,s]}", "key", "1", "3"));
	seen_count = 0;
	/* By time: users 0 to 4 have one event each, 5 and 6 a second one of their partitions. */
	for (int user = 0; user < USERS; user++)
		put(user, false);
	turn(&world, true);
	connect_client(&client);
	wait_for(&client, &client.ends);
	assert_int_equal(seen_count, USERS);
	assert_int_equal(seen[USERS - 2].partition, 1);
	assert_int_equal(seen[USERS - 1].partition, 3);
	assert_true(subscriber_ended(client.subscriber));
	checks_unref(client.end_when);
	end_alone(&world, &client);
}

/* A tombstone takes its key away, until it is there again; others' keys are not a subscriber's. */
static void test_replay_current_tombstone_removes_the_key(void **state)
{
	static const struct {
		int user;
		size_t expected;
	} rows[] = {{-1, 5}, {0, 1}, {1, 0}, {2, 1}, {3, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(rows[i].user);
		for (int user = 0; user < USERS; user++)
			put(user, false);
		put(1, true);
		put(2, true);
		put(2, false);
		put(3, true);
		turn(&world, true);
		connect_client(&client);
		settle();
		assert_int_equal(seen_count, rows[i].expected);
		end_alone(&world, &client);
	}
}

/* Where tombstones are no events they take keys away all the same, and later ones move the id
 * alone.
 */
static void test_replay_current_skipped_tombstone_removes_the_key(void **state)
{
	char id[sizeof(client.last_event_id)];

	(void)state;
	begin(-1);
	world.stream.tombstones = STREAM_TOMBSTONES_SKIP;
	for (int user = 0; user < USERS; user++)
		put(user, false);
	put(1, true);
	turn(&world, true);
	connect_client(&client);
	settle();
	assert_int_equal(seen_count, USERS - 1);
	strcpy(id, client.last_event_id);
	put(2, true);
	put(3, false);
	settle();
	assert_int_equal(seen_count, USERS);
	assert_string_not_equal(client.last_event_id, id);
	end_alone(&world, &client);
}

/* More keys than it may have: an event says so, with an id that keeps a browser from asking again,
 * and the stream ends. */
static void test_replay_current_of_too_many_keys_ends(void **state)
{
	enum { LIMIT = 20 };
	struct position position;
	const char *reason;
	unsigned flags = 0;

	(void)state;
	begin(-1);
	for (int user = 0; user <= LIMIT; user++)
		put(user, false);
	turn(&world, true);
	connect_client(&client);
	while (!subscriber_ended(client.subscriber)) {
		turn(&world, true);
		take(&client, SIZE_MAX);
	}
	assert_int_equal(seen_count, 0);
	assert_int_equal(client.limits, 1);
	assert_int_equal(client.subscriber->reason, CLOSE_LIMIT);
	assert_int_equal(event_id_decode(slice_of(client.last_event_id),
					 client.subscriber->at->feed->hash, &flags, &position,
					 &reason),
			 0);
	assert_true(flags & EVENT_ID_FINAL);
	position_fini(&position);
	end_alone(&world, &client);
}

/* Cut off inside the state it is sent anew; retention meanwhile is no gap. */
static void test_replay_current_cut_off_begins_again(void **state)
{
	(void)state;
	begin(-1);
	for (int i = 0; i < 5000; i++)
		put(i % USERS, false);
	turn(&world, true);
	connect_client(&client);
	while (!seen_count) {
		turn(&world, true);
		take(&client, 20);
	}
	disconnect_client(&client);
	client.last_event_id[0] = '\0';
	for (int p = 0; p < PARTITIONS; p++)
		world.log.low[p] = world.log.high[p] - 20;
	seen_count = 0;
	connect_client(&client);
	settle();
	assert_int_equal(seen_count, USERS);
	assert_int_equal(client.gaps, 0);
	end_alone(&world, &client);
}

/* States in memory are bounded: others get theirs when one is done. */
static void test_replay_current_of_many_subscribers_waits_its_turn(void **state)
{
	enum { CLIENTS = REPLAY_MAX_STATES + 5 };
	static struct client clients[CLIENTS];
	uint64_t live = 0;

	(void)state;
	begin(-1);
	for (int i = 0; i < 1000; i++)
		put(i % USERS, false);
	turn(&world, true);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = client;
		connect_client_to(&clients[i], &world.replicas[0]);
	}
	for (int tries = 0; tries < 20000 && live < CLIENTS; tries++) {
		live = 0;
		turn(&world, true);
		tick(&world);
		for (int i = 0; i < CLIENTS; i++) {
			take(&clients[i], SIZE_MAX);
			live += clients[i].subscriber->state == SUBSCRIBER_LIVE;
		}
		usleep(200);
	}
	assert_int_equal(live, CLIENTS);
	assert_int_equal(seen_count, CLIENTS * USERS);
	for (int i = 0; i < CLIENTS; i++) {
		disconnect_client(&clients[i]);
		buffer_free(&clients[i].unparsed);
	}
	end_alone(&world, &client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_replay_current_gives_each_key_once_then_what_comes),
	    cmocka_unit_test(test_replay_current_is_not_repeated_to_one_with_an_id),
	    cmocka_unit_test(test_replay_current_ends_with_its_event),
	    cmocka_unit_test(test_replay_current_tombstone_removes_the_key),
	    cmocka_unit_test(test_replay_current_skipped_tombstone_removes_the_key),
	    cmocka_unit_test(test_replay_current_of_too_many_keys_ends),
	    cmocka_unit_test(test_replay_current_cut_off_begins_again),
	    cmocka_unit_test(test_replay_current_of_many_subscribers_waits_its_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
