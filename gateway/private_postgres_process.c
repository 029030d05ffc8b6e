#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "private_postgres_priv.h"

enum { MAX_CHILDREN = 1024, STEP_US = 2000, EXIT_NO_EXEC = 127 };

struct private_postgres_user private_postgres_choose_user(void)
{
	struct private_postgres_user user = {geteuid(), getegid(), false};
	const struct passwd *entry;

	if (user.uid != 0)
		return user;
	entry = getpwnam("postgres");
	if (!entry)
		entry = getpwnam("nobody");
	if (entry)
		user = (struct private_postgres_user){entry->pw_uid, entry->pw_gid, true};
	return user;
}

static bool has_programs(const char *folder)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/initdb", folder);
	if (access(path, X_OK))
		return false;
	snprintf(path, sizeof(path), "%s/postgres", folder);
	return access(path, X_OK) == 0;
}

static double version_of(const char *folder)
{
	const char *name = strstr(folder, "/postgresql/");

	return name ? strtod(name + strlen("/postgresql/"), NULL) : 0;
}

static bool find_installed(const char *version, char folder[4096])
{
	char pattern[128];
	glob_t found;
	double best = -1;

	snprintf(pattern, sizeof(pattern), "/usr/lib/postgresql/%.16s/bin",
		 version ? version : "*");
	if (glob(pattern, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			if (has_programs(found.gl_pathv[i]) &&
			    version_of(found.gl_pathv[i]) > best) {
				best = version_of(found.gl_pathv[i]);
				snprintf(folder, 4096, "%s", found.gl_pathv[i]);
			}
	globfree(&found);
	return best >= 0;
}

static bool find_in_path(char folder[4096])
{
	const char *path = getenv("PATH");

	while (path && *path) {
		size_t len = strcspn(path, ":");

		snprintf(folder, 4096, "%.*s", (int)len, path);
		if (has_programs(folder))
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

bool private_postgres_find_programs(const char *version, char folder[4096])
{
	return find_installed(version, folder) || find_in_path(folder);
}

static bool become_user(const struct private_postgres_user *user)
{
	return !user->other ||
	       (setgroups(1, &user->gid) == 0 && setgid(user->gid) == 0 && setuid(user->uid) == 0);
}

/* Its own session: what a terminal sends to the gateway is not for it. The parent's death is asked
 * for after the change of user, which takes such a wish back. */
static _Noreturn void become(const struct private_postgres_user *user, const char *folder, int log,
			     pid_t parent, const char *const *argv)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	close_range(STDERR_FILENO + 1, UINT32_MAX, 0);
	if (become_user(user) && !chdir(folder) && !prctl(PR_SET_PDEATHSIG, SIGQUIT) &&
	    getppid() == parent)
		execv(argv[0], (char *const *)(uintptr_t)argv);
	dprintf(STDERR_FILENO, "user %u cannot run %s in %s: %s\n", (unsigned)user->uid, argv[0],
		folder, strerror(errno));
	_exit(EXIT_NO_EXEC);
}

pid_t private_postgres_spawn(const struct private_postgres_user *user, const char *folder,
			     const char *log, const char *const *argv)
{
	int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	pid_t parent = getpid(), pid;

	if (log_fd < 0)
		return -1;
	pid = fork();
	if (pid == 0)
		become(user, folder, log_fd, parent, argv);
	close(log_fd);
	return pid;
}

/* proc(5): "PID (NAME) STATE PPID …"; NAME may have anything in it. 'X': there is none. */
static char read_state(pid_t pid, pid_t *parent)
{
	char path[64], text[512], *end;
	char state = 'X';
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return state;
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	end = strrchr(text, ')');
	if (!end || sscanf(end + 1, " %c %d", &state, parent) != 2)
		return 'X';
	return state;
}

static bool is_still(pid_t pid)
{
	pid_t parent;
	char state = read_state(pid, &parent);

	return strchr("TtZX", state) != NULL;
}

static bool is_dead(pid_t pid)
{
	pid_t parent;
	char state = read_state(pid, &parent);

	return state == 'Z' || state == 'X';
}

static size_t list_children(pid_t server, pid_t *pids)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	size_t count = 0;

	while (dir && (entry = readdir(dir)) && count < MAX_CHILDREN) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10), parent;

		if (pid > 0 && read_state(pid, &parent) != 'X' && parent == server)
			pids[count++] = pid;
	}
	if (dir)
		closedir(dir);
	return count;
}

void private_postgres_signal_all(pid_t server, int signal_number)
{
	pid_t children[MAX_CHILDREN];
	size_t count;

	if (signal_number != SIGCONT) {
		kill(server, SIGSTOP);
		while (!is_still(server))
			usleep(STEP_US);
	}
	count = list_children(server, children);
	for (size_t i = 0; i < count; i++)
		kill(children[i], signal_number);
	if (signal_number != SIGSTOP)
		kill(server, signal_number);
	for (size_t i = 0; signal_number == SIGKILL && i < count; i++)
		while (!is_dead(children[i]))
			usleep(STEP_US);
	for (size_t i = 0; signal_number == SIGSTOP && i < count; i++)
		while (!is_still(children[i]))
			usleep(STEP_US);
}
