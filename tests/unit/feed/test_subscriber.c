/* What clients get of a feed: tests on the world of world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "feed/subscriber_priv.h"
#include "world.h"

struct promise_row {
	const char *name;
	uint64_t window_bytes;
	bool filtered;
	int away; /* rounds that a client stays away, about */
	const char *mapping;
	int beats;     /* heartbeats whenever there is time: an enum stream_heartbeat */
	int user_span; /* 0: USERS */
};

enum { NO_BEATS = -1 };

/* Where an event has no id of its own, the position stands in. */
#define IDS_THAT_EVENTS_LACK "{\"id\": \"/value/none\"}"

/*
 * The promise: clients with and without a filter, cut off at random places and back at any replica
 * with the last id that they saw, read with random appetite; each gets every event that is its own
 * exactly once and in partition order, from the window and from replay.
 */
static void test_subscriber_cut_at_random_gets_every_event_once(void **state)
{
	static const struct promise_row rows[] = {
	    {"window", 64 << 20, false, 20, NULL, NO_BEATS, 0},
	    {"window, filtered", 64 << 20, true, 20, NULL, NO_BEATS, 0},
	    {"small window, back at once", 64 << 10, false, 1, NULL, NO_BEATS, 0},
	    {"replay", 64 << 10, false, 20, NULL, NO_BEATS, 0},
	    {"replay, filtered", 64 << 10, true, 20, NULL, NO_BEATS, 0},
	    {"small window of rare users", 64 << 10, true, 1, NULL, NO_BEATS, 127},
	    {"replay, rare users", 64 << 10, true, 20, NULL, NO_BEATS, 127},
	    {"window, without ids of their own", 64 << 20, false, 20, IDS_THAT_EVENTS_LACK,
	     NO_BEATS, 0},
	    {"replay, without ids of their own", 64 << 10, true, 20, IDS_THAT_EVENTS_LACK, NO_BEATS,
	     0},
	    {"window, with heartbeats", 64 << 20, true, 20, NULL, STREAM_HEARTBEAT_ID, 0},
	    {"replay, with heartbeats", 64 << 10, true, 20, NULL, STREAM_HEARTBEAT_COMMENT, 0},
	    {"replay, with all of it", 64 << 10, true, 20, IDS_THAT_EVENTS_LACK,
	     STREAM_HEARTBEAT_EVENT, 0},
	};
	static struct world world;
	static struct client clients[USERS];

	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		uint64_t heartbeats = 0;

		open_world(&world, rows[row].window_bytes, rows[row].filtered);
		if (rows[row].mapping)
			set_mapping(&world, rows[row].mapping);
		if (rows[row].user_span)
			world.user_span = rows[row].user_span;
		if (rows[row].beats != NO_BEATS) {
			world.stream.heartbeat_ms = 0;
			world.stream.heartbeat_as = (enum stream_heartbeat)rows[row].beats;
		}
		for (int i = 0; i < USERS; i++) {
			init_client(&clients[i], &world, rows[row].filtered ? i : -1);
			connect_client(&clients[i]);
			take(&clients[i], SIZE_MAX);
		}
		for (int round = 0; round < WORLD_ROUNDS(2000); round++) {
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
			heartbeats += clients[i].heartbeats;
			disconnect_client(&clients[i]);
			buffer_free(&clients[i].unparsed);
		}
		assert_true(heartbeats || rows[row].beats == NO_BEATS);
		close_world(&world);
	}
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

/* Retention overtakes a replay that has begun: that is a gap too. */
static void test_subscriber_overtaken_by_retention_is_told_of_the_gap(void **state)
{
	static struct world world;
	static struct client client;

	(void)state;
	come_back_late(&world, &client);
	connect_client(&client);
	wait_for(&client, &client.received);
	assert_false(has_all(&client));
	client.follows_gaps = true;
	for (int p = 0; p < PARTITIONS; p++)
		world.log.low[p] = world.log.high[p] - 1;
	wait_for(&client, &client.gaps);
	drain(&client, 1);
	assert_int_equal(client.gaps, 1);
	end_alone(&world, &client);
}

