/*
 * cluster: the PostgreSQL of these tests: a private cluster of each program's own, made in the
 * group's setup, with its faults.
 */
#ifndef SLUICE_TESTS_UNIT_POSTGRES_CLUSTER_H
#define SLUICE_TESTS_UNIT_POSTGRES_CLUSTER_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "postgres/database.h"
#include "postgres/migrate.h"
#include "private_postgres.h"

enum { CLUSTER_PATIENCE_MS = 60000, CLUSTER_STEP_US = 5000 };

static struct cluster {
	char folder[64];
	struct private_postgres *postgres;
	struct postgres_settings settings; /* to copy from */
} cluster;

/* "name=value" of the server's configuration, from its next start on. */
static const char *cluster_options[8];

static inline void cluster_start(void)
{
	char why[512];

	if (private_postgres_start(cluster.postgres, why))
		fail_msg("%s", why);
}

static inline void cluster_stop(void)
{
	private_postgres_stop(cluster.postgres);
}

static inline void cluster_kill(void)
{
	private_postgres_kill(cluster.postgres);
}

static inline int cluster_remove_entry(const char *path, const struct stat *state, int type,
				       struct FTW *walk)
{
	(void)state, (void)type, (void)walk;
	remove(path);
	return 0;
}

/* The group's setup. */
static inline int cluster_open(void **state)
{
	char why[512];

	(void)state;
	strcpy(cluster.folder, "/tmp/sluice-cluster-XXXXXX");
	if (!mkdtemp(cluster.folder) ||
	    private_postgres_new(cluster.folder, cluster_options, &cluster.postgres, why) ||
	    private_postgres_start(cluster.postgres, why)) {
		fprintf(stderr, "%s: %s\n", cluster.folder, why);
		return -1;
	}
	cluster.settings.url = mem_strdup(private_postgres_url(cluster.postgres));
	cluster.settings.connect_timeout_ms = 10000;
	cluster.settings.statement_timeout_ms = 30000;
	return 0;
}

/* The group's teardown. */
static inline int cluster_close(void **state)
{
	(void)state;
	private_postgres_free(cluster.postgres);
	free(cluster.settings.url);
	nftw(cluster.folder, cluster_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}

/* The call must succeed. */
#define cluster_must(database, call)                                                               \
	do {                                                                                       \
		int cluster_rc = (call);                                                           \
		if (cluster_rc)                                                                    \
			fail_msg("%s:%d: %s: %d, %s", __FILE__, __LINE__, #call, cluster_rc,       \
				 database_error(database));                                        \
	} while (0)

static inline void cluster_migrate(void)
{
	struct database *database = database_new(&cluster.settings, "sluice test");
	unsigned applied;
	char why[512];

	if (migrate_apply(database, &applied, why))
		fail_msg("%s", why);
	database_free(database);
}

/* A group's setup: with the migrations applied. */
static inline int cluster_open_migrated(void **state)
{
	if (cluster_open(state))
		return -1;
	cluster_migrate();
	return 0;
}

/* SQL on a connection of its own. */
static inline void cluster_execute(const char *sql)
{
	struct database *database = database_new(&cluster.settings, "sluice test");

	cluster_must(database, database_execute(database, sql));
	database_free(database);
}

/* The integer that a query gives, on a connection of its own. */
static inline int64_t cluster_ask(const char *sql)
{
	struct database *database = database_new(&cluster.settings, "sluice test");
	const struct database_statement statement = {"ask", sql};
	struct database_result *result;
	int64_t answer;

	cluster_must(database, database_run(database, &statement, NULL, 0, &result));
	assert_int_equal(database_result_count(result), 1);
	answer = database_get_int8(result, 0, 0);
	database_result_free(result);
	database_free(database);
	return answer;
}

/* Until the query gives the answer. */
static inline void cluster_await(const char *sql, int64_t answer)
{
	uint64_t deadline_ms = clock_monotonic_ms() + CLUSTER_PATIENCE_MS;

	while (cluster_ask(sql) != answer) {
		if (clock_monotonic_ms() > deadline_ms)
			fail_msg("%s: not %lld in time", sql, (long long)answer);
		usleep(CLUSTER_STEP_US);
	}
}

/* Until the condition holds. */
#define cluster_await_that(condition)                                                              \
	do {                                                                                       \
		uint64_t cluster_deadline_ms = clock_monotonic_ms() + CLUSTER_PATIENCE_MS;         \
		while (!(condition)) {                                                             \
			if (clock_monotonic_ms() > cluster_deadline_ms)                            \
				fail_msg("%s:%d: not in time: %s", __FILE__, __LINE__,             \
					 #condition);                                              \
			usleep(CLUSTER_STEP_US);                                                   \
		}                                                                                  \
	} while (0)

#endif
