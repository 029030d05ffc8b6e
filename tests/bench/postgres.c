/*
 * postgres: the benchmark's PostgreSQL, which keeps what it has committed as one that is installed
 * does. Prints its address as JSON, ends with standard input.
 *
 *     postgres FOLDER      of its own
 */
#include <err.h>
#include <stdio.h>
#include <unistd.h>

#include "private_postgres.h"

static const char *const options[] = {
    "fsync=on",         "full_page_writes=on", "shared_buffers=256MB",
    "min_wal_size=2GB", "max_wal_size=16GB",   NULL,
};

static void wait_for_end(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

int main(int argc, char **argv)
{
	struct private_postgres *postgres;
	char why[512];

	if (argc != 2)
		errx(2, "usage: postgres FOLDER");
	if (private_postgres_new(argv[1], options, &postgres, why) ||
	    private_postgres_start(postgres, why))
		errx(1, "%s", why);
	printf("{\"url\": \"%s\"}\n", private_postgres_url(postgres));
	fflush(stdout);
	wait_for_end();
	private_postgres_free(postgres);
	return 0;
}
