/*
 * embedded_broker: a Kafka broker inside this process, for `--dev` and tests: librdkafka's mock
 * cluster.
 *
 * Real clients (kcat, other processes) produce to it and read from it on a free port of 127.0.0.1.
 * It keeps about 5 MiB a partition, in memory, knows neither transactions' isolation nor offsets by
 * time, and creates topics that a client asks for. An empty fetch is not cut short by a new record:
 * consumers of it should set fetch.wait.max.ms to about 10.
 */
#ifndef SLUICE_KAFKA_EMBEDDED_BROKER_H
#define SLUICE_KAFKA_EMBEDDED_BROKER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* What topics get that are created by use. */
enum { EMBEDDED_BROKER_PARTITIONS = 4 };

struct embedded_broker_topic {
	const char *name;
	int partition_count; /* 0: EMBEDDED_BROKER_PARTITIONS */
};

struct embedded_broker;

/*
 * Starts it with these topics (borrowed for the call). Errors: ERROR_KAFKA, librdkafka refused
 * (logged). Thread: any; the broker has its own.
 */
MUST_CHECK int embedded_broker_start(const struct embedded_broker_topic *topics, size_t count,
				     struct embedded_broker **broker);
/* Clients should be gone by then; everything in it is lost. */
void embedded_broker_stop(struct embedded_broker *broker);

/* For bootstrap.servers: "127.0.0.1:port". Borrowed, until stop. */
const char *embedded_broker_servers(const struct embedded_broker *broker);

#endif