/* Retention is faster than ingest, for partition 0 of the first replica. */
static void lose_in_the_log(struct world *world)
{
	struct replica *replica = &world->replicas[0];

	for (int i = 0; i < 100; i++)
		produce(world);
	world->log.low[0] = world->log.high[0];
	feeds_on_gap(replica->feeds, replica->token, 0, replica->next[0], world->log.low[0]);
	replica->next[0] = world->log.low[0];
	feeds_on_flush(replica->feeds);
	fanout_turn(replica->fanout);
}

/* A gap in the log is told to all subscribers, to those who come back as well, and counts for each
 * of them once. */
static void test_subscriber_gap_in_the_log_counts_for_each(void **state)
{
	static struct world world;
	static struct client clients[USERS];

	(void)state;
	for (int is_filtered = 0; is_filtered < 2; is_filtered++) {
		uint64_t before = metrics_sum(METRIC_GAPS);

		open_world(&world, 1 << 20, is_filtered);
		for (int i = 0; i < USERS; i++) {
			init_client(&clients[i], &world, is_filtered ? i : -1);
			clients[i].follows_gaps = true;
			connect_client_to(&clients[i], &world.replicas[0]);
			take(&clients[i], SIZE_MAX);
			if (i % 2)
				disconnect_client(&clients[i]);
		}
		lose_in_the_log(&world);
		for (int i = 0; i < USERS; i++) {
			if (i % 2)
				connect_client_to(&clients[i], &world.replicas[0]);
			take(&clients[i], SIZE_MAX);
			assert_int_equal(clients[i].gaps, 1);
		}
		drain(clients, USERS);
		assert_int_equal(metrics_sum(METRIC_GAPS), before + USERS);
		for (int i = 0; i < USERS; i++) {
			disconnect_client(&clients[i]);
			buffer_free(&clients[i].unparsed);
		}
		close_world(&world);
	}
}

/* A partition that a broker does not know once or twice may be new to it; one that stays away is
 * gone, and what was in it is a gap. */
