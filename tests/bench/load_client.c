/*
 * load_client: N subscribers that count what they get, the same for every server.
 *
 *     load_client --port P --path /x [--subscribers N] [--http2 --streams S] [--sources K]
 *                 [--at-once N] [--credit-fd FD | --events E] [--warm-ms MS] [--run-ms MS]
 *
 * Up to `at-once` connections wait for an answer. When all have been answered it prints {"ready":
 * N} and waits for a byte on standard input (its end: leaves at once). Then, with --credit-fd, it
 * writes a byte to FD for a first event and for the next one whenever a first subscriber has the
 * last, and measures for `run-ms` after `warm-ms`. With --events it measures from the first
 * delivery until all subscribers have E events, or `run-ms` are over. It prints one line of JSON.
 */
#include "bench/load_client.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/pace.h"

enum { CONNECT_SECONDS = 60, READ_BYTES = 256 * 1024, MAX_EVENTS = 64, WAIT_MS = 10 };

struct run {
	int credit_fd;
	uint64_t events;
	uint64_t warm_us, run_us;
};

/* A point in time of a run. */
struct mark {
	uint64_t at_us, deliveries, bytes, reads, complete;
};

void load_write_path(const struct load *load, uint32_t number, char *text)
{
	const char *place = strchr(load->path, '%');

	if (place)
		snprintf(text, LOAD_PATH_BYTES, "%.*s%u%s", (int)(place - load->path), load->path,
			 number, place + 1);
	else
		snprintf(text, LOAD_PATH_BYTES, "%s", load->path);
}

void load_send(const struct link *link, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len) {
		ssize_t taken = send(link->fd, at, len, MSG_NOSIGNAL);
		struct pollfd room = {link->fd, POLLOUT, 0};

		if (taken < 0 && errno == EAGAIN) {
			poll(&room, 1, -1);
			continue;
		}
		if (taken < 0)
			err(1, "send");
		at += taken;
		len -= (size_t)taken;
	}
}

static void send_request(struct link *link)
{
	char path[LOAD_PATH_BYTES], request[LOAD_PATH_BYTES + 128];
	int len;

	load_write_path(link->load, link->first, path);
	len = snprintf(request, sizeof(request),
		       "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n",
		       path);
	load_send(link, request, (size_t)len);
}

/* Without a port of its own yet: the kernel finds one that is free towards this server. */
static void bind_source(int fd, uint32_t number)
{
	struct sockaddr_in source = {.sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK + number)};
	int on = 1;

	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&source, sizeof(source)))
		err(1, "bind");
}

