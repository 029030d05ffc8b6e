#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/base64url.h"
#include "event/event_id.h"

#define FEED UINT64_C(0x0123456789abcdef)
#define HEAD "\1\0\x01\x23\x45\x67\x89\xab\xcd\xef"

static int decode(struct slice text, unsigned *flags, struct position *position)
{
	const char *reason = NULL;
	int rc = event_id_decode(text, FEED, flags, position, &reason);

	assert_int_equal(rc != 0, reason != NULL);
	return rc;
}

static void check_same(const struct position *a, const struct position *b)
{
	assert_int_equal(a->topic_count, b->topic_count);
	for (uint32_t t = 0; t < a->topic_count; t++) {
		assert_int_equal(a->topics[t].partition_count, b->topics[t].partition_count);
		for (uint32_t p = 0; p < a->topics[t].partition_count; p++)
			assert_true(a->topics[t].next[p] == b->topics[t].next[p]);
	}
}

static void check_round_trip(const struct position *position, unsigned flags)
{
	struct buffer text = {0};
	struct position decoded;
	unsigned decoded_flags = 99;

	event_id_encode(FEED, flags, position, &text);
	assert_int_equal(decode(buffer_slice(&text), &decoded_flags, &decoded), 0);
	assert_int_equal(decoded_flags, flags);
	check_same(position, &decoded);
	position_fini(&decoded);
	buffer_free(&text);
}

/* Every offset that Kafka can have comes back, with varints of each length. */
static void test_event_id_round_trip_keeps_position(void **state)
{
	static const int64_t offsets[] = {0, 1, 127, 128, 16383, 16384, INT32_MAX, INT64_MAX};
	struct position position;

	(void)state;
	position_init(&position, 3);
	check_round_trip(&position, 0);
	for (uint32_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		position_set(&position, 0, i, offsets[i]);
		position_set(&position, 2, 0, offsets[i]);
		check_round_trip(&position, 0);
		check_round_trip(&position, EVENT_ID_FINAL);
	}
	position_fini(&position);
	position_init(&position, 0);
	check_round_trip(&position, 0);
	position_fini(&position);
}

/* The text is what the header says, byte by byte, so that other versions and replicas understand
 * it; it is appended. */
static void test_event_id_text_is_the_documented_bytes(void **state)
{
	static const char raw[] = HEAD "\2\1\xac\2\0";
	struct buffer text = {0};
	struct position position;
	char expected[64];

	(void)state;
	position_init(&position, 2);
	position_set(&position, 0, 0, 300);
	buffer_append_text(&text, "id: ");
	event_id_encode(FEED, 0, &position, &text);
	base64url_encode((const uint8_t *)raw, sizeof(raw) - 1, expected);
	assert_int_equal(text.len, 4 + base64url_encoded_len(sizeof(raw) - 1));
	assert_memory_equal(text.base + 4, expected, text.len - 4);
	position_fini(&position);
	buffer_free(&text);
}

/* Malformed bytes are refused with a reason, whatever they claim to be; nothing is allocated for
 * the claim. */
