#include "settings.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"

#define FIELD(member) CONFIG_FIELD(struct settings, member)
#define COUNT(member) CONFIG_COUNT(struct settings, member)

enum { SERVER_ID_MAX_BYTES = 128 };

static const char server_id_characters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-";

static const struct setting ingest_rows[] = {
    {.name = "warm",
     .type = SETTING_DURATION,
     FIELD(kafka.warm_ms),
     .max = 7 * 86400000,
     .fallback = "5m",
     .doc = "How far back in time reading begins at the start, so that those who reconnect are "
	    "served from memory."},
};

static const struct config_table ingest_table = {
    CONFIG_ROWS(ingest_rows),
    .bytes = sizeof(struct settings),
};

static void copy_readers(const struct config_at *at, void *target)
{
	struct settings *settings = target;

	(void)at;
	settings->kafka.replay_readers = settings->replay.workers;
}

static const struct setting replay_rows[] = {
    {.name = "readers",
     .type = SETTING_INTEGER,
     FIELD(replay.workers),
     .min = 1,
     .max = 64,
     .fallback = "4",
     .check = copy_readers,
     .doc = "Replays that are read at the same time; the others wait in turn."},
    {.name = "chunk",
     .type = SETTING_SIZE,
     FIELD(replay.chunk_bytes),
     .min = 16 << 10,
     .max = 16 << 20,
     .fallback = "256KiB",
     .doc = "What a replay reads before the next one gets its turn."},
    {.name = "chunks",
     .type = SETTING_INTEGER,
     FIELD(replay.chunks),
     .min = 1,
     .max = 65536,
     .fallback = "64",
     .doc = "Chunks in memory at once, over all replays."},
    {.name = "last_scan",
     .type = SETTING_INTEGER,
     FIELD(replay.last_scan),
     .min = 1,
     .max = 100000000,
     .fallback = "100000",
     .doc = "Records that a \"start\": {\"last\": N} looks through at most."},
    {.name = "last_size",
     .type = SETTING_SIZE,
     FIELD(replay.last_bytes),
     .min = 64 << 10,
     .max = INT64_C(1) << 30,
     .fallback = "4MiB",
     .doc = "Memory for the events of one \"start\": {\"last\": N}, which are sent in the order of "
	    "their times; more of them come partition by partition."},
    {.name = "current_keys",
     .type = SETTING_INTEGER,
     FIELD(replay.current_keys),
     .min = 1,
     .max = 100000000,
     .fallback = "100000",
     .doc = "Keys that a \"start\": \"current\" may have; with more the stream ends."},
    {.name = "current_size",
     .type = SETTING_SIZE,
     FIELD(replay.current_bytes),
     .min = 64 << 10,
     .max = INT64_C(4) << 30,
     .fallback = "16MiB",
     .doc = "Memory for the events of one \"start\": \"current\" while it is sent."},
};

static const struct config_table replay_table = {
    CONFIG_ROWS(replay_rows),
    .bytes = sizeof(struct settings),
};

static const struct setting cursors_rows[] = {
    {.name = "save",
     .type = SETTING_DURATION,
     FIELD(cursors.save_ms),
     .min = 100,
     .max = 3600000,
     .fallback = "5s",
     .doc = "How often the positions of open streams are saved."},
    {.name = "forget",
     .type = SETTING_DURATION,
     FIELD(cursors.forget_ms),
     .min = 60000,
     .max = INT64_C(3660) * 86400000,
     .fallback = "30d",
     .doc = "A cursor that no stream has used for so long is deleted."},
    {.name = "per_subject",
     .type = SETTING_INTEGER,
     FIELD(cursors.per_subject),
     .min = 1,
     .max = 1000000,
     .fallback = "100",
     .doc = "How many cursors a subject may have; a further one is answered 403."},
};

static const struct config_table cursors_table = {
    CONFIG_ROWS(cursors_rows),
    .bytes = sizeof(struct settings),
};

static const char *const log_levels[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", NULL,
};

static const struct setting log_rows[] = {
    {.name = "level",
     .type = SETTING_ENUM,
     FIELD(log_level),
     .fallback = "info",
     .values = log_levels,
     .doc = "The least level that is written."},
};

static const struct config_table log_table = {
    CONFIG_ROWS(log_rows),
    .bytes = sizeof(struct settings),
};

static void check_listeners(const struct config_at *at, void *target)
{
	http_settings_check_listeners(at, &((struct settings *)target)->http);
}

