/* Subscribers that end by themselves, on the world of world.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feed/checks.h"
#include "feed/subscriber_priv.h"
#include "world.h"

enum { LARGE = 64 << 20, SMALL = 16 << 10, CLIENTS = 5, TRIES = 20000 };

/* Whom a client's events are told apart by. */
enum narrowed { BY_NOTHING, BY_KEY, BY_CHECKS };

static struct world world;
static struct client clients[CLIENTS];

/* Ends with the first event of the partition that has this offset or a higher one. */
static struct checks *end_from(int partition, int64_t offset)
{
	return make_checks(json_pack("{s:{s:[i], s:[{s:[s,I]}]}}", "value", "p", partition, "o",
				     "numeric", ">=", (json_int_t)offset));
}

static void open_narrowed(uint64_t window_bytes, enum narrowed narrowed)
{
	open_world_that_keeps(&world, window_bytes, narrowed == BY_KEY, true);
}

static void begin(struct client *client, enum narrowed narrowed, int user)
{
	init_client(client, &world, narrowed == BY_NOTHING ? -1 : user);
	if (narrowed == BY_CHECKS)
		client->checks = make_checks(json_pack("{s:[s#]}", "key", &"0123456789"[user], 1));
}

static void leave(struct client *client)
{
	disconnect_client(client);
	buffer_free(&client->unparsed);
	checks_unref(client->checks);
	checks_unref(client->end_when);
}

static void produce_all(int count)
{
	for (int i = 0; i < count; i++)
		produce(&world);
	turn(&world, true);
}

/* The offset that the client's stream ends with; -1: it is not there yet. */
static int64_t find_end(const struct client *client, int partition, int64_t from)
{
	for (int64_t o = from; o < world.log.high[partition]; o++)
		if (client->user < 0 || world.log.user[partition][o] == client->user)
			return o;
	return -1;
}

/* The last event, and no other, has a final id. */
static void check_id(const struct client *client, int partition, int64_t from)
{
	int64_t end = find_end(client, partition, from);
	bool has_end = end >= 0 && client->next[partition] > end;

	assert_true(!has_end || client->next[partition] == end + 1);
	assert_int_equal(client->has_final_id, has_end);
	assert_true(!client->ends || has_end);
}

static bool take_byte(struct client *client)
{
	struct slice bytes = subscriber_peek(client->subscriber, 1);

	if (!bytes.len)
		return false;
	buffer_append_slice(&client->unparsed, bytes);
	subscriber_consume(client->subscriber, 1);
	parse(client);
	return true;
}

static int partition_of(int i)
{
	return i % PARTITIONS;
}

static int64_t from_of(int i)
{
	return 30 + 60 * i;
}

/* Takes something, and goes now and then, without order. True: it has its last event. */
static bool go_on(struct client *client, int i, bool cuts)
{
	if (!client->subscriber)
		connect_client(client);
	take(client, (size_t)rand_r(&world.seed) % (rand_r(&world.seed) % 2 ? 20000 : 200));
	check_id(client, partition_of(i), from_of(i));
	if (client->ends || client->aborted || (cuts && rand_r(&world.seed) % 10 == 0)) {
		bool is_aborted = client->aborted, had_final_id = client->has_final_id;

		disconnect_client(client);
		client->has_final_id = is_final(slice_of(client->last_event_id));
		assert_true(is_aborted || client->has_final_id == had_final_id);
	}
	return !client->subscriber && client->has_final_id;
}

/* Cut off at random places, from the window, in replays, level and behind, each gets every event up
 * to its last one, once, and nothing after it; with the last one's id it knows that it is done. A
 * cursor knows likewise. */
