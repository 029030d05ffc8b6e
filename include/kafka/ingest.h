/*
 * ingest: one thread that reads every partition of every wanted topic and hands each record to the
 * sink.
 *
 * It knows no feed. A second thread, discovery, asks for metadata and start offsets, so that
 * nothing blocks the reading. Transactions: read_committed. No consumer group: every gateway reads
 * everything.
 */
#ifndef SLUICE_KAFKA_INGEST_H
#define SLUICE_KAFKA_INGEST_H

#include "base/buffer.h"
#include "base/error.h"
#include "event/record.h"
#include "kafka/kafka_settings.h"

/*
 * What ingest tells. All calls come from the ingest thread, in order for each partition. `topic` is
 * the name; `token` is what the caller gave with ingest_want() (a pointer that it can use without a
 * look-up).
 */
struct ingest_sink {
	/* The partition will be read from `next` on. Comes before its first record. */
	void (*partition)(void *context, void *token, int32_t partition, int64_t next);
	/* One record; record->offset is at or beyond the last `next`. */
	void (*record)(void *context, void *token, const struct record *record);
	/* The log's end is reached: the next offset to read is `next` though no record stands
	 * before it (control records, aborted transactions, an empty partition). */
	void (*end)(void *context, void *token, int32_t partition, int64_t next);
	/* The log no longer has [from, to): retention was faster, or the topic was made anew (to <
	 * from possible). */
	void (*gap)(void *context, void *token, int32_t partition, int64_t from, int64_t to);
	/* All of what was polled together has been handed over: publish it. */
	void (*flush)(void *context);
	/* All partitions known at first discovery have reached the end that they had then (once a
	 * topic). */
	void (*caught_up)(void *context, void *token);
	/* The last reference to the token is gone; it will not be handed over again. */
	void (*forgotten)(void *context, void *token);
	void *context;
};

struct ingest;

MUST_CHECK int ingest_new(const struct kafka_settings *settings, const struct ingest_sink *sink,
			  struct ingest **ingest);
/* Starts the threads. */
void ingest_start(struct ingest *ingest);
/* Stops and joins them; no call of the sink comes afterwards. */
void ingest_stop(struct ingest *ingest);
void ingest_free(struct ingest *ingest);

/*
 * Wants a topic (a name once at a time). `warm_ms`: how far back in time to start; 0: at the end.
 * Partitions found later than the topic's first discovery, and topics that did not exist when first
 * looked up, are read from their beginning. Thread: any.
 */
void ingest_want(struct ingest *ingest, const char *topic, uint32_t warm_ms, void *token);
/* Stops reading it; sink->forgotten follows. Thread: any. */
void ingest_unwant(struct ingest *ingest, const char *topic);

/* One topic's state for /readyz and /metrics. */
struct ingest_topic_state {
	const char *topic;
	bool caught_up;
	const char *problem; /* readable, NULL: none: "the topic does not exist", "not authorized
				…", "no broker is reachable" */
	uint32_t partition_count; /* that are read now */
	int64_t lag; /* records between what was read and the known end, over all partitions */
};
/* Calls `visit` for each wanted topic, under ingest's lock: be quick. Thread: any. */
void ingest_each_topic(struct ingest *ingest,
		       void (*visit)(void *context, const struct ingest_topic_state *state),
		       void *context);

#endif
