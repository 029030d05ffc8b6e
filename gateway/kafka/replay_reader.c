/*
 * One consumer of librdkafka's "simple" kind; its partitions are started for a read into a queue of
 * the read's own and stopped at its end, so that it holds nothing and fetches nothing in between,
 * and keeps its connections.
 *
 * librdkafka's errors are hints, no facts: that an offset is out of range it says without a
 * version, so that it may speak of an earlier read, and that a partition does not exist it says to
 * its error callback or not at all. So the broker itself is asked, about the one when the error
 * comes and about the other when nothing comes.
 */
#include "kafka/replay_reader.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kafka_conf_priv.h"
#include "kafka_offsets_priv.h"
#include "kafka_poll_priv.h"
#include "replay_reader_priv.h"

enum {
	ASK_MS = 2000,
	SILENCE_MS = 500, /* a broker that is there and has records answers sooner */
};

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
	size_t last; /* found last */
	uint64_t budget;
	bool moved; /* in this batch */
};

struct replay_reader *replay_reader_new(const struct kafka_settings *settings)
{
	struct replay_reader *reader = MEM_NEW(struct replay_reader);

	reader->settings = settings;
	return reader;
}

void replay_reader_free(struct replay_reader *reader)
{
	if (reader->kafka)
		rd_kafka_destroy(reader->kafka);
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
	return 0;
}

static void close_span(struct read *read, struct span *span)
{
	rd_kafka_consume_stop(span->handle, span->range->partition);
	rd_kafka_topic_destroy(span->handle);
	span->handle = NULL;
	read->open_count--;
}

static void move_to(struct read *read, struct span *span, int64_t next)
{
	if (next > span->range->until)
		next = span->range->until;
	if (next <= span->next)
		return;
	span->next = next;
	read->moved = true;
	read->visitor->progress(read->visitor->context, (size_t)(span - read->spans), next);
	if (next == span->range->until)
		close_span(read, span);
}

static int open_span(struct read *read, struct span *span)
{
	struct replay_reader *reader = read->reader;

	span->handle = rd_kafka_topic_new(reader->kafka, span->range->topic, NULL);
	if (!span->handle)
		return ERROR_KAFKA;
	if (rd_kafka_consume_start_queue(span->handle, span->range->partition, span->range->from,
					 reader->poll.queue)) {
		rd_kafka_topic_destroy(span->handle);
		span->handle = NULL;
		return ERROR_KAFKA;
	}
	read->open_count++;
	return 0;
}

static int open_spans(struct read *read, const struct replay_range *ranges)
{
	int error = 0;

	for (size_t i = 0; i < read->count && !error; i++) {
		struct span *span = &read->spans[i];

		span->range = &ranges[i];
		span->next = ranges[i].from;
		if (ranges[i].from < ranges[i].until)
			error = open_span(read, span);
		else
			read->visitor->progress(read->visitor->context, i, ranges[i].until);
	}
	return error;
}

/* Messages come in runs of one partition. */
static struct span *find_span(struct read *read, const rd_kafka_message_t *message)
{
	for (size_t i = 0; i < read->count; i++) {
		struct span *span = &read->spans[(read->last + i) % read->count];

		if (span->handle == message->rkt && span->range->partition == message->partition) {
			read->last = (size_t)(span - read->spans);
			return span;
		}
	}
	return NULL;
}

/*
 * librdkafka has given a partition up, in this read or an earlier one, as the broker called its
 * offset out of range; or the broker was behind. If the log has the offset, or nobody says what it
 * has, the partition is started again where it stands.
 */
static int retry_span(struct read *read, struct span *span)
{
	struct replay_reader *reader = read->reader;
	const struct replay_range *range = span->range;
	int64_t low, high;

	if (!kafka_offsets_bounds(reader->kafka, range->topic, range->partition, ASK_MS, &low,
				  &high) &&
	    (span->next < low || span->next > high))
		return ERROR_KAFKA;
	rd_kafka_consume_stop(span->handle, range->partition);
	if (rd_kafka_consume_start_queue(span->handle, range->partition, span->next,
					 reader->poll.queue))
		return ERROR_KAFKA;
	return 0;
}

/* What is not permanent passes, or the read runs into its timeout. */
static int take_error(struct read *read, struct span *span, rd_kafka_resp_err_t error)
{
	switch (error) {
	case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
	case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
		return retry_span(read, span);
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
		return ERROR_KAFKA;
	default:
		return 0;
	}
}

static int take_record(struct read *read, struct span *span, const rd_kafka_message_t *message)
{
	struct kafka_poll *poll = &read->reader->poll;
	struct record record;
	bool more;

	if (!read->budget)
		return ERROR_LIMIT;
	read->budget--;
	kafka_poll_record(poll, message, &record);
	more = read->visitor->record(read->visitor->context, (size_t)(span - read->spans), &record);
	move_to(read, span, message->offset + 1);
	return more ? 0 : ERROR_CANCELLED;
}

static int take(struct read *read, const rd_kafka_message_t *message)
{
	struct span *span = find_span(read, message);

	if (!span)
		return 0;
	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		move_to(read, span, message->offset);
		return 0;
	}
	if (message->err)
		return take_error(read, span, message->err);
	if (message->offset < span->next)
		return 0;
	if (message->offset >= span->range->until) {
		move_to(read, span, span->range->until);
		return 0;
	}
	return take_record(read, span, message);
}

