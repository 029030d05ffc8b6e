#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "group_consumer_priv.h"

enum { CLOSE_TURN_MS = 50 };

struct group_partition *group_consumer_partition(struct group_consumer *consumer, uint32_t topic,
						 int32_t number)
{
	struct group_topic *found = &consumer->topics[topic];

	if (number < 0 || (uint32_t)number >= found->partition_count ||
	    !found->partitions[number].assigned)
		return NULL;
	return &found->partitions[number];
}

static struct group_topic *find_topic(struct group_consumer *consumer, const char *name)
{
	for (uint32_t i = 0; i < consumer->topic_count; i++)
		if (!strcmp(consumer->topics[i].name, name))
			return &consumer->topics[i];
	return NULL;
}

static void assign(struct group_consumer *consumer, const rd_kafka_topic_partition_t *given)
{
	struct group_topic *topic = find_topic(consumer, given->topic);
	uint32_t needed = (uint32_t)given->partition + 1;

	if (!topic)
		return;
	if (topic->partition_count < needed) {
		topic->partitions =
		    mem_realloc(topic->partitions, needed * sizeof(topic->partitions[0]));
		memset(topic->partitions + topic->partition_count, 0,
		       (needed - topic->partition_count) * sizeof(topic->partitions[0]));
		topic->partition_count = needed;
	}
	topic->partitions[given->partition].assigned = true;
	consumer->sink.assigned(consumer->sink.context, topic->number, given->partition);
}

static void assign_all(struct group_consumer *consumer,
		       const rd_kafka_topic_partition_list_t *partitions)
{
	log_event(LOG_INFO, "group", "partitions are assigned", LOG_INT("count", partitions->cnt));
	consumer->problem = NULL;
	for (int i = 0; i < partitions->cnt; i++)
		assign(consumer, &partitions->elems[i]);
}

static void unassign_all(struct group_consumer *consumer, bool lost)
{
	group_consumer_stop_all(consumer);
	for (uint32_t i = 0; i < consumer->topic_count; i++)
		for (uint32_t j = 0; j < consumer->topics[i].partition_count; j++)
			consumer->topics[i].partitions[j] = (struct group_partition){0};
	consumer->lost_count = 0;
	if (lost)
		log_event(LOG_WARN, "group", "the group has given the partitions to others");
	(lost ? consumer->sink.lost : consumer->sink.revoked)(consumer->sink.context);
}

/* The member fetches nothing: whatever it is given, librdkafka is told to read an empty list. */
static void on_rebalance(rd_kafka_t *member, rd_kafka_resp_err_t what,
			 rd_kafka_topic_partition_list_t *partitions, void *opaque)
{
	struct group_consumer *consumer = opaque;
	rd_kafka_topic_partition_list_t *none;

	if (what != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS || consumer->closing) {
		if (!consumer->closing)
			unassign_all(consumer, rd_kafka_assignment_lost(member));
		rd_kafka_assign(member, NULL);
		return;
	}
	none = rd_kafka_topic_partition_list_new(0);
	rd_kafka_assign(member, none);
	rd_kafka_topic_partition_list_destroy(none);
	assign_all(consumer, partitions);
}

static int open_member(struct group_consumer *consumer, const struct kafka_settings *settings,
		       const char *group, char reason[256])
{
	rd_kafka_conf_t *conf;
	int rc = kafka_conf_new(settings, KAFKA_MEMBER, &conf, reason);

	if (rc)
		return rc;
	if (rd_kafka_conf_set(conf, "group.id", group, reason, 256) != RD_KAFKA_CONF_OK) {
		rd_kafka_conf_destroy(conf);
		return ERROR_INVALID;
	}
	rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
	return kafka_conf_open(conf, KAFKA_MEMBER, &consumer->health, &consumer->member, reason);
}

static void subscribe(struct group_consumer *consumer)
{
	rd_kafka_topic_partition_list_t *topics =
	    rd_kafka_topic_partition_list_new((int)consumer->topic_count);
	rd_kafka_resp_err_t error;

	for (uint32_t i = 0; i < consumer->topic_count; i++)
		rd_kafka_topic_partition_list_add(topics, consumer->topics[i].name,
						  RD_KAFKA_PARTITION_UA);
	error = rd_kafka_subscribe(consumer->member, topics);
	/* Topics' names were checked with the configuration. */
	if (error)
		log_event(LOG_ERROR, "group", "librdkafka refuses the subscription",
			  LOG_STR("reason", rd_kafka_err2str(error)));
	rd_kafka_topic_partition_list_destroy(topics);
}

