/* How far a subscriber has got, as a cursor keeps it: tests on the world of world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "world.h"

struct cut_row {
	const char *name;
	uint64_t window_bytes;
	bool filtered;
	int away; /* rounds that a client stays away, about */
};

/* What one peek gives, but for its last `rest` bytes. */
static void take_all_but(struct client *client, size_t rest)
{
	struct slice bytes = subscriber_peek(client->subscriber, SIZE_MAX);

	if (bytes.len <= rest)
		return;
	buffer_append(&client->unparsed, bytes.base, bytes.len - rest);
	subscriber_consume(client->subscriber, bytes.len - rest);
	parse(client);
}

/* Ends it in good order now and then, as a drain does; it reads a little more, perhaps to the end.
 */
static void end_perhaps(struct client *client)
{
	if (rand_r(&client->world->seed) % 2) {
		take_all_but(client, 0);
		return;
	}
	subscriber_end(client->subscriber, CLOSE_DRAIN, SLICE_LIT("retry: 1\n\n"));
	take(client, (size_t)rand_r(&client->world->seed) % 500);
}

static void run_round(struct world *world, struct client *client, int away)
{
	int events = rand_r(&world->seed) % 20;

	while (events--)
		produce(world);
	turn(world, false);
	if (rand_r(&world->seed) % 3 == 0)
		tick(world);
	if (client->subscriber && !client->aborted)
		take(client,
		     (size_t)rand_r(&world->seed) % (rand_r(&world->seed) % 2 ? 20000 : 50));
	if (client->subscriber && !client->aborted && rand_r(&world->seed) % 10 == 0) {
		end_perhaps(client);
		disconnect_client(client);
	}
	if (client->aborted)
		disconnect_client(client);
	if (!client->subscriber && rand_r(&world->seed) % away == 0)
		connect_client(client);
}

/* The same promise as with a client's own last id: cut off at random places, in the middle of
 * frames, in replays and while it ends, each gets what is its own exactly once. */
