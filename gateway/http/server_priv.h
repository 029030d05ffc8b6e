/*
 * server_priv: what the loops share; written before they start, but for the atomics.
 */
#ifndef SLUICE_HTTP_SERVER_PRIV_H
#define SLUICE_HTTP_SERVER_PRIV_H

#include <h2o.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "http/http2_priv.h"
#include "http/server.h"

struct http_server {
	const struct http_settings *settings; /* borrowed */
	struct http_server_hooks hooks;
	h2o_globalconf_t config;
	struct http2_shared http2;
	SSL_CTX **tls;   /* one for each listener; NULL: clear text */
	uint16_t *ports; /* one for each listener */
	struct http_loop **loops;
	size_t loop_count;
	sem_t reached; /* posted by each loop when it runs, and when it is through */
	bool started;
	_Atomic bool draining;
	_Atomic bool stopping;
	_Atomic uint32_t connections;
};

#endif
