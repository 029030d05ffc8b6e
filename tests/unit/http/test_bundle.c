/* A bundle of subscribers that are the test's: each gives the frames that it was handed. They, and
 * http_stream_drop(), stand here in the place of feed/ and request.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/bundle_priv.h"

enum {
	MEMBERS = 3,
	FEED_HASH = 77,
	/* What a bundle may take ahead: its buffer, a turn's bytes, and heads. */
	MAX_AHEAD = 32 * 1024,
	MAX_TURN = 4 * 1024,
};

static const struct slice addresses[MEMBERS] = {SLICE_LIT("/a"), SLICE_LIT("/b?x=1"),
						SLICE_LIT("/c")};

struct subscriber {
	struct carrier *carrier;
	struct buffer bytes;
	size_t at;
	size_t peeked;
	size_t portion; /* at most so many bytes a peek */
	bool told, has_ended;
	enum close_reason reason;
	unsigned progress;
};

struct slice subscriber_peek(struct subscriber *subscriber, size_t max)
{
	size_t len = subscriber->bytes.len - subscriber->at;

	if (len > max)
		len = max;
	if (len > subscriber->portion)
		len = subscriber->portion;
	subscriber->peeked = len;
	subscriber->told = subscriber->told && len;
	return (struct slice){len ? subscriber->bytes.base + subscriber->at : NULL, len};
}

void subscriber_consume(struct subscriber *subscriber, size_t n)
{
	assert_in_range(n, 1, subscriber->peeked);
	subscriber->at += n;
	subscriber->peeked = 0;
}

bool subscriber_ended(const struct subscriber *subscriber)
{
	return subscriber->has_ended && subscriber->at == subscriber->bytes.len;
}

enum close_reason subscriber_close_reason(const struct subscriber *subscriber)
{
	assert_true(subscriber->has_ended);
	return subscriber->reason;
}

void subscriber_note_progress(struct subscriber *subscriber)
{
	subscriber->progress++;
}

/* Those that were not ended before. */
static unsigned drops;
static enum close_reason dropped_for[MEMBERS];

void http_stream_drop(struct http_stream *stream, enum close_reason reason)
{
	struct subscriber *subscriber = stream->subscriber;

	stream->subscriber = NULL;
	if (!subscriber)
		return;
	if (!subscriber->has_ended)
		dropped_for[drops++] = reason;
	buffer_free(&subscriber->bytes);
	free(subscriber);
}

struct rig {
	struct carrier carrier; /* first */
	struct bundle *bundle;
	struct http_stream *streams[MEMBERS];
	struct subscriber *subscribers[MEMBERS]; /* dangling once it has ended */
	struct combined_id id;                   /* after what came */
	unsigned readies, aborts;
	unsigned sent[MEMBERS], came[MEMBERS];
	struct buffer order; /* the members whose frames came, a digit each */
	struct buffer text;  /* what came and is no whole frame yet */
	unsigned seed;
};

static void on_ready(struct carrier *carrier)
{
	((struct rig *)carrier)->readies++;
}

static void on_abort(struct carrier *carrier)
{
	((struct rig *)carrier)->aborts++;
}

static const struct carrier_ops ops = {on_ready, on_abort};

/* `skipped` bits are members that have ended before. */
static void rig_begin(struct rig *rig, const struct combined_id *resumed, unsigned skipped)
{
	struct combined_id id;

	*rig = (struct rig){.carrier.ops = &ops, .seed = 1};
	drops = 0;
	combined_id_init(&id, addresses, MEMBERS);
	combined_id_init(&rig->id, addresses, MEMBERS);
	for (size_t i = 0; resumed && i < MEMBERS; i++) {
		buffer_append_slice(&id.parts[i], buffer_slice(&resumed->parts[i]));
		buffer_append_slice(&rig->id.parts[i], buffer_slice(&resumed->parts[i]));
	}
	rig->bundle = bundle_new(addresses, &id);
	assert_int_equal(id.count, 0);
	for (size_t i = 0; i < MEMBERS; i++) {
		if (skipped >> i & 1)
			continue;
		rig->streams[i] = bundle_member(rig->bundle, i, FEED_HASH);
		rig->subscribers[i] = MEM_NEW(struct subscriber);
		rig->subscribers[i]->carrier = &rig->streams[i]->carrier;
		rig->subscribers[i]->portion = SIZE_MAX;
		rig->subscribers[i]->told = true;
		rig->streams[i]->subscriber = rig->subscribers[i];
	}
	bundle_begin(rig->bundle, &rig->carrier);
}

