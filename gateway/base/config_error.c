#include <stdarg.h>
#include <stdlib.h>

#include "base/config_priv.h"
#include "base/mem.h"

enum { SHOWN_BYTES = 60, SUGGEST_MAX_BYTES = 64 };

void config_append_token(const char *name, struct buffer *out)
{
	buffer_append_text(out, "/");
	for (; *name; name++) {
		if (*name == '~' || *name == '/')
			buffer_append_text(out, *name == '~' ? "~0" : "~1");
		else
			buffer_append(out, name, 1);
	}
}

void config_append_pointer(const struct config_at *at, struct buffer *out)
{
	if (!at->parent)
		return;
	config_append_pointer(at->parent, out);
	if (at->name)
		config_append_token(at->name, out);
	else
		buffer_append_format(out, "/%zu", at->index);
}

/* The line of the place, or of the nearest one around it that the file has. */
static unsigned find_line(const struct config *config, const char *pointer)
{
	char *around = mem_strdup(pointer);
	const json_t *line;
	char *slash;

	while (!(line = json_object_get(config->lines, around)) && (slash = strrchr(around, '/')))
		*slash = '\0';
	free(around);
	return line ? (unsigned)json_integer_value(line) : 1;
}

void config_add_error(struct config *config, unsigned line, const char *pointer,
		      const char *message)
{
	struct config_errors *errors = config->errors;
	size_t at = errors->count;

	errors->items = mem_realloc(errors->items, (at + 1) * sizeof(errors->items[0]));
	for (; at && errors->items[at - 1].line > line; at--)
		errors->items[at] = errors->items[at - 1];
	errors->items[at] = (struct config_error){line, mem_strdup(pointer), mem_strdup(message)};
	errors->count++;
}

static void refuse_text(const struct config_at *at, const char *below, const char *message)
{
	struct buffer pointer = {0};
	const char *text;

	config_append_pointer(at, &pointer);
	buffer_append_text(&pointer, below ? below : "");
	text = buffer_text(&pointer);
	config_add_error(at->config, find_line(at->config, text), text, message);
	buffer_free(&pointer);
}

void config_refuse(const struct config_at *at, const char *below, const char *format, ...)
{
	va_list arguments;
	char *message;
	int len;

	va_start(arguments, format);
	len = vasprintf(&message, format, arguments);
	va_end(arguments);
	if (len < 0)
		abort();
	refuse_text(at, below, message);
	free(message);
}

static bool is_continuation(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

static void append_shown(const json_t *value, struct buffer *out)
{
	char *text;
	size_t len;

	if (json_is_object(value) || json_is_array(value)) {
		buffer_append_text(out, json_is_object(value) ? "an object" : "an array");
		return;
	}
	text = json_dumps(value, JSON_ENCODE_ANY);
	len = strlen(text);
	if (len > SHOWN_BYTES)
		for (len = SHOWN_BYTES; is_continuation(text[len]); len--)
			;
	buffer_append(out, text, len);
	if (text[len])
		buffer_append_text(out, "…");
	free(text);
}

void config_refuse_value(const struct config_at *at, const json_t *value, const char *wanted)
{
	struct buffer message = {0};

	buffer_append_text(&message, "is ");
	append_shown(value, &message);
	buffer_append_format(&message, ", but must be %s", wanted);
	refuse_text(at, NULL, buffer_text(&message));
	buffer_free(&message);
}

/* A name in the file may hold a line break, and an error is one line. */
static void print_line(const char *text, FILE *out)
{
	for (; *text; text++)
		fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, out);
}

void config_errors_print(const struct config_errors *errors, const char *file, FILE *out)
{
	for (size_t i = 0; i < errors->count; i++) {
		const struct config_error *error = &errors->items[i];

		fputs(file, out);
		if (error->line)
			fprintf(out, ":%u", error->line);
		fputs(": ", out);
		print_line(error->pointer, out);
		fputs(*error->pointer ? ": " : "", out);
		print_line(error->message, out);
		fputc('\n', out);
	}
}

void config_errors_free(struct config_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++) {
		free(errors->items[i].pointer);
		free(errors->items[i].message);
	}
	free(errors->items);
	*errors = (struct config_errors){0};
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Levenshtein's, one row at a time. */
static size_t distance(const char *a, const char *b, size_t b_len)
{
	size_t row[SUGGEST_MAX_BYTES + 1];

	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (; *a; a++) {
		size_t diagonal = row[0]++;

		for (size_t j = 1; j <= b_len; j++) {
			size_t replaced = diagonal + (*a != b[j - 1]);

			diagonal = row[j];
			row[j] = least(replaced, least(row[j], row[j - 1]) + 1);
		}
	}
	return row[b_len];
}

const char *config_suggest(const char *name, const char *const *candidates, size_t count)
{
	size_t near = strlen(name) / 3 + 2;
	const char *best = NULL;

	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(candidates[i]);
		size_t d = len > SUGGEST_MAX_BYTES ? near : distance(name, candidates[i], len);

		if (d < near && d < len) {
			near = d;
			best = candidates[i];
		}
	}
	return best;
}
