/*
 * child: a process that a test starts, with its output in a file.
 *
 * It gets SIGKILL when the test program dies, however that happens. What breaks here is the
 * machine, not the gateway, so every failure ends the program with a message (child_die). Thread:
 * the one that started it.
 */
#ifndef SLUICE_TESTS_LIB_CHILD_H
#define SLUICE_TESTS_LIB_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { CHILD_PATH_BYTES = 256 };

struct child {
	pid_t pid; /* 0: none runs */
	char name[32];
	char log[CHILD_PATH_BYTES]; /* standard output and error, appended over restarts */
	size_t log_start;           /* where the last start's output begins in it */
};

/*
 * Names the child and its log: a new file in $SLUICE_TEST_LOGS (where the runner finds it when the
 * test fails), or in the temporary folder.
 */
void child_init(struct child *child, const char *name);
/* Starts argv[0] (searched in PATH) with the environment of the test. */
void child_start(struct child *child, const char *const argv[]);
bool child_running(struct child *child);
/* SIGTERM, then SIGKILL after `patience_ms`. Returns the exit status as waitpid() gives it; -1:
 * nothing ran. */
int child_stop(struct child *child, uint32_t patience_ms);
/* SIGKILL, and waits. */
void child_kill(struct child *child);
/* Waits for its end without a signal; the status as waitpid() gives it. SIGKILL after
 * `patience_ms`. */
int child_wait(struct child *child, uint32_t patience_ms);

/* A TCP port of 127.0.0.1 that nobody listens on. It stays free long enough in practice, not in
 * principle. */
uint16_t child_free_port(void);
/* Sets the environment variable to such a port. */
void child_export_port(const char *name);

/* Makes a folder below $TMPDIR or /tmp; `path` holds CHILD_PATH_BYTES. */
void child_make_folder(char *path);
/* Removes it with all that is in it. */
void child_remove_folder(const char *path);
/* Writes a file, ends the program where it can't. */
void child_write_file(const char *path, const char *text);
/* The whole file as a string that the caller frees. */
char *child_read_file(const char *path);

void child_sleep_ms(uint32_t ms);
_Noreturn void child_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
