/*
 * fanout: one loop's share of all feeds: its subscribers, indexed, and what it has dispatched to
 * them.
 *
 * Everything here happens on the loop's thread, but for what says otherwise. Cost of an event grows
 * with the subscribers that it matches.
 */
#ifndef SLUICE_FEED_FANOUT_H
#define SLUICE_FEED_FANOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FANOUT_SCRATCH_BYTES = 64 * 1024,
	FANOUT_LOOK_BYTES = 128 * 1024, /* a millisecond or two of decoding */
	FANOUT_TICK_MS = 100,
};

struct feeds;
struct replay;
struct fanout;

struct fanout_settings {
	uint32_t slow_client_timeout_ms; /* no progress while there is something to write */
	uint32_t spread_ms;              /* over which those who are sent away come back */
	uint32_t look_bytes;   /* of records in a window that one subscriber's checks refuse in one
				  go; not 0, FANOUT_LOOK_BYTES unless tested */
	const char *server_id; /* of this gateway, in heartbeats: one line */
};

/* `wake` makes the loop call fanout_turn() soon; called from other threads. `feeds`, `replay` and
 * `settings` are borrowed. */
struct fanout *fanout_new(struct feeds *feeds, struct replay *replay,
			  const struct fanout_settings *settings, void (*wake)(void *context),
			  void *context);
/* All subscribers are gone; the replay has been stopped. */
void fanout_free(struct fanout *fanout);

/* Dispatches what is new and takes in what replays have read. Once in every turn of the loop, as
 * its last act: afterwards the loop holds nothing of any window. */
void fanout_turn(struct fanout *fanout);

/* Heartbeats, expiry, slow clients: visits a tenth of the subscribers. Every FANOUT_TICK_MS. */
void fanout_tick(struct fanout *fanout);

/* Ends every stream; each client is told to come back after a time of its own. */
void fanout_drain(struct fanout *fanout);

/* Ends the streams whose carriers `is_revoked` picks, each with an event that says so. */
struct carrier;
void fanout_revoke(struct fanout *fanout,
		   bool (*is_revoked)(void *context, const struct carrier *carrier), void *context);

size_t fanout_subscriber_count(const struct fanout *fanout);

#endif
