/* Subscribers that get what there is and do not follow, on the world of world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feed/checks.h"
#include "feed/subscriber_priv.h"
#include "world.h"

enum { LARGE = 64 << 20, SMALL = 16 << 10, TRIES = 20000, LAST = 60 };

static struct world world;
static struct client a_client, *const client = &a_client;
/* What there was when the client was attached. */
static int64_t there[PARTITIONS];

static void produce_all(int count)
{
	for (int i = 0; i < count; i++)
		produce(&world);
	turn(&world, true);
}

static void look(void)
{
	for (int p = 0; p < PARTITIONS; p++)
		there[p] = world.log.high[p];
}

static bool is_for(const struct client *of, int partition, int64_t offset)
{
	return of->user < 0 || world.log.user[partition][offset] == of->user;
}

/* All that was there, and nothing that has come since. */
static void check_has_what_was_there(const struct client *of)
{
	for (int p = 0; p < PARTITIONS; p++) {
		assert_true(of->next[p] <= there[p]);
		for (int64_t o = of->next[p]; o < there[p]; o++)
			assert_false(is_for(of, p, o));
	}
}

static void leave(struct client *of)
{
	disconnect_client(of);
	buffer_free(&of->unparsed);
}

/* Until the end has come; the topic is busy, and the client slow. */
static void take_slowly(struct client *of, size_t most)
{
	for (int tries = 0; tries < TRIES && !of->ends; tries++) {
		if (tries % 8 == 0)
			produce_all(2);
		take(of, most);
		assert_true(!of->has_final_id || of->ends);
		usleep(50);
	}
	assert_int_equal(of->ends, 1);
	assert_true(subscriber_ended(of->subscriber));
	assert_int_equal(of->subscriber->reason, CLOSE_BACKLOG);
	produce_all(100);
	tick(&world);
	assert_false(take(of, SIZE_MAX));
}

static void open_narrowed(uint64_t window_bytes, bool filtered, enum stream_start start)
{
	open_world(&world, window_bytes, filtered);
	world.stream.start = start;
	world.stream.start_last = LAST;
	init_client(client, &world, filtered ? 3 : -1);
	client->tracked = true;
	produce_all(2000);
}

/* With nothing to give, the end comes at once; whoever comes first and whatever comes meanwhile. */
static void test_subscriber_bounded_at_the_latest_ends_at_once(void **state)
{
	(void)state;
	for (int filtered = 0; filtered < 2; filtered++) {
		open_narrowed(LARGE, filtered, STREAM_START_LATEST);
		client->is_bounded = true;
		connect_client(client);
		produce_all(100);
		take(client, SIZE_MAX);
		assert_int_equal(client->connected, 1);
		assert_int_equal(client->ends, 1);
		assert_int_equal(client->received, 0);
		assert_true(subscriber_ended(client->subscriber));
		leave(client);
		close_world(&world);
	}
}

/* From the beginning, or from where it was last, out of the window or the log: all that there was,
 * not what comes while it is slow. The cursor's id is final then, too. */