static void rig_end(struct rig *rig, enum close_reason reason)
{
	bundle_free(rig->bundle, reason);
	combined_id_fini(&rig->id);
	buffer_free(&rig->text);
	buffer_free(&rig->order);
}

static unsigned draw(struct rig *rig, unsigned below)
{
	return (unsigned)rand_r(&rig->seed) % below;
}

static void tell(struct rig *rig, size_t i)
{
	struct subscriber *subscriber = rig->subscribers[i];

	if (subscriber->told)
		return;
	subscriber->told = true;
	subscriber->carrier->ops->ready(subscriber->carrier);
}

static void send_text(struct rig *rig, size_t i, const char *text)
{
	buffer_append_text(&rig->subscribers[i]->bytes, text);
	tell(rig, i);
}

/* Frame n of a member has the id "iMEMBERnN" and begins its data with n; `padding` bytes follow, in
 * lines. */
static void send_frame(struct rig *rig, size_t i, size_t padding)
{
	struct buffer *bytes = &rig->subscribers[i]->bytes;
	unsigned n = rig->sent[i]++;

	buffer_append_format(bytes, "id: i%zun%u\n", i, n);
	if (n % 2)
		buffer_append_text(bytes, "event: odd\n");
	buffer_append_format(bytes, "data: %u ", n);
	for (size_t at = 0; at < padding; at++)
		buffer_append_text(bytes, at % 999 == 998 ? "\ndata: " : "x");
	buffer_append_text(bytes, "\n\n");
	tell(rig, i);
}

static size_t member_of(const char *frame, unsigned n)
{
	char line[64];

	for (size_t i = 0; i < MEMBERS; i++) {
		snprintf(line, sizeof(line), "\nevent: %s%s\n", addresses[i].base,
			 n % 2 ? "#odd" : "");
		if (strstr(frame, line))
			return i;
	}
	fail_msg("a frame of nobody: %.100s", frame);
	return 0;
}

/* The next one of its member, with an id that covers it and all before it. */
static void check_frame(struct rig *rig, const char *frame)
{
	const char *data = strstr(frame, "\ndata: ");
	struct buffer expected = {0};
	char own[32];
	unsigned n;
	size_t i;

	assert_non_null(data);
	n = (unsigned)strtoul(data + 7, NULL, 10);
	i = member_of(frame, n);
	assert_int_equal(n, rig->came[i]++);
	buffer_append_u64(&rig->order, i);
	snprintf(own, sizeof(own), "i%zun%u", i, n);
	combined_id_set(&rig->id, i, slice_of(own));
	buffer_append_text(&expected, "id: ");
	combined_id_append(&rig->id, &expected);
	buffer_append_text(&expected, "\n");
	assert_memory_equal(frame, expected.base, expected.len);
	buffer_free(&expected);
}

static void take_frames(struct rig *rig)
{
	const char *text = buffer_text(&rig->text), *end;
	size_t taken = 0;

	while ((end = strstr(text + taken, "\n\n"))) {
		size_t next = (size_t)(end - text) + 2;
		char *frame = mem_strndup(text + taken, next - taken);

		check_frame(rig, frame);
		free(frame);
		taken = next;
	}
	memmove(rig->text.base, rig->text.base + taken, rig->text.len - taken);
	rig->text.len -= taken;
}

