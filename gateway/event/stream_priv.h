/*
 * stream_priv: what the files of stream share. stream.c has the table of a stream's settings; the
 * others have what its rows need. Rows are read in the table's order: parameters are known to all
 * after "params".
 */
#ifndef SLUICE_EVENT_STREAM_PRIV_H
#define SLUICE_EVENT_STREAM_PRIV_H

#include "base/config.h"
#include "event/stream.h"

/* stream_param.c: parameters, as they are declared. */

/* The settings of one, into a struct stream_param. */
extern const struct config_table stream_param_table;
/* After "params": the parameters of the path that are not declared are strings; those that are,
 * stand in it. */
void stream_param_complete(const struct config_at *at, void *stream);
const struct stream_param *stream_param_find(const struct stream *stream, struct slice name);
/* The position among the path's parameters; their count where it is none of them. */
size_t stream_param_index_in_path(const struct stream *stream, const char *name);
/* "string", "integer", "number", "boolean". */
const char *stream_param_type_name(enum pattern_variable_type type);
/* "path", "query", "header". */
const char *stream_param_place(const struct stream_param *param);
/* Integers and numbers. */
bool stream_param_is_numeric(const struct stream_param *param);
/* Numbers are equal as numbers. */
bool stream_param_equal(const json_t *a, const json_t *b);
/* Does the value fit the declaration? What would: "an integer from 1 to 3". */
bool stream_param_accepts(const struct stream_param *param, const json_t *value);
void stream_param_append_wanted(const struct stream_param *param, struct buffer *out);

/* stream_topics.c: after "topics" and "allow_topics". */
void stream_topics_check(const struct config_at *at, void *stream);
void stream_topics_check_allowed(const struct config_at *at, void *stream);

/* stream_pattern.c: what holds patterns, variables and the mapping. */
void stream_pattern_read_access(const struct config_at *at, const json_t *value, void *stream);
void stream_pattern_read_filter(const struct config_at *at, const json_t *value, void *stream);
void stream_pattern_read_event(const struct config_at *at, const json_t *value, void *stream);
void stream_pattern_read_welcome(const struct config_at *at, const json_t *value, void *stream);
/* One more pattern over the records. NULL: refused. */
struct pattern *stream_pattern_compile(const struct config_at *at, const json_t *value,
				       const struct stream *stream);
/* Is the value a variable as a whole, "{query.x}", of whatever name? */
bool stream_pattern_is_variable(const json_t *value);
/* The parameter that it stands for, which is of this type; `what` is what the setting says of it
 * ("is true or false"). NULL: refused. */
const struct stream_param *stream_pattern_read_param(const struct config_at *at,
						     const json_t *value,
						     const struct stream *stream,
						     enum pattern_variable_type type,
						     const char *what);

/* stream_record.c: what becomes of records that are no plain events. */
void stream_record_read_tombstones(const struct config_at *at, const json_t *value, void *stream);
extern const char stream_record_tombstones_wanted[], stream_record_tombstones_schema[];
/* By enum stream_fault. */
extern const char *const stream_record_fault_values[];

/* stream_end.c: "end_when" and "follow". */
void stream_end_read_when(const struct config_at *at, const json_t *value, void *stream);
void stream_end_read_follow(const struct config_at *at, const json_t *value, void *stream);

/* stream_start.c: "start", after "end_when". */
void stream_start_read(const struct config_at *at, const json_t *value, void *stream);
extern const char stream_start_wanted[], stream_start_schema[];

/* stream_life.c: "welcome", "heartbeat", and "idle_timeout" after "max_age". */
extern const struct config_table stream_life_welcome_table;
void stream_life_read_heartbeat(const struct config_at *at, const json_t *value, void *stream);
extern const char stream_life_heartbeat_wanted[], stream_life_heartbeat_schema[];
void stream_life_check_idle_timeout(const struct config_at *at, void *stream);
void stream_life_fini(struct stream *stream);

/* stream_interval.c: the settings of "interval", into a struct stream. */
extern const struct config_table stream_interval_table;

#endif