static int take_batch(struct read *read)
{
	struct kafka_poll *poll = &read->reader->poll;
	int error = 0;

	for (size_t i = 0; i < poll->count && !error; i++)
		error = take(read, poll->messages[i]);
	kafka_poll_release(poll);
	return error;
}

static void nudge(struct read *read)
{
	rd_kafka_topic_partition_list_t *open =
	    rd_kafka_topic_partition_list_new((int)read->open_count);

	for (size_t i = 0; i < read->count; i++) {
		const struct replay_range *range = read->spans[i].range;

		if (read->spans[i].handle)
			rd_kafka_topic_partition_list_add(open, range->topic, range->partition);
	}
	kafka_poll_nudge(&read->reader->poll, open);
	rd_kafka_topic_partition_list_destroy(open);
}

/* How many partitions the topic has: 0 where it does not exist, -1 where nobody says. */
static int count_partitions(struct replay_reader *reader, const char *topic, int timeout_ms)
{
	rd_kafka_topic_t *handle = rd_kafka_topic_new(reader->kafka, topic, NULL);
	const struct rd_kafka_metadata *metadata;
	int count = -1;

	if (!handle)
		return -1;
	if (!rd_kafka_metadata(reader->kafka, 0, handle, &metadata, timeout_ms)) {
		const struct rd_kafka_metadata_topic *found = metadata->topics;

		if (metadata->topic_cnt && found->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
			count = 0;
		else if (metadata->topic_cnt && !found->err && found->partition_cnt)
			count = found->partition_cnt;
		rd_kafka_metadata_destroy(metadata);
	}
	rd_kafka_topic_destroy(handle);
	return count;
}

/* Nothing comes: is there a partition that nothing can come from? A topic's ranges stand together.
 */
static int check_spans(struct read *read, int timeout_ms)
{
	const char *topic = NULL;
	int count = -1;

	for (size_t i = 0; i < read->count; i++) {
		const struct replay_range *range = read->spans[i].range;

		if (!read->spans[i].handle)
			continue;
		if (!topic || strcmp(topic, range->topic) != 0) {
			topic = range->topic;
			count = count_partitions(read->reader, topic, timeout_ms);
		}
		if (count >= 0 && range->partition >= count)
			return ERROR_KAFKA;
	}
	return 0;
}

static int at_most(uint64_t ms, int most_ms)
{
	return ms < (uint64_t)most_ms ? (int)ms : most_ms;
}

static int run(struct read *read, uint32_t timeout_ms)
{
	uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
	int error = 0;

	while (read->open_count && !error) {
		uint64_t now_ms = clock_monotonic_ms();

		if (now_ms >= deadline_ms)
			return ERROR_KAFKA;
		read->moved = false;
		if (kafka_poll_wait(&read->reader->poll, at_most(deadline_ms - now_ms, SILENCE_MS)))
			error = take_batch(read);
		else
			error = check_spans(read, at_most(deadline_ms - now_ms, ASK_MS));
		if (kafka_poll_wants_nudge(&read->reader->poll))
			nudge(read);
		if (read->moved)
			deadline_ms = clock_monotonic_ms() + timeout_ms;
	}
	return error;
}

int replay_reader_read(struct replay_reader *reader, const struct replay_range *ranges,
		       size_t count, uint64_t budget_records, uint32_t timeout_ms,
		       const struct replay_visitor *visitor)
{
	struct read read = {
	    .reader = reader, .visitor = visitor, .count = count, .budget = budget_records};
	int error = open_client(reader);

	if (error)
		return error;
	rd_kafka_poll(reader->kafka, 0);
	kafka_poll_open(&reader->poll, reader->kafka);
	read.spans = mem_zalloc((count ? count : 1) * sizeof(*read.spans));
	error = open_spans(&read, ranges);
	if (!error)
		error = run(&read, timeout_ms);
	for (size_t i = 0; i < count; i++) {
		if (read.spans[i].handle)
			close_span(&read, &read.spans[i]);
	}
	free(read.spans);
	kafka_poll_close(&reader->poll);
	return error;
}

int replay_reader_bounds(struct replay_reader *reader, const char *topic, int32_t partition,
			 uint32_t timeout_ms, int64_t *low, int64_t *high)
{
	rd_kafka_resp_err_t error;
	int64_t first, next;

	if (open_client(reader))
		return ERROR_KAFKA;
	error =
	    kafka_offsets_bounds(reader->kafka, topic, partition, (int)timeout_ms, &first, &next);
	/* It says so of an unknown topic, too. */
	if (error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION) {
		int count = count_partitions(reader, topic, (int)timeout_ms);

		return count > 0 && partition >= count ? ERROR_NOT_FOUND : ERROR_KAFKA;
	}
	if (error)
		return ERROR_KAFKA;
	*low = first;
	*high = next;
	return 0;
}

int replay_reader_client(struct replay_reader *reader, rd_kafka_t **kafka)
{
	if (open_client(reader))
		return ERROR_KAFKA;
	*kafka = reader->kafka;
	return 0;
}
