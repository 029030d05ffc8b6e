#include "private_postgres.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/mem.h"
#include "private_postgres_priv.h"

#define SOCKET_NAME ".s.PGSQL.5432.lock"

enum { START_MS = 60000, STOP_MS = 30000, STEP_US = 5000, MAX_ARGUMENTS = 64, WHY_BYTES = 512 };

struct private_postgres {
	char *folder, *data, *log; /* absolute */
	char *sockets;             /* `folder`, or one of its own where that is too long */
	char *url;
	const char *const *options;
	char programs[4096];
	struct private_postgres_user user;
	int folder_fd; /* locked: one process at a time */
	pid_t server;  /* 0: does not run */
	bool paused;
};

static const char *const defaults[] = {
    "listen_addresses=", "fsync=off",        "full_page_writes=off", "shared_buffers=64MB",
    "max_wal_size=1GB",  "log_timezone=UTC", "timezone=UTC",         NULL,
};

static char *join(const char *first, const char *second)
{
	struct buffer text = {0};

	buffer_append_text(&text, first);
	buffer_append_text(&text, second);
	buffer_text(&text);
	return text.base;
}

static int fail(char why[WHY_BYTES], const char *what, const char *path)
{
	snprintf(why, WHY_BYTES, "%s %.400s: %s", what, path, strerror(errno));
	return ERROR_IO;
}

