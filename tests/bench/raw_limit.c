/*
 * raw_limit: what this machine can do: writes the same bytes to the same number of sockets, and
 * does nothing else.
 *
 *     raw_limit --port P --subscribers N --frame FILE [--rate R --total T]
 *
 * FILE holds one frame as the gateway sends it. With credits (bench/pace.h) each event is one
 * write(2) to every socket; at a rate, what is due since the last round is.
 */
#include <arpa/inet.h>
#include <err.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/pace.h"

enum { MAX_FRAME = 16384, MAX_BATCH = 200, BACKLOG = 4096 };

static const char HEAD[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
			   "Connection: close\r\n\r\n";

struct frame {
	char bytes[MAX_BATCH][MAX_FRAME];
};

static int listen_on(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, BACKLOG))
		err(1, "port %u", port);
	return fd;
}

static int accept_subscriber(int listener)
{
	char head[4096];
	int fd = accept(listener, NULL, NULL), on = 1;

	/* As servers do: a small write is a segment at once. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (fd < 0 || read(fd, head, sizeof(head)) <= 0 ||
	    write(fd, HEAD, sizeof(HEAD) - 1) != sizeof(HEAD) - 1)
		err(1, "accepting a subscriber");
	return fd;
}

static size_t read_frame(const char *path, char *frame)
{
	FILE *file = fopen(path, "re");
	size_t len = file ? fread(frame, 1, MAX_FRAME - 1, file) : 0;

	if (!len || !strstr(frame, PAYLOAD_NUMBER_FIELD))
		errx(1, "%s is no frame of the benchmark", path);
	fclose(file);
	return len;
}

static void write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t taken = write(fd, bytes, len);

		/* The client has seen enough. */
		if (taken <= 0)
			exit(EXIT_SUCCESS);
		bytes += taken;
		len -= (size_t)taken;
	}
}

/* Repeats the frame, and finds where the number of the first copy is. */
static char *make_batch(const char *path, char *batch, size_t *len, size_t *number_at)
{
	static char frame[MAX_FRAME];

	*len = read_frame(path, frame);
	*number_at = (size_t)(strstr(frame, PAYLOAD_NUMBER_FIELD) - frame) +
		     sizeof(PAYLOAD_NUMBER_FIELD) - 1;
	for (size_t i = 0; i < MAX_BATCH; i++)
		memcpy(batch + i * *len, frame, *len);
	return batch;
}

static void run(struct pace *pace, const int *sockets, uint32_t count, const char *path)
{
	static struct frame batch;
	uint32_t max = pace->events_per_second > 0 ? MAX_BATCH : 1, due;
	size_t len, number_at;
	uint64_t number = 0;

	make_batch(path, batch.bytes[0], &len, &number_at);
	while ((due = pace_wait(pace, max))) {
		for (uint32_t i = 0; i < due; i++)
			payload_set_number(batch.bytes[0] + i * len + number_at, number++);
		for (uint32_t i = 0; i < count; i++)
			write_all(sockets[i], batch.bytes[0], due * len);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
	    {"port", required_argument, NULL, 'p'},  {"subscribers", required_argument, NULL, 'n'},
	    {"frame", required_argument, NULL, 'f'}, {"rate", required_argument, NULL, 'r'},
	    {"total", required_argument, NULL, 't'}, {NULL, 0, NULL, 0}};
	struct pace pace = {0};
	const char *frame = NULL;
	uint16_t port = 0;
	uint32_t count = 0;
	int option, listener, *sockets;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'p':
			port = (uint16_t)strtoul(optarg, NULL, 10);
			break;
		case 'n':
			count = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'f':
			frame = optarg;
			break;
		case 'r':
			pace.events_per_second = strtod(optarg, NULL);
			break;
		case 't':
			pace.total = strtoull(optarg, NULL, 10);
			break;
		default:
			return 2;
		}
	}
	if (!port || !count || !frame)
		errx(2, "usage: see the head of raw_limit.c");
	signal(SIGPIPE, SIG_IGN);
	pace_raise_file_limit();
	listener = listen_on(port);
	puts("{\"listening\": true}");
	fflush(stdout);
	sockets = calloc(count, sizeof(sockets[0]));
	for (uint32_t i = 0; i < count; i++)
		sockets[i] = accept_subscriber(listener);
	run(&pace, sockets, count, frame);
	free(sockets);
	return 0;
}
