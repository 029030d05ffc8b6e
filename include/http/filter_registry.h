/*
 * filter_registry: what narrows each subject that has open streams, or asks for one, as PostgreSQL
 * has it.
 *
 * A subject is loaded on a worker before its first stream opens, and stays as long as one is open.
 * What changes is read again when PostgreSQL tells of it, and all of them when the connection that
 * tells was lost. Nothing is opened for a subject of whom nothing is known; those that are open go
 * on with what was known last.
 */
#ifndef SLUICE_HTTP_FILTER_REGISTRY_H
#define SLUICE_HTTP_FILTER_REGISTRY_H

#include "event/stream.h"
#include "postgres/notifications.h"
#include "postgres/postgres_settings.h"

struct filter_registry;

/* All borrowed. */
struct filter_registry_parts {
	const struct postgres_settings *postgres;
	/* Not started yet; gets a channel. It is stopped before the registry is freed. */
	struct notifications *notifications;
	struct stream *const *streams;
	size_t stream_count;
	/* A subject is known now, or cannot be, or its filters are others. Called from threads of
	 * postgres/. */
	void (*on_change)(void *context);
	void *context;
};

struct filter_registry *filter_registry_new(const struct filter_registry_parts *parts);
/* All streams are closed. */
void filter_registry_free(struct filter_registry *registry);

#endif
