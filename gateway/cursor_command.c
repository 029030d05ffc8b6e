#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "postgres/cursors.h"
#include "settings.h"

static const char usage[] =
    "usage: sluice cursor list --config FILE [--subject S] [--stream NAME] [--name N]\n"
    "       sluice cursor delete --config FILE --subject S [--stream NAME] [--name N]\n";

struct arguments {
	const char *config;
	struct cursors_choice choice;
};

static int list(struct database *database, const struct cursors_choice *choice)
{
	return cursors_print(database, choice, stdout);
}

static int delete_chosen(struct database *database, const struct cursors_choice *choice)
{
	uint64_t deleted;
	int rc = cursors_delete(database, choice, &deleted);

	if (!rc)
		printf("%llu cursors deleted\n", (unsigned long long)deleted);
	return rc;
}

static int act(const struct settings *settings, const struct cursors_choice *choice,
	       int (*action)(struct database *, const struct cursors_choice *))
{
	struct database *database;
	int rc;

	if (!settings->postgres.url) {
		fputs("sluice cursor: the configuration names no \"postgres\": {\"url\": …}\n",
		      stderr);
		return EXIT_FAILURE;
	}
	database = database_new(&settings->postgres, "sluice cursor");
	rc = action(database, choice);
	if (rc)
		fprintf(stderr, "sluice cursor: %s\n", database_error(database));
	database_free(database);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* From argv[1] on; false: they are wrong. */
static bool parse(int argc, char **argv, struct arguments *arguments)
{
	enum { STREAM = 256, NAME, SUBJECT };
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
						{"subject", required_argument, NULL, SUBJECT},
						{"stream", required_argument, NULL, STREAM},
						{"name", required_argument, NULL, NAME},
						{NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		if (option == 'c')
			arguments->config = optarg;
		else if (option == SUBJECT)
			arguments->choice.subject = optarg;
		else if (option == STREAM)
			arguments->choice.stream = optarg;
		else if (option == NAME)
			arguments->choice.name = optarg;
		else
			return false;
	}
	return optind == argc && arguments->config;
}

int cursor_command(int argc, char **argv)
{
	int (*action)(struct database *, const struct cursors_choice *) = NULL;
	struct arguments arguments = {0};
	struct settings settings;
	int code;

	if (argc > 1 && !strcmp(argv[1], "list"))
		action = list;
	else if (argc > 1 && !strcmp(argv[1], "delete"))
		action = delete_chosen;
	if (!action || !parse(argc - 1, argv + 1, &arguments) ||
	    (action == delete_chosen && !arguments.choice.subject)) {
		fputs(usage, stderr);
		return COMMAND_USAGE;
	}
	if (settings_load_or_print(arguments.config, &settings))
		return EXIT_FAILURE;
	code = act(&settings, &arguments.choice, action);
	settings_free(&settings);
	return code;
}
