/* Replays that are disturbed: by a stop, by Kafka, by retention, by other clients. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feed/subscriber_priv.h"
#include "world.h"

enum { MADE_UP_PARTITIONS = 10000, SWEEP = 20 };

static void tick_often(struct world *world)
{
	for (int i = 0; i < SWEEP; i++) {
		tick(world);
		turn(world, false);
	}
}

/* A replay that is asked for after the stop comes home at once: nobody would read it. */
static void test_replay_submitted_after_the_stop_comes_home(void **state)
{
	static struct world world;
	static struct client client;
	uint32_t waiting, running;

	(void)state;
	come_back_late(&world, &client);
	stop_replays(&world);
	connect_client(&client);
	replay_counts(client.at->replay, &waiting, &running);
	assert_int_equal(waiting, 0);
	tick_often(&world);
	replay_counts(client.at->replay, &waiting, &running);
	assert_int_equal(waiting, 0);
	end_alone(&world, &client);
}

/* The job of a client that left while Kafka was away gives its feed back, though nobody else is
 * there. */
static void test_replay_failed_and_left_lets_go_of_its_feed(void **state)
{
	static struct world world;
	static struct client client;
	struct feed *feed;

	(void)state;
	come_back_late(&world, &client);
	world.log.down = true;
	connect_client_to(&client, &world.replicas[0]);
	assert_int_equal(feeds_open(client.at->feeds, &world.stream, NULL, &feed), 0);
	while (!client.at->fanout->retry) {
		turn(&world, true);
		take(&client, SIZE_MAX);
		usleep(100);
	}
	disconnect_client(&client);
	tick_often(&world);
	assert_null(client.at->fanout->retry);
	/* The declaration's, and this test's. */
	assert_int_equal(feed->references, 2);
	feeds_close(client.at->feeds, feed);
	end_alone(&world, &client);
}

/* An id of far more partitions than there are costs what the feed's own costs. */
static void test_replay_made_up_partitions_are_forgotten(void **state)
{
	static struct world world;
	static struct client client;
	struct subscriber_start start = {0};
	struct route_keys keys = {0};
	struct position asked;
	struct feed *feed;

	(void)state;
	open_world(&world, 1 << 20, false);
	init_client(&client, &world, -1);
	position_init(&asked, 1);
	position_set(&asked, 0, MADE_UP_PARTITIONS - 1, 0);
	start.position = &asked;
	client.at = &world.replicas[0];
	assert_int_equal(feeds_open(client.at->feeds, &world.stream, NULL, &feed), 0);
	client.subscriber =
	    subscriber_new(client.at->fanout, feed, &keys, &start, INT64_MAX, &client.carrier);
	assert_non_null(client.subscriber->own);
	assert_true(client.subscriber->own->topics[0].partition_count < 100);
	take(&client, SIZE_MAX);
	assert_int_equal(client.connected, 1);
	assert_true(strlen(client.last_event_id) < 200);
	position_fini(&asked);
	end_alone(&world, &client);
}

/* A log of 5,000 events whose beginning is gone, and a client that begins at the earliest. */
static void begin_at_earliest(struct world *world, struct client *client)
{
	open_world(world, 16 << 10, false);
	world->stream.start = STREAM_START_EARLIEST;
	world->stream.on_gap = STREAM_GAP_LATEST;
	init_client(client, world, -1);
	for (int i = 0; i < 5000; i++)
		produce(world);
	turn(world, true);
	for (int p = 0; p < PARTITIONS; p++)
		world->log.low[p] = client->next[p] = 300;
	connect_client(client);
}

/* Cut off before its first event, a client that began at the earliest misses nothing: it begins
 * again. */
static void test_replay_from_earliest_cut_at_once_begins_again(void **state)
{
	static struct world world;
	static struct client client;

	(void)state;
	begin_at_earliest(&world, &client);
	take(&client, SIZE_MAX);
	disconnect_client(&client);
	drain(&client, 1);
	assert_int_equal(client.gaps, 0);
	end_alone(&world, &client);
}

/* Retention overtakes a client that began at the earliest and has got some: that is a gap. */
static void test_replay_from_earliest_overtaken_is_told_of_the_gap(void **state)
{
	static struct world world;
	static struct client client;

	(void)state;
	begin_at_earliest(&world, &client);
	while (!client.received) {
		turn(&world, true);
		take(&client, 100);
	}
	assert_int_equal(client.subscriber->state, SUBSCRIBER_REPLAYING);
	client.follows_gaps = true;
	for (int p = 0; p < PARTITIONS; p++)
		world.log.low[p] = world.log.high[p] - 1;
	wait_for(&client, &client.gaps);
	assert_int_equal(client.gaps, 1);
	end_alone(&world, &client);
}

/* A client that takes its chunk by the drop is given up when another waits for a chunk, not
 * before. */
