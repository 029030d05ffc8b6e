/*
 * migrate: the numbered SQL files of migrations/, which are inside the program.
 *
 * Each is applied in a transaction of its own and recorded with its SHA-256 in sluice_migration,
 * under an advisory lock: replicas that start together do it once. One that was changed after it
 * was applied, or one in the database that this program does not know, is refused.
 */
#ifndef SLUICE_POSTGRES_MIGRATE_H
#define SLUICE_POSTGRES_MIGRATE_H

#include <stdio.h>

#include "postgres/database.h"

/* Applies what is missing. Errors: as database.h's; ERROR_CONFLICT: changed or unknown ones. `why`
 * (512 bytes) is set on failure. */
MUST_CHECK int migrate_apply(struct database *database, unsigned *applied, char why[512]);
/* A line each: number, name, when it was applied or "missing", "changed", "unknown". ERROR_CONFLICT
 * where something is not as it should be, missing ones included. */
MUST_CHECK int migrate_print_status(struct database *database, FILE *out, char why[512]);

#endif
