/*
 * combined_id: the last event ids of several streams in one connection, as one id.
 *
 *     ~IDENTITY.PART.PART…
 *
 * IDENTITY is eight characters of a hash over the streams' addresses, in their order. A part is the
 * last event id of one stream: as it is, where it consists of base64url's characters (RFC 4648, 5),
 * as positions do; else "~" and its bytes as base64url; empty where there is none yet. Decoding is
 * strict: one text for some ids. Pure. Thread: any.
 */
#ifndef SLUICE_EVENT_COMBINED_ID_H
#define SLUICE_EVENT_COMBINED_ID_H

#include "base/buffer.h"
#include "base/error.h"
#include "event/event_id.h"

enum {
	COMBINED_ID_MAX_PARTS = 16,
	COMBINED_ID_IDENTITY_CHARS = 1 + 8,
	COMBINED_ID_MAX_PLAIN_BYTES = EVENT_ID_MAX_BYTES, /* of an id that stands as it is */
	COMBINED_ID_MAX_OWN_BYTES = 1024,                 /* of another one */
};

struct combined_id {
	char identity[COMBINED_ID_IDENTITY_CHARS];
	size_t count;
	struct buffer parts[COMBINED_ID_MAX_PARTS]; /* as they stand in the text */
};

/* Its beginning, which no id of one stream's positions has. */
static inline bool combined_id_is_meant(struct slice text)
{
	return text.len && text.base[0] == '~';
}

/* Of these streams, without any id yet. */
void combined_id_init(struct combined_id *id, const struct slice *addresses, size_t count);
void combined_id_fini(struct combined_id *id);

/* What a client brings. `reason` is set on failure to a constant that says what is wrong. Errors:
 * ERROR_INVALID malformed or too long, ERROR_FOREIGN of other streams. */
MUST_CHECK int combined_id_decode(struct combined_id *id, struct slice text, const char **reason);
void combined_id_append(const struct combined_id *id, struct buffer *out);

/* One stream's event id, which is not empty. One that is too long to come back leaves the part as
 * it is: after a reconnect that stream goes on from there. */
void combined_id_set(struct combined_id *id, size_t stream, struct slice event_id);
/* Appends one stream's event id; nothing where there is none. */
void combined_id_get(const struct combined_id *id, size_t stream, struct buffer *out);

#endif
