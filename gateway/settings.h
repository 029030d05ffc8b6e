/*
 * settings: the configuration file, read: what gateway.c builds from.
 */
#ifndef SLUICE_SETTINGS_H
#define SLUICE_SETTINGS_H

#include <stdio.h>

#include "auth/auth.h"
#include "base/config.h"
#include "base/log.h"
#include "event/stream.h"
#include "feed/replay.h"
#include "http/http_settings.h"
#include "journal.h"
#include "kafka/kafka_settings.h"
#include "postgres/cursors.h"
#include "postgres/postgres_settings.h"

struct settings {
	char *schema;    /* the file's "$schema", for editors */
	char *server_id; /* what the gateway calls itself */
	struct http_settings http;
	struct kafka_settings kafka;
	struct replay_settings replay;
	struct auth_settings auth;
	struct postgres_settings postgres;
	struct cursors_settings cursors;
	struct journal_settings journal;
	enum log_level log_level;
	struct stream **streams; /* owned, immutable */
	size_t stream_count;
};

/*
 * Reads the file into `settings`, which need not be initialised; the caller settings_free()s what
 * it holds on success. Errors: ERROR_INVALID, ERROR_IO; then `errors` (the caller's to
 * config_errors_free()) says what is wrong.
 */
MUST_CHECK int settings_load(const char *path, struct settings *settings,
			     struct config_errors *errors);
/* The same from text, as though it stood in the file. */
MUST_CHECK int settings_read(const char *path, struct slice text, struct settings *settings,
			     struct config_errors *errors);
/* As settings_load(); the errors go to standard error. */
MUST_CHECK int settings_load_or_print(const char *path, struct settings *settings);
/* Frees what it holds, not the struct. */
void settings_free(struct settings *settings);

/* `sluice --check-config FILE`: the exit code. */
int settings_check_main(const char *path);
/* conf/sluice.schema.json, and the reference in conf/README.md. */
void settings_print_schema(FILE *out);
void settings_print_reference(FILE *out);

#endif
