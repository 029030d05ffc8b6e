#include "postgres/worker.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"

struct worker {
	struct database *database; /* the thread's, but for an interrupt */
	const char *name;
	size_t capacity;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t work;
	struct worker_job *first, **last;
	size_t waiting;
	bool stopping;
};

struct worker *worker_new(const struct postgres_settings *settings, const char *name,
			  size_t capacity)
{
	struct worker *worker = MEM_NEW(struct worker);

	worker->database = database_new(settings, name);
	worker->name = name;
	worker->capacity = capacity;
	worker->last = &worker->first;
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->work, NULL);
	return worker;
}

/* The first job; NULL: there is none and the worker stops. */
static struct worker_job *take_job(struct worker *worker, bool *stopping)
{
	struct worker_job *job;

	pthread_mutex_lock(&worker->lock);
	while (!worker->first && !worker->stopping)
		pthread_cond_wait(&worker->work, &worker->lock);
	*stopping = worker->stopping;
	job = worker->first;
	if (job) {
		worker->first = job->next;
		if (!worker->first)
			worker->last = &worker->first;
		worker->waiting--;
	}
	pthread_mutex_unlock(&worker->lock);
	return job;
}

static void work(struct worker *worker)
{
	struct worker_job *job;
	bool stopping;

	while ((job = take_job(worker, &stopping)))
		job->run(job, stopping ? NULL : worker->database);
}

static void *run(void *context)
{
	struct worker *worker = context;
	int rc = pthread_setname_np(pthread_self(), worker->name);

	assert(rc == 0);
	work(worker);
	return NULL;
}

void worker_start(struct worker *worker)
{
	int rc = pthread_create(&worker->thread, NULL, run, worker);

	assert(rc == 0 && !worker->started);
	worker->started = true;
}

void worker_stop(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	worker->stopping = true;
	pthread_cond_signal(&worker->work);
	pthread_mutex_unlock(&worker->lock);
	database_interrupt(worker->database);
	if (worker->started)
		pthread_join(worker->thread, NULL);
	else
		work(worker);
	worker->started = false;
}

void worker_free(struct worker *worker)
{
	assert(!worker->started && !worker->first);
	database_free(worker->database);
	pthread_mutex_destroy(&worker->lock);
	pthread_cond_destroy(&worker->work);
	free(worker);
}

int worker_submit(struct worker *worker, struct worker_job *job)
{
	int rc = ERROR_LIMIT;

	pthread_mutex_lock(&worker->lock);
	if (!worker->stopping && worker->waiting < worker->capacity) {
		job->next = NULL;
		*worker->last = job;
		worker->last = &job->next;
		worker->waiting++;
		pthread_cond_signal(&worker->work);
		rc = 0;
	}
	pthread_mutex_unlock(&worker->lock);
	return rc;
}
