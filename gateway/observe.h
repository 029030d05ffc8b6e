/*
 * observe: what /readyz and /metrics read off the living parts.
 */
#ifndef SLUICE_OBSERVE_H
#define SLUICE_OBSERVE_H

#include <stdbool.h>

#include "base/buffer.h"

struct app;
struct auth;
struct feeds;
struct ingest;
struct journal;
struct migrator;
struct notifications;
struct replay;

struct observe {
	struct ingest *ingest;
	struct feeds *feeds;
	struct replay *replay;
	struct auth *auth;                   /* may be NULL */
	struct notifications *notifications; /* may be NULL */
	struct app *app;
	struct migrator *migrator; /* may be NULL */
	struct journal *journal;   /* may be NULL */
};

/* Adds the collectors; `observe` is borrowed for the life of the process. Once, before the threads
 * run. */
void observe_register(struct observe *observe);

/*
 * Appends "topics":[{"topic":…,"ready":…,"lag":…,"problem":…}],"keys":… and says whether all are
 * ready: every topic is caught up and without a problem that keeps it from being read, and every
 * JWKS was loaded. "migrations":… says why they are not applied yet, and
 * "journal":{"ok":…,"problem":…,"lag":…,"partitions":…} how far it is: they keep nobody from live
 * events and so do not count.
 */
bool observe_readiness(void *observe, struct buffer *json);

#endif
