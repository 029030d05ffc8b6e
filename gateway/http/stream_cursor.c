/*
 * The happy path: claim() gives the worker a job and parks the request; the job comes back by
 * come_home() to the loop's next turn, which opens the stream.
 *
 * A job outlives its request where the client goes or has waited too long: then it comes back for
 * nothing. It may outlive the loop, too: then the last one that comes back frees what is left.
 */
#include "http/stream_cursor_priv.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "http/parked_priv.h"

enum {
	/* In one tick, so that many cursors do not hold up the loop. */
	VISITS = 500,
	LOG_INTERVAL_MS = 10000,
};

/* A request that claims its cursor: the worker's until it comes home, but for what is the loop's.
 */
struct claiming {
	struct worker_job job; /* first */
	struct claiming *next;
	struct stream_cursors *home;
	struct cursors_key key;
	struct buffer text; /* what `key` and `event_id` are slices of */
	struct slice event_id;
	uint32_t per_subject;
	_Atomic bool unwanted; /* set by the loop */
	int rc;
	int64_t generation;
	struct buffer stored;
	/* The loop's. */
	struct parked *parked; /* NULL: nobody waits any more */
	struct stream_caller caller;
};

/* An open stream with a cursor. */
struct stream_cursor {
	struct http_stream_watcher watcher; /* first */
	struct stream_cursors *home;
	struct subscriber *subscriber;
	struct cursor_life *life;
	struct buffer put; /* what the saver was given last */
	uint64_t put_ms;
	struct stream_cursor *next, **link;
};

struct stream_cursors {
	const struct cursors_settings *settings;
	struct cursor_saver *saver;
	struct worker *worker;
	struct http_loop *loop;
	struct stream_cursor *open;
	struct stream_cursor *visit; /* the round's next; NULL: it is over */
	uint64_t round_at_ms;
	uint64_t now_ms; /* of the last tick */
	struct buffer scratch;
	pthread_mutex_t lock; /* guards what follows */
	struct claiming *answered;
	uint32_t away; /* jobs that have not come back */
	bool closed;
	struct log_limit log;
};

struct stream_cursors *stream_cursors_new(const struct app_parts *parts, struct http_loop *loop)
{
	struct stream_cursors *cursors;

	if (!parts->cursor_saver)
		return NULL;
	cursors = MEM_NEW(struct stream_cursors);
	cursors->settings = parts->cursors_settings;
	cursors->saver = parts->cursor_saver;
	cursors->worker = parts->cursor_worker;
	cursors->loop = loop;
	pthread_mutex_init(&cursors->lock, NULL);
	return cursors;
}

static void free_cursors(struct stream_cursors *cursors)
{
	pthread_mutex_destroy(&cursors->lock);
	buffer_free(&cursors->scratch);
	free(cursors);
}

static void free_claiming(struct claiming *claiming)
{
	stream_caller_fini(&claiming->caller);
	buffer_free(&claiming->text);
	buffer_free(&claiming->stored);
	free(claiming);
}

static struct claiming *take_answered(struct stream_cursors *cursors)
{
	struct claiming *answered;

	pthread_mutex_lock(&cursors->lock);
	answered = cursors->answered;
	cursors->answered = NULL;
	pthread_mutex_unlock(&cursors->lock);
	return answered;
}

void stream_cursors_free(struct stream_cursors *cursors)
{
	struct claiming *next;
	bool last;

	if (!cursors)
		return;
	assert(!cursors->open);
	for (struct claiming *claiming = take_answered(cursors); claiming; claiming = next) {
		next = claiming->next;
		free_claiming(claiming);
	}
	pthread_mutex_lock(&cursors->lock);
	cursors->closed = true;
	last = !cursors->away;
	pthread_mutex_unlock(&cursors->lock);
	if (last)
		free_cursors(cursors);
}

/* The worker's. */

