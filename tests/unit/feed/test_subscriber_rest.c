/* Subscribers whose checks refuse more than they may look at in one go, on the world of world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feed/checks.h"
#include "feed/subscriber_priv.h"
#include "world.h"

/* A portion is about 13 events that are refused. */
enum {
	LARGE = 64 << 20,
	SMALL = 128 << 10,
	MIDDLE = 512 << 10,
	LOOK_BYTES = 4 << 10,
	LONG_MS = 1000000,
	TRIES = 20000
};
enum { KEY = 3, OTHER = 4 };

/* How it comes to rest. */
enum behind {
	COMES_BACK,   /* with a position of its own */
	FALLS_BEHIND, /* of the window, whose ids are right for it */
	WAYS
};

static struct world world;
static struct replica *const here = &world.replicas[0];
static struct client a_client, *const client = &a_client;
static struct checks *only_key, *end_when;
static int partitions; /* that events are put into; where it is 1 they keep their order */

static int make_patterns(void **state)
{
	(void)state;
	world_look_bytes = LOOK_BYTES;
	only_key = make_checks_of("{\"key\": [\"3\"]}");
	end_when = make_checks_of("{\"value\": {\"e\": [1]}}");
	return 0;
}

static int free_patterns(void **state)
{
	(void)state;
	checks_unref(only_key);
	checks_unref(end_when);
	return 0;
}

static void put(int key, int marks)
{
	int32_t partition = rand_r(&world.seed) % partitions;
	int64_t offset = world.log.high[partition];

	world.log.user[partition][offset] = (uint8_t)key;
	world.log.marks[partition][offset] = (uint8_t)marks;
	world.log.high[partition] = offset + 1;
}

static void put_refused(int count)
{
	while (count--)
		put(OTHER, 0);
}

/* As a turn, but nobody is woken. */
static void hand_over(void)
{
	for (int i = 0; i < REPLICAS; i++) {
		for (int32_t p = 0; p < PARTITIONS; p++)
			ingest(&world, &world.replicas[i], p, MAX_EVENTS);
		feeds_on_flush(world.replicas[i].feeds);
	}
}

static void begin(uint64_t window_bytes)
{
	open_world_that_keeps(&world, window_bytes, false, true);
	world.stream.heartbeat_ms = 0;
	partitions = PARTITIONS;
	init_client(client, &world, KEY);
	client->checks = only_key;
}

static void leave(struct client *of)
{
	disconnect_client(of);
	buffer_free(&of->unparsed);
}

static void end(void)
{
	leave(client);
	turn(&world, true);
	assert_true(TAILQ_EMPTY(&here->fanout->resting));
	close_world(&world);
}

/* It stands before what `more` puts, which nobody has looked at. */
static void get_behind(enum behind how, void (*more)(void))
{
	put_refused(20);
	turn(&world, true);
	connect_client_to(client, here);
	take(client, SIZE_MAX);
	if (how == COMES_BACK)
		disconnect_client(client);
	for (int i = 0; how == FALLS_BEHIND && i < 2; i++) {
		put(KEY, 0);
		turn(&world, true);
	}
	more();
	hand_over();
	if (how == COMES_BACK)
		connect_client_to(client, here);
	else
		fanout_tick(here->fanout);
	assert_int_equal(client->subscriber->own != NULL, how == COMES_BACK);
}

static void fall_to_rest(enum behind how, void (*more)(void))
{
	get_behind(how, more);
	take(client, SIZE_MAX);
	assert_true(client->subscriber->rests);
	assert_false(has_all(client));
}

static void put_much(void)
{
	for (int i = 0; i < 8; i++) {
		put_refused(30);
		put(KEY, 0);
	}
}

static void put_more(void)
{
	put_much();
	put_refused(120);
	put(KEY, 0);
}

/* Who comes to another replica with the id that the first one has gets what that still lacks. */
static void check_id(void)
{
	struct client other = *client;

	other.carrier.ops = &ops;
	other.subscriber = NULL;
	other.unparsed = (struct buffer){0};
	other.heartbeats = 0;
	connect_client_to(&other, &world.replicas[1]);
	for (int tries = 0; tries < TRIES && !has_all(&other); tries++) {
		fanout_turn(other.at->fanout);
		take(&other, SIZE_MAX);
		usleep(100);
	}
	assert_true(has_all(&other));
	leave(&other);
}

/* It gets heartbeats with the id of where it rests, looks at nothing for their sake, and its id is
 * as good as any other at every rest. */
