/*
 * worker: a thread with a connection of its own that runs the jobs given to it in order, for those
 * who must not wait themselves.
 */
#ifndef SLUICE_POSTGRES_WORKER_H
#define SLUICE_POSTGRES_WORKER_H

#include "postgres/database.h"

struct worker;

/* Embedded in what it is about. */
struct worker_job {
	struct worker_job *next;
	/* Called once, on the worker's thread; it owns the job. `database` NULL: the worker stops
	 * and the job is not to be done. */
	void (*run)(struct worker_job *job, struct database *database);
};

/* `name`: the connection's and the thread's ("sluice tokens"; a constant). At most `capacity` jobs
 * wait. */
struct worker *worker_new(const struct postgres_settings *settings, const char *name,
			  size_t capacity);
void worker_start(struct worker *worker);
/* Interrupts what runs, hands the waiting jobs back with NULL, joins. */
void worker_stop(struct worker *worker);
void worker_free(struct worker *worker);

/* Takes the job over. Errors: ERROR_LIMIT: `capacity` jobs wait, or it has stopped; the job is
 * still the caller's. Thread: any. */
MUST_CHECK int worker_submit(struct worker *worker, struct worker_job *job);

#endif