static void test_event_id_malformed_bytes_are_refused(void **state)
{
	static const struct {
		struct slice raw;
		const char *reason;
	} rows[] = {
	    {SLICE_LIT(""), "it is too short"},
	    {SLICE_LIT("\1\0\x01\x23\x45\x67\x89\xab\xcd"), "it is too short"},
	    {SLICE_LIT("\0\0\x01\x23\x45\x67\x89\xab\xcd\xef\0"), "its version is unknown"},
	    {SLICE_LIT("\2\0\x01\x23\x45\x67\x89\xab\xcd\xef\0"), "its version is unknown"},
	    {SLICE_LIT("\1\2\x01\x23\x45\x67\x89\xab\xcd\xef\0"), "it has unknown flags"},
	    {SLICE_LIT(HEAD), "the topic count is malformed"},
	    {SLICE_LIT(HEAD "\x80"), "the topic count is malformed"},
	    {SLICE_LIT(HEAD "\x80\0"), "the topic count is malformed"},
	    {SLICE_LIT(HEAD "\x81\2"), "it names more topics than there can be"},
	    {SLICE_LIT(HEAD "\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
	     "it names more topics than there can be"},
	    {SLICE_LIT(HEAD "\1"), "a partition count is malformed"},
	    {SLICE_LIT(HEAD "\1\x81\0\1"), "a partition count is malformed"},
	    {SLICE_LIT(HEAD "\1\xa1\x8d\6"), "it names more partitions than there can be"},
	    {SLICE_LIT(HEAD "\1\xa0\x8d\6"), "it is cut off"},
	    {SLICE_LIT(HEAD "\1\2\1"), "it is cut off"},
	    {SLICE_LIT(HEAD "\1\1\x80"), "an offset is malformed"},
	    {SLICE_LIT(HEAD "\1\1\xac\x82\0"), "an offset is malformed"},
	    {SLICE_LIT(HEAD "\1\1\x80\x80\x80\x80\x80\x80\x80\x80\x80\1"),
	     "an offset is malformed"},
	    {SLICE_LIT(HEAD "\2\1\5\1\x80"), "an offset is malformed"},
	    {SLICE_LIT(HEAD "\1\1\5\0"), "bytes follow its end"},
	    {SLICE_LIT(HEAD "\0\0"), "bytes follow its end"},
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice id = {text, base64url_encoded_len(rows[i].raw.len)};
		struct position position = {.topic_count = 77};
		const char *reason = NULL;
		unsigned flags = 99;

		base64url_encode((const uint8_t *)rows[i].raw.base, rows[i].raw.len, text);
		assert_int_equal(event_id_decode(id, FEED, &flags, &position, &reason),
				 ERROR_INVALID);
		assert_string_equal(reason, rows[i].reason);
		assert_int_equal(position.topic_count, 77);
		assert_int_equal(flags, 99);
	}
}

/* Text that is not strict base64url is refused: padding, white space, line breaks, NUL, other
 * bytes, set padding bits. */
static void test_event_id_malformed_text_is_refused(void **state)
{
	static const char *const changes[] = {"=", " ", "\n",   "\r",      "+",
					      "/", "%", "\xff", "\xc3\xa9"};
	struct buffer text = {0};
	struct position position;
	unsigned flags;
	size_t len;

	(void)state;
	position_init(&position, 1);
	position_set(&position, 0, 0, 7);
	event_id_encode(FEED, 0, &position, &text);
	position_fini(&position);
	len = text.len;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		buffer_append_text(&text, changes[i]);
		assert_int_equal(decode(buffer_slice(&text), &flags, &position), ERROR_INVALID);
		text.len = len;
	}
	buffer_append(&text, "\0", 1);
	assert_int_equal(decode(buffer_slice(&text), &flags, &position), ERROR_INVALID);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(decode((struct slice){text.base, cut}, &flags, &position),
				 ERROR_INVALID);
	buffer_free(&text);
}

/* Another feed's id is told apart from a malformed one. */
static void test_event_id_of_another_feed_is_foreign(void **state)
{
	struct buffer text = {0};
	struct position position;
	unsigned flags;

	(void)state;
	position_init(&position, 1);
	event_id_encode(FEED + 1, 0, &position, &text);
	position_fini(&position);
	assert_int_equal(decode(buffer_slice(&text), &flags, &position), ERROR_FOREIGN);
	buffer_free(&text);
}

/* The longest id that is taken, and one character more. */
static void test_event_id_too_long_is_refused(void **state)
{
	enum { PARTITIONS = EVENT_ID_MAX_BYTES / 4 * 3 - 10 - 1 - 3 };
	struct position position, decoded;
	struct buffer text = {0};
	const char *reason;
	unsigned flags;

	(void)state;
	position_init(&position, 1);
	position_set(&position, 0, PARTITIONS - 1, 1);
	event_id_encode(FEED, 0, &position, &text);
	assert_int_equal(text.len, EVENT_ID_MAX_BYTES);
	assert_int_equal(decode(buffer_slice(&text), &flags, &decoded), 0);
	check_same(&position, &decoded);
	position_fini(&decoded);
	position_set(&position, 0, PARTITIONS, 1);
	buffer_clear(&text);
	event_id_encode(FEED, 0, &position, &text);
	assert_int_equal(event_id_decode(buffer_slice(&text), FEED, &flags, &decoded, &reason),
			 ERROR_INVALID);
	assert_string_equal(reason, "it is too long");
	position_fini(&position);
	buffer_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_event_id_round_trip_keeps_position),
	    cmocka_unit_test(test_event_id_text_is_the_documented_bytes),
	    cmocka_unit_test(test_event_id_malformed_bytes_are_refused),
	    cmocka_unit_test(test_event_id_malformed_text_is_refused),
	    cmocka_unit_test(test_event_id_of_another_feed_is_foreign),
	    cmocka_unit_test(test_event_id_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