static void test_subscriber_end_cut_at_random_is_exact(void **state)
{
	static const struct {
		uint64_t window_bytes;
		enum narrowed narrowed;
		bool tracked;
	} rows[] = {
	    {LARGE, BY_NOTHING, false}, {LARGE, BY_KEY, false}, {LARGE, BY_CHECKS, false},
	    {SMALL, BY_NOTHING, false}, {SMALL, BY_KEY, true},  {SMALL, BY_CHECKS, true},
	    {LARGE, BY_NOTHING, true},
	};

	(void)state;
	for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
		int left = CLIENTS;
		bool done[CLIENTS] = {false};

		open_narrowed(rows[row].window_bytes, rows[row].narrowed);
		world.stream.heartbeat_ms = 1;
		for (int i = 0; i < CLIENTS; i++) {
			begin(&clients[i], rows[row].narrowed, i);
			clients[i].tracked = rows[row].tracked;
			clients[i].end_when = end_from(partition_of(i), from_of(i));
			connect_client(&clients[i]);
			take(&clients[i], SIZE_MAX);
		}
		for (int tries = 0; left && tries < TRIES; tries++) {
			int i = rand_r(&world.seed) % CLIENTS;

			for (int n = tries < 1500 ? rand_r(&world.seed) % 5 : 0; n > 0; n--)
				produce(&world);
			turn(&world, tries >= 1500);
			if (rand_r(&world.seed) % 3 == 0)
				tick(&world);
			if (done[i])
				continue;
			done[i] = go_on(&clients[i], i, tries < 3000);
			left -= done[i];
			if (tries > 1500)
				usleep(100);
		}
		assert_int_equal(left, 0);
		for (int i = 0; i < CLIENTS; i++) {
			assert_int_equal(clients[i].gaps, 0);
			assert_true(clients[i].received > 0);
			leave(&clients[i]);
		}
		close_world(&world);
	}
}

/* Where a client's last event comes from. */
enum way { LIVE, RESUMED, REPLAYED, LAST, LAST_OF_KAFKA, EARLIEST_OF_KAFKA };

/* `from`: in partition 2, which is ended by a later event than those that have come. */
static void set_out(struct client *client, enum way way, enum narrowed narrowed, int64_t *from)
{
	bool is_small = way == REPLAYED || way == LAST_OF_KAFKA || way == EARLIEST_OF_KAFKA;

	open_narrowed(is_small ? SMALL : LARGE, narrowed);
	produce_all(50);
	begin(client, narrowed, 3);
	client->tracked = true;
	*from = world.log.high[2] + 5;
	client->end_when = end_from(2, *from);
	if (way <= REPLAYED) {
		connect_client(client);
		take(client, SIZE_MAX);
		assert_int_equal(client->connected, 1);
	}
	if (way == RESUMED || way == REPLAYED)
		disconnect_client(client);
	if (way == LAST || way == LAST_OF_KAFKA) {
		world.stream.start = STREAM_START_LAST;
		world.stream.start_last = 400;
		client->any_start = true;
		memset(client->next, -1, sizeof(client->next));
	}
	if (way == EARLIEST_OF_KAFKA) {
		world.stream.start = STREAM_START_EARLIEST;
		memset(client->next, 0, sizeof(client->next));
	}
	for (int i = 0; i < (is_small ? 1000 : 300); i++)
		produce(&world);
	if (way == LAST || way == LAST_OF_KAFKA) {
		checks_unref(client->end_when);
		*from = world.log.high[2] - 40;
		client->end_when = end_from(2, *from);
	}
	assert_true(world.log.high[2] > *from + 1);
	world.log.user[2][*from + 1] = 3;
	turn(&world, true);
	if (!client->subscriber)
		connect_client(client);
}

/* Byte by byte: the last event's id is final as its last byte comes, in the cursor as well, then
 * comes the end, and nothing after it whatever comes to the feed. */
