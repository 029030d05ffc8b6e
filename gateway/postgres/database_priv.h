/*
 * database, inside: one libpq connection that never blocks but in database_await().
 *
 *     database_connection.c  connecting, losing, waiting
 *     database_query.c       statements and transactions
 *     database_copy.c        COPY
 *     database_param.c, database_result.c   values
 */
#ifndef SLUICE_POSTGRES_DATABASE_PRIV_H
#define SLUICE_POSTGRES_DATABASE_PRIV_H

#include <libpq-fe.h>
#include <stdatomic.h>

#include "postgres/backoff_priv.h"
#include "postgres/database.h"

struct database {
	const struct postgres_settings *settings;
	const char *name;
	PGconn *connection; /* NULL: not connected */
	int interrupt_fd;   /* an eventfd, readable for good once interrupted */
	_Atomic bool interrupted;
	enum { DATABASE_UNTRIED, DATABASE_UP, DATABASE_DOWN } told; /* what the log knows */
	struct backoff backoff;
	uint64_t retry_at_ms;
	bool proven; /* this connection has done something for its user */
	bool in_transaction;
	bool copying;
	bool patient; /* waits for an answer as long as it takes */
	const struct database_statement **prepared;
	size_t prepared_count, prepared_capacity;
	char error[512];
	char sqlstate[6];
};

/* What database_error() says from now on; line breaks become spaces. */
void database_set_error(struct database *database, const char *text, const char *sqlstate);
/* For the next call that waits for the server. */
uint64_t database_deadline(const struct database *database);
/* Until the socket is ready. Errors: as database.h's; the connection is gone then. */
MUST_CHECK int database_await(struct database *database, short events, uint64_t deadline_ms);
/* Connects now where it is not connected, unless its back-off or a transaction that was lost
 * forbids it. */
MUST_CHECK int database_ensure(struct database *database);
/* Gives the connection up: `text` says why, NULL: what libpq says. Returns ERROR_UNAVAILABLE. */
int database_lose(struct database *database, const char *text, const char *sqlstate);
/* The same for an interrupt; returns ERROR_CANCELLED. */
int database_cancel(struct database *database);
void database_drop(struct database *database);

/* Everything that was sent to libpq goes to the server. */
MUST_CHECK int database_flush(struct database *database);
/* The results of what was sent: the last, or where there is one the error. The caller's to clear
 * on success. */
MUST_CHECK int database_collect(struct database *database, PGresult **last);
MUST_CHECK int database_send_sql(struct database *database, const char *sql);

/* statement_timeout no longer holds for this connection, on both sides, or holds again. */
MUST_CHECK int database_set_patient(struct database *database, bool patient);

/* Sleeps. ERROR_CANCELLED: interrupted. */
MUST_CHECK int database_sleep(struct database *database, uint32_t ms);
/* The next notification, the caller's to PQfreemem(); NULL: none came in that time. */
MUST_CHECK int database_next_notification(struct database *database, uint32_t timeout_ms,
					  PGnotify **notification);

#endif
