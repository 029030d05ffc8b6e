/* The fetching client is librdkafka's "simple" consumer, as ingest's is: see ingest_reader.c. */
#include <assert.h>

#include "base/clock.h"
#include "base/log.h"
#include "group_consumer_priv.h"
#include "kafka_offsets_priv.h"

enum { BOUNDS_TIMEOUT_MS = 1000, BOUNDS_PAUSE_MS = 500 };

static void stop_fetching(struct group_topic *topic, int32_t number)
{
	struct group_partition *partition = &topic->partitions[number];

	if (partition->fetched)
		rd_kafka_consume_stop(topic->handle, number);
	partition->fetched = false;
	if (partition->lost)
		topic->consumer->lost_count--;
	partition->lost = false;
}

void group_consumer_start(struct group_consumer *consumer, uint32_t number, int32_t partition,
			  int64_t offset, void *token)
{
	struct group_topic *topic = &consumer->topics[number];
	struct group_partition *started = group_consumer_partition(consumer, number, partition);
	int failed;

	assert(started);
	stop_fetching(topic, partition);
	started->next = offset;
	started->token = token;
	failed =
	    rd_kafka_consume_start_queue(topic->handle, partition, offset, consumer->poll.queue);
	/* Only for what is started twice, or is no partition. */
	assert(!failed);
	started->fetched = true;
}

void group_consumer_stop(struct group_consumer *consumer, uint32_t topic, int32_t partition)
{
	if (group_consumer_partition(consumer, topic, partition))
		stop_fetching(&consumer->topics[topic], partition);
}

void group_consumer_stop_all(struct group_consumer *consumer)
{
	for (uint32_t i = 0; i < consumer->topic_count; i++)
		for (uint32_t j = 0; j < consumer->topics[i].partition_count; j++)
			stop_fetching(&consumer->topics[i], (int32_t)j);
}

static void set_problem(struct group_topic *topic, int32_t number, const char *problem)
{
	struct group_partition *partition = &topic->partitions[number];

	if (partition->problem == problem)
		return;
	partition->problem = problem;
	log_event(problem ? LOG_WARN : LOG_INFO, "group",
		  problem ? problem : "the partition is read again", LOG_STR("topic", topic->name),
		  LOG_INT("partition", number));
}

static void take_error(struct group_topic *topic, struct group_partition *partition,
		       const rd_kafka_message_t *message)
{
	switch (message->err) {
	case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
	case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
		/* librdkafka has given the partition up. */
		if (!partition->lost)
			topic->consumer->lost_count++;
		partition->lost = true;
		break;
	default:
		set_problem(topic, message->partition, kafka_conf_error_text(message->err));
	}
}

static void take_record(struct group_topic *topic, struct group_partition *partition,
			const rd_kafka_message_t *message)
{
	struct group_consumer *consumer = topic->consumer;
	struct record record;

	if (message->offset < partition->next)
		return;
	kafka_poll_record(&consumer->poll, message, &record);
	partition->next = message->offset + 1;
	consumer->sink.record(consumer->sink.context, partition->token, &record);
}

static void take_end(struct group_topic *topic, struct group_partition *partition,
		     const rd_kafka_message_t *message)
{
	struct group_consumer *consumer = topic->consumer;

	if (message->offset < partition->next)
		return;
	partition->next = message->offset;
	consumer->sink.end(consumer->sink.context, partition->token, partition->next);
}

static void take_message(struct group_consumer *consumer, const rd_kafka_message_t *message)
{
	struct group_topic *topic = rd_kafka_topic_opaque(message->rkt);
	struct group_partition *partition =
	    group_consumer_partition(consumer, topic->number, message->partition);

	/* The sink may stop a partition in the middle of a batch. */
	if (!partition || !partition->fetched)
		return;
	if (message->err && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		take_error(topic, partition, message);
		return;
	}
	if (partition->problem)
		set_problem(topic, message->partition, NULL);
	if (message->err)
		take_end(topic, partition, message);
	else
		take_record(topic, partition, message);
}

static void list_fetched(struct group_consumer *consumer, bool lost,
			 rd_kafka_topic_partition_list_t *list)
{
	for (uint32_t i = 0; i < consumer->topic_count; i++) {
		const struct group_topic *topic = &consumer->topics[i];

		for (uint32_t j = 0; j < topic->partition_count; j++)
			if (topic->partitions[j].fetched && topic->partitions[j].lost >= lost)
				rd_kafka_topic_partition_list_add(list, topic->name, (int32_t)j)
				    ->opaque = (void *)(uintptr_t)topic;
	}
}

