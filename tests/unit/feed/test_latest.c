#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "feed/kept_record_priv.h"
#include "feed/latest_priv.h"

enum { MAX_LISTED = 64 };

static struct epoch *epoch;
static int reader;
static struct window *window;
static struct position position;
static struct latest *latest;

static void open_window(uint64_t budget, bool by_key)
{
	epoch = epoch_new();
	reader = epoch_join(epoch);
	window = window_new(budget, 2, false, epoch);
	position_init(&position, 2);
	latest = latest_new();
	latest_begin(latest, window, by_key);
}

static void close_window(void)
{
	latest_free(latest);
	window_free(window);
	epoch_leave(epoch, reader);
	epoch_free(epoch);
	position_fini(&position);
}

/* Appends an entry and puts it. `key` without base: null. */
static uint64_t put(uint16_t topic, struct slice key, enum window_kind kind)
{
	const struct record record = {.has_key = key.base, .key = key};
	int64_t offset = position_get(&position, topic, 0);
	const struct window_entry entry = {.topic = topic, .offset = offset, .kind = (uint8_t)kind};
	const struct window_segment *segment;
	struct buffer kept = {0};
	uint64_t version, head, end;

	position_set(&position, topic, 0, offset + 1);
	if (kind == WINDOW_EVENT)
		kept_record_append_key(&record, &kept);
	window_append(window, &entry, NULL, buffer_slice(&kept), SLICE_LIT("data: x\n\n"),
		      &position, offset);
	window_publish(window, &position);
	epoch_quiesce(epoch, reader);
	head = window_head(window, &position, &version);
	segment = window_find(window, head - 1, &end);
	latest_put(latest, segment, window_entry_at(segment, head - 1));
	buffer_free(&kept);
	return head - 1;
}

static void expect(uint64_t from, const char *expected)
{
	uint64_t listed[MAX_LISTED];
	size_t count = latest_list(latest, from, listed, MAX_LISTED);
	char text[256] = "";

	assert_true(count <= MAX_LISTED);
	for (size_t i = 0; i < count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%llu", i ? " " : "",
			 (unsigned long long)listed[i]);
	assert_string_equal(text, expected);
}

/* The newest of each key is listed, in the order of the window. */
static void test_latest_put_takes_the_place_of_its_key(void **state)
{
	(void)state;
	open_window(1 << 20, true);
	expect(0, "");
	put(0, SLICE_LIT("a"), WINDOW_EVENT);
	put(0, SLICE_LIT("b"), WINDOW_EVENT);
	put(0, SLICE_LIT("c"), WINDOW_EVENT);
	expect(0, "0 1 2");
	put(0, SLICE_LIT("a"), WINDOW_EVENT);
	expect(0, "1 2 3");
	put(0, SLICE_LIT("a"), WINDOW_EVENT);
	put(0, SLICE_LIT("c"), WINDOW_EVENT);
	expect(0, "1 4 5");
	expect(2, "4 5");
	expect(5, "5");
	expect(6, "");
	close_window();
}

/* Keys are what they are byte by byte, in a topic; null and empty are two, and a notice is like
 * nothing else. */
static void test_latest_keys_that_differ_stay_apart(void **state)
{
	static const struct {
		uint16_t topic;
		struct slice key;
	} rows[] = {
	    {0, {NULL, 0}},  {0, {"", 0}},      {1, {NULL, 0}},       {1, {"", 0}},
	    {0, {"\0", 1}},  {0, {"\0\0", 2}},  {0, {"a", 1}},        {1, {"a", 1}},
	    {0, {"a\0", 2}}, {0, {"a\r\n", 3}}, {0, {"\xff\xfe", 2}},
	};
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

	(void)state;
	open_window(1 << 20, true);
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < ROWS; i++)
			put(rows[i].topic, rows[i].key, WINDOW_EVENT);
	assert_int_equal(latest_count(latest), ROWS);
	put(0, (struct slice){0}, WINDOW_NOTICE);
	put(0, (struct slice){0}, WINDOW_NOTICE);
	put(0, rows[0].key, WINDOW_EVENT);
	assert_int_equal(latest_count(latest), ROWS + 2);
	close_window();
}

/* Without keys the newest of all is listed, and the notices. */
static void test_latest_of_one_key_is_the_newest_and_the_notices(void **state)
{
	(void)state;
	open_window(1 << 20, false);
	put(0, SLICE_LIT("a"), WINDOW_EVENT);
	put(1, SLICE_LIT("b"), WINDOW_EVENT);
	expect(0, "1");
	put(0, (struct slice){0}, WINDOW_NOTICE);
	expect(0, "1 2");
	put(0, (struct slice){0}, WINDOW_EVENT);
	expect(0, "2 3");
	close_window();
}

/* So many as are asked for are the oldest; the count is that of all. */
static void test_latest_list_of_a_few_gives_the_oldest(void **state)
{
	uint64_t listed[2];
	char key[8];

	(void)state;
	open_window(1 << 20, true);
	for (int i = 0; i < 10; i++) {
		int len = snprintf(key, sizeof(key), "%d", i);

		put(0, (struct slice){key, (size_t)len}, WINDOW_EVENT);
	}
	assert_int_equal(latest_list(latest, 3, listed, 2), 7);
	assert_int_equal(listed[0], 3);
	assert_int_equal(listed[1], 4);
	close_window();
}

/* What is forgotten is not listed, its place is used again, and its key begins anew. */
static void test_latest_forget_leaves_the_newer(void **state)
{
	uint64_t last = 0;
	char key[8];

	(void)state;
	open_window(1 << 20, true);
	for (int i = 0; i < 3000; i++) {
		int len = snprintf(key, sizeof(key), "%d", i);

		last = put(0, (struct slice){key, (size_t)len}, WINDOW_EVENT);
		if (i % 100 == 99)
			latest_forget(latest, last - 4);
	}
	assert_int_equal(latest_count(latest), 5);
	expect(0, "2995 2996 2997 2998 2999");
	put(0, SLICE_LIT("2996"), WINDOW_EVENT);
	put(0, SLICE_LIT("7"), WINDOW_EVENT);
	expect(0, "2995 2997 2998 2999 3000 3001");
	latest_forget(latest, UINT64_MAX);
	expect(0, "");
	latest_begin(latest, window, true);
	put(0, SLICE_LIT("7"), WINDOW_EVENT);
	expect(0, "3002");
	close_window();
}

/* An entry that has left the window is like no other: its key is listed once more, until it is
 * forgotten. */
static void test_latest_of_what_left_the_window_is_not_looked_at(void **state)
{
	(void)state;
	open_window(64 << 10, true);
	put(0, SLICE_LIT("a"), WINDOW_EVENT);
	while (!window_tail(window))
		put(0, SLICE_LIT("b"), WINDOW_EVENT);
	put(0, SLICE_LIT("a"), WINDOW_EVENT);
	assert_int_equal(latest_count(latest), 3);
	latest_forget(latest, window_tail(window));
	assert_int_equal(latest_count(latest), 2);
	close_window();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_latest_put_takes_the_place_of_its_key),
	    cmocka_unit_test(test_latest_keys_that_differ_stay_apart),
	    cmocka_unit_test(test_latest_of_one_key_is_the_newest_and_the_notices),
	    cmocka_unit_test(test_latest_list_of_a_few_gives_the_oldest),
	    cmocka_unit_test(test_latest_forget_leaves_the_newer),
	    cmocka_unit_test(test_latest_of_what_left_the_window_is_not_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
