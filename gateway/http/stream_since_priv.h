/*
 * stream_since: ?since=, the time from which on a subscriber wants events: an RFC 3339 time, or a
 * duration before now. Pure.
 */
#ifndef SLUICE_HTTP_STREAM_SINCE_PRIV_H
#define SLUICE_HTTP_STREAM_SINCE_PRIV_H

#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

#define STREAM_SINCE_WANTED                                                                        \
	"since is no time: write one of RFC 3339 such as 2026-01-31T09:30:00Z, or a duration "     \
	"such "                                                                                    \
	"as 15m (ms, s, m, h, d)."

/* `text` is decoded. Milliseconds since 1970, not negative. ERROR_INVALID. */
MUST_CHECK int stream_since_read(struct slice text, int64_t now_ms, int64_t *since_ms);

#endif
