#include "gateway.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "auth/auth.h"
#include "base/log.h"
#include "base/mem.h"
#include "feed/feeds.h"
#include "feed/replay.h"
#include "http/app.h"
#include "kafka/ingest.h"
#include "kafka/replay_reader.h"
#include "observe.h"

/* How long a replay waits for Kafka before it gives way to another and tries again later. */
enum { REPLAY_TIMEOUT_MS = 5000 };

struct gateway {
	const struct settings *settings;
	struct ingest *ingest;
	struct feeds *feeds;
	struct replay *replay;
	struct auth *auth; /* NULL: no issuers */
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

static void *open_reader(void *context)
{
	return replay_reader_new(&((struct gateway *)context)->settings->kafka);
}

static void close_reader(void *reader)
{
	replay_reader_free(reader);
}

_Static_assert(sizeof(struct replay_source_range) == sizeof(struct replay_range),
	       "feed/ and kafka/ name the same ranges");

static int read_ranges(void *reader, const struct replay_source_range *ranges, size_t count,
		       uint64_t budget_records,
		       bool (*record)(void *, size_t, const struct record *),
		       void (*progress)(void *, size_t, int64_t), void *context)
{
	const struct replay_visitor visitor = {record, progress, context};
	struct replay_range *same = mem_alloc(count * sizeof(*same));
	int rc;

	for (size_t i = 0; i < count; i++)
		same[i] = (struct replay_range){ranges[i].topic, ranges[i].partition,
						ranges[i].from, ranges[i].until};
	rc = replay_reader_read(reader, same, count, budget_records, REPLAY_TIMEOUT_MS, &visitor);
	free(same);
	return rc;
}

static int read_bounds(void *reader, const char *topic, int32_t partition, int64_t *low,
		       int64_t *high)
{
	return replay_reader_bounds(reader, topic, partition, REPLAY_TIMEOUT_MS, low, high);
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

static int make_ingest_and_feeds(struct gateway *gateway)
{
	const struct settings *settings = gateway->settings;
	const struct feeds_source source = {want_topic, unwant_topic, gateway};
	const struct replay_source replay_source = {open_reader, close_reader, read_ranges,
						    read_bounds, gateway};
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
	gateway->replay = replay_new(&settings->replay, &replay_source, gateway->feeds);
	for (size_t i = 0; i < settings->stream_count; i++)
		if (!settings->streams[i]->topic_param)
			feeds_declare(gateway->feeds, settings->streams[i]);
	return 0;
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
	    .readiness = observe_readiness,
	    .readiness_context = &gateway->observe,
	    .produce_hint = produce_hint,
	});
	gateway->observe = (struct observe){gateway->ingest, gateway->feeds, gateway->replay,
					    gateway->auth, gateway->app};
	/* A request may ask for /metrics at once. */
	observe_register(&gateway->observe);
	return app_start(gateway->app);
}

static void free_parts(struct gateway *gateway)
{
	/* Its thread wakes the app's loops, which live until app_free(). */
	if (gateway->auth)
		auth_free(gateway->auth);
	if (gateway->app)
		app_free(gateway->app);
	if (gateway->feeds)
		feeds_free(gateway->feeds);
	if (gateway->replay)
		replay_free(gateway->replay);
	if (gateway->ingest)
		ingest_free(gateway->ingest);
	free(gateway);
}

int gateway_start(const struct settings *settings, const char *produce_hint,
		  struct gateway **started)
{
	struct gateway *gateway = MEM_NEW(struct gateway);
	int rc = 0;

	gateway->settings = settings;
	if (settings->auth.issuer_count)
		rc = auth_new(&settings->auth, auth_changed, gateway, &gateway->auth);
	if (!rc)
		rc = make_ingest_and_feeds(gateway);
	if (!rc)
		rc = make_app(gateway, produce_hint);
	if (rc) {
		free_parts(gateway);
		return rc;
	}
	atomic_store(&gateway->app_runs, true);
	/* For keys that came before that. */
	app_auth_changed(gateway->app);
	replay_start(gateway->replay);
	ingest_start(gateway->ingest);
	*started = gateway;
	return 0;
}

void gateway_stop(struct gateway *gateway)
{
	app_drain(gateway->app);
	ingest_stop(gateway->ingest);
	replay_stop(gateway->replay);
	app_stop(gateway->app);
	free_parts(gateway);
}

uint16_t gateway_port(const struct gateway *gateway, size_t listener)
{
	return app_port(gateway->app, listener);
}
