/* What a subscriber is told beside its events, and when it ends by itself: tests on the world of
 * world.h, with a clock of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "feed/subscriber_priv.h"
#include "world.h"

#define UNIX_MS  INT64_C(1769851800000)
#define TIME     "2026-01-31T09:30:00.000Z"
#define AN_EVENT "{\"id\": \"/value/o\"}"

enum { MAX_AGE_MS = 100000, IDLE_MS = 50000, CROWD = 200, SPREAD_MS = 5000 };

/* The clock, in place of base/clock.c: it stands unless a test moves it. */
static _Atomic uint64_t now_ms;

uint64_t clock_monotonic_ms(void)
{
	return now_ms;
}

uint64_t clock_monotonic_us(void)
{
	return now_ms * 1000;
}

int64_t clock_unix_ms(void)
{
	return UNIX_MS + (int64_t)now_ms;
}

void clock_format_rfc3339(int64_t unix_ms, char text[25])
{
	(void)unix_ms;
	strcpy(text, TIME);
}

static struct world world;
static struct client client;

static int set_up(void **state)
{
	(void)state;
	now_ms = 10000000;
	return 0;
}

static void begin(uint64_t window_bytes, bool filtered)
{
	open_world(&world, window_bytes, filtered);
	world.settings.spread_ms = SPREAD_MS;
	init_client(&client, &world, filtered ? 3 : -1);
}

/* Time passes, and each is visited at least once. */
static void pass(uint64_t ms)
{
	now_ms += ms;
	for (int i = 0; i < 20; i++)
		tick(&world);
}

static void produce_many(int count)
{
	while (count--)
		produce(&world);
}

/* All that there is to read now, as text. */
static const char *read_text(struct subscriber *subscriber, struct buffer *text)
{
	struct slice bytes;

	buffer_clear(text);
	while ((bytes = subscriber_peek(subscriber, SIZE_MAX)).len) {
		buffer_append_slice(text, bytes);
		subscriber_consume(subscriber, bytes.len);
	}
	return buffer_text(text);
}

/* A subscriber that takes everything, of a token that expires, at the first replica. */
static struct subscriber *subscribe(int64_t expires_unix_ms)
{
	struct route_keys keys = {0};
	struct feed *feed;

	assert_int_equal(feeds_open(world.replicas[0].feeds, &world.stream, NULL, &feed), 0);
	return subscriber_new(world.replicas[0].fanout, feed, &keys, &(struct subscriber_start){0},
			      expires_unix_ms, &client.carrier);
}

static void stop_reading_kafka(bool stop)
{
	world.log.down = stop;
}

/* Until the replay has failed and is idle. */
static void wait_for_failure(void)
{
	for (int tries = 0; tries < 20000 && !client.at->fanout->retry; tries++) {
		turn(&world, true);
		take(&client, SIZE_MAX);
		usleep(500);
	}
	assert_non_null(client.at->fanout->retry);
	assert_true(subscriber_is_idle(client.subscriber));
	assert_int_equal(client.subscriber->state, SUBSCRIBER_REPLAYING);
}

static void ignore(struct client *of, int partition, int64_t offset)
{
	(void)of;
	(void)partition;
	(void)offset;
}

/* However a subscriber begins, it has its welcome once, right after `connected` (check_frame() of
 * the world looks at the order and at the id). */
static void test_subscriber_begun_anyhow_has_its_welcome_once(void **state)
{
	static const struct {
		enum stream_start start;
		bool comes_back;
		uint64_t window_bytes;
	} rows[] = {
	    {STREAM_START_LATEST, false, 1 << 20},    {STREAM_START_LATEST, true, 1 << 20},
	    {STREAM_START_LATEST, true, 16 << 10},    {STREAM_START_EARLIEST, false, 1 << 20},
	    {STREAM_START_EARLIEST, false, 16 << 10}, {STREAM_START_LAST, false, 1 << 20},
	    {STREAM_START_LAST, false, 16 << 10},     {STREAM_START_CURRENT, false, 1 << 20},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(rows[i].window_bytes, false);
		world.stream.start = rows[i].start;
		world.stream.start_last = 500;
		client.judge = ignore;
		if (rows[i].comes_back) {
			connect_client(&client);
			take(&client, SIZE_MAX);
			disconnect_client(&client);
			client.connected = 0;
		}
		produce_many(3000);
		turn(&world, true);
		connect_client(&client);
		for (int tries = 0; tries < 20000; tries++) {
			turn(&world, true);
			take(&client, SIZE_MAX);
			if (client.subscriber->state == SUBSCRIBER_LIVE &&
			    subscriber_is_idle(client.subscriber))
				break;
			usleep(200);
		}
		assert_int_equal(client.connected, 1);
		assert_false(client.awaits_welcome);
		assert_null(client.subscriber->welcome);
		end_alone(&world, &client);
	}
}