static void set_topics(struct group_consumer *consumer, const char *const *topics, uint32_t count)
{
	consumer->topics = mem_zalloc(count * sizeof(consumer->topics[0]));
	consumer->topic_count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct group_topic *topic = &consumer->topics[i];
		/* One of its own would be without the client's auto.offset.reset. */
		rd_kafka_topic_conf_t *conf = rd_kafka_default_topic_conf_dup(consumer->kafka);

		topic->consumer = consumer;
		topic->number = i;
		topic->name = mem_strdup(topics[i]);
		rd_kafka_topic_conf_set_opaque(conf, topic);
		topic->handle = rd_kafka_topic_new(consumer->kafka, topic->name, conf);
	}
}

int group_consumer_open(const struct kafka_settings *settings, const char *group,
			const char *const *topics, uint32_t topic_count,
			const struct group_consumer_sink *sink, struct group_consumer **made)
{
	struct group_consumer *consumer = MEM_NEW(struct group_consumer);
	char reason[256];
	int rc = open_member(consumer, settings, group, reason);

	if (!rc)
		rc = kafka_conf_open_client(settings, KAFKA_GROUP, &consumer->health,
					    &consumer->kafka, reason);
	if (rc) {
		/* The code alone would not say which property it is. */
		log_event(LOG_ERROR, "group", "librdkafka refuses its settings",
			  LOG_STR("reason", reason));
		if (consumer->member)
			rd_kafka_destroy(consumer->member);
		free(consumer);
		return rc;
	}
	consumer->sink = *sink;
	rd_kafka_poll_set_consumer(consumer->member);
	consumer->member_queue = rd_kafka_queue_get_consumer(consumer->member);
	kafka_poll_open(&consumer->poll, consumer->kafka);
	set_topics(consumer, topics, topic_count);
	subscribe(consumer);
	*made = consumer;
	return 0;
}

static void leave_group(struct group_consumer *consumer, uint32_t patience_ms)
{
	uint64_t deadline_ms = clock_monotonic_ms() + patience_ms;
	rd_kafka_error_t *error =
	    rd_kafka_consumer_close_queue(consumer->member, consumer->member_queue);

	if (error) {
		rd_kafka_error_destroy(error);
		return;
	}
	while (!rd_kafka_consumer_closed(consumer->member) && clock_monotonic_ms() < deadline_ms) {
		rd_kafka_message_t *message =
		    rd_kafka_consume_queue(consumer->member_queue, CLOSE_TURN_MS);

		if (message)
			rd_kafka_message_destroy(message);
	}
}

void group_consumer_close(struct group_consumer *consumer, uint32_t patience_ms)
{
	consumer->closing = true;
	group_consumer_stop_all(consumer);
	leave_group(consumer, patience_ms);
	kafka_poll_close(&consumer->poll);
	for (uint32_t i = 0; i < consumer->topic_count; i++) {
		rd_kafka_topic_destroy(consumer->topics[i].handle);
		free(consumer->topics[i].partitions);
		free(consumer->topics[i].name);
	}
	rd_kafka_queue_destroy(consumer->member_queue);
	rd_kafka_destroy_flags(consumer->member, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	rd_kafka_destroy(consumer->kafka);
	free(consumer->topics);
	free(consumer);
}

/* The member's queue brings rebalances, which librdkafka hands to on_rebalance(), and errors. */
static void take_member_message(struct group_consumer *consumer, rd_kafka_message_t *message)
{
	const char *problem = kafka_conf_error_text(message->err);

	if (message->err && problem != consumer->problem) {
		consumer->problem = problem;
		log_event(LOG_WARN, "group", problem,
			  LOG_STR("reason", rd_kafka_message_errstr(message)));
	}
	rd_kafka_message_destroy(message);
}

static void look_after_member(struct group_consumer *consumer, int timeout_ms)
{
	rd_kafka_message_t *message = rd_kafka_consume_queue(consumer->member_queue, timeout_ms);

	while (message) {
		take_member_message(consumer, message);
		message = rd_kafka_consume_queue(consumer->member_queue, 0);
	}
}

void group_consumer_poll(struct group_consumer *consumer, uint32_t timeout_ms, bool take)
{
	look_after_member(consumer, take ? 0 : (int)timeout_ms);
	if (take)
		group_consumer_read(consumer, (int)timeout_ms);
}

void group_consumer_wake(struct group_consumer *consumer)
{
	rd_kafka_queue_yield(consumer->poll.queue);
	rd_kafka_queue_yield(consumer->member_queue);
}

void group_consumer_commit(struct group_consumer *consumer, uint32_t topic, int32_t partition,
			   int64_t offset)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(list, consumer->topics[topic].name, partition)->offset =
	    offset;
	rd_kafka_commit(consumer->member, list, 1);
	rd_kafka_topic_partition_list_destroy(list);
}

const char *group_consumer_problem(const struct group_consumer *consumer)
{
	for (uint32_t i = 0; i < consumer->topic_count; i++)
		for (uint32_t j = 0; j < consumer->topics[i].partition_count; j++)
			if (consumer->topics[i].partitions[j].problem)
				return consumer->topics[i].partitions[j].problem;
	return consumer->problem;
}
