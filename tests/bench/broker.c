/*
 * broker: the benchmark's Kafka. Prints its address as JSON, ends with standard input.
 *
 *     broker TOPIC[:PARTITIONS]...      each with one partition, where nothing else is said
 *
 * A real Apache Kafka where $SLUICE_KAFKA_JARS has its jars, else the one in librdkafka.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kafka/embedded_broker.h"
#include "lib/kafka_broker.h"

static void wait_for_end(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

/* Cuts the number off the name. */
static int32_t take_partitions(char *name)
{
	char *colon = strchr(name, ':');

	if (!colon)
		return 1;
	*colon = '\0';
	return (int32_t)strtol(colon + 1, NULL, 10);
}

static void print(const char *servers, const char *what)
{
	printf("{\"servers\": \"%s\", \"what\": \"%s\"}\n", servers, what);
	fflush(stdout);
}

static void run_apache(int count, char **names)
{
	struct kafka_broker broker;

	kafka_broker_start(&broker);
	for (int i = 0; i < count; i++)
		kafka_broker_create_topic(&broker, names[i], take_partitions(names[i]));
	print(broker.bootstrap, "Apache Kafka");
	wait_for_end();
	kafka_broker_fini(&broker);
}

static void run_embedded(int count, char **names)
{
	struct embedded_broker_topic topics[16];
	struct embedded_broker *broker;

	if (count > 16)
		errx(2, "too many topics");
	for (int i = 0; i < count; i++) {
		int32_t partitions = take_partitions(names[i]);

		topics[i] = (struct embedded_broker_topic){names[i], partitions};
	}
	if (embedded_broker_start(topics, (size_t)count, &broker))
		errx(1, "librdkafka's broker does not start");
	print(embedded_broker_servers(broker), "librdkafka's mock broker");
	wait_for_end();
	embedded_broker_stop(broker);
}

int main(int argc, char **argv)
{
	if (getenv("SLUICE_KAFKA_JARS"))
		run_apache(argc - 1, argv + 1);
	else
		run_embedded(argc - 1, argv + 1);
	return 0;
}