/* Kafka is away where a replay is to say where the stream begins: the welcome waits with it. */
static void test_subscriber_welcome_waits_for_its_place(void **state)
{
	(void)state;
	begin(16 << 10, false);
	world.stream.start = STREAM_START_EARLIEST;
	produce_many(3000);
	turn(&world, true);
	memset(client.next, 0, sizeof(client.next));
	stop_reading_kafka(true);
	connect_client(&client);
	wait_for_failure();
	assert_true(client.awaits_welcome);
	stop_reading_kafka(false);
	wait_for(&client, &client.connected);
	drain(&client, 1);
	assert_int_equal(client.connected, 1);
	assert_false(client.awaits_welcome);
	end_alone(&world, &client);
}

/* A heartbeat is the id alone, or beside it a comment or an event with the server and the time. */
static void test_subscriber_heartbeat_is_of_the_streams_kind(void **state)
{
	static const struct {
		enum stream_heartbeat as;
		const char *after_id;
	} rows[] = {
	    {STREAM_HEARTBEAT_ID, "\n"},
	    {STREAM_HEARTBEAT_COMMENT, ": gw-1 " TIME "\n\n"},
	    {STREAM_HEARTBEAT_EVENT, "event: heartbeat\ndata: {\"server_id\":\"gw-1\",\"time\":"
				     "\"" TIME "\"}\n\n"},
	};
	struct buffer text = {0};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		const char *after_id = rows[i / 2].after_id, *came;
		struct subscriber *subscriber;
		struct slice id;

		begin(1 << 20, false);
		/* With ids of the events' own, too. */
		if (i % 2)
			set_mapping(&world, AN_EVENT);
		world.stream.heartbeat_as = rows[i / 2].as;
		world.stream.heartbeat_ms = 1000;
		subscriber = subscribe(INT64_MAX);
		read_text(subscriber, &text);
		pass(1000);
		came = read_text(subscriber, &text);
		id = frame_id(buffer_slice(&text));
		assert_true(id.len > 0);
		assert_true(slice_equal(id, fanout_feed_id(subscriber->at)));
		assert_string_equal(came + strlen("id: ") + id.len + 1, after_id);
		subscriber_free(subscriber, CLOSE_CLIENT);
		close_world(&world);
	}
	buffer_free(&text);
}

/* Where it is not known yet where a subscriber stands, its heartbeat has no id. */
static void test_subscriber_heartbeat_without_a_place_has_no_id(void **state)
{
	static const char *const heartbeats[] = {
	    ":\n\n",
	    ": gw-1 " TIME "\n\n",
	    "event: heartbeat\ndata: {\"server_id\":\"gw-1\",\"time\":\"" TIME "\"}\n\n",
	};
	static const enum stream_start starts[] = {STREAM_START_EARLIEST, STREAM_START_CURRENT};
	struct buffer text = {0};

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		begin(16 << 10, false);
		world.stream.start = starts[i % 2];
		world.stream.heartbeat_as = (enum stream_heartbeat)(i / 2);
		produce_many(3000);
		turn(&world, true);
		stop_reading_kafka(true);
		connect_client(&client);
		wait_for_failure();
		world.stream.heartbeat_ms = 1000;
		pass(1000);
		assert_string_equal(read_text(client.subscriber, &text), heartbeats[i / 2]);
		end_alone(&world, &client);
	}
	buffer_free(&text);
}

/* Of a stream with ids of its events' own a heartbeat's id is the gateway's: who comes back with it
 * goes on exactly there. */
