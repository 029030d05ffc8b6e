/*
 * ending: what the end of a stream that ends by itself looks like: a final id, which a reconnect
 * is answered 204 for, on its last event and on an `end` event. Pure. Thread: any.
 */
#ifndef SLUICE_FEED_ENDING_PRIV_H
#define SLUICE_FEED_ENDING_PRIV_H

#include "base/buffer.h"
#include "event/position.h"
#include "feed/close_reason.h"

struct feed;

/* A frame's id line, of a position that is the last one. */
void ending_append_id_line(const struct feed *feed, const struct position *position,
			   struct buffer *out);
/* `reason`: CLOSE_BACKLOG or CLOSE_END_WHEN. */
void ending_append_notice(const struct feed *feed, const struct position *position,
			  enum close_reason reason, struct buffer *out);

#endif
