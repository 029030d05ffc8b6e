/*
 * notice: the events that Sluice itself puts into a stream, beside the records' own.
 *
 *     connected  {"stream": "orders"}          the stream is attached; its id is where it begins
 *     welcome    as the stream says            right after it, with the same id
 *     heartbeat  {"server_id": "gw-1", "time": "2026-01-31T09:30:00.000Z"}
 *                                              it has been silent for a while
 *     gap        {"reason": "expired", "missed": [{"topic": "orders", "partition": 3,
 *                 "from": 17, "to": 42}]}      what is known to be missed
 *     error      {"code": "too_large", "retry": true, "topic": "orders", "partition": 3,
 *                 "offset": 17}                in place of a record; the stream goes on
 *     timeout    {"reason": "token_expired"}   the stream ends, with a retry line; also "max_age"
 *                                              and "idle"
 *     revoked    {"reason": "token_revoked"}   the stream ends
 *     limit      {"reason": "current_keys", "keys": 100000, "bytes": 16777216}
 *                                              the state is larger; the stream ends for good
 *     end        {"reason": "backlog"}         likewise: all was said; also "end_when"
 *
 * Pure. Thread: any.
 */
#ifndef SLUICE_FEED_NOTICE_PRIV_H
#define SLUICE_FEED_NOTICE_PRIV_H

#include <stdint.h>

#include "base/buffer.h"

/* Offsets [from, to) of a partition. */
struct notice_gap {
	const char *topic;
	int32_t partition;
	int64_t from;
	int64_t to;
};

/* `welcome`: a frame without an id; NULL: none. */
void notice_append_connected(struct buffer *out, struct slice id, const char *stream,
			     const char *welcome);
/* `reason`: "expired" (retention was faster), "beyond_end" (the id is ahead of the log), "reset" (a
 * topic was made anew), "unknown_id" (an id of the stream's own that cannot be found),
 * "stale_cursor" (the cursor's position is one of other topics). */
void notice_append_gap(struct buffer *out, struct slice id, const char *reason,
		       const struct notice_gap *gaps, size_t count);
void notice_append_timeout(struct buffer *out, struct slice id, const char *reason,
			   uint64_t retry_ms);
/* A start: "current" has more keys, or more bytes of events, than it may. */
void notice_append_limit(struct buffer *out, struct slice id, const char *reason, uint64_t keys,
			 uint64_t bytes);
/* `id` is a final one. `reason`: "backlog" (all that there was is sent), "end_when" (the event
 * before was the last one). */
void notice_append_end(struct buffer *out, struct slice id, const char *reason);
void notice_append_revoked(struct buffer *out);
/* `code`: "too_large" (for max_event), "undecodable" (it is not JSON). */
void notice_append_error(struct buffer *out, struct slice id, const char *code, struct slice topic,
			 int32_t partition, int64_t offset);
/* Come back after this time; dispatches nothing. */
void notice_append_retry(struct buffer *out, uint64_t retry_ms);

/* What heartbeats say of the gateway. */
struct notice_server {
	const char *id;
	int64_t now_unix_ms;
};

/* Moves the last event id, dispatches nothing; an empty id moves nothing. */
void notice_append_id(struct buffer *out, struct slice id);
/* The same with a comment of the server. */
void notice_append_comment(struct buffer *out, struct slice id, const struct notice_server *server);
void notice_append_heartbeat(struct buffer *out, struct slice id, const char *event,
			     const struct notice_server *server);

#endif
