/*
 * group_consumer, inside.
 *
 * group_consumer.c: life, membership. group_consumer_read.c: what the fetching client brings.
 */
#ifndef SLUICE_KAFKA_GROUP_CONSUMER_PRIV_H
#define SLUICE_KAFKA_GROUP_CONSUMER_PRIV_H

#include <librdkafka/rdkafka.h>

#include "kafka/group_consumer.h"
#include "kafka_conf_priv.h"
#include "kafka_poll_priv.h"

struct group_partition {
	bool assigned;
	bool fetched; /* librdkafka has it started */
	bool lost;    /* its offset is not in the log: the log's bounds are to be asked for */
	int64_t next;
	void *token;
	const char *problem;
};

struct group_topic {
	struct group_consumer *consumer;
	uint32_t number;
	char *name;
	rd_kafka_topic_t *handle; /* of the fetching client; its opaque is this */
	struct group_partition *partitions;
	uint32_t partition_count;
};

struct group_consumer {
	struct kafka_health health; /* the clients' opaque; first, see on_rebalance() */
	rd_kafka_t *member;
	rd_kafka_queue_t *member_queue;
	rd_kafka_t *kafka;
	struct kafka_poll poll;
	struct group_consumer_sink sink;
	struct group_topic *topics;
	uint32_t topic_count;
	bool closing;
	uint32_t lost_count;
	uint64_t look_up_due_ms;
	const char *problem;
};

/* NULL where there is no such partition that is assigned. */
struct group_partition *group_consumer_partition(struct group_consumer *consumer, uint32_t topic,
						 int32_t partition);
void group_consumer_stop_all(struct group_consumer *consumer);
/* Waits for the fetching client and hands over what it has. */
void group_consumer_read(struct group_consumer *consumer, int timeout_ms);

#endif