static void test_subscriber_end_comes_after_its_event_on_every_way(void **state)
{
	struct client *client = &clients[0];

	(void)state;
	for (int row = 0; row < 3 * (EARLIEST_OF_KAFKA + 1); row++) {
		int64_t from;

		set_out(client, row / 3, row % 3, &from);
		for (int tries = 0; tries < TRIES && !client->ends; tries++) {
			turn(&world, true);
			while (take_byte(client)) {
				struct buffer id = {0};

				check_id(client, 2, from);
				if (subscriber_position(client->subscriber, &id))
					assert_int_equal(is_final(buffer_slice(&id)),
							 client->has_final_id);
				buffer_free(&id);
				assert_int_equal(subscriber_ended(client->subscriber),
						 client->ends);
			}
			usleep(100);
		}
		assert_int_equal(client->ends, 1);
		assert_int_equal(client->gaps, 0);
		produce_all(100);
		tick(&world);
		assert_false(take_byte(client));
		leave(client);
		close_world(&world);
	}
}

/* What ends it is the feed's own where a stream's pattern is the same for all. */
static void test_subscriber_end_of_the_stream_itself_counts_for_each(void **state)
{
	json_t *source = json_pack("{s:[s]}", "key", "3");
	struct pattern_error error;

	(void)state;
	memset(&world, 0, sizeof(world));
	open_narrowed(LARGE, BY_NOTHING);
	disconnect_client(&clients[0]);
	assert_int_equal(pattern_compile(source, NULL, &world.stream.end_when, &error), 0);
	json_decref(source);
	/* Feeds look at the stream as they are made. */
	for (int i = 0; i < REPLICAS; i++) {
		struct feed *feed;

		assert_int_equal(feeds_open(world.replicas[i].feeds, &world.stream, NULL, &feed),
				 0);
		feed->end_when = checks_new_borrowed(world.stream.end_when);
		feeds_close(world.replicas[i].feeds, feed);
	}
	for (int i = 0; i < 2; i++) {
		begin(&clients[i], BY_NOTHING, -1);
		connect_client(&clients[i]);
	}
	produce_all(100);
	for (int i = 0; i < 2; i++) {
		take(&clients[i], SIZE_MAX);
		assert_int_equal(clients[i].ends, 1);
		assert_true(subscriber_ended(clients[i].subscriber));
		leave(&clients[i]);
	}
	close_world(&world);
	pattern_free(world.stream.end_when);
}

/* A gap in the log is no event that ends anything, and those around it come. */
static void test_subscriber_end_is_no_gap(void **state)
{
	struct client *client = &clients[0];
	struct replica *replica = &world.replicas[0];

	(void)state;
	open_narrowed(LARGE, BY_NOTHING);
	begin(client, BY_NOTHING, -1);
	client->end_when = end_from(0, 40);
	client->follows_gaps = true;
	connect_client_to(client, replica);
	take(client, SIZE_MAX);
	for (int i = 0; i < 100; i++)
		produce(&world);
	ingest(&world, replica, 1, 5);
	world.log.low[0] = world.log.high[0];
	feeds_on_gap(replica->feeds, replica->token, 0, 0, world.log.low[0]);
	replica->next[0] = world.log.low[0];
	for (int p = 1; p < PARTITIONS; p++)
		ingest(&world, replica, p, MAX_EVENTS);
	feeds_on_flush(replica->feeds);
	fanout_turn(replica->fanout);
	take(client, SIZE_MAX);
	assert_int_equal(client->gaps, 1);
	assert_true(has_all(client));
	assert_int_equal(client->ends, 0);
	leave(client);
	close_world(&world);
}

static bool is_of(void *context, const struct carrier *carrier)
{
	return carrier == context;
}

/* Between its last event and the end nothing changes the end: neither other checks nor a revoked
 * token. */
