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
struct replay;

struct observe {
	struct ingest *ingest;
	struct feeds *feeds;
	struct replay *replay;
	struct auth *auth; /* may be NULL */
	struct app *app;
};

/* Adds the collectors; `observe` is borrowed for the life of the process. Once, before the threads
 * run. */
void observe_register(struct observe *observe);

/*
 * Appends "topics":[{"topic":…,"ready":…,"lag":…,"problem":…}],"keys":… and says whether all are
 * ready: every topic is caught up and without a problem that keeps it from being read, and every
 * JWKS was loaded.
 */
bool observe_readiness(void *observe, struct buffer *json);

#endif
