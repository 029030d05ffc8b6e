/*
 * app: what the gateway answers: the streams, the page, and the operator's endpoints.
 *
 * It hangs on the HTTP server's hooks (http/server.h) and holds one fanout for each loop.
 */
#ifndef SLUICE_HTTP_APP_H
#define SLUICE_HTTP_APP_H

#include "auth/auth.h"
#include "base/buffer.h"
#include "event/stream.h"
#include "feed/feeds.h"
#include "feed/replay.h"
#include "http/http_settings.h"

struct app;
struct filter_registry;
struct http_server;

/* All borrowed for the life of the app. */
struct app_parts {
	const struct http_settings *settings;
	const struct auth_settings *auth_settings;
	struct auth *auth; /* NULL: no issuer is configured, no token is valid */
	struct stream *const *streams;
	size_t stream_count;
	struct feeds *feeds;
	struct replay *replay;
	struct cursor_saver *cursor_saver; /* NULL: there is no PostgreSQL, and no cursors */
	struct worker *cursor_worker;      /* that claims cursors for requests */
	const struct cursors_settings *cursors_settings;
	struct filter_registry *filters; /* NULL: no stream has "user_filters" */
	/* Appends /readyz's JSON members ("topics":[…]); true where ready. */
	bool (*readiness)(void *context, struct buffer *json);
	void *readiness_context;
	const char *server_id;    /* what the gateway calls itself */
	const char *produce_hint; /* for the page: how to produce here; NULL: none */
};

struct app *app_new(const struct app_parts *parts);
void app_free(struct app *app);

/* Starts the server: binds the listeners, starts the loops. Errors: ERROR_IO, ERROR_INVALID
 * (logged). */
MUST_CHECK int app_start(struct app *app);
/* Takes no more connections and ends the streams, each client told when to come back; returns when
 * all are closed, at the latest after the drain time. */
void app_drain(struct app *app);
/* Ends the loops. Nobody wakes them any more, and the replay has been stopped. */
void app_stop(struct app *app);

/* The port of a listener, also where the configuration says 0. Started. */
uint16_t app_port(const struct app *app, size_t listener);
/* Open TCP connections. Thread: any. */
uint32_t app_connections(const struct app *app);

/* New events, or new keys: every loop looks. Thread: any. */
void app_wake(void *app);
void app_auth_changed(void *app);
void app_filters_changed(void *app);

#endif
