/*
 * load_client: many subscribers in one thread, one epoll. What load_client.c and the two protocols
 * share.
 */
#ifndef SLUICE_TESTS_BENCH_LOAD_CLIENT_H
#define SLUICE_TESTS_BENCH_LOAD_CLIENT_H

#include <nghttp2/nghttp2.h>
#include <stdbool.h>

#include "bench/event_counter.h"

struct load {
	const char *path; /* "%" stands for the subscriber's number */
	uint16_t port;
	uint32_t links_wanted;
	uint32_t streams; /* of a link; HTTP/1.1: 1 */
	uint32_t sources; /* addresses 127.0.0.1 and following to connect from */
	uint32_t at_once; /* links that wait for an answer, at the most */
	bool http2;
	int epoll;
	struct link *links;
	struct event_counter *counters;
	uint32_t opened; /* links */
	uint32_t ready;  /* subscribers whose response has begun */
	uint32_t ended;  /* links that the server closed, streams that it ended */
	uint64_t bytes, reads;
	struct event_totals totals;
};

struct link {
	struct load *load;
	int fd;
	uint32_t first; /* its first subscriber's number */
	uint32_t ready;
	nghttp2_session *session; /* HTTP/2 */
};

/* The path of a subscriber. `text` holds LOAD_PATH_BYTES. */
enum { LOAD_PATH_BYTES = 256 };
void load_write_path(const struct load *load, uint32_t number, char *text);
/* Writes all of it; waits for room. */
void load_send(const struct link *link, const void *bytes, size_t len);

/* Connected: sends the requests. */
void load_http2_open(struct link *link);
void load_http2_feed(struct link *link, const char *bytes, size_t len);

#endif
