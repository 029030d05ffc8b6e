#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "database_command.h"
#include "postgres/cursors.h"

static const char usage[] =
    "usage: sluice cursor list --config FILE [--subject S] [--stream NAME] [--name N]\n"
    "       sluice cursor delete --config FILE --subject S [--stream NAME] [--name N]\n";

struct arguments {
	struct database_command command; /* first */
	int (*action)(struct database *database, const struct cursors_choice *choice);
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
			arguments->command.config = optarg;
		else if (option == SUBJECT)
			arguments->choice.subject = optarg;
		else if (option == STREAM)
			arguments->choice.stream = optarg;
		else if (option == NAME)
			arguments->choice.name = optarg;
		else
			return false;
	}
	return optind == argc && arguments->command.config;
}

static int run(const struct database_command *command, const struct settings *settings,
	       struct database *database)
{
	const struct arguments *arguments = (const struct arguments *)command;
	int rc = arguments->action(database, &arguments->choice);

	(void)settings;
	return rc ? database_command_fail_rc(command, database, rc) : EXIT_SUCCESS;
}

int cursor_command(int argc, char **argv)
{
	struct arguments arguments = {.command = {.name = "cursor", .action = argv[1]}};

	if (argc > 1 && !strcmp(argv[1], "list"))
		arguments.action = list;
	else if (argc > 1 && !strcmp(argv[1], "delete"))
		arguments.action = delete_chosen;
	if (!arguments.action || !parse(argc - 1, argv + 1, &arguments) ||
	    (arguments.action == delete_chosen && !arguments.choice.subject)) {
		fputs(usage, stderr);
		return COMMAND_USAGE;
	}
	return database_command_run(&arguments.command, run);
}
