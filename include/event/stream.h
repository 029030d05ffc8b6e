/*
 * stream: an SSE endpoint as the configuration declares it, compiled.
 *
 * Immutable once read; any thread may use it. event/stream.c holds the table of its settings
 * (base/config.h), from which the reference documentation and the JSON Schema come.
 */
#ifndef SLUICE_EVENT_STREAM_H
#define SLUICE_EVENT_STREAM_H

#include <jansson.h>

#include "base/config.h"
#include "base/error.h"
#include "event/mapping.h"
#include "event/path_template.h"
#include "event/pattern.h"
#include "event/record.h"

enum stream_param_in { STREAM_PARAM_PATH, STREAM_PARAM_QUERY, STREAM_PARAM_HEADER };

struct stream_param {
	char *name;
	enum stream_param_in in;
	enum pattern_variable_type type; /* never PATTERN_ANY */
	bool required;                   /* path parameters always are */
	json_t *default_value;           /* NULL: none */
	json_t *enum_values;             /* array, NULL: any */
	bool ordered;                    /* enum_values go from the least to the most */
	bool has_minimum, has_maximum;
	double minimum, maximum;
	char *description; /* may be NULL */
};

enum stream_access { STREAM_CLOSED, STREAM_PUBLIC, STREAM_PATTERN };

/* Of {"last": N}. */
enum { STREAM_START_LAST_MAX = 1000000 };

enum stream_start {
	STREAM_START_LATEST,
	STREAM_START_EARLIEST,
	STREAM_START_LAST,
	STREAM_START_CURRENT, /* the newest event of each key first */
};

/* Where a subscriber goes on when what it missed can't be had. */
enum stream_on_gap { STREAM_GAP_EARLIEST, STREAM_GAP_LATEST, STREAM_GAP_CLOSE };

/* What becomes of a tombstone that passes the filter. */
enum stream_tombstones {
	STREAM_TOMBSTONES_EVENT, /* an event as of any record, with empty data */
	STREAM_TOMBSTONES_SKIP,
	STREAM_TOMBSTONES_NAMED, /* an event of a type of its own, with the key */
};

/* What becomes of a record that a subscriber would get, if it could be sent. */
enum stream_fault {
	STREAM_FAULT_SKIP,
	STREAM_FAULT_ERROR, /* an `error` event that says which one it is */
};

/* What stands beside the id in a silent stream's heartbeat: nothing, or the server's id and the
 * time. */
enum stream_heartbeat {
	STREAM_HEARTBEAT_ID,
	STREAM_HEARTBEAT_COMMENT,
	STREAM_HEARTBEAT_EVENT,
};

struct json_template;

/* At most one event in so long; all zero: every event. */
struct stream_interval {
	uint32_t every_ms;                /* for all; or 0, and */
	const struct stream_param *param; /* in whose value the request says it */
	uint32_t min_ms, max_ms;          /* what it may say */
	bool per_key;                     /* one event of each record key */
};

struct stream {
	char *name;
	char *description; /* may be NULL */
	struct path_template *path;
	char **topics; /* literal names; where topic_from_path, empty */
	size_t topic_count;
	char *topic_param;   /* "topics": ["{path.topic}"]: the path parameter's name; else NULL */
	char **allow_topics; /* with topic_param: literal names, or prefixes that end with '*' */
	size_t allow_topic_count;
	struct stream_param *params;
	size_t param_count;
	enum stream_access access;
	struct pattern *access_pattern; /* for STREAM_PATTERN: over {claims, path, query, header} */
	/* Over {topic, partition, key, headers, value}; NULL: everything passes. */
	struct pattern *filter;
	uint64_t filter_hash; /* of the filter's source; the same in every process; 0: none */
	struct mapping *mapping;
	unsigned parts; /* enum document_part bits that filter and mapping need together */
	enum stream_start start;
	uint32_t start_last; /* for STREAM_START_LAST, where the configuration names it */
	/* Likewise, where a request does: an integer, of params. NULL: none. */
	const struct stream_param *start_last_param;
	/* The stream ends when it has given what there is, where a request says false: a boolean,
	 * of params. NULL: none. */
	const struct stream_param *follow_param;
	/* Over the same as `filter`: the stream ends with the first event that matches; NULL: none
	 * does. */
	struct pattern *end_when;
	enum stream_on_gap on_gap;
	enum stream_tombstones tombstones;
	char *tombstone_event; /* of STREAM_TOMBSTONES_NAMED; else NULL */
	enum stream_fault too_large, undecodable;
	char *welcome_event;           /* its type */
	struct json_template *welcome; /* its data; NULL: there is no such event */
	uint32_t heartbeat_ms;
	enum stream_heartbeat heartbeat_as;
	char *heartbeat_event;    /* for STREAM_HEARTBEAT_EVENT */
	uint32_t max_age_ms;      /* a stream ends when it is so old; 0: never */
	uint32_t idle_timeout_ms; /* or has had no event for so long; 0: never */
	struct stream_interval interval;
	uint64_t window_bytes;      /* budget of a feed's window */
	uint32_t max_event_bytes;   /* records with a larger value are `too_large` */
	bool user_filters;          /* rows of user_filter narrow what a subject receives */
	bool client_filters;        /* a request may narrow its stream: ?filter=, or a body */
	bool keeps_records;         /* subscribers may have checks (feed/checks.h): for those
				       filters, as `filter` is inexact, or for `end_when` */
	uint64_t journal_retain_ms; /* how long the journal keeps its events; 0: it has none */
};

/* The settings of one stream, into a struct stream whose name is set: one element of the
 * configuration's "streams". */
extern const struct config_table stream_table;

/* Whether a subscriber may ask for the topic: a legal name that the stream names or its allow-list
 * has. "*" and "_*" have no topics that begin with "__", Kafka's own. Thread: any. */
bool stream_allows_topic(const struct stream *stream, struct slice topic);

/*
 * The request's variables for pattern_request_keys(), typed and checked. The caller
 * percent-decodes: `path_values` stand in the template's order; `query` and `header` are asked by
 * name and answer a slice with base NULL where absent. Claims are added by the caller under
 * "claims". For parameters with an order "at-least" has the values from the request's on. On
 * success *variables is a new reference. On ERROR_INVALID `reason` (256 bytes) names the parameter,
 * what it was, and what would be right.
 */
struct stream_request {
	const struct slice *path_values;
	struct slice (*query)(void *context, const char *name);
	struct slice (*header)(void *context, const char *name);
	void *context;
};
MUST_CHECK int stream_read_params(const struct stream *stream, const struct stream_request *request,
				  json_t **variables, char reason[256]);

/*
 * Appends the frame of the stream's welcome event, without an id; nothing where it has none.
 * `variables` are those of stream_read_params(), with the claims. Errors: ERROR_LIMIT: what the
 * request has makes it too large. Thread: any.
 */
enum { STREAM_WELCOME_MAX_BYTES = 32 * 1024 };
MUST_CHECK int stream_append_welcome(const struct stream *stream, const json_t *variables,
				     struct buffer *out);

/*
 * The interval that holds for a request with these variables; 0: none. On ERROR_INVALID `reason`
 * names the parameter, what it was, and what would be right.
 */
MUST_CHECK int stream_read_interval(const struct stream *stream, const json_t *variables,
				    uint32_t *interval_ms, char reason[256]);

/* The request's value of a parameter, borrowed; NULL: it has none. `variables` are
 * stream_read_params()'. */
const json_t *stream_param_value(const struct stream_param *param, const json_t *variables);

void stream_free(struct stream *stream);

#endif
