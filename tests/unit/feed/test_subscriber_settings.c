/* Subscribers of streams with settings drawn at random, on the world of world.h: what is promised
 * whatever they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feed/checks.h"
#include "feed/subscriber_priv.h"
#include "world.h"

enum { LONG_MS = 1000000, CLIENTS = 5, KEYS = USERS, ROUNDS = 100, STEPS = 300, TRIES = 20000 };

enum narrowed { BY_NOTHING, BY_KEY, BY_CHECKS };

/* A round's. */
static struct settings {
	enum narrowed narrowed;
	uint64_t window_bytes;
	uint32_t look_bytes;
	bool conflated, by_key, ends, skips_tombstones, skips_large, tracked;
	int bounded, lasting; /* one client in so many; 0: none */
	enum stream_heartbeat beats;
} settings;

/* One that knows what it may get, and how far it has got. */
struct watcher {
	struct client client;     /* first */
	unsigned keys;            /* that are for it */
	enum stream_start begins; /* where it has no id yet */
	bool placed;              /* it is known where it began: */
	bool is_done;             /* it has a final id */
	int64_t start[PARTITIONS];
	int64_t reached[PARTITIONS]; /* by the last id */
	int64_t asked[PARTITIONS];   /* the same when it came */
	int64_t there[PARTITIONS];   /* what its replica had then */
	int64_t last[KEYS];
};

static struct world world;
static struct watcher watchers[CLIENTS];
static struct checks *end_when, *checks[KEYS];
static uint64_t ended_by[CLOSE_REASON_COUNT], states;

static unsigned draw(unsigned below)
{
	return (unsigned)rand_r(&world.seed) % below;
}

static bool is_tombstone(int partition, int64_t offset)
{
	return world.log.user[partition][offset] & TOMBSTONE;
}

static int key_of(int partition, int64_t offset)
{
	return world.log.user[partition][offset] & ~TOMBSTONE;
}

static bool is_large(int partition, int64_t offset)
{
	return !is_tombstone(partition, offset) && world.log.marks[partition][offset] & MARK_LARGE;
}

static bool is_for(const struct watcher *watcher, int partition, int64_t offset)
{
	return watcher->keys >> key_of(partition, offset) & 1 &&
	       !(settings.skips_tombstones && is_tombstone(partition, offset)) &&
	       !(settings.skips_large && is_large(partition, offset));
}

/* What is too large or has no value has not what the pattern looks for. */
static bool ends(const struct watcher *watcher, int partition, int64_t offset)
{
	return settings.ends && is_for(watcher, partition, offset) &&
	       world.log.marks[partition][offset] & MARK_END && !is_tombstone(partition, offset) &&
	       !is_large(partition, offset);
}

/* An event is the subscriber's, comes once, and in its partition's order; where every event comes,
 * without a hole. */
static void judge(struct client *client, int partition, int64_t offset)
{
	struct watcher *watcher = (struct watcher *)client;

	assert_true(is_for(watcher, partition, offset));
	assert_false(watcher->is_done);
	/* A state is in the order of time, but for what ends the stream. */
	assert_true(!watcher->placed || offset >= client->next[partition]);
	assert_true(offset > watcher->last[key_of(partition, offset)]);
	for (int64_t o = client->next[partition]; o < offset && !settings.conflated; o++)
		assert_false(watcher->placed && is_for(watcher, partition, o));
	client->next[partition] = offset + 1;
	watcher->last[key_of(partition, offset)] = offset;
	client->received++;
}

static int64_t newest_before(const struct watcher *watcher, int key, int64_t end)
{
	int partition = key % PARTITIONS;

	for (int64_t o = end - 1; o >= 0; o--)
		if (key_of(partition, o) == key && is_for(watcher, partition, o))
			return o;
	return -1;
}

/* Before an id nothing is left to be sent: where every event comes, none; else none that nothing
 * later supersedes. */
static void check_nothing_is_left(const struct watcher *watcher, const int64_t at[PARTITIONS])
{
	const struct client *client = &watcher->client;
	bool has_newest = settings.by_key || settings.narrowed != BY_NOTHING;

	for (int p = 0; p < PARTITIONS && !settings.conflated; p++)
		for (int64_t o = client->next[p]; o < at[p]; o++)
			assert_false(is_for(watcher, p, o));
	for (int key = 0; key < KEYS && settings.conflated && has_newest; key++) {
		int p = key % PARTITIONS;
		int64_t newest = newest_before(watcher, key, world.log.high[p]);

		if (newest >= watcher->start[p] && newest < at[p])
			assert_int_equal(watcher->last[key], newest);
	}
}