static void test_subscriber_position_cut_at_random_continues_exactly(void **state)
{
	static const struct cut_row rows[] = {
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
		world.stream.heartbeat_ms = 1;
		for (int i = 0; i < USERS; i++) {
			init_client(&clients[i], &world, rows[row].filtered ? i : -1);
			clients[i].tracked = true;
			connect_client(&clients[i]);
			take(&clients[i], SIZE_MAX);
		}
		for (int round = 0; round < WORLD_ROUNDS(2000); round++)
			run_round(&world, &clients[rand_r(&world.seed) % USERS], rows[row].away);
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

static void open_tracked(struct world *world, struct client *client, uint64_t window_bytes,
			 int events)
{
	open_world(world, window_bytes, false);
	for (int i = 0; i < events; i++)
		produce(world);
	turn(world, true);
	init_client(client, world, -1);
	client->tracked = true;
	connect_client(client);
	take(client, SIZE_MAX);
}

/* A frame counts with its last byte, not before; also while the stream ends. */
static void test_subscriber_position_of_half_a_frame_is_before_it(void **state)
{
	static struct world world;
	static struct client client;
	char before[sizeof(client.last_event_id)];

	(void)state;
	for (int ends = 0; ends < 2; ends++) {
		open_tracked(&world, &client, 64 << 20, 10);
		keep_position(&client);
		strcpy(before, client.last_event_id);
		produce(&world);
		turn(&world, true);
		take_all_but(&client, 1);
		if (ends)
			subscriber_end(client.subscriber, CLOSE_DRAIN, (struct slice){0});
		keep_position(&client);
		assert_string_equal(client.last_event_id, before);
		take_all_but(&client, 0);
		assert_int_equal(client.received, 1);
		keep_position(&client);
		assert_string_not_equal(client.last_event_id, before);
		disconnect_client(&client);
		connect_client(&client);
		take(&client, SIZE_MAX);
		assert_int_equal(client.received, 1);
		end_alone(&world, &client);
	}
}

/* What comes after the end is not the subscriber's, although its feed goes on. */
static void test_subscriber_position_after_the_end_stays(void **state)
{
	static struct world world;
	static struct client client;
	char before[sizeof(client.last_event_id)];

	(void)state;
	open_tracked(&world, &client, 64 << 20, 10);
	keep_position(&client);
	strcpy(before, client.last_event_id);
	subscriber_end(client.subscriber, CLOSE_DRAIN, SLICE_LIT("retry: 1\n\n"));
	for (int i = 0; i < 10; i++)
		produce(&world);
	turn(&world, true);
	take(&client, SIZE_MAX);
	assert_true(subscriber_ended(client.subscriber));
	keep_position(&client);
	assert_string_equal(client.last_event_id, before);
	end_alone(&world, &client);
}

enum farewell { LEAVES, IS_DRAINED, IS_GIVEN_UP, FAREWELLS };

/* Where what comes next has left the window, what was read last counts, however it ends. */
static void test_subscriber_position_behind_the_window_is_what_was_read(void **state)
{
	static struct world world;
	static struct client client;
	char before[sizeof(client.last_event_id)];

	(void)state;
	for (int farewell = 0; farewell < FAREWELLS; farewell++) {
		open_tracked(&world, &client, 16 << 10, 10);
		for (int i = 0; i < 10; i++)
			produce(&world);
		turn(&world, true);
		take_all_but(&client, 60);
		assert_in_range(client.received, 1, 9);
		keep_position(&client);
		strcpy(before, client.last_event_id);
		for (int i = 0; i < 5000; i++)
			produce(&world);
		turn(&world, true);
		if (farewell == IS_DRAINED)
			subscriber_end(client.subscriber, CLOSE_DRAIN, (struct slice){0});
		else if (farewell == IS_GIVEN_UP)
			take(&client, SIZE_MAX);
		assert_int_equal(client.aborted, farewell == IS_GIVEN_UP);
		disconnect_client(&client);
		assert_string_equal(client.last_event_id, before);
		drain(&client, 1);
		assert_int_equal(client.received, 5010);
		assert_int_equal(client.gaps, 0);
		end_alone(&world, &client);
	}
}

/* What was peeked leaves the window while it is written: it was written, in part or as a whole. */
static void test_subscriber_position_of_what_leaves_while_it_is_written(void **state)
{
	static struct world world;
	static struct client client;

	(void)state;
	for (size_t rest = 0; rest < 300; rest += 13) {
		struct slice bytes;
		char copy[4096];

		open_tracked(&world, &client, 16 << 10, 10);
		for (int i = 0; i < 10; i++)
			produce(&world);
		turn(&world, true);
		take_all_but(&client, 300);
		bytes = subscriber_peek(client.subscriber, SIZE_MAX);
		assert_in_range(bytes.len, 300, sizeof(copy));
		memcpy(copy, bytes.base, bytes.len);
		for (int i = 0; i < 5000; i++)
			produce(&world);
		for (int p = 0; p < PARTITIONS; p++)
			ingest(&world, client.at, p, MAX_EVENTS);
		subscriber_consume(client.subscriber, bytes.len - rest);
		assert_true(client.aborted);
		buffer_append(&client.unparsed, copy, bytes.len - rest);
		parse(&client);
		disconnect_client(&client);
		drain(&client, 1);
		assert_int_equal(client.received, 5010);
		assert_int_equal(client.gaps, 0);
		end_alone(&world, &client);
	}
}

/* Before the feed has caught up, and before the last N are found, there is no position to keep, and
 * nothing is said. */
static void test_subscriber_position_not_begun_is_unknown(void **state)
{
	static struct world world;
	static struct client client;
	struct buffer id = {0};

	(void)state;
	open_world(&world, 16 << 10, false);
	world.stream.start = STREAM_START_LAST;
	world.stream.start_last = 500;
	for (int i = 0; i < 5000; i++)
		produce(&world);
	turn(&world, true);
	init_client(&client, &world, -1);
	client.tracked = client.any_start = true;
	for (int p = 0; p < PARTITIONS; p++)
		client.next[p] = client.first[p] = -1;
	connect_client(&client);
	assert_false(subscriber_position(client.subscriber, &id));
	take_all_but(&client, 0);
	assert_int_equal(client.connected, 0);
	assert_false(subscriber_position(client.subscriber, &id));
	wait_for(&client, &client.received);
	assert_int_equal(client.connected, 1);
	assert_true(subscriber_position(client.subscriber, &id));
	buffer_free(&id);
	end_alone(&world, &client);
}

/* A cursor whose position is another feed's: a gap that says so, then as the stream starts. */
static void test_subscriber_with_a_stale_cursor_is_told_of_the_gap(void **state)
{
	static struct world world;
	static struct client client;
	struct subscriber_start start = {.tracked = true, .has_stale_cursor = true};
	struct route_keys keys = {0};
	struct feed *feed;
	struct slice bytes;

	(void)state;
	open_world(&world, 64 << 20, false);
	init_client(&client, &world, -1);
	client.at = &world.replicas[0];
	assert_int_equal(feeds_open(client.at->feeds, &world.stream, NULL, &feed), 0);
	client.subscriber =
	    subscriber_new(client.at->fanout, feed, &keys, &start, INT64_MAX, &client.carrier);
	bytes = subscriber_peek(client.subscriber, SIZE_MAX);
	assert_non_null(memmem(bytes.base, bytes.len, "stale_cursor", 12));
	take(&client, SIZE_MAX);
	assert_int_equal(client.gaps, 1);
	assert_int_equal(client.connected, 1);
	end_alone(&world, &client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_subscriber_position_cut_at_random_continues_exactly),
	    cmocka_unit_test(test_subscriber_position_of_half_a_frame_is_before_it),
	    cmocka_unit_test(test_subscriber_position_after_the_end_stays),
	    cmocka_unit_test(test_subscriber_position_behind_the_window_is_what_was_read),
	    cmocka_unit_test(test_subscriber_position_of_what_leaves_while_it_is_written),
	    cmocka_unit_test(test_subscriber_position_not_begun_is_unknown),
	    cmocka_unit_test(test_subscriber_with_a_stale_cursor_is_told_of_the_gap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