static void test_replay_chunk_held_for_long_is_taken_from_a_slow_client(void **state)
{
	enum { CHUNKS = 4 };
	static struct world world;
	static struct client clients[CHUNKS + 1];
	uint32_t waiting = 0, running = 0;

	(void)state;
	come_back_late(&world, &clients[0]);
	for (int i = 1; i < CHUNKS + 1; i++) {
		clients[i] = clients[0];
		clients[i].unparsed = (struct buffer){0};
	}
	for (int i = 0; i < CHUNKS; i++) {
		connect_client_to(&clients[i], &world.replicas[0]);
		while (clients[i].subscriber->job->place != REPLAY_AT_HOME)
			turn(&world, true);
		clients[i].subscriber->job->chunk_at_ms -= world.settings.slow_client_timeout_ms;
	}
	tick_often(&world);
	assert_false(clients[0].aborted);
	connect_client_to(&clients[CHUNKS], &world.replicas[0]);
	replay_counts(world.replicas[0].replay, &waiting, &running);
	assert_int_equal(waiting, 1);
	tick_often(&world);
	assert_true(clients[0].aborted);
	assert_false(clients[CHUNKS].aborted);
	drain(clients, CHUNKS + 1);
	for (int i = 1; i < CHUNKS + 1; i++) {
		disconnect_client(&clients[i]);
		buffer_free(&clients[i].unparsed);
	}
	end_alone(&world, &clients[0]);
}

/* One that resumed in the window, and whose place leaves it before a byte is written, reads on from
 * Kafka. */
static void test_replay_takes_over_what_leaves_the_window(void **state)
{
	static struct world world;
	static struct client client;

	(void)state;
	open_world(&world, 16 << 10, false);
	init_client(&client, &world, -1);
	connect_client_to(&client, &world.replicas[0]);
	take(&client, SIZE_MAX);
	disconnect_client(&client);
	for (int i = 0; i < 20; i++)
		produce(&world);
	turn(&world, true);
	connect_client_to(&client, &world.replicas[0]);
	assert_int_equal(client.subscriber->state, SUBSCRIBER_LIVE);
	for (int i = 0; i < 5000; i++)
		produce(&world);
	turn(&world, true);
	take(&client, SIZE_MAX);
	assert_false(client.aborted);
	drain(&client, 1);
	assert_int_equal(client.connected, 2);
	end_alone(&world, &client);
}

/* The topic is made anew, and its partition 0 begins again with three records. */
static void make_anew(struct world *world, struct client *client)
{
	struct replica *replica = &world->replicas[1];

	world->log.high[0] = 3;
	client->follows_gaps = true;
	feeds_on_gap(replica->feeds, replica->token, 0, replica->next[0], 0);
	replica->next[0] = 0;
	ingest(world, replica, 0, MAX_EVENTS);
	feeds_on_flush(replica->feeds);
}

/* Takes until the gap, and what comes after it, is there. */
static void take_new_log(struct world *world, struct client *client)
{
	for (int tries = 0; tries < 20000 && !(client->gaps && has_all(client)); tries++) {
		fanout_turn(world->replicas[1].fanout);
		take(client, SIZE_MAX);
		usleep(200);
	}
	assert_true(has_all(client));
	assert_true(client->gaps > 0);
	assert_false(client->aborted);
}

/* A position that is ahead of this replica names offsets of a log that is then made anew: it is
 * compared with the new log, and what that has is not skipped. */
static void test_replay_position_ahead_of_a_log_made_anew_is_moved(void **state)
{
	static struct world world;
	static struct client client;

	(void)state;
	open_world(&world, 1 << 20, false);
	init_client(&client, &world, -1);
	connect_client_to(&client, &world.replicas[0]);
	for (int i = 0; i < 100; i++)
		produce(&world);
	ingest(&world, &world.replicas[1], 0, 5);
	for (int p = 0; p < PARTITIONS; p++)
		ingest(&world, &world.replicas[0], p, MAX_EVENTS);
	for (int i = 0; i < REPLICAS; i++) {
		feeds_on_flush(world.replicas[i].feeds);
		fanout_turn(world.replicas[i].fanout);
	}
	take(&client, SIZE_MAX);
	assert_int_equal(client.received, 100);
	disconnect_client(&client);
	connect_client_to(&client, &world.replicas[1]);
	while (client.subscriber->state != SUBSCRIBER_LIVE) {
		fanout_turn(world.replicas[1].fanout);
		take(&client, SIZE_MAX);
	}
	assert_int_equal(client.received, 100);
	make_anew(&world, &client);
	take_new_log(&world, &client);
	end_alone(&world, &client);
}

/* The same for one whose replay is under way. */
static void test_replay_of_a_log_made_anew_compares_again(void **state)
{
	static struct world world;
	static struct client client;

	(void)state;
	come_back_late(&world, &client);
	connect_client_to(&client, &world.replicas[1]);
	while (!client.received) {
		turn(&world, true);
		take(&client, 100);
	}
	assert_int_equal(client.subscriber->state, SUBSCRIBER_REPLAYING);
	make_anew(&world, &client);
	take_new_log(&world, &client);
	end_alone(&world, &client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_replay_submitted_after_the_stop_comes_home),
	    cmocka_unit_test(test_replay_failed_and_left_lets_go_of_its_feed),
	    cmocka_unit_test(test_replay_made_up_partitions_are_forgotten),
	    cmocka_unit_test(test_replay_from_earliest_cut_at_once_begins_again),
	    cmocka_unit_test(test_replay_from_earliest_overtaken_is_told_of_the_gap),
	    cmocka_unit_test(test_replay_chunk_held_for_long_is_taken_from_a_slow_client),
	    cmocka_unit_test(test_replay_takes_over_what_leaves_the_window),
	    cmocka_unit_test(test_replay_position_ahead_of_a_log_made_anew_is_moved),
	    cmocka_unit_test(test_replay_of_a_log_made_anew_compares_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
