#include "http/bundle_open_priv.h"
#include "http/parked_priv.h"
#include "http/problem_priv.h"
#include "http/stream_filter_priv.h"
#include "http/stream_priv.h"

void stream_caller_fini(struct stream_caller *caller)
{
	json_decref(caller->claims);
	auth_holder_free(caller->holder);
	*caller = (struct stream_caller){.claims = NULL};
}

static void reply_untold(struct http_request *request, const char *why)
{
	const struct http_field field = {SLICE_LIT("retry-after"), SLICE_LIT("1")};
	struct buffer detail = {0};

	buffer_append_format(
	    &detail, "It is not known whether the token counts: %s. Try again in a moment.", why);
	problem_reply(request, 503, buffer_text(&detail), &field, 1);
	buffer_free(&detail);
}

static void reply_challenge(struct http_request *request, const char *why)
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

void stream_reply_unauthorized(struct http_request *request, const struct stream_caller *caller)
{
	if (caller->untold)
		reply_untold(request, caller->why_not);
	else
		reply_challenge(request, caller->why_not);
}

static void retry(struct parked *parked, bool last);

static const struct parked_ops waits_for_token = {.retry = retry};

static void proceed(struct http_request *request, const struct route *route,
		    struct stream_caller *caller)
{
	struct route copy = *route;

	parked_end(request);
	stream_open(request, &copy, caller);
}

static int find_token(struct http_request *request, struct buffer *scratch, struct slice *token)
{
	return auth_find_token(app_of(request)->parts.auth_settings,
			       http_request_field(request, "authorization"), request->query,
			       http_request_field(request, "cookie"), scratch, token);
}

/* As auth_verify(), into the caller; ERROR_NOT_FOUND: there is no token. */
static int read_caller(struct http_request *request, struct stream_caller *caller)
{
	struct auth *auth = app_of(request)->parts.auth;
	struct auth_identity identity;
	struct buffer scratch = {0};
	struct slice token;
	int rc = find_token(request, &scratch, &token);

	if (rc == ERROR_INVALID) {
		caller->why_not = "the Authorization header is not 'Bearer' and one token";
	} else if (!rc && !auth) {
		caller->why_not = "no issuer of tokens is configured";
		rc = ERROR_INVALID;
	} else if (!rc) {
		rc = auth_verify(auth, token, &identity, &caller->why_not);
	}
	buffer_free(&scratch);
	if (!rc)
		*caller = (struct stream_caller){
		    .claims = identity.claims,
		    .expires_unix_ms = identity.expires_unix_ms,
		    .holder = identity.holder,
		};
	return rc;
}

static bool waits_for_filter(struct http_request *request, const struct route *route,
			     const struct stream_caller *caller)
{
	return route->stream ? stream_filter_waits(request, route->stream, caller)
			     : bundle_waits(request, caller);
}

/* A public stream is open to those with a token that does not count, too: as to anybody. */
static void authenticate(struct http_request *request, const struct route *route, bool last_try)
{
	struct stream_caller caller = {.expires_unix_ms = INT64_MAX};
	int rc = read_caller(request, &caller);

	if (!last_try && (rc == ERROR_PENDING || waits_for_filter(request, route, &caller))) {
		(void)parked_new(request, route, &waits_for_token, NULL);
		stream_caller_fini(&caller);
		return;
	}
	caller.untold = rc == ERROR_PENDING || rc == ERROR_UNAVAILABLE || rc == ERROR_LIMIT;
	proceed(request, route, &caller);
	stream_caller_fini(&caller);
}

void stream_authenticate(struct http_request *request, const struct route *route)
{
	authenticate(request, route, false);
}

static void retry(struct parked *parked, bool last)
{
	authenticate(parked->request, &parked->route, last);
}

static bool is_revoked(void *auth, const struct carrier *carrier)
{
	return auth_is_revoked(auth, ((const struct http_stream *)carrier)->holder);
}

static void look_for_revoked(struct app_loop *loop)
{
	struct auth *auth = loop->app->parts.auth;
	uint64_t generation = auth ? auth_revocation_generation(auth) : 0;

	if (generation == loop->revocation_generation)
		return;
	loop->revocation_generation = generation;
	fanout_revoke(loop->fanout, is_revoked, auth);
}

void stream_auth_retry(struct app_loop *loop)
{
	parked_retry(loop, &waits_for_token);
}

void stream_auth_wake(struct app_loop *loop)
{
	uint64_t generation = atomic_load(&loop->app->auth_generation);

	if (generation == loop->auth_generation)
		return;
	loop->auth_generation = generation;
	look_for_revoked(loop);
	stream_auth_retry(loop);
}