static void read_kafka(const struct config_at *at, const json_t *value, void *target)
{
	kafka_settings_read(at, value, &((struct settings *)target)->kafka);
}

static void refuse_same_path(const struct config_at *at, const struct stream *stream,
			     const struct stream *other)
{
	struct config_at name = config_member(at, stream->name);

	config_refuse(&name, "/path", "matches the same paths as stream \"%s\": change one of them",
		      other->name);
}

/* The first of the streams before the i-th that takes its paths. */
static void check_path(const struct config_at *at, struct stream *const *streams, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (!streams[i]->path || !streams[j]->path ||
		    path_template_compare(streams[i]->path, streams[j]->path))
			continue;
		refuse_same_path(at, streams[i], streams[j]);
		return;
	}
}

static void check_claims(const struct config_at *at, const struct settings *settings,
			 const struct stream *stream)
{
	struct config_at name = config_member(at, stream->name);

	if (!settings->auth.issuer_count && !settings->auth.opaque && stream->access_pattern &&
	    pattern_looks_at(stream->access_pattern, "claims", NULL))
		config_refuse(&name, "/access",
			      "asks for claims, but no token can be valid: add \"auth\": "
			      "{\"issuers\": …} or {\"opaque\": true}");
}

/* What the kernel calls the host; any byte may be in it. */
static char *host_name(void)
{
	char name[HOST_NAME_MAX + 1] = "";

	(void)!gethostname(name, sizeof(name) - 1);
	for (char *at = name; *at; at++)
		if (!strchr(server_id_characters, *at))
			*at = '-';
	return mem_strdup(*name ? name : "sluice");
}

static void check_server_id(const struct config_at *at, void *target)
{
	struct settings *settings = target;
	size_t len;

	if (!settings->server_id)
		settings->server_id = host_name();
	len = strspn(settings->server_id, server_id_characters);
	if (settings->server_id[len] || len > SERVER_ID_MAX_BYTES)
		config_refuse(at, NULL,
			      "must be 1 to %d letters, digits, \".\", \"_\", \":\" and \"-\"",
			      SERVER_ID_MAX_BYTES);
}

static void check_auth(const struct config_at *at, void *target)
{
	const struct settings *settings = target;

	if (settings->auth.opaque && !settings->postgres.url)
		config_refuse(at, "/opaque",
			      "needs PostgreSQL, where these tokens are: add \"postgres\": "
			      "{\"url\": …}");
}

static void check_journal(const struct config_at *at, const struct settings *settings,
			  const struct stream *stream)
{
	struct config_at name = config_member(at, stream->name);

	if (stream->journal_retain_ms && !settings->postgres.url)
		config_refuse(&name, "/journal",
			      "is kept in PostgreSQL, but none is named: add \"postgres\": "
			      "{\"url\": …}");
}

static void check_user_filters(const struct config_at *at, const struct settings *settings,
			       const struct stream *stream)
{
	struct config_at name = config_member(at, stream->name);

	if (!stream->user_filters)
		return;
	if (!settings->postgres.url)
		config_refuse(&name, "/user_filters",
			      "needs PostgreSQL, where these filters are: add \"postgres\": "
			      "{\"url\": …}");
	if (!stream->access_pattern || !pattern_looks_at(stream->access_pattern, "claims", NULL))
		config_refuse(&name, "/user_filters",
			      "is about the subject of a token: ask for one in \"access\", such as "
			      "{\"claims\": {…}}");
}

static void check_streams(const struct config_at *at, void *target)
{
	const struct settings *settings = target;

	for (size_t i = 0; i < settings->stream_count; i++) {
		check_path(at, settings->streams, i);
		check_claims(at, settings, settings->streams[i]);
		check_journal(at, settings, settings->streams[i]);
		check_user_filters(at, settings, settings->streams[i]);
	}
}

