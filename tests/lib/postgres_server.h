/*
 * postgres_server: a PostgreSQL of the test program's own, and SQL on it.
 *
 * Its data lies in a temporary folder that outlives stop and kill. Every function ends the program
 * where it can't do its work, but for those that say otherwise. Thread: the one that started it.
 */
#ifndef SLUICE_TESTS_LIB_POSTGRES_SERVER_H
#define SLUICE_TESTS_LIB_POSTGRES_SERVER_H

#include "lib/child.h"
#include "private_postgres.h"

struct postgres_server {
	const char *url;                  /* the same over restarts */
	struct private_postgres *cluster; /* to stop, kill, pause and resume */
	char folder[CHILD_PATH_BYTES];
};

void postgres_server_start(struct postgres_server *server);
/* After a stop or a kill: the same data at the same URL. */
void postgres_server_restart(struct postgres_server *server);
/* Stops it and removes its data. */
void postgres_server_fini(struct postgres_server *server);

/* Each on a connection of its own. */
void postgres_server_execute(const struct postgres_server *server, const char *sql);
/* The first value of the first row, the caller's to free(), "" where there is none; NULL: it does
 * not answer, or with an error. */
char *postgres_server_query(const struct postgres_server *server, const char *sql);
/* The same as a number; -1: there is none. */
long long postgres_server_ask(const struct postgres_server *server, const char *sql);
/* Returns when that is `least` or more. */
void postgres_server_wait(const struct postgres_server *server, const char *sql, long long least);

#endif
