/*
 * The processes of a private PostgreSQL cluster: which programs, as whom, and signals to all.
 */
#ifndef SLUICE_PRIVATE_POSTGRES_PRIV_H
#define SLUICE_PRIVATE_POSTGRES_PRIV_H

#include <stdbool.h>
#include <sys/types.h>

/* Who runs the server. */
struct private_postgres_user {
	uid_t uid;
	gid_t gid;
	bool other; /* not who we are */
};

struct private_postgres_user private_postgres_choose_user(void);

/* The folder of `initdb` and `postgres`, of major `version` where one is given, else the newest.
 * False: none is installed. */
bool private_postgres_find_programs(const char *version, char folder[4096]);

/* Starts argv[0] in `folder`, its output appended to the file `log`. It gets SIGQUIT when the
 * calling thread ends. -1: cannot. */
pid_t private_postgres_spawn(const struct private_postgres_user *user, const char *folder,
			     const char *log, const char *const *argv);

/* Signals the server, waits until it is stopped where `signal_number` is SIGSTOP or SIGKILL, so
 * that it has no new children, and then signals those. */
void private_postgres_signal_all(pid_t server, int signal_number);

#endif
