/*
 * The happy path: begin, put…, end; a tick gives the worker the one job, which takes what has
 * changed, saves it, and is free again. The loops and the worker meet at the lock alone; it is not
 * held while PostgreSQL is asked.
 *
 * It fails when PostgreSQL does: then what was taken is put back, unless a newer position has come
 * meanwhile, and the next job waits for a pause. Of ended lives MAX_ENDED wait; further ones are
 * given up and counted.
 */
#include "postgres/cursor_saver.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

enum {
	BATCH = 500,
	BATCHES_A_JOB = 20, /* others wait for the worker, too */
	MAX_ENDED = 10000,
	PAUSE_MS = 1000,
	FORGET_EVERY_MS = 3600000,
	FORGET_BATCH = 1000,
	LOG_INTERVAL_MS = 10000,
};

struct cursor_life {
	struct cursors_key key; /* in `text` */
	char *text;
	/* The worker's. */
	int64_t generation;
	char *taken; /* what is being saved */
	/* Guarded by the lock. */
	char *newest; /* what is to be saved; NULL: nothing is */
	bool queued;
	bool ended;
	struct cursor_life *next;
};

struct cursor_saver {
	struct worker_job job; /* first */
	const struct cursors_settings *settings;
	struct worker *worker;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t rested;
	bool submitted;
	uint64_t not_before_ms;
	uint64_t forget_at_ms;
	struct cursor_life *first, **last;
	uint32_t ended_count;
	struct log_limit log;
};

static void run(struct worker_job *job, struct database *database);

struct cursor_saver *cursor_saver_new(const struct cursors_settings *settings,
				      struct worker *worker)
{
	struct cursor_saver *saver = MEM_NEW(struct cursor_saver);
	unsigned seed = (unsigned)clock_monotonic_us();
	pthread_condattr_t attributes;

	saver->settings = settings;
	saver->worker = worker;
	saver->job.run = run;
	saver->last = &saver->first;
	/* So that replicas that start together do not all look at once. */
	saver->forget_at_ms = clock_monotonic_ms() + (uint64_t)rand_r(&seed) % FORGET_EVERY_MS;
	pthread_mutex_init(&saver->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&saver->rested, &attributes);
	pthread_condattr_destroy(&attributes);
	return saver;
}

static void free_life(struct cursor_life *life)
{
	free(life->text);
	free(life->taken);
	free(life->newest);
	free(life);
}

void cursor_saver_free(struct cursor_saver *saver)
{
	struct cursor_life *next;

	for (struct cursor_life *life = saver->first; life; life = next) {
		assert(life->ended);
		next = life->next;
		free_life(life);
	}
	pthread_cond_destroy(&saver->rested);
	pthread_mutex_destroy(&saver->lock);
	free(saver);
}

static char *copy_part(struct slice *part, char *to)
{
	if (part->len)
		memcpy(to, part->base, part->len);
	part->base = to;
	return to + part->len;
}

struct cursor_life *cursor_saver_begin(struct cursor_saver *saver, const struct cursors_key *key,
				       int64_t generation)
{
	struct cursor_life *life = MEM_NEW(struct cursor_life);
	char *to;

	(void)saver;
	life->generation = generation;
	life->key = *key;
	to = life->text =
	    mem_alloc(key->subject.len + key->stream.len + key->name.len + key->parameters.len + 1);
	to = copy_part(&life->key.subject, to);
	to = copy_part(&life->key.stream, to);
	to = copy_part(&life->key.name, to);
	copy_part(&life->key.parameters, to);
	return life;
}

/* With the lock. */
static void enqueue(struct cursor_saver *saver, struct cursor_life *life)
{
	if (life->queued)
		return;
	life->queued = true;
	life->next = NULL;
	*saver->last = life;
	saver->last = &life->next;
}

static void set_newest(struct cursor_saver *saver, struct cursor_life *life, struct slice event_id)
{
	free(life->newest);
	life->newest = mem_strndup(event_id.base, event_id.len);
	enqueue(saver, life);
}

