#include <stdlib.h>

#include "base/mem.h"
#include "feed/checks.h"
#include "feed/subscriber.h"
#include "http/stream_opening_priv.h"

struct stream_beginning {
	struct app_loop *loop;
	struct feed *feed;
	struct route_keys keys;
	struct position position;
	bool has_position;
	struct buffer custom_id, welcome;
	int64_t since_ms;
	uint32_t interval_ms;
	int64_t expires_unix_ms;
	struct auth_holder *holder;
	struct cursor_life *cursor; /* NULL: it has none */
	bool has_stale_cursor;
	struct checks *bound;
	struct stream_filter *filter;
	struct stream_extent extent;
};

/* What was revoked since the token was checked was not looked for here. */
static void keep_holder(struct http_stream *stream, struct stream_beginning *beginning)
{
	stream->holder = beginning->holder;
	beginning->holder = NULL;
	if (auth_is_revoked(beginning->loop->app->parts.auth, stream->holder))
		subscriber_revoke(stream->subscriber);
}

void stream_begin(void *context, struct http_stream *stream)
{
	struct stream_beginning *beginning = context;
	struct checks *checks =
	    checks_both(beginning->bound, stream_filter_checks(beginning->filter));
	const struct subscriber_start start = {
	    .position = beginning->has_position ? &beginning->position : NULL,
	    .custom_id = buffer_slice(&beginning->custom_id),
	    .has_since = beginning->since_ms >= 0,
	    .since_ms = beginning->since_ms,
	    .has_stale_cursor = beginning->has_stale_cursor,
	    .tracked = beginning->cursor,
	    .interval_ms = beginning->interval_ms,
	    .has_last = beginning->extent.has_last,
	    .last = beginning->extent.last,
	    .is_bounded = beginning->extent.is_bounded,
	    .end_when = beginning->extent.end_when,
	    .checks = checks,
	    .welcome = buffer_slice(&beginning->welcome),
	};

	if (stream) {
		stream->subscriber =
		    subscriber_new(beginning->loop->fanout, beginning->feed, &beginning->keys,
				   &start, beginning->expires_unix_ms, &stream->carrier);
		stream_filter_begin(beginning->filter, stream, beginning->bound);
		keep_holder(stream, beginning);
		if (beginning->cursor)
			stream_cursor_begin(beginning->loop->cursors, stream, beginning->cursor);
		if (atomic_load(&beginning->loop->app->draining))
			subscriber_end(stream->subscriber, CLOSE_DRAIN, (struct slice){0});
	} else {
		feeds_close(beginning->loop->app->parts.feeds, beginning->feed);
		route_keys_free(&beginning->keys);
		stream_filter_free(beginning->filter);
		if (beginning->cursor)
			cursor_saver_end(beginning->loop->app->parts.cursor_saver,
					 beginning->cursor, (struct slice){0});
	}
	if (beginning->has_position)
		position_fini(&beginning->position);
	buffer_free(&beginning->custom_id);
	buffer_free(&beginning->welcome);
	auth_holder_free(beginning->holder);
	checks_unref(checks);
	checks_unref(beginning->bound);
	checks_unref(beginning->extent.end_when);
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
	beginning->feed = opening->feed;
	beginning->keys = opening->keys;
	beginning->position = opening->position;
	beginning->has_position = opening->has_position;
	beginning->since_ms = opening->since_ms;
	beginning->interval_ms = opening->interval_ms;
	if (opening->is_custom_id) {
		beginning->custom_id = opening->last_event_id;
		opening->last_event_id = (struct buffer){0};
	}
	beginning->expires_unix_ms = opening->caller->expires_unix_ms;
	beginning->holder = opening->caller->holder;
	opening->caller->holder = NULL;
	beginning->cursor = begin_cursor(opening);
	beginning->has_stale_cursor = opening->has_stale_cursor;
	beginning->bound = opening->bound;
	beginning->filter = opening->filter;
	beginning->welcome = opening->welcome;
	opening->welcome = (struct buffer){0};
	beginning->extent = opening->extent;
	opening->extent.end_when = NULL;
	opening->bound = NULL;
	opening->filter = NULL;
	opening->feed = NULL;
	opening->keys = (struct route_keys){0};
	opening->has_position = false;
	return beginning;
}
