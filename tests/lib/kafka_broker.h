/*
 * kafka_broker: a real Apache Kafka for one test program: one node in KRaft mode on free ports of
 * 127.0.0.1.
 *
 * Its jars lie in $SLUICE_KAFKA_JARS (tests/kafka/pom.xml); its data in a temporary folder that
 * outlives kill and restart. Every function returns when the broker has done it, and ends the
 * program where it can't. Thread: the one that started it.
 */
#ifndef SLUICE_TESTS_LIB_KAFKA_BROKER_H
#define SLUICE_TESTS_LIB_KAFKA_BROKER_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>

#include "lib/child.h"

struct kafka_broker {
	char bootstrap[32]; /* host:port, the same over restarts */
	struct child child;
	char folder[CHILD_PATH_BYTES];
	rd_kafka_t *admin;
};

/* Starts it and waits until it answers metadata requests (about 3 s). Topics are not created
 * automatically. */
void kafka_broker_start(struct kafka_broker *broker);
/* SIGTERM, and waits: partitions are closed in good order. */
void kafka_broker_stop(struct kafka_broker *broker);
/* SIGKILL, and waits. */
void kafka_broker_kill(struct kafka_broker *broker);
/* After stop or kill: the same data on the same port. */
void kafka_broker_restart(struct kafka_broker *broker);
/* Kills it and removes its data. */
void kafka_broker_fini(struct kafka_broker *broker);

/* Returns when the topic's partitions have a leader and can be written. */
void kafka_broker_create_topic(struct kafka_broker *broker, const char *topic, int32_t partitions);
/* Returns when the topic is gone from the metadata. */
void kafka_broker_delete_topic(struct kafka_broker *broker, const char *topic);
/* Raises the number of partitions to `partitions`. */
void kafka_broker_grow_topic(struct kafka_broker *broker, const char *topic, int32_t partitions);
/* Removes the records before offset `before` of one partition, as retention does. */
void kafka_broker_delete_records(struct kafka_broker *broker, const char *topic, int32_t partition,
				 int64_t before);
/* The partition's first offset and the one after its last. */
void kafka_broker_offsets(struct kafka_broker *broker, const char *topic, int32_t partition,
			  int64_t *low, int64_t *high);

#endif
