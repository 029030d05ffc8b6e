/*
 * The happy path: hold() finds the subject known. One that is not there is put into the queue, and
 * load_queued() is submitted to the worker where it is not at work; it takes them in batches.
 *
 * A change is told by notified(), or of all by resync(), on another connection. What the worker has
 * read may be older than that: a subject's generation moves on with each change, and what was begun
 * before is read once more.
 */
#include "http/filter_registry_priv.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "event/user_filter.h"
#include "http/filter_set_priv.h"
#include "http/filter_subjects_priv.h"
#include "postgres/user_filters.h"
#include "postgres/worker.h"

enum {
	BATCH_SUBJECTS = 100,
	MAX_QUEUED = 10000,
	/* So long after a failure the next request is told of it, and does not ask. */
	FAILURE_MS = 1000,
};

struct filter_registry {
	struct filter_registry_parts parts;
	struct worker *worker;
	struct worker_job job;
	pthread_mutex_t lock; /* guards what follows */
	struct filter_subjects subjects;
	bool running; /* the job is the worker's */
};

static void tell(struct filter_registry *registry)
{
	registry->parts.on_change(registry->parts.context);
}

/* Reading: subjects that are pinned. */

struct reading {
	struct filter_registry *registry;
	struct filter_subject *subjects[BATCH_SUBJECTS];
	uint64_t generations[BATCH_SUBJECTS];
	struct filter_set *sets[BATCH_SUBJECTS];
	size_t count;
};

/* `generation` stays as it is, or the lock is held. */
static void add_pinned(struct reading *reading, struct filter_subject *subject)
{
	assert(reading->count < BATCH_SUBJECTS);
	reading->subjects[reading->count] = subject;
	reading->generations[reading->count++] = subject->generation;
}

static void take_row(void *context, const struct user_filters_row *row)
{
	struct reading *reading = context;
	const struct filter_registry_parts *parts = &reading->registry->parts;

	for (size_t i = 0; i < reading->count; i++)
		if (slice_equal(reading->subjects[i]->name, row->subject))
			filter_set_add(reading->sets[i], parts->streams, parts->stream_count, row);
}

static int read_sets(struct reading *reading, struct database *database)
{
	struct slice names[BATCH_SUBJECTS];
	int rc;

	for (size_t i = 0; i < reading->count; i++) {
		names[i] = reading->subjects[i]->name;
		reading->sets[i] = filter_set_new();
	}
	if (!database)
		return ERROR_CANCELLED;
	rc = user_filters_load(database, names, reading->count, USER_FILTER_MAX_PATTERNS + 1,
			       take_row, reading);
	for (size_t i = 0; i < reading->count; i++)
		filter_set_finish(reading->sets[i]);
	return rc;
}

static void tell_holds(struct filter_subject *subject, const struct filter_set *older)
{
	for (struct filter_hold *hold = subject->holds; hold; hold = hold->next) {
		if (hold->changed || filter_set_checks(subject->set, hold->stream) ==
					 filter_set_checks(older, hold->stream))
			continue;
		hold->changed = true;
		hold->next_changed = hold->loop->changed;
		hold->loop->changed = hold;
	}
}

static void put_set(struct filter_subject *subject, struct filter_set *set)
{
	struct filter_set *older = subject->set;

	filter_set_keep_same(set, older);
	subject->set = set;
	subject->failed_ms = 0;
	tell_holds(subject, older);
	filter_set_free(older);
}

/* Locked. What was read before PostgreSQL told of a change counts only where nothing is known. */
static void finish(struct reading *reading, int rc)
{
	uint64_t now_ms = clock_monotonic_ms();

	for (size_t i = 0; i < reading->count; i++) {
		struct filter_subject *subject = reading->subjects[i];
		bool stale = subject->generation != reading->generations[i];

		subject->pins--;
		subject->free_since_ms = now_ms;
		if (rc || (stale && subject->set)) {
			filter_set_free(reading->sets[i]);
			subject->failed_ms = rc && !subject->set ? now_ms : 0;
		} else if (stale) {
			filter_set_free(reading->sets[i]);
			if (!subject->queued)
				filter_subjects_enqueue(&reading->registry->subjects, subject);
		} else {
			put_set(subject, reading->sets[i]);
		}
	}
	reading->count = 0;
}