static void claim(struct claiming *claiming, struct database *database)
{
	uint64_t suppressed;

	claiming->rc = ERROR_CANCELLED;
	if (!database || atomic_load(&claiming->unwanted))
		return;
	claiming->rc =
	    cursors_claim(database, &claiming->key, claiming->event_id, claiming->per_subject,
			  &claiming->generation, &claiming->stored);
	if (claiming->rc && claiming->rc != ERROR_LIMIT && claiming->rc != ERROR_CANCELLED &&
	    log_limit_pass(&claiming->home->log, LOG_INTERVAL_MS, &suppressed))
		log_event(LOG_WARN, "stream_cursor", "a cursor cannot be read now",
			  LOG_STR("error", database_error(database)),
			  LOG_INT("suppressed", suppressed));
}

static void come_home(struct worker_job *job, struct database *database)
{
	struct claiming *claiming = (struct claiming *)job;
	struct stream_cursors *home = claiming->home;
	bool closed, last;

	claim(claiming, database);
	pthread_mutex_lock(&home->lock);
	last = --home->away == 0;
	closed = home->closed;
	if (!closed) {
		claiming->next = home->answered;
		home->answered = claiming;
		http_loop_wake(home->loop);
	}
	pthread_mutex_unlock(&home->lock);
	if (!closed)
		return;
	free_claiming(claiming);
	if (last)
		free_cursors(home);
}

/* The loop's. */

/* Nobody waits for it any more; it is freed when it comes home. */
static void abandon(struct parked *parked)
{
	struct claiming *claiming = parked->context;

	claiming->parked = NULL;
	stream_caller_fini(&claiming->caller);
	atomic_store(&claiming->unwanted, true);
}

static void open_with(struct parked *parked, const struct stream_cursor_claim *claim)
{
	struct claiming *claiming = parked->context;
	struct stream_caller caller = claiming->caller;
	struct http_request *request = parked->request;
	struct route route = parked->route;

	claiming->caller = (struct stream_caller){.claims = NULL};
	abandon(parked);
	parked_end(request);
	caller.cursor = claim;
	stream_open(request, &route, &caller);
	stream_caller_fini(&caller);
}

static void retry(struct parked *parked, bool last)
{
	const struct stream_cursor_claim claim = {.rc = ERROR_UNAVAILABLE};

	if (last)
		open_with(parked, &claim);
}

static const struct parked_ops waits_for_claim = {retry, abandon};

static struct slice put_aside(struct buffer *text, struct slice part)
{
	buffer_append_slice(text, part);
	return (struct slice){NULL, part.len};
}

static struct slice take_back(const struct buffer *text, size_t *at, struct slice part)
{
	part.base = part.len ? text->base + *at : NULL;
	*at += part.len;
	return part;
}

/* An empty event id has no base: the cursor's own stays. */
static void copy_key(struct claiming *claiming, const struct cursors_key *key,
		     struct slice event_id)
{
	const struct slice from[] = {key->subject, key->stream, key->name, key->parameters,
				     event_id};
	struct slice *const to[] = {&claiming->key.subject, &claiming->key.stream,
				    &claiming->key.name, &claiming->key.parameters,
				    &claiming->event_id};
	size_t at = 0;

	for (size_t i = 0; i < sizeof(to) / sizeof(to[0]); i++)
		*to[i] = put_aside(&claiming->text, from[i]);
	for (size_t i = 0; i < sizeof(to) / sizeof(to[0]); i++)
		*to[i] = take_back(&claiming->text, &at, *to[i]);
}

static struct claiming *new_claiming(struct stream_cursors *home, struct stream_caller *caller,
				     const struct cursors_key *key, struct slice event_id)
{
	struct claiming *claiming = MEM_NEW(struct claiming);

	claiming->job.run = come_home;
	claiming->home = home;
	claiming->per_subject = home->settings->per_subject;
	claiming->caller = *caller;
	json_incref(claiming->caller.claims);
	caller->holder = NULL;
	copy_key(claiming, key, event_id);
	return claiming;
}

/* What is submitted comes home, on another thread, perhaps before this returns. */
static int submit(struct stream_cursors *home, struct claiming *claiming)
{
	int rc;

	pthread_mutex_lock(&home->lock);
	home->away++;
	pthread_mutex_unlock(&home->lock);
	rc = worker_submit(home->worker, &claiming->job);
	if (!rc)
		return 0;
	pthread_mutex_lock(&home->lock);
	home->away--;
	pthread_mutex_unlock(&home->lock);
	return rc;
}

