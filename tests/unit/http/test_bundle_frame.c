#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/bundle_frame_priv.h"

#define ADDRESS "/users/42/orders"

/* The second stream's; what the ids begin with is left out of what is compared. */
static const struct slice addresses[] = {SLICE_LIT("/a"), SLICE_LIT(ADDRESS)};

/* Tells `frames` in pieces of `piece` bytes. Each call ends at a frame's end or takes all. */
static void tell(struct combined_id *id, struct slice frames, size_t piece, struct buffer *out)
{
	struct bundle_frame frame = {.in_data = false};

	while (frames.len) {
		struct slice bytes = {frames.base, frames.len < piece ? frames.len : piece};
		size_t taken = bundle_frame_take(&frame, bytes, addresses[1], 1, id, out);

		assert_in_range(taken, 1, bytes.len);
		frames = (struct slice){frames.base + taken, frames.len - taken};
	}
	assert_true(bundle_frame_is_whole(&frame));
	bundle_frame_fini(&frame);
}

static void check(struct slice frames, const char *expected)
{
	for (size_t piece = 1; piece <= frames.len; piece++) {
		struct buffer out = {0}, whole = {0};
		struct combined_id id;

		combined_id_init(&id, addresses, 2);
		combined_id_set(&id, 0, SLICE_LIT("first"));
		tell(&id, frames, piece, &out);
		for (const char *at = expected; *at; at++) {
			if (*at == '$')
				buffer_append(&whole, id.identity, COMBINED_ID_IDENTITY_CHARS);
			else
				buffer_append(&whole, at, 1);
		}
		assert_string_equal(buffer_text(&out), buffer_text(&whole));
		combined_id_fini(&id);
		buffer_free(&out);
		buffer_free(&whole);
	}
}

/* A frame gets the combined id, with its own in its stream's place, and the stream's address before
 * its type; its data are left as they are. However the bytes come. */
static void test_bundle_frame_event_tells_its_stream(void **state)
{
	(void)state;
	check(SLICE_LIT("id: AQ\nevent: created\ndata: {\"n\":1}\n\n"),
	      "id: $.first.AQ\nevent: " ADDRESS "#created\ndata: {\"n\":1}\n\n");
	check(SLICE_LIT("id: AQ\ndata: 1\n\n"), "id: $.first.AQ\nevent: " ADDRESS "\ndata: 1\n\n");
	check(SLICE_LIT("data: 1\n\n"), "event: " ADDRESS "\ndata: 1\n\n");
	check(SLICE_LIT("event: a#b\ndata: \n\n"), "event: " ADDRESS "#a#b\ndata: \n\n");
	check(SLICE_LIT("id: order 7\ndata\n\n"),
	      "id: $.first.~b3JkZXIgNw\nevent: " ADDRESS "\ndata\n\n");
}

/* Fields between id and data stay where they are before the event line. */
static void test_bundle_frame_other_fields_are_kept(void **state)
{
	(void)state;
	check(SLICE_LIT("id: AQ\nevent: paid\nretry: 5000\ndata: 1\n\n"),
	      "id: $.first.AQ\nretry: 5000\nevent: " ADDRESS "#paid\ndata: 1\n\n");
	check(SLICE_LIT(": server\nid: AQ\nretry: 1\ndata: 1\n\n"),
	      ": server\nid: $.first.AQ\nretry: 1\nevent: " ADDRESS "\ndata: 1\n\n");
}

/* What dispatches nothing gets no event line: comments, ids and times alone. */
static void test_bundle_frame_block_without_data_stays_one(void **state)
{
	(void)state;
	check(SLICE_LIT(":\n\n"), ":\n\n");
	check(SLICE_LIT("retry: 17\n\n"), "retry: 17\n\n");
	check(SLICE_LIT("id: AQ\n\n"), "id: $.first.AQ\n\n");
	check(SLICE_LIT("id: AQ\n: data: of a comment\n\n"),
	      "id: $.first.AQ\n: data: of a comment\n\n");
	check(SLICE_LIT("\n"), "\n");
}

/* Only an empty line ends a frame: not what looks like one inside, nor fields after the data. */
static void test_bundle_frame_data_is_not_looked_into(void **state)
{
	(void)state;
	check(SLICE_LIT("id: AQ\ndata: id: x\ndata: \ndata: event: y\nid: z\n\nid: AR\n\n"),
	      "id: $.first.AQ\nevent: " ADDRESS
	      "\ndata: id: x\ndata: \ndata: event: y\nid: z\n\nid: $.first.AR\n\n");
	check(SLICE_LIT("data: a\r\ndata: \\n\\n\n\ndata: b\n\n"),
	      "event: " ADDRESS "\ndata: a\r\ndata: \\n\\n\n\nevent: " ADDRESS "\ndata: b\n\n");
}

/* The id of a frame holds for those after it, until another one comes. */
static void test_bundle_frame_id_stays_until_the_next(void **state)
{
	(void)state;
	check(SLICE_LIT("id: AQ\n\ndata: 1\n\n:\n\nid: AR\ndata: 2\n\n"),
	      "id: $.first.AQ\n\nevent: " ADDRESS "\ndata: 1\n\n:\n\n"
	      "id: $.first.AR\nevent: " ADDRESS "\ndata: 2\n\n");
}

/* Of a frame of any size nothing is held but its head: its data go out as they come. */
static void test_bundle_frame_large_data_are_not_held(void **state)
{
	enum { BYTES = 3 * 1024 * 1024, PIECE = 1000 };
	struct bundle_frame frame = {.in_data = false};
	struct buffer in = {0}, out = {0};
	struct combined_id id;

	(void)state;
	combined_id_init(&id, addresses, 2);
	buffer_append_text(&in, "id: AQ\ndata: ");
	memset(buffer_reserve(&in, BYTES), 'x', BYTES);
	in.len += BYTES;
	for (size_t at = 0, taken; at < in.len; at += taken) {
		size_t len = in.len - at < PIECE ? in.len - at : PIECE;

		buffer_clear(&out);
		taken = bundle_frame_take(&frame, (struct slice){in.base + at, len}, addresses[1],
					  1, &id, &out);
		assert_true(frame.head.capacity < PIECE);
		assert_true(!frame.in_data || out.len >= taken);
	}
	assert_false(bundle_frame_is_whole(&frame));
	bundle_frame_fini(&frame);
	combined_id_fini(&id);
	buffer_free(&in);
	buffer_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bundle_frame_event_tells_its_stream),
	    cmocka_unit_test(test_bundle_frame_other_fields_are_kept),
	    cmocka_unit_test(test_bundle_frame_block_without_data_stays_one),
	    cmocka_unit_test(test_bundle_frame_data_is_not_looked_into),
	    cmocka_unit_test(test_bundle_frame_id_stays_until_the_next),
	    cmocka_unit_test(test_bundle_frame_large_data_are_not_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
