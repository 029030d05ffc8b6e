/* On a real PostgreSQL that goes away and comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/metrics.h"
#include "postgres/cursor_saver.h"
#include "unit/postgres/cluster.h"

enum { FLUSH_MS = CLUSTER_PATIENCE_MS };

static const struct cursors_settings settings = {
    .save_ms = 1000, .forget_ms = 60000, .per_subject = 2};

static struct worker *worker;
static struct cursor_saver *saver;

static int begin(void **state)
{
	(void)state;
	cluster_execute("truncate stream_cursor");
	worker = worker_new(&cluster.settings, "sluice cursors", 10);
	worker_start(worker);
	saver = cursor_saver_new(&settings, worker);
	return 0;
}

static int end(void **state)
{
	(void)state;
	worker_stop(worker);
	cursor_saver_free(saver);
	worker_free(worker);
	return 0;
}

static struct cursors_key key_of(const char *name)
{
	return (struct cursors_key){SLICE_LIT("ada"), SLICE_LIT("orders"), slice_of(name),
				    SLICE_LIT("{}")};
}

/* A life that was claimed, or is to be. */
static struct cursor_life *begin_life(const char *name, bool claimed)
{
	const struct cursors_key key = key_of(name);
	struct buffer stored = {0};
	struct database *database;
	int64_t generation = 0;

	if (claimed) {
		database = database_new(&cluster.settings, "sluice test");
		cluster_must(database, cursors_claim(database, &key, (struct slice){NULL, 0}, 1000,
						     &generation, &stored));
		database_free(database);
	}
	buffer_free(&stored);
	return cursor_saver_begin(saver, &key, generation);
}

static int64_t stands_at(const char *name, const char *event_id)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
		 "select count(*) from stream_cursor where name = '%s' and event_id = '%s'", name,
		 event_id);
	return cluster_ask(sql);
}

static void put(struct cursor_life *life, const char *event_id)
{
	cursor_saver_put(saver, life, slice_of(event_id));
}

static void finish(struct cursor_life *life, const char *event_id)
{
	cursor_saver_end(saver, life, slice_of(event_id));
}

/* The newest position is saved, by a tick or at once at the end. */
static void test_cursor_saver_saves_the_newest_position(void **state)
{
	struct cursor_life *life = begin_life("a", true);

	(void)state;
	put(life, "1");
	put(life, "2");
	cursor_saver_tick(saver);
	cursor_saver_flush(saver, FLUSH_MS);
	assert_int_equal(stands_at("a", "2"), 1);
	finish(life, "3");
	cursor_saver_flush(saver, FLUSH_MS);
	assert_int_equal(stands_at("a", "3"), 1);
}

/* Without a position of its own at the end, what was put before is saved, and nothing where nothing
 * was. */
static void test_cursor_saver_ended_without_a_position_keeps_the_last(void **state)
{
	struct cursor_life *a = begin_life("a", true), *b = begin_life("b", true);

	(void)state;
	put(a, "1");
	finish(a, "");
	finish(b, "");
	cursor_saver_flush(saver, FLUSH_MS);
	assert_int_equal(stands_at("a", "1"), 1);
	assert_int_equal(cluster_ask("select count(*) from stream_cursor where event_id is null"),
			 1);
}

/* One that could not be claimed when its stream was opened is claimed by its first save; of two,
 * the one that is claimed later wins. */
static void test_cursor_saver_claims_what_was_not(void **state)
{
	struct cursor_life *early = begin_life("a", true), *late = begin_life("a", false);
	uint64_t superseded = metrics_sum(METRIC_CURSOR_SAVES_SUPERSEDED);

	(void)state;
	put(late, "late");
	cursor_saver_flush(saver, FLUSH_MS);
	assert_int_equal(stands_at("a", "late"), 1);
	finish(early, "early");
	cursor_saver_flush(saver, FLUSH_MS);
	assert_int_equal(stands_at("a", "late"), 1);
	assert_int_equal(metrics_sum(METRIC_CURSOR_SAVES_SUPERSEDED), superseded + 1);
	finish(late, "later");
	cursor_saver_flush(saver, FLUSH_MS);
	assert_int_equal(stands_at("a", "later"), 1);
}

/* A subject that has too many gets no further one; the others are saved all the same. */
static void test_cursor_saver_at_the_limit_saves_the_others(void **state)
{
	struct cursor_life *a = begin_life("a", true), *b = begin_life("b", true),
			   *c = begin_life("c", false);

	(void)state;
	put(c, "1");
	put(a, "1");
	cursor_saver_flush(saver, FLUSH_MS);
	assert_int_equal(stands_at("a", "1"), 1);
	assert_int_equal(cluster_ask("select count(*) from stream_cursor"), 2);
	finish(a, "2");
	finish(b, "2");
	finish(c, "2");
	cursor_saver_flush(saver, FLUSH_MS);
	assert_int_equal(cluster_ask("select count(*) from stream_cursor where event_id = '2'"), 2);
}

