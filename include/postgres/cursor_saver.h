/*
 * cursor_saver: keeps the cursors of open streams saved, by a worker.
 *
 * It holds the newest position alone of each stream, so that it does not grow while PostgreSQL is
 * away, and saves all that have changed with one statement. What could not be saved is tried again.
 * It also deletes the cursors that nobody uses. Thread: any, but for new and free.
 */
#ifndef SLUICE_POSTGRES_CURSOR_SAVER_H
#define SLUICE_POSTGRES_CURSOR_SAVER_H

#include "postgres/cursors.h"
#include "postgres/worker.h"

struct cursor_saver;
struct cursor_life; /* from a cursor's claim to the end of its stream */

/* `settings` and `worker` are borrowed. */
struct cursor_saver *cursor_saver_new(const struct cursors_settings *settings,
				      struct worker *worker);
/* The worker has stopped, and all lives are ended. */
void cursor_saver_free(struct cursor_saver *saver);

/* `key` is copied. `generation` 0: it could not be claimed yet; that is done by its first save. */
struct cursor_life *cursor_saver_begin(struct cursor_saver *saver, const struct cursors_key *key,
				       int64_t generation);
/* Its newest position, copied; saved by the next job. */
void cursor_saver_put(struct cursor_saver *saver, struct cursor_life *life, struct slice event_id);
/* Its last position (empty: as put before), saved at once. The life is gone after the call. */
void cursor_saver_end(struct cursor_saver *saver, struct cursor_life *life, struct slice event_id);

/* Gives the worker a job, where there is something to do and it has none; a failure is tried again
 * after a pause. */
void cursor_saver_tick(struct cursor_saver *saver);
/* Waits until all is saved, a save fails, or the time is over. */
void cursor_saver_flush(struct cursor_saver *saver, uint32_t timeout_ms);

#endif
