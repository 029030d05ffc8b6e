/*
 * notifications: a thread that LISTENs, so that what one replica or `sluice token revoke` changes
 * is known to all within moments.
 *
 * A NOTIFY that comes while the connection is lost is lost, too: so each time that the LISTENs hold
 * again, `resync` is called for every channel and reads everything anew, before any later
 * notification. While nothing is heard the connection is tried with a query every 10 s, so that a
 * dead one is noticed.
 */
#ifndef SLUICE_POSTGRES_NOTIFICATIONS_H
#define SLUICE_POSTGRES_NOTIFICATIONS_H

#include "postgres/database.h"

struct notifications;

/* Called on the notifications' thread, which they may block; `database` is its connection, free for
 * queries. A failure that is returned counts as a lost connection: everything is resynced. */
struct notifications_channel {
	const char *name; /* a constant, a plain SQL identifier */
	int (*resync)(void *context, struct database *database);
	int (*notified)(void *context, struct database *database, struct slice payload);
	void *context;
};

/* At most 8 channels. All are added before the start. */
struct notifications *notifications_new(const struct postgres_settings *settings);
void notifications_add(struct notifications *notifications,
		       const struct notifications_channel *channel);
void notifications_start(struct notifications *notifications);
void notifications_stop(struct notifications *notifications);
void notifications_free(struct notifications *notifications);

/* True where all channels are in step; else `why` (256 bytes) says what is the matter. Thread: any.
 */
bool notifications_ready(struct notifications *notifications, char why[256]);

#endif
