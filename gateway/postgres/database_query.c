#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "postgres/database_param_priv.h"
#include "postgres/database_priv.h"
#include "postgres/database_result_priv.h"

int database_flush(struct database *database)
{
	uint64_t deadline_ms = database_deadline(database);
	int left;

	while ((left = PQflush(database->connection)) > 0) {
		int rc = database_await(database, POLLIN | POLLOUT, deadline_ms);

		if (rc)
			return rc;
		/* The server may have to be read before it reads on. */
		if (!PQconsumeInput(database->connection))
			break;
	}
	return left ? database_lose(database, NULL, "") : 0;
}

static int next_result(struct database *database, uint64_t deadline_ms, PGresult **result)
{
	while (PQisBusy(database->connection)) {
		int rc = database_await(database, POLLIN, deadline_ms);

		if (rc)
			return rc;
		if (!PQconsumeInput(database->connection))
			return database_lose(database, NULL, "");
	}
	*result = PQgetResult(database->connection);
	return 0;
}

static bool is_error(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE;
}

/* FATAL or PANIC: the server's last words. */
static bool ends_session(const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	return severity && strcmp(severity, "ERROR") != 0;
}

/* Clears the result. */
static int take_error(struct database *database, PGresult *result)
{
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	int rc = ERROR_POSTGRES;

	if (!message || ends_session(result) || PQstatus(database->connection) == CONNECTION_BAD)
		rc = database_lose(database, message, sqlstate ? sqlstate : "");
	else
		database_set_error(database, message, sqlstate ? sqlstate : "");
	/* A plan that no longer fits its tables, or that somebody else threw away: with the next
	 * connection it is made anew. */
	if (rc == ERROR_POSTGRES &&
	    (!strcmp(database->sqlstate, "0A000") || !strcmp(database->sqlstate, "26000")))
		database_drop(database);
	PQclear(result);
	return rc;
}

/* The first error, else the last result. */
static PGresult *keep(PGresult *kept, PGresult *next)
{
	bool failed = kept && is_error(kept);

	PQclear(failed ? next : kept);
	return failed ? kept : next;
}

/* Whether something comes after it. */
static bool has_next(const PGresult *result)
{
	return result && PQresultStatus(result) != PGRES_COPY_IN &&
	       !(is_error(result) && ends_session(result));
}

/* All that there are, or up to the beginning of a COPY. */
static int collect_all(struct database *database, PGresult **kept)
{
	uint64_t deadline_ms = database_deadline(database);
	bool more = true;
	int rc = 0;

	while (!rc && more) {
		PGresult *next = NULL;

		rc = next_result(database, deadline_ms, &next);
		more = has_next(next);
		if (next)
			*kept = keep(*kept, next);
	}
	return rc;
}

int database_collect(struct database *database, PGresult **last)
{
	PGresult *kept = NULL;
	int rc = database_flush(database);

	if (!rc)
		rc = collect_all(database, &kept);
	if (rc) {
		PQclear(kept);
		return rc;
	}
	if (!kept)
		return database_lose(database, NULL, "");
	if (is_error(kept))
		return take_error(database, kept);
	*last = kept;
	return 0;
}

int database_send_sql(struct database *database, const char *sql)
{
	return PQsendQuery(database->connection, sql) ? 0 : database_lose(database, NULL, "");
}

static void succeed(struct database *database)
{
	database->proven = true;
	backoff_reset(&database->backoff);
}

static bool is_prepared(const struct database *database, const struct database_statement *statement)
{
	for (size_t i = 0; i < database->prepared_count; i++)
		if (database->prepared[i] == statement)
			return true;
	return false;
}

static void remember(struct database *database, const struct database_statement *statement)
{
	if (database->prepared_count == database->prepared_capacity) {
		database->prepared_capacity = database->prepared_capacity * 2 + 8;
		database->prepared =
		    mem_realloc(database->prepared,
				database->prepared_capacity * sizeof(database->prepared[0]));
	}
	database->prepared[database->prepared_count++] = statement;
}