static void test_subscriber_rest_has_heartbeats_with_its_place(void **state)
{
	(void)state;
	for (enum behind how = COMES_BACK; how < WAYS; how++) {
		uint64_t cursor = 0;
		int rests = 0;

		begin(LARGE);
		fall_to_rest(how, put_much);
		hand_over();
		for (; client->subscriber->rests; rests++) {
			uint64_t heartbeats = client->heartbeats;
			char id[sizeof(client->last_event_id)];

			assert_true(client->subscriber->cursor > cursor);
			cursor = client->subscriber->cursor;
			strcpy(id, client->last_event_id);
			fanout_tick(here->fanout);
			take(client, SIZE_MAX);
			assert_int_equal(client->heartbeats, heartbeats + 1);
			assert_int_equal(client->subscriber->cursor, cursor);
			assert_string_not_equal(client->last_event_id, id);
			check_id();
			for (int i = 0; i < 3; i++) {
				turn(&world, true);
				take(client, SIZE_MAX);
			}
		}
		assert_in_range(rests, 3, 30);
		assert_true(has_all(client));
		end();
	}
}

/* While it rests it is neither slow nor without events. When it has looked at all, there were none.
 */
static void test_subscriber_rest_is_neither_slow_nor_idle(void **state)
{
	(void)state;
	for (enum behind how = COMES_BACK; how < WAYS; how++) {
		begin(LARGE);
		fall_to_rest(how, put_much);
		world.settings.slow_client_timeout_ms = 0;
		world.stream.idle_timeout_ms = 1;
		while (client->subscriber->rests) {
			client->subscriber->event_ms = client->subscriber->progress_ms = 0;
			fanout_tick(here->fanout);
			assert_false(client->aborted);
			take(client, SIZE_MAX);
			assert_int_equal(client->timeouts, 0);
			turn(&world, true);
			take(client, SIZE_MAX);
		}
		assert_true(has_all(client));
		world.settings.slow_client_timeout_ms = LONG_MS;
		client->subscriber->event_ms = 0;
		fanout_tick(here->fanout);
		take(client, SIZE_MAX);
		assert_int_equal(client->timeouts, 1);
		end();
	}
}

static void discard(void)
{
	struct slice bytes;

	while ((bytes = subscriber_peek(client->subscriber, SIZE_MAX)).len)
		subscriber_consume(client->subscriber, bytes.len);
}

/* The end of one that rests does not wait for its turn. */
static void test_subscriber_rest_does_not_delay_an_end(void **state)
{
	static const enum close_reason reasons[] = {CLOSE_REVOKED, CLOSE_DRAIN, CLOSE_MAX_AGE};

	(void)state;
	for (int row = 0; row < 3 * WAYS; row++) {
		enum close_reason reason = reasons[row / WAYS];
		uint64_t received;

		begin(LARGE);
		fall_to_rest(row % WAYS, put_much);
		received = client->received;
		if (reason == CLOSE_REVOKED)
			subscriber_revoke(client->subscriber);
		else if (reason == CLOSE_DRAIN)
			fanout_drain(here->fanout);
		else
			client->subscriber->max_age_at_ms = 0;
		fanout_tick(here->fanout);
		if (reason == CLOSE_REVOKED)
			discard();
		else
			take(client, SIZE_MAX);
		assert_true(subscriber_ended(client->subscriber));
		assert_int_equal(subscriber_close_reason(client->subscriber), reason);
		assert_int_equal(client->received, received);
		assert_int_equal(client->timeouts, reason == CLOSE_MAX_AGE);
		check_id();
		if (row % 2)
			turn(&world, true);
		end();
	}
}

static void put_nothing_for_it(void)
{
	put_refused(200);
	put(KEY, 0);
	put_refused(200);
}

/* One that does not follow ends when it has looked at all that there was, however often it rests,
 * and with nothing that came since. */
