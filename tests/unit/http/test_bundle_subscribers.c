/* A bundle of subscribers of several kinds, on the world of feed/'s tests. http_stream_drop()
 * stands here in the place of request.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feed/checks.h"
#include "http/bundle_priv.h"
#include "unit/feed/world.h"

enum {
	EVERYTHING,
	NARROWED,
	CONFLATED,
	BACKLOG,
	TO_ITS_END,
	MEMBERS,
	STEPS = 600,
	TRIES = 20000,
	KEY = 3
};

static const struct slice addresses[MEMBERS] = {
    SLICE_LIT("/everything"), SLICE_LIT("/narrowed"), SLICE_LIT("/conflated"),
    SLICE_LIT("/backlog?follow=false"), SLICE_LIT("/to-its-end")};

void http_stream_drop(struct http_stream *stream, enum close_reason reason)
{
	subscriber_free(stream->subscriber, reason);
	stream->subscriber = NULL;
}

static struct world world;
static struct checks *end_when, *only_key;

/* What came of one member, over all connections. */
struct member {
	int64_t next[PARTITIONS], there[PARTITIONS], last[USERS];
	unsigned connected, welcomes, heartbeats, ends;
	bool was_connected;
	bool is_over; /* it came back with its last event's id, which is final: cut off before its
			 `end` */
};

struct rig {
	struct carrier carrier; /* first */
	struct bundle *bundle;  /* NULL: cut off */
	struct http_stream *streams[MEMBERS];
	struct member members[MEMBERS];
	struct buffer text, last_id;
};

static void on_ready_or_abort(struct carrier *carrier)
{
	(void)carrier;
}

static const struct carrier_ops rig_ops = {on_ready_or_abort, on_ready_or_abort};

static uint64_t feed_hash(void)
{
	uint64_t hash;
	struct feed *feed;

	assert_int_equal(feeds_open(world.replicas[0].feeds, &world.stream, NULL, &feed), 0);
	hash = feed->hash;
	feeds_close(world.replicas[0].feeds, feed);
	return hash;
}

/* True where the part is a final id; else the position, where there is one. */
static bool read_part(const struct combined_id *id, size_t i, struct position *position, bool *has)
{
	struct buffer part = {0};
	const char *reason;
	unsigned flags = 0;

	combined_id_get(id, i, &part);
	*has = part.len;
	if (part.len)
		assert_int_equal(
		    event_id_decode(buffer_slice(&part), feed_hash(), &flags, position, &reason),
		    0);
	buffer_free(&part);
	return flags & EVENT_ID_FINAL;
}

static void begin_member(struct rig *rig, size_t i, const struct position *position)
{
	struct replica *replica = &world.replicas[0];
	struct subscriber_start start = {
	    .position = position,
	    .checks = i == NARROWED ? only_key : NULL,
	    .is_bounded = i == BACKLOG,
	    .end_when = i == CONFLATED || i == TO_ITS_END ? end_when : NULL,
	    .interval_ms = i == CONFLATED ? 1 : 0,
	    .welcome = WELCOME,
	};
	struct route_keys keys = {0};
	struct feed *feed;

	assert_int_equal(feeds_open(replica->feeds, &world.stream, NULL, &feed), 0);
	rig->streams[i] = bundle_member(rig->bundle, i, feed->hash);
	for (int p = 0; p < PARTITIONS; p++)
		rig->members[i].there[p] = world.log.high[p];
	rig->members[i].was_connected = false;
	rig->streams[i]->subscriber = subscriber_new(replica->fanout, feed, &keys, &start,
						     INT64_MAX, &rig->streams[i]->carrier);
}

/* With the last id; false: all are over. */
static bool come(struct rig *rig)
{
	struct combined_id id, parts;
	const char *reason;
	size_t begun = 0;

	turn(&world, true);
	combined_id_init(&id, addresses, MEMBERS);
	combined_id_init(&parts, addresses, MEMBERS);
	if (rig->last_id.len) {
		assert_int_equal(combined_id_decode(&id, buffer_slice(&rig->last_id), &reason), 0);
		assert_int_equal(combined_id_decode(&parts, buffer_slice(&rig->last_id), &reason),
				 0);
	}
	rig->bundle = bundle_new(addresses, &id);
	for (size_t i = 0; i < MEMBERS; i++) {
		struct position position;
		bool has;

		rig->members[i].is_over = read_part(&parts, i, &position, &has);
		if (!rig->members[i].is_over) {
			begin_member(rig, i, has ? &position : NULL);
			begun++;
		}
		if (has)
			position_fini(&position);
	}
	combined_id_fini(&parts);
	if (begun)
		bundle_begin(rig->bundle, &rig->carrier);
	return begun;
}

