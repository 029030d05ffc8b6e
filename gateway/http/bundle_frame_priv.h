/*
 * bundle_frame: tells one stream's frames as those of several streams: with the combined id in
 * place of their own, and the stream's address in the event line.
 *
 *     id: AQ…                  id: ~Xh2…d.AQ….AQ…
 *     event: created      ->   event: /users/42/orders#created
 *     data: {…}                data: {…}
 *
 * An event without a type of its own gets the address alone; what dispatches nothing gets no event
 * line. Bytes come in pieces of any length; only what stands before a frame's data is held until it
 * is whole. Pure.
 */
#ifndef SLUICE_HTTP_BUNDLE_FRAME_PRIV_H
#define SLUICE_HTTP_BUNDLE_FRAME_PRIV_H

#include <stdbool.h>

#include "base/buffer.h"
#include "event/combined_id.h"

/* Zero-initialise. */
struct bundle_frame {
	struct buffer head; /* the lines before the data, as far as they have come */
	bool in_data;
	bool line_ended; /* in_data: the last byte was a line's end */
};
void bundle_frame_fini(struct bundle_frame *frame);

/* No frame is under way. */
static inline bool bundle_frame_is_whole(const struct bundle_frame *frame)
{
	return !frame->in_data && !frame->head.len;
}

/*
 * Takes some of `bytes`, at least one and not beyond the frame's end, and appends what they become.
 * `stream` is its place in `id`, where its id moves when the frame's head is told. Returns how many
 * it took.
 */
size_t bundle_frame_take(struct bundle_frame *frame, struct slice bytes, struct slice address,
			 size_t stream, struct combined_id *id, struct buffer *out);

#endif
