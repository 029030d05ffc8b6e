/*
 * database: one connection to PostgreSQL, for one thread.
 *
 * It connects on first use and again after a loss, no sooner than its back-off allows (100 ms,
 * doubled up to 10 s, with jitter). Each call blocks its thread until the answer is there, the
 * statement timeout is over, or database_interrupt() is called; never on a loop's thread.
 * Statements are prepared on first use of each connection; parameters and results are in binary
 * form. A loss of the connection and its return are logged, once each.
 *
 * Errors of every call that talks: ERROR_UNAVAILABLE: not connected now, or the connection was lost
 * in the middle: whatever was begun is rolled back or its outcome is unknown; ERROR_CANCELLED:
 * interrupted; ERROR_POSTGRES: the server refused the statement: database_error() says why.
 */
#ifndef SLUICE_POSTGRES_DATABASE_H
#define SLUICE_POSTGRES_DATABASE_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "postgres/postgres_settings.h"

struct database;
struct database_result;

/* `settings` is borrowed. `name` (a constant) is the application_name, "sluice journal". */
struct database *database_new(const struct postgres_settings *settings, const char *name);
void database_free(struct database *database);

/* Ends the call that is under way and all later ones with ERROR_CANCELLED. Thread: any. */
void database_interrupt(struct database *database);

/* Connects where it is not connected, and waits for the back-off before: a loop around it needs no
 * pause of its own. The calls below fail at once while the back-off lasts. */
MUST_CHECK int database_connect(struct database *database);
/* What the last failure was, fit for a log and for /readyz; never with a password. Borrowed. */
const char *database_error(const struct database *database);
/* The last failure's SQLSTATE, "" where there was none ("53100": the disk is full). */
const char *database_sqlstate(const struct database *database);

/* Static storage; `name` is unique. */
struct database_statement {
	const char *name;
	const char *sql;
};

enum { DATABASE_MAX_PARAMS = 16 };

/* One parameter, made by the functions below; slices are borrowed until the call returns. */
struct database_param {
	unsigned oid;
	const char *data; /* NULL: an SQL null, or `number` */
	size_t len;
	char number[8]; /* in network order */
	unsigned number_len;
};
struct database_param database_null(void);
struct database_param database_text(struct slice text);   /* base NULL: null */
struct database_param database_bytes(struct slice bytes); /* bytea; base NULL: null */
struct database_param database_json(struct slice text);   /* jsonb */
struct database_param database_bool(bool value);
struct database_param database_int4(int32_t value);
struct database_param database_int8(int64_t value);
/* A bigint[] / integer[] / text[]; its bytes are made in `scratch`, one for each parameter, which
 * must live until the call returns. */
struct database_param database_int8_array(struct buffer *scratch, const int64_t *values, size_t n);
struct database_param database_int4_array(struct buffer *scratch, const int32_t *values, size_t n);
struct database_param database_text_array(struct buffer *scratch, const struct slice *values,
					  size_t n);

/* `result` may be NULL; else on success *result is the caller's. */
MUST_CHECK int database_run(struct database *database, const struct database_statement *statement,
			    const struct database_param *params, size_t count,
			    struct database_result **result);
/* SQL without parameters or rows, also several statements; DDL. */
MUST_CHECK int database_execute(struct database *database, const char *sql);

/* From the begin to its commit or rollback nothing connects again: what follows a loss fails, too.
 */
MUST_CHECK int database_begin(struct database *database);
MUST_CHECK int database_commit(struct database *database);
/* Never fails: a lost connection has rolled back. */
void database_rollback(struct database *database);

/* Binary COPY in (the caller writes the header, tuples and trailer): "copy t (a, b) from stdin
 * (format binary)". `end` tells whether the server took it; it is called after a failed put, too.
 */
MUST_CHECK int database_copy_begin(struct database *database, const char *sql);
MUST_CHECK int database_copy_put(struct database *database, struct slice bytes);
MUST_CHECK int database_copy_end(struct database *database, uint64_t *rows);

size_t database_result_count(const struct database_result *result);
/* Rows that an INSERT, UPDATE or DELETE touched. */
uint64_t database_result_touched(const struct database_result *result);
bool database_is_null(const struct database_result *result, size_t row, size_t column);
/* text, bytea; borrowed from the result; base NULL: null. A jsonb is selected as ::text. */
struct slice database_get_bytes(const struct database_result *result, size_t row, size_t column);
/* Of a null: false, 0. smallint, integer and bigint are read alike. */
bool database_get_bool(const struct database_result *result, size_t row, size_t column);
int32_t database_get_int4(const struct database_result *result, size_t row, size_t column);
int64_t database_get_int8(const struct database_result *result, size_t row, size_t column);
void database_result_free(struct database_result *result);

#endif