static void test_subscriber_heartbeat_of_own_ids_resumes_exactly(void **state)
{
	(void)state;
	begin(1 << 20, true);
	set_mapping(&world, AN_EVENT);
	world.stream.heartbeat_ms = 1000;
	connect_client(&client);
	produce_many(200);
	turn(&world, true);
	take(&client, SIZE_MAX);
	assert_true(client.received > 0);
	assert_true(strlen(client.last_event_id) < 5);
	pass(1000);
	take(&client, SIZE_MAX);
	assert_int_equal(client.heartbeats, 1);
	for (int i = 0; i < 2; i++) {
		uint64_t received = client.received;

		disconnect_client(&client);
		produce_many(i ? 3000 : 200);
		turn(&world, true);
		connect_client(&client);
		drain(&client, 1);
		assert_true(client.received > received);
		take(&client, SIZE_MAX);
		pass(1000);
		take(&client, SIZE_MAX);
	}
	assert_int_equal(client.gaps, 0);
	end_alone(&world, &client);
}

/* A log that is shorter than what is asked for can't be read, and its bounds can't be asked. */
static void break_kafka(bool broken)
{
	if (broken)
		stop_reading_kafka(true);
	for (int p = 0; p < PARTITIONS; p++)
		world.log.low[p] = broken ? MAX_EVENTS : 0;
	if (!broken)
		stop_reading_kafka(false);
}

/* Kafka goes away inside a replay: heartbeats have the id of what was read, matching or not, and
 * who comes back with it gets the rest. */
static void test_subscriber_heartbeat_inside_a_replay_resumes_exactly(void **state)
{
	struct buffer id = {0};

	(void)state;
	begin(16 << 10, true);
	world.stream.heartbeat_ms = 1000;
	connect_client(&client);
	take(&client, SIZE_MAX);
	disconnect_client(&client);
	produce_many(9000);
	turn(&world, true);
	connect_client(&client);
	wait_for(&client, &client.received);
	assert_false(has_all(&client));
	break_kafka(true);
	wait_for_failure();
	client.heartbeats = 0;
	client.has_new_id = false;
	pass(1000);
	take(&client, SIZE_MAX);
	assert_true(client.heartbeats > 0 && client.has_new_id);
	assert_true(subscriber_position(client.subscriber, &id));
	assert_string_equal(client.last_event_id, buffer_text(&id));
	break_kafka(false);
	disconnect_client(&client);
	connect_client(&client);
	drain(&client, 1);
	assert_int_equal(client.gaps, 0);
	buffer_free(&id);
	end_alone(&world, &client);
}

static void check_timeout(struct subscriber *subscriber, const char *reason,
			  enum close_reason close_reason)
{
	struct buffer text = {0};
	const char *came = read_text(subscriber, &text), *retry, *event;
	char data[64];

	snprintf(data, sizeof(data), "\ndata: {\"reason\":\"%s\"}\n\n", reason);
	event = strstr(came, "event: timeout\nretry: ");
	assert_non_null(event);
	retry = event + strlen("event: timeout\nretry: ");
	assert_in_range(atoi(retry), 1, SPREAD_MS + 1);
	assert_string_equal(retry + strspn(retry, "0123456789"), data);
	assert_true(subscriber_ended(subscriber));
	assert_int_equal(subscriber->reason, close_reason);
	buffer_free(&text);
}

/* A crowd that came together ends within a tenth of max_age, one after the other, and is told to
 * come back at different times. */
static void test_subscriber_of_its_max_age_ends(void **state)
{
	static struct subscriber *crowd[CROWD];
	struct buffer text = {0};
	size_t ended = 0, steps = 0;

	(void)state;
	begin(1 << 20, false);
	world.stream.max_age_ms = MAX_AGE_MS;
	for (int i = 0; i < CROWD; i++) {
		crowd[i] = subscribe(INT64_MAX);
		read_text(crowd[i], &text);
	}
	pass(MAX_AGE_MS - MAX_AGE_MS / 10 - 1);
	for (int i = 0; i < CROWD; i++)
		assert_int_not_equal(crowd[i]->state, SUBSCRIBER_ENDED);
	for (; ended < CROWD; steps++) {
		size_t before = ended;

		assert_true(steps <= 10);
		pass(MAX_AGE_MS / 100 + 1);
		ended = 0;
		for (int i = 0; i < CROWD; i++)
			ended += crowd[i]->state == SUBSCRIBER_ENDED;
		/* Of 200 within a tenth of it, a tenth of them; three times as many is never. */
		assert_true(ended - before < 3 * CROWD / 10);
	}
	for (int i = 0; i < CROWD; i++) {
		check_timeout(crowd[i], "max_age", CLOSE_MAX_AGE);
		subscriber_free(crowd[i], CLOSE_CLIENT);
	}
	buffer_free(&text);
	close_world(&world);
}

