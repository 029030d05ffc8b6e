#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "postgres/database_priv.h"

/* The server has its chance to give up first. */
enum { DEADLINE_MARGIN_MS = 2000 };

struct database *database_new(const struct postgres_settings *settings, const char *name)
{
	struct database *database = MEM_NEW(struct database);

	database->settings = settings;
	database->name = name;
	database->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert(database->interrupt_fd >= 0);
	return database;
}

void database_free(struct database *database)
{
	database_drop(database);
	close(database->interrupt_fd);
	free(database->prepared);
	free(database);
}

void database_interrupt(struct database *database)
{
	atomic_store(&database->interrupted, true);
	eventfd_write(database->interrupt_fd, 1);
}

void database_set_error(struct database *database, const char *text, const char *sqlstate)
{
	size_t len;

	snprintf(database->error, sizeof(database->error), "%s", text);
	snprintf(database->sqlstate, sizeof(database->sqlstate), "%s", sqlstate);
	len = strlen(database->error);
	while (len && database->error[len - 1] == '\n')
		database->error[--len] = '\0';
	for (char *c = database->error; (c = strpbrk(c, "\r\n\t"));)
		*c = ' ';
}

const char *database_error(const struct database *database)
{
	return database->error;
}

const char *database_sqlstate(const struct database *database)
{
	return database->sqlstate;
}

uint64_t database_deadline(const struct database *database)
{
	return database->patient ? UINT64_MAX
				 : clock_monotonic_ms() + database->settings->statement_timeout_ms +
				       DEADLINE_MARGIN_MS;
}

int database_cancel(struct database *database)
{
	database_drop(database);
	database_set_error(database, "interrupted", "");
	return ERROR_CANCELLED;
}

static int poll_timeout(uint64_t deadline_ms)
{
	uint64_t now_ms = clock_monotonic_ms();
	enum { AT_MOST_MS = 60000 };

	if (now_ms >= deadline_ms)
		return 0;
	return deadline_ms - now_ms < AT_MOST_MS ? (int)(deadline_ms - now_ms) : AT_MOST_MS;
}

/* 1: the socket is ready; 0: the time is over. `fd` -1: none. */
static int wait_for(struct database *database, int fd, short events, uint64_t deadline_ms)
{
	struct pollfd fds[] = {{.fd = database->interrupt_fd, .events = POLLIN},
			       {.fd = fd, .events = events}};
	int timeout_ms;

	do {
		timeout_ms = poll_timeout(deadline_ms);
		/* EINTR counts as nothing ready. */
		if (poll(fds, 2, timeout_ms) < 0)
			fds[0].revents = fds[1].revents = 0;
		if (fds[0].revents)
			return database_cancel(database);
		if (fds[1].revents)
			return 1;
	} while (timeout_ms);
	return 0;
}

int database_await(struct database *database, short events, uint64_t deadline_ms)
{
	int rc = wait_for(database, PQsocket(database->connection), events, deadline_ms);

	if (rc == 0)
		return database_lose(database, "the server does not answer in time", "");
	return rc < 0 ? rc : 0;
}

int database_sleep(struct database *database, uint32_t ms)
{
	return wait_for(database, -1, 0, clock_monotonic_ms() + ms);
}

int database_next_notification(struct database *database, uint32_t timeout_ms,
			       PGnotify **notification)
{
	uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
	PGnotify *next;
	int rc;

	if (!database->connection)
		return ERROR_UNAVAILABLE;
	while (!(next = PQnotifies(database->connection))) {
		rc = wait_for(database, PQsocket(database->connection), POLLIN, deadline_ms);
		if (rc < 0)
			return rc;
		if (rc == 0)
			break;
		if (!PQconsumeInput(database->connection))
			return database_lose(database, NULL, "");
	}
	*notification = next;
	return 0;
}
