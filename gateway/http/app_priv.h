/*
 * app_priv: what the handlers share.
 */
#ifndef SLUICE_HTTP_APP_PRIV_H
#define SLUICE_HTTP_APP_PRIV_H

#include <stdatomic.h>

#include "feed/fanout.h"
#include "http/app.h"
#include "http/filter_registry_priv.h"
#include "http/request_priv.h"
#include "http/router_priv.h"
#include "http/server.h"

/* One loop's. */
struct app_loop {
	struct app *app;
	struct fanout *fanout;
	struct stream_cursors *cursors; /* NULL: there is no PostgreSQL */
	struct parked *parked;          /* requests that wait (http/parked_priv.h) */
	uint32_t parked_count;
	uint64_t auth_generation;   /* seen */
	uint64_t filter_generation; /* likewise */
	struct filter_loop filters;
	uint64_t revocation_generation; /* likewise, of auth/ */
	bool drained;
};

struct app {
	struct app_parts parts;
	const struct http_settings *settings;
	struct router *router;
	struct http_server *server;
	struct fanout_settings fanout_settings;
	_Atomic uint64_t auth_generation;
	_Atomic uint64_t filter_generation;
	_Atomic bool draining;
};

struct app_loop *app_loop_of(const struct http_request *request);
static inline struct app *app_of(const struct http_request *request)
{
	return app_loop_of(request)->app;
}

/* The handlers; each answers the request. */
void stream_handle(struct http_request *request, const struct route *route);
void admin_healthz(struct http_request *request);
void admin_readyz(struct http_request *request);
void admin_metrics(struct http_request *request);
void page_handle(struct http_request *request);
void page_streams(struct http_request *request);

/* stream_auth.c: asks again for those whose key or token may be known now, and ends the streams of
 * those whose token was revoked. */
void stream_auth_wake(struct app_loop *loop);
/* Asks again for all that wait. */
void stream_auth_retry(struct app_loop *loop);

/* stream_filter.c: applies filters that have changed, and asks again for those who wait for theirs.
 */
void stream_filter_turn(struct app_loop *loop);

#endif
