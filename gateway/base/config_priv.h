/*
 * config_priv: what the files of config share.
 */
#ifndef SLUICE_BASE_CONFIG_PRIV_H
#define SLUICE_BASE_CONFIG_PRIV_H

#include "base/buffer.h"
#include "base/config.h"

/* One reading of one file. */
struct config {
	const char *file; /* borrowed */
	json_t *lines;    /* pointer -> line, by config_text_scan() */
	json_t *expanded; /* pointer -> whether the variables that the string held are known */
	struct config_errors *errors;
};

/* The pointer of a place, appended. */
void config_append_pointer(const struct config_at *at, struct buffer *out);
/* Appends one reference token with its "/", escaped. */
void config_append_token(const char *name, struct buffer *out);
void config_add_error(struct config *config, unsigned line, const char *pointer,
		      const char *message);

/*
 * Notes the line of each value of `text`, which is valid JSON, and refuses repeated names. False
 * (refused) where it is nested too deeply to be read.
 */
bool config_text_scan(struct config *config, struct slice text);
/* Puts the environment into all strings below `value`. */
void config_text_expand(const struct config_at *at, json_t *value);
bool config_text_was_expanded(const struct config_at *at, const json_t *value);
bool config_text_was_refused(const struct config_at *at, const json_t *value);

/* Relative to the configuration's folder; the caller's to free(). */
char *config_file_path(const struct config *config, const char *path);
/* 0, or ERROR_LIMIT beyond `max` bytes, or ERROR_IO with errno. */
MUST_CHECK int config_file_read(const char *path, size_t max, struct buffer *out);

/* A setting that is neither a struct nor a list of them. */
void config_value_read(const struct config_at *at, const json_t *value,
		       const struct setting *setting, void *field, void *target);
/* What would be right, for errors and the reference; appended. */
void config_value_wanted(const struct setting *setting, struct buffer *out);
/* A new reference; NULL: there is no fallback. */
json_t *config_value_fallback(const struct setting *setting);
/* "15s", "64MiB": as short as it is exact. */
void config_value_append_quantity(const struct setting *setting, int64_t quantity,
				  struct buffer *out);
/* The largest that fits the field. */
int64_t config_value_max(const struct setting *setting);

#endif
