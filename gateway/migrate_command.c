#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "database_command.h"
#include "postgres/migrate.h"

static int print_status(const struct database_command *command, const struct settings *settings,
			struct database *database)
{
	char why[512];
	int rc = migrate_print_status(database, stdout, why);

	(void)settings;
	return rc ? database_command_fail(command, "%s", why) : EXIT_SUCCESS;
}

static int apply(const struct database_command *command, const struct settings *settings,
		 struct database *database)
{
	unsigned applied;
	char why[512];

	(void)settings;
	if (migrate_apply(database, &applied, why))
		return database_command_fail(command, "%s", why);
	printf("%u migrations applied\n", applied);
	return EXIT_SUCCESS;
}

int migrate_command(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
						{"status", no_argument, NULL, 's'},
						{NULL, 0, NULL, 0}};
	struct database_command command = {.name = "migrate"};
	int option;
	bool status = false;

	while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		if (option == '?')
			return COMMAND_USAGE;
		if (option == 's')
			status = true;
		else
			command.config = optarg;
	}
	if (!command.config || optind != argc) {
		fputs("usage: sluice migrate [--status] --config FILE\n", stderr);
		return COMMAND_USAGE;
	}
	return database_command_run(&command, status ? print_status : apply);
}
