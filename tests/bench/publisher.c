/*
 * publisher: events into Kafka, or into a publisher endpoint over HTTP, as bench/pace.h says.
 *
 *     publisher --brokers LIST --topic TOPIC [--key KEY [--keys N]] | --http PORT --path /pub
 *               [--payload BYTES] [--rate R --total T]
 *
 * With --keys the N keys, whose numbers stand for the "%" in KEY, take turns, each with numbers of
 * its own. Every event goes out at once by itself. It prints how many it has published, as JSON.
 */
#include <err.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/pace.h"
#include "bench/sink.h"

enum { MAX_PAYLOAD = 65536, MAX_DUE = 64 };

struct arguments {
	struct pace pace;
	const char *brokers, *topic, *key, *path;
	uint16_t port;
	uint32_t payload_len, keys;
};

static void parse(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {
	    {"brokers", required_argument, NULL, 'b'}, {"topic", required_argument, NULL, 'o'},
	    {"key", required_argument, NULL, 'k'},     {"keys", required_argument, NULL, 's'},
	    {"http", required_argument, NULL, 'h'},    {"path", required_argument, NULL, 'x'},
	    {"payload", required_argument, NULL, 'l'}, {"rate", required_argument, NULL, 'r'},
	    {"total", required_argument, NULL, 't'},   {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'b':
			arguments->brokers = optarg;
			break;
		case 'o':
			arguments->topic = optarg;
			break;
		case 'k':
			arguments->key = optarg;
			break;
		case 's':
			arguments->keys = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'h':
			arguments->port = (uint16_t)strtoul(optarg, NULL, 10);
			break;
		case 'x':
			arguments->path = optarg;
			break;
		case 'l':
			arguments->payload_len = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			arguments->pace.events_per_second = strtod(optarg, NULL);
			break;
		case 't':
			arguments->pace.total = strtoull(optarg, NULL, 10);
			break;
		default:
			exit(2);
		}
	}
	if (!arguments->keys)
		errx(2, "there is at least one key");
	if (arguments->payload_len > MAX_PAYLOAD)
		errx(2, "a payload has at most %d bytes", MAX_PAYLOAD);
}

static struct sink *open_sink(const struct arguments *arguments)
{
	if (arguments->brokers && arguments->topic)
		return sink_open_kafka(arguments->brokers, arguments->topic, arguments->key,
				       arguments->keys);
	if (arguments->port && arguments->path)
		return sink_open_http(arguments->port, arguments->path);
	errx(2, "usage: see the head of publisher.c");
}

int main(int argc, char **argv)
{
	static char payload[MAX_PAYLOAD + 1];
	struct arguments arguments = {.payload_len = 200, .keys = 1};
	uint64_t number = 0;
	struct sink *sink;
	uint32_t due;

	signal(SIGPIPE, SIG_IGN);
	parse(argc, argv, &arguments);
	sink = open_sink(&arguments);
	while ((due = pace_wait(&arguments.pace, MAX_DUE))) {
		for (uint32_t i = 0; i < due; i++) {
			payload_write(payload, arguments.payload_len, number++ / arguments.keys);
			sink->publish(sink, payload, arguments.payload_len);
		}
	}
	sink->close(sink);
	printf("{\"published\": %llu}\n", (unsigned long long)number);
	return 0;
}
