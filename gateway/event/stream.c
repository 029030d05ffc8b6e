#include "event/stream.h"

#include <stdlib.h>

#include "base/mem.h"
#include "event/stream_priv.h"

#define FIELD(member) CONFIG_FIELD(struct stream, member)
#define COUNT(member) CONFIG_COUNT(struct stream, member)

static const char *const on_gap_values[] = {
    [STREAM_GAP_EARLIEST] = "earliest",
    [STREAM_GAP_LATEST] = "latest",
    [STREAM_GAP_CLOSE] = "close",
    NULL,
};

static void read_path(const struct config_at *at, const json_t *value, void *target)
{
	struct stream *stream = target;
	char reason[256];

	if (!json_is_string(value))
		config_refuse_value(at, value, "a path such as \"/users/{user_id}/orders\"");
	else if (path_template_compile(json_string_value(value), &stream->path, reason))
		config_refuse(at, NULL, "is no path template: %s", reason);
}

static void check_max_event(const struct config_at *at, void *target)
{
	const struct stream *stream = target;

	if (stream->window_bytes && stream->max_event_bytes > stream->window_bytes)
		config_refuse(
		    at, NULL,
		    "is more than \"window\" holds: make it smaller, or \"window\" larger");
}

static void check_retain(const struct config_at *at, void *target)
{
	const struct stream *stream = target;

	if (stream->journal_retain_ms && stream->topic_param)
		config_refuse(at, NULL,
			      "is for streams that name their topics: this one takes them from the "
			      "path, so take \"journal\" out");
}

static void keep_records(const struct config_at *at, void *target)
{
	struct stream *stream = target;

	(void)at;
	stream->keeps_records = stream->user_filters || stream->client_filters ||
				stream->end_when ||
				(stream->filter && pattern_is_inexact(stream->filter));
}

static const struct setting journal_settings[] = {
    {.name = "retain",
     .type = SETTING_DURATION,
     FIELD(journal_retain_ms),
     .min = 60000,
     .max = INT64_C(366) * 86400000,
     .required = true,
     .doc = "How long an event is kept there, at the least."},
};

static const struct config_table journal_table = {
    CONFIG_ROWS(journal_settings),
    .bytes = sizeof(struct stream),
};