/* Reads once, up to `max` bytes; the same bytes are there until they are consumed. */
static size_t read_some(struct rig *rig, size_t max)
{
	struct slice bytes = bundle_peek(rig->bundle, max);
	struct slice again = bundle_peek(rig->bundle, max);
	size_t n = bytes.len;

	assert_true(bytes.len <= max);
	assert_true(slice_equal(bytes, again));
	if (!n)
		return 0;
	if (n > 1 && draw(rig, 2))
		n = 1 + draw(rig, (unsigned)n);
	buffer_append(&rig->text, bytes.base, n);
	bundle_consume(rig->bundle, n);
	return n;
}

static void read_all(struct rig *rig, size_t max)
{
	while (read_some(rig, max))
		;
}

static void play(struct rig *rig, size_t max, unsigned frames, unsigned sizes)
{
	for (unsigned round = 0; round < frames; round++) {
		for (size_t i = 0; i < MEMBERS; i++) {
			rig->subscribers[i]->portion = 1 + draw(rig, 1u << draw(rig, 14));
			for (unsigned n = draw(rig, 4); n; n--)
				send_frame(rig, i, draw(rig, 1u << draw(rig, sizes)));
		}
		for (unsigned n = draw(rig, 20); n && read_some(rig, max); n--)
			;
		take_frames(rig);
	}
	read_all(rig, max);
	take_frames(rig);
	assert_int_equal(rig->text.len, 0);
	assert_memory_equal(rig->came, rig->sent, sizeof(rig->came));
}

/* Frames of all sizes from all members, which come in any pieces and are taken in any pieces, go
 * out whole, in each member's order, each once, under ids that cover all that came before. */
static void test_bundle_frames_stay_whole_and_in_order(void **state)
{
	struct rig rig;

	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		rig_begin(&rig, NULL, 0);
		rig.seed = seed;
		play(&rig, 64 * 1024, 100, 16);
		rig_end(&rig, CLOSE_CLIENT);
	}
}

/* The same where the connection has room for one byte at a time. */
static void test_bundle_read_byte_by_byte_is_the_same(void **state)
{
	struct rig rig;

	(void)state;
	rig_begin(&rig, NULL, 0);
	play(&rig, 1, 100, 10);
	rig_end(&rig, CLOSE_CLIENT);
}

/* While the connection takes nothing, the bundle takes little more than its buffer from the
 * members, however much they have. */
static void test_bundle_stalled_connection_takes_a_bounded_part(void **state)
{
	struct rig rig;
	size_t taken = 0;

	(void)state;
	rig_begin(&rig, NULL, 0);
	for (size_t i = 0; i < MEMBERS; i++)
		for (int n = 0; n < 10; n++)
			send_frame(&rig, i, 100 * 1024);
	for (int n = 0; n < 100; n++)
		assert_true(bundle_peek(rig.bundle, SIZE_MAX).len < MAX_AHEAD);
	for (size_t i = 0; i < MEMBERS; i++)
		taken += rig.subscribers[i]->at;
	assert_in_range(taken, 1, MAX_AHEAD);
	rig_end(&rig, CLOSE_SLOW);
}

/* A member with much to say does not hold the others up: they take turns of a few KiB. */
static void test_bundle_members_take_turns(void **state)
{
	enum { FRAMES = 5000, FRAME_BYTES = 100 };
	struct rig rig;

	(void)state;
	rig_begin(&rig, NULL, 0);
	for (size_t i = 0; i < MEMBERS; i++)
		for (int n = 0; n < FRAMES; n++)
			send_frame(&rig, i, FRAME_BYTES);
	for (int n = 0; n < 2000; n++) {
		size_t least = SIZE_MAX, most = 0;

		(void)read_some(&rig, 1000);
		for (size_t i = 0; i < MEMBERS; i++) {
			size_t at = rig.subscribers[i]->at;

			least = at < least ? at : least;
			most = at > most ? at : most;
		}
		assert_true(most - least <= MAX_TURN + 2 * FRAME_BYTES);
	}
	rig_end(&rig, CLOSE_CLIENT);
}

