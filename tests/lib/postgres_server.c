#include "lib/postgres_server.h"

#include <libpq-fe.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

enum { PATIENCE_MS = 90000, POLL_MS = 20 };

void postgres_server_start(struct postgres_server *server)
{
	char why[512];

	child_make_folder(server->folder);
	if (private_postgres_new(server->folder, NULL, &server->cluster, why))
		child_die("no PostgreSQL: %s", why);
	server->url = private_postgres_url(server->cluster);
	postgres_server_restart(server);
}

void postgres_server_restart(struct postgres_server *server)
{
	char why[512];

	if (private_postgres_start(server->cluster, why))
		child_die("PostgreSQL does not start: %s", why);
}

void postgres_server_fini(struct postgres_server *server)
{
	private_postgres_free(server->cluster);
	child_remove_folder(server->folder);
}

static bool has_succeeded(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

void postgres_server_execute(const struct postgres_server *server, const char *sql)
{
	PGconn *connection = PQconnectdb(server->url);
	PGresult *result = PQexec(connection, sql);

	if (!has_succeeded(result))
		child_die("%s: %s", sql, PQerrorMessage(connection));
	PQclear(result);
	PQfinish(connection);
}

char *postgres_server_query(const struct postgres_server *server, const char *sql)
{
	PGconn *connection = PQconnectdb(server->url);
	PGresult *result = PQexec(connection, sql);
	char *value = NULL;

	if (has_succeeded(result))
		value = mem_strdup(PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	PQfinish(connection);
	return value;
}

long long postgres_server_ask(const struct postgres_server *server, const char *sql)
{
	char *value = postgres_server_query(server, sql);
	long long number = value && *value ? atoll(value) : -1;

	free(value);
	return number;
}

void postgres_server_wait(const struct postgres_server *server, const char *sql, long long least)
{
	uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;

	while (postgres_server_ask(server, sql) < least) {
		if (clock_monotonic_ms() > deadline_ms)
			child_die("%s: does not become %lld", sql, least);
		child_sleep_ms(POLL_MS);
	}
}
