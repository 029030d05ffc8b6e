#include "feed/fanout_priv.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "feed/documents_priv.h"
#include "feed/notice_priv.h"
#include "feed/subscriber_priv.h"

/* Each subscriber is visited about once a second. */
enum { SWEEPS_A_ROUND = 1000 / FANOUT_TICK_MS };

struct fanout *fanout_new(struct feeds *feeds, struct replay *replay,
			  const struct fanout_settings *settings, void (*wake)(void *context),
			  void *context)
{
	struct fanout *fanout = MEM_NEW(struct fanout);

	assert(settings->look_bytes);
	fanout->feeds = feeds;
	fanout->replay = replay;
	fanout->settings = settings;
	fanout->wake = wake;
	fanout->wake_context = context;
	fanout->reader = epoch_join(feeds_epoch(feeds));
	fanout->now_ms = clock_monotonic_ms();
	fanout->seed = (unsigned)clock_monotonic_us();
	fanout->scratch = mem_alloc(FANOUT_SCRATCH_BYTES);
	fanout->documents = documents_new();
	conflation_loop_init(&fanout->conflation);
	TAILQ_INIT(&fanout->resting);
	pthread_mutex_init(&fanout->inbox_lock, NULL);
	return fanout;
}

static struct replay_job *take_inbox(struct fanout *fanout)
{
	struct replay_job *jobs;

	pthread_mutex_lock(&fanout->inbox_lock);
	jobs = fanout->inbox;
	fanout->inbox = NULL;
	pthread_mutex_unlock(&fanout->inbox_lock);
	return jobs;
}

static void free_jobs(struct fanout *fanout, struct replay_job *jobs)
{
	while (jobs) {
		struct replay_job *next = jobs->next;

		replay_job_free(fanout->replay, jobs);
		jobs = next;
	}
}

void fanout_free(struct fanout *fanout)
{
	assert(fanout->all.count == 0 && !fanout->feeds_here);
	free_jobs(fanout, take_inbox(fanout));
	free_jobs(fanout, fanout->retry);
	epoch_leave(feeds_epoch(fanout->feeds), fanout->reader);
	pthread_mutex_destroy(&fanout->inbox_lock);
	free(fanout->all.members);
	free(fanout->scratch);
	documents_free(fanout->documents);
	conflation_loop_fini(&fanout->conflation);
	free(fanout);
}

void roster_add(struct roster *roster, struct subscriber *subscriber, uint32_t *place)
{
	if (roster->count == roster->capacity) {
		roster->capacity = roster->capacity ? 2 * roster->capacity : 16;
		roster->members =
		    mem_realloc(roster->members, roster->capacity * sizeof(roster->members[0]));
	}
	*place = roster->count;
	roster->members[roster->count++] = subscriber;
}

struct subscriber *roster_remove(struct roster *roster, uint32_t place)
{
	return roster->members[place] = roster->members[--roster->count];
}

void fanout_deliver(struct fanout *fanout, struct replay_job *job)
{
	pthread_mutex_lock(&fanout->inbox_lock);
	job->next = fanout->inbox;
	fanout->inbox = job;
	pthread_mutex_unlock(&fanout->inbox_lock);
	fanout->wake(fanout->wake_context);
}

static void take_replays(struct fanout *fanout)
{
	struct replay_job *job = take_inbox(fanout);

	while (job) {
		struct replay_job *next = job->next;

		job->next = NULL;
		job->place = REPLAY_AT_HOME;
		if (job->subscriber)
			subscriber_take_chunk(job->subscriber);
		else
			replay_job_free(fanout->replay, job);
		job = next;
	}
}

static void dispatch_all(struct fanout *fanout)
{
	fanout->now_ms = clock_monotonic_ms();
	for (struct fanout_feed *at = fanout->feeds_here; at; at = at->following)
		fanout_feed_dispatch(at);
}

void fanout_turn(struct fanout *fanout)
{
	dispatch_all(fanout);
	take_replays(fanout);
	subscriber_wake_resting(fanout);
	epoch_quiesce(feeds_epoch(fanout->feeds), fanout->reader);
}

static void submit_failed_again(struct fanout *fanout)
{
	struct replay_job *job = fanout->retry;

	fanout->retry = NULL;
	while (job) {
		struct replay_job *next = job->next;

		job->next = NULL;
		job->place = REPLAY_AT_HOME;
		if (job->subscriber)
			replay_submit(fanout->replay, job);
		else
			replay_job_free(fanout->replay, job);
		job = next;
	}
}

void fanout_tick(struct fanout *fanout)
{
	int64_t now_unix_ms = clock_unix_ms();
	uint32_t visits = fanout->all.count / SWEEPS_A_ROUND + 1;

	dispatch_all(fanout);
	documents_clear(fanout->documents);
	conflation_tick(fanout);
	if (++fanout->ticks % SWEEPS_A_ROUND == 0)
		submit_failed_again(fanout);
	for (uint32_t i = 0; i < visits && i < fanout->all.count; i++) {
		if (fanout->swept >= fanout->all.count)
			fanout->swept = 0;
		subscriber_sweep(fanout->all.members[fanout->swept++], now_unix_ms);
	}
}

uint64_t fanout_jitter(struct fanout *fanout, uint64_t most)
{
	return (uint64_t)rand_r(&fanout->seed) % (most + 1);
}

uint64_t fanout_retry_ms(struct fanout *fanout)
{
	return 1 + fanout_jitter(fanout, fanout->settings->spread_ms);
}

void fanout_drain(struct fanout *fanout)
{
	struct buffer frame = {0};

	for (uint32_t i = 0; i < fanout->all.count; i++) {
		buffer_clear(&frame);
		notice_append_retry(&frame, fanout_retry_ms(fanout));
		subscriber_end(fanout->all.members[i], CLOSE_DRAIN, buffer_slice(&frame));
	}
	buffer_free(&frame);
}

void fanout_revoke(struct fanout *fanout,
		   bool (*is_revoked)(void *context, const struct carrier *carrier), void *context)
{
	for (uint32_t i = 0; i < fanout->all.count; i++)
		if (is_revoked(context, fanout->all.members[i]->carrier))
			subscriber_revoke(fanout->all.members[i]);
}

size_t fanout_subscriber_count(const struct fanout *fanout)
{
	return fanout->all.count;
}
