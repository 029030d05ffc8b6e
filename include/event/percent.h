/*
 * percent: percent-encoding (RFC 3986, 2.1) and the query component as the WHATWG URL standard's
 * application/x-www-form-urlencoded parser reads it. Pure. Thread: any.
 */
#ifndef SLUICE_EVENT_PERCENT_H
#define SLUICE_EVENT_PERCENT_H

#include "base/buffer.h"
#include "base/error.h"

/* Appends the decoded bytes; `plus` turns "+" into a space. ERROR_INVALID for a "%" without two hex
 * digits, for NUL, and for bytes that are not UTF-8; nothing is appended then. */
MUST_CHECK int percent_decode(struct slice text, bool plus, struct buffer *out);

/* Iterates the raw name=value pairs: `*at` starts at 0, false at the end. Both are raw and
 * borrowed. */
bool percent_next_pair(struct slice query, size_t *at, struct slice *name, struct slice *value);

/* The first pair with this name (decoded before comparing), its value decoded into `out`.
 * ERROR_NOT_FOUND, ERROR_INVALID. */
MUST_CHECK int percent_find(struct slice query, const char *name, struct buffer *out);

/* How many pairs have this name, whatever their values. */
size_t percent_count(struct slice query, const char *name);

#endif