/* In the middle of a large frame nothing of others comes; after it they are next. */
static void test_bundle_large_frame_is_not_interrupted(void **state)
{
	enum { LARGE = 300 * 1024 };
	struct rig rig;

	(void)state;
	rig_begin(&rig, NULL, 0);
	rig.subscribers[0]->portion = 1000;
	send_frame(&rig, 0, LARGE);
	send_frame(&rig, 0, 1);
	while (rig.text.len < LARGE / 2)
		assert_int_not_equal(read_some(&rig, 5000), 0);
	send_frame(&rig, 1, 1);
	read_all(&rig, 5000);
	take_frames(&rig);
	assert_string_equal(buffer_text(&rig.order), "010");
	rig_end(&rig, CLOSE_CLIENT);
}

/* The carrier is told once until it has peeked to empty, and again for what comes afterwards. */
static void test_bundle_carrier_is_told_once(void **state)
{
	struct rig rig;

	(void)state;
	rig_begin(&rig, NULL, 0);
	send_frame(&rig, 0, 1);
	assert_int_equal(rig.readies, 0);
	read_all(&rig, 1000);
	send_frame(&rig, 0, 1);
	send_frame(&rig, 1, 1);
	assert_int_equal(rig.readies, 1);
	read_all(&rig, 1000);
	send_frame(&rig, 1, 1);
	assert_int_equal(rig.readies, 2);
	read_all(&rig, 1000);
	take_frames(&rig);
	assert_int_equal(rig.came[1], 2);
	rig_end(&rig, CLOSE_CLIENT);
}

/* What the connection takes counts for all members: none is slow because others are served. */
static void test_bundle_consumed_bytes_are_everybodys_progress(void **state)
{
	struct rig rig;

	(void)state;
	rig_begin(&rig, NULL, 0);
	send_frame(&rig, 0, 1);
	(void)read_some(&rig, 1);
	for (size_t i = 0; i < MEMBERS; i++)
		assert_int_equal(rig.subscribers[i]->progress, 1);
	rig_end(&rig, CLOSE_CLIENT);
}

/* Who comes back has the others' places in the very first id, before they have said anything. */
static void test_bundle_resumed_id_is_in_the_first_frame(void **state)
{
	struct combined_id resumed;
	struct rig rig;

	(void)state;
	combined_id_init(&resumed, addresses, MEMBERS);
	combined_id_set(&resumed, 0, SLICE_LIT("before"));
	combined_id_set(&resumed, 2, SLICE_LIT("an id of its own"));
	rig_begin(&rig, &resumed, 0);
	send_frame(&rig, 0, 1);
	read_all(&rig, 1000);
	take_frames(&rig);
	assert_int_equal(rig.came[0], 1);
	rig_end(&rig, CLOSE_CLIENT);
	combined_id_fini(&resumed);
}

static void end(struct rig *rig, size_t i, enum close_reason reason)
{
	rig->subscribers[i]->has_ended = true;
	rig->subscribers[i]->reason = reason;
	tell(rig, i);
}

static void send_final(struct rig *rig, size_t i)
{
	struct buffer id = {0};
	struct position position;

	position_init(&position, 1);
	event_id_encode(FEED_HASH, EVENT_ID_FINAL, &position, &id);
	position_fini(&position);
	send_text(rig, i, "id: ");
	send_text(rig, i, buffer_text(&id));
	send_text(rig, i, "\nevent: end\ndata: {}\n\n");
	buffer_free(&id);
}

/* A member that has ended for good leaves the others going on; the last one ends the connection. */
static void test_bundle_final_member_leaves_the_others(void **state)
{
	struct rig rig;

	(void)state;
	rig_begin(&rig, NULL, 1 << 2);
	send_final(&rig, 0);
	end(&rig, 0, CLOSE_LIMIT);
	read_all(&rig, 1000);
	assert_non_null(strstr(buffer_text(&rig.text), "event: /a#end\n"));
	assert_null(rig.streams[0]->subscriber);
	assert_false(bundle_ended(rig.bundle));
	buffer_clear(&rig.text);
	send_final(&rig, 1);
	end(&rig, 1, CLOSE_LIMIT);
	assert_int_not_equal(read_some(&rig, 1), 0);
	assert_false(bundle_ended(rig.bundle));
	read_all(&rig, 1000);
	assert_non_null(strstr(buffer_text(&rig.text), "event: /b?x=1#end\n"));
	assert_true(bundle_ended(rig.bundle));
	assert_int_equal(drops, 0);
	rig_end(&rig, CLOSE_CLIENT);
}