static void test_subscriber_with_an_absent_partition_waits_then_is_told(void **state)
{
	static const struct {
		int absent;
		uint64_t gaps;
	} rows[] = {{2, 0}, {3, 1}};
	static struct world world;
	static struct client client;

	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		come_back_late(&world, &client);
		world.log.absent = rows[row].absent;
		if (rows[row].gaps)
			client.next[PARTITIONS - 1] = 0;
		connect_client(&client);
		wait_for(&client, &client.received);
		drain(&client, 1);
		assert_int_equal(client.gaps, rows[row].gaps);
		assert_int_equal(world.log.absent, 0);
		end_alone(&world, &client);
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

static void connect_to(struct client *client, const struct replica *replica)
{
	do {
		disconnect_client(client);
		connect_client(client);
	} while (client->at != replica);
}

/* Heartbeats of a replica that has read less than the client's last one do not take its id back. */
static void test_subscriber_ahead_of_its_replica_keeps_its_id(void **state)
{
	static struct world world;
	static struct client client;
	char before[1024];

	(void)state;
	open_world(&world, 1 << 20, false);
	world.stream.heartbeat_ms = 0;
	init_client(&client, &world, -1);
	connect_to(&client, &world.replicas[0]);
	take(&client, SIZE_MAX);
	for (int i = 0; i < 100; i++)
		produce(&world);
	for (int32_t p = 0; p < PARTITIONS; p++)
		ingest(&world, &world.replicas[0], p, MAX_EVENTS);
	feeds_on_flush(world.replicas[0].feeds);
	fanout_turn(world.replicas[0].fanout);
	take(&client, SIZE_MAX);
	assert_int_equal(client.received, 100);
	strcpy(before, client.last_event_id);
	connect_to(&client, &world.replicas[1]);
	for (int tries = 0; tries < 20000 && client.heartbeats < 3; tries++) {
		fanout_turn(world.replicas[1].fanout);
		tick(&world);
		take(&client, SIZE_MAX);
		usleep(500);
	}
	assert_true(client.heartbeats >= 3);
	assert_string_equal(client.last_event_id, before);
	turn(&world, true);
	produce(&world);
	drain(&client, 1);
	assert_int_equal(client.received, 101);
	end_alone(&world, &client);
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

/* One that has to wait, because its connection is taking what others have, is not given up for
 * that. */
static void test_subscriber_waiting_for_others_is_not_given_up(void **state)
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
	client.subscriber->progress_ms -= world.settings.slow_client_timeout_ms;
	subscriber_note_progress(client.subscriber);
	tick(&world);
	assert_false(client.aborted);
	client.subscriber->progress_ms -= world.settings.slow_client_timeout_ms;
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

static bool is_of(void *context, const struct carrier *carrier)
{
	return carrier == context;
}

/* Of two streams the one whose token was revoked ends, with an event that says so, once. */
static void test_subscriber_revoked_ends_alone(void **state)
{
	static struct world world;
	static struct client clients[2];

	(void)state;
	open_world(&world, 1 << 20, false);
	for (int i = 0; i < 2; i++) {
		struct route_keys keys = {0};
		struct feed *feed;

		init_client(&clients[i], &world, -1);
		assert_int_equal(feeds_open(world.replicas[0].feeds, &world.stream, NULL, &feed),
				 0);
		clients[i].subscriber =
		    subscriber_new(world.replicas[0].fanout, feed, &keys,
				   &(struct subscriber_start){0}, INT64_MAX, &clients[i].carrier);
		take(&clients[i], SIZE_MAX);
	}
	fanout_revoke(world.replicas[0].fanout, is_of, &clients[1].carrier);
	fanout_revoke(world.replicas[0].fanout, is_of, &clients[1].carrier);
	struct slice bytes = subscriber_peek(clients[1].subscriber, SIZE_MAX);

	static const char event[] = "event: revoked\ndata: {\"reason\":\"token_revoked\"}\n\n";

	assert_non_null(memmem(bytes.base, bytes.len, event, sizeof(event) - 1));
	subscriber_consume(clients[1].subscriber, bytes.len);
	assert_true(subscriber_ended(clients[1].subscriber));
	assert_false(subscriber_ended(clients[0].subscriber));
	assert_int_equal(subscriber_peek(clients[0].subscriber, SIZE_MAX).len, 0);
	for (int i = 0; i < 2; i++) {
		disconnect_client(&clients[i]);
		buffer_free(&clients[i].unparsed);
	}
	close_world(&world);
}

/* start: {"last": N} gives the newest N first, whether the window has them or not, and whether they
 * may be held all at once or not; cut off in the middle, the rest comes after. */
static void test_subscriber_start_last_gives_the_newest_first(void **state)
{
	static const struct {
		uint64_t window_bytes;
		const char *mapping;
		uint64_t last_bytes;
	} rows[] = {
	    {64 << 20, NULL, 1 << 20},
	    {8 << 10, NULL, 1 << 20},
	    {64 << 20, IDS_THAT_EVENTS_LACK, 1 << 20},
	    {8 << 10, IDS_THAT_EVENTS_LACK, 1 << 20},
	    {8 << 10, NULL, 6000},
	    {8 << 10, IDS_THAT_EVENTS_LACK, 100},
	    {8 << 10, NULL, 0},
	};
	static struct world world;
	static struct client client;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world_last_bytes = rows[i].last_bytes;
		open_world(&world, rows[i].window_bytes, false);
		if (rows[i].mapping)
			set_mapping(&world, rows[i].mapping);
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
	world_last_bytes = 1 << 20;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_subscriber_cut_at_random_gets_every_event_once),
	    cmocka_unit_test(test_subscriber_behind_retention_is_told_of_the_gap),
	    cmocka_unit_test(test_subscriber_overtaken_by_retention_is_told_of_the_gap),
	    cmocka_unit_test(test_subscriber_gap_in_the_log_counts_for_each),
	    cmocka_unit_test(test_subscriber_with_an_absent_partition_waits_then_is_told),
	    cmocka_unit_test(test_subscriber_idle_heartbeat_moves_the_id),
	    cmocka_unit_test(test_subscriber_ahead_of_its_replica_keeps_its_id),
	    cmocka_unit_test(test_subscriber_without_progress_is_given_up),
	    cmocka_unit_test(test_subscriber_waiting_for_others_is_not_given_up),
	    cmocka_unit_test(test_subscriber_expired_ends_with_timeout),
	    cmocka_unit_test(test_subscriber_revoked_ends_alone),
	    cmocka_unit_test(test_subscriber_start_last_gives_the_newest_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
