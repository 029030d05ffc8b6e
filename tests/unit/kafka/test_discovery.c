#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kafka/discovery_priv.h"

struct fixture {
	struct ingest *ingest; /* not started */
	int first, second;     /* tokens */
	uint64_t wait_ms;
};

static int open_ingest(void **state)
{
	static const struct kafka_settings settings;
	static const struct ingest_sink sink;
	static struct fixture f;

	assert_int_equal(ingest_new(&settings, &sink, &f.ingest), 0);
	*state = &f;
	return 0;
}

static int close_ingest(void **state)
{
	const struct fixture *f = *state;

	ingest_free(f->ingest);
	return 0;
}

static struct ingest_topic *take_due(struct fixture *f)
{
	f->wait_ms = UINT64_MAX;
	return discovery_take_due(f->ingest, &f->wait_ms);
}

/* A wanted topic is due at once, and then not before somebody says so. */
static void test_discovery_wanted_topic_is_due_once(void **state)
{
	struct fixture *f = *state;

	ingest_want(f->ingest, "a", 0, &f->first);
	assert_ptr_equal(take_due(f)->token, &f->first);
	assert_null(take_due(f));
	assert_true(f->wait_ms > 0);
}

/* A topic that is wanted again, under another token, waits until the old one is posted to be
 * forgotten, and for nothing else. */
static void test_discovery_topic_wanted_again_waits_for_the_old_one(void **state)
{
	struct fixture *f = *state;

	ingest_want(f->ingest, "a", 0, &f->first);
	assert_ptr_equal(take_due(f)->token, &f->first);
	ingest_unwant(f->ingest, "a");
	ingest_want(f->ingest, "a", 0, &f->second);
	assert_null(take_due(f));
	assert_int_equal(f->wait_ms, 0);
}

/* An unwanted topic is never looked at. */
static void test_discovery_unwanted_topic_is_not_due(void **state)
{
	struct fixture *f = *state;

	ingest_want(f->ingest, "a", 0, &f->first);
	ingest_unwant(f->ingest, "a");
	assert_null(take_due(f));
	assert_int_equal(f->wait_ms, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_ingest, close_ingest)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_discovery_wanted_topic_is_due_once),
	    TEST(test_discovery_topic_wanted_again_waits_for_the_old_one),
	    TEST(test_discovery_unwanted_topic_is_not_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
