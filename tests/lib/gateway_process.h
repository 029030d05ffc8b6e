/*
 * gateway_process: the gateway itself, $SLUICE_BINARY, started with a configuration given as text.
 *
 * Its log goes to a file that the runner prints when the test fails. The configuration's first
 * listener is in clear text and serves the admin endpoints. Give listeners ports of
 * child_free_port() where the gateway is to come back on the same port. Thread: the one that
 * started it.
 */
#ifndef SLUICE_TESTS_LIB_GATEWAY_PROCESS_H
#define SLUICE_TESTS_LIB_GATEWAY_PROCESS_H

#include <stddef.h>
#include <stdint.h>

#include "lib/child.h"

enum { GATEWAY_PROCESS_LISTENERS = 4 };

struct gateway_process {
	struct child child;
	char folder[CHILD_PATH_BYTES]; /* for files of the test's own, too */
	char config[CHILD_PATH_BYTES + 16];
	uint16_t
	    ports[GATEWAY_PROCESS_LISTENERS]; /* of the listeners, in the configuration's order */
	char url[64];                         /* of the first: "http://127.0.0.1:PORT" */
};

/* Makes the folder; nothing runs yet. */
void gateway_process_init(struct gateway_process *gateway);
/* Writes the configuration that the next start reads. */
void gateway_process_configure(struct gateway_process *gateway, const char *config);
/* Returns when /healthz is answered. */
void gateway_process_start(struct gateway_process *gateway);
/* Returns when /readyz says that every topic is caught up; ends the program with what it said after
 * `patience_ms`. */
void gateway_process_wait_ready(struct gateway_process *gateway, uint32_t patience_ms);
/* Starts it and waits until it is ready. */
void gateway_process_start_ready(struct gateway_process *gateway);
/* All of this with one that is not initialised: it is ready with this configuration. */
void gateway_process_launch(struct gateway_process *gateway, const char *config);
/* SIGTERM; the status as waitpid() gives it. This and what follows end the program where the log
 * has a sanitizer's report. */
int gateway_process_stop(struct gateway_process *gateway);
/* SIGKILL. */
void gateway_process_kill(struct gateway_process *gateway);
/* Stops it where it runs, which must end well (leaks are found then), and removes its folder. */
void gateway_process_fini(struct gateway_process *gateway);

/* Runs `sluice ARGUMENTS… --config …` on its configuration, `arguments` up to a NULL. Returns what
 * it said on both outputs, the caller's to free(); `exit_code` -1: it did not end by itself. */
char *gateway_process_run(const struct gateway_process *gateway, const char *const *arguments,
			  int *exit_code);

/* One sample of /metrics: `series` with its labels as they stand there. -1: there is none. */
double gateway_process_metric(struct gateway_process *gateway, const char *series);
/* Returns when that is `least` or more; ends the program where it never is. */
void gateway_process_wait_metric(struct gateway_process *gateway, const char *series, double least);
/* Resident memory in bytes. */
size_t gateway_process_memory(const struct gateway_process *gateway);
/* How many lines of the log since the last start hold the text. */
size_t gateway_process_count_log(const struct gateway_process *gateway, const char *text);

#endif
