#include "postgres/migrator.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "postgres/database_priv.h"

struct migrator {
	struct database *database; /* the thread's once it runs, but for an interrupt */
	pthread_t thread;
	bool started;
	char told[512];       /* what the log knows */
	pthread_mutex_t lock; /* guards what follows */
	char why[256];        /* "": done */
};

static void set_why(struct migrator *migrator, const char *why)
{
	pthread_mutex_lock(&migrator->lock);
	snprintf(migrator->why, sizeof(migrator->why), "%.255s", why);
	pthread_mutex_unlock(&migrator->lock);
}

/* The database itself tells of a server that is away. */
static void tell(struct migrator *migrator, int rc, const char *why)
{
	if (rc == ERROR_UNAVAILABLE || rc == ERROR_CANCELLED || !strcmp(migrator->told, why))
		return;
	snprintf(migrator->told, sizeof(migrator->told), "%s", why);
	log_event(LOG_ERROR, "migrator", "the migrations cannot be applied",
		  LOG_STR("reason", why));
}

static int try_once(struct migrator *migrator)
{
	char why[512] = "";
	unsigned applied;
	int rc = database_connect(migrator->database);

	if (rc)
		snprintf(why, sizeof(why), "%s", database_error(migrator->database));
	else
		rc = migrate_apply(migrator->database, &applied, why);
	if (rc)
		tell(migrator, rc, why);
	set_why(migrator, why);
	return rc;
}

static void *run(void *context)
{
	struct migrator *migrator = context;
	struct backoff backoff = {0};
	int rc;

	pthread_setname_np(pthread_self(), "migrator");
	do {
		rc = database_sleep(migrator->database, backoff_next_ms(&backoff));
		if (!rc)
			rc = try_once(migrator);
	} while (rc && rc != ERROR_CANCELLED);
	return NULL;
}

int migrator_start(const struct postgres_settings *settings, struct migrator **started)
{
	struct migrator *migrator = MEM_NEW(struct migrator);
	int rc;

	migrator->database = database_new(settings, "sluice migrate");
	pthread_mutex_init(&migrator->lock, NULL);
	rc = try_once(migrator);
	if (rc == ERROR_CONFLICT) {
		migrator_stop(migrator);
		return rc;
	}
	if (rc) {
		rc = pthread_create(&migrator->thread, NULL, run, migrator);
		assert(rc == 0);
		migrator->started = true;
	}
	*started = migrator;
	return 0;
}

void migrator_stop(struct migrator *migrator)
{
	database_interrupt(migrator->database);
	if (migrator->started)
		pthread_join(migrator->thread, NULL);
	database_free(migrator->database);
	pthread_mutex_destroy(&migrator->lock);
	free(migrator);
}

bool migrator_ready(struct migrator *migrator, char why[256])
{
	bool ready;

	pthread_mutex_lock(&migrator->lock);
	ready = !migrator->why[0];
	if (!ready)
		memcpy(why, migrator->why, sizeof(migrator->why));
	pthread_mutex_unlock(&migrator->lock);
	return ready;
}
