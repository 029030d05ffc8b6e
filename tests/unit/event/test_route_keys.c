#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "event/route_set_priv.h"

static void push(struct route_keys *keys, struct route_set *set, const char *tuple)
{
	size_t opened = route_set_open(keys);

	buffer_append_text(&keys->bytes, tuple);
	route_set_close(keys, set, opened);
}

/* The tuples of the set as "a,b,c". */
static void check_set(struct route_keys *keys, const struct route_set *set, const char *expected)
{
	struct buffer text = {0};
	struct slice key;
	size_t at = set->at;
	uint32_t count = 0;

	for (; route_keys_next(keys, &at, &key); count++) {
		buffer_append_text(&text, count ? "," : "");
		buffer_append_slice(&text, key);
	}
	assert_string_equal(buffer_text(&text), expected);
	assert_int_equal(count, set->count);
	buffer_free(&text);
}

/* Of equal tuples the first stays, whether they are few or many, and sets below are left alone. */
static void test_route_keys_repeats_are_removed(void **state)
{
	struct route_keys keys = {0};
	struct route_set below = route_set_start(&keys), set;

	(void)state;
	push(&keys, &below, "b");
	set = route_set_start(&keys);
	push(&keys, &set, "a");
	push(&keys, &set, "b");
	push(&keys, &set, "a");
	push(&keys, &set, "");
	push(&keys, &set, "");
	assert_int_equal(route_set_tighten(&keys, &set), 0);
	check_set(&keys, &set, "a,b,");
	for (int i = 0; i < 100; i++)
		push(&keys, &set, i % 2 ? "b" : "cc");
	assert_int_equal(route_set_tighten(&keys, &set), 0);
	check_set(&keys, &set, "a,b,,cc");
	route_set_clear(&keys, &set);
	check_set(&keys, &below, "b");
	route_keys_free(&keys);
}

/* A product joins each tuple of the left with each of the right; the unit changes nothing. */
static void test_route_keys_product_is_in_order(void **state)
{
	struct route_keys keys = {0};
	struct route_set left = route_set_unit(&keys), right;

	(void)state;
	right = route_set_start(&keys);
	push(&keys, &right, "a");
	push(&keys, &right, "b");
	assert_int_equal(route_set_multiply(&keys, &left, &right), 0);
	check_set(&keys, &left, "a,b");
	right = route_set_unit(&keys);
	assert_int_equal(route_set_multiply(&keys, &left, &right), 0);
	check_set(&keys, &left, "a,b");
	right = route_set_start(&keys);
	push(&keys, &right, "x");
	push(&keys, &right, "yy");
	push(&keys, &right, "");
	assert_int_equal(route_set_multiply(&keys, &left, &right), 0);
	check_set(&keys, &left, "ax,ayy,a,bx,byy,b");
	right = route_set_start(&keys);
	assert_int_equal(route_set_multiply(&keys, &left, &right), 0);
	check_set(&keys, &left, "");
	route_keys_free(&keys);
}

/* Only tuples that are equal to the last byte are shared. */
static void test_route_keys_intersect_compares_whole_keys(void **state)
{
	struct route_keys a = {0}, b = {0};
	struct route_set set_a = route_set_start(&a), set_b = route_set_start(&b);

	(void)state;
	assert_false(route_keys_intersect(&a, &b));
	push(&a, &set_a, "abc");
	push(&a, &set_a, "");
	a.count = set_a.count;
	assert_false(route_keys_intersect(&a, &b));
	push(&b, &set_b, "ab");
	push(&b, &set_b, "abcd");
	push(&b, &set_b, "abd");
	b.count = set_b.count;
	assert_false(route_keys_intersect(&a, &b));
	push(&b, &set_b, "abc");
	b.count = set_b.count;
	assert_true(route_keys_intersect(&a, &b));
	assert_true(route_keys_intersect(&b, &a));
	route_keys_clear(&b);
	assert_false(route_keys_intersect(&a, &b));
	route_keys_free(&a);
	route_keys_free(&b);
}

/* A hash is the same for the same bytes within a process, and differs for what differs. */
static void test_route_keys_hash_depends_on_all_bytes(void **state)
{
	char bytes[61] = {0};
	uint64_t hash = route_key_hash((struct slice){bytes, sizeof(bytes)});

	(void)state;
	assert_true(route_key_hash((struct slice){bytes, sizeof(bytes)}) == hash);
	assert_true(route_key_hash((struct slice){bytes, sizeof(bytes) - 1}) != hash);
	assert_true(route_key_hash((struct slice){NULL, 0}) != hash);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] = 1;
		assert_true(route_key_hash((struct slice){bytes, sizeof(bytes)}) != hash);
		bytes[i] = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_route_keys_repeats_are_removed),
	    cmocka_unit_test(test_route_keys_product_is_in_order),
	    cmocka_unit_test(test_route_keys_intersect_compares_whole_keys),
	    cmocka_unit_test(test_route_keys_hash_depends_on_all_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