static void take_queued(struct filter_registry *registry, struct reading *reading)
{
	struct filter_subject *subject;

	while (reading->count < BATCH_SUBJECTS &&
	       (subject = filter_subjects_dequeue(&registry->subjects))) {
		subject->pins++;
		add_pinned(reading, subject);
	}
	registry->running = reading->count > 0;
}

static void load_queued(struct worker_job *job, struct database *database)
{
	struct filter_registry *registry =
	    (struct filter_registry *)((char *)job - offsetof(struct filter_registry, job));
	struct reading reading = {.registry = registry};

	pthread_mutex_lock(&registry->lock);
	take_queued(registry, &reading);
	while (reading.count) {
		int rc;

		pthread_mutex_unlock(&registry->lock);
		rc = read_sets(&reading, database);
		pthread_mutex_lock(&registry->lock);
		finish(&reading, rc);
		pthread_mutex_unlock(&registry->lock);
		if (database)
			tell(registry);
		pthread_mutex_lock(&registry->lock);
		take_queued(registry, &reading);
	}
	pthread_mutex_unlock(&registry->lock);
}

/* Changes. */

/* What is pinned is read on the notifications' own connection; what is stored then is the newest.
 */
static int refresh(struct reading *reading, struct database *database)
{
	int rc = read_sets(reading, database);

	pthread_mutex_lock(&reading->registry->lock);
	finish(reading, rc);
	pthread_mutex_unlock(&reading->registry->lock);
	return rc;
}

/* Locked. All that are in use, pinned; the others go. */
static struct filter_subject **pin_all(struct filter_registry *registry, size_t *count)
{
	struct filter_subject **all = NULL, *older;
	size_t capacity = 0;

	*count = 0;
	for (struct filter_subject *at = registry->subjects.newest; at; at = older) {
		older = at->older;
		if (!filter_subjects_is_in_use(at)) {
			filter_subjects_free(&registry->subjects, at);
			continue;
		}
		if (*count == capacity) {
			capacity = capacity ? 2 * capacity : 64;
			all = mem_realloc(all, capacity * sizeof(all[0]));
		}
		at->generation++;
		at->pins++;
		all[(*count)++] = at;
	}
	return all;
}

static int resync(void *context, struct database *database)
{
	struct filter_registry *registry = context;
	struct reading reading = {.registry = registry};
	struct filter_subject **all;
	size_t count;
	int rc = 0;

	pthread_mutex_lock(&registry->lock);
	all = pin_all(registry, &count);
	pthread_mutex_unlock(&registry->lock);
	for (size_t i = 0; i < count; i++) {
		int failed;

		/* None but this thread moves them on. */
		add_pinned(&reading, all[i]);
		if (reading.count < BATCH_SUBJECTS && i + 1 < count)
			continue;
		failed = refresh(&reading, rc ? NULL : database);
		if (!rc)
			rc = failed;
	}
	free(all);
	tell(registry);
	return rc;
}

static int notified(void *context, struct database *database, struct slice payload)
{
	struct filter_registry *registry = context;
	struct reading reading = {.registry = registry};
	struct filter_subject *subject;
	int rc;

	if (!payload.len)
		return resync(context, database);
	pthread_mutex_lock(&registry->lock);
	subject = filter_subjects_find(&registry->subjects, payload);
	if (subject) {
		subject->generation++;
		subject->pins++;
		add_pinned(&reading, subject);
	}
	pthread_mutex_unlock(&registry->lock);
	if (!subject)
		return 0;
	rc = refresh(&reading, database);
	tell(registry);
	return rc;
}

struct filter_registry *filter_registry_new(const struct filter_registry_parts *parts)
{
	struct filter_registry *registry = MEM_NEW(struct filter_registry);
	const struct notifications_channel channel = {USER_FILTERS_CHANNEL, resync, notified,
						      registry};

