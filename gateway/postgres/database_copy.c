#include <assert.h>
#include <poll.h>
#include <stdlib.h>

#include "postgres/database_priv.h"

int database_copy_begin(struct database *database, const char *sql)
{
	PGresult *result;
	int rc = database_ensure(database);

	assert(!database->copying);
	if (!rc)
		rc = database_send_sql(database, sql);
	if (!rc)
		rc = database_collect(database, &result);
	if (rc)
		return rc;
	assert(PQresultStatus(result) == PGRES_COPY_IN);
	PQclear(result);
	database->copying = true;
	return 0;
}

/* libpq would keep what the server does not take: so each piece goes out before the next. */
int database_copy_put(struct database *database, struct slice bytes)
{
	int rc = database_ensure(database);

	if (rc)
		return rc;
	if (!database->copying)
		return ERROR_UNAVAILABLE;
	assert(bytes.len <= INT32_MAX);
	if (PQputCopyData(database->connection, bytes.base, (int)bytes.len) != 1)
		return database_lose(database, NULL, "");
	return database_flush(database);
}

int database_copy_end(struct database *database, uint64_t *rows)
{
	PGresult *result;
	int rc = database_ensure(database);

	if (rc)
		return rc;
	if (!database->copying)
		return ERROR_UNAVAILABLE;
	database->copying = false;
	if (PQputCopyEnd(database->connection, NULL) != 1)
		return database_lose(database, NULL, "");
	rc = database_collect(database, &result);
	if (rc)
		return rc;
	*rows = strtoull(PQcmdTuples(result), NULL, 10);
	PQclear(result);
	return 0;
}
