#include "gateway.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "base/log.h"
#include "base/mem.h"
#include "feed/feeds.h"
#include "feed/replay.h"
#include "http/app.h"
#include "http/filter_registry.h"
#include "journal.h"
#include "kafka/ingest.h"
#include "observe.h"
#include "postgres/cursor_saver.h"
#include "postgres/migrator.h"
#include "postgres/notifications.h"
#include "replay_ties.h"

/* How many requests may wait for their cursor, on all loops; and how long a stop waits until all
 * cursors are saved. */
enum { CURSOR_CLAIMS_WAITING = 10000, CURSOR_FLUSH_MS = 3000 };

struct gateway {
	const struct settings *settings;
	struct migrator *migrator; /* NULL: not asked for */
	struct ingest *ingest;
	struct feeds *feeds;
	struct replay *replay;
	struct notifications *notifications; /* NULL: no PostgreSQL */
	struct auth *auth;                   /* NULL: no token can be valid */
	struct journal *journal;             /* NULL: no stream has one */
	struct worker *cursor_worker;        /* NULL: no PostgreSQL */
	struct cursor_saver *cursor_saver;   /* likewise */
	struct filter_registry *filters;     /* NULL: no stream has "user_filters" */
	struct app *app;
	_Atomic bool app_runs; /* the auth thread may tell it something */
	struct observe observe;
};

/* feed/ -> kafka/: the ties that keep the two from knowing each other. */

static void want_topic(void *context, const char *topic, uint32_t warm_ms, void *token)
{
	ingest_want(((struct gateway *)context)->ingest, topic, warm_ms, token);
}

static void unwant_topic(void *context, const char *topic)
{
	ingest_unwant(((struct gateway *)context)->ingest, topic);
}

/* Ingest starts after the app, and stops before it: there is one to wake. */
static void wake_app(void *context)
{
	app_wake(((struct gateway *)context)->app);
}

static void auth_changed(void *context)
{
	struct gateway *gateway = context;

	if (atomic_load(&gateway->app_runs))
		app_auth_changed(gateway->app);
}

static int make_auth(struct gateway *gateway)
{
	const struct settings *settings = gateway->settings;
	int rc;

	if (settings->postgres.url)
		gateway->notifications = notifications_new(&settings->postgres);
	if (!settings->auth.issuer_count && !settings->auth.opaque)
		return 0;
	rc = auth_new(&settings->auth, auth_changed, gateway, &gateway->auth);
	if (!rc && gateway->notifications)
		auth_use_postgres(gateway->auth, &settings->postgres, gateway->notifications);
	return rc;
}

static void filters_changed(void *context)
{
	struct gateway *gateway = context;

	if (atomic_load(&gateway->app_runs))
		app_filters_changed(gateway->app);
}

static void make_filters(struct gateway *gateway)
{
	const struct settings *settings = gateway->settings;
	bool wanted = false;

	for (size_t i = 0; i < settings->stream_count; i++)
		wanted |= settings->streams[i]->user_filters;
	if (!wanted || !gateway->notifications)
		return;
	gateway->filters = filter_registry_new(&(struct filter_registry_parts){
	    .postgres = &settings->postgres,
	    .notifications = gateway->notifications,
	    .streams = settings->streams,
	    .stream_count = settings->stream_count,
	    .on_change = filters_changed,
	    .context = gateway,
	});
}

static int make_ingest_and_feeds(struct gateway *gateway)
{
	const struct settings *settings = gateway->settings;
	const struct feeds_source source = {want_topic, unwant_topic, gateway};
	const struct replay_source replay_source = replay_ties_kafka(settings);
	const struct replay_journal replay_journal = replay_ties_journal(settings);
	int rc;

	gateway->feeds = feeds_new(&source, settings->kafka.warm_ms, wake_app, gateway);
	const struct ingest_sink sink = {
	    .partition = feeds_on_partition,
	    .record = feeds_on_record,
	    .end = feeds_on_end,
	    .gap = feeds_on_gap,
	    .flush = feeds_on_flush,
	    .caught_up = feeds_on_caught_up,
	    .forgotten = feeds_on_forgotten,
	    .context = gateway->feeds,
	};

	rc = ingest_new(&settings->kafka, &sink, &gateway->ingest);
	if (rc)
		return rc;
	gateway->replay =
	    replay_new(&settings->replay, &replay_source,
		       settings->postgres.url ? &replay_journal : NULL, gateway->feeds);
	for (size_t i = 0; i < settings->stream_count; i++)
		if (!settings->streams[i]->topic_param)
			feeds_declare(gateway->feeds, settings->streams[i]);
	return journal_new(&(const struct journal_parts){&settings->journal, &settings->kafka,
							 &settings->postgres, gateway->feeds},
			   &gateway->journal);
}

