/*
 * discovery: finds out which partitions there are and where to read them from.
 *
 * discovery.c: the thread, when which topic is looked at, and what its metadata says.
 * discovery_plan.c: offsets, and what is posted to the reader.
 */
#ifndef SLUICE_KAFKA_DISCOVERY_PRIV_H
#define SLUICE_KAFKA_DISCOVERY_PRIV_H

#include "ingest_priv.h"

/*
 * A topic to look at now, or NULL; then *wait_ms is until the next. While there are unwanted topics
 * none is due, and nothing to wait for but that they are posted to be forgotten. Thread: discovery.
 */
struct ingest_topic *discovery_take_due(struct ingest *ingest, uint64_t *wait_ms);

/*
 * Starts the partitions that are not started yet. Returns NULL, or what keeps some of them from it.
 * Thread: discovery.
 */
const char *discovery_plan_missing(struct ingest *ingest, struct ingest_topic *topic,
				   const struct rd_kafka_metadata_topic *found);

/*
 * Moves lost partitions to where the log begins now; with `anew` all of them, as the topic was
 * gone. Returns NULL, or what keeps some of them from it. Thread: discovery.
 */
const char *discovery_plan_lost(struct ingest *ingest, struct ingest_topic *topic,
				const struct rd_kafka_metadata_topic *found, bool anew);

#endif
