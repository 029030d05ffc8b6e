/* What conf/README.md and README.md show: it loads, and it holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "event/document.h"
#include "event/pattern.h"
#include "settings.h"

/* These run in the folder of the checkout. */
static char *read_page(const char *path)
{
	FILE *file = fopen(path, "r");
	struct buffer text = {0};
	size_t got;

	if (!file)
		fail_msg("%s is not there", path);
	while ((got = fread(buffer_reserve(&text, 4096), 1, 4096, file)) > 0)
		text.len += got;
	fclose(file);
	buffer_text(&text);
	return text.base;
}

static char *slice_copy(const char *from, const char *end)
{
	return mem_strndup(from, (size_t)(end - from));
}

/* The next block of JSON from *at on, the caller's; NULL: there is none. */
static char *next_example(const char **at)
{
	static const char begin[] = "```json\n";
	const char *from = strstr(*at, begin), *end = from ? strstr(from, "\n```\n") : NULL;

	if (!end)
		return NULL;
	*at = end + strlen("\n```\n");
	return slice_copy(from + strlen(begin), end + 1);
}

static json_t *parse(const char *text)
{
	json_error_t error;
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);

	if (!json)
		fail_msg("line %d: %s: %s", error.line, error.text, text);
	return json;
}

/* What is said of a stream in parts belongs to the one of "Parameters". */
static json_t *stream_of_the_page(const char *page)
{
	json_t *stream = parse("{\"topics\": [\"orders\"], \"access\": {\"claims\": {\"sub\": "
			       "[{\"exists\": true}]}}}");
	const char *at = strstr(page, "\n### Parameters\n");
	struct buffer text = {0};
	char *example;
	json_t *params;

	assert_non_null(at);
	example = next_example(&at);
	buffer_append_format(&text, "{%s}", example);
	params = parse(buffer_text(&text));
	json_object_update(stream, params);
	json_decref(params);
	buffer_free(&text);
	free(example);
	return stream;
}

/* An example as a whole file: itself, or a stream by its name, or a part of one. */
static json_t *as_file(const char *example, json_t *stream)
{
	struct buffer text = {0};
	json_t *part, *streams;

	if (*example == '{')
		return parse(example);
	buffer_append_format(&text, "{%s}", example);
	part = parse(buffer_text(&text));
	buffer_free(&text);
	streams = json_object_get(json_object_iter_value(json_object_iter(part)), "path")
		      ? json_incref(part)
		      : NULL;
	if (!streams) {
		json_object_update_missing(part, stream);
		streams = json_pack("{sO}", "example", part);
	}
	json_decref(part);
	return json_pack("{s{s[{s[s]ss}]}so}", "auth", "issuers", "algorithms", "HS256", "secret",
			 "0123456789abcdef0123456789abcdef", "streams", streams);
}

/* Every example of the page as a file, in an array. */
static json_t *examples_of(const char *path)
{
	char *page = read_page(path), *example;
	json_t *stream = stream_of_the_page(page), *files = json_array();
	const char *at = page;

	while ((example = next_example(&at))) {
		json_array_append_new(files, as_file(example, stream));
		free(example);
	}
	json_decref(stream);
	free(page);
	return files;
}

static void check_loads(json_t *file)
{
	char *text = json_dumps(file, JSON_INDENT(1));
	struct config_errors errors = {0};
	struct settings settings;

	if (settings_read("conf/example", slice_of(text), &settings, &errors)) {
		config_errors_print(&errors, "example", stderr);
		fail_msg("refused: %s", text);
	}
	settings_free(&settings);
	free(text);
}

/* Whoever copies an example gets a configuration that loads. */
static void test_readme_examples_load(void **state)
{
	json_t *files = examples_of("conf/README.md"), *file;
	size_t i;

	(void)state;
	json_array_foreach(files, i, file) check_loads(file);
	assert_in_range(json_array_size(files), 10, 1000);
	json_decref(files);
}

/* The first configuration that a visitor sees does, too. */
static void test_readme_first_example_loads(void **state)
{
	char *page = read_page("README.md");
	const char *at = page;
	char *example = next_example(&at);
	json_t *file = parse(example);

	(void)state;
	check_loads(file);
	json_decref(file);
	free(example);
	free(page);
}

/* Notes each setting of an object under "section/name"; `sections` are those of the reference. */
static void note_settings(json_t *object, const char *section, json_t *sections, json_t *seen)
{
	const char *name;
	json_t *value, *element;
	size_t i;

	json_object_foreach(object, name, value)
	{
		struct buffer below = {0};

		buffer_append_format(&below, "%s/%s", section, name);
		json_object_set_new(seen, buffer_text(&below), json_true());
		buffer_clear(&below);
		buffer_append_format(&below, "%s%s%s", section, *section ? "." : "", name);
		if (json_is_array(value))
			buffer_append_text(&below, "[]");
		if (json_object_get(sections, buffer_text(&below))) {
			json_array_foreach(value, i, element)
			    note_settings(element, buffer_text(&below), sections, seen);
			note_settings(value, buffer_text(&below), sections, seen);
		}
		buffer_append_text(&below, ".NAME");
		if (json_object_get(sections, buffer_text(&below))) {
			const char *given;

			json_object_foreach(value, given, element)
			    note_settings(element, buffer_text(&below), sections, seen);
		}
		buffer_free(&below);
	}
}

/* The text between the first two backticks from *at on, before `end`; the caller's, or NULL. */
static char *next_code(const char **at, const char *end)
{
	const char *from = memchr(*at, '`', (size_t)(end - *at));
	const char *close = from ? memchr(from + 1, '`', (size_t)(end - from - 1)) : NULL;

	if (!close)
		return NULL;
	*at = close + 1;
	return slice_copy(from + 1, close);
}

