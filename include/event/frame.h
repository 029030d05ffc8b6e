/*
 * frame: one event of text/event-stream (WHATWG HTML, 9.2.5 and 9.2.6).
 *
 * Lines end with LF; a frame ends with an empty line. The id line comes first, so that a replay can
 * put another in its place. Pure. Thread: any.
 */
#ifndef SLUICE_EVENT_FRAME_H
#define SLUICE_EVENT_FRAME_H

#include "base/buffer.h"

struct frame {
	struct slice id; /* empty: no id line. Without NUL, CR, LF (checked by the caller or cleaned
			    by mapping) */
	struct slice event; /* empty: no event line, the browser's "message" */
	struct slice
	    data; /* any bytes: CR, LF, CRLF split it in lines; what is not UTF-8 becomes U+FFFD */
	bool has_data;    /* false: no data line at all, so nothing is dispatched */
	int64_t retry_ms; /* < 0: no retry line */
};

void frame_append(struct buffer *out, const struct frame *frame);

/* The bytes of a frame after its id line (all of it where it has none). */
struct slice frame_after_id(struct slice frame);
/* The id of a frame, empty where it has none. */
struct slice frame_id(struct slice frame);

/* Appends `text` with each maximal ill-formed subpart replaced by U+FFFD (Unicode 15, 3.9; WHATWG
 * Encoding). */
void frame_append_utf8(struct buffer *out, struct slice text);

#endif
