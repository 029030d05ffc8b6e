#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>

#include "cluster.h"
#include "postgres/worker.h"

/* A job that notes where and how it ran. */
struct note {
	struct worker_job job;
	const char *sql;
	_Atomic int runs, rc;
	_Atomic int place; /* among all */
	char thread[16];
};

enum { HANDED_BACK = 1 };

static _Atomic int places;

static void run_note(struct worker_job *job, struct database *database)
{
	struct note *note = (struct note *)job;

	pthread_getname_np(pthread_self(), note->thread, sizeof(note->thread));
	atomic_store(&note->rc, database ? database_execute(database, note->sql) : HANDED_BACK);
	atomic_store(&note->place, atomic_fetch_add(&places, 1));
	atomic_fetch_add(&note->runs, 1);
}

static void init_note(struct note *note, const char *sql)
{
	*note = (struct note){.job.run = run_note, .sql = sql};
}

/* Jobs run once each, in their order, on the worker's thread. */
static void test_worker_jobs_run_in_order(void **state)
{
	struct worker *worker = worker_new(&cluster.settings, "sluice jobs", 100);
	struct note notes[100];
	int first;

	(void)state;
	cluster_execute("create table done (n integer)");
	for (size_t i = 0; i < 100; i++) {
		init_note(&notes[i], "insert into done values (1)");
		assert_int_equal(worker_submit(worker, &notes[i].job), 0);
	}
	worker_start(worker);
	cluster_await_that(atomic_load(&notes[99].runs));
	worker_stop(worker);
	first = atomic_load(&notes[0].place);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(atomic_load(&notes[i].runs), 1);
		assert_int_equal(atomic_load(&notes[i].rc), 0);
		assert_int_equal(atomic_load(&notes[i].place) - first, i);
		assert_string_equal(notes[i].thread, "sluice jobs");
	}
	worker_free(worker);
	assert_int_equal(cluster_ask("select count(*) from done"), 100);
}

/* No more jobs wait than there is room for; what is refused stays with the caller. */
static void test_worker_full_queue_refuses(void **state)
{
	struct worker *worker = worker_new(&cluster.settings, "sluice jobs", 2);
	struct note notes[3];

	(void)state;
	for (size_t i = 0; i < 3; i++)
		init_note(&notes[i], "select 1");
	assert_int_equal(worker_submit(worker, &notes[0].job), 0);
	assert_int_equal(worker_submit(worker, &notes[1].job), 0);
	assert_int_equal(worker_submit(worker, &notes[2].job), ERROR_LIMIT);
	worker_start(worker);
	cluster_await_that(atomic_load(&notes[1].runs));
	assert_int_equal(worker_submit(worker, &notes[2].job), 0);
	cluster_await_that(atomic_load(&notes[2].runs));
	worker_stop(worker);
	worker_free(worker);
}

/* A stop interrupts the job that runs, and hands the others back undone. */
static void test_worker_stop_hands_jobs_back(void **state)
{
	struct worker *worker = worker_new(&cluster.settings, "sluice jobs", 10);
	struct note sleeper, notes[3];

	(void)state;
	init_note(&sleeper, "select pg_sleep(600)");
	assert_int_equal(worker_submit(worker, &sleeper.job), 0);
	worker_start(worker);
	cluster_await("select count(*) from pg_stat_activity where application_name = "
		      "'sluice jobs' and wait_event = 'PgSleep'",
		      1);
	for (size_t i = 0; i < 3; i++) {
		init_note(&notes[i], "select 1");
		assert_int_equal(worker_submit(worker, &notes[i].job), 0);
	}
	worker_stop(worker);
	assert_int_equal(atomic_load(&sleeper.rc), ERROR_CANCELLED);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(atomic_load(&notes[i].runs), 1);
		assert_int_equal(atomic_load(&notes[i].rc), HANDED_BACK);
	}
	worker_free(worker);
}