static void make_cursors(struct gateway *gateway)
{
	const struct settings *settings = gateway->settings;

	if (!settings->postgres.url)
		return;
	gateway->cursor_worker =
	    worker_new(&settings->postgres, "sluice cursors", CURSOR_CLAIMS_WAITING);
	gateway->cursor_saver = cursor_saver_new(&settings->cursors, gateway->cursor_worker);
}

/* The streams are closed, and have said where they stood. */
static void stop_cursors(struct gateway *gateway)
{
	if (!gateway->cursor_worker)
		return;
	cursor_saver_flush(gateway->cursor_saver, CURSOR_FLUSH_MS);
	worker_stop(gateway->cursor_worker);
}

static int make_app(struct gateway *gateway, const char *produce_hint)
{
	const struct settings *settings = gateway->settings;

	gateway->app = app_new(&(struct app_parts){
	    .settings = &settings->http,
	    .auth_settings = &settings->auth,
	    .auth = gateway->auth,
	    .streams = settings->streams,
	    .stream_count = settings->stream_count,
	    .feeds = gateway->feeds,
	    .replay = gateway->replay,
	    .cursor_saver = gateway->cursor_saver,
	    .cursor_worker = gateway->cursor_worker,
	    .cursors_settings = &settings->cursors,
	    .filters = gateway->filters,
	    .readiness = observe_readiness,
	    .readiness_context = &gateway->observe,
	    .server_id = settings->server_id,
	    .produce_hint = produce_hint,
	});
	gateway->observe = (struct observe){
	    .ingest = gateway->ingest,
	    .feeds = gateway->feeds,
	    .replay = gateway->replay,
	    .auth = gateway->auth,
	    .app = gateway->app,
	    .notifications = gateway->notifications,
	    .migrator = gateway->migrator,
	    .journal = gateway->journal,
	};
	/* A request may ask for /metrics at once. */
	observe_register(&gateway->observe);
	return app_start(gateway->app);
}

static void free_parts(struct gateway *gateway)
{
	/* These threads wake the app's loops, which live until app_free(). */
	if (gateway->notifications)
		notifications_stop(gateway->notifications);
	if (gateway->filters)
		filter_registry_free(gateway->filters);
	if (gateway->auth)
		auth_free(gateway->auth);
	if (gateway->app)
		app_free(gateway->app);
	if (gateway->cursor_saver)
		cursor_saver_free(gateway->cursor_saver);
	if (gateway->cursor_worker)
		worker_free(gateway->cursor_worker);
	if (gateway->journal)
		journal_free(gateway->journal);
	if (gateway->feeds)
		feeds_free(gateway->feeds);
	if (gateway->replay)
		replay_free(gateway->replay);
	if (gateway->ingest)
		ingest_free(gateway->ingest);
	if (gateway->notifications)
		notifications_free(gateway->notifications);
	if (gateway->migrator)
		migrator_stop(gateway->migrator);
	free(gateway);
}

int gateway_start(const struct settings *settings, const char *produce_hint,
		  struct gateway **started)
{
	struct gateway *gateway = MEM_NEW(struct gateway);
	int rc = 0;

	gateway->settings = settings;
	if (settings->postgres.url && settings->postgres.migrate)
		rc = migrator_start(&settings->postgres, &gateway->migrator);
	if (!rc)
		rc = make_auth(gateway);
	if (!rc)
		rc = make_ingest_and_feeds(gateway);
	make_cursors(gateway);
	make_filters(gateway);
	if (!rc)
		rc = make_app(gateway, produce_hint);
	if (rc) {
		free_parts(gateway);
		return rc;
	}
	atomic_store(&gateway->app_runs, true);
	/* For keys that came before that. */
	app_auth_changed(gateway->app);
	if (gateway->notifications)
		notifications_start(gateway->notifications);
	replay_start(gateway->replay);
	if (gateway->cursor_worker)
		worker_start(gateway->cursor_worker);
	ingest_start(gateway->ingest);
	if (gateway->journal)
		journal_start(gateway->journal);
	*started = gateway;
	return 0;
}

void gateway_stop(struct gateway *gateway)
{
	app_drain(gateway->app);
	if (gateway->journal)
		journal_stop(gateway->journal);
	ingest_stop(gateway->ingest);
	replay_stop(gateway->replay);
	app_stop(gateway->app);
	stop_cursors(gateway);
	free_parts(gateway);
}

uint16_t gateway_port(const struct gateway *gateway, size_t listener)
{
	return app_port(gateway->app, listener);
}
