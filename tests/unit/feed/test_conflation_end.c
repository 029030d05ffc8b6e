/* Subscribers with an interval that end by themselves, on the world of world.h. Their intervals are
 * over when a test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "feed/checks.h"
#include "feed/subscriber_priv.h"
#include "world.h"

enum { LARGE = 64 << 20, SMALL = 16 << 10, LONG_MS = 1000000, KEY = 3, OTHER = 4, TRIES = 20000 };

enum narrowed { BY_NOTHING, BY_KEY, BY_CHECKS };

static struct world world;
static struct client a_client, *const client = &a_client;
static struct checks *end_when, *only_key, *unmarked;
/* What came, in its order. */
static struct {
	int partition;
	int64_t offset;
} seen[MAX_EVENTS];
static size_t seen_count;

static void keep_seen(struct client *of, int partition, int64_t offset)
{
	assert_true(seen_count < MAX_EVENTS);
	seen[seen_count].partition = partition;
	seen[seen_count++].offset = offset;
	of->received++;
}

static int make_patterns(void **state)
{
	(void)state;
	end_when = make_checks_of("{\"value\": {\"e\": [1]}}");
	only_key = make_checks_of("{\"key\": [\"3\"]}");
	unmarked = make_checks_of("{\"value\": {\"e\": [{\"exists\": false}]}}");
	return 0;
}

static int free_patterns(void **state)
{
	(void)state;
	checks_unref(end_when);
	checks_unref(only_key);
	checks_unref(unmarked);
	return 0;
}

static void begin(uint64_t window_bytes, enum narrowed narrowed, bool by_key)
{
	open_world_that_keeps(&world, window_bytes, narrowed == BY_KEY, true);
	world.stream.interval.per_key = by_key;
	init_client(client, &world, narrowed == BY_NOTHING ? -1 : KEY);
	client->judge = keep_seen;
	client->interval_ms = LONG_MS;
	client->end_when = end_when;
	client->checks = narrowed == BY_CHECKS ? only_key : NULL;
	seen_count = 0;
}

static void leave(void)
{
	disconnect_client(client);
	buffer_free(&client->unparsed);
	close_world(&world);
}

/* Into the log; a key has one partition, of its number. */
static int64_t write_event(int key, int marks)
{
	int partition = key % PARTITIONS;
	int64_t offset = world.log.high[partition];

	world.log.user[partition][offset] = (uint8_t)key;
	world.log.marks[partition][offset] = (uint8_t)marks;
	world.log.high[partition] = offset + 1;
	return offset;
}

/* And into the windows, after those before. */
static int64_t put(int key, int marks)
{
	int64_t offset = write_event(key, marks);

	turn(&world, true);
	return offset;
}

/* At the first replica, with the first event of a key: what comes after it has to wait. */
static void come_and_wait(void)
{
	connect_client_to(client, &world.replicas[0]);
	take(client, SIZE_MAX);
	put(KEY, 0);
	take(client, SIZE_MAX);
	assert_int_equal(seen_count, 1);
}

static void pass_interval(void)
{
	client->subscriber->conflation->due_ms = 0;
	take(client, SIZE_MAX);
}

static bool is_seen(size_t i, int key, int64_t offset)
{
	return i < seen_count && seen[i].partition == key % PARTITIONS && seen[i].offset == offset;
}

/* It has ended with this event of the key, and gets nothing whatever comes. */
static void check_ended_with(int key, int64_t offset)
{
	assert_true(seen_count && is_seen(seen_count - 1, key, offset));
	assert_int_equal(client->ends, 1);
	assert_true(client->has_final_id);
	assert_true(subscriber_ended(client->subscriber));
	assert_int_equal(subscriber_close_reason(client->subscriber), CLOSE_END_WHEN);
	put(key, 0);
	tick(&world);
	assert_false(take(client, SIZE_MAX));
}

/* What comes after the last event in the same interval does not supersede it; what came before and
 * was not superseded goes out first. */
static void test_conflation_end_is_not_superseded(void **state)
{
	(void)state;
	for (int row = 0; row < 6; row++) {
		uint64_t before = metrics_sum(METRIC_EVENTS_CONFLATED);
		bool by_key = row % 2;
		enum narrowed narrowed = row / 2;
		int64_t last, other;

		begin(LARGE, narrowed, by_key);
		come_and_wait();
		put(KEY, 0);
		other = put(OTHER, 0);
		last = put(KEY, MARK_END);
		put(OTHER, MARK_END);
		put(KEY, 0);
		put(KEY, MARK_END);
		take(client, SIZE_MAX);
		assert_int_equal(seen_count, 1);
		pass_interval();
		if (by_key && narrowed == BY_NOTHING)
			assert_true(seen_count == 3 && is_seen(1, OTHER, other));
		else
			assert_int_equal(seen_count, 2);
		assert_int_equal(metrics_sum(METRIC_EVENTS_CONFLATED) - before,
				 narrowed == BY_NOTHING && !by_key ? 2 : 1);
		check_ended_with(KEY, last);
		leave();
	}
}