/* A stream ends with the first event that ends it: an id is past one of them only where that is the
 * last one, and says so. */
static bool is_past_end(const struct watcher *watcher, const int64_t at[PARTITIONS])
{
	int count = 0;

	for (int p = 0; p < PARTITIONS; p++)
		for (int64_t o = watcher->start[p]; o < at[p]; o++)
			count += ends(watcher, p, o);
	assert_true(count <= 1);
	return count;
}

/* The state is of its id: of each key the newest, where that is no tombstone. One that ends the
 * stream is in it. True: there is one. */
static bool check_state(const struct watcher *watcher, const int64_t at[PARTITIONS])
{
	bool has_end = false;

	states++;
	for (int key = 0; key < KEYS; key++) {
		int p = key % PARTITIONS;
		int64_t newest = at[p] - 1;

		if (!(watcher->keys >> key & 1))
			continue;
		while (newest >= 0 &&
		       (key_of(p, newest) != key || (settings.skips_large && is_large(p, newest))))
			newest--;
		if (newest >= 0 && is_tombstone(p, newest))
			newest = -1;
		assert_int_equal(watcher->last[key], newest);
		has_end = has_end || (newest >= 0 && ends(watcher, p, newest));
	}
	return has_end;
}

static void decode(const struct watcher *watcher, struct slice id, int64_t at[PARTITIONS])
{
	struct position position;
	const char *reason;
	unsigned flags;

	assert_int_equal(event_id_decode(id, watcher->client.subscriber->at->feed->hash, &flags,
					 &position, &reason),
			 0);
	for (int p = 0; p < PARTITIONS; p++)
		at[p] = position_get(&position, 0, (uint32_t)p);
	position_fini(&position);
}

/* It has what there was when it came, and what it had before. */
static void check_backlog(const struct watcher *watcher, const int64_t at[PARTITIONS])
{
	for (int p = 0; p < PARTITIONS; p++)
		assert_int_equal(at[p], watcher->there[p] > watcher->asked[p] ? watcher->there[p]
									      : watcher->asked[p]);
}

static void place(struct watcher *watcher, const int64_t at[PARTITIONS])
{
	watcher->placed = true;
	for (int p = 0; p < PARTITIONS; p++)
		watcher->start[p] = watcher->client.next[p] = at[p];
}

static void check_id(struct watcher *watcher, struct slice id, bool is_end)
{
	const struct subscriber *subscriber = watcher->client.subscriber;
	bool final = is_final(id), past_end;
	int64_t at[PARTITIONS];

	decode(watcher, id, at);
	for (int p = 0; p < PARTITIONS; p++) {
		/* It may go back over what is nobody's. */
		for (int64_t o = at[p]; o < watcher->reached[p]; o++)
			assert_false(is_for(watcher, p, o));
		watcher->reached[p] = at[p];
	}
	if (watcher->placed) {
		check_nothing_is_left(watcher, at);
		past_end = is_past_end(watcher, at);
	} else {
		past_end = watcher->begins == STREAM_START_CURRENT && check_state(watcher, at);
		place(watcher, at);
	}
	if (past_end && !watcher->is_done)
		assert_true(final);
	if (final && !past_end && !watcher->is_done) {
		assert_true(is_end && subscriber_is_bounded(subscriber));
		assert_int_equal(subscriber->reason, CLOSE_BACKLOG);
		check_backlog(watcher, at);
	}
	watcher->is_done = watcher->is_done || final;
	assert_int_equal(final, watcher->is_done);
}

static void on_id(struct client *client, struct slice id)
{
	check_id((struct watcher *)client, id, client->ends);
}

