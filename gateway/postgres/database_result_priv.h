#ifndef SLUICE_POSTGRES_DATABASE_RESULT_PRIV_H
#define SLUICE_POSTGRES_DATABASE_RESULT_PRIV_H

#include <libpq-fe.h>

struct database_result;

/* Takes ownership. */
struct database_result *database_result_new(PGresult *rows);

#endif
