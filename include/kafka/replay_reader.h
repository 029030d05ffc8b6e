/*
 * replay_reader: reads a range of the log again, for one subscriber that was away.
 *
 * One reader is one librdkafka consumer, made on first use and kept; it belongs to one thread at a
 * time, which it blocks.
 */
#ifndef SLUICE_KAFKA_REPLAY_READER_H
#define SLUICE_KAFKA_REPLAY_READER_H

#include <stdint.h>

#include "base/error.h"
#include "event/record.h"
#include "kafka/kafka_settings.h"

struct replay_reader;

struct replay_reader *replay_reader_new(const struct kafka_settings *settings);
void replay_reader_free(struct replay_reader *reader);

/* One partition to read: [from, until). */
struct replay_range {
	const char *topic;
	int32_t partition;
	int64_t from;
	int64_t until;
};

/*
 * Reads the ranges, partitions interleaved, each in order, until all are done, `record` returns
 * false, or `budget_records` were read. `progress` is called with the next offset of a partition
 * whenever it moves (also past what is no record), and with `until` at its end. 0: all ranges are
 * done. ERROR_CANCELLED: `record` returned false (the record that it was given counts as taken).
 * ERROR_LIMIT: the budget is used up. ERROR_KAFKA: nothing came for `timeout_ms`, or Kafka refused,
 * or the log has no such topic, partition or offset; what was taken so far is valid.
 */
struct replay_visitor {
	bool (*record)(void *context, size_t range, const struct record *record);
	void (*progress)(void *context, size_t range, int64_t next);
	void *context;
};
MUST_CHECK int replay_reader_read(struct replay_reader *reader, const struct replay_range *ranges,
				  size_t count, uint64_t budget_records, uint32_t timeout_ms,
				  const struct replay_visitor *visitor);

/* The log's first and next-to-be-written offset, asked of the broker now (read_committed: the last
 * stable offset). Blocks up to timeout_ms for each question that it asks. ERROR_NOT_FOUND: the
 * topic is there and has no such partition. */
MUST_CHECK int replay_reader_bounds(struct replay_reader *reader, const char *topic,
				    int32_t partition, uint32_t timeout_ms, int64_t *low,
				    int64_t *high);

/*
 * Moves each range's `from` to the first record with this timestamp or a later one, as the broker's
 * time index knows it, or to the log's end where there is none (read_committed: the last stable
 * offset). ERROR_KAFKA: some partition did not answer; nothing has moved. Blocks up to twice
 * timeout_ms.
 */
MUST_CHECK int replay_reader_seek_time(struct replay_reader *reader, struct replay_range *ranges,
				       size_t count, int64_t since_ms, uint32_t timeout_ms);

#endif