static void test_subscriber_end_that_has_begun_is_the_end(void **state)
{
	struct client *client = &clients[0];
	struct checks *closed = checks_new_closed();

	(void)state;
	open_narrowed(LARGE, BY_CHECKS);
	begin(client, BY_CHECKS, 3);
	client->end_when = end_from(2, 0);
	connect_client_to(client, &world.replicas[0]);
	for (int i = 0; i < 200; i++)
		produce(&world);
	world.log.user[2][0] = 3;
	turn(&world, true);
	while (client->next[2] == 0)
		assert_true(take_byte(client));
	assert_true(client->has_final_id);
	subscriber_set_checks(client->subscriber, closed);
	fanout_revoke(world.replicas[0].fanout, is_of, &client->carrier);
	fanout_drain(world.replicas[0].fanout);
	take(client, SIZE_MAX);
	assert_int_equal(client->ends, 1);
	assert_true(subscriber_ended(client->subscriber));
	assert_int_equal(client->subscriber->reason, CLOSE_END_WHEN);
	checks_unref(closed);
	leave(client);
	close_world(&world);
}

/* Checks that refuse the last event before it was looked at keep the stream open. */
static void test_subscriber_end_that_is_refused_is_none(void **state)
{
	struct client *client = &clients[0];
	struct checks *others = make_checks(json_pack("{s:[s]}", "key", "4"));

	(void)state;
	open_narrowed(LARGE, BY_CHECKS);
	begin(client, BY_CHECKS, 3);
	client->end_when = make_checks(json_pack("{s:[s]}", "key", "3"));
	connect_client_to(client, &world.replicas[0]);
	take(client, SIZE_MAX);
	subscriber_set_checks(client->subscriber, others);
	client->user = 4;
	produce_all(200);
	take(client, SIZE_MAX);
	assert_true(client->received > 0 && has_all(client));
	assert_int_equal(client->ends, 0);
	checks_unref(others);
	leave(client);
	close_world(&world);
}

static void put_into_first_partition(int64_t count)
{
	world.log.high[0] += count;
	turn(&world, true);
}

static void connect_with_custom_id(struct client *client, const char *id)
{
	const struct subscriber_start start = {.custom_id = slice_of(id),
					       .end_when = client->end_when};
	struct route_keys keys = {0};
	struct feed *feed;

	client->at = &world.replicas[0];
	assert_int_equal(feeds_open(client->at->feeds, &world.stream, NULL, &feed), 0);
	client->subscriber =
	    subscriber_new(client->at->fanout, feed, &keys, &start, INT64_MAX, &client->carrier);
}

/* An id of the stream's own cannot say that it is the last one: the end's does. Who comes back with
 * the event's is told again. */
static void test_subscriber_end_after_a_custom_id_is_told_again(void **state)
{
	static const struct {
		const char *id;
		int64_t events, after;
	} rows[] = {{"6", 1, 0}, {"6", 1, 5}, {"7", 0, 0}, {"7", 0, 5}, {"5", 2, 0}};
	struct client *client = &clients[0];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		open_narrowed(LARGE, BY_NOTHING);
		set_mapping(&world, "{\"id\": \"/value/o\"}");
		begin(client, BY_NOTHING, -1);
		put_into_first_partition(8 + rows[i].after);
		client->next[0] = 8 - rows[i].events;
		client->end_when = end_from(0, 7);
		connect_with_custom_id(client, rows[i].id);
		while (!client->ends) {
			assert_false(client->has_final_id);
			assert_true(take_byte(client));
		}
		assert_true(client->has_final_id);
		assert_true(subscriber_ended(client->subscriber));
		assert_int_equal(client->connected, 1);
		assert_int_equal(client->received, rows[i].events);
		leave(client);
		close_world(&world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_subscriber_end_cut_at_random_is_exact),
	    cmocka_unit_test(test_subscriber_end_comes_after_its_event_on_every_way),
	    cmocka_unit_test(test_subscriber_end_of_the_stream_itself_counts_for_each),
	    cmocka_unit_test(test_subscriber_end_is_no_gap),
	    cmocka_unit_test(test_subscriber_end_that_has_begun_is_the_end),
	    cmocka_unit_test(test_subscriber_end_that_is_refused_is_none),
	    cmocka_unit_test(test_subscriber_end_after_a_custom_id_is_told_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
