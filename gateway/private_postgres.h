/*
 * private_postgres: a PostgreSQL cluster of this process's own, for `sluice --dev` and for tests.
 *
 * It listens on a Unix socket that only its user (and root) can reach, in a folder of its own; its
 * superuser is "sluice" and has no password. It ends with this process, however that ends. The
 * server refuses to run as root: then it is the user postgres's, or nobody's, to whom the folder is
 * given, and who must be able to reach it. Nothing here is for data that matters: fsync is off.
 *
 * Thread: one that lives as long as the cluster is to run (the kernel ends the server when the
 * thread that started it ends).
 */
#ifndef SLUICE_PRIVATE_POSTGRES_H
#define SLUICE_PRIVATE_POSTGRES_H

#include "base/error.h"

struct private_postgres;

/*
 * The cluster in `folder`, which is made where there is none. `options` are "name=value" of the
 * server's configuration, borrowed, up to a NULL; or NULL. Errors: ERROR_NOT_FOUND: the server's
 * programs are not installed; ERROR_IO. `why` (512 bytes) is set on failure.
 */
MUST_CHECK int private_postgres_new(const char *folder, const char *const *options,
				    struct private_postgres **postgres, char why[512]);
/* Stops it where it runs, and frees; the folder stays. */
void private_postgres_free(struct private_postgres *postgres);

/* "postgresql://…", the same over all restarts. Borrowed. */
const char *private_postgres_url(const struct private_postgres *postgres);

/* Returns when it takes connections; also after a stop or a kill. Errors: ERROR_IO; `why` is set.
 */
MUST_CHECK int private_postgres_start(struct private_postgres *postgres, char why[512]);
/* Rolls back and disconnects everybody; waits until it has ended. */
void private_postgres_stop(struct private_postgres *postgres);
/* SIGKILL to all its processes at once, and waits until they have ended. */
void private_postgres_kill(struct private_postgres *postgres);
/* SIGSTOP to all its processes: connections stay, nobody answers. */
void private_postgres_pause(struct private_postgres *postgres);
void private_postgres_resume(struct private_postgres *postgres);

#endif
