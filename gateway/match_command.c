#include <getopt.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "commands.h"
#include "event/document.h"
#include "event/pattern.h"

/* As the gateway reads a pattern; of a field that came twice one would be left out. */
enum { FLAGS = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES };

static void strip_newline(char *line, ssize_t *len)
{
	while (*len && (line[*len - 1] == '\n' || line[*len - 1] == '\r'))
		line[--*len] = '\0';
}

/* The pattern that the text, or the file after an @, holds; NULL: what is wrong was said. */
static struct pattern *read_pattern(const char *argument)
{
	struct pattern *pattern = NULL;
	struct pattern_error refused;
	json_error_t error;
	json_t *source = *argument == '@' ? json_load_file(argument + 1, FLAGS, &error)
					  : json_loads(argument, FLAGS, &error);

	if (!source)
		fprintf(stderr, "sluice match: the pattern is not JSON: line %d, column %d: %s\n",
			error.line, error.column, error.text);
	else if (pattern_compile(source, NULL, &pattern, &refused))
		fprintf(stderr, "sluice match: %s%s%s\n", refused.pointer,
			*refused.pointer ? ": " : "", refused.reason);
	json_decref(source);
	return pattern;
}

static int match_lines(const struct pattern *pattern)
{
	unsigned long number = 0, skipped = 0;
	char *line = NULL;
	size_t size = 0;
	ssize_t len;

	while ((len = getline(&line, &size, stdin)) >= 0) {
		json_t *event;

		number++;
		strip_newline(line, &len);
		if (!len)
			continue;
		event = document_parse((struct slice){line, (size_t)len});
		if (!event) {
			fprintf(stderr, "sluice match: line %lu is not JSON\n", number);
			skipped++;
		} else if (pattern_holds(pattern, event)) {
			puts(line);
		}
		json_decref(event);
	}
	free(line);
	return skipped ? EXIT_FAILURE : EXIT_SUCCESS;
}

static bool has_duplicates(struct slice text)
{
	json_error_t error;
	json_t *json = json_loadb(text.base, text.len, FLAGS, &error);
	bool read = json != NULL;

	json_decref(json);
	return !read && json_error_code(&error) == json_error_duplicate_key;
}

static json_t *parse_pattern(struct slice text)
{
	return has_duplicates(text) ? NULL : document_parse(text);
}

/* The JSON that a word of base64 (RFC 4648, 4) holds; NULL: it holds none. */
static json_t *decode_word(const char *word, json_t *(*parse)(struct slice text))
{
	size_t len = strlen(word);
	unsigned char *bytes = mem_alloc(len + 3);
	EVP_ENCODE_CTX *context = EVP_ENCODE_CTX_new();
	json_t *json = NULL;
	int first = 0, rest = 0;

	EVP_DecodeInit(context);
	if (EVP_DecodeUpdate(context, bytes, &first, (const unsigned char *)word, (int)len) >= 0 &&
	    EVP_DecodeFinal(context, bytes + first, &rest) == 1)
		json = parse((struct slice){(const char *)bytes, (size_t)(first + rest)});
	EVP_ENCODE_CTX_free(context);
	free(bytes);
	return json;
}

static const char *answer(const char *pattern_word, const char *event_word)
{
	json_t *source = decode_word(pattern_word, parse_pattern);
	json_t *event = decode_word(event_word, document_parse);
	struct pattern *pattern = NULL;
	struct pattern_error error;
	const char *found = "invalid";

	if (source && event && !pattern_compile(source, NULL, &pattern, &error))
		found = pattern_holds(pattern, event) ? "true" : "false";
	pattern_free(pattern);
	json_decref(source);
	json_decref(event);
	return found;
}

static int match_pairs(void)
{
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, stdin) >= 0) {
		char *rest = line;
		const char *pattern = strtok_r(line, " \t\r\n", &rest);
		const char *event = pattern ? strtok_r(NULL, " \t\r\n", &rest) : NULL;

		puts(event ? answer(pattern, event) : "invalid");
		fflush(stdout);
	}
	free(line);
	return EXIT_SUCCESS;
}

int match_command(int argc, char **argv)
{
	static const struct option options[] = {{"pairs", no_argument, NULL, 'p'},
						{NULL, 0, NULL, 0}};
	bool pairs = false;
	struct pattern *pattern;
	int option, code;

	optind = 0;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 'p')
			return COMMAND_USAGE;
		pairs = true;
	}
	if (optind + (pairs ? 0 : 1) != argc) {
		fputs("usage: sluice match PATTERN < events, or sluice match --pairs < words\n",
		      stderr);
		return COMMAND_USAGE;
	}
	if (pairs)
		return match_pairs();
	pattern = read_pattern(argv[optind]);
	if (!pattern)
		return EXIT_FAILURE;
	code = match_lines(pattern);
	pattern_free(pattern);
	return code;
}