void cursor_saver_put(struct cursor_saver *saver, struct cursor_life *life, struct slice event_id)
{
	pthread_mutex_lock(&saver->lock);
	set_newest(saver, life, event_id);
	pthread_mutex_unlock(&saver->lock);
}

/* With the lock. True: the worker still has to do with it. */
static bool is_busy(const struct cursor_life *life)
{
	return life->queued || life->taken;
}

void cursor_saver_end(struct cursor_saver *saver, struct cursor_life *life, struct slice event_id)
{
	bool given_up;

	pthread_mutex_lock(&saver->lock);
	life->ended = true;
	given_up = event_id.len && !is_busy(life) && saver->ended_count >= MAX_ENDED;
	if (event_id.len && !given_up)
		set_newest(saver, life, event_id);
	if (is_busy(life))
		saver->ended_count++;
	else
		free_life(life);
	pthread_mutex_unlock(&saver->lock);
	if (given_up)
		metrics_add(METRIC_CURSOR_SAVE_FAILURES, 1);
	cursor_saver_tick(saver);
}

/* With the lock. */
static bool has_work(const struct cursor_saver *saver, uint64_t now_ms)
{
	return !saver->submitted && now_ms >= saver->not_before_ms &&
	       (saver->first || now_ms >= saver->forget_at_ms);
}

/* With the lock. */
static void submit(struct cursor_saver *saver)
{
	uint64_t now_ms = clock_monotonic_ms();

	if (!has_work(saver, now_ms))
		return;
	saver->submitted = !worker_submit(saver->worker, &saver->job);
	if (!saver->submitted)
		saver->not_before_ms = now_ms + PAUSE_MS;
}

void cursor_saver_tick(struct cursor_saver *saver)
{
	pthread_mutex_lock(&saver->lock);
	submit(saver);
	pthread_mutex_unlock(&saver->lock);
}

static struct timespec deadline_in(uint32_t timeout_ms)
{
	uint64_t at_ms = clock_monotonic_ms() + timeout_ms;

	return (struct timespec){.tv_sec = (time_t)(at_ms / 1000),
				 .tv_nsec = (long)(at_ms % 1000) * 1000000};
}

void cursor_saver_flush(struct cursor_saver *saver, uint32_t timeout_ms)
{
	const struct timespec deadline = deadline_in(timeout_ms);
	int rc = 0;

	pthread_mutex_lock(&saver->lock);
	do {
		submit(saver);
		while (saver->submitted && rc == 0)
			rc = pthread_cond_timedwait(&saver->rested, &saver->lock, &deadline);
	} while (rc == 0 && has_work(saver, clock_monotonic_ms()));
	pthread_mutex_unlock(&saver->lock);
}

/* What one statement saves. */
struct batch {
	struct cursor_life *lives[BATCH];
	size_t count;
};

static bool take_batch(struct cursor_saver *saver, struct batch *batch)
{
	batch->count = 0;
	pthread_mutex_lock(&saver->lock);
	while (saver->first && batch->count < BATCH) {
		struct cursor_life *life = saver->first;

		saver->first = life->next;
		if (!saver->first)
			saver->last = &saver->first;
		life->queued = false;
		life->taken = life->newest;
		life->newest = NULL;
		batch->lives[batch->count++] = life;
	}
	pthread_mutex_unlock(&saver->lock);
	return batch->count;
}

/* With the lock. One that has failed is saved again, unless it is newer by now. */
static void give_back(struct cursor_saver *saver, struct cursor_life *life, bool failed)
{
	if (failed && !life->newest) {
		life->newest = life->taken;
		enqueue(saver, life);
	} else {
		free(life->taken);
	}
	life->taken = NULL;
	if (life->ended && !life->queued) {
		saver->ended_count--;
		free_life(life);
	}
}

static void give_batch_back(struct cursor_saver *saver, const struct batch *batch, bool failed)
{
	pthread_mutex_lock(&saver->lock);
	for (size_t i = 0; i < batch->count; i++)
		give_back(saver, batch->lives[i], failed);
	pthread_mutex_unlock(&saver->lock);
}

