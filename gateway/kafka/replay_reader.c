/*
 * One consumer of librdkafka's "simple" kind; its partitions are started for a read and stopped at its end, so that it holds nothing and
 * fetches nothing in between, and keeps its connections.
 */
#include "kafka/replay_reader.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kafka_conf_priv.h"
#include "kafka_poll_priv.h"

struct replay_reader {
	const struct kafka_settings *settings;
	struct kafka_health health;
	rd_kafka_t *kafka; /* NULL until first use */
	struct kafka_poll poll;
};

/* One range of a read. */
struct span {
	const struct replay_range *range;
	rd_kafka_topic_t *handle; /* NULL: done */
	int64_t next;
};

struct read {
	struct replay_reader *reader;
	const struct replay_visitor *visitor;
	struct span *spans;
	size_t count;
	size_t open_count;
	uint64_t budget;
};

struct replay_reader *replay_reader_new(const struct kafka_settings *settings)
{
	struct replay_reader *reader = MEM_NEW(struct replay_reader);

	reader->settings = settings;
	return reader;
}

void replay_reader_free(struct replay_reader *reader)
{
	if (reader->kafka) {
		rd_kafka_queue_destroy(reader->poll.queue);
		rd_kafka_destroy(reader->kafka);
	}
	free(reader);
}

static int open_client(struct replay_reader *reader)
{
	char reason[256];
	int error;

	if (reader->kafka)
		return 0;
	error = kafka_conf_open_client(reader->settings, KAFKA_REPLAY, &reader->health,
				       &reader->kafka, reason);
	if (error) {
		/* The code alone would not say which property it is. */
		log_event(LOG_ERROR, "replay_reader", "librdkafka refuses its settings",
			  LOG_STR("reason", reason));
		return ERROR_KAFKA;
	}
	reader->poll.queue = rd_kafka_queue_new(reader->kafka);
	return 0;
}
