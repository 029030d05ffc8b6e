/*
 * journal_fixture: the cluster of these tests with the migrations applied, and SQL on one
 * connection that stays, to look into it.
 */
#ifndef SLUICE_TESTS_UNIT_POSTGRES_JOURNAL_FIXTURE_H
#define SLUICE_TESTS_UNIT_POSTGRES_JOURNAL_FIXTURE_H

#include <libpq-fe.h>

#include "base/log.h"
#include "unit/postgres/cluster.h"

static PGconn *fixture_sql;

static inline int fixture_start(void **state)
{
	log_set_level(LOG_ERROR);
	if (cluster_open(state))
		return -1;
	fixture_sql = PQconnectdb(cluster.settings.url);
	return PQstatus(fixture_sql) == CONNECTION_OK ? 0 : -1;
}

static inline int fixture_stop(void **state)
{
	PQfinish(fixture_sql);
	return cluster_close(state);
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
	free(fixture_ask(fixture_sql, statement));
}

static inline long long fixture_count(const char *statement)
{
	char *value = fixture_ask(fixture_sql, statement);
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
	cluster_migrate();
	return 0;
}

#endif
