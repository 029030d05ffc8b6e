/*
 * config: reads a JSON file (RFC 8259) into structs by tables: one row a setting.
 *
 * From the same rows come the reading with its defaults and errors, the JSON Schema and the
 * Markdown reference. All errors of a file are collected, each with its line, its JSON pointer (RFC
 * 6901) and what would be right. Unknown and repeated names are errors.
 *
 * In any string, ${NAME} stands for an environment variable, ${NAME:-text} for `text` where it is
 * unset or empty, and $${ for ${. A number or a boolean may be written as a string that holds one.
 * A `secret` setting NAME may be given as NAME_file instead: a file, relative to the
 * configuration's folder, whose content without the newline at its end is the value.
 *
 * Nothing here is kept between calls. Thread: any.
 */
#ifndef SLUICE_BASE_CONFIG_H
#define SLUICE_BASE_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/slice.h"

enum {
	CONFIG_MAX_BYTES = 1024 * 1024, /* of a file */
	CONFIG_MAX_DEPTH = 64,
	CONFIG_MAX_SECRET_BYTES = 64 * 1024,
};

/* What a setting is in JSON, and what it is read into. */
enum setting_type {
	SETTING_BOOL,     /* bool */
	SETTING_INTEGER,  /* uint16_t, uint32_t or uint64_t, min to max */
	SETTING_NUMBER,   /* double; the bool at .count_offset says whether it is there */
	SETTING_DURATION, /* uint32_t of milliseconds: "250ms", "15s", "5m", "24h", "7d", or an
			     integer */
	SETTING_SIZE,     /* uint32_t or uint64_t of bytes: "512B", "256KiB", "64MiB", "1GiB", or an
			     integer */
	SETTING_STRING,  /* char *, at least .min bytes long; its length goes to .count_offset where
			    there is one */
	SETTING_PATH,    /* char *: a file, relative to the configuration's folder */
	SETTING_ENUM,    /* an enum: the index in .values */
	SETTING_STRINGS, /* char **, without repeats; .min: the fewest; .values: what each may be,
			    NULL: anything */
	SETTING_OBJECT,  /* a struct by .table, that begins at .offset */
	SETTING_ARRAY,   /* struct *, each by .table; .min: the fewest */
	SETTING_MAP,  /* likewise, of an object: the member's name goes to the first field, a char *
		       */
	SETTING_JSON, /* json_t *: a reference */
	SETTING_CUSTOM, /* .read does it */
};

struct config;
struct config_table;

/* A place in the file, for errors; lives on the reader's stack. */
struct config_at {
	struct config *config;
	const struct config_at *parent; /* NULL: the whole file */
	const char *name;               /* of the member; NULL: an element */
	size_t index;
};

struct setting {
	const char *name;
	enum setting_type type;
	size_t offset, bytes; /* CONFIG_FIELD() */
	size_t count_offset;  /* CONFIG_COUNT(); 0: none */
	int64_t min, max;     /* max 0: as much as fits */
	const char *fallback; /* where the file says nothing: JSON, or for the types written as
				 strings their text; NULL: zero */
	bool required;
	bool secret;   /* SETTING_STRING: never shown, and NAME_file works */
	bool indirect; /* SETTING_MAP: an array of pointers, each struct allocated by itself */
	const char *const *values; /* SETTING_ENUM, SETTING_STRINGS: ends with NULL */
	const struct config_table *table;
	const char *wanted; /* SETTING_JSON, SETTING_CUSTOM: what would be right */
	const char *schema; /* SETTING_JSON, SETTING_CUSTOM: JSON */
	/* SETTING_CUSTOM: `value` is NULL where the file says nothing and there is no fallback. */
	void (*read)(const struct config_at *at, const json_t *value, void *target);
	/* Others: after reading, whether the file says something or not. Fields that were refused
	 * are zero, strings of a list "". */
	void (*check)(const struct config_at *at, void *target);
	const char *doc; /* one line */
};

/* Rows are read in their order, whatever the file's. `target` of read, check and fini is the struct
 * that the table describes. */
struct config_table {
	const struct setting *settings;
	size_t count;
	size_t bytes; /* of the struct */
	bool named;   /* SETTING_MAP: the first field is the char *name */
	/* After all rows, where none was refused; may be NULL. */
	void (*check)(const struct config_at *at, void *target);
	/* Frees what SETTING_CUSTOM rows and checks made; may be NULL. */
	void (*fini)(void *target);
	const char *definitions; /* the root's: JSON Schema $defs that rows refer to; NULL: none */
};

#define CONFIG_ROWS(rows) .settings = (rows), .count = sizeof(rows) / sizeof((rows)[0])
#define CONFIG_FIELD(type, member)                                                                 \
	.offset = offsetof(type, member), .bytes = sizeof(((type *)NULL)->member)
#define CONFIG_COUNT(type, member) .count_offset = offsetof(type, member)

struct config_error {
	unsigned line; /* 0: the file as a whole */
	char *pointer; /* "" is the whole file */
	char *message;
};

/* Zero-initialise; in the order of the lines. */
struct config_errors {
	struct config_error *items;
	size_t count;
};

/*
 * Reads the file, or `text` as though it stood in it, into `target`, which need not be initialised;
 * the caller config_fini()s it on success. Errors: ERROR_INVALID, ERROR_IO; then `errors` (the
 * caller's to free) has at least one.
 */
MUST_CHECK int config_load(const struct config_table *table, void *target, const char *file,
			   struct config_errors *errors);
MUST_CHECK int config_read(const struct config_table *table, void *target, const char *file,
			   struct slice text, struct config_errors *errors);
void config_fini(const struct config_table *table, void *target);

/* `FILE:LINE: POINTER: MESSAGE` a line. */
void config_errors_print(const struct config_errors *errors, const char *file, FILE *out);
void config_errors_free(struct config_errors *errors);

/*
 * For read and check: the place is wrong. `below` is a pointer from it, "" or NULL for the place
 * itself. The message is copied and says what would be right.
 */
void config_refuse(const struct config_at *at, const char *below, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with "is VALUE, but must be WANTED". */
void config_refuse_value(const struct config_at *at, const json_t *value, const char *wanted);

static inline struct config_at config_member(const struct config_at *parent, const char *name)
{
	return (struct config_at){parent->config, parent, name, 0};
}

static inline struct config_at config_element(const struct config_at *parent, size_t index)
{
	return (struct config_at){parent->config, parent, NULL, index};
}

/* For read: the value as another row would have it. */
void config_read_as(const struct config_at *at, const json_t *value, const struct setting *setting,
		    void *target);
/* For read: one more object by a table, into a zeroed struct. */
void config_read_object(const struct config_at *at, const json_t *value,
			const struct config_table *table, void *target);
/* For read: the content of a secret's file (or of none: false, refused), the caller's to free(). */
bool config_read_secret(const struct config_at *at, const json_t *path, char **text, size_t *len);

/* The candidate that `name` may be a misspelling of; NULL: none is near. */
const char *config_suggest(const char *name, const char *const *candidates, size_t count);

/* The JSON Schema (draft 2020-12) of a root table, a new reference. */
json_t *config_schema(const struct config_table *table, const char *title);
/* The Markdown reference: a section with a table for each struct. */
void config_print_reference(const struct config_table *table, FILE *out);

#endif
