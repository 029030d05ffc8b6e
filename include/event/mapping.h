/*
 * mapping: which parts of a record become the SSE fields.
 *
 *     "event": {"event": "/value/type", "data": "/value/payload", "id": "/value/id", "retry": 5000}
 *
 * A string that starts with "/" is a JSON pointer into the document (event/document.h), anything
 * else a constant; a constant that starts with "/" is written "//…". Without `data` the whole value
 * is the data, byte for byte (a tombstone: empty data). A pointer that finds nothing gives no
 * field; strings give their text, other JSON its compact form. With an `envelope`
 * (event/envelope.h) the data is that, around what it would be without one.
 */
#ifndef SLUICE_EVENT_MAPPING_H
#define SLUICE_EVENT_MAPPING_H

#include <jansson.h>

#include "base/buffer.h"
#include "base/error.h"
#include "event/record.h"

struct mapping;

/* `reason` (at least 256 bytes) and `pointer` (at least 256) say what is wrong. `source` NULL: the
 * default mapping. */
MUST_CHECK int mapping_compile(const json_t *source, struct mapping **mapping, char *pointer,
			       char *reason);
void mapping_free(struct mapping *mapping);

/* The enum document_part bits that it looks at. */
unsigned mapping_parts(const struct mapping *mapping);
bool mapping_has_custom_id(const struct mapping *mapping);

/*
 * Appends the record's frame. `document` holds at least mapping_parts() (NULL where that is 0).
 * `id` is the event id; a mapping with its own id uses that instead where the pointer finds one:
 * NUL, CR and LF are dropped from it, as they are from `event`. Thread: any.
 */
void mapping_append_frame(const struct mapping *mapping, const struct record *record,
			  const json_t *document, struct slice id, struct buffer *out);

/* The same of a tombstone, as an event of this type whose data is {"key": …}, or the envelope.
 * Thread: any. */
void mapping_append_tombstone(const struct mapping *mapping, const char *type,
			      const struct record *record, const json_t *document, struct slice id,
			      struct buffer *out);

/*
 * The id that the frame gets from the record itself; empty where the mapping has none or the
 * pointer finds nothing. Borrowed from the document or from `own`, which is cleared. Thread: any.
 */
struct slice mapping_custom_id(const struct mapping *mapping, const json_t *document,
			       struct buffer *own);

#endif
