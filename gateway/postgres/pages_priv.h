/*
 * pages: a long list by id, a page of it in memory at once.
 */
#ifndef SLUICE_POSTGRES_PAGES_PRIV_H
#define SLUICE_POSTGRES_PAGES_PRIV_H

#include "postgres/database.h"

/*
 * The page behind `*page`, which is freed; NULL: the first one. NULL afterwards: there is none, or
 * it failed. `statement` takes the id that it begins behind, the subject that it is narrowed to
 * (base NULL: all) and the most rows, and gives the id as its first column. Errors: of
 * database_run().
 */
MUST_CHECK int pages_next(struct database *database, const struct database_statement *statement,
			  struct slice subject, struct database_result **page);

#endif