/* One that could not be claimed when its stream was opened. A subject that has too many gets no
 * further one: its generation is one that nobody has. */
static int claim(struct cursor_saver *saver, struct database *database, struct cursor_life *life)
{
	enum { NO_GENERATION = -1 };
	struct buffer stored = {0};
	int rc = cursors_claim(database, &life->key, slice_of(life->taken),
			       saver->settings->per_subject, &life->generation, &stored);

	if (rc == ERROR_LIMIT) {
		life->generation = NO_GENERATION;
		rc = 0;
	}
	buffer_free(&stored);
	return rc;
}

static int claim_unclaimed(struct cursor_saver *saver, struct database *database,
			   const struct batch *batch)
{
	int rc = 0;

	for (size_t i = 0; i < batch->count && !rc; i++)
		if (!batch->lives[i]->generation)
			rc = claim(saver, database, batch->lives[i]);
	return rc;
}

static int save(struct cursor_saver *saver, struct database *database, const struct batch *batch)
{
	int64_t generations[BATCH];
	struct slice event_ids[BATCH];
	uint64_t saved = 0;
	int rc = claim_unclaimed(saver, database, batch);

	for (size_t i = 0; i < batch->count; i++) {
		generations[i] = batch->lives[i]->generation;
		event_ids[i] = slice_of(batch->lives[i]->taken);
	}
	if (!rc)
		rc = cursors_save(database, generations, event_ids, batch->count, &saved);
	if (rc) {
		metrics_add(METRIC_CURSOR_SAVE_FAILURES, batch->count);
		return rc;
	}
	metrics_add(METRIC_CURSOR_SAVES, saved);
	metrics_add(METRIC_CURSOR_SAVES_SUPERSEDED, batch->count - saved);
	return 0;
}

static int save_all(struct cursor_saver *saver, struct database *database)
{
	struct batch *batch = mem_alloc(sizeof(*batch));
	int rc = 0;

	for (int i = 0; i < BATCHES_A_JOB && !rc && take_batch(saver, batch); i++) {
		rc = save(saver, database, batch);
		give_batch_back(saver, batch, rc != 0);
	}
	free(batch);
	return rc;
}

/* A batch a job, so that nobody waits for long. */
static int forget(struct cursor_saver *saver, struct database *database)
{
	uint64_t now_ms = clock_monotonic_ms(), forgotten = 0;
	bool due;
	int rc = 0;

	pthread_mutex_lock(&saver->lock);
	due = now_ms >= saver->forget_at_ms;
	pthread_mutex_unlock(&saver->lock);
	if (due)
		rc = cursors_forget(database, saver->settings->forget_ms, FORGET_BATCH, &forgotten);
	if (!due || rc)
		return rc;
	metrics_add(METRIC_CURSORS_FORGOTTEN, forgotten);
	pthread_mutex_lock(&saver->lock);
	if (forgotten < FORGET_BATCH)
		saver->forget_at_ms = now_ms + FORGET_EVERY_MS;
	pthread_mutex_unlock(&saver->lock);
	return 0;
}

static void log_failure(struct cursor_saver *saver, int rc, const struct database *database)
{
	uint64_t suppressed;

	if (rc != ERROR_CANCELLED && log_limit_pass(&saver->log, LOG_INTERVAL_MS, &suppressed))
		log_event(LOG_WARN, "cursor_saver", "cursors cannot be saved now",
			  LOG_STR("error", database_error(database)),
			  LOG_INT("suppressed", suppressed));
}

static void run(struct worker_job *job, struct database *database)
{
	struct cursor_saver *saver = (struct cursor_saver *)job;
	int rc = database ? save_all(saver, database) : ERROR_CANCELLED;

	if (!rc)
		rc = forget(saver, database);
	if (rc)
		log_failure(saver, rc, database);
	pthread_mutex_lock(&saver->lock);
	saver->submitted = false;
	if (rc)
		saver->not_before_ms = clock_monotonic_ms() + PAUSE_MS;
	pthread_cond_broadcast(&saver->rested);
	pthread_mutex_unlock(&saver->lock);
}
