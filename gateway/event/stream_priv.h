/*
 * stream_priv: what the files of stream share.
 */
#ifndef SLUICE_EVENT_STREAM_PRIV_H
#define SLUICE_EVENT_STREAM_PRIV_H

#include "base/config.h"
#include "event/stream.h"

/* The settings of one parameter, into a struct stream_param. */
extern const struct config_table stream_param_table;

/* The settings of "interval", into a struct stream. */
extern const struct config_table stream_interval_table;

const struct stream_param *stream_param_find(const struct stream *stream, struct slice name);
/* "path", "query", "header". */
const char *stream_param_place(const struct stream_param *param);
/* Integers and numbers. */
bool stream_param_is_numeric(const struct stream_param *param);
/* Numbers are equal as numbers. */
bool stream_param_equal(const json_t *a, const json_t *b);
/* Does the value fit the declaration? What would: "an integer from 1 to 3". */
bool stream_param_accepts(const struct stream_param *param, const json_t *value);
void stream_param_append_wanted(const struct stream_param *param, struct buffer *out);
/* The position among the path's parameters; their count where it is none of them. */
size_t stream_param_index_in_path(const struct stream *stream, const char *name);
/* After "params": the parameters of the path that are not declared are strings; those that are,
 * stand in it. */
void stream_param_complete(const struct config_at *at, void *stream);

/* Readers of stream_table's rows that hold patterns, variables and the mapping. */
void stream_pattern_read_access(const struct config_at *at, const json_t *value, void *stream);
void stream_pattern_read_filter(const struct config_at *at, const json_t *value, void *stream);
void stream_pattern_read_event(const struct config_at *at, const json_t *value, void *stream);
void stream_pattern_read_welcome(const struct config_at *at, const json_t *value, void *stream);

/* stream_life.c: "welcome", after "params"; "heartbeat", "max_age" and "idle_timeout". */
extern const struct config_table stream_welcome_table;
extern const char stream_heartbeat_wanted[];
extern const char stream_heartbeat_schema[];
void stream_life_read_heartbeat(const struct config_at *at, const json_t *value, void *stream);
/* After both. */
void stream_life_check_idle_timeout(const struct config_at *at, void *stream);
void stream_life_fini(struct stream *stream);

/* stream_record.c: what becomes of records that are no plain events. */
void stream_record_read_tombstones(const struct config_at *at, const json_t *value, void *stream);
extern const char stream_record_tombstones_wanted[], stream_record_tombstones_schema[];
/* By enum stream_fault. */
extern const char *const stream_record_fault_values[];

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
