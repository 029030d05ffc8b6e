/* A real browser against a real Kafka: starts the broker and runs tests/browser, whose lines (TAP)
 * are this program's. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "lib/child.h"
#include "lib/kafka_broker.h"

enum { PARTITIONS = 3, PATIENCE_MS = 540000 };

static void print_log(const struct child *child)
{
	char *log = child_read_file(child->log);

	fputs(log, stdout);
	free(log);
}

int main(void)
{
	const char *const argv[] = {"tests/browser/run.sh", NULL};
	struct kafka_broker broker;
	struct child scenarios;
	int status;

	kafka_broker_start(&broker);
	kafka_broker_create_topic(&broker, "browser.orders", PARTITIONS);
	setenv("SLUICE_KAFKA", broker.bootstrap, 1);
	child_init(&scenarios, "browser");
	child_start(&scenarios, argv);
	status = child_wait(&scenarios, PATIENCE_MS);
	print_log(&scenarios);
	kafka_broker_fini(&broker);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}