	registry->parts = *parts;
	registry->job.run = load_queued;
	pthread_mutex_init(&registry->lock, NULL);
	notifications_add(parts->notifications, &channel);
	registry->worker = worker_new(parts->postgres, "sluice filters", 1);
	worker_start(registry->worker);
	return registry;
}

void filter_registry_free(struct filter_registry *registry)
{
	worker_stop(registry->worker);
	worker_free(registry->worker);
	filter_subjects_fini(&registry->subjects);
	pthread_mutex_destroy(&registry->lock);
	free(registry);
}

/* Locked. Finds it, or asks for it. */
static int ask(struct filter_registry *registry, struct slice name, struct filter_subject **found)
{
	uint64_t now_ms = clock_monotonic_ms();
	struct filter_subject *subject = filter_subjects_find(&registry->subjects, name);

	if (!subject)
		subject = filter_subjects_add(&registry->subjects, name, now_ms);
	*found = subject;
	if (subject->set)
		return 0;
	if (subject->queued || subject->pins)
		return ERROR_PENDING;
	if (subject->failed_ms && now_ms - subject->failed_ms < FAILURE_MS)
		return ERROR_UNAVAILABLE;
	if (registry->subjects.queued >= MAX_QUEUED)
		return ERROR_LIMIT;
	filter_subjects_enqueue(&registry->subjects, subject);
	if (!registry->running) {
		registry->running = true;
		/* Refused: it has been stopped, and nobody is answered any more. */
		(void)!worker_submit(registry->worker, &registry->job);
	}
	return ERROR_PENDING;
}

int filter_registry_ask(struct filter_registry *registry, struct slice subject)
{
	struct filter_subject *found;
	int rc;

	pthread_mutex_lock(&registry->lock);
	rc = ask(registry, subject, &found);
	pthread_mutex_unlock(&registry->lock);
	return rc;
}

static struct checks *ref_checks(const struct filter_hold *hold)
{
	return checks_ref(filter_set_checks(hold->subject->set, hold->stream));
}

static void attach(struct filter_hold *hold, struct filter_loop *loop,
		   struct filter_subject *subject, const struct stream *stream)
{
	*hold = (struct filter_hold){.subject = subject, .stream = stream, .loop = loop};
	hold->next = subject->holds;
	hold->link = &subject->holds;
	if (hold->next)
		hold->next->link = &hold->next;
	subject->holds = hold;
}

int filter_registry_hold(struct filter_registry *registry, struct filter_loop *loop,
			 struct slice subject, const struct stream *stream,
			 struct filter_hold *hold, struct checks **checks)
{
	struct filter_subject *found;
	int rc;

	pthread_mutex_lock(&registry->lock);
	rc = ask(registry, subject, &found);
	if (!rc) {
		attach(hold, loop, found, stream);
		*checks = ref_checks(hold);
	}
	pthread_mutex_unlock(&registry->lock);
	return rc;
}

static void forget_change(struct filter_hold *hold)
{
	struct filter_hold **at = &hold->loop->changed;

	if (!hold->changed)
		return;
	while (*at != hold)
		at = &(*at)->next_changed;
	*at = hold->next_changed;
	hold->changed = false;
}

void filter_registry_drop(struct filter_registry *registry, struct filter_hold *hold)
{
	struct filter_subject *subject = hold->subject;

	pthread_mutex_lock(&registry->lock);
	forget_change(hold);
	*hold->link = hold->next;
	if (hold->next)
		hold->next->link = hold->link;
	if (!subject->holds)
		subject->free_since_ms = clock_monotonic_ms();
	pthread_mutex_unlock(&registry->lock);
}

struct filter_hold *filter_registry_next_changed(struct filter_registry *registry,
						 struct filter_loop *loop, struct checks **checks)
{
	struct filter_hold *hold;

	pthread_mutex_lock(&registry->lock);
	hold = loop->changed;
	if (hold) {
		forget_change(hold);
		*checks = ref_checks(hold);
	}
	pthread_mutex_unlock(&registry->lock);
	return hold;
}
