#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/problem_priv.h"
#include "http/stream_priv.h"

/* How long a request waits for a key that is being fetched, and how many may wait on one loop. */
enum { PARK_MS = 5000, MAX_PARKED = 1000 };

struct parked {
	struct http_request *request;
	struct route route;
	struct app_loop *loop;
	uint64_t deadline_ms;
	struct parked *next, **link;
};

void stream_reply_unauthorized(struct http_request *request, const char *why)
{
	struct buffer challenge = {0}, detail = {0};

	buffer_append_text(&challenge, "Bearer realm=\"sluice\"");
	buffer_append_text(&detail, "This stream needs a token");
	if (why) {
		buffer_append_format(&challenge,
				     ", error=\"invalid_token\", error_description=\"%s\"", why);
		buffer_append_format(&detail, ", and the one that came does not count: %s.", why);
	} else {
		buffer_append_text(&detail, ": send Authorization: Bearer, ?access_token= or the "
					    "configured cookie.");
	}
	const struct http_field field = {SLICE_LIT("www-authenticate"), buffer_slice(&challenge)};

	problem_reply(request, 401, buffer_text(&detail), &field, 1);
	buffer_free(&challenge);
	buffer_free(&detail);
}

static void unpark(struct parked *parked)
{
	*parked->link = parked->next;
	if (parked->next)
		parked->next->link = parked->link;
	parked->loop->parked_count--;
	parked->request->on_gone = NULL;
	parked->request->handler_data = NULL;
	free(parked);
}

static void on_gone(struct http_request *request)
{
	unpark(request->handler_data);
}

static void park(struct http_request *request, const struct route *route)
{
	struct app_loop *loop = app_loop_of(request);
	struct parked *parked;

	if (request->handler_data)
		return;
	if (loop->parked_count >= MAX_PARKED) {
		problem_reply(request, 503, "Too many requests wait for a signing key; try again.",
			      NULL, 0);
		return;
	}
	parked = MEM_NEW(struct parked);
	parked->request = request;
	parked->route = *route;
	parked->loop = loop;
	parked->deadline_ms = clock_monotonic_ms() + PARK_MS;
	parked->next = loop->parked;
	parked->link = &loop->parked;
	if (parked->next)
		parked->next->link = &parked->next;
	loop->parked = parked;
	loop->parked_count++;
	request->handler_data = parked;
	request->on_gone = on_gone;
}

static void proceed(struct http_request *request, const struct route *route,
		    const struct stream_caller *caller)
{
	struct route copy = *route;

	if (request->handler_data)
		unpark(request->handler_data);
	stream_open(request, &copy, caller);
}

static int find_token(struct http_request *request, struct buffer *scratch, struct slice *token)
{
	return auth_find_token(app_of(request)->parts.auth_settings,
			       http_request_field(request, "authorization"), request->query,
			       http_request_field(request, "cookie"), scratch, token);
}

/* A public stream is open to those with a token that does not count, too: as to anybody. */
static void authenticate(struct http_request *request, const struct route *route, bool last_try)
{
	struct auth *auth = app_of(request)->parts.auth;
	struct stream_caller caller = {.expires_unix_ms = INT64_MAX};
	struct auth_identity identity;
	struct buffer scratch = {0};
	struct slice token;
	int rc = find_token(request, &scratch, &token);

	if (rc == ERROR_INVALID)
		caller.why_not = "the Authorization header is not 'Bearer' and one token";
	else if (!rc && !auth)
		caller.why_not = "no issuer of tokens is configured";
	else if (!rc)
		rc = auth_verify(auth, token, &identity, &caller.why_not);
	buffer_free(&scratch);
	if (rc == ERROR_PENDING && !last_try) {
		park(request, route);
		return;
	}
	if (!rc && auth) {
		caller.claims = identity.claims;
		caller.expires_unix_ms = identity.expires_unix_ms;
		caller.why_not = NULL;
	}
	proceed(request, route, &caller);
	json_decref(caller.claims);
}

void stream_authenticate(struct http_request *request, const struct route *route)
{
	authenticate(request, route, false);
}

void stream_auth_wake(struct app_loop *loop)
{
	uint64_t generation = atomic_load(&loop->app->auth_generation);
	struct parked *next;

	if (generation == loop->auth_generation)
		return;
	loop->auth_generation = generation;
	for (struct parked *parked = loop->parked; parked; parked = next) {
		next = parked->next;
		authenticate(parked->request, &parked->route, false);
	}
}

void stream_auth_tick(struct app_loop *loop)
{
	uint64_t now_ms = clock_monotonic_ms();
	struct parked *next;

	for (struct parked *parked = loop->parked; parked; parked = next) {
		next = parked->next;
		if (now_ms >= parked->deadline_ms)
			authenticate(parked->request, &parked->route, true);
	}
}