/* From nowhere. */
static void init_watcher(struct watcher *watcher, int i)
{
	struct buffer unparsed = watcher->client.unparsed;
	int user = settings.narrowed == BY_NOTHING ? -1 : i;

	memset(watcher, 0, sizeof(*watcher));
	init_client(&watcher->client, &world, user);
	watcher->client.unparsed = unparsed;
	watcher->client.judge = judge;
	watcher->client.on_id = on_id;
	watcher->client.interval_ms = settings.conflated ? LONG_MS : 0;
	watcher->client.tracked = settings.tracked;
	watcher->client.checks = settings.narrowed == BY_CHECKS ? checks[i] : NULL;
	watcher->client.end_when = settings.ends ? end_when : NULL;
	watcher->client.is_bounded = settings.bounded && draw((unsigned)settings.bounded) == 0;
	watcher->keys = user < 0 ? (1 << KEYS) - 1 : 1U << user;
	watcher->begins = (enum stream_start)draw(4);
}

static void forget(struct watcher *watcher)
{
	memset(watcher->client.next, 0, sizeof(watcher->client.next));
	memset(watcher->last, -1, sizeof(watcher->last));
}

static void come(struct watcher *watcher)
{
	const struct subscriber *subscriber;

	/* Who has no id yet begins anew. */
	if (!watcher->placed)
		forget(watcher);
	memcpy(watcher->asked, watcher->reached, sizeof(watcher->asked));
	world.stream.start = watcher->begins;
	connect_client(&watcher->client);
	subscriber = watcher->client.subscriber;
	for (int p = 0; p < PARTITIONS; p++)
		watcher->there[p] = position_get(&subscriber->at->position, 0, (uint32_t)p);
}

/* What the cursor keeps is judged as any id. */
static void go(struct watcher *watcher)
{
	struct client *client = &watcher->client;
	struct buffer id = {0};

	if (client->subscriber && subscriber_ended(client->subscriber))
		ended_by[client->subscriber->reason]++;
	if (client->subscriber && watcher->placed && client->tracked && client->has_new_id &&
	    subscriber_position(client->subscriber, &id))
		check_id(watcher, buffer_slice(&id), client->ends);
	buffer_free(&id);
	disconnect_client(client);
}

/* One that is bounded waits for none. */
static void pass_interval(const struct client *client)
{
	if (client->subscriber->conflation && !client->is_bounded)
		client->subscriber->conflation->due_ms = 0;
}

static void produce_keys(unsigned count)
{
	while (count--) {
		int key = (int)draw(KEYS), partition = key % PARTITIONS;
		int64_t offset = world.log.high[partition];

		world.log.user[partition][offset] = (uint8_t)(key | (draw(10) ? 0 : TOMBSTONE));
		world.log.marks[partition][offset] =
		    (uint8_t)((draw(10) ? 0 : MARK_LARGE) | (draw(100) ? 0 : MARK_END));
		world.log.high[partition] = offset + 1;
	}
}

static void draw_settings(void)
{
	static const uint64_t windows[] = {16 << 10, 64 << 10, 64 << 20};
	static const uint32_t looks[] = {2 << 10, 8 << 10, FANOUT_LOOK_BYTES};

	settings = (struct settings){
	    .narrowed = draw(3),
	    .window_bytes = windows[draw(3)],
	    .conflated = draw(3),
	    .by_key = draw(2),
	    .ends = draw(2),
	    .skips_tombstones = draw(2),
	    .skips_large = draw(2),
	    .tracked = draw(2),
	    .bounded = (int)draw(3),
	    .lasting = draw(2) ? 40 : 0,
	    .beats = draw(3),
	    .look_bytes = looks[draw(3)],
	};
}

static void open_drawn(void)
{
	unsigned seed = world.seed;

	world_look_bytes = settings.look_bytes;
	open_world_that_keeps(&world, settings.window_bytes, settings.narrowed == BY_KEY, true);
	world.seed = seed;
	set_mapping(&world, "{\"envelope\": \"record\"}");
	world.stream.max_event_bytes = WORLD_SMALL_BYTES;
	world.stream.interval.per_key = settings.conflated && settings.by_key;
	world.stream.tombstones =
	    settings.skips_tombstones ? STREAM_TOMBSTONES_SKIP : STREAM_TOMBSTONES_EVENT;
	world.stream.too_large = settings.skips_large ? STREAM_FAULT_SKIP : STREAM_FAULT_ERROR;
	world.stream.heartbeat_ms = 0;
	world.stream.heartbeat_as = settings.beats;
	world.stream.start_last = 20;
}