static void test_subscriber_rest_of_a_bounded_one_is_not_its_end(void **state)
{
	void (*const backlogs[])(void) = {put_much, put_nothing_for_it};

	(void)state;
	for (int row = 0; row < 2; row++) {
		int64_t there[PARTITIONS];
		int turns = 0;

		begin(LARGE);
		client->is_bounded = true;
		put_refused(20);
		turn(&world, true);
		world.stream.start = STREAM_START_EARLIEST;
		memset(client->next, 0, sizeof(client->next));
		backlogs[row]();
		hand_over();
		for (int p = 0; p < PARTITIONS; p++)
			there[p] = world.log.high[p];
		connect_client_to(client, here);
		for (; turns < TRIES && !client->ends; turns++) {
			put(KEY, 0);
			turn(&world, true);
			take(client, SIZE_MAX);
			assert_int_equal(client->subscriber->rests, !client->ends);
		}
		assert_in_range(turns, 4, 100);
		assert_int_equal(subscriber_close_reason(client->subscriber), CLOSE_BACKLOG);
		for (int p = 0; p < PARTITIONS; p++) {
			assert_true(client->next[p] <= there[p]);
			for (int64_t o = client->next[p]; o < there[p]; o++)
				assert_int_equal(world.log.user[p][o], OTHER);
		}
		end();
	}
}

static void put_end(void)
{
	put_refused(100);
	put(KEY, 0);
	put(OTHER, MARK_END);
	put_refused(100);
	put(KEY, MARK_END);
	put(KEY, 0);
}

/* It ends with the first event that ends it, where that is some rests away. */
static void test_subscriber_rest_before_its_last_event_ends_with_it(void **state)
{
	(void)state;
	for (enum behind how = COMES_BACK; how < WAYS; how++) {
		begin(LARGE);
		client->end_when = end_when;
		partitions = 1;
		fall_to_rest(how, put_end);
		for (int tries = 0; tries < TRIES && !client->ends; tries++) {
			turn(&world, true);
			take(client, SIZE_MAX);
		}
		assert_int_equal(client->ends, 1);
		assert_true(client->has_final_id);
		assert_true(subscriber_ended(client->subscriber));
		assert_int_equal(subscriber_close_reason(client->subscriber), CLOSE_END_WHEN);
		end();
	}
}

static void count(struct client *of, int partition, int64_t offset)
{
	(void)partition;
	(void)offset;
	of->received++;
}

/* Without its checks it gets all from where it rests; with others, what those let pass. */
static void test_subscriber_rest_with_other_checks_goes_on_with_them(void **state)
{
	struct checks *other = make_checks_of("{\"key\": [\"4\"]}");

	(void)state;
	for (int row = 0; row < 2 * WAYS; row++) {
		uint64_t refused = 8 * 30 + 20 + 5, received, expected;

		begin(LARGE);
		fall_to_rest(row % WAYS, put_much);
		client->judge = count;
		received = client->received;
		expected = here->fanout->feeds_here->dispatched - client->subscriber->cursor;
		subscriber_set_checks(client->subscriber, row / WAYS ? other : NULL);
		if (row / WAYS)
			expected -= 8 - (received - (row % WAYS ? 2 : 0));
		assert_true(expected <= refused + 8);
		for (int tries = 0; tries < 200; tries++) {
			turn(&world, true);
			take(client, SIZE_MAX);
		}
		assert_int_equal(client->received - received, expected);
		assert_false(client->subscriber->rests);
		end();
	}
	checks_unref(other);
}

/* What it rests at is about to leave the window: it reads on in a replay, also where it gets a
 * heartbeat whenever it is looked at. */
static void test_subscriber_rest_retreats_from_the_windows_tail(void **state)
{
	(void)state;
	for (enum behind how = COMES_BACK; how < WAYS; how++) {
		begin(SMALL);
		fall_to_rest(how, put_more);
		/* In the window's second segment. */
		while (client->subscriber->cursor < 260) {
			turn(&world, true);
			take(client, SIZE_MAX);
		}
		assert_true(client->subscriber->rests);
		assert_int_equal(window_tail(client->subscriber->at->feed->window), 0);
		for (int i = 0; i < 2000 && client->subscriber->state == SUBSCRIBER_LIVE; i++) {
			put(i % 10 ? OTHER : KEY, 0);
			hand_over();
			fanout_tick(here->fanout);
			take(client, SIZE_MAX);
		}
		assert_int_equal(client->subscriber->state, SUBSCRIBER_REPLAYING);
		assert_false(client->subscriber->rests);
		assert_false(client->aborted);
		for (int tries = 0; tries < TRIES && !has_all(client); tries++) {
			turn(&world, true);
			take(client, SIZE_MAX);
			usleep(100);
		}
		assert_true(has_all(client));
		end();
	}
}

