#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base64url.h"
#include "event/combined_id.h"

/* What COMBINED_ID_IDENTITY_CHARS of it are for `addresses`. */
#define IDENTITY "~KAZJ4kR2"

static const struct slice addresses[] = {
    {"/users/42/orders", 16}, {"/topics/alerts?level=warn", 25}, {"/a", 2}};

static struct combined_id make(void)
{
	struct combined_id id;

	combined_id_init(&id, addresses, 3);
	return id;
}

static void check_text(const struct combined_id *id, const char *expected)
{
	struct buffer text = {0};

	combined_id_append(id, &text);
	assert_string_equal(buffer_text(&text), expected);
	buffer_free(&text);
}

static void check_part(const struct combined_id *id, size_t stream, struct slice expected)
{
	struct buffer part = {0};

	combined_id_get(id, stream, &part);
	assert_int_equal(part.len, expected.len);
	assert_memory_equal(part.base ? part.base : "", expected.base, expected.len);
	buffer_free(&part);
}

/* The text is what the header says, character by character, so that other versions and replicas
 * understand it. */
static void test_combined_id_text_is_the_documented_one(void **state)
{
	struct combined_id id = make();

	(void)state;
	check_text(&id, IDENTITY "...");
	combined_id_set(&id, 1, SLICE_LIT("AQDmhtMJl5MpSwEBEQ"));
	check_text(&id, IDENTITY "..AQDmhtMJl5MpSwEBEQ.");
	combined_id_set(&id, 0, SLICE_LIT("order 7"));
	combined_id_set(&id, 2, SLICE_LIT("a-_9"));
	check_text(&id, IDENTITY ".~b3JkZXIgNw.AQDmhtMJl5MpSwEBEQ.a-_9");
	combined_id_set(&id, 0, SLICE_LIT("x"));
	check_text(&id, IDENTITY ".x.AQDmhtMJl5MpSwEBEQ.a-_9");
	combined_id_fini(&id);
}

/* Every id that a stream can give comes back as it was, from another process's text. */
static void test_combined_id_round_trip_keeps_every_id(void **state)
{
	static const struct slice ids[] = {
	    SLICE_LIT("A"),
	    SLICE_LIT("AQBIyDGwqbkRrAEEAQABAg"),
	    SLICE_LIT("~"),
	    SLICE_LIT("."),
	    SLICE_LIT("~x.y"),
	    SLICE_LIT("J\xc3\xb6rg 1"),
	    SLICE_LIT("\xf0\x9f\x90\x8d"),
	    SLICE_LIT("\t\x01 "),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct combined_id id = make(), back = make();
		struct buffer text = {0};
		const char *reason = NULL;

		combined_id_set(&id, i % 3, ids[i]);
		combined_id_append(&id, &text);
		assert_int_equal(combined_id_decode(&back, buffer_slice(&text), &reason), 0);
		check_part(&back, i % 3, ids[i]);
		check_part(&back, (i + 1) % 3, SLICE_LIT(""));
		check_text(&back, buffer_text(&text));
		combined_id_fini(&id);
		combined_id_fini(&back);
		buffer_free(&text);
	}
}

/* What is malformed is refused with a reason, and leaves the id as it was. */
static void test_combined_id_malformed_text_is_refused(void **state)
{
	static const struct {
		struct slice text;
		int rc;
	} rows[] = {
	    {SLICE_LIT(""), ERROR_INVALID},
	    {SLICE_LIT("~"), ERROR_INVALID},
	    {SLICE_LIT("AQBIyDGwqbkRrAEEAQABAg"), ERROR_INVALID},
	    {SLICE_LIT("~KAZJ4kR"), ERROR_INVALID},
	    {SLICE_LIT("~AAAAAAAA..."), ERROR_FOREIGN},
	    {SLICE_LIT("~kAZJ4kR2..."), ERROR_FOREIGN},
	    {SLICE_LIT(IDENTITY), ERROR_INVALID},
	    {SLICE_LIT(IDENTITY "."), ERROR_INVALID},
	    {SLICE_LIT(IDENTITY ".."), ERROR_INVALID},
	    {SLICE_LIT(IDENTITY "...."), ERROR_INVALID},
	    {SLICE_LIT(IDENTITY "A..."), ERROR_INVALID},
	    {SLICE_LIT(IDENTITY "...~"), ERROR_INVALID},
	    {SLICE_LIT(IDENTITY "...~A"), ERROR_INVALID},
	    {SLICE_LIT(IDENTITY "...~AA"), ERROR_INVALID}, /* NUL */
	    {SLICE_LIT(IDENTITY "...~b3JkZXIgNw="), ERROR_INVALID},
	    {SLICE_LIT(IDENTITY "...~b3JkZXIgNx"), ERROR_INVALID}, /* bits beyond the end */
	    {SLICE_LIT(IDENTITY "...~eHg"), ERROR_INVALID},        /* "xx" needs no mark */
	    {SLICE_LIT(IDENTITY "...~IA0"), ERROR_INVALID},        /* CR */
	    {SLICE_LIT(IDENTITY "...~IAo"), ERROR_INVALID},        /* LF */
	    {SLICE_LIT(IDENTITY "...~_w"), ERROR_INVALID},         /* not UTF-8 */
	    {SLICE_LIT(IDENTITY "...~wIA"), ERROR_INVALID},        /* overlong NUL */
	    {SLICE_LIT(IDENTITY "...~~"), ERROR_INVALID},
	    {SLICE_LIT(IDENTITY "...a b"), ERROR_INVALID},
	    {SLICE_LIT(IDENTITY "...a\0"), ERROR_INVALID},
	    {SLICE_LIT(IDENTITY "...a\r"), ERROR_INVALID},
	    {SLICE_LIT(IDENTITY "...a\n"), ERROR_INVALID},
	    {SLICE_LIT(IDENTITY "...\xc3\xa9"), ERROR_INVALID},
	    {SLICE_LIT(IDENTITY "...a="), ERROR_INVALID},
	    {SLICE_LIT(" " IDENTITY "..."), ERROR_INVALID},
	    {SLICE_LIT(IDENTITY "... "), ERROR_INVALID},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct combined_id id = make();
		const char *reason = NULL;

		combined_id_set(&id, 0, SLICE_LIT("before"));
		assert_int_equal(combined_id_decode(&id, rows[i].text, &reason), rows[i].rc);
		assert_non_null(reason);
		check_text(&id, IDENTITY ".before..");
		combined_id_fini(&id);
	}
}