/* Without max_age, and without idle_timeout, a stream lives on. */
static void test_subscriber_without_limits_lives_on(void **state)
{
	struct subscriber *subscriber;
	struct buffer text = {0};

	(void)state;
	begin(1 << 20, false);
	subscriber = subscribe(INT64_MAX);
	read_text(subscriber, &text);
	pass(UINT64_C(400) * 86400000);
	read_text(subscriber, &text);
	assert_int_equal(subscriber->state, SUBSCRIBER_LIVE);
	subscriber_free(subscriber, CLOSE_CLIENT);
	buffer_free(&text);
	close_world(&world);
}

/* One without events for so long ends; an event begins the time anew, a heartbeat does not. */
static void test_subscriber_idle_for_its_time_ends(void **state)
{
	struct subscriber *subscriber;
	struct buffer text = {0};

	(void)state;
	begin(1 << 20, false);
	world.stream.idle_timeout_ms = IDLE_MS;
	world.stream.heartbeat_ms = 1000;
	subscriber = subscribe(INT64_MAX);
	read_text(subscriber, &text);
	pass(IDLE_MS - 1);
	assert_true(frame_id((struct slice){read_text(subscriber, &text), text.len}).len > 0);
	produce(&world);
	turn(&world, true);
	read_text(subscriber, &text);
	pass(IDLE_MS - 1);
	read_text(subscriber, &text);
	assert_int_equal(subscriber->state, SUBSCRIBER_LIVE);
	pass(1);
	check_timeout(subscriber, "idle", CLOSE_IDLE);
	subscriber_free(subscriber, CLOSE_CLIENT);
	buffer_free(&text);
	close_world(&world);
}

/* What waits for a client to read it is no silence: the client may be slow. */
static void test_subscriber_with_something_to_read_is_not_idle(void **state)
{
	struct subscriber *subscriber;
	struct buffer text = {0};

	(void)state;
	begin(1 << 20, false);
	world.stream.idle_timeout_ms = IDLE_MS;
	subscriber = subscribe(INT64_MAX);
	read_text(subscriber, &text);
	produce(&world);
	turn(&world, true);
	pass(2 * IDLE_MS);
	assert_int_equal(subscriber->state, SUBSCRIBER_LIVE);
	assert_non_null(strstr(read_text(subscriber, &text), "data: {\"p\""));
	pass(IDLE_MS);
	check_timeout(subscriber, "idle", CLOSE_IDLE);
	subscriber_free(subscriber, CLOSE_CLIENT);
	buffer_free(&text);
	close_world(&world);
}

/* Nor is what waits for the end of its interval. */
static void test_subscriber_with_an_event_that_waits_is_not_idle(void **state)
{
	(void)state;
	begin(1 << 20, false);
	world.stream.idle_timeout_ms = IDLE_MS;
	client.interval_ms = 3 * IDLE_MS;
	connect_client_to(&client, &world.replicas[0]);
	for (int i = 0; i < 2; i++) {
		take(&client, SIZE_MAX);
		produce(&world);
		turn(&world, true);
	}
	take(&client, SIZE_MAX);
	assert_int_equal(client.received, 1);
	pass(2 * IDLE_MS);
	take(&client, SIZE_MAX);
	assert_int_equal(client.timeouts, 0);
	pass(2 * IDLE_MS);
	take(&client, SIZE_MAX);
	assert_int_equal(client.received, 2);
	pass(IDLE_MS);
	check_timeout(client.subscriber, "idle", CLOSE_IDLE);
	end_alone(&world, &client);
}

/* One whose replay can't be read counts from its start. */
static void test_subscriber_idle_in_a_replay_ends(void **state)
{
	(void)state;
	begin(16 << 10, false);
	world.stream.start = STREAM_START_EARLIEST;
	world.stream.idle_timeout_ms = IDLE_MS;
	produce_many(3000);
	turn(&world, true);
	stop_reading_kafka(true);
	connect_client(&client);
	wait_for_failure();
	pass(IDLE_MS - 1);
	assert_int_equal(client.subscriber->state, SUBSCRIBER_REPLAYING);
	pass(1);
	check_timeout(client.subscriber, "idle", CLOSE_IDLE);
	stop_reading_kafka(false);
	end_alone(&world, &client);
}

