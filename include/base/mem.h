/*
 * mem: allocation that cannot fail.
 *
 * What a peer can size is bounded by configuration before it is allocated, so exhaustion is an
 * operator's matter: the process says so and ends, and clients resume elsewhere with their ids.
 */
#ifndef SLUICE_BASE_MEM_H
#define SLUICE_BASE_MEM_H

#include <stddef.h>

/* Each returns memory that the caller releases with free(). Thread: any. */
void *mem_alloc(size_t bytes);
void *mem_zalloc(size_t bytes);
void *mem_realloc(void *old, size_t bytes);
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t len);

/* A zeroed struct of the pointer's type: `struct x *x = MEM_NEW(struct x);` */
#define MEM_NEW(type) ((type *)mem_zalloc(sizeof(type)))

#endif