static const struct setting rows[] = {
    {.name = "$schema",
     .type = SETTING_STRING,
     FIELD(schema),
     .doc = "For editors: where sluice.schema.json is."},
    {.name = "server_id",
     .type = SETTING_STRING,
     FIELD(server_id),
     .min = 1,
     .check = check_server_id,
     .doc = "What this gateway calls itself in heartbeats and in the log; without it the host's "
	    "name."},
    {.name = "listeners",
     .type = SETTING_ARRAY,
     FIELD(http.listeners),
     COUNT(http.listener_count),
     .min = 1,
     .fallback = "[{}]",
     .table = &http_settings_listener_table,
     .check = check_listeners,
     .doc = "Where connections are taken."},
    {.name = "http",
     .type = SETTING_OBJECT,
     FIELD(http),
     .fallback = "{}",
     .table = &http_settings_table,
     .doc = "Limits of connections."},
    {.name = "cors",
     .type = SETTING_OBJECT,
     FIELD(http),
     .fallback = "{}",
     .table = &http_settings_cors_table,
     .doc = "Which pages of other origins may subscribe."},
    {.name = "kafka",
     .type = SETTING_CUSTOM,
     .fallback = "{\"bootstrap.servers\": \"localhost:9092\"}",
     .read = read_kafka,
     .wanted = "an object of librdkafka's properties, with \"bootstrap.servers\"",
     .schema = kafka_settings_schema,
     .doc = "Properties of librdkafka, passed through; a password or key also as NAME_file."},
    {.name = "ingest",
     .type = SETTING_OBJECT,
     .table = &ingest_table,
     .fallback = "{}",
     .doc = "Reading from Kafka."},
    {.name = "replay",
     .type = SETTING_OBJECT,
     .table = &replay_table,
     .fallback = "{}",
     .doc = "Reading again, for those who were away for longer than the window."},
    {.name = "postgres",
     .type = SETTING_OBJECT,
     FIELD(postgres),
     .fallback = "{}",
     .table = &postgres_settings_table,
     .doc = "PostgreSQL, for what is to be remembered; live events need none."},
    {.name = "journal",
     .type = SETTING_OBJECT,
     FIELD(journal),
     .fallback = "{}",
     .table = &journal_settings_table,
     .doc = "Writing the journaled streams' events to PostgreSQL."},
    {.name = "cursors",
     .type = SETTING_OBJECT,
     .table = &cursors_table,
     .fallback = "{}",
     .doc = "Positions that are kept in PostgreSQL for a subject, where a request says "
	    "?cursor=NAME."},
    {.name = "auth",
     .type = SETTING_OBJECT,
     FIELD(auth),
     .fallback = "{}",
     .table = &auth_settings_table,
     .check = check_auth,
     .doc = "Which tokens are valid."},
    {.name = "log",
     .type = SETTING_OBJECT,
     .table = &log_table,
     .fallback = "{}",
     .doc = "The log on standard error."},
    {.name = "streams",
     .type = SETTING_MAP,
     FIELD(streams),
     COUNT(stream_count),
     .required = true,
     .indirect = true,
     .table = &stream_table,
     .check = check_streams,
     .doc = "The streams by name."},
};

static void fini(void *target)
{
	kafka_settings_fini(&((struct settings *)target)->kafka);
}

static const char definitions[] =
    "{\"pattern\": {\"type\": \"object\","
    " \"description\": \"Each leaf is an array of values of which one must be equal.\","
    " \"additionalProperties\":"
    " {\"anyOf\": [{\"type\": \"array\"}, {\"$ref\": \"#/$defs/pattern\"}]}},"
    " \"variable\": {\"type\": \"string\","
    " \"pattern\": \"^[{](path|query|header)[.].+[}]$|[$][{]\"}}";

static const struct config_table table = {
    CONFIG_ROWS(rows),
    .bytes = sizeof(struct settings),
    .fini = fini,
    .definitions = definitions,
};

int settings_load(const char *path, struct settings *settings, struct config_errors *errors)
{
	return config_load(&table, settings, path, errors);
}

int settings_read(const char *path, struct slice text, struct settings *settings,
		  struct config_errors *errors)
{
	return config_read(&table, settings, path, text, errors);
}

int settings_load_or_print(const char *path, struct settings *settings)
{
	struct config_errors errors = {0};
	int rc = settings_load(path, settings, &errors);

	config_errors_print(&errors, path, stderr);
	config_errors_free(&errors);
	return rc;
}

void settings_free(struct settings *settings)
{
	config_fini(&table, settings);
}

int settings_check_main(const char *path)
{
	struct settings settings;

	if (settings_load_or_print(path, &settings))
		return EXIT_FAILURE;
	printf("%s: ok\n", path);
	settings_free(&settings);
	return EXIT_SUCCESS;
}

void settings_print_schema(FILE *out)
{
	json_t *schema = config_schema(&table, "Sluice's configuration");

	json_dumpf(schema, out, JSON_INDENT(2));
	fputc('\n', out);
	json_decref(schema);
}

void settings_print_reference(FILE *out)
{
	config_print_reference(&table, out);
}