static void cut(struct rig *rig)
{
	bundle_free(rig->bundle, CLOSE_CLIENT);
	rig->bundle = NULL;
	buffer_clear(&rig->text);
}

/* Nothing for it from its next one on to `end`. */
static bool narrowed_lacks_none(const struct rig *rig, int64_t end)
{
	for (int64_t o = rig->members[NARROWED].next[KEY]; o < end; o++)
		if (world.log.user[KEY][o] == KEY)
			return false;
	return true;
}

static void check_member_event(struct rig *rig, size_t i, const char *data)
{
	struct member *member = &rig->members[i];
	int partition, key;
	long long offset;

	read_place(data, &partition, &offset);
	key = world.log.user[partition][offset];
	assert_int_equal(member->ends, 0);
	assert_true(offset > member->last[key]);
	if (i == NARROWED)
		assert_true(key == KEY && narrowed_lacks_none(rig, offset));
	else
		assert_true(i == CONFLATED || offset == member->next[partition]);
	member->last[key] = offset;
	member->next[partition] = offset + 1;
}

/* A type is the member's address, and after "#" the event's own. */
static size_t member_of(const char *type, const char **own)
{
	for (size_t i = 0; i < MEMBERS; i++) {
		size_t len = addresses[i].len;

		if (strncmp(type, addresses[i].base, len) || !strchr("#\n", type[len]))
			continue;
		*own = type + len;
		return i;
	}
	fail_msg("an event of nobody: %.100s", type);
	return 0;
}

static bool is_own(const char *own, const char *type)
{
	return !strncmp(own, type, strlen(type));
}

static void check_frame_of(struct rig *rig, const char *text)
{
	const char *type = strstr(text, "event: "), *own = "";
	struct member *member;
	size_t i;

	if (!strncmp(text, "id: ", 4)) {
		buffer_clear(&rig->last_id);
		buffer_append(&rig->last_id, text + 4, strcspn(text + 4, "\n"));
	}
	if (!type) {
		assert_null(strstr(text, "data"));
		return;
	}
	i = member_of(type + 7, &own);
	member = &rig->members[i];
	assert_int_equal(is_own(own, "#welcome"), member->was_connected);
	member->was_connected = is_own(own, "#connected");
	member->connected += member->was_connected;
	if (is_own(own, "#welcome"))
		member->welcomes++;
	else if (is_own(own, "#heartbeat"))
		member->heartbeats++;
	else if (is_own(own, "#end"))
		member->ends++;
	else if (own[0] == '\n')
		check_member_event(rig, i, strstr(text, "data: ") + 6);
	else
		assert_true(member->was_connected);
}

static void take_frames(struct rig *rig)
{
	char *at = rig->text.base, *end = at + rig->text.len, *stop;

	while (at < end && (stop = memmem(at, (size_t)(end - at), "\n\n", 2))) {
		stop[1] = '\0';
		check_frame_of(rig, at);
		at = stop + 2;
	}
	rig->text.len = (size_t)(end - at);
	memmove(rig->text.base, at, rig->text.len);
}

static void read_some(struct rig *rig, size_t most)
{
	while (most) {
		struct slice bytes = bundle_peek(rig->bundle, most);

		if (!bytes.len)
			break;
		buffer_append_slice(&rig->text, bytes);
		bundle_consume(rig->bundle, bytes.len);
		most -= bytes.len;
	}
	take_frames(rig);
}

static void put(bool ends)
{
	int key = rand_r(&world.seed) % USERS, partition = key % PARTITIONS;
	int64_t offset = world.log.high[partition];

	world.log.user[partition][offset] = (uint8_t)key;
	world.log.marks[partition][offset] = ends ? MARK_END : 0;
	world.log.high[partition] = offset + 1;
}

