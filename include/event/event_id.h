/*
 * event_id: a position as text, what SSE's `id:` and `Last-Event-ID` carry.
 *
 * base64url without padding (RFC 4648, 5) of: version byte 1; flags byte; 8 bytes of the feed's
 * identity hash, big-endian; varint topic count; for each topic a varint partition count and that
 * many varints (LEB128) of the next offset. Decoding is strict: one text for one id; trailing
 * bytes, overlong varints, set padding bits are malformed. Pure. Thread: any.
 */
#ifndef SLUICE_EVENT_EVENT_ID_H
#define SLUICE_EVENT_EVENT_ID_H

#include "base/buffer.h"
#include "base/error.h"
#include "event/position.h"

enum event_id_flag {
	EVENT_ID_FINAL = 1, /* the stream has ended with this event: a reconnect is answered 204 */
};

enum { EVENT_ID_MAX_BYTES = 24 * 1024 };

void event_id_encode(uint64_t feed_hash, unsigned flags, const struct position *position,
		     struct buffer *out);

/*
 * On success `position` is initialised and the caller's to position_fini(). `reason` is set on
 * failure to a constant that says what is wrong. Ids are not signed: a client may name topics,
 * partitions and offsets that never were, which the caller compares with the feed's. Errors:
 * ERROR_INVALID malformed or too long, ERROR_FOREIGN another feed's id.
 */
MUST_CHECK int event_id_decode(struct slice text, uint64_t feed_hash, unsigned *flags,
			       struct position *position, const char **reason);

#endif
