#include "feed/fanout_priv.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "event/event_id.h"
#include "feed/notice_priv.h"
#include "feed/subscriber_priv.h"

/* Each subscriber is visited about once a second. */
enum { SWEEPS_A_ROUND = 1000 / FANOUT_TICK_MS };

struct fanout *fanout_new(struct feeds *feeds, struct replay *replay,
			  const struct fanout_settings *settings, void (*wake)(void *context),
			  void *context)
{
	struct fanout *fanout = MEM_NEW(struct fanout);

	fanout->feeds = feeds;
	fanout->replay = replay;
	fanout->settings = settings;
	fanout->wake = wake;
	fanout->wake_context = context;
	fanout->reader = epoch_join(feeds_epoch(feeds));
	fanout->now_ms = clock_monotonic_ms();
	fanout->seed = (unsigned)clock_monotonic_us();
	fanout->scratch = mem_alloc(FANOUT_SCRATCH_BYTES);
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

struct fanout_feed *fanout_feed_enter(struct fanout *fanout, struct feed *feed)
{
	struct fanout_feed *at = fanout->feeds_here;

	while (at && at->feed != feed)
		at = at->following;
	if (at) {
		feeds_close(fanout->feeds, feed);
	} else {
		at = MEM_NEW(struct fanout_feed);
		at->fanout = fanout;
		at->feed = feed;
		position_init(&at->position, feed->topic_count);
		position_init(&at->before, feed->topic_count);
		at->following = fanout->feeds_here;
		fanout->feeds_here = at;
	}
	at->subscriber_count++;
	atomic_fetch_add(&feed->subscribers, 1);
	return at;
}

void fanout_feed_leave(struct fanout_feed *at)
{
	struct fanout *fanout = at->fanout;
	struct fanout_feed **link = &fanout->feeds_here;

	atomic_fetch_sub(&at->feed->subscribers, 1);
	if (--at->subscriber_count)
		return;
	while (*link != at)
		link = &(*link)->following;
	*link = at->following;
	index_fini(&at->index);
	free(at->unfiltered.members);
	position_fini(&at->position);
	position_fini(&at->before);
	buffer_free(&at->id);
	feeds_close(fanout->feeds, at->feed);
	free(at);
}

struct slice fanout_feed_id(struct fanout_feed *at)
{
	if (!at->id_is_fresh) {
		buffer_clear(&at->id);
		event_id_encode(at->feed->hash, 0, &at->position, &at->id);
		at->id_is_fresh = true;
	}
	return buffer_slice(&at->id);
}

static struct subscriber *touch(struct subscriber *dirty, struct subscriber *subscriber,
				uint64_t sequence)
{
	if (subscriber->state != SUBSCRIBER_LIVE)
		return dirty;
	if (!subscriber->dirty) {
		subscriber->dirty = dirty ? dirty : subscriber;
		dirty = subscriber;
	}
	subscriber_offer(subscriber, sequence);
	return dirty;
}

/* Offers one entry to those that have one of its keys. */
static struct subscriber *offer_by_key(struct fanout_feed *at, struct subscriber *dirty,
				       const struct window_segment *segment,
				       const struct window_entry *entry, uint64_t sequence)
{
	const struct route_keys keys = window_keys(segment, entry);
	struct slice key;
	size_t i = 0;

	while (route_keys_next(&keys, &i, &key)) {
		uint64_t hash = entry->key_count == 1 ? entry->key_hash : route_key_hash(key);
		struct index_node *node = index_first(&at->index, hash, key);

		for (; node; node = index_next(node, hash, key))
			dirty = touch(dirty, node->subscriber, sequence);
	}
	return dirty;
}

static struct subscriber *offer_to_all(struct fanout_feed *at, struct subscriber *dirty,
				       uint64_t sequence)
{
	const struct roster *all = &at->fanout->all;

	for (uint32_t i = 0; i < all->count; i++)
		if (all->members[i]->at == at && all->members[i]->filtered)
			dirty = touch(dirty, all->members[i], sequence);
	return dirty;
}

/*
 * Events left the window before this loop has looked at them. Those that are level with the last
 * dispatch read them again from there; those that were behind already find their cursor's segment
 * gone.
 */
static void replay_lapsed(struct fanout_feed *at)
{
	const struct roster *all = &at->fanout->all;

	for (uint32_t i = 0; i < all->count; i++) {
		struct subscriber *subscriber = all->members[i];

		if (subscriber->at == at && !subscriber->dirty)
			subscriber_replay_from(subscriber, &at->before);
	}
}

/* The filtered ones: an event costs a look-up for each of its keys, and what it does for each
 * match. */
static void dispatch_filtered(struct fanout_feed *at, uint64_t head)
{
	struct subscriber *dirty = NULL;
	uint64_t end = 0;

	for (uint64_t sequence = at->dispatched; sequence < head;) {
		const struct window_segment *segment =
		    window_find(at->feed->window, sequence, &end);

		if (!segment) {
			uint64_t tail = window_tail(at->feed->window);

			replay_lapsed(at);
			sequence = tail > sequence ? tail : sequence + 1;
			continue;
		}
		for (; sequence < end && sequence < head; sequence++) {
			const struct window_entry *entry = window_entry_at(segment, sequence);

			dirty = entry->kind == WINDOW_NOTICE
				    ? offer_to_all(at, dirty, sequence)
				    : offer_by_key(at, dirty, segment, entry, sequence);
		}
	}
	at->dispatched = head;
	while (dirty) {
		struct subscriber *next = dirty->dirty == dirty ? NULL : dirty->dirty;

		dirty->dirty = NULL;
		subscriber_tell(dirty);
		dirty = next;
	}
}

static void dispatch_unfiltered(struct fanout_feed *at)
{
	struct roster *roster = &at->unfiltered;

	for (uint32_t i = 0; i < roster->count; i++) {
		struct subscriber *subscriber = roster->members[i];

		if (subscriber->state != SUBSCRIBER_LIVE)
			continue;
		subscriber->until = at->dispatched;
		subscriber_tell(subscriber);
	}
}

static void attach_waiting(struct fanout_feed *at)
{
	const struct roster *all = &at->fanout->all;

	at->attached = true;
	for (uint32_t i = 0; i < all->count; i++)
		if (all->members[i]->at == at && all->members[i]->state == SUBSCRIBER_WAITING)
			subscriber_attach(all->members[i]);
}

/* Nothing but a topic that was made anew takes a feed's position back. */
static void recheck_positions(struct fanout_feed *at)
{
	const struct roster *all = &at->fanout->all;

	if (position_at_or_before(&at->before, &at->position))
		return;
	for (uint32_t i = 0; i < all->count; i++)
		if (all->members[i]->at == at)
			subscriber_recheck(all->members[i]);
}

void fanout_feed_dispatch(struct fanout_feed *at)
{
	struct window *window = at->feed->window;
	uint64_t head;

	if (!at->attached && !atomic_load(&at->feed->ready))
		return;
	if (at->attached && window_version(window) == at->version)
		return;
	position_assign(&at->before, &at->position);
	head = window_head(window, &at->position, &at->version);
	at->id_is_fresh = false;
	if (!at->attached) {
		at->dispatched = head;
		attach_waiting(at);
	} else if (head != at->dispatched) {
		recheck_positions(at);
		if (window_tail(window) > at->dispatched)
			replay_lapsed(at);
		dispatch_filtered(at, head);
		dispatch_unfiltered(at);
	}
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
	if (++fanout->ticks % SWEEPS_A_ROUND == 0)
		submit_failed_again(fanout);
	for (uint32_t i = 0; i < visits && i < fanout->all.count; i++) {
		if (fanout->swept >= fanout->all.count)
			fanout->swept = 0;
		subscriber_sweep(fanout->all.members[fanout->swept++], now_unix_ms);
	}
}

void fanout_drain(struct fanout *fanout, uint32_t spread_ms)
{
	struct buffer frame = {0};

	for (uint32_t i = 0; i < fanout->all.count; i++) {
		buffer_clear(&frame);
		notice_append_retry(&frame, 1 + (uint64_t)rand_r(&fanout->seed) % (spread_ms + 1));
		subscriber_end(fanout->all.members[i], CLOSE_DRAIN, buffer_slice(&frame));
	}
	buffer_free(&frame);
}

size_t fanout_subscriber_count(const struct fanout *fanout)
{
	return fanout->all.count;
}
