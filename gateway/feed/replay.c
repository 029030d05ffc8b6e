#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "feed/checks.h"
#include "feed/fanout_priv.h"
#include "feed/feeds.h"
#include "feed/replay_priv.h"

struct queue {
	struct replay_job *first, **last;
};

struct replay {
	struct replay_settings settings;
	struct replay_source source;
	struct replay_journal journal; /* open NULL: there is none */
	struct feeds *feeds;
	pthread_t *threads;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t work;
	struct queue fresh, holding; /* those that hold a chunk already wait apart */
	bool holding_next;           /* they take turns */
	void **journal_readers;      /* of the workers that have one */
	uint32_t journal_reader_count;
	uint32_t waiting, running, chunks_held, states;
	bool stopping;
};

struct replay *replay_new(const struct replay_settings *settings,
			  const struct replay_source *source, const struct replay_journal *journal,
			  struct feeds *feeds)
{
	struct replay *replay = MEM_NEW(struct replay);

	assert(settings->workers && settings->chunks);
	replay->settings = *settings;
	replay->source = *source;
	if (journal)
		replay->journal = *journal;
	replay->feeds = feeds;
	replay->journal_readers = mem_zalloc(settings->workers * sizeof(void *));
	replay->fresh.last = &replay->fresh.first;
	replay->holding.last = &replay->holding.first;
	replay->threads = mem_zalloc(settings->workers * sizeof(replay->threads[0]));
	pthread_mutex_init(&replay->lock, NULL);
	pthread_cond_init(&replay->work, NULL);
	return replay;
}

static void queue_put(struct queue *queue, struct replay_job *job)
{
	job->next = NULL;
	*queue->last = job;
	queue->last = &job->next;
}

static struct replay_job *queue_take(struct queue *queue)
{
	struct replay_job *job = queue->first;

	if (!job)
		return NULL;
	queue->first = job->next;
	if (!queue->first)
		queue->last = &queue->first;
	job->next = NULL;
	return job;
}

/* NULL: there is none, or no room for its chunk. */
static struct replay_job *next_job(struct replay *replay)
{
	bool room = replay->chunks_held < replay->settings.chunks;
	bool holding = replay->holding_next || !room || !replay->fresh.first;
	struct replay_job *job = holding ? queue_take(&replay->holding) : NULL;

	replay->holding_next = !job;
	if (job || !room || !(job = queue_take(&replay->fresh)))
		return job;
	job->holds_chunk = true;
	replay->chunks_held++;
	return job;
}

/* NULL: the end. */
static struct replay_job *take_job(struct replay *replay)
{
	struct replay_job *job = NULL;

	pthread_mutex_lock(&replay->lock);
	while (!replay->stopping && !(job = next_job(replay)))
		pthread_cond_wait(&replay->work, &replay->lock);
	if (job) {
		replay->waiting--;
		replay->running++;
	}
	pthread_mutex_unlock(&replay->lock);
	return job;
}

static void *open_journal(struct replay *replay)
{
	void *reader;

	if (!replay->journal.open)
		return NULL;
	reader = replay->journal.open(replay->journal.context);
	pthread_mutex_lock(&replay->lock);
	replay->journal_readers[replay->journal_reader_count++] = reader;
	if (replay->stopping)
		replay->journal.interrupt(reader);
	pthread_mutex_unlock(&replay->lock);
	return reader;
}

static void *work(void *context)
{
	struct replay *replay = context;
	const struct replay_worker worker = {
	    .replay = replay,
	    .settings = &replay->settings,
	    .source = &replay->source,
	    .reader = replay->source.open(replay->source.context),
	    .journal = replay->journal.open ? &replay->journal : NULL,
	    .journal_reader = open_journal(replay),
	};
	struct replay_job *job;

	while ((job = take_job(replay))) {
		if (!atomic_load(&job->cancelled))
			replay_read(job, &worker);
		pthread_mutex_lock(&replay->lock);
		replay->running--;
		pthread_mutex_unlock(&replay->lock);
		fanout_deliver(job->home, job);
	}
	replay->source.close(worker.reader);
	return NULL;
}

void replay_start(struct replay *replay)
{
	for (uint32_t i = 0; i < replay->settings.workers; i++) {
		char name[32];
		int rc = pthread_create(&replay->threads[i], NULL, work, replay);

		assert(rc == 0);
		snprintf(name, sizeof(name), "sluice-replay%u", i);
		pthread_setname_np(replay->threads[i], name);
	}
}

/* As it is: its fanout frees it. */
static void send_home(struct replay_job *job)
{
	job->result = REPLAY_FAILED;
	fanout_deliver(job->home, job);
}

