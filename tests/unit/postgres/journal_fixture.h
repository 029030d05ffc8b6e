/*
 * journal_fixture: a PostgreSQL of the test program's own with the migrations applied, and SQL to
 * look into it.
 */
#ifndef SLUICE_TESTS_UNIT_POSTGRES_JOURNAL_FIXTURE_H
#define SLUICE_TESTS_UNIT_POSTGRES_JOURNAL_FIXTURE_H

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "postgres/journal_writer.h"
#include "postgres/migrate.h"
#include "private_postgres.h"

enum { FIXTURE_PATIENCE_MS = 30000 };

struct journal_fixture {
	char folder[64];
	struct private_postgres *server;
	char *url;
	struct postgres_settings settings;
	PGconn *sql;
};

static struct journal_fixture fixture;

static inline void fixture_migrate(void)
{
	struct database *database = database_new(&fixture.settings, "sluice test");
	unsigned applied;
	char why[512];

	if (migrate_apply(database, &applied, why))
		fail_msg("%s", why);
	database_free(database);
}

static inline int fixture_start(void **state)
{
	char why[512];

	(void)state;
	log_set_level(LOG_ERROR);
	snprintf(fixture.folder, sizeof(fixture.folder), "/tmp/sluice-journal-XXXXXX");
	if (!mkdtemp(fixture.folder) ||
	    private_postgres_new(fixture.folder, NULL, &fixture.server, why) ||
	    private_postgres_start(fixture.server, why)) {
		fprintf(stderr, "no PostgreSQL: %s\n", why);
		return -1;
	}
	fixture.url = strdup(private_postgres_url(fixture.server));
	fixture.settings = (struct postgres_settings){
	    .url = fixture.url, .connect_timeout_ms = 5000, .statement_timeout_ms = 30000};
	fixture.sql = PQconnectdb(fixture.url);
	return PQstatus(fixture.sql) == CONNECTION_OK ? 0 : -1;
}

static inline int fixture_stop(void **state)
{
	char command[128];

	(void)state;
	PQfinish(fixture.sql);
	private_postgres_free(fixture.server);
	free(fixture.url);
	snprintf(command, sizeof(command), "rm -rf '%s'", fixture.folder);
	return system(command);
}

/* The first value of the first row, the caller's to free(); "" where there is none. */
static inline char *fixture_ask(PGconn *sql, const char *statement)
{
	PGresult *result = PQexec(sql, statement);
	ExecStatusType status = PQresultStatus(result);
	char *value;

	if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
		fail_msg("%s: %s", statement, PQerrorMessage(sql));
	value = strdup(PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	return value;
}

static inline void fixture_execute(const char *statement)
{
	free(fixture_ask(fixture.sql, statement));
}

static inline long long fixture_count(const char *statement)
{
	char *value = fixture_ask(fixture.sql, statement);
	long long count = atoll(value);

	free(value);
	return count;
}

/* The tables as the migrations make them, without a row. */
static inline int fixture_reset(void **state)
{
	(void)state;
	fixture_execute("set client_min_messages = warning; drop schema public cascade;"
			" create schema public");
	fixture_migrate();
	return 0;
}

#endif
