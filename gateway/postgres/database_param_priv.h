/*
 * Parameters as libpq takes them; the wire borrows from the parameters.
 */
#ifndef SLUICE_POSTGRES_DATABASE_PARAM_PRIV_H
#define SLUICE_POSTGRES_DATABASE_PARAM_PRIV_H

#include "postgres/database.h"

struct database_param_wire {
	const char *values[DATABASE_MAX_PARAMS];
	int lengths[DATABASE_MAX_PARAMS];
	int formats[DATABASE_MAX_PARAMS];
	struct buffer made; /* what is not as it came */
};

void database_param_to_wire(const struct database_param *params, size_t count,
			    struct database_param_wire *wire);
void database_param_wire_free(struct database_param_wire *wire);

#endif