static const struct setting settings[] = {
    {.name = "description",
     .type = SETTING_STRING,
     FIELD(description),
     .doc = "What the stream is, for the page."},
    {.name = "path",
     .type = SETTING_CUSTOM,
     .required = true,
     .read = read_path,
     .wanted = "a path; a whole segment may be a parameter, {name}",
     .schema = "{\"type\": \"string\", \"pattern\": \"^/|[$][{]\"}",
     .doc = "The path template, such as /users/{user_id}/orders."},
    {.name = "params",
     .type = SETTING_MAP,
     FIELD(params),
     COUNT(param_count),
     .table = &stream_param_table,
     .check = stream_param_complete,
     .doc = "The request's parameters by name; those of the path are strings where not declared."},
    {.name = "topics",
     .type = SETTING_STRINGS,
     FIELD(topics),
     COUNT(topic_count),
     .required = true,
     .min = 1,
     .check = stream_topics_check,
     .doc = "The Kafka topics; or the one entry \"{path.NAME}\": the topic that the path names."},
    {.name = "allow_topics",
     .type = SETTING_STRINGS,
     FIELD(allow_topics),
     COUNT(allow_topic_count),
     .check = stream_topics_check_allowed,
     .doc = "With \"{path.NAME}\": the topics that may be asked for, as names or prefixes that end "
	    "with *."},
    {.name = "access",
     .type = SETTING_CUSTOM,
     .read = stream_pattern_read_access,
     .wanted = "\"public\", or a pattern over claims, path, query and header",
     .schema = "{\"anyOf\": [{\"const\": \"public\"}, {\"$ref\": \"#/$defs/pattern\"},"
	       " {\"$ref\": \"#/$defs/environment\"}]}",
     .doc = "Who may subscribe; without it nobody may."},
    {.name = "filter",
     .type = SETTING_CUSTOM,
     .read = stream_pattern_read_filter,
     .wanted = "a pattern over topic, partition, key, headers and value",
     .schema = "{\"$ref\": \"#/$defs/pattern\"}",
     .doc = "Which records a subscriber gets; without it all of them."},
    {.name = "event",
     .type = SETTING_CUSTOM,
     .read = stream_pattern_read_event,
     .wanted = "an object of event, data, id, retry and envelope",
     .schema = "{\"type\": \"object\", \"additionalProperties\": false, \"properties\": {"
	       "\"event\": {\"type\": \"string\"}, \"data\": {\"type\": \"string\"},"
	       " \"id\": {\"type\": \"string\"}, \"retry\": {\"anyOf\": [{\"type\": \"integer\","
	       " \"minimum\": 0, \"maximum\": 2147483647}, {\"type\": \"string\"}]},"
	       " \"envelope\": {\"enum\": [\"none\", \"record\", \"cloudevents\"]}}}",
     .doc =
	 "The SSE fields, as constants or as JSON pointers into the record, and what is put around "
	 "the data; without it the value is the data."},
    {.name = "tombstones",
     .type = SETTING_CUSTOM,
     .fallback = "\"event\"",
     .read = stream_record_read_tombstones,
     .wanted = stream_record_tombstones_wanted,
     .schema = stream_record_tombstones_schema,
     .doc = "What a record without a value is: an event with empty data, nothing, or an event of "
	    "its own type with the key."},
    {.name = "end_when",
     .type = SETTING_CUSTOM,
     .read = stream_end_read_when,
     .wanted = "a pattern over topic, partition, key, headers and value",
     .schema = "{\"$ref\": \"#/$defs/pattern\"}",
     .doc = "With which event of its own a subscriber's stream ends; without it with none."},
    {.name = "start",
     .type = SETTING_CUSTOM,
     .read = stream_start_read,
     .wanted = stream_start_wanted,
     .schema = stream_start_schema,
     .doc = "Where a subscriber without a last event id begins; without it at the latest, with "
	    "end_when at {\"last\": 1}."},
    {.name = "follow",
     .type = SETTING_CUSTOM,
     .read = stream_end_read_follow,
     .wanted = "a boolean parameter, \"{query.NAME}\"",
     .schema = "{\"$ref\": \"#/$defs/variable\"}",
     .doc = "The boolean parameter, {query.NAME}, with which a request says whether the stream "
	    "goes on after what there is; without it always."},
    {.name = "on_gap",
     .type = SETTING_ENUM,
     FIELD(on_gap),
     .fallback = "earliest",
     .values = on_gap_values,
     .doc =
	 "Where a subscriber goes on, after a gap event, when Kafka has deleted what it missed."},
    {.name = "welcome",
     .type = SETTING_OBJECT,
     .table = &stream_life_welcome_table,
     .doc = "An event for each subscriber as it comes, right after connected and with its id."},
    {.name = "heartbeat",
     .type = SETTING_CUSTOM,
     .fallback = "\"15s\"",
     .read = stream_life_read_heartbeat,
     .wanted = stream_life_heartbeat_wanted,
     .schema = stream_life_heartbeat_schema,
     .doc = "How long a stream is silent before it sends its current id, and what with it."},
    {.name = "max_age",
     .type = SETTING_DURATION,
     FIELD(max_age_ms),
     .min = 1000,
     .max = INT64_C(30) * 86400000,
     .doc = "A stream ends with a timeout event when it is so old, or up to a tenth younger."},
    {.name = "idle_timeout",
     .type = SETTING_DURATION,
     FIELD(idle_timeout_ms),
     .min = 1000,
     .max = INT64_C(30) * 86400000,
     .check = stream_life_check_idle_timeout,
     .doc =
	 "A stream ends likewise when it has had no event for so long; heartbeats do not count."},
    {.name = "interval",
     .type = SETTING_OBJECT,
     .table = &stream_interval_table,
     .doc = "Sends at most one event in so long, the newest: those that it supersedes are left "
	    "out."},
    {.name = "window",
     .type = SETTING_SIZE,
     FIELD(window_bytes),
     .min = 64 * 1024,
     .max = INT64_C(64) << 30,
     .fallback = "64MiB",
     .doc = "Memory for the recent events of each feed of this stream."},
    {.name = "max_event",
     .type = SETTING_SIZE,
     FIELD(max_event_bytes),
     .min = 1024,
     .max = 64 << 20,
     .fallback = "1MiB",
     .check = check_max_event,
     .doc = "Records with a larger value are counted, and too_large says what becomes of them."},
    {.name = "too_large",
     .type = SETTING_ENUM,
     FIELD(too_large),
     .fallback = "error",
     .values = stream_record_fault_values,
     .doc = "What stands for a record that is larger than max_event: an error event, or nothing."},
    {.name = "undecodable",
     .type = SETTING_ENUM,
     FIELD(undecodable),
     .fallback = "skip",
     .values = stream_record_fault_values,
     .doc = "What stands for a record that is not JSON where filter or event look into it."},
    {.name = "client_filters",
     .type = SETTING_BOOL,
     FIELD(client_filters),
     .fallback = "false",
     .doc = "Whether a request may narrow its stream by a pattern of its own: ?filter=, or the "
	    "body of "
	    "POST or QUERY."},
    {.name = "user_filters",
     .type = SETTING_BOOL,
     FIELD(user_filters),
     .fallback = "false",
     .check = keep_records,
     .doc =
	 "Whether patterns in PostgreSQL narrow what a token's subject receives (sluice filter)."},
    {.name = "journal",
     .type = SETTING_OBJECT,
     .table = &journal_table,
     .check = check_retain,
     .doc = "Keeps the stream's events in PostgreSQL, so that what a subscriber missed comes from "
	    "an index."},
};

static void fini(void *target)
{
	struct stream *stream = target;

	path_template_free(stream->path);
	pattern_free(stream->access_pattern);
	pattern_free(stream->filter);
	pattern_free(stream->end_when);
	if (stream->mapping)
		mapping_free(stream->mapping);
	free(stream->topic_param);
	free(stream->tombstone_event);
	stream_life_fini(stream);
}

const struct config_table stream_table = {
    CONFIG_ROWS(settings),
    .bytes = sizeof(struct stream),
    .named = true,
    .fini = fini,
};

void stream_free(struct stream *stream)
{
	config_fini(&stream_table, stream);
	free(stream);
}
