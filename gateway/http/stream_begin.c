#include <stdlib.h>

#include "base/mem.h"
#include "feed/checks.h"
#include "feed/subscriber.h"
#include "http/stream_opening_priv.h"

struct stream_beginning {
	struct app_loop *loop;
	struct stream_terms terms;
	int64_t expires_unix_ms;
	struct auth_holder *holder;
	struct cursor_life *cursor; /* NULL: it has none */
};

void stream_terms_fini(struct stream_terms *terms, const struct app_loop *loop)
{
	if (terms->feed)
		feeds_close(loop->app->parts.feeds, terms->feed);
	route_keys_free(&terms->keys);
	if (terms->has_position)
		position_fini(&terms->position);
	buffer_free(&terms->custom_id);
	buffer_free(&terms->welcome);
	checks_unref(terms->end_when);
	checks_unref(terms->bound);
	stream_filter_free(terms->filter);
}

/* What was revoked since the token was checked was not looked for here. */
static void keep_holder(struct http_stream *stream, struct stream_beginning *beginning)
{
	stream->holder = beginning->holder;
	beginning->holder = NULL;
	if (auth_is_revoked(beginning->loop->app->parts.auth, stream->holder))
		subscriber_revoke(stream->subscriber);
}

static struct subscriber *subscribe(struct stream_beginning *beginning, struct carrier *carrier)
{
	struct stream_terms *terms = &beginning->terms;
	struct checks *checks = checks_both(terms->bound, stream_filter_checks(terms->filter));
	const struct subscriber_start start = {
	    .position = terms->has_position ? &terms->position : NULL,
	    .custom_id = buffer_slice(&terms->custom_id),
	    .has_since = terms->since_ms >= 0,
	    .since_ms = terms->since_ms,
	    .has_stale_cursor = terms->has_stale_cursor,
	    .has_last = terms->has_last,
	    .last = terms->last,
	    .welcome = buffer_slice(&terms->welcome),
	    .checks = checks,
	    .interval_ms = terms->interval_ms,
	    .is_bounded = terms->is_bounded,
	    .end_when = terms->end_when,
	    .tracked = beginning->cursor,
	};
	struct subscriber *subscriber =
	    subscriber_new(beginning->loop->fanout, terms->feed, &terms->keys, &start,
			   beginning->expires_unix_ms, carrier);

	terms->feed = NULL;
	checks_unref(checks);
	return subscriber;
}

static void begin(struct stream_beginning *beginning, struct http_stream *stream)
{
	struct stream_terms *terms = &beginning->terms;

	stream->subscriber = subscribe(beginning, &stream->carrier);
	stream_filter_begin(terms->filter, stream, terms->bound);
	terms->filter = NULL;
	keep_holder(stream, beginning);
	if (beginning->cursor)
		stream_cursor_begin(beginning->loop->cursors, stream, beginning->cursor);
	if (atomic_load(&beginning->loop->app->draining))
		subscriber_end(stream->subscriber, CLOSE_DRAIN, (struct slice){0});
}

void stream_begin(void *context, struct http_stream *stream)
{
	struct stream_beginning *beginning = context;

	if (stream)
		begin(beginning, stream);
	else if (beginning->cursor)
		cursor_saver_end(beginning->loop->app->parts.cursor_saver, beginning->cursor,
				 (struct slice){0});
	stream_terms_fini(&beginning->terms, beginning->loop);
	auth_holder_free(beginning->holder);
	free(beginning);
}

static struct cursor_life *begin_cursor(const struct stream_opening *opening)
{
	const struct stream_cursor_claim *claim = opening->caller->cursor;

	if (!claim)
		return NULL;
	return cursor_saver_begin(opening->loop->app->parts.cursor_saver, &opening->cursor.key,
				  claim->rc ? 0 : claim->generation);
}

struct stream_beginning *stream_beginning_new(struct stream_opening *opening)
{
	struct stream_beginning *beginning = MEM_NEW(struct stream_beginning);

	beginning->loop = opening->loop;
	beginning->terms = opening->terms;
	opening->terms = (struct stream_terms){0};
	beginning->expires_unix_ms = opening->caller->expires_unix_ms;
	beginning->holder = opening->caller->holder;
	opening->caller->holder = NULL;
	beginning->cursor = begin_cursor(opening);
	return beginning;
}