void stream_cursor_claim(struct http_request *request, const struct route *route,
			 struct stream_caller *caller, const struct cursors_key *key,
			 struct slice event_id)
{
	struct stream_cursors *home = app_loop_of(request)->cursors;
	struct claiming *claiming = new_claiming(home, caller, key, event_id);

	if (!parked_new(request, route, &waits_for_claim, claiming)) {
		free_claiming(claiming);
		return;
	}
	claiming->parked = request->handler_data;
	if (submit(home, claiming)) {
		retry(claiming->parked, true);
		free_claiming(claiming);
	}
}

void stream_cursors_turn(struct stream_cursors *cursors)
{
	struct claiming *next;

	if (!cursors)
		return;
	for (struct claiming *claiming = take_answered(cursors); claiming; claiming = next) {
		const struct stream_cursor_claim claim = {claiming->rc, claiming->generation,
							  buffer_slice(&claiming->stored)};

		next = claiming->next;
		if (claiming->parked)
			open_with(claiming->parked, &claim);
		free_claiming(claiming);
	}
}

/* Its position, where it is not what was given last; else empty. Borrowed until the next one. */
static struct slice news_of(struct stream_cursor *cursor)
{
	struct buffer *scratch = &cursor->home->scratch;

	buffer_clear(scratch);
	if (!subscriber_position(cursor->subscriber, scratch) ||
	    slice_equal(buffer_slice(scratch), buffer_slice(&cursor->put)))
		return (struct slice){0};
	return buffer_slice(scratch);
}

static void on_end(struct http_stream_watcher *watcher, struct subscriber *subscriber)
{
	struct stream_cursor *cursor = (struct stream_cursor *)watcher;
	struct stream_cursors *home = cursor->home;

	(void)subscriber;
	cursor_saver_end(home->saver, cursor->life, news_of(cursor));
	if (home->visit == cursor)
		home->visit = cursor->next;
	*cursor->link = cursor->next;
	if (cursor->next)
		cursor->next->link = cursor->link;
	buffer_free(&cursor->put);
	free(cursor);
}

void stream_cursor_begin(struct stream_cursors *cursors, struct http_stream *stream,
			 struct cursor_life *life)
{
	struct stream_cursor *cursor = MEM_NEW(struct stream_cursor);

	cursor->watcher.ended = on_end;
	cursor->home = cursors;
	cursor->subscriber = stream->subscriber;
	cursor->life = life;
	cursor->put_ms = cursors->now_ms;
	cursor->next = cursors->open;
	cursor->link = &cursors->open;
	if (cursor->next)
		cursor->next->link = &cursor->next;
	cursors->open = cursor;
	http_stream_watch(stream, &cursor->watcher);
}

/* One that stays where it is counts as used, too. */
static void visit(struct stream_cursor *cursor)
{
	const struct stream_cursors *home = cursor->home;
	struct slice event_id = news_of(cursor);

	if (event_id.len) {
		buffer_clear(&cursor->put);
		buffer_append_slice(&cursor->put, event_id);
	} else if (!cursor->put.len ||
		   home->now_ms - cursor->put_ms < home->settings->forget_ms / 2) {
		return;
	}
	cursor->put_ms = home->now_ms;
	cursor_saver_put(home->saver, cursor->life, buffer_slice(&cursor->put));
}

void stream_cursors_tick(struct stream_cursors *cursors, uint64_t now_ms)
{
	if (!cursors)
		return;
	cursors->now_ms = now_ms;
	if (!cursors->visit && now_ms >= cursors->round_at_ms) {
		cursors->visit = cursors->open;
		cursors->round_at_ms = now_ms + cursors->settings->save_ms;
	}
	for (int i = 0; i < VISITS && cursors->visit; i++) {
		struct stream_cursor *cursor = cursors->visit;

		cursors->visit = cursor->next;
		visit(cursor);
	}
	cursor_saver_tick(cursors->saver);
}