/* The same where the window has lost what waits, or the client was away, and all is read again. Of
 * what is read the end may be older than what another partition has. */
static void test_conflation_end_that_is_read_again_is_the_last(void **state)
{
	(void)state;
	for (int row = 0; row < 12; row++) {
		enum narrowed narrowed = row / 4;
		int64_t last;

		begin(SMALL, narrowed, row % 2);
		come_and_wait();
		if (row & 2)
			disconnect_client(client);
		/* Partitions are read in their order. */
		for (int i = 0; i < 50; i++)
			write_event(KEY - 1, 0);
		last = write_event(KEY, MARK_END);
		for (int i = 0; i < 1000; i++)
			write_event(i % 2 ? KEY : OTHER, i == 600 ? MARK_END : 0);
		turn(&world, true);
		if (row & 2)
			connect_client_to(client, &world.replicas[0]);
		for (int tries = 0; tries < TRIES && !client->ends; tries++) {
			turn(&world, true);
			pass_interval();
			usleep(100);
		}
		assert_int_equal(client->gaps, 0);
		check_ended_with(KEY, last);
		leave();
	}
}

static void wait_until_live(void)
{
	for (int tries = 0; tries < TRIES && client->subscriber->state != SUBSCRIBER_LIVE;
	     tries++) {
		fanout_turn(client->at->fanout);
		take(client, SIZE_MAX);
		usleep(100);
	}
	assert_int_equal(client->subscriber->state, SUBSCRIBER_LIVE);
}

/* One whose position is its own, as it was at a replica that is ahead: its last event's id says
 * what it has of the other, too. */
static void test_conflation_end_has_the_position_of_both_replicas(void **state)
{
	struct replica *ahead = &world.replicas[0], *behind = &world.replicas[1];

	(void)state;
	for (int by_key = 0; by_key < 2; by_key++) {
		struct position position;
		const char *reason;
		unsigned flags;
		int64_t last;

		begin(LARGE, BY_NOTHING, by_key);
		come_and_wait();
		write_event(OTHER, 0);
		ingest(&world, ahead, OTHER, 1);
		feeds_on_flush(ahead->feeds);
		fanout_turn(ahead->fanout);
		pass_interval();
		assert_true(is_seen(1, OTHER, 0));
		disconnect_client(client);
		connect_client_to(client, behind);
		wait_until_live();
		write_event(KEY, 0);
		last = write_event(KEY, MARK_END);
		write_event(KEY, 0);
		ingest(&world, behind, KEY, 2);
		feeds_on_flush(behind->feeds);
		fanout_turn(behind->fanout);
		pass_interval();
		assert_int_equal(seen_count, 3);
		assert_int_equal(event_id_decode(slice_of(client->last_event_id),
						 client->subscriber->at->feed->hash, &flags,
						 &position, &reason),
				 0);
		assert_int_equal(position_get(&position, 0, OTHER), 1);
		assert_int_equal(position_get(&position, 0, KEY), last + 1);
		position_fini(&position);
		check_ended_with(KEY, last);
		leave();
	}
}

/* Many keys, more than wait for one client at a time. */
enum { MANY_KEYS = 2 * CONFLATION_MAX_DUE + 100 };

static void send_key(int64_t offset, int key, bool ends)
{
	char name[16], value[64];
	const struct record record = {
	    .topic = SLICE_LIT("t"),
	    .offset = offset,
	    .timestamp_ms = offset,
	    .has_key = true,
	    .has_value = true,
	    .key = {name, (size_t)snprintf(name, sizeof(name), "%d", key)},
	    .value = {value, (size_t)snprintf(value, sizeof(value), "{\"p\":0,\"o\":%lld%s}",
					      (long long)offset, ends ? ",\"e\":1" : "")},
	};

	feeds_on_record(client->at->feeds, client->at->token, &record);
}

static void send_keys(int64_t first, int64_t last)
{
	for (int64_t offset = first; offset <= last; offset++)
		send_key(offset, (int)(offset % MANY_KEYS), offset == last);
	/* It comes after the end, and is of all keys. */
	for (int64_t offset = last + 1; offset <= last + MANY_KEYS; offset++)
		send_key(offset, (int)(offset % MANY_KEYS), offset % 2);
	feeds_on_flush(client->at->feeds);
	fanout_turn(client->at->fanout);
}

/* More keys are due than wait for a client at a time: all go out, slowly too, and the last event
 * after them. What comes meanwhile supersedes nothing. */
