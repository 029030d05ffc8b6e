#include "lib/child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"

void child_die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("test environment: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

void child_sleep_ms(uint32_t ms)
{
	struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static const char *temporary_folder(void)
{
	const char *path = getenv("TMPDIR");
	return path && *path ? path : "/tmp";
}

void child_init(struct child *child, const char *name)
{
	const char *logs = getenv("SLUICE_TEST_LOGS");
	memset(child, 0, sizeof(*child));
	snprintf(child->name, sizeof(child->name), "%s", name);
	snprintf(child->log, sizeof(child->log), "%s/%s-XXXXXX.log",
		 logs ? logs : temporary_folder(), name);
	int fd = mkstemps(child->log, (int)strlen(".log"));
	if (fd < 0)
		child_die("can't make %s: %s", child->log, strerror(errno));
	close(fd);
}

static _Noreturn void child_become(const struct child *child, pid_t parent,
				   const char *const argv[])
{
	/* The parent may have died before the request took effect. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(127);
	int log = open(child->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	int null = open("/dev/null", O_RDONLY);
	if (log < 0 || null < 0)
		_exit(127);
	dup2(null, STDIN_FILENO);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	/* A listening socket of the test would otherwise be kept open by its children. */
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

void child_start(struct child *child, const char *const argv[])
{
	if (child->pid)
		child_die("%s runs already", child->name);
	struct stat log;
	child->log_start = stat(child->log, &log) == 0 ? (size_t)log.st_size : 0;
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0)
		child_die("fork: %s", strerror(errno));
	if (pid == 0)
		child_become(child, parent, argv);
	child->pid = pid;
}

/* True when it has ended; then *status is set and the child is reaped. */
static bool child_reap(struct child *child, int *status, int options)
{
	pid_t pid;
	do
		pid = waitpid(child->pid, status, options);
	while (pid < 0 && errno == EINTR);
	if (pid == 0)
		return false;
	child->pid = 0;
	return true;
}

bool child_running(struct child *child)
{
	int status;
	return child->pid && !child_reap(child, &status, WNOHANG);
}

int child_wait(struct child *child, uint32_t patience_ms)
{
	int status = -1;
	uint64_t deadline = clock_monotonic_ms() + patience_ms;
	if (!child->pid)
		return -1;
	while (!child_reap(child, &status, WNOHANG)) {
		if (clock_monotonic_ms() >= deadline) {
			fprintf(stderr, "%s did not end in %u ms: killed\n", child->name,
				patience_ms);
			kill(child->pid, SIGKILL);
			child_reap(child, &status, 0);
			break;
		}
		child_sleep_ms(5);
	}
	return status;
}

int child_stop(struct child *child, uint32_t patience_ms)
{
	if (child->pid)
		kill(child->pid, SIGTERM);
	return child_wait(child, patience_ms);
}

void child_kill(struct child *child)
{
	int status;
	if (!child->pid)
		return;
	kill(child->pid, SIGKILL);
	child_reap(child, &status, 0);
}

uint16_t child_free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		child_die("no free port: %s", strerror(errno));
	close(fd);
	return ntohs(address.sin_port);
}

void child_export_port(const char *name)
{
	char port[8];

	snprintf(port, sizeof(port), "%u", child_free_port());
	setenv(name, port, 1);
}

void child_make_folder(char *path)
{
	snprintf(path, CHILD_PATH_BYTES, "%s/sluice-test-XXXXXX", temporary_folder());
	if (!mkdtemp(path))
		child_die("can't make %s: %s", path, strerror(errno));
}

static int remove_entry(const char *path, const struct stat *state, int type, struct FTW *walk)
{
	(void)state, (void)type, (void)walk;
	remove(path);
	return 0;
}

void child_remove_folder(const char *path)
{
	nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void child_write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	if (!file || fputs(text, file) < 0 || fclose(file) != 0)
		child_die("can't write %s: %s", path, strerror(errno));
}

char *child_read_file(const char *path)
{
	struct buffer text = {0};
	size_t n;
	FILE *file = fopen(path, "r");
	if (!file)
		child_die("can't read %s: %s", path, strerror(errno));
	while ((n = fread(buffer_reserve(&text, 4096), 1, 4096, file)) > 0)
		text.len += n;
	fclose(file);
	buffer_text(&text);
	return text.base;
}
