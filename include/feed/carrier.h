/*
 * carrier: the last yard, what a subscriber knows of the connection that it writes to.
 *
 * Pull, not push: a carrier is told that there is something, and takes as much as its socket (or
 * HTTP/2 window) has room for with subscriber_peek() and subscriber_consume(). Nothing is queued
 * between them. All on the loop's thread.
 */
#ifndef SLUICE_FEED_CARRIER_H
#define SLUICE_FEED_CARRIER_H

struct carrier;

struct carrier_ops {
	/*
	 * subscriber_peek() gives bytes, or subscriber_ended() has become true. Called at most once
	 * until the carrier has peeked to empty. The carrier may write at once, from inside the
	 * call, or later in the loop's turn; it must not free the subscriber inside the call.
	 */
	void (*ready)(struct carrier *carrier);
	/* The subscriber gives the connection up without another byte (a client too slow). The
	 * carrier closes and calls subscriber_free() at the end of the turn, not inside the call.
	 */
	void (*abort)(struct carrier *carrier);
};

struct carrier {
	const struct carrier_ops *ops;
};

#endif