/* Any other end of a member ends the connection after its last words, for that reason, whatever the
 * others still have. */
static void test_bundle_member_that_ends_otherwise_ends_all(void **state)
{
	struct rig rig;

	(void)state;
	rig_begin(&rig, NULL, 0);
	send_text(&rig, 1, "event: revoked\ndata: {}\n\n");
	end(&rig, 1, CLOSE_REVOKED);
	for (int n = 0; n < 1000; n++)
		send_frame(&rig, 2, 100);
	read_all(&rig, 1000);
	assert_non_null(strstr(buffer_text(&rig.text), "event: /b?x=1#revoked\ndata: {}\n\n"));
	assert_true(bundle_ended(rig.bundle));
	assert_true(rig.subscribers[2]->at < rig.subscribers[2]->bytes.len);
	rig_end(&rig, CLOSE_CLIENT);
	assert_int_equal(drops, 2);
	assert_int_equal(dropped_for[0], CLOSE_REVOKED);
	assert_int_equal(dropped_for[1], CLOSE_REVOKED);
}

/* By what a token can be revoked stays with those that go on. */
static void test_bundle_holder_stays_with_those_that_go_on(void **state)
{
	struct auth_holder *holder = (struct auth_holder *)(uintptr_t)&addresses;
	struct rig rig;

	(void)state;
	rig_begin(&rig, NULL, 0);
	rig.streams[0]->holder = holder;
	for (size_t i = 0; i < MEMBERS - 1; i++) {
		send_final(&rig, i);
		end(&rig, i, CLOSE_LIMIT);
		read_all(&rig, 1000);
		assert_null(rig.streams[i]->holder);
		assert_ptr_equal(rig.streams[i + 1]->holder, holder);
	}
	rig_end(&rig, CLOSE_CLIENT);
}

/* A member that gives up gives the connection up, once, without another byte. */
static void test_bundle_member_that_gives_up_aborts_all(void **state)
{
	struct rig rig;

	(void)state;
	rig_begin(&rig, NULL, 0);
	send_frame(&rig, 0, 100);
	(void)read_some(&rig, 10);
	rig.streams[1]->carrier.ops->abort(&rig.streams[1]->carrier);
	rig.streams[2]->carrier.ops->abort(&rig.streams[2]->carrier);
	assert_int_equal(rig.aborts, 1);
	assert_int_equal(bundle_peek(rig.bundle, 1000).len, 0);
	send_frame(&rig, 1, 100);
	assert_int_equal(rig.readies, 0);
	rig_end(&rig, CLOSE_SLOW);
	assert_int_equal(drops, 3);
	assert_int_equal(dropped_for[0], CLOSE_SLOW);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bundle_frames_stay_whole_and_in_order),
	    cmocka_unit_test(test_bundle_read_byte_by_byte_is_the_same),
	    cmocka_unit_test(test_bundle_stalled_connection_takes_a_bounded_part),
	    cmocka_unit_test(test_bundle_members_take_turns),
	    cmocka_unit_test(test_bundle_large_frame_is_not_interrupted),
	    cmocka_unit_test(test_bundle_carrier_is_told_once),
	    cmocka_unit_test(test_bundle_consumed_bytes_are_everybodys_progress),
	    cmocka_unit_test(test_bundle_resumed_id_is_in_the_first_frame),
	    cmocka_unit_test(test_bundle_final_member_leaves_the_others),
	    cmocka_unit_test(test_bundle_member_that_ends_otherwise_ends_all),
	    cmocka_unit_test(test_bundle_holder_stays_with_those_that_go_on),
	    cmocka_unit_test(test_bundle_member_that_gives_up_aborts_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