/* An id belongs to its streams in their order: others, fewer, more, and another order have another
 * identity; so have addresses that are the same when they are joined. */
static void test_combined_id_other_streams_have_another_identity(void **state)
{
	static const struct {
		size_t count;
		struct slice addresses[3];
	} rows[] = {
	    {3, {{"/a", 2}, {"/b", 2}, {"/c", 2}}},
	    {3, {{"/b", 2}, {"/a", 2}, {"/c", 2}}},
	    {2, {{"/a", 2}, {"/b", 2}}},
	    {1, {{"/a", 2}}},
	    {2, {{"/a/b", 4}, {"/c", 2}}},
	    {2, {{"/a", 2}, {"/b/c", 4}}},
	    {1, {{"/a/b/c", 6}}},
	};
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		for (size_t j = 0; j < i; j++) {
			struct combined_id a, b;

			combined_id_init(&a, rows[i].addresses, rows[i].count);
			combined_id_init(&b, rows[j].addresses, rows[j].count);
			assert_memory_not_equal(a.identity, b.identity, COMBINED_ID_IDENTITY_CHARS);
		}
	}
}

static void check_length(size_t len, char c, bool fits)
{
	struct combined_id id = make(), back = make();
	struct buffer event_id = {0}, text = {0};
	const char *reason;

	memset(buffer_reserve(&event_id, len), c, len);
	event_id.len = len;
	combined_id_set(&id, 1, SLICE_LIT("before"));
	combined_id_set(&id, 1, buffer_slice(&event_id));
	check_part(&id, 1, fits ? buffer_slice(&event_id) : SLICE_LIT("before"));
	combined_id_append(&id, &text);
	assert_int_equal(combined_id_decode(&back, buffer_slice(&text), &reason), 0);
	combined_id_fini(&id);
	combined_id_fini(&back);
	buffer_free(&event_id);
	buffer_free(&text);
}

/* An id that is too long to come back leaves the one before it; what is given is always taken
 * back. */
static void test_combined_id_too_long_id_leaves_the_last(void **state)
{
	(void)state;
	check_length(COMBINED_ID_MAX_PLAIN_BYTES, 'a', true);
	check_length(COMBINED_ID_MAX_PLAIN_BYTES + 1, 'a', false);
	check_length(COMBINED_ID_MAX_OWN_BYTES, ' ', true);
	check_length(COMBINED_ID_MAX_OWN_BYTES + 1, ' ', false);
}

/* "ICAg" is three spaces. */
static void check_long_part(struct buffer *text, size_t len, int expected)
{
	struct combined_id id = make();
	const char *reason;
	size_t before = text->len;

	for (size_t i = 0; i < len; i++)
		buffer_append(text, &"ICAg"[i % 4], 1);
	assert_int_equal(combined_id_decode(&id, buffer_slice(text), &reason), expected);
	text->len = before;
	combined_id_fini(&id);
}

/* A part that is longer than any that is given is refused, whatever it would decode to. */
static void test_combined_id_too_long_part_is_refused(void **state)
{
	struct buffer text = {0};

	(void)state;
	buffer_append_text(&text, IDENTITY "...");
	check_long_part(&text, COMBINED_ID_MAX_PLAIN_BYTES, 0);
	check_long_part(&text, COMBINED_ID_MAX_PLAIN_BYTES + 1, ERROR_INVALID);
	buffer_append_text(&text, "~");
	check_long_part(&text, COMBINED_ID_MAX_OWN_BYTES / 3 * 4, 0);
	check_long_part(&text, COMBINED_ID_MAX_OWN_BYTES / 3 * 4 + 4, ERROR_INVALID);
	check_long_part(&text, 1000000, ERROR_INVALID);
	buffer_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_combined_id_text_is_the_documented_one),
	    cmocka_unit_test(test_combined_id_round_trip_keeps_every_id),
	    cmocka_unit_test(test_combined_id_malformed_text_is_refused),
	    cmocka_unit_test(test_combined_id_other_streams_have_another_identity),
	    cmocka_unit_test(test_combined_id_too_long_id_leaves_the_last),
	    cmocka_unit_test(test_combined_id_too_long_part_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