static void nudge(struct group_consumer *consumer)
{
	rd_kafka_topic_partition_list_t *fetched = rd_kafka_topic_partition_list_new(16);

	list_fetched(consumer, false, fetched);
	kafka_poll_nudge(&consumer->poll, fetched);
	rd_kafka_topic_partition_list_destroy(fetched);
}

/* What is still in the log after all goes on; else the caller is told. */
static void tell_bounds(struct group_topic *topic, int32_t number, int64_t low, int64_t high)
{
	struct group_consumer *consumer = topic->consumer;
	struct group_partition *partition = &topic->partitions[number];
	int64_t next = partition->next;

	stop_fetching(topic, number);
	if (next >= low && next <= high)
		group_consumer_start(consumer, topic->number, number, next, partition->token);
	else
		consumer->sink.gap(consumer->sink.context, partition->token, next, low, high);
}

/* Asks where the logs of lost partitions begin and end, now and then until it is known. */
static void look_up_lost(struct group_consumer *consumer)
{
	rd_kafka_topic_partition_list_t *lows, *ends;

	if (!consumer->lost_count || clock_monotonic_ms() < consumer->look_up_due_ms)
		return;
	lows = rd_kafka_topic_partition_list_new(4);
	list_fetched(consumer, true, lows);
	ends = rd_kafka_topic_partition_list_copy(lows);
	for (int i = 0; i < lows->cnt; i++) {
		lows->elems[i].offset = RD_KAFKA_OFFSET_BEGINNING;
		ends->elems[i].offset = RD_KAFKA_OFFSET_END;
	}
	kafka_offsets_look_up(consumer->kafka, lows, BOUNDS_TIMEOUT_MS);
	kafka_offsets_look_up(consumer->kafka, ends, BOUNDS_TIMEOUT_MS);
	for (int i = 0; i < lows->cnt; i++)
		if (!lows->elems[i].err && !ends->elems[i].err)
			tell_bounds(lows->elems[i].opaque, lows->elems[i].partition,
				    lows->elems[i].offset, ends->elems[i].offset);
	rd_kafka_topic_partition_list_destroy(lows);
	rd_kafka_topic_partition_list_destroy(ends);
	consumer->look_up_due_ms = clock_monotonic_ms() + BOUNDS_PAUSE_MS;
}

void group_consumer_read(struct group_consumer *consumer, int timeout_ms)
{
	struct kafka_poll *poll = &consumer->poll;

	kafka_poll_wait(poll, timeout_ms);
	for (size_t i = 0; i < poll->count; i++)
		take_message(consumer, poll->messages[i]);
	kafka_poll_release(poll);
	if (kafka_poll_wants_nudge(poll))
		nudge(consumer);
	look_up_lost(consumer);
}

void group_consumer_find_times(struct group_consumer *consumer, struct group_consumer_place *places,
			       size_t count, uint32_t timeout_ms)
{
	rd_kafka_topic_partition_list_t *times = rd_kafka_topic_partition_list_new((int)count);
	rd_kafka_topic_partition_list_t *ends;

	for (size_t i = 0; i < count; i++)
		rd_kafka_topic_partition_list_add(times, consumer->topics[places[i].topic].name,
						  places[i].partition)
		    ->offset = places[i].unix_ms;
	ends = rd_kafka_topic_partition_list_copy(times);
	for (int i = 0; i < ends->cnt; i++)
		ends->elems[i].offset = RD_KAFKA_OFFSET_END;
	/* The ends first: a record that comes in between is not before that end. */
	kafka_offsets_look_up(consumer->kafka, ends, (int)timeout_ms);
	kafka_offsets_look_up(consumer->kafka, times, (int)timeout_ms);
	for (size_t i = 0; i < count; i++) {
		const rd_kafka_topic_partition_t *time = &times->elems[i], *end = &ends->elems[i];

		places[i].offset = -1;
		if (!time->err && !end->err)
			places[i].offset = time->offset < 0 ? end->offset : time->offset;
	}
	rd_kafka_topic_partition_list_destroy(times);
	rd_kafka_topic_partition_list_destroy(ends);
}

int64_t group_consumer_end(struct group_consumer *consumer, uint32_t topic, int32_t partition,
			   int64_t next)
{
	int64_t low, high;

	if (rd_kafka_get_watermark_offsets(consumer->kafka, consumer->topics[topic].name, partition,
					   &low, &high))
		return next;
	return high > next ? high : next;
}
