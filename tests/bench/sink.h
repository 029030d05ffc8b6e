/*
 * sink: where the publisher's events go. Whatever fails ends the program.
 */
#ifndef SLUICE_TESTS_BENCH_SINK_H
#define SLUICE_TESTS_BENCH_SINK_H

#include <stdint.h>

struct sink {
	void (*publish)(struct sink *sink, const char *payload, uint32_t len);
	/* Waits until all is taken, and frees. */
	void (*close)(struct sink *sink);
};

/* `key` NULL: none. One key: partition 0, which keeps the order. More of them take turns, with
 * their number for the "%" in `key`, in partitions by the key. */
struct sink *sink_open_kafka(const char *brokers, const char *topic, const char *key,
			     uint32_t keys);
/* POST on one connection of 127.0.0.1 that is kept, up to 64 ahead of the answers: a request each
 * would measure the publisher. */
struct sink *sink_open_http(uint16_t port, const char *path);

#endif
