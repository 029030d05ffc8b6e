#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "commands.h"
#include "kafka/producer.h"

enum { FLUSH_MS = 30000 };

static int send_line(struct producer *producer, const char *topic, struct slice line)
{
	const char *tab = memchr(line.base, '\t', line.len);
	struct producer_message message = {.topic = topic, .has_value = true, .value = line};
	char reason[256];
	int rc;

	if (tab) {
		message.has_key = true;
		message.key = (struct slice){line.base, (size_t)(tab - line.base)};
		message.value = (struct slice){tab + 1, line.len - message.key.len - 1};
	}
	rc = producer_send(producer, &message, reason);
	if (rc)
		fprintf(stderr, "sluice produce: %s\n", reason);
	return rc;
}

static int send_input(struct producer *producer, const char *topic)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;
	int rc = 0;

	while (!rc && (len = getline(&line, &size, stdin)) >= 0) {
		if (len && line[len - 1] == '\n')
			len--;
		rc = send_line(producer, topic, (struct slice){line, (size_t)len});
	}
	free(line);
	return rc;
}

static int produce(const struct kafka_settings *settings, const char *topic)
{
	struct producer *producer;
	struct producer_report report;
	char reason[256];
	int rc = producer_open(settings, &producer, reason);

	if (rc) {
		fprintf(stderr, "sluice produce: %s\n", reason);
		return EXIT_FAILURE;
	}
	rc = send_input(producer, topic);
	if (producer_flush(producer, FLUSH_MS, &report)) {
		fprintf(stderr, "sluice produce: %s\n",
			report.failed ? report.reason : "the broker has not acknowledged in time");
		rc = ERROR_KAFKA;
	}
	printf("%llu records delivered to %s\n", (unsigned long long)report.delivered, topic);
	producer_close(producer);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}

int produce_command(int argc, char **argv)
{
	static const struct option options[] = {{"brokers", required_argument, NULL, 'b'},
						{NULL, 0, NULL, 0}};
	const char *brokers = getenv("SLUICE_KAFKA");
	char name[] = "bootstrap.servers";
	struct kafka_property property = {name, NULL};
	const struct kafka_settings settings = {.properties = &property, .property_count = 1};
	int option, code;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'b')
			return COMMAND_USAGE;
		brokers = optarg;
	}
	if (optind + 1 != argc) {
		fputs("usage: sluice produce [--brokers LIST] TOPIC\n", stderr);
		return COMMAND_USAGE;
	}
	property.value = mem_strdup(brokers ? brokers : "localhost:9092");
	code = produce(&settings, argv[optind]);
	free(property.value);
	return code;
}
