#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "postgres/database.h"
#include "private_postgres.h"

enum { PATIENCE_MS = 60000 };

static char base[64];

static int make_base(void **state)
{
	(void)state;
	strcpy(base, "/tmp/sluice-cluster-XXXXXX");
	/* The server's user has to get through. */
	return mkdtemp(base) && chmod(base, 0711) == 0 ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *state, int type, struct FTW *walk)
{
	(void)state, (void)type, (void)walk;
	remove(path);
	return 0;
}

static int remove_base(void **state)
{
	(void)state;
	return nftw(base, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static struct private_postgres *open_cluster(const char *folder)
{
	struct private_postgres *postgres;
	char path[512], why[512];

	snprintf(path, sizeof(path), "%s/%s", base, folder);
	if (private_postgres_new(path, NULL, &postgres, why) ||
	    private_postgres_start(postgres, why))
		fail_msg("%s", why);
	return postgres;
}

static void must_answer(const struct private_postgres *postgres)
{
	char *url = strdup(private_postgres_url(postgres));
	const struct postgres_settings settings = {
	    .url = url, .connect_timeout_ms = PATIENCE_MS, .statement_timeout_ms = PATIENCE_MS};
	struct database *database = database_new(&settings, "sluice test");

	if (database_execute(database, "select 1"))
		fail_msg("%s", database_error(database));
	database_free(database);
	free(url);
}

/* What was committed is there after a stop, a kill and a new start on the same folder. */
static void test_private_postgres_comes_back_after_anything(void **state)
{
	struct private_postgres *postgres = open_cluster("again");
	char why[512];

	(void)state;
	private_postgres_stop(postgres);
	private_postgres_stop(postgres);
	assert_int_equal(private_postgres_start(postgres, why), 0);
	private_postgres_pause(postgres);
	private_postgres_kill(postgres);
	assert_int_equal(private_postgres_start(postgres, why), 0);
	private_postgres_pause(postgres);
	private_postgres_stop(postgres);
	private_postgres_free(postgres);
	postgres = open_cluster("again");
	must_answer(postgres);
	private_postgres_free(postgres);
}

/* A folder has one owner at a time. */
static void test_private_postgres_folder_in_use_is_refused(void **state)
{
	struct private_postgres *postgres = open_cluster("used"), *second;
	char path[512], why[512];

	(void)state;
	snprintf(path, sizeof(path), "%s/used", base);
	assert_int_equal(private_postgres_new(path, NULL, &second, why), ERROR_IO);
	assert_non_null(strstr(why, "another process"));
	must_answer(postgres);
	private_postgres_free(postgres);
}

/* A path that is too long for a socket is none for a folder. */
static void test_private_postgres_long_folder_works(void **state)
{
	char folder[121];
	struct private_postgres *postgres;

	(void)state;
	memset(folder, 'x', 120);
	folder[120] = '\0';
	postgres = open_cluster(folder);
	must_answer(postgres);
	private_postgres_free(postgres);
}

/* An option that the server refuses is a failure with the server's words. */
static void test_private_postgres_failed_start_says_why(void **state)
{
	static const char *const options[] = {"shared_buffers=nonsense", NULL};
	struct private_postgres *postgres;
	char path[512], why[512];

	(void)state;
	snprintf(path, sizeof(path), "%s/refused", base);
	assert_int_equal(private_postgres_new(path, options, &postgres, why), 0);
	assert_int_equal(private_postgres_start(postgres, why), ERROR_IO);
	assert_non_null(strstr(why, "PostgreSQL ended at once"));
	assert_non_null(strstr(why, "shared_buffers"));
	private_postgres_free(postgres);
}

/* It does not outlive who started it, however that ends. */
static void test_private_postgres_ends_with_its_parent(void **state)
{
	uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;
	char path[512];
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		open_cluster("orphan");
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	snprintf(path, sizeof(path), "%s/orphan/data/postmaster.pid", base);
	while (access(path, F_OK) == 0) {
		assert_true(clock_monotonic_ms() < deadline_ms);
		usleep(5000);
	}
	snprintf(path, sizeof(path), "%s/orphan/data/PG_VERSION", base);
	assert_int_equal(access(path, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_private_postgres_comes_back_after_anything),
	    cmocka_unit_test(test_private_postgres_folder_in_use_is_refused),
	    cmocka_unit_test(test_private_postgres_long_folder_works),
	    cmocka_unit_test(test_private_postgres_failed_start_says_why),
	    cmocka_unit_test(test_private_postgres_ends_with_its_parent),
	};

	return cmocka_run_group_tests(tests, make_base, remove_base);
}
