#include "postgres/notifications.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "postgres/database_priv.h"

enum { MAX_CHANNELS = 8, PROBE_MS = 10000 };

struct notifications {
	struct database *database; /* the thread's, but for an interrupt */
	struct notifications_channel channels[MAX_CHANNELS];
	size_t channel_count;
	pthread_t thread;
	bool started;
	bool told;            /* of a failure that is not a loss of the connection */
	pthread_mutex_t lock; /* guards what follows */
	char why[256];        /* "": in step */
};

static void set_why(struct notifications *notifications, const char *why)
{
	pthread_mutex_lock(&notifications->lock);
	snprintf(notifications->why, sizeof(notifications->why), "%.255s", why);
	pthread_mutex_unlock(&notifications->lock);
}

struct notifications *notifications_new(const struct postgres_settings *settings)
{
	struct notifications *notifications = MEM_NEW(struct notifications);

	notifications->database = database_new(settings, "sluice notifications");
	pthread_mutex_init(&notifications->lock, NULL);
	set_why(notifications, "PostgreSQL has not been asked yet");
	return notifications;
}

void notifications_add(struct notifications *notifications,
		       const struct notifications_channel *channel)
{
	assert(!notifications->started && notifications->channel_count < MAX_CHANNELS);
	assert(channel->name[strspn(channel->name, "abcdefghijklmnopqrstuvwxyz_")] == '\0');
	notifications->channels[notifications->channel_count++] = *channel;
}

static int listen_all(struct notifications *notifications)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < notifications->channel_count; i++) {
		char sql[80];

		snprintf(sql, sizeof(sql), "listen %s", notifications->channels[i].name);
		rc = database_execute(notifications->database, sql);
	}
	return rc;
}

static int resync_all(struct notifications *notifications)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < notifications->channel_count; i++) {
		const struct notifications_channel *channel = &notifications->channels[i];

		rc = channel->resync(channel->context, notifications->database);
	}
	return rc;
}

static int dispatch(struct notifications *notifications, const PGnotify *notification)
{
	for (size_t i = 0; i < notifications->channel_count; i++) {
		const struct notifications_channel *channel = &notifications->channels[i];

		if (!strcmp(channel->name, notification->relname))
			return channel->notified(channel->context, notifications->database,
						 slice_of(notification->extra));
	}
	return 0;
}

static void get_in_step(struct notifications *notifications)
{
	if (notifications->told)
		log_event(LOG_INFO, "notifications", "PostgreSQL's changes are followed again");
	notifications->told = false;
	set_why(notifications, "");
}

/* The database itself has told of a lost connection. */
static void fall_out_of_step(struct notifications *notifications, int rc)
{
	const char *why = database_error(notifications->database);

	if (!*why)
		why = error_text(rc);
	set_why(notifications, why);
	if (rc != ERROR_UNAVAILABLE && !notifications->told) {
		log_event(LOG_ERROR, "notifications", "PostgreSQL's changes cannot be followed",
			  LOG_STR("reason", why));
		notifications->told = true;
	}
	database_drop(notifications->database);
}

static int take_next(struct notifications *notifications)
{
	static const struct database_statement probe = {"notifications_probe", "select 1"};
	PGnotify *notification;
	int rc = database_next_notification(notifications->database, PROBE_MS, &notification);

	if (rc)
		return rc;
	if (!notification)
		return database_run(notifications->database, &probe, NULL, 0, NULL);
	rc = dispatch(notifications, notification);
	PQfreemem(notification);
	return rc;
}

/* On a new connection, until something fails. */
static int follow(struct notifications *notifications, struct backoff *backoff)
{
	int rc = listen_all(notifications);

	if (!rc)
		rc = resync_all(notifications);
	if (rc)
		return rc;
	backoff_reset(backoff);
	get_in_step(notifications);
	while (!rc)
		rc = take_next(notifications);
	return rc;
}

static void *run(void *context)
{
	struct notifications *notifications = context;
	struct backoff backoff = {0};
	int rc;

	pthread_setname_np(pthread_self(), "notifications");
	do {
		/* It waits by itself where the server is away. */
		while ((rc = database_connect(notifications->database)) == ERROR_UNAVAILABLE)
			fall_out_of_step(notifications, rc);
		if (!rc)
			rc = follow(notifications, &backoff);
		if (rc != ERROR_CANCELLED) {
			fall_out_of_step(notifications, rc);
			rc = database_sleep(notifications->database, backoff_next_ms(&backoff));
		}
	} while (rc != ERROR_CANCELLED);
	return NULL;
}

void notifications_start(struct notifications *notifications)
{
	int rc = pthread_create(&notifications->thread, NULL, run, notifications);

	assert(rc == 0 && !notifications->started);
	notifications->started = true;
}

void notifications_stop(struct notifications *notifications)
{
	database_interrupt(notifications->database);
	if (notifications->started)
		pthread_join(notifications->thread, NULL);
	notifications->started = false;
}

void notifications_free(struct notifications *notifications)
{
	assert(!notifications->started);
	database_free(notifications->database);
	pthread_mutex_destroy(&notifications->lock);
	free(notifications);
}

bool notifications_ready(struct notifications *notifications, char why[256])
{
	bool ready;

	pthread_mutex_lock(&notifications->lock);
	ready = !notifications->why[0];
	if (!ready)
		memcpy(why, notifications->why, sizeof(notifications->why));
	pthread_mutex_unlock(&notifications->lock);
	return ready;
}
