#include <stdlib.h>

#include "base/config_priv.h"

static void print_table(const struct config_table *table, const char *path, FILE *out);

/* A cell of a Markdown table. */
static void print_cell(const char *text, FILE *out)
{
	for (; *text; text++)
		fprintf(out, *text == '|' ? "\\%c" : "%c", *text);
}

/* Where the settings of a struct stand: "listeners[].tls", "streams.NAME". */
static const char *path_of(const struct setting *setting, const char *path, struct buffer *out)
{
	const char *many = setting->type == SETTING_ARRAY ? "[]" : ".NAME";

	buffer_clear(out);
	buffer_append_format(out, "%s%s%s%s", path, *path ? "." : "", setting->name,
			     setting->type == SETTING_OBJECT ? "" : many);
	return buffer_text(out);
}

static void print_wanted(const struct setting *setting, const char *path, FILE *out)
{
	struct buffer text = {0};

	config_value_wanted(setting, &text);
	print_cell(buffer_text(&text), out);
	if (setting->secret)
		fprintf(out, "; or `%s_file`: a file that holds it", setting->name);
	if (setting->table)
		fprintf(out, ": see `%s`", path_of(setting, path, &text));
	buffer_free(&text);
}

static void print_fallback(const struct setting *setting, FILE *out)
{
	json_t *fallback = config_value_fallback(setting);
	char *text;

	if (setting->required) {
		fputs("required", out);
	} else if (fallback && setting->type != SETTING_OBJECT) {
		text = json_dumps(fallback, JSON_ENCODE_ANY);
		fputc('`', out);
		print_cell(text, out);
		fputc('`', out);
		free(text);
	}
	json_decref(fallback);
}

static void print_setting(const struct setting *setting, const char *path, FILE *out)
{
	fprintf(out, "| `%s` | ", setting->name);
	print_cell(setting->doc, out);
	fputs(" | ", out);
	print_wanted(setting, path, out);
	fputs(" | ", out);
	print_fallback(setting, out);
	fputs(" |\n", out);
}

static void print_table(const struct config_table *table, const char *path, FILE *out)
{
	struct buffer below = {0};

	if (*path)
		fprintf(out, "\n### `%s`\n\n", path);
	else
		fputs("### The file\n\n", out);
	fputs("| setting | what it is | value | default |\n| --- | --- | --- | --- |\n", out);
	for (size_t i = 0; i < table->count; i++)
		print_setting(&table->settings[i], path, out);
	for (size_t i = 0; i < table->count; i++)
		if (table->settings[i].table)
			print_table(table->settings[i].table,
				    path_of(&table->settings[i], path, &below), out);
	buffer_free(&below);
}

void config_print_reference(const struct config_table *table, FILE *out)
{
	print_table(table, "", out);
}