static int make_folders(const char *folder, char why[WHY_BYTES])
{
	char *path = mem_strdup(folder);
	int rc = 0;

	for (char *slash = path; (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	if (mkdir(path, 0700) && errno != EEXIST)
		rc = fail(why, "cannot make", folder);
	free(path);
	return rc;
}

static int give(const struct private_postgres *postgres, const char *path, char why[WHY_BYTES])
{
	if (postgres->user.other && chown(path, postgres->user.uid, postgres->user.gid))
		return fail(why, "cannot give away", path);
	return 0;
}

static int open_folder(struct private_postgres *postgres, const char *folder, char why[WHY_BYTES])
{
	int rc = make_folders(folder, why);

	if (rc)
		return rc;
	postgres->folder = realpath(folder, NULL);
	if (!postgres->folder)
		return fail(why, "cannot find", folder);
	postgres->data = join(postgres->folder, "/data");
	postgres->log = join(postgres->folder, "/log");
	postgres->folder_fd = open(postgres->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (postgres->folder_fd < 0)
		return fail(why, "cannot open", folder);
	if (flock(postgres->folder_fd, LOCK_EX | LOCK_NB)) {
		snprintf(why, WHY_BYTES, "%.400s is another process's", folder);
		return ERROR_IO;
	}
	return give(postgres, postgres->folder, why);
}

/* unix(7): a socket's path is short. */
static int choose_sockets(struct private_postgres *postgres, char why[WHY_BYTES])
{
	static const char own[] = "/tmp/sluice-postgres-XXXXXX";
	const size_t most =
	    sizeof(((struct sockaddr_un *)NULL)->sun_path) - sizeof("/" SOCKET_NAME);

	if (strlen(postgres->folder) <= most) {
		postgres->sockets = mem_strdup(postgres->folder);
		return 0;
	}
	postgres->sockets = mem_strdup(own);
	if (!mkdtemp(postgres->sockets))
		return fail(why, "cannot make", own);
	return give(postgres, postgres->sockets, why);
}

static void make_url(struct private_postgres *postgres)
{
	struct buffer url = {0};

	buffer_append_text(&url, "postgresql:///postgres?user=sluice&host=");
	for (const char *c = postgres->sockets; *c; c++) {
		if (isalnum((unsigned char)*c))
			buffer_append(&url, c, 1);
		else
			buffer_append_format(&url, "%%%02X", (unsigned char)*c);
	}
	buffer_text(&url);
	postgres->url = url.base;
}

/* The major version that made the cluster; false: there is none. */
static bool read_version(const struct private_postgres *postgres, char version[16])
{
	char *path = join(postgres->data, "/PG_VERSION");
	FILE *file = fopen(path, "re");
	bool found = file && fscanf(file, "%15s", version) == 1;

	if (file)
		fclose(file);
	free(path);
	return found;
}

/* The last line that the programs wrote, or as much of it as there is room for. */
static void append_last_words(const struct private_postgres *postgres, char why[WHY_BYTES])
{
	FILE *file = fopen(postgres->log, "re");
	size_t len = strlen(why);
	char line[256], last[256] = "nothing";

	while (file && fgets(line, sizeof(line), file))
		if (line[0] != '\n')
			memcpy(last, line, sizeof(last));
	if (file)
		fclose(file);
	last[strcspn(last, "\n")] = '\0';
	snprintf(why + len, WHY_BYTES - len, "; the log %.128s ends with: %s", postgres->log, last);
}

static int remove_entry(const char *path, const struct stat *state, int type, struct FTW *walk)
{
	(void)state, (void)type, (void)walk;
	remove(path);
	return 0;
}

static int run_initdb(const struct private_postgres *postgres, const char *folder,
		      char why[WHY_BYTES])
{
	char *program = join(postgres->programs, "/initdb");
	const char *const argv[] = {
	    program,      "-D",   folder,       "-U", "sluice",          "-A", "trust",
	    "--encoding", "UTF8", "--locale=C", "-N", "--wal-segsize=1", NULL,
	};
	pid_t pid = private_postgres_spawn(&postgres->user, postgres->folder, postgres->log, argv);
	int status = -1;

	if (pid > 0)
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	free(program);
	if (status == 0)
		return 0;
	snprintf(why, WHY_BYTES, "initdb failed");
	append_last_words(postgres, why);
	return ERROR_IO;
}

/* What was not finished does not look like a cluster. */
static int make_cluster(const struct private_postgres *postgres, char why[WHY_BYTES])
{
	char *unfinished = join(postgres->folder, "/data.new");
	int rc;

	nftw(unfinished, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	rc = run_initdb(postgres, unfinished, why);
	if (!rc && rename(unfinished, postgres->data))
		rc = fail(why, "cannot make", postgres->data);
	free(unfinished);
	return rc;
}

static int prepare(struct private_postgres *postgres, const char *folder, char why[WHY_BYTES])
{
	char version[16];
	bool exists;
	int rc = open_folder(postgres, folder, why);

	if (!rc)
		rc = choose_sockets(postgres, why);
	if (rc)
		return rc;
	make_url(postgres);
	exists = read_version(postgres, version);
	if (!private_postgres_find_programs(exists ? version : NULL, postgres->programs)) {
		snprintf(why, WHY_BYTES, "PostgreSQL's server%s%s is not installed",
			 exists ? " " : "", exists ? version : "");
		return ERROR_NOT_FOUND;
	}
	return exists ? 0 : make_cluster(postgres, why);
}

int private_postgres_new(const char *folder, const char *const *options,
			 struct private_postgres **made, char why[512])
{
	struct private_postgres *postgres = MEM_NEW(struct private_postgres);
	int rc;

	postgres->options = options;
	postgres->folder_fd = -1;
	postgres->user = private_postgres_choose_user();
	rc = prepare(postgres, folder, why);
	if (rc)
		private_postgres_free(postgres);
	else
		*made = postgres;
	return rc;
}

void private_postgres_free(struct private_postgres *postgres)
{
	private_postgres_stop(postgres);
	if (postgres->sockets && strcmp(postgres->sockets, postgres->folder))
		rmdir(postgres->sockets);
	if (postgres->folder_fd >= 0)
		close(postgres->folder_fd);
	free(postgres->folder);
	free(postgres->data);
	free(postgres->log);
	free(postgres->sockets);
	free(postgres->url);
	free(postgres);
}

const char *private_postgres_url(const struct private_postgres *postgres)
{
	return postgres->url;
}

static size_t add_options(const char **argv, size_t count, const char *const *options)
{
	for (; options && *options && count + 3 < MAX_ARGUMENTS; options++) {
		argv[count++] = "-c";
		argv[count++] = *options;
	}
	return count;
}

static pid_t spawn_server(const struct private_postgres *postgres)
{
	char *program = join(postgres->programs, "/postgres");
	const char *argv[MAX_ARGUMENTS] = {program, "-D", postgres->data, "-k", postgres->sockets};
	size_t count = add_options(argv, 5, defaults);
	pid_t pid;

	argv[add_options(argv, count, postgres->options)] = NULL;
	pid = private_postgres_spawn(&postgres->user, postgres->folder, postgres->log, argv);
	free(program);
	return pid;
}

/* postmaster.pid: the first line is its process, the eighth what it says of itself (pg_ctl waits
 * for the same). */
static bool is_ready(const struct private_postgres *postgres)
{
	char *path = join(postgres->data, "/postmaster.pid");
	FILE *file = fopen(path, "re");
	char line[4200] = "";
	bool ours = false, ready = false;

	for (int i = 1; file && i <= 8 && fgets(line, sizeof(line), file); i++) {
		if (i == 1)
			ours = strtol(line, NULL, 10) == postgres->server;
		ready = i == 8 && strncmp(line, "ready", 5) == 0;
	}
	if (file)
		fclose(file);
	free(path);
	return ours && ready;
}

/* Within the time; then it is reaped. */
static bool has_ended(struct private_postgres *postgres, uint32_t patience_ms)
{
	uint64_t deadline_ms = clock_monotonic_ms() + patience_ms;

	while (waitpid(postgres->server, NULL, WNOHANG) == 0) {
		if (clock_monotonic_ms() >= deadline_ms)
			return false;
		usleep(STEP_US);
	}
	postgres->server = 0;
	return true;
}

int private_postgres_start(struct private_postgres *postgres, char why[512])
{
	uint64_t deadline_ms = clock_monotonic_ms() + START_MS;

	postgres->server = spawn_server(postgres);
	if (postgres->server < 0) {
		postgres->server = 0;
		return fail(why, "cannot start", postgres->programs);
	}
	while (!is_ready(postgres)) {
		if (has_ended(postgres, 0)) {
			snprintf(why, WHY_BYTES, "PostgreSQL ended at once");
			append_last_words(postgres, why);
			return ERROR_IO;
		}
		if (clock_monotonic_ms() >= deadline_ms) {
			private_postgres_kill(postgres);
			snprintf(why, WHY_BYTES, "PostgreSQL did not become ready");
			append_last_words(postgres, why);
			return ERROR_IO;
		}
		usleep(STEP_US);
	}
	return 0;
}

void private_postgres_stop(struct private_postgres *postgres)
{
	if (!postgres->server)
		return;
	private_postgres_resume(postgres);
	kill(postgres->server, SIGINT);
	if (!has_ended(postgres, STOP_MS))
		private_postgres_kill(postgres);
}

void private_postgres_kill(struct private_postgres *postgres)
{
	if (!postgres->server)
		return;
	private_postgres_signal_all(postgres->server, SIGKILL);
	while (!has_ended(postgres, STOP_MS))
		;
	postgres->paused = false;
}

void private_postgres_pause(struct private_postgres *postgres)
{
	if (!postgres->server || postgres->paused)
		return;
	private_postgres_signal_all(postgres->server, SIGSTOP);
	postgres->paused = true;
}

void private_postgres_resume(struct private_postgres *postgres)
{
	if (!postgres->server || !postgres->paused)
		return;
	private_postgres_signal_all(postgres->server, SIGCONT);
	postgres->paused = false;
}
