#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "event/position.h"

/* Topic 0 with partitions 10 and 20, topic 1 with partition 30. */
static void init_three(struct position *position)
{
	position_init(position, 2);
	position_set(position, 0, 0, 10);
	position_set(position, 0, 1, 20);
	position_set(position, 1, 0, 30);
}

/* What is not in a position counts as 0, whether topic or partition. */
static void test_position_absent_partition_is_zero(void **state)
{
	struct position position;

	(void)state;
	position_init(&position, 1);
	assert_int_equal(position_get(&position, 0, 0), 0);
	assert_int_equal(position_get(&position, 0, UINT32_MAX), 0);
	assert_int_equal(position_get(&position, 7, 0), 0);
	position_fini(&position);
	position_init(&position, 0);
	assert_int_equal(position_get(&position, 0, 0), 0);
	position_fini(&position);
}

/* A new partition grows its topic; those between begin at 0 and the others stay. */
static void test_position_set_beyond_end_grows_with_zeros(void **state)
{
	struct position position;

	(void)state;
	init_three(&position);
	position_set(&position, 0, 4, INT64_MAX);
	assert_int_equal(position.topics[0].partition_count, 5);
	assert_int_equal(position_get(&position, 0, 0), 10);
	assert_int_equal(position_get(&position, 0, 2), 0);
	assert_int_equal(position_get(&position, 0, 3), 0);
	assert_true(position_get(&position, 0, 4) == INT64_MAX);
	assert_int_equal(position_get(&position, 1, 0), 30);
	position_fini(&position);
}

/* A copy has the same offsets and its own memory. */
static void test_position_copy_is_independent(void **state)
{
	struct position from, to;

	(void)state;
	init_three(&from);
	position_copy(&to, &from);
	position_set(&from, 0, 1, 99);
	assert_int_equal(to.topic_count, 2);
	assert_int_equal(position_get(&to, 0, 1), 20);
	assert_int_equal(position_get(&to, 1, 0), 30);
	position_fini(&from);
	position_fini(&to);
}

/* Assigning replaces whatever was there, more or fewer topics and partitions, none included. */
static void test_position_assign_replaces_any_shape(void **state)
{
	struct position from, to, empty;

	(void)state;
	init_three(&from);
	position_init(&empty, 2);
	position_init(&to, 5);
	position_set(&to, 4, 7, 1);
	position_assign(&to, &from);
	assert_int_equal(to.topic_count, 2);
	assert_int_equal(to.topics[0].partition_count, 2);
	assert_int_equal(position_get(&to, 1, 0), 30);
	position_assign(&to, &empty);
	assert_int_equal(to.topics[0].partition_count, 0);
	position_assign(&to, &from);
	assert_int_equal(position_get(&to, 0, 1), 20);
	position_assign(&to, &to);
	assert_int_equal(position_get(&to, 0, 1), 20);
	position_fini(&from);
	position_fini(&empty);
	position_fini(&to);
}

/* One partition ahead is enough to be not before; equal is at; absent is 0 on both sides. */
static void test_position_order_looks_at_every_partition(void **state)
{
	struct position a, b;

	(void)state;
	init_three(&a);
	position_copy(&b, &a);
	assert_true(position_at_or_before(&a, &b));
	position_set(&b, 1, 0, 31);
	assert_true(position_at_or_before(&a, &b));
	assert_false(position_at_or_before(&b, &a));
	position_set(&a, 0, 0, 11);
	assert_false(position_at_or_before(&a, &b));
	assert_false(position_at_or_before(&b, &a));
	position_fini(&a);
	init_three(&a);
	position_set(&a, 1, 5, 0);
	assert_true(position_at_or_before(&a, &b));
	position_set(&a, 1, 5, 1);
	assert_false(position_at_or_before(&a, &b));
	position_fini(&a);
	position_fini(&b);
}

/* Merging takes the higher offset of each partition and never goes back. */
static void test_position_merge_takes_the_higher(void **state)
{
	struct position to, from;

	(void)state;
	init_three(&to);
	init_three(&from);
	position_set(&from, 0, 0, 5);
	position_set(&from, 0, 1, 25);
	position_set(&from, 1, 2, 7);
	position_merge(&to, &from);
	assert_int_equal(position_get(&to, 0, 0), 10);
	assert_int_equal(position_get(&to, 0, 1), 25);
	assert_int_equal(position_get(&to, 1, 0), 30);
	assert_int_equal(position_get(&to, 1, 2), 7);
	position_fini(&to);
	position_fini(&from);
}

/* Limiting takes the lower offset of each partition; what the limit lacks is 0 there. */
static void test_position_limit_takes_the_lower(void **state)
{
	struct position to, most;

	(void)state;
	init_three(&to);
	init_three(&most);
	position_set(&most, 0, 0, 5);
	position_set(&most, 0, 1, 25);
	position_set(&most, 1, 2, 7);
	position_set(&to, 0, 2, 9);
	position_limit(&to, &most);
	assert_int_equal(position_get(&to, 0, 0), 5);
	assert_int_equal(position_get(&to, 0, 1), 20);
	assert_int_equal(position_get(&to, 0, 2), 0);
	assert_int_equal(position_get(&to, 1, 0), 30);
	assert_int_equal(position_get(&to, 1, 2), 0);
	position_fini(&to);
	position_fini(&most);
}

/* A position of fewer topics, as a forged id may carry, gains those that it lacks: set or merged.
 */
static void test_position_of_fewer_topics_grows(void **state)
{
	struct position to, from;

	(void)state;
	init_three(&from);
	position_init(&to, 0);
	position_merge(&to, &from);
	assert_int_equal(to.topic_count, 2);
	assert_int_equal(position_get(&to, 1, 0), 30);
	position_set(&to, POSITION_MAX_TOPICS - 1, 0, 4);
	assert_int_equal(position_get(&to, 1, 0), 30);
	assert_int_equal(position_get(&to, POSITION_MAX_TOPICS - 1, 0), 4);
	position_merge(&from, &to);
	assert_true(position_at_or_before(&from, &to) && position_at_or_before(&to, &from));
	position_fini(&to);
	position_fini(&from);
}

/* Partitions from the count on are forgotten; they count as 0, also when the topic grows again. */
static void test_position_truncate_forgets_the_rest(void **state)
{
	struct position position, copy;

	(void)state;
	init_three(&position);
	position_truncate(&position, 0, 5);
	assert_int_equal(position_get(&position, 0, 1), 20);
	position_truncate(&position, 0, 1);
	position_truncate(&position, 1, 0);
	assert_int_equal(position_get(&position, 0, 0), 10);
	assert_int_equal(position_get(&position, 0, 1), 0);
	position_copy(&copy, &position);
	assert_int_equal(copy.topics[0].partition_count, 1);
	position_set(&position, 0, 2, 7);
	assert_int_equal(position_get(&position, 0, 1), 0);
	position_fini(&copy);
	position_fini(&position);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_position_absent_partition_is_zero),
	    cmocka_unit_test(test_position_set_beyond_end_grows_with_zeros),
	    cmocka_unit_test(test_position_copy_is_independent),
	    cmocka_unit_test(test_position_assign_replaces_any_shape),
	    cmocka_unit_test(test_position_order_looks_at_every_partition),
	    cmocka_unit_test(test_position_merge_takes_the_higher),
	    cmocka_unit_test(test_position_limit_takes_the_lower),
	    cmocka_unit_test(test_position_of_fewer_topics_grows),
	    cmocka_unit_test(test_position_truncate_forgets_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
