/*
 * log: one JSON object a line on standard error.
 *
 *     log_event(LOG_WARN, "ingest", "the topic does not exist", LOG_STR("topic", name),
 * LOG_INT("tries", n));
 *     {"time":"2026-01-01T00:00:00.000Z","level":"warn","module":"ingest","message":"…","topic":"a","tries":3}
 *
 * Tokens and other secrets are never handed to it. A text is cut after 2048 bytes. Thread: any.
 */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
	const char *name;
	enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_END } type;
	struct slice text;
	int64_t number;
};

#define LOG_STR(field, string)  ((struct log_field){(field), LOG_FIELD_STR, slice_of(string), 0})
#define LOG_SLICE(field, slice) ((struct log_field){(field), LOG_FIELD_STR, (slice), 0})
#define LOG_INT(field, integer)                                                                    \
	((struct log_field){(field), LOG_FIELD_INT, {NULL, 0}, (int64_t)(integer)})

#define log_event(level, module, ...) LOG_EVENT_((level), (module), __VA_ARGS__, LOG_END_)
#define LOG_END_                      ((struct log_field){NULL, LOG_FIELD_END, {NULL, 0}, 0})
#define LOG_EVENT_(level, module, message, ...)                                                    \
	do {                                                                                       \
		if (log_enabled(level))                                                            \
			log_write((level), (module), (message),                                    \
				  (struct log_field[]){__VA_ARGS__});                              \
	} while (0)

void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
/* `fields` ends with a LOG_FIELD_END. Use log_event(). */
void log_write(enum log_level level, const char *module, const char *message,
	       const struct log_field *fields);

/*
 * A limit for lines that a peer or a bad record can cause: at most one line per `interval_ms`;
 * `suppressed` says how many were left out since the last. Zero-initialise, static or in the object
 * that it watches.
 */
struct log_limit {
	_Atomic uint64_t next_ms;
	_Atomic uint64_t suppressed;
};
bool log_limit_pass(struct log_limit *limit, uint64_t interval_ms, uint64_t *suppressed);

#endif
