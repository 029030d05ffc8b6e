#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "postgres/database_priv.h"
#include "postgres/postgres_settings_priv.h"

/* Each told once: a server that is away is away for all who try meanwhile. */
static void tell_loss(struct database *database)
{
	if (database->told != DATABASE_DOWN)
		log_event(LOG_WARN, "database", "PostgreSQL cannot be reached",
			  LOG_STR("connection", database->name),
			  LOG_STR("reason", database->error));
	database->told = DATABASE_DOWN;
}

static void tell_return(struct database *database)
{
	if (database->told == DATABASE_DOWN)
		log_event(LOG_INFO, "database", "PostgreSQL is reachable again",
			  LOG_STR("connection", database->name));
	database->told = DATABASE_UP;
}

void database_drop(struct database *database)
{
	if (database->connection)
		PQfinish(database->connection);
	database->connection = NULL;
	database->prepared_count = 0;
	database->copying = false;
	database->patient = false;
}

int database_lose(struct database *database, const char *text, const char *sqlstate)
{
	database_set_error(database, text ? text : PQerrorMessage(database->connection), sqlstate);
	database_drop(database);
	tell_loss(database);
	/* A connection that was of use has a successor at once. */
	database->retry_at_ms =
	    database->proven ? 0 : clock_monotonic_ms() + backoff_next_ms(&database->backoff);
	database->proven = false;
	return ERROR_UNAVAILABLE;
}

static void take_notice(void *context, const PGresult *notice)
{
	const struct database *database = context;
	const char *message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);

	log_event(LOG_DEBUG, "database", "PostgreSQL says", LOG_STR("connection", database->name),
		  LOG_STR("notice", message ? message : ""));
}

/* What stands before the url may be overridden by it, what stands after it may not. */
static PGconn *start_connection(const struct database *database)
{
	const struct postgres_settings *settings = database->settings;
	char user_timeout[16];
	const char *const keywords[] = {
	    "keepalives_idle",
	    "keepalives_interval",
	    "keepalives_count",
	    "tcp_user_timeout",
	    "dbname",
	    "password",
	    "fallback_application_name",
	    "client_encoding",
	    NULL,
	};
	const char *const values[] = {
	    "10",           "5",    "3",  user_timeout, settings->url, settings->password,
	    database->name, "UTF8", NULL,
	};

	/* With several hosts, this is what makes libpq go on to the next one. */
	snprintf(user_timeout, sizeof(user_timeout), "%u", settings->connect_timeout_ms);
	return PQconnectStartParams(keywords, values, 1);
}

static int poll_connection(struct database *database, uint64_t deadline_ms)
{
	PostgresPollingStatusType wanted = PGRES_POLLING_WRITING;

	while (wanted != PGRES_POLLING_OK) {
		short events = wanted == PGRES_POLLING_READING ? POLLIN : POLLOUT;
		int rc;

		if (wanted == PGRES_POLLING_FAILED)
			return database_lose(database, NULL, "");
		rc = database_await(database, events, deadline_ms);
		if (rc)
			return rc;
		wanted = PQconnectPoll(database->connection);
	}
	return 0;
}

static int send_and_collect(struct database *database, const char *sql)
{
	PGresult *result;
	int rc = database_send_sql(database, sql);

	if (!rc)
		rc = database_collect(database, &result);
	if (!rc)
		PQclear(result);
	return rc;
}

/*
 * A session whose client is gone without a word must not hold its locks: in a transaction it may
 * be silent no longer than a statement may take, and while it works PostgreSQL 14 and later look
 * after the client each second, on systems where that can be done. A plan for any parameters would
 * have every partition of the journal in it, and lock them all.
 */
static int set_up_session(struct database *database)
{
	uint32_t timeout_ms = database->settings->statement_timeout_ms;
	char sql[192];
	int rc;

	snprintf(sql, sizeof(sql),
		 "set statement_timeout = %u; set idle_in_transaction_session_timeout = %u; "
		 "set plan_cache_mode = force_custom_plan",
		 timeout_ms, timeout_ms);
	rc = send_and_collect(database, sql);
	if (!rc)
		rc = send_and_collect(
		    database,
		    "select set_config('client_connection_check_interval', '1s', false) "
		    "where current_setting('client_connection_check_interval', true) = '0'");
	return rc == ERROR_POSTGRES ? 0 : rc;
}

static int open_connection(struct database *database)
{
	uint64_t deadline_ms;
	unsigned hosts;
	const char *why = database->settings->url
			      ? postgres_settings_check_url(database->settings->url, &hosts)
			      : "no PostgreSQL is configured";
	int rc;

	if (why)
		return database_lose(database, why, "");
	deadline_ms =
	    clock_monotonic_ms() + (uint64_t)hosts * database->settings->connect_timeout_ms;
	database->connection = start_connection(database);
	if (PQstatus(database->connection) == CONNECTION_BAD)
		return database_lose(database, NULL, "");
	PQsetNoticeReceiver(database->connection, take_notice, database);
	rc = poll_connection(database, deadline_ms);
	if (rc)
		return rc;
	if (PQsetnonblocking(database->connection, 1))
		return database_lose(database, NULL, "");
	rc = set_up_session(database);
	if (!rc)
		tell_return(database);
	return rc;
}

/* A connection that was closed while nobody used it is noticed before something is sent on it. */
static int check_idle(struct database *database)
{
	struct pollfd fd = {.fd = PQsocket(database->connection), .events = POLLIN};

	while (poll(&fd, 1, 0) > 0)
		if (!PQconsumeInput(database->connection))
			return database_lose(database, NULL, "");
	return 0;
}

int database_ensure(struct database *database)
{
	if (atomic_load(&database->interrupted))
		return database_cancel(database);
	if (database->in_transaction)
		return database->connection ? 0 : ERROR_UNAVAILABLE;
	if (database->connection && check_idle(database) == 0)
		return 0;
	if (clock_monotonic_ms() < database->retry_at_ms)
		return ERROR_UNAVAILABLE;
	return open_connection(database);
}

int database_connect(struct database *database)
{
	uint64_t now_ms = clock_monotonic_ms();
	int rc = 0;

	if (!database->connection && now_ms < database->retry_at_ms)
		rc = database_sleep(database, (uint32_t)(database->retry_at_ms - now_ms));
	return rc ? rc : database_ensure(database);
}