static void test_subscriber_bounded_gets_what_there_is(void **state)
{
	static const struct {
		uint64_t window_bytes;
		bool filtered, comes_back;
	} rows[] = {
	    {LARGE, false, false}, {LARGE, true, false}, {SMALL, false, false},
	    {SMALL, true, false},  {LARGE, false, true}, {LARGE, true, true},
	    {SMALL, false, true},  {SMALL, true, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buffer id = {0};

		open_narrowed(rows[i].window_bytes, rows[i].filtered, STREAM_START_EARLIEST);
		memset(client->next, 0, sizeof(client->next));
		if (rows[i].comes_back) {
			connect_client(client);
			while (client->received < 20) {
				turn(&world, true);
				take(client, 100);
			}
			disconnect_client(client);
			produce_all(1500);
		}
		look();
		client->is_bounded = true;
		connect_client(client);
		take_slowly(client, 2000);
		check_has_what_was_there(client);
		assert_true(subscriber_position(client->subscriber, &id));
		assert_true(is_final(buffer_slice(&id)));
		assert_int_equal(client->gaps, 0);
		buffer_free(&id);
		leave(client);
		close_world(&world);
	}
}

static void count_event(struct client *of, int partition, int64_t offset)
{
	assert_true(offset < there[partition]);
	of->received++;
}

/* The last N of what there is, or the state of it, and no more. */
static void test_subscriber_bounded_gets_the_last_and_the_state(void **state)
{
	static const struct {
		uint64_t window_bytes;
		enum stream_start start;
		uint64_t received;
	} rows[] = {
	    {LARGE, STREAM_START_LAST, LAST},
	    {SMALL, STREAM_START_LAST, LAST},
	    {LARGE, STREAM_START_CURRENT, USERS},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		open_narrowed(rows[i].window_bytes, false, rows[i].start);
		look();
		client->judge = count_event;
		client->is_bounded = true;
		connect_client(client);
		take_slowly(client, 200);
		assert_int_equal(client->received, rows[i].received);
		leave(client);
		close_world(&world);
	}
}

/* One that has all, and whose end was not asked for yet, stays there, however far its feed gets. */
static void test_subscriber_bounded_stays_where_it_is(void **state)
{
	struct buffer before = {0}, after = {0};
	struct slice bytes;

	(void)state;
	open_narrowed(SMALL, false, STREAM_START_LATEST);
	client->is_bounded = true;
	connect_client(client);
	bytes = subscriber_peek(client->subscriber, SIZE_MAX);
	subscriber_consume(client->subscriber, bytes.len);
	assert_true(subscriber_position(client->subscriber, &before));
	produce_all(1);
	assert_true(subscriber_position(client->subscriber, &after));
	assert_string_equal(buffer_text(&after), buffer_text(&before));
	produce_all(2000);
	buffer_clear(&after);
	assert_true(subscriber_position(client->subscriber, &after));
	assert_string_equal(buffer_text(&after), buffer_text(&before));
	take(client, SIZE_MAX);
	assert_int_equal(client->ends, 1);
	buffer_free(&before);
	buffer_free(&after);
	leave(client);
	close_world(&world);
}

/* Checks that change let no more of the feed in. */
static void test_subscriber_bounded_is_so_whatever_its_checks(void **state)
{
	struct checks *closed = checks_new_closed();

	(void)state;
	open_world_that_keeps(&world, LARGE, false, true);
	world.stream.start = STREAM_START_EARLIEST;
	produce_all(100);
	init_client(client, &world, -1);
	memset(client->next, 0, sizeof(client->next));
	client->is_bounded = true;
	client->checks = closed;
	look();
	connect_client(client);
	produce_all(100);
	subscriber_set_checks(client->subscriber, NULL);
	take(client, SIZE_MAX);
	assert_int_equal(client->ends, 1);
	check_has_what_was_there(client);
	checks_unref(closed);
	leave(client);
	close_world(&world);
}

/* Cut off at random, each has at its end what there was when it last came. */
static void test_subscriber_bounded_cut_at_random_is_exact(void **state)
{
	(void)state;
	for (int row = 0; row < 4; row++) {
		open_narrowed(row % 2 ? SMALL : LARGE, row / 2, STREAM_START_EARLIEST);
		memset(client->next, 0, sizeof(client->next));
		client->is_bounded = true;
		for (int tries = 0; tries < TRIES && !client->ends; tries++) {
			if (tries % 8 == 0)
				produce_all(2);
			if (!client->subscriber) {
				look();
				connect_client_to(client, &world.replicas[0]);
			}
			take(client, (size_t)rand_r(&world.seed) % 20000);
			if (client->ends)
				break;
			if (client->aborted || rand_r(&world.seed) % 20 == 0)
				disconnect_client(client);
			usleep(50);
		}
		assert_int_equal(client->ends, 1);
		check_has_what_was_there(client);
		assert_int_equal(client->gaps, 0);
		leave(client);
		close_world(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_subscriber_bounded_at_the_latest_ends_at_once),
	    cmocka_unit_test(test_subscriber_bounded_gets_what_there_is),
	    cmocka_unit_test(test_subscriber_bounded_gets_the_last_and_the_state),
	    cmocka_unit_test(test_subscriber_bounded_stays_where_it_is),
	    cmocka_unit_test(test_subscriber_bounded_is_so_whatever_its_checks),
	    cmocka_unit_test(test_subscriber_bounded_cut_at_random_is_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