static int prepare(struct database *database, const struct database_statement *statement,
		   const struct database_param *params, size_t count)
{
	Oid types[DATABASE_MAX_PARAMS];
	PGresult *result;
	int rc;

	if (is_prepared(database, statement))
		return 0;
	for (size_t i = 0; i < count; i++)
		types[i] = params[i].oid;
	if (!PQsendPrepare(database->connection, statement->name, statement->sql, (int)count,
			   types))
		return database_lose(database, NULL, "");
	rc = database_collect(database, &result);
	if (rc)
		return rc;
	PQclear(result);
	remember(database, statement);
	return 0;
}

static int send_prepared(struct database *database, const struct database_statement *statement,
			 const struct database_param *params, size_t count)
{
	struct database_param_wire wire;
	int sent;

	database_param_to_wire(params, count, &wire);
	sent = PQsendQueryPrepared(database->connection, statement->name, (int)count, wire.values,
				   wire.lengths, wire.formats, 1);
	database_param_wire_free(&wire);
	return sent ? 0 : database_lose(database, NULL, "");
}

int database_run(struct database *database, const struct database_statement *statement,
		 const struct database_param *params, size_t count, struct database_result **result)
{
	PGresult *last;
	int rc = database_ensure(database);

	assert(count <= DATABASE_MAX_PARAMS && !database->copying);
	if (!rc)
		rc = prepare(database, statement, params, count);
	if (!rc)
		rc = send_prepared(database, statement, params, count);
	if (!rc)
		rc = database_collect(database, &last);
	if (rc)
		return rc;
	succeed(database);
	if (result)
		*result = database_result_new(last);
	else
		PQclear(last);
	return 0;
}

/* `tag`: what the server must say that it did; NULL: anything. */
static int execute(struct database *database, const char *sql, const char *tag)
{
	PGresult *last;
	int rc = database_send_sql(database, sql);

	if (!rc)
		rc = database_collect(database, &last);
	if (rc)
		return rc;
	if (tag && strcmp(PQcmdStatus(last), tag)) {
		database_set_error(database, "the transaction had failed and was rolled back", "");
		rc = ERROR_POSTGRES;
	}
	PQclear(last);
	if (!rc)
		succeed(database);
	return rc;
}

int database_execute(struct database *database, const char *sql)
{
	int rc = database_ensure(database);

	assert(!database->copying);
	return rc ? rc : execute(database, sql, NULL);
}

int database_begin(struct database *database)
{
	int rc = database_ensure(database);

	assert(!database->in_transaction);
	if (!rc)
		rc = execute(database, "begin", "BEGIN");
	database->in_transaction = rc == 0;
	return rc;
}

int database_commit(struct database *database)
{
	int rc = database_ensure(database);

	assert(database->in_transaction && !database->copying);
	if (!rc)
		rc = execute(database, "commit", "COMMIT");
	/* A commit that was refused has rolled back. */
	database->in_transaction = false;
	return rc;
}

/* What failed stays what database_error() says. */
void database_rollback(struct database *database)
{
	char error[sizeof(database->error)], sqlstate[sizeof(database->sqlstate)];

	database->in_transaction = false;
	if (!database->connection || PQtransactionStatus(database->connection) == PQTRANS_IDLE)
		return;
	memcpy(error, database->error, sizeof(error));
	memcpy(sqlstate, database->sqlstate, sizeof(sqlstate));
	if (database->copying || atomic_load(&database->interrupted) ||
	    execute(database, "rollback", "ROLLBACK"))
		database_drop(database);
	memcpy(database->error, error, sizeof(error));
	memcpy(database->sqlstate, sqlstate, sizeof(sqlstate));
}

int database_set_patient(struct database *database, bool patient)
{
	char sql[64];
	int rc;

	snprintf(sql, sizeof(sql), "set statement_timeout = %u",
		 patient ? 0 : database->settings->statement_timeout_ms);
	rc = database_execute(database, sql);
	if (!rc)
		database->patient = patient;
	return rc;
}