static void send_waiting_home(struct replay *replay)
{
	struct replay_job *job;

	replay->waiting = 0;
	while ((job = queue_take(&replay->holding)) || (job = queue_take(&replay->fresh)))
		send_home(job);
}

void replay_stop(struct replay *replay)
{
	pthread_mutex_lock(&replay->lock);
	replay->stopping = true;
	pthread_cond_broadcast(&replay->work);
	for (uint32_t i = 0; i < replay->journal_reader_count; i++)
		replay->journal.interrupt(replay->journal_readers[i]);
	pthread_mutex_unlock(&replay->lock);
	for (uint32_t i = 0; i < replay->settings.workers; i++)
		pthread_join(replay->threads[i], NULL);
	for (uint32_t i = 0; i < replay->journal_reader_count; i++)
		replay->journal.close(replay->journal_readers[i]);
	pthread_mutex_lock(&replay->lock);
	send_waiting_home(replay);
	pthread_mutex_unlock(&replay->lock);
}

void replay_free(struct replay *replay)
{
	pthread_mutex_destroy(&replay->lock);
	pthread_cond_destroy(&replay->work);
	free(replay->threads);
	free(replay->journal_readers);
	free(replay);
}

void replay_counts(struct replay *replay, uint32_t *waiting, uint32_t *running)
{
	pthread_mutex_lock(&replay->lock);
	*waiting = replay->waiting;
	*running = replay->running;
	pthread_mutex_unlock(&replay->lock);
}

struct replay_job *replay_job_new(struct replay *replay, struct fanout *home,
				  struct subscriber *subscriber, struct feed *feed,
				  const struct route_keys *keys, const struct position *own,
				  const struct replay_wish *wish)
{
	struct replay_job *job = MEM_NEW(struct replay_job);

	feeds_ref(replay->feeds, feed);
	job->home = home;
	job->subscriber = subscriber;
	job->feed = feed;
	job->mode = wish->mode;
	job->last = wish->last;
	job->since_ms = wish->since_ms;
	if (wish->custom_id)
		job->custom_id = mem_strdup(wish->custom_id);
	job->close_reason = CLOSE_GAP;
	job->keys.count = keys->count;
	if (keys->bytes.len)
		buffer_append(&job->keys.bytes, keys->bytes.base, keys->bytes.len);
	position_copy(&job->own, own);
	return job;
}

void replay_submit(struct replay *replay, struct replay_job *job)
{
	bool stopping;

	buffer_free(&job->chunk);
	job->chunk_events = 0;
	job->place = REPLAY_AWAY;
	pthread_mutex_lock(&replay->lock);
	stopping = replay->stopping;
	if (!stopping) {
		queue_put(job->holds_chunk ? &replay->holding : &replay->fresh, job);
		replay->waiting++;
		pthread_cond_signal(&replay->work);
	}
	pthread_mutex_unlock(&replay->lock);
	if (stopping)
		send_home(job);
}

void replay_chunk_done(struct replay *replay, struct replay_job *job)
{
	if (!job->holds_chunk)
		return;
	job->holds_chunk = false;
	pthread_mutex_lock(&replay->lock);
	replay->chunks_held--;
	pthread_cond_signal(&replay->work);
	pthread_mutex_unlock(&replay->lock);
}

bool replay_lacks_chunks(struct replay *replay)
{
	bool lacks;

	pthread_mutex_lock(&replay->lock);
	lacks = replay->fresh.first && replay->chunks_held >= replay->settings.chunks;
	pthread_mutex_unlock(&replay->lock);
	return lacks;
}

bool replay_take_state(struct replay *replay)
{
	bool taken;

	pthread_mutex_lock(&replay->lock);
	taken = replay->states < REPLAY_MAX_STATES;
	replay->states += taken;
	pthread_mutex_unlock(&replay->lock);
	return taken;
}

void replay_return_state(struct replay *replay)
{
	pthread_mutex_lock(&replay->lock);
	replay->states--;
	pthread_mutex_unlock(&replay->lock);
}

void replay_job_free(struct replay *replay, struct replay_job *job)
{
	assert(!job->subscriber);
	replay_chunk_done(replay, job);
	feeds_close(replay->feeds, job->feed);
	route_keys_free(&job->keys);
	checks_unref(job->checks);
	checks_unref(job->end_when);
	if (job->bound)
		position_fini(job->bound);
	free(job->bound);
	replay_current_free(replay, job);
	keyed_fini(&job->keyed);
	free(job->custom_id);
	free(job->welcome);
	position_fini(&job->own);
	buffer_free(&job->chunk);
	free(job);
}