static void test_conflation_end_comes_after_all_that_is_due(void **state)
{
	static const int64_t ends_at[] = {100, CONFLATION_MAX_DUE, CONFLATION_MAX_DUE + 1,
					  MANY_KEYS, MANY_KEYS + 3000};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(ends_at) / sizeof(ends_at[0]); i++) {
		int64_t last = ends_at[i / 2], first = last > MANY_KEYS ? last - MANY_KEYS : 0;

		begin(256 << 20, BY_NOTHING, true);
		connect_client_to(client, &world.replicas[0]);
		take(client, SIZE_MAX);
		send_key(0, 0, false);
		feeds_on_flush(client->at->feeds);
		fanout_turn(client->at->fanout);
		take(client, SIZE_MAX);
		send_keys(1, last);
		client->subscriber->conflation->due_ms = 0;
		for (int tries = 0; tries < TRIES && !client->ends; tries++) {
			take(client, i % 2 ? SIZE_MAX : 20000);
			if (tries == 3)
				send_keys(last + MANY_KEYS + 1, last + MANY_KEYS + 10);
		}
		assert_int_equal(client->ends, 1);
		assert_true(subscriber_ended(client->subscriber));
		assert_int_equal(seen[seen_count - 1].offset, last);
		/* The first came at once. */
		assert_int_equal(seen_count, 1 + (first ? MANY_KEYS : last));
		for (size_t n = 1; n < seen_count; n++)
			assert_int_equal(seen[n].offset, first + (int64_t)n);
		leave();
	}
}

/* The last event may be among all that waits, which the window is about to lose: what is due goes
 * out before its time, and nothing is read again. */
static void test_conflation_end_endangered_goes_out_early(void **state)
{
	const struct window *window;

	(void)state;
	begin(64 << 10, BY_NOTHING, false);
	come_and_wait();
	window = client->subscriber->at->feed->window;
	while (!window_tail(window) || client->subscriber->cursor - window_tail(window) >
					   (client->subscriber->until - window_tail(window)) / 4) {
		if (!window_tail(window))
			pass_interval();
		put(KEY, 0);
	}
	seen_count = 0;
	client->at->fanout->now_ms += 500;
	conflation_tick(client->at->fanout);
	take(client, SIZE_MAX);
	assert_int_equal(seen_count, 1);
	assert_int_equal(client->subscriber->state, SUBSCRIBER_LIVE);
	leave();
}

/* The window loses what is due, with the end in it, while the client takes it: it is read again. */
static void test_conflation_end_that_is_due_and_dropped_comes(void **state)
{
	enum { SOME_KEYS = 2000 };
	const struct window *window;

	(void)state;
	begin(512 << 10, BY_NOTHING, true);
	connect_client_to(client, &world.replicas[0]);
	take(client, SIZE_MAX);
	for (int i = 0; i <= SOME_KEYS; i++) {
		send_key(i, i, i == SOME_KEYS);
		write_event(0, i == SOME_KEYS ? MARK_END : 0);
	}
	client->at->next[0] = world.log.high[0];
	feeds_on_flush(client->at->feeds);
	fanout_turn(client->at->fanout);
	take(client, 100);
	assert_non_null(client->subscriber->conflation->due);
	window = client->subscriber->at->feed->window;
	while (window_tail(window) <= SOME_KEYS)
		put(OTHER, 0);
	for (int tries = 0; tries < TRIES && !client->ends; tries++) {
		turn(&world, true);
		pass_interval();
		usleep(100);
	}
	assert_int_equal(client->gaps, 0);
	check_ended_with(0, SOME_KEYS);
	leave();
}

/* Checks that change while an event waits decide whether it is the last one. */
static void test_conflation_end_is_what_the_checks_of_then_let_pass(void **state)
{
	(void)state;
	for (int by_key = 0; by_key < 2; by_key++) {
		int64_t other;

		begin(LARGE, BY_CHECKS, by_key);
		come_and_wait();
		put(KEY, MARK_END);
		other = put(KEY, 0);
		subscriber_set_checks(client->subscriber, unmarked);
		pass_interval();
		assert_int_equal(client->ends, 0);
		assert_true(seen_count == 2 && is_seen(1, KEY, other));
		put(KEY, MARK_END);
		subscriber_set_checks(client->subscriber, NULL);
		pass_interval();
		assert_int_equal(client->ends, 0);
		put(KEY, 0);
		other = put(OTHER, MARK_END);
		put(KEY, 0);
		pass_interval();
		check_ended_with(OTHER, other);
		leave();
	}
}

/* Where the last event is handed to the client already, it is the last, whatever the checks of
 * later say. */