static char *first_code(const char *line)
{
	return next_code(&line, strchr(line, '\n'));
}

/* The reference's sections, each with a list of its settings. */
static json_t *reference_of(const char *page)
{
	json_t *sections = json_object(), *settings = NULL;
	const char *line = strstr(page, "<!-- reference: ");

	for (; line && strncmp(line, "<!-- end", 8); line = strchr(line, '\n') + 1) {
		char *code = first_code(line);

		if (!strncmp(line, "### ", 4)) {
			settings = json_array();
			json_object_set_new(sections, code ? code : "", settings);
		} else if (!strncmp(line, "| `", 3)) {
			json_array_append_new(settings, json_string(code));
		}
		free(code);
	}
	return sections;
}

/* Each setting of the reference stands in an example. */
static void test_readme_every_setting_has_an_example(void **state)
{
	char *page = read_page("conf/README.md");
	json_t *sections = reference_of(page), *files = examples_of("conf/README.md");
	json_t *seen = json_object(), *file, *settings, *setting;
	const char *section;
	size_t i, count = 0;

	(void)state;
	json_array_foreach(files, i, file) note_settings(file, "", sections, seen);
	json_object_foreach(sections, section, settings) json_array_foreach(settings, i, setting)
	{
		struct buffer key = {0};

		buffer_append_format(&key, "%s/%s", section, json_string_value(setting));
		if (!json_object_get(seen, buffer_text(&key)))
			fail_msg("no example of conf/README.md has %s", buffer_text(&key));
		buffer_free(&key);
		count++;
	}
	assert_in_range(count, 80, 1000);
	json_decref(seen);
	json_decref(files);
	json_decref(sections);
	free(page);
}

static struct pattern *compile_element(const char *element)
{
	struct pattern_error error;
	struct pattern *pattern = NULL;
	struct buffer text = {0};
	json_t *source;

	buffer_append_format(&text, "{\"a\": [%s]}", element);
	source = parse(buffer_text(&text));
	if (pattern_compile(source, NULL, &pattern, &error))
		fail_msg("%s: %s", element, error.reason);
	json_decref(source);
	buffer_free(&text);
	return pattern;
}

/* Each value in code that stands in a cell. */
static void check_cell(const struct pattern *pattern, const char *element, const char *from,
		       const char *end, bool expected)
{
	unsigned values = 0;
	char *value;

	for (; (value = next_code(&from, end)); values++) {
		struct buffer text = {0};
		json_t *document;

		buffer_append_format(&text, "{\"a\": %s}", value);
		document = document_parse(buffer_slice(&text));
		if (!document || pattern_holds(pattern, document) != expected)
			fail_msg("%s with %s is not %s", element, value,
				 expected ? "true" : "false");
		json_decref(document);
		buffer_free(&text);
		free(value);
	}
	assert_int_not_equal(values, 0);
}

/* | `element` | what it holds for | what not | */
static void check_row(const char *line, struct buffer *elements)
{
	const char *end = strchr(line, '\n'), *holds = strstr(line, " | ");
	const char *refused = holds ? strstr(holds + 3, " | ") : NULL;
	char *element = first_code(line);
	struct pattern *pattern;

	assert_true(element && refused && refused < end);
	pattern = compile_element(element);
	check_cell(pattern, element, holds, refused, true);
	check_cell(pattern, element, refused, end, false);
	buffer_append_format(elements, "%s\n", element);
	pattern_free(pattern);
	free(element);
}

static void check_all_operators(const char *elements)
{
	struct pattern_error error;
	struct pattern *pattern = NULL;
	json_t *source = parse("{\"a\": [{\"unknown\": 1}]}");
	const char *at, *close;

	assert_int_not_equal(pattern_compile(source, NULL, &pattern, &error), 0);
	at = strstr(error.reason, "known are ");
	assert_non_null(at);
	for (; (at = strchr(at, '"')); at = close + 1) {
		char *name;

		close = strchr(at + 1, '"');
		name = slice_copy(at, close + 1);
		if (strcmp(name, "\"at-least\"") && !strstr(elements, name))
			fail_msg("the table of operators has no %s", name);
		free(name);
	}
	json_decref(source);
}

/* The table of operators: every one of them, and each of its examples is true. */
static void test_readme_operators_hold_for_their_examples(void **state)
{
	char *page = read_page("conf/README.md");
	const char *line = strstr(page, "\n| in the list | holds for | not for |\n");
	struct buffer elements = {0};

	(void)state;
	assert_non_null(line);
	for (line = strstr(line, "\n| `") + 1; *line == '|'; line = strchr(line, '\n') + 1)
		check_row(line, &elements);
	check_all_operators(buffer_text(&elements));
	buffer_free(&elements);
	free(page);
}

/* "$or" and "at-least" are no elements that stand alone: they have examples of their own. */
static void test_readme_or_and_at_least_have_examples(void **state)
{
	json_t *files = examples_of("conf/README.md");
	char *text = json_dumps(files, JSON_COMPACT);

	(void)state;
	assert_non_null(strstr(text, "\"$or\":["));
	assert_non_null(strstr(text, "{\"at-least\":"));
	free(text);
	json_decref(files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_readme_examples_load),
	    cmocka_unit_test(test_readme_first_example_loads),
	    cmocka_unit_test(test_readme_every_setting_has_an_example),
	    cmocka_unit_test(test_readme_operators_hold_for_their_examples),
	    cmocka_unit_test(test_readme_or_and_at_least_have_examples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
