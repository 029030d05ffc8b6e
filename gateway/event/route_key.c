#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "event/pattern.h"
#include "event/siphash_priv.h"

static uint64_t process_key[2];
static pthread_once_t process_key_once = PTHREAD_ONCE_INIT;

/* Asked for at most 256 bytes, getrandom() is never short; it can be interrupted while the kernel's
 * pool starts. */
static void make_process_key(void)
{
	ssize_t got;

	do
		got = getrandom(process_key, sizeof(process_key), 0);
	while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(process_key)) {
		perror("getrandom");
		abort();
	}
}

uint64_t route_key_hash(struct slice key)
{
	pthread_once(&process_key_once, make_process_key);
	return siphash_2_4(process_key, key);
}

uint64_t route_key_stable_hash(struct slice key)
{
	/* Any two numbers; never others. */
	static const uint64_t stable_key[2] = {0x736c756963652d72, 0x6f7574652d6b6579};

	return siphash_2_4(stable_key, key);
}
