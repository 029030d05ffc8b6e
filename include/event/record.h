/*
 * record: one Kafka record, borrowed for the length of a call.
 */
#ifndef SLUICE_EVENT_RECORD_H
#define SLUICE_EVENT_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct route_keys;

struct record_header {
	struct slice name;
	struct slice value;
};

struct record {
	struct slice topic;
	int32_t partition;
	int64_t offset;
	int64_t timestamp_ms; /* -1: none */
	uint64_t arrived_us;  /* clock_monotonic_us() when it came out of librdkafka */
	bool has_key;         /* false: the key is null */
	bool has_value;       /* false: a tombstone */
	struct slice key;
	struct slice value;
	const struct record_header *headers;
	size_t header_count;
	bool left_out;                   /* it has a value, which was too large and is not here */
	const struct route_keys *routes; /* of one whose value is left out, where the journal has
					    kept it: its route keys; else NULL */
};

#endif