static void await_failure(uint64_t before)
{
	cluster_await_that(
	    (cursor_saver_tick(saver), metrics_sum(METRIC_CURSOR_SAVE_FAILURES) > before));
}

/* What can't be saved waits, the newest of each alone, and is saved when PostgreSQL is back. */
static void test_cursor_saver_saves_when_postgresql_is_back(void **state)
{
	struct cursor_life *a = begin_life("a", true), *b = begin_life("b", true);
	uint64_t failures = metrics_sum(METRIC_CURSOR_SAVE_FAILURES);

	(void)state;
	put(a, "1");
	cursor_saver_flush(saver, FLUSH_MS);
	cluster_kill();
	put(a, "2");
	put(b, "1");
	await_failure(failures);
	put(a, "3");
	finish(b, "");
	await_failure(metrics_sum(METRIC_CURSOR_SAVE_FAILURES));
	cluster_start();
	assert_int_equal(stands_at("a", "1"), 1);
	cluster_await_that((cursor_saver_tick(saver), stands_at("a", "3")));
	cluster_await_that((cursor_saver_tick(saver), stands_at("b", "1")));
	finish(a, "4");
	cluster_await_that((cursor_saver_tick(saver), stands_at("a", "4")));
}

/* With PostgreSQL gone for good nothing hangs: what was not saved is given up at the end. */
static void test_cursor_saver_stopped_without_postgresql_ends(void **state)
{
	struct cursor_life *a = begin_life("a", true);
	uint64_t failures = metrics_sum(METRIC_CURSOR_SAVE_FAILURES);

	(void)state;
	cluster_stop();
	put(a, "1");
	await_failure(failures);
	finish(a, "2");
	cursor_saver_flush(saver, FLUSH_MS);
	worker_stop(worker);
	cluster_start();
	assert_int_equal(stands_at("a", "1") + stands_at("a", "2"), 0);
}

/* However many streams end while PostgreSQL is away, a bounded number waits for it. */
static void test_cursor_saver_with_too_many_ended_gives_the_rest_up(void **state)
{
	enum { WAIT = 10000, REST = 5 };
	const struct cursors_key key = key_of("a");
	uint64_t superseded = metrics_sum(METRIC_CURSOR_SAVES_SUPERSEDED);

	(void)state;
	cluster_stop();
	/* Generations that nobody has: what is saved is known by that. */
	for (int i = 1; i <= WAIT + REST; i++)
		finish(cursor_saver_begin(saver, &key, INT64_MAX - i), "1");
	cluster_start();
	cluster_await_that((cursor_saver_tick(saver),
			    metrics_sum(METRIC_CURSOR_SAVES_SUPERSEDED) - superseded >= WAIT));
	cursor_saver_flush(saver, FLUSH_MS);
	assert_int_equal(metrics_sum(METRIC_CURSOR_SAVES_SUPERSEDED) - superseded, WAIT);
}

/* Many lives on many threads, put and ended while the worker saves: each stands at its last. */
static void *live(void *argument)
{
	enum { LIVES = 50, PUTS = 20 };
	int thread = *(int *)argument;
	char name[32], id[32];

	for (int i = 0; i < LIVES; i++) {
		snprintf(name, sizeof(name), "n%d-%d", thread, i);
		struct cursor_life *life = begin_life(name, true);

		for (int n = 0; n < PUTS; n++) {
			snprintf(id, sizeof(id), "%d", n);
			put(life, id);
			if (n % 3 == 0)
				cursor_saver_tick(saver);
		}
		finish(life, i % 2 ? "last" : "");
	}
	return NULL;
}

static void test_cursor_saver_with_many_threads_keeps_the_last(void **state)
{
	enum { THREADS = 4 };
	pthread_t threads[THREADS];
	int numbers[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, live, &numbers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	cursor_saver_flush(saver, FLUSH_MS);
	assert_int_equal(cluster_ask("select count(*) from stream_cursor where event_id = 'last'"),
			 100);
	assert_int_equal(cluster_ask("select count(*) from stream_cursor where event_id = '19'"),
			 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_cursor_saver_saves_the_newest_position),
	    TEST(test_cursor_saver_ended_without_a_position_keeps_the_last),
	    TEST(test_cursor_saver_claims_what_was_not),
	    TEST(test_cursor_saver_at_the_limit_saves_the_others),
	    TEST(test_cursor_saver_saves_when_postgresql_is_back),
	    TEST(test_cursor_saver_stopped_without_postgresql_ends),
	    TEST(test_cursor_saver_with_too_many_ended_gives_the_rest_up),
	    TEST(test_cursor_saver_with_many_threads_keeps_the_last),
	};

	return cmocka_run_group_tests(tests, cluster_open_migrated, cluster_close);
}
