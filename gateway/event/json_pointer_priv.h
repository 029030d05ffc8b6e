/*
 * json_pointer: RFC 6901. Pure. Thread: any.
 */
#ifndef SLUICE_EVENT_JSON_POINTER_PRIV_H
#define SLUICE_EVENT_JSON_POINTER_PRIV_H

#include <jansson.h>

#include "base/buffer.h"

/* What the pointer names; NULL where that is nothing, or where the pointer is malformed. Borrowed.
 */
const json_t *json_pointer_find(const json_t *json, const char *pointer);

/* True where each "~" stands before "0" or "1" (RFC 6901, 3). */
bool json_pointer_is_escaped(const char *pointer);

/* Appends "/" and the member's name, escaped. */
void json_pointer_append(struct buffer *pointer, const char *name);

#endif