/* What it rests at has left the window unseen: it reads that again, or comes back for it. */
static void test_subscriber_rest_outlived_by_the_window_loses_nothing(void **state)
{
	(void)state;
	for (enum behind how = COMES_BACK; how < WAYS; how++) {
		begin(SMALL);
		fall_to_rest(how, put_much);
		for (int i = 0; i < 3000; i++)
			put(i % 10 ? OTHER : KEY, 0);
		hand_over();
		turn(&world, true);
		take(client, SIZE_MAX);
		assert_int_equal(client->aborted, how == FALLS_BEHIND);
		drain(client, 1);
		end();
	}
}

static void put_dense(void)
{
	put_refused(4);
	put(KEY, 0);
	put_refused(4);
	put(KEY, 0);
	put_refused(100);
	put(KEY, 0);
}

/* What was found before it got tired is given as often as it is asked for, and a frame that has
 * begun goes out whole before it rests. */
static void test_subscriber_rest_comes_after_what_was_found(void **state)
{
	enum { BEGUN = 10 };
	struct slice bytes;
	char first[4096];
	size_t len;

	(void)state;
	begin(LARGE);
	partitions = 1;
	get_behind(FALLS_BEHIND, put_dense);
	bytes = subscriber_peek(client->subscriber, SIZE_MAX);
	len = bytes.len;
	assert_in_range(len, 1, sizeof(first));
	memcpy(first, bytes.base, len);
	for (int i = 0; i < 3; i++) {
		bytes = subscriber_peek(client->subscriber, SIZE_MAX);
		assert_int_equal(bytes.len, len);
		assert_memory_equal(bytes.base, first, len);
		assert_false(client->subscriber->rests);
		assert_false(subscriber_is_idle(client->subscriber));
	}
	subscriber_consume(client->subscriber, len - BEGUN);
	bytes = subscriber_peek(client->subscriber, SIZE_MAX);
	assert_int_equal(bytes.len, BEGUN);
	assert_memory_equal(bytes.base, first + len - BEGUN, BEGUN);
	buffer_append(&client->unparsed, first, len);
	subscriber_consume(client->subscriber, BEGUN);
	parse(client);
	assert_int_equal(client->received, 4);
	take(client, SIZE_MAX);
	assert_true(client->subscriber->rests);
	for (int tries = 0; tries < TRIES && !has_all(client); tries++) {
		turn(&world, true);
		take(client, SIZE_MAX);
	}
	assert_int_equal(client->received, 5);
	end();
}

/* Those who rest go on by turns: none gets twice as far as another that came with it, and one that
 * goes away leaves the others in line. */
static void test_subscriber_rest_is_in_turns(void **state)
{
	enum { CLIENTS = 11 };
	static struct client clients[CLIENTS];
	bool rests = true;

	(void)state;
	begin(LARGE);
	world.stream.start = STREAM_START_EARLIEST;
	for (int i = 0; i < CLIENTS; i++) {
		init_client(&clients[i], &world, KEY);
		clients[i].checks = only_key;
	}
	put_nothing_for_it();
	hand_over();
	for (int i = 0; i < CLIENTS; i++) {
		connect_client_to(&clients[i], here);
		take(&clients[i], SIZE_MAX);
		assert_true(clients[i].subscriber->rests);
	}
	disconnect_client(&clients[CLIENTS / 2]);
	for (int n = 0; n < 200 && rests; n++) {
		uint64_t low = UINT64_MAX, high = 0;

		rests = false;
		turn(&world, true);
		for (int i = 0; i < CLIENTS; i++) {
			if (!clients[i].subscriber)
				continue;
			take(&clients[i], SIZE_MAX);
			rests = rests || clients[i].subscriber->rests;
			low = clients[i].subscriber->cursor < low ? clients[i].subscriber->cursor
								  : low;
			high = clients[i].subscriber->cursor > high ? clients[i].subscriber->cursor
								    : high;
		}
		assert_true(high <= 2 * (low + LOOK_BYTES / 256));
	}
	assert_false(rests);
	for (int i = 0; i < CLIENTS; i++) {
		assert_int_equal(clients[i].received, i != CLIENTS / 2);
		leave(&clients[i]);
	}
	end();
}

/* The last that came. */
static int64_t newest[PARTITIONS];

static void keep_newest(struct client *of, int partition, int64_t offset)
{
	newest[partition] = offset;
	of->received++;
}

static void connect_with(struct subscriber_start *start)
{
	struct route_keys keys = {0};
	struct feed *feed;

	start->checks = only_key;
	start->interval_ms = LONG_MS;
	client->at = here;
	assert_int_equal(feeds_open(here->feeds, &world.stream, NULL, &feed), 0);
	client->subscriber =
	    subscriber_new(here->fanout, feed, &keys, start, INT64_MAX, &client->carrier);
}

