#include <stdlib.h>

#include "base/config_priv.h"

/* A walk over text that jansson has accepted, for what jansson does not keep. */
struct scan {
	struct config *config;
	const char *at, *end;
	unsigned line;
	unsigned depth;
	struct buffer pointer;
};

static bool scan_value(struct scan *scan);

static void skip_space(struct scan *scan)
{
	for (; scan->at < scan->end && strchr(" \t\r\n", *scan->at); scan->at++)
		scan->line += *scan->at == '\n';
}

/* The string with its quotes; stands after it then. */
static struct slice take_string(struct scan *scan)
{
	const char *start = scan->at++;

	while (*scan->at != '"')
		scan->at += *scan->at == '\\' ? 2 : 1;
	scan->at++;
	return (struct slice){start, (size_t)(scan->at - start)};
}

static void skip_scalar(struct scan *scan)
{
	if (*scan->at == '"') {
		take_string(scan);
		return;
	}
	while (scan->at < scan->end && !strchr(" \t\r\n,]}", *scan->at))
		scan->at++;
}

static void enter_member(struct scan *scan)
{
	struct slice raw = take_string(scan);
	json_t *name = json_loadb(raw.base, raw.len, JSON_DECODE_ANY, NULL);

	config_append_token(json_string_value(name), &scan->pointer);
	json_decref(name);
}

static void note_line(struct scan *scan)
{
	const char *pointer = buffer_text(&scan->pointer);

	if (json_object_get(scan->config->lines, pointer))
		config_add_error(scan->config, scan->line, pointer,
				 "is there twice: the name must be unique in its object");
	else
		json_object_set_new(scan->config->lines, pointer, json_integer(scan->line));
}

static bool scan_member(struct scan *scan)
{
	enter_member(scan);
	note_line(scan);
	skip_space(scan);
	scan->at++; /* : */
	skip_space(scan);
	return scan_value(scan);
}

static bool scan_element(struct scan *scan, size_t index)
{
	buffer_append_format(&scan->pointer, "/%zu", index);
	note_line(scan);
	return scan_value(scan);
}

static bool scan_items(struct scan *scan)
{
	size_t len = scan->pointer.len;
	bool object = *scan->at == '{';

	scan->at++;
	for (size_t i = 0; skip_space(scan), *scan->at != '}' && *scan->at != ']'; i++) {
		if (*scan->at == ',') {
			scan->at++;
			skip_space(scan);
		}
		if (!(object ? scan_member(scan) : scan_element(scan, i)))
			return false;
		scan->pointer.len = len;
	}
	scan->at++;
	return true;
}

static bool scan_value(struct scan *scan)
{
	if (*scan->at != '{' && *scan->at != '[') {
		skip_scalar(scan);
		return true;
	}
	if (scan->depth == CONFIG_MAX_DEPTH) {
		config_add_error(scan->config, scan->line, "", "is nested deeper than 64 levels");
		return false;
	}
	scan->depth++;
	if (!scan_items(scan))
		return false;
	scan->depth--;
	return true;
}

bool config_text_scan(struct config *config, struct slice text)
{
	struct scan scan = {
	    .config = config, .at = text.base, .end = text.base + text.len, .line = 1};
	bool readable;

	skip_space(&scan);
	note_line(&scan);
	readable = scan_value(&scan);
	buffer_free(&scan.pointer);
	return readable;
}

static bool is_variable_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.base[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

		if (!letter && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	return name.len;
}

/* `inside` is what stands between the braces. False: refused. */
static bool expand_variable(const struct config_at *at, struct slice inside, struct buffer *out)
{
	const char *dash = memmem(inside.base, inside.len, ":-", 2);
	struct slice name = {inside.base, dash ? (size_t)(dash - inside.base) : inside.len};
	struct buffer text = {0};
	const char *value;

	if (!is_variable_name(name)) {
		config_refuse(at, NULL,
			      "\"${%.*s}\" is no environment variable: write ${NAME}, "
			      "${NAME:-default}, or $${ for ${",
			      (int)inside.len, inside.base);
		return false;
	}
	buffer_append_slice(&text, name);
	value = getenv(buffer_text(&text));
	if (dash && (!value || !*value))
		buffer_append(out, dash + 2, inside.len - name.len - 2);
	else if (value)
		buffer_append_text(out, value);
	else
		config_refuse(at, NULL,
			      "the environment variable %s is not set: set it, or write "
			      "${%s:-default}",
			      buffer_text(&text), buffer_text(&text));
	buffer_free(&text);
	return value || dash;
}

/* False: refused. */
static bool expand_text(const struct config_at *at, const char *text, struct buffer *out)
{
	const char *start, *end;
	bool good = true;

	for (; (start = strstr(text, "${")); text = end + 1) {
		bool escaped = start > text && start[-1] == '$';

		buffer_append(out, text, (size_t)(start - text) - escaped);
		end = escaped ? start + 1 : strchr(start, '}');
		if (!end) {
			config_refuse(at, NULL, "\"${\" has no \"}\": write $${ for ${");
			return false;
		}
		if (escaped)
			buffer_append_text(out, "${");
		else
			good &= expand_variable(
			    at, (struct slice){start + 2, (size_t)(end - start - 2)}, out);
	}
	buffer_append_text(out, text);
	return good;
}

static void expand_string(const struct config_at *at, json_t *value)
{
	struct buffer text = {0}, pointer = {0};
	bool good;

	if (!strstr(json_string_value(value), "${"))
		return;
	good = expand_text(at, json_string_value(value), &text);
	buffer_text(&text);
	if (good && json_string_setn(value, text.base, text.len)) {
		config_refuse(at, NULL, "the environment's value is not valid UTF-8");
		good = false;
	}
	config_append_pointer(at, &pointer);
	json_object_set_new(at->config->expanded, buffer_text(&pointer), json_boolean(good));
	buffer_free(&pointer);
	buffer_free(&text);
}

void config_text_expand(const struct config_at *at, json_t *value)
{
	const char *name;
	json_t *item;
	size_t i;

	if (json_is_string(value))
		expand_string(at, value);
	json_array_foreach(value, i, item)
	{
		struct config_at place = config_element(at, i);

		config_text_expand(&place, item);
	}
	json_object_foreach(value, name, item)
	{
		struct config_at place = config_member(at, name);

		config_text_expand(&place, item);
	}
}

/* NULL where there was nothing to expand; else whether it was. */
static const json_t *find_expansion(const struct config_at *at, const json_t *value)
{
	struct buffer pointer = {0};
	const json_t *found;

	if (!json_is_string(value))
		return NULL;
	config_append_pointer(at, &pointer);
	found = json_object_get(at->config->expanded, buffer_text(&pointer));
	buffer_free(&pointer);
	return found;
}

bool config_text_was_expanded(const struct config_at *at, const json_t *value)
{
	return json_is_true(find_expansion(at, value));
}

bool config_text_was_refused(const struct config_at *at, const json_t *value)
{
	return json_is_false(find_expansion(at, value));
}
