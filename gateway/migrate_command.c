#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "postgres/migrate.h"
#include "settings.h"

static int print_status(struct database *database, char why[512])
{
	return migrate_print_status(database, stdout, why);
}

static int apply(struct database *database, char why[512])
{
	unsigned applied;
	int rc = migrate_apply(database, &applied, why);

	if (!rc)
		printf("%u migrations applied\n", applied);
	return rc;
}

static int migrate(const struct settings *settings,
		   int (*action)(struct database *database, char why[512]))
{
	struct database *database;
	char why[512];
	int rc;

	if (!settings->postgres.url) {
		fputs("sluice migrate: the configuration names no \"postgres\": {\"url\": …}\n",
		      stderr);
		return EXIT_FAILURE;
	}
	database = database_new(&settings->postgres, "sluice migrate");
	rc = action(database, why);
	if (rc)
		fprintf(stderr, "sluice migrate: %s\n", why);
	database_free(database);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}

int migrate_command(int argc, char **argv)
{
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
						{"status", no_argument, NULL, 's'},
						{NULL, 0, NULL, 0}};
	int (*action)(struct database *, char[512]) = apply;
	const char *config = NULL;
	struct settings settings;
	int option, code;

	while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		if (option == '?')
			return COMMAND_USAGE;
		if (option == 's')
			action = print_status;
		else
			config = optarg;
	}
	if (!config || optind != argc) {
		fputs("usage: sluice migrate [--status] --config FILE\n", stderr);
		return COMMAND_USAGE;
	}
	if (settings_load_or_print(config, &settings))
		return EXIT_FAILURE;
	code = migrate(&settings, action);
	settings_free(&settings);
	return code;
}