/* So does one whose feed is not ready. */
static void test_subscriber_idle_before_its_feed_is_ready_ends(void **state)
{
	struct subscriber *subscriber;
	struct feed *feed;

	(void)state;
	begin(1 << 20, false);
	assert_int_equal(feeds_open(world.replicas[0].feeds, &world.stream, NULL, &feed), 0);
	atomic_store(&feed->ready, false);
	feeds_close(world.replicas[0].feeds, feed);
	world.stream.idle_timeout_ms = IDLE_MS;
	subscriber = subscribe(INT64_MAX);
	pass(IDLE_MS - 1);
	assert_int_equal(subscriber->state, SUBSCRIBER_WAITING);
	pass(1);
	check_timeout(subscriber, "idle", CLOSE_IDLE);
	subscriber_free(subscriber, CLOSE_CLIENT);
	close_world(&world);
}

/* The end's id covers what was not for the subscriber: who comes back reads on from there. */
static void test_subscriber_timed_out_comes_back_exactly(void **state)
{
	struct buffer id = {0};

	(void)state;
	begin(1 << 20, true);
	world.stream.idle_timeout_ms = IDLE_MS;
	connect_client(&client);
	take(&client, SIZE_MAX);
	for (int round = 0; round < 20; round++) {
		uint64_t timeouts = client.timeouts;

		produce_many(20);
		turn(&world, true);
		take(&client, SIZE_MAX);
		pass(IDLE_MS);
		buffer_clear(&id);
		buffer_append_slice(&id, fanout_feed_id(client.subscriber->at));
		/* Comes after the end. */
		produce_many(20);
		turn(&world, true);
		take(&client, SIZE_MAX);
		assert_int_equal(client.timeouts, timeouts + 1);
		assert_string_equal(client.last_event_id, buffer_text(&id));
		assert_true(subscriber_ended(client.subscriber));
		disconnect_client(&client);
		connect_client(&client);
		take(&client, SIZE_MAX);
	}
	drain(&client, 1);
	assert_int_equal(client.gaps, 0);
	buffer_free(&id);
	end_alone(&world, &client);
}

/* A token's end comes first, and is told by name. */
static void test_subscriber_of_an_expired_token_ends(void **state)
{
	struct subscriber *subscriber;
	struct buffer text = {0};

	(void)state;
	begin(1 << 20, false);
	world.stream.max_age_ms = 1000;
	world.stream.idle_timeout_ms = 1000;
	subscriber = subscribe(clock_unix_ms() + 900);
	read_text(subscriber, &text);
	pass(899);
	assert_int_equal(subscriber->state, SUBSCRIBER_LIVE);
	pass(200);
	check_timeout(subscriber, "token_expired", CLOSE_EXPIRED);
	subscriber_free(subscriber, CLOSE_CLIENT);
	buffer_free(&text);
	close_world(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_subscriber_begun_anyhow_has_its_welcome_once, set_up),
	    cmocka_unit_test_setup(test_subscriber_welcome_waits_for_its_place, set_up),
	    cmocka_unit_test_setup(test_subscriber_heartbeat_is_of_the_streams_kind, set_up),
	    cmocka_unit_test_setup(test_subscriber_heartbeat_without_a_place_has_no_id, set_up),
	    cmocka_unit_test_setup(test_subscriber_heartbeat_of_own_ids_resumes_exactly, set_up),
	    cmocka_unit_test_setup(test_subscriber_heartbeat_inside_a_replay_resumes_exactly,
				   set_up),
	    cmocka_unit_test_setup(test_subscriber_of_its_max_age_ends, set_up),
	    cmocka_unit_test_setup(test_subscriber_without_limits_lives_on, set_up),
	    cmocka_unit_test_setup(test_subscriber_idle_for_its_time_ends, set_up),
	    cmocka_unit_test_setup(test_subscriber_with_something_to_read_is_not_idle, set_up),
	    cmocka_unit_test_setup(test_subscriber_with_an_event_that_waits_is_not_idle, set_up),
	    cmocka_unit_test_setup(test_subscriber_idle_in_a_replay_ends, set_up),
	    cmocka_unit_test_setup(test_subscriber_idle_before_its_feed_is_ready_ends, set_up),
	    cmocka_unit_test_setup(test_subscriber_timed_out_comes_back_exactly, set_up),
	    cmocka_unit_test_setup(test_subscriber_of_an_expired_token_ends, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
