#include "database_command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"

#define UNDEFINED_TABLE "42P01" /* PostgreSQL's appendix A */

int database_command_fail(const struct database_command *command, const char *format, ...)
{
	va_list list;

	fprintf(stderr, "sluice %s%s%s: ", command->name, command->action ? " " : "",
		command->action ? command->action : "");
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
	return EXIT_FAILURE;
}

int database_command_fail_rc(const struct database_command *command,
			     const struct database *database, int rc)
{
	const char *why = database_error(database);

	if (!strcmp(database_sqlstate(database), UNDEFINED_TABLE))
		return database_command_fail(
		    command, "a table is missing: run sluice migrate --config %s", command->config);
	return database_command_fail(command, "%s%s%s", error_text(rc), *why ? ": " : "", why);
}

bool database_command_check_text(const struct database_command *command, const char *option,
				 const char *text, size_t max_chars)
{
	size_t chars = 0;

	for (const char *at = text; *at; at++)
		chars += (*at & 0xc0) != 0x80;
	if (chars > 0 && chars <= max_chars && utf8_is_valid(slice_of(text)))
		return true;
	database_command_fail(command, "%s must be 1 to %zu characters of UTF-8", option,
			      max_chars);
	return false;
}

static int run_with(const struct database_command *command, const struct settings *settings,
		    int (*run)(const struct database_command *command,
			       const struct settings *settings, struct database *database))
{
	char application[32];
	struct database *database;
	int code;

	if (!settings->postgres.url)
		return database_command_fail(
		    command, "the configuration names no \"postgres\": {\"url\": …}");
	snprintf(application, sizeof(application), "sluice %s", command->name);
	database = database_new(&settings->postgres, application);
	code = run(command, settings, database);
	database_free(database);
	return code;
}

int database_command_run(const struct database_command *command,
			 int (*run)(const struct database_command *command,
				    const struct settings *settings, struct database *database))
{
	struct settings settings;
	int code;

	if (settings_load_or_print(command->config, &settings))
		return EXIT_FAILURE;
	code = run_with(command, &settings, run);
	settings_free(&settings);
	return code;
}