static void put_in_first(int key)
{
	world.log.user[0][world.log.high[0]++] = (uint8_t)key;
}

/* However it comes, one with an interval that is far behind has its newest looked for by a replay,
 * and gets it; not far behind, by its loop. */
static void test_subscriber_rest_of_an_interval_is_a_replay(void **state)
{
	enum { BY_ID, BY_TIME, BY_CUSTOM_ID, FROM_THE_BEGINNING, COMINGS };

	(void)state;
	for (int row = 0; row < 2 * COMINGS; row++) {
		int how = row / 2, events = row % 2 ? 400 : 5;
		struct subscriber_start start = {.has_since = how == BY_TIME, .since_ms = 21};
		struct position position;

		begin(LARGE);
		memset(newest, -1, sizeof(newest));
		client->judge = keep_newest;
		if (how == BY_CUSTOM_ID)
			set_mapping(&world, "{\"id\": \"/value/o\"}");
		world.stream.start =
		    how == FROM_THE_BEGINNING ? STREAM_START_EARLIEST : STREAM_START_LATEST;
		for (int i = 0; i < (how == FROM_THE_BEGINNING ? 0 : 20); i++)
			put_in_first(OTHER);
		turn(&world, true);
		for (int i = 0; i < events; i++)
			put_in_first(i % 4 ? OTHER : KEY);
		put_in_first(KEY);
		put_in_first(OTHER);
		hand_over();
		fanout_tick(here->fanout);
		position_init(&position, 1);
		position_set(&position, 0, 0, 20);
		if (how == BY_ID)
			start.position = &position;
		else if (how == BY_CUSTOM_ID)
			start.custom_id = SLICE_LIT("19");
		connect_with(&start);
		position_fini(&position);
		if (how != BY_TIME)
			assert_int_equal(client->subscriber->state,
					 row % 2 ? SUBSCRIBER_REPLAYING : SUBSCRIBER_LIVE);
		for (int tries = 0; tries < TRIES && newest[0] < world.log.high[0] - 2; tries++) {
			turn(&world, true);
			assert_false(client->subscriber->state == SUBSCRIBER_LIVE && row % 2 &&
				     client->subscriber->until - client->subscriber->cursor > 100);
			take(client, SIZE_MAX);
			usleep(100);
		}
		assert_int_equal(newest[0], world.log.high[0] - 2);
		end();
	}
}

/* The last N of one with an interval come as they are, also where it rests between them. */
static void test_subscriber_rest_between_the_last_ones_goes_on(void **state)
{
	(void)state;
	begin(LARGE);
	partitions = 1;
	world.stream.start = STREAM_START_LAST;
	world.stream.start_last = 2;
	client->interval_ms = LONG_MS;
	client->any_start = true;
	memset(client->next, -1, sizeof(client->next));
	put(KEY, 0);
	put_refused(30);
	put(KEY, 0);
	put_refused(15);
	hand_over();
	connect_client_to(client, here);
	take(client, SIZE_MAX);
	assert_int_equal(client->received, 1);
	assert_true(client->subscriber->rests);
	for (int tries = 0; tries < 10; tries++) {
		turn(&world, true);
		take(client, SIZE_MAX);
	}
	assert_int_equal(client->received, 2);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_subscriber_rest_has_heartbeats_with_its_place),
	    cmocka_unit_test(test_subscriber_rest_is_neither_slow_nor_idle),
	    cmocka_unit_test(test_subscriber_rest_does_not_delay_an_end),
	    cmocka_unit_test(test_subscriber_rest_of_a_bounded_one_is_not_its_end),
	    cmocka_unit_test(test_subscriber_rest_before_its_last_event_ends_with_it),
	    cmocka_unit_test(test_subscriber_rest_with_other_checks_goes_on_with_them),
	    cmocka_unit_test(test_subscriber_rest_retreats_from_the_windows_tail),
	    cmocka_unit_test(test_subscriber_rest_outlived_by_the_window_loses_nothing),
	    cmocka_unit_test(test_subscriber_rest_comes_after_what_was_found),
	    cmocka_unit_test(test_subscriber_rest_is_in_turns),
	    cmocka_unit_test(test_subscriber_rest_of_an_interval_is_a_replay),
	    cmocka_unit_test(test_subscriber_rest_between_the_last_ones_goes_on),
	};

	return cmocka_run_group_tests(tests, make_patterns, free_patterns);
}