static void test_conflation_end_that_is_handed_over_is_the_end(void **state)
{
	(void)state;
	for (int by_key = 0; by_key < 2; by_key++) {
		int64_t last;

		begin(LARGE, BY_NOTHING, by_key);
		come_and_wait();
		last = put(KEY, MARK_END);
		put(KEY, 0);
		client->subscriber->conflation->due_ms = 0;
		take(client, 1);
		subscriber_set_checks(client->subscriber, unmarked);
		fanout_drain(client->at->fanout);
		take(client, SIZE_MAX);
		check_ended_with(KEY, last);
		leave();
	}
}

/* The newest of each key that was there, or the newest alone, and nothing that came later. */
static void check_backlog(const int64_t there[PARTITIONS], bool by_key)
{
	size_t keys = 0;

	for (size_t i = 0; i < seen_count; i++)
		assert_true(seen[i].offset < there[seen[i].partition]);
	for (int key = 0; key < USERS; key++) {
		int partition = key % PARTITIONS;
		int64_t offset = there[partition] - 1;
		bool found = false;

		if (client->user >= 0 && key != client->user)
			continue;
		while (offset >= 0 && world.log.user[partition][offset] != key)
			offset--;
		for (size_t i = 0; i < seen_count; i++)
			found = found || is_seen(i, key, offset);
		keys += found;
		assert_true(found || !(by_key || client->user >= 0));
	}
	assert_true(keys > 0);
}

/* What there is comes conflated and without a wait, from the window, the log or where the client
 * left off, however slow the client and busy the topic, and however little is looked at in one go;
 * then the end. */
static void test_conflation_bounded_has_the_newest_and_ends_at_once(void **state)
{
	(void)state;
	for (int row = 0; row < 48; row++) {
		bool by_key = row & 1, comes_back = row & 2;
		int64_t there[PARTITIONS];

		world_look_bytes = row < 24 ? FANOUT_LOOK_BYTES : 1 << 10;
		begin(row & 4 ? SMALL : LARGE, row % 24 / 8, by_key);
		client->end_when = NULL;
		world.stream.start = STREAM_START_EARLIEST;
		if (comes_back)
			come_and_wait();
		disconnect_client(client);
		for (int i = 0; i < 2000; i++)
			write_event(i * 3 % USERS, 0);
		turn(&world, true);
		for (int p = 0; p < PARTITIONS; p++)
			there[p] = world.log.high[p];
		client->is_bounded = true;
		connect_client_to(client, &world.replicas[0]);
		for (int tries = 0; tries < TRIES && !client->ends; tries++) {
			put(KEY, 0);
			take(client, 100);
			usleep(50);
		}
		assert_int_equal(client->ends, 1);
		assert_true(subscriber_ended(client->subscriber));
		assert_int_equal(subscriber_close_reason(client->subscriber), CLOSE_BACKLOG);
		assert_true(seen_count < 200);
		check_backlog(there, by_key);
		leave();
	}
	world_look_bytes = FANOUT_LOOK_BYTES;
}

/* Nor does it wait where its checks change while it takes what is due. */
static void test_conflation_bounded_waits_for_nothing_whatever_its_checks(void **state)
{
	enum { SOME_KEYS = 2000 };

	(void)state;
	begin(LARGE, BY_NOTHING, true);
	client->end_when = NULL;
	client->is_bounded = true;
	world.stream.start = STREAM_START_EARLIEST;
	client->at = &world.replicas[0];
	for (int i = 0; i <= SOME_KEYS; i++)
		send_key(i, i, i % 2);
	feeds_on_flush(client->at->feeds);
	fanout_turn(client->at->fanout);
	connect_client_to(client, client->at);
	while (!client->subscriber->conflation->due)
		take(client, 100);
	subscriber_set_checks(client->subscriber, unmarked);
	take(client, SIZE_MAX);
	assert_int_equal(client->ends, 1);
	assert_int_equal(seen[seen_count - 1].offset, SOME_KEYS);
	assert_true(seen_count > SOME_KEYS / 2 && seen_count < SOME_KEYS);
	leave();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_conflation_end_is_not_superseded),
	    cmocka_unit_test(test_conflation_end_that_is_read_again_is_the_last),
	    cmocka_unit_test(test_conflation_end_has_the_position_of_both_replicas),
	    cmocka_unit_test(test_conflation_end_comes_after_all_that_is_due),
	    cmocka_unit_test(test_conflation_end_endangered_goes_out_early),
	    cmocka_unit_test(test_conflation_end_that_is_due_and_dropped_comes),
	    cmocka_unit_test(test_conflation_end_is_what_the_checks_of_then_let_pass),
	    cmocka_unit_test(test_conflation_end_that_is_handed_over_is_the_end),
	    cmocka_unit_test(test_conflation_bounded_has_the_newest_and_ends_at_once),
	    cmocka_unit_test(test_conflation_bounded_waits_for_nothing_whatever_its_checks),
	};

	return cmocka_run_group_tests(tests, make_patterns, free_patterns);
}
