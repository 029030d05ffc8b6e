/*
 * listener: a loop's listening socket for one of the settings' listeners.
 */
#ifndef SLUICE_HTTP_LISTENER_PRIV_H
#define SLUICE_HTTP_LISTENER_PRIV_H

#include <h2o.h>
#include <stdbool.h>

#include "base/error.h"
#include "http/http_settings.h"

struct http_loop;

struct listener {
	struct http_loop *loop;
	const struct http_listener_settings *settings;
	SSL_CTX *tls; /* NULL: clear text */
	int fd;       /* bound; the socket's from listener_start() on */
	h2o_socket_t *socket;
	uint64_t paused_until_ms; /* 0: it accepts */
};

/*
 * Binds a socket for the settings, on `*port` where that is not 0; else *port becomes the one that
 * was bound. The first of several says so with `first`: it makes sure that no other process has the
 * port, which SO_REUSEPORT would let pass in silence. Errors: ERROR_INVALID the address, ERROR_IO;
 * `error` says why.
 */
MUST_CHECK int listener_bind(const struct http_listener_settings *settings, bool first,
			     uint16_t *port, int *fd, char error[512]);

/* Accepts from now on. Thread: the loop's. Errors are logged: the port was another's in the
 * meantime. */
void listener_start(struct listener *listener);
/* Takes a pause to its end. Every tick. */
void listener_tick(struct listener *listener);
/* Accepts what is in the queue and closes the socket. */
void listener_stop(struct listener *listener);

#endif
