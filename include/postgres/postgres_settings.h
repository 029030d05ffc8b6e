/*
 * postgres_settings: where PostgreSQL is, and what may be asked of it.
 */
#ifndef SLUICE_POSTGRES_POSTGRES_SETTINGS_H
#define SLUICE_POSTGRES_POSTGRES_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

/* "postgres" of the configuration; all strings owned. */
struct postgres_settings {
	char *url;      /* a connection string or URI as libpq reads it; NULL: no PostgreSQL */
	char *password; /* or by "password_file"; NULL: as the URL, PGPASSFILE or PGPASSWORD say */
	uint32_t connect_timeout_ms;
	uint32_t statement_timeout_ms;
	bool migrate; /* apply the migrations at start */
};

/* "postgres", into a struct postgres_settings. */
struct config_table;
extern const struct config_table postgres_settings_table;

#endif
