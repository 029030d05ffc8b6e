#include "http/app_priv.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/bundle_list_priv.h"
#include "http/bundle_open_priv.h"
#include "http/cors_priv.h"
#include "http/parked_priv.h"
#include "http/problem_priv.h"
#include "http/stream_cursor_priv.h"

struct app_loop *app_loop_of(const struct http_request *request)
{
	return http_loop_context(request->loop);
}

struct app *app_new(const struct app_parts *parts)
{
	struct app *app = MEM_NEW(struct app);

	app->parts = *parts;
	app->settings = parts->settings;
	app->router = router_new(parts->streams, parts->stream_count);
	app->fanout_settings = (struct fanout_settings){
	    .slow_client_timeout_ms = parts->settings->slow_client_timeout_ms,
	    .spread_ms = parts->settings->drain_ms,
	    .look_bytes = FANOUT_LOOK_BYTES,
	    .server_id = parts->server_id,
	};
	return app;
}

void app_free(struct app *app)
{
	if (app->server)
		http_server_free(app->server);
	router_free(app->router);
	free(app);
}

static void wake_loop(void *loop)
{
	http_loop_wake(loop);
}

static void *start_loop(void *context, struct http_loop *http_loop)
{
	struct app_loop *loop = MEM_NEW(struct app_loop);

	loop->app = context;
	loop->fanout = fanout_new(loop->app->parts.feeds, loop->app->parts.replay,
				  &loop->app->fanout_settings, wake_loop, http_loop);
	loop->cursors = stream_cursors_new(&loop->app->parts, http_loop);
	return loop;
}

static void stop_loop(void *context)
{
	struct app_loop *loop = context;

	stream_cursors_free(loop->cursors);
	fanout_free(loop->fanout);
	free(loop);
}

static void turn(void *context)
{
	struct app_loop *loop = context;

	fanout_turn(loop->fanout);
	stream_filter_turn(loop);
	stream_auth_wake(loop);
	stream_cursors_turn(loop->cursors);
	if (atomic_load(&loop->app->draining) && !loop->drained) {
		loop->drained = true;
		fanout_drain(loop->fanout);
	}
}

static void tick(void *context, uint64_t now_ms)
{
	struct app_loop *loop = context;

	fanout_tick(loop->fanout);
	stream_cursors_tick(loop->cursors, now_ms);
	parked_tick(loop);
}

/* The paths that are not streams. */
static const struct {
	const char *path;
	void (*handle)(struct http_request *request);
	bool admin; /* else it is the page's */
} fixed[] = {
    {"/healthz", admin_healthz, true},      {"/readyz", admin_readyz, true},
    {"/metrics", admin_metrics, true},      {"/", page_handle, false},
    {"/streams.json", page_streams, false},
};

static void handle_fixed(struct http_request *request, void (*handle)(struct http_request *))
{
	const struct http_field allow = {SLICE_LIT("allow"), SLICE_LIT("GET, HEAD, OPTIONS")};

	if (slice_equal(request->method, SLICE_LIT("OPTIONS")))
		cors_reply_options(request, "GET, HEAD, OPTIONS", NULL, 0);
	else if (slice_equal(request->method, SLICE_LIT("GET")) ||
		 slice_equal(request->method, SLICE_LIT("HEAD")))
		handle(request);
	else
		problem_reply(request, 405, "This resource is read with GET.", &allow, 1);
}

/* A stream of the configuration may have the path of several: it is asked for without an `s`. */
static bool find_route(const struct app *app, const struct http_request *request,
		       struct route *route)
{
	bool may_be_several = slice_equal(request->path, SLICE_LIT(BUNDLE_PATH));

	if (!(may_be_several && bundle_list_names_any(request->query)) &&
	    router_find(app->router, request->path, route))
		return true;
	*route = (struct route){.stream = NULL};
	return may_be_several;
}

static void handle(void *context, struct http_request *request)
{
	const struct http_listener_settings *listener = request->listener;
	const struct app *app = context;
	struct route route;

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		if (!(fixed[i].admin ? listener->admin : listener->page) ||
		    !slice_equal(request->path, slice_of(fixed[i].path)))
			continue;
		handle_fixed(request, fixed[i].handle);
		return;
	}
	if (listener->streams && find_route(app, request, &route))
		stream_handle(request, &route);
	else
		problem_reply(request, 404, "No stream of the configuration has this path.", NULL,
			      0);
}

int app_start(struct app *app)
{
	const struct http_server_hooks hooks = {
	    .context = app,
	    .loop_start = start_loop,
	    .loop_stop = stop_loop,
	    .request = handle,
	    .turn = turn,
	    .tick = tick,
	};
	char error[512];
	int rc = http_server_new(app->settings, &hooks, &app->server, error);

	if (rc) {
		log_event(LOG_ERROR, "server", "the listeners cannot be opened",
			  LOG_STR("error", error));
		return rc;
	}
	http_server_start(app->server);
	for (size_t i = 0; i < app->settings->listener_count; i++)
		log_event(
		    LOG_INFO, "server", "listening",
		    LOG_STR("address", app->settings->listeners[i].address),
		    LOG_INT("port", http_server_port(app->server, i)),
		    LOG_STR("tls", app->settings->listeners[i].certificate_file ? "yes" : "no"),
		    LOG_STR("server_id", app->parts.server_id));
	return 0;
}

uint16_t app_port(const struct app *app, size_t listener)
{
	return http_server_port(app->server, listener);
}

uint32_t app_connections(const struct app *app)
{
	return http_server_connections(app->server);
}

void app_drain(struct app *app)
{
	uint64_t deadline_ms = clock_monotonic_ms() + app->settings->drain_ms;

	atomic_store(&app->draining, true);
	http_server_drain(app->server);
	app_wake(app);
	while (http_server_connections(app->server) && clock_monotonic_ms() < deadline_ms)
		usleep(10000);
}

void app_stop(struct app *app)
{
	http_server_stop(app->server);
}

void app_wake(void *context)
{
	struct app *app = context;

	if (!app->server)
		return;
	for (size_t i = 0; i < http_server_loop_count(app->server); i++)
		http_loop_wake(http_server_loop(app->server, i));
}

void app_auth_changed(void *context)
{
	struct app *app = context;

	atomic_fetch_add(&app->auth_generation, 1);
	app_wake(app);
}

void app_filters_changed(void *context)
{
	struct app *app = context;

	atomic_fetch_add(&app->filter_generation, 1);
	app_wake(app);
}
