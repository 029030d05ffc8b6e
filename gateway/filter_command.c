#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "database_command.h"
#include "event/user_filter.h"
#include "postgres/user_filters.h"
#include "settings.h"

static const char usage[] =
    "usage: sluice filter add --config FILE --subject S --stream NAME --pattern JSON\n"
    "       sluice filter list --config FILE [--subject S]\n"
    "       sluice filter remove --config FILE --id N\n";

struct action;

struct arguments {
	struct database_command command; /* first */
	const struct action *action;
	const char *subject, *stream, *pattern, *id;
};

/* add */

static bool check_subject(const struct arguments *arguments)
{
	return database_command_check_text(&arguments->command, "--subject", arguments->subject,
					   USER_FILTERS_MAX_NAME_CHARS);
}

static bool check_stream(const struct arguments *arguments, const struct settings *settings)
{
	for (size_t i = 0; i < settings->stream_count; i++) {
		if (strcmp(settings->streams[i]->name, arguments->stream))
			continue;
		if (settings->streams[i]->user_filters)
			return true;
		database_command_fail(&arguments->command,
				      "--stream: \"%s\" does not say \"user_filters\": true",
				      arguments->stream);
		return false;
	}
	database_command_fail(&arguments->command,
			      "--stream: the configuration has no stream \"%s\"",
			      arguments->stream);
	return false;
}

static bool check_pattern(const struct arguments *arguments, struct slice text)
{
	struct pattern *pattern;
	struct pattern_error error;

	if (!user_filter_compile(text, &pattern, &error)) {
		pattern_free(pattern);
		return true;
	}
	database_command_fail(&arguments->command, "--pattern%s%s: %s",
			      *error.pointer ? " at " : "", error.pointer, error.reason);
	return false;
}

/* As PostgreSQL gives it back, it may be too long, or have a number written out. */
static int add_checked(const struct arguments *arguments, struct database *database)
{
	const struct user_filters_row row = {
	    .subject = slice_of(arguments->subject),
	    .stream = slice_of(arguments->stream),
	    .pattern = slice_of(arguments->pattern),
	};
	struct buffer stored = {0};
	int64_t id = 0;
	bool fits = true;
	int rc = user_filters_add(database, &row, USER_FILTER_MAX_PATTERNS, &id, &stored);

	if (!rc)
		fits = check_pattern(arguments, buffer_slice(&stored));
	buffer_free(&stored);
	if (rc == ERROR_LIMIT)
		return database_command_fail(&arguments->command,
					     "\"%s\" has %d filters for this stream already",
					     arguments->subject, USER_FILTER_MAX_PATTERNS);
	if (!rc && fits)
		rc = database_commit(database);
	if (rc)
		return database_command_fail_rc(&arguments->command, database, rc);
	if (!fits)
		return EXIT_FAILURE;
	printf("%lld\n", (long long)id);
	return EXIT_SUCCESS;
}

static int add(const struct arguments *arguments, struct database *database)
{
	int rc = database_begin(database), code;

	if (rc)
		return database_command_fail_rc(&arguments->command, database, rc);
	code = add_checked(arguments, database);
	if (code)
		database_rollback(database);
	return code;
}

/* list */

/* A JSON object a line: what a row holds is anybody's text. */
static void print_row(void *context, const struct user_filters_row *row)
{
	struct buffer line = {0};

	(void)context;
	buffer_append_format(&line, "{\"id\": %lld, \"subject\": ", (long long)row->id);
	buffer_append_json_string(&line, row->subject);
	buffer_append_text(&line, ", \"stream\": ");
	buffer_append_json_string(&line, row->stream);
	buffer_append_text(&line, ", \"created\": ");
	buffer_append_json_string(&line, row->created);
	buffer_append_text(&line, ", \"pattern\": ");
	buffer_append_slice(&line, row->pattern.base ? row->pattern : SLICE_LIT("null"));
	buffer_append_text(&line, "}");
	puts(buffer_text(&line));
	buffer_free(&line);
}

static int list(const struct arguments *arguments, struct database *database)
{
	struct slice subject = {0};
	int rc;

	if (arguments->subject)
		subject = slice_of(arguments->subject);
	rc = user_filters_list(database, subject, print_row, NULL);
	return rc ? database_command_fail_rc(&arguments->command, database, rc) : EXIT_SUCCESS;
}

/* remove */

static int remove_row(const struct arguments *arguments, struct database *database)
{
	char *end;
	long long id;
	int rc;

	errno = 0;
	id = strtoll(arguments->id, &end, 10);
	if (errno || end == arguments->id || *end || id < 1)
		return database_command_fail(&arguments->command,
					     "--id must be a filter's number, as list prints it");
	rc = user_filters_remove(database, id);
	if (rc == ERROR_NOT_FOUND)
		return database_command_fail(&arguments->command, "there is no filter %lld", id);
	return rc ? database_command_fail_rc(&arguments->command, database, rc) : EXIT_SUCCESS;
}

/* The table of actions: each needs all of `needs` and may have `may`. */
enum { SUBJECT = 1, STREAM = 2, PATTERN = 4, ID = 8 };

static const struct action {
	const char *name;
	unsigned needs, may;
	int (*run)(const struct arguments *arguments, struct database *database);
} actions[] = {
    {"add", SUBJECT | STREAM | PATTERN, 0, add},
    {"list", 0, SUBJECT, list},
    {"remove", ID, 0, remove_row},
};

static unsigned given(const struct arguments *arguments)
{
	return (arguments->subject ? SUBJECT : 0u) | (arguments->stream ? STREAM : 0u) |
	       (arguments->pattern ? PATTERN : 0u) | (arguments->id ? ID : 0u);
}

static const struct action *find_action(const struct arguments *arguments)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		const struct action *action = &actions[i];

		if (!strcmp(action->name, arguments->command.action) &&
		    (given(arguments) & ~action->may) == action->needs)
			return action;
	}
	return NULL;
}

static bool read_options(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'}, {"subject", required_argument, NULL, 's'},
	    {"stream", required_argument, NULL, 't'}, {"pattern", required_argument, NULL, 'p'},
	    {"id", required_argument, NULL, 'i'},     {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		const char **to = option == 'c'   ? &arguments->command.config
				  : option == 's' ? &arguments->subject
				  : option == 't' ? &arguments->stream
				  : option == 'p' ? &arguments->pattern
				  : option == 'i' ? &arguments->id
						  : NULL;

		if (!to)
			return false;
		*to = optarg;
	}
	if (optind + 1 != argc || !arguments->command.config)
		return false;
	arguments->command.action = argv[optind];
	return true;
}

static int run(const struct database_command *command, const struct settings *settings,
	       struct database *database)
{
	const struct arguments *arguments = (const struct arguments *)command;

	if (arguments->action->run == add &&
	    !(check_subject(arguments) && check_stream(arguments, settings) &&
	      check_pattern(arguments, slice_of(arguments->pattern))))
		return EXIT_FAILURE;
	return arguments->action->run(arguments, database);
}

int filter_command(int argc, char **argv)
{
	struct arguments arguments = {.command.name = "filter"};

	if (read_options(argc, argv, &arguments))
		arguments.action = find_action(&arguments);
	if (!arguments.action) {
		fputs(usage, stderr);
		return COMMAND_USAGE;
	}
	return database_command_run(&arguments.command, run);
}
