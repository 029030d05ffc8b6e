#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Written without stdio or log: both may allocate. */
static void *or_die(void *memory)
{
	static const char message[] = "sluice: out of memory\n";

	if (memory)
		return memory;
	if (write(STDERR_FILENO, message, sizeof(message) - 1) < 0)
		abort();
	abort();
}

/* malloc(0) may return NULL, which would look like exhaustion. */
static size_t at_least_one(size_t bytes)
{
	return bytes ? bytes : 1;
}

void *mem_alloc(size_t bytes)
{
	return or_die(malloc(at_least_one(bytes)));
}

void *mem_zalloc(size_t bytes)
{
	return or_die(calloc(1, at_least_one(bytes)));
}

void *mem_realloc(void *old, size_t bytes)
{
	return or_die(realloc(old, at_least_one(bytes)));
}

char *mem_strdup(const char *text)
{
	return mem_strndup(text, strlen(text));
}

char *mem_strndup(const char *text, size_t len)
{
	char *copy = mem_alloc(len + 1);

	if (len)
		memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}