/* The gateway ends it, or its time does. */
static void end_early(struct client *client)
{
	if (draw(2))
		client->subscriber->max_age_at_ms = 0;
	else if (draw(2))
		client->subscriber->expires_unix_ms = 0;
	else
		fanout_drain(client->at->fanout);
}

/* A client does something. */
static void step(struct watcher *watcher, int i)
{
	struct client *client = &watcher->client;

	if (client->subscriber && draw(3) == 0)
		pass_interval(client);
	if (client->subscriber && settings.lasting && draw((unsigned)settings.lasting) == 0)
		end_early(client);
	if (client->subscriber && !client->aborted)
		take(client, draw(draw(2) ? 20000 : 300));
	if (client->aborted || (client->subscriber && subscriber_ended(client->subscriber)) ||
	    draw(10) == 0)
		go(watcher);
	if (!client->subscriber && watcher->is_done)
		init_watcher(watcher, i);
	if (!client->subscriber && draw(8) == 0)
		come(watcher);
}

static bool has_reached_all(const struct watcher *watcher)
{
	for (int p = 0; p < PARTITIONS; p++)
		if (!watcher->placed || watcher->reached[p] < world.log.high[p])
			return false;
	return true;
}

/* Until each has an id that covers everything, or is done. */
static void settle(void)
{
	bool whole = false;

	for (int tries = 0; tries < TRIES && !whole; tries++) {
		whole = true;
		turn(&world, true);
		tick(&world);
		for (int i = 0; i < CLIENTS; i++) {
			struct client *client = &watchers[i].client;

			if (client->aborted || watchers[i].is_done ||
			    (client->subscriber && subscriber_ended(client->subscriber)))
				go(&watchers[i]);
			if (watchers[i].is_done)
				continue;
			if (!client->subscriber)
				come(&watchers[i]);
			pass_interval(client);
			take(client, SIZE_MAX);
			whole = whole && (watchers[i].is_done || has_reached_all(&watchers[i]));
		}
		if (!whole)
			usleep(200);
	}
	assert_true(whole);
}

static void run_round(void)
{
	open_drawn();
	produce_keys(draw(2) ? 1000 : 10);
	turn(&world, true);
	for (int i = 0; i < CLIENTS; i++)
		init_watcher(&watchers[i], i);
	for (int n = 0; n < STEPS; n++) {
		int i = (int)draw(CLIENTS);

		produce_keys(draw(20));
		turn(&world, false);
		if (draw(3) == 0)
			tick(&world);
		step(&watchers[i], i);
	}
	settle();
	for (int i = 0; i < CLIENTS; i++) {
		assert_int_equal(watchers[i].client.gaps, 0);
		assert_int_equal(watchers[i].client.limits, 0);
		go(&watchers[i]);
	}
	close_world(&world);
}

/*
 * Streams with a filter, checks, an interval, by key, with an end, of what there is, with
 * heartbeats of each kind, tombstones and errors, small windows and replays, ended early or cut off
 * at random: an event comes once and in order; no id, heartbeat's, cursor's or timeout's, is past
 * what is still to come, or goes back; a stream ends with the first event that ends it, and with
 * none else; and everybody gets everything.
 */
static void test_subscriber_settings_drawn_at_random_keep_the_promise(void **state)
{
	(void)state;
	end_when = make_checks(json_pack("{s:{s:[i]}}", "value", "e", 1));
	for (int key = 0; key < KEYS; key++)
		checks[key] = make_checks(json_pack("{s:[s#]}", "key", &"0123456789"[key], 1));
	for (unsigned round = 0; round < ROUNDS; round++) {
		world.seed = round + 1;
		draw_settings();
		run_round();
	}
	for (int i = 0; i < CLIENTS; i++)
		buffer_free(&watchers[i].client.unparsed);
	for (int key = 0; key < KEYS; key++)
		checks_unref(checks[key]);
	checks_unref(end_when);
	assert_true(ended_by[CLOSE_BACKLOG] && ended_by[CLOSE_END_WHEN] && states);
	assert_true(ended_by[CLOSE_MAX_AGE] && ended_by[CLOSE_EXPIRED] && ended_by[CLOSE_DRAIN]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_subscriber_settings_drawn_at_random_keep_the_promise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
