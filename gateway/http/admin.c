#include "base/metrics.h"
#include "http/app_priv.h"

static void reply(struct http_request *request, int status, const char *type, struct slice body)
{
	const struct http_field fields[] = {
	    {SLICE_LIT("content-type"), slice_of(type)},
	    {SLICE_LIT("cache-control"), SLICE_LIT("no-store")},
	};

	http_reply(request,
		   &(struct http_response){
		       .status = status, .fields = fields, .field_count = 2, .body = body});
}

/* The process runs and its loops turn. */
void admin_healthz(struct http_request *request)
{
	reply(request, 200, "application/json", SLICE_LIT("{\"status\":\"ok\"}\n"));
}

/* Worth sending clients to: every topic was caught up with, keys are there, and no stop is under
 * way. */
void admin_readyz(struct http_request *request)
{
	struct app *app = app_of(request);
	bool draining = atomic_load(&app->draining), ready;
	struct buffer members = {0}, body = {0};

	ready = app->parts.readiness(app->parts.readiness_context, &members) && !draining;
	buffer_append_format(&body, "{\"ready\":%s,\"draining\":%s,", ready ? "true" : "false",
			     draining ? "true" : "false");
	buffer_append_slice(&body, buffer_slice(&members));
	buffer_append_text(&body, "}\n");
	reply(request, ready ? 200 : 503, "application/json", buffer_slice(&body));
	buffer_free(&members);
	buffer_free(&body);
}

void admin_metrics(struct http_request *request)
{
	struct buffer body = {0};

	metrics_write(&body);
	reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", buffer_slice(&body));
	buffer_free(&body);
}
