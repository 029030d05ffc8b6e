/*
 * bundle: several streams in one connection.
 *
 * Upwards it is to its carrier (HTTP/1.1 or HTTP/2) what a subscriber is; downwards it is the
 * carrier of a subscriber for each of its streams, the members. It takes their frames in turns, a
 * few KiB of whole frames from each, and tells them as its own (bundle_frame). What it has taken is
 * bounded: it takes more when the connection has all of that.
 *
 * A member that has ended for good (with a final id) leaves the others going on. Any other end of a
 * member ends the bundle after the member's last words, so that the client comes back. Thread: the
 * loop's.
 */
#ifndef SLUICE_HTTP_BUNDLE_PRIV_H
#define SLUICE_HTTP_BUNDLE_PRIV_H

#include "event/combined_id.h"
#include "http/request_priv.h"

struct bundle;

/* `id` is taken over: where its streams begin. The addresses are copied. */
struct bundle *bundle_new(const struct slice *addresses, struct combined_id *id);

/* A member's own stream, before bundle_begin(): its subscriber is made with it. Those that get none
 * have ended already. `feed_hash` is what its event ids carry. */
struct http_stream *bundle_member(struct bundle *bundle, size_t member, uint64_t feed_hash);
/* The members have their subscribers, or at least one of them. `carrier` pumps next. */
void bundle_begin(struct bundle *bundle, struct carrier *carrier);

/* As subscriber_peek() and its kin. */
struct slice bundle_peek(struct bundle *bundle, size_t max);
void bundle_consume(struct bundle *bundle, size_t n);
bool bundle_ended(const struct bundle *bundle);
/* `reason` counts for the members that have not ended, where none has ended the bundle. */
void bundle_free(struct bundle *bundle, enum close_reason reason);

#endif
