#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/budget_priv.h"
#include "http/timer_list_priv.h"

static struct timer_list list;
static struct timer timers[4];
static int expired[8];
static int count;

static void on_expire(struct timer *timer)
{
	expired[count++] = (int)(timer - timers);
	/* The first takes the second with it, and sets itself again. */
	if (timer == &timers[0] && count == 1) {
		timer_list_clear(&timers[1]);
		timer_list_set(&list, timer, 1000);
	}
}

static int start(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++)
		timers[i] = (struct timer){0};
	count = 0;
	timer_list_init(&list, 10, on_expire);
	return 0;
}

/* They expire at their time, in their order, once; what is set again counts from then. */
static void test_timer_list_expires_in_order(void **state)
{
	(void)state;
	timer_list_set(&list, &timers[2], 0);
	timer_list_set(&list, &timers[3], 5);
	timer_list_run(&list, 9);
	assert_int_equal(count, 0);
	timer_list_set(&list, &timers[2], 6);
	timer_list_run(&list, 15);
	assert_int_equal(count, 1);
	assert_int_equal(expired[0], 3);
	timer_list_run(&list, 1000);
	timer_list_run(&list, 2000);
	assert_int_equal(count, 2);
	assert_int_equal(expired[1], 2);
}

/* One that expires may clear another that is due, and set itself again. */
static void test_timer_list_changed_while_it_runs_goes_on(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		timer_list_set(&list, &timers[i], 0);
	timer_list_run(&list, 50);
	assert_int_equal(count, 2);
	assert_int_equal(expired[0], 0);
	assert_int_equal(expired[1], 2);
	timer_list_clear(&timers[1]);
	timer_list_run(&list, 1009);
	assert_int_equal(count, 2);
	timer_list_run(&list, 1010);
	assert_int_equal(count, 3);
	assert_int_equal(expired[2], 0);
}

/* A set timer moves from one list to another. */
static void test_timer_list_moves_a_timer(void **state)
{
	struct timer_list other;

	(void)state;
	timer_list_init(&other, 1, on_expire);
	timer_list_set(&list, &timers[3], 0);
	timer_list_set(&other, &timers[3], 0);
	timer_list_run(&list, 1000);
	assert_int_equal(count, 0);
	timer_list_run(&other, 1);
	assert_int_equal(count, 1);
}

/* A budget is used up, comes back with time, in steps however small, and never holds more than its
 * capacity. */
static void test_budget_fills_with_time(void **state)
{
	struct budget budget;
	int spent = 0;

	(void)state;
	budget_init(&budget, 3, 10, 1000);
	for (int i = 0; i < 5; i++)
		spent += budget_spend(&budget, 1000);
	assert_int_equal(spent, 3);
	for (uint64_t now = 1001; now <= 1200; now++)
		spent += budget_spend(&budget, now);
	assert_int_equal(spent, 5);
	for (int i = 0; i < 5; i++)
		spent += budget_spend(&budget, 1000000);
	assert_int_equal(spent, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_timer_list_expires_in_order, start),
	    cmocka_unit_test_setup(test_timer_list_changed_while_it_runs_goes_on, start),
	    cmocka_unit_test_setup(test_timer_list_moves_a_timer, start),
	    cmocka_unit_test(test_budget_fills_with_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
