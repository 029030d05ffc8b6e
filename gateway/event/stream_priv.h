/*
 * stream_priv: what the files of stream share.
 */
#ifndef SLUICE_EVENT_STREAM_PRIV_H
#define SLUICE_EVENT_STREAM_PRIV_H

#include "base/config.h"
#include "event/stream.h"

/* The settings of one parameter, into a struct stream_param. */
extern const struct config_table stream_param_table;

const struct stream_param *stream_param_find(const struct stream *stream, struct slice name);
/* "path", "query", "header". */
const char *stream_param_place(const struct stream_param *param);
/* After "params": the parameters of the path that are not declared are strings; those that are,
 * stand in it. */
void stream_param_complete(const struct config_at *at, void *stream);

/* Readers of stream_table's rows that hold patterns and the mapping. */
void stream_pattern_read_access(const struct config_at *at, const json_t *value, void *stream);
void stream_pattern_read_filter(const struct config_at *at, const json_t *value, void *stream);
void stream_pattern_read_event(const struct config_at *at, const json_t *value, void *stream);

/* For rows of their own over the records: NULL, and it is refused where it is wrong. */
struct pattern *stream_pattern_compile(const struct config_at *at, const json_t *value,
				       const struct stream *stream);
/* The parameter that a value stands for as a whole, "{query.x}"; NULL: it is none, and refused. */
const struct stream_param *stream_pattern_read_param(const struct config_at *at,
						     const json_t *value,
						     const struct stream *stream);

/* Readers of "start", after "end_when", of "end_when" and of "follow". */
void stream_start_read(const struct config_at *at, const json_t *value, void *stream);
#define STREAM_START_WANTED                                                                        \
	"\"latest\", \"earliest\", \"current\" or {\"last\": N}, N from 1 to 1000000 events or "   \
	"\"{query.NAME}\""
void stream_end_read_when(const struct config_at *at, const json_t *value, void *stream);
void stream_end_read_follow(const struct config_at *at, const json_t *value, void *stream);
#define STREAM_END_FOLLOW_WANTED "a boolean parameter, \"{query.NAME}\""

/* After "topics" and "allow_topics". */
void stream_topics_check(const struct config_at *at, void *stream);
void stream_topics_check_allowed(const struct config_at *at, void *stream);

#endif