/* After its stop it takes no more. */
static void test_worker_that_has_stopped_refuses(void **state)
{
	struct worker *worker = worker_new(&cluster.settings, "sluice jobs", 10);
	struct note note;

	(void)state;
	init_note(&note, "select 1");
	worker_start(worker);
	worker_stop(worker);
	assert_int_equal(worker_submit(worker, &note.job), ERROR_LIMIT);
	assert_int_equal(atomic_load(&note.runs), 0);
	worker_free(worker);
}

/* One that never started hands back what it was given. */
static void test_worker_that_never_started_hands_jobs_back(void **state)
{
	struct worker *worker = worker_new(&cluster.settings, "sluice jobs", 10);
	struct note note;

	(void)state;
	init_note(&note, "select 1");
	assert_int_equal(worker_submit(worker, &note.job), 0);
	worker_stop(worker);
	assert_int_equal(atomic_load(&note.rc), HANDED_BACK);
	worker_free(worker);
}

/* A job while the server is away fails; one after its return does not. */
static void test_worker_goes_on_after_a_restart(void **state)
{
	struct worker *worker = worker_new(&cluster.settings, "sluice jobs", 10);
	struct note note;

	(void)state;
	worker_start(worker);
	cluster_kill();
	init_note(&note, "select 1");
	assert_int_equal(worker_submit(worker, &note.job), 0);
	cluster_await_that(atomic_load(&note.runs));
	assert_int_equal(atomic_load(&note.rc), ERROR_UNAVAILABLE);
	cluster_start();
	do {
		init_note(&note, "select 1");
		assert_int_equal(worker_submit(worker, &note.job), 0);
		cluster_await_that(atomic_load(&note.runs));
	} while (atomic_load(&note.rc) == ERROR_UNAVAILABLE);
	assert_int_equal(atomic_load(&note.rc), 0);
	worker_stop(worker);
	worker_free(worker);
}

enum { SUBMITTERS = 4, JOBS_EACH = 200 };

struct submitter {
	pthread_t thread;
	struct worker *worker;
	struct note notes[JOBS_EACH];
};

static void *submit_many(void *context)
{
	struct submitter *submitter = context;

	for (size_t i = 0; i < JOBS_EACH; i++) {
		init_note(&submitter->notes[i], "select 1");
		while (worker_submit(submitter->worker, &submitter->notes[i].job))
			usleep(1000);
	}
	return NULL;
}

/* Many threads submit at the same time, and none of their jobs is lost or done twice. */
static void test_worker_takes_jobs_of_many_threads(void **state)
{
	struct worker *worker = worker_new(&cluster.settings, "sluice jobs", 16);
	struct submitter *submitters = mem_zalloc(SUBMITTERS * sizeof(*submitters));

	(void)state;
	worker_start(worker);
	for (size_t i = 0; i < SUBMITTERS; i++) {
		submitters[i].worker = worker;
		pthread_create(&submitters[i].thread, NULL, submit_many, &submitters[i]);
	}
	for (size_t i = 0; i < SUBMITTERS; i++)
		pthread_join(submitters[i].thread, NULL);
	worker_stop(worker);
	for (size_t i = 0; i < SUBMITTERS * JOBS_EACH; i++)
		assert_int_equal(atomic_load(&submitters[i / JOBS_EACH].notes[i % JOBS_EACH].runs),
				 1);
	worker_free(worker);
	free(submitters);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_worker_jobs_run_in_order),
	    cmocka_unit_test(test_worker_full_queue_refuses),
	    cmocka_unit_test(test_worker_stop_hands_jobs_back),
	    cmocka_unit_test(test_worker_that_has_stopped_refuses),
	    cmocka_unit_test(test_worker_that_never_started_hands_jobs_back),
	    cmocka_unit_test(test_worker_goes_on_after_a_restart),
	    cmocka_unit_test(test_worker_takes_jobs_of_many_threads),
	};

	return cmocka_run_group_tests(tests, cluster_open, cluster_close);
}
