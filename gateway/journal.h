/*
 * journal: one thread that writes the journaled streams' events to PostgreSQL, each exactly once.
 *
 * The gateways that name the same group share the partitions of the streams' topics. Where a
 * partition goes on is what PostgreSQL says, so whatever is stopped or killed, nothing is left out
 * and nothing is written twice. While PostgreSQL is away or slow one batch is kept, and Kafka's
 * records wait in a queue with a limit; live streams do not notice.
 */
#ifndef SLUICE_JOURNAL_H
#define SLUICE_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct config_table;
struct feeds;
struct journal;
struct kafka_settings;
struct postgres_settings;

/* "journal" of the configuration. */
struct journal_settings {
	char *group;
	uint32_t batch_records;
	uint64_t batch_bytes;
	uint32_t linger_ms;
};
extern const struct config_table journal_settings_table;

/* What it is made from; all borrowed for its life. */
struct journal_parts {
	const struct journal_settings *settings;
	const struct kafka_settings *kafka;
	const struct postgres_settings *postgres;
	struct feeds *feeds;
};

/* After the feeds are declared: holds a reference on each whose stream is journaled. *journal is
 * NULL where there is none. Errors: logged. */
MUST_CHECK int journal_new(const struct journal_parts *parts, struct journal **journal);
void journal_start(struct journal *journal);
/* Writes what is read, within a few seconds, and leaves the group. */
void journal_stop(struct journal *journal);
void journal_free(struct journal *journal);

/* One topic's share of this gateway. */
struct journal_topic_state {
	const char *topic;
	uint32_t partition_count;
	int64_t lag; /* records between what is written and the log's known end */
};
struct journal_state {
	char problem[256]; /* "": none */
	uint64_t batches;
	uint64_t batch_us; /* spent writing them */
};
/* `visit` may be NULL. It is called under the journal's lock: be quick. Thread: any. */
void journal_look(struct journal *journal, struct journal_state *state,
		  void (*visit)(void *context, const struct journal_topic_state *topic),
		  void *context);

#endif
