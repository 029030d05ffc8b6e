/*
 * app_priv: what the handlers share.
 */
#ifndef SLUICE_HTTP_APP_PRIV_H
#define SLUICE_HTTP_APP_PRIV_H

#include <stdatomic.h>

#include "feed/fanout.h"
#include "http/app.h"
#include "http/request_priv.h"
#include "http/router_priv.h"
#include "http/server.h"

/* One loop's. */
struct app_loop {
	struct app *app;
	struct fanout *fanout;
	struct parked *parked; /* requests that wait for a key */
	uint32_t parked_count;
	uint64_t auth_generation; /* seen */
	bool drained;
};

struct app {
	struct app_parts parts;
	const struct http_settings *settings;
	struct router *router;
	struct http_server *server;
	struct fanout_settings fanout_settings;
	_Atomic uint64_t auth_generation;
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

/* stream_auth.c: asks again for those whose key may have come, and gives up on those that waited
 * too long. */
void stream_auth_wake(struct app_loop *loop);
void stream_auth_tick(struct app_loop *loop);

#endif