static void open_link(struct load *load)
{
	struct sockaddr_in server = {.sin_family = AF_INET,
				     .sin_port = htons(load->port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct link *link = &load->links[load->opened];
	struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = link};

	link->load = load;
	link->first = load->opened * load->streams;
	link->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (link->fd < 0)
		err(1, "socket");
	if (load->sources > 1)
		bind_source(link->fd, load->opened % load->sources);
	/* Loopback: this returns at once. */
	if (connect(link->fd, (struct sockaddr *)&server, sizeof(server)))
		err(1, "connect");
	if (load->http2)
		load_http2_open(link);
	else
		send_request(link);
	epoll_ctl(load->epoll, EPOLL_CTL_ADD, link->fd, &wanted);
	load->opened++;
}

static void take_http1(struct link *link, const char *bytes, size_t len)
{
	static const char OK[] = "HTTP/1.1 200";

	if (!link->ready) {
		if (len < sizeof(OK) - 1 || memcmp(bytes, OK, sizeof(OK) - 1) != 0)
			errx(1, "the answer is %.*s", len > 40 ? 40 : (int)len, bytes);
		link->ready = 1;
		link->load->ready++;
	}
	event_counter_feed(&link->load->counters[link->first], &link->load->totals, bytes, len);
}

static void read_link(struct link *link)
{
	static char bytes[READ_BYTES];
	struct load *load = link->load;
	ssize_t len = recv(link->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (len < 0 && errno == EAGAIN)
		return;
	if (len <= 0) {
		epoll_ctl(load->epoll, EPOLL_CTL_DEL, link->fd, NULL);
		load->ended++;
		return;
	}
	load->bytes += (size_t)len;
	load->reads++;
	if (load->http2)
		load_http2_feed(link, bytes, (size_t)len);
	else
		take_http1(link, bytes, (size_t)len);
}

static void turn(struct load *load, int wait_ms)
{
	struct epoll_event events[MAX_EVENTS];
	int count = epoll_wait(load->epoll, events, MAX_EVENTS, wait_ms);

	for (int i = 0; i < count; i++)
		read_link(events[i].data.ptr);
}

static void connect_all(struct load *load)
{
	uint64_t deadline = clock_monotonic_us() + CONNECT_SECONDS * 1000000ull;

	while (load->ready < load->totals.subscribers) {
		while (load->opened < load->links_wanted &&
		       load->opened * load->streams < load->ready + load->at_once * load->streams)
			open_link(load);
		turn(load, WAIT_MS);
		if (load->ended)
			errx(1, "the server closed %u of %u subscribers", load->ended,
			     load->opened);
		if (clock_monotonic_us() > deadline)
			errx(1, "%u of %u subscribers were answered", load->ready,
			     load->totals.subscribers);
	}
}

/* For the event after the newest that has come, once. */
static void give_credit(const struct load *load, const struct run *run, uint64_t *paid)
{
	if (load->totals.begun >= *paid && write(run->credit_fd, "", 1) == 1)
		*paid = load->totals.begun + 1;
}

static struct mark mark_now(const struct load *load)
{
	return (struct mark){clock_monotonic_us(), load->totals.deliveries, load->bytes,
			     load->reads, load->totals.complete};
}

static void print_result(const struct load *load, const struct mark *from, const struct mark *to)
{
	printf("{\"subscribers\": %u, \"seconds\": %.6f, \"deliveries\": %llu, \"bytes\": %llu, "
	       "\"reads\": %llu, \"complete\": %llu, \"total\": %llu, \"wrong\": %llu, "
	       "\"ended\": %u}\n",
	       load->totals.subscribers, (double)(to->at_us - from->at_us) / 1e6,
	       (unsigned long long)(to->deliveries - from->deliveries),
	       (unsigned long long)(to->bytes - from->bytes),
	       (unsigned long long)(to->reads - from->reads),
	       (unsigned long long)(to->complete - from->complete),
	       (unsigned long long)load->totals.deliveries, (unsigned long long)load->totals.wrong,
	       load->ended);
}

static void run_until(struct load *load, const struct run *run, uint64_t deadline_us,
		      uint64_t *paid)
{
	while (clock_monotonic_us() < deadline_us) {
		give_credit(load, run, paid);
		turn(load, WAIT_MS);
	}
}

static void run_credits(struct load *load, const struct run *run)
{
	uint64_t started = clock_monotonic_us(), paid = 0;
	struct mark from, to;

	run_until(load, run, started + run->warm_us, &paid);
	from = mark_now(load);
	run_until(load, run, from.at_us + run->run_us, &paid);
	to = mark_now(load);
	print_result(load, &from, &to);
}

static void run_events(struct load *load, const struct run *run)
{
	uint64_t deadline = clock_monotonic_us() + run->run_us;
	struct mark from, to;

	while (!load->totals.deliveries && clock_monotonic_us() < deadline)
		turn(load, WAIT_MS);
	from = mark_now(load);
	from.deliveries = from.bytes = from.reads = from.complete = 0;
	while (load->totals.complete < run->events && clock_monotonic_us() < deadline)
		turn(load, WAIT_MS);
	to = mark_now(load);
	print_result(load, &from, &to);
}

/* False: nothing is to be measured. While it waits, heartbeats are read. */
static bool wait_for_go(struct load *load)
{
	struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {load->epoll, POLLIN, 0}};
	char go;

	for (;;) {
		poll(fds, 2, -1);
		if (fds[0].revents)
			return read(STDIN_FILENO, &go, 1) == 1;
		turn(load, 0);
	}
}

static uint64_t number_of(const char *text)
{
	return strtoull(text, NULL, 10);
}

static void parse(int argc, char **argv, struct load *load, struct run *run)
{
	static const struct option options[] = {{"port", required_argument, NULL, 'p'},
						{"path", required_argument, NULL, 'x'},
						{"subscribers", required_argument, NULL, 'n'},
						{"http2", no_argument, NULL, '2'},
						{"streams", required_argument, NULL, 's'},
						{"sources", required_argument, NULL, 'k'},
						{"at-once", required_argument, NULL, 'o'},
						{"credit-fd", required_argument, NULL, 'c'},
						{"events", required_argument, NULL, 'e'},
						{"warm-ms", required_argument, NULL, 'a'},
						{"run-ms", required_argument, NULL, 'r'},
						{NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'p':
			load->port = (uint16_t)number_of(optarg);
			break;
		case 'x':
			load->path = optarg;
			break;
		case 'n':
			load->totals.subscribers = (uint32_t)number_of(optarg);
			break;
		case '2':
			load->http2 = true;
			break;
		case 's':
			load->streams = (uint32_t)number_of(optarg);
			break;
		case 'k':
			load->sources = (uint32_t)number_of(optarg);
			break;
		case 'o':
			load->at_once = (uint32_t)number_of(optarg);
			break;
		case 'c':
			run->credit_fd = (int)number_of(optarg);
			break;
		case 'e':
			run->events = number_of(optarg);
			break;
		case 'a':
			run->warm_us = number_of(optarg) * 1000;
			break;
		case 'r':
			run->run_us = number_of(optarg) * 1000;
			break;
		default:
			exit(2);
		}
	}
}

static void check(struct load *load)
{
	if (!load->port || !load->path || !load->totals.subscribers || !load->streams ||
	    !load->at_once || (!load->http2 && load->streams != 1) ||
	    load->totals.subscribers % load->streams)
		errx(2, "usage: see the head of load_client.c");
	load->links_wanted = load->totals.subscribers / load->streams;
	load->links = calloc(load->links_wanted, sizeof(load->links[0]));
	load->counters = calloc(load->totals.subscribers, sizeof(load->counters[0]));
	load->epoll = epoll_create1(EPOLL_CLOEXEC);
}

int main(int argc, char **argv)
{
	static struct load load = {
	    .streams = 1, .sources = 1, .at_once = 32, .totals.subscribers = 1};
	struct run run = {.credit_fd = -1, .warm_us = 400000, .run_us = 2000000};

	signal(SIGPIPE, SIG_IGN);
	parse(argc, argv, &load, &run);
	check(&load);
	pace_raise_file_limit();
	connect_all(&load);
	printf("{\"ready\": %u}\n", load.ready);
	fflush(stdout);
	if (!wait_for_go(&load))
		return 0;
	if (run.credit_fd >= 0)
		run_credits(&load, &run);
	else
		run_events(&load, &run);
	return 0;
}
