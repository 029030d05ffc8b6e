/*
 * migrator: migrations at the start of the gateway, which does not wait for PostgreSQL: where it
 * cannot be reached, or refuses a statement, a thread tries on until it is done. Until then
 * statements about tables that are missing fail, and say so.
 */
#ifndef SLUICE_POSTGRES_MIGRATOR_H
#define SLUICE_POSTGRES_MIGRATOR_H

#include "postgres/migrate.h"

struct migrator;

/* Tries once before it returns. `settings` is borrowed. Errors, which are logged: ERROR_CONFLICT: a
 * migration was changed or is unknown. */
MUST_CHECK int migrator_start(const struct postgres_settings *settings, struct migrator **migrator);
/* Stops and frees. */
void migrator_stop(struct migrator *migrator);

/* True where all is applied; else `why` (256 bytes) says what is the matter. Thread: any. */
bool migrator_ready(struct migrator *migrator, char why[256]);

#endif
