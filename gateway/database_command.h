/*
 * database_command: what the commands on PostgreSQL's tables share.
 */
#ifndef SLUICE_DATABASE_COMMAND_H
#define SLUICE_DATABASE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "postgres/database.h"
#include "settings.h"

/* Embedded, first, in what a command reads from its arguments. */
struct database_command {
	const char *name;   /* "token" */
	const char *action; /* "create"; NULL: it has but one */
	const char *config; /* the file's name */
};

/* Says on standard error what went wrong; EXIT_FAILURE. */
int database_command_fail(const struct database_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same of a call that returned `rc`: a missing table's message says what to run. */
int database_command_fail_rc(const struct database_command *command,
			     const struct database *database, int rc);

/* Whether the option's text is 1 to `max_chars` characters of UTF-8; where it is not, that is said.
 */
bool database_command_check_text(const struct database_command *command, const char *option,
				 const char *text, size_t max_chars);

/* Reads the configuration and calls `run` with a connection that is made when it is used. The exit
 * code. */
int database_command_run(const struct database_command *command,
			 int (*run)(const struct database_command *command,
				    const struct settings *settings, struct database *database));

#endif