static bool has_everything(const struct rig *rig)
{
	for (int p = 0; p < PARTITIONS; p++)
		if (rig->members[EVERYTHING].next[p] < world.log.high[p])
			return false;
	if (!narrowed_lacks_none(rig, world.log.high[KEY]))
		return false;
	for (size_t i = CONFLATED; i < MEMBERS; i++)
		if (!rig->members[i].ends && !rig->members[i].is_over)
			return false;
	return true;
}

/* Until the members that end have, and the others have everything. */
static void settle(struct rig *rig)
{
	for (int tries = 0; tries < TRIES && !has_everything(rig); tries++) {
		if (!rig->bundle)
			assert_true(come(rig));
		turn(&world, true);
		tick(&world);
		read_some(rig, SIZE_MAX);
		usleep(200);
	}
	assert_true(has_everything(rig));
	for (int n = 0; n < 20; n++)
		tick(&world);
	read_some(rig, SIZE_MAX);
	assert_false(bundle_ended(rig->bundle));
}

static void check_members(const struct rig *rig)
{
	int64_t end_partition = -1;

	for (size_t i = 0; i < MEMBERS; i++) {
		const struct member *member = &rig->members[i];

		/* It may have been cut off between them. */
		assert_in_range(member->welcomes, 1, member->connected);
		assert_true(member->heartbeats || i != EVERYTHING ||
			    world.stream.heartbeat_as != STREAM_HEARTBEAT_EVENT);
		for (int p = 0; i == BACKLOG && p < PARTITIONS; p++)
			assert_int_equal(member->next[p], member->there[p]);
	}
	for (int p = 0; p < PARTITIONS; p++)
		for (int64_t o = 0; o < world.log.high[p]; o++)
			if (world.log.marks[p][o] & MARK_END && end_partition < 0)
				end_partition = p;
	assert_true(end_partition >= 0);
	for (size_t i = CONFLATED; i < MEMBERS; i += TO_ITS_END - CONFLATED) {
		int64_t last = rig->members[i].next[end_partition] - 1;

		assert_true(world.log.marks[end_partition][last] & MARK_END);
	}
}

/*
 * One that takes everything, one that takes little of it and looks at it in portions, one with an
 * interval and one without that end with an event, and one of what there is, in one connection that
 * is cut off at random and comes back with its last id: each keeps its own promise, ends by itself
 * once, and leaves the others going on.
 */
static void test_bundle_subscribers_of_all_kinds_keep_their_promises(void **state)
{
	static const enum stream_heartbeat beats[] = {STREAM_HEARTBEAT_ID, STREAM_HEARTBEAT_COMMENT,
						      STREAM_HEARTBEAT_EVENT};

	(void)state;
	for (int row = 0; row < 6; row++) {
		struct rig rig = {.carrier.ops = &rig_ops};

		world_look_bytes = row % 2 ? 1 << 10 : 4 << 10;
		open_world_that_keeps(&world, row / 3 ? 16 << 10 : 64 << 20, false, true);
		world.stream.interval.per_key = true;
		world.stream.start = STREAM_START_EARLIEST;
		world.stream.heartbeat_as = beats[row % 3];
		world.stream.heartbeat_ms = 0;
		for (size_t i = 0; i < MEMBERS; i++)
			memset(rig.members[i].last, -1, sizeof(rig.members[i].last));
		for (int n = 0; n < 1000; n++)
			put(false);
		for (int step = 0; step < STEPS; step++) {
			if (!rig.bundle)
				assert_true(come(&rig));
			put(step == STEPS / 2);
			turn(&world, true);
			tick(&world);
			read_some(&rig, (size_t)rand_r(&world.seed) % 3000);
			if (rand_r(&world.seed) % 20 == 0)
				cut(&rig);
		}
		settle(&rig);
		check_members(&rig);
		cut(&rig);
		buffer_free(&rig.text);
		buffer_free(&rig.last_id);
		close_world(&world);
	}
}

static int make_patterns(void **state)
{
	(void)state;
	end_when = make_checks(json_pack("{s:{s:[i]}}", "value", "e", 1));
	only_key = make_checks(json_pack("{s:[s]}", "key", "3"));
	return 0;
}

static int free_patterns(void **state)
{
	(void)state;
	checks_unref(end_when);
	checks_unref(only_key);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bundle_subscribers_of_all_kinds_keep_their_promises),
	};

	return cmocka_run_group_tests(tests, make_patterns, free_patterns);
}
