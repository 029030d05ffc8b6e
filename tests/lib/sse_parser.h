/*
 * sse_parser: an event stream as the HTML standard has it read (WHATWG HTML, 9.2.5 and 9.2.6), byte
 * by byte.
 *
 * Not decoded: bytes stay as they came, so that a test sees what is not UTF-8. Zero-initialise it,
 * sse_parser_fini() at the end; for the next connection sse_parser_restart(). Thread: one at a
 * time.
 */
#ifndef SLUICE_TESTS_LIB_SSE_PARSER_H
#define SLUICE_TESTS_LIB_SSE_PARSER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

/* Slices are borrowed for the call. */
struct sse_event {
	struct slice type; /* "message" where the stream names none */
	struct slice data;
	struct slice last_event_id;
};

struct sse_parser {
	/* Each may be NULL. */
	void (*on_event)(void *context, const struct sse_event *event);
	/* A block moved the last event id, with or without an event. Called before on_event. */
	void (*on_last_event_id)(void *context, struct slice id);
	void (*on_retry)(void *context, uint64_t ms);
	void (*on_comment)(void *context, struct slice text);
	void *context;

	struct buffer last_event_id; /* of the last complete block; survives a restart */
	struct buffer id;            /* the standard's "last event ID buffer" */
	struct buffer type;
	struct buffer data;
	struct buffer line;
	unsigned bom_bytes; /* of a byte order mark at the beginning: seen so far */
	bool begun;
	bool after_cr;
};

void sse_parser_feed(struct sse_parser *parser, struct slice bytes);
/* The connection ended: an incomplete block is thrown away, the last event id stays. */
void sse_parser_restart(struct sse_parser *parser);
/* What a client that was given an id elsewhere begins with. */
void sse_parser_set_last_event_id(struct sse_parser *parser, struct slice id);
void sse_parser_fini(struct sse_parser *parser);

#endif
