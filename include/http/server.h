/*
 * server: the HTTP listeners and the loop threads behind them.
 *
 * Each loop is a thread with its own listening sockets (SO_REUSEPORT), connections and timers, and
 * shares nothing. What it is for hangs on the hooks. Order of calls: new, start, drain, stop, free;
 * drain may be left out.
 */
#ifndef SLUICE_HTTP_SERVER_H
#define SLUICE_HTTP_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "http/http_settings.h"

struct http_loop;
struct http_request;
struct http_server;

enum { HTTP_TICK_MS = 100 };

/* All but `request` may be NULL. */
struct http_server_hooks {
	void *context; /* borrowed */
	/* On the loop's thread, before its first turn; http_server_start() waits for it. Returns
	 * the loop's context. */
	void *(*loop_start)(void *context, struct http_loop *loop);
	/* On the loop's thread, after its last turn: no request and no stream is left. */
	void (*loop_stop)(void *loop_context);
	/* Answers the request, at once or later (http/request_priv.h). On the loop's thread. */
	void (*request)(void *context, struct http_request *request);
	/* Once in every turn of the loop, before the sockets are written. */
	void (*turn)(void *loop_context);
	/* Every HTTP_TICK_MS; `now_ms` is the monotonic clock's. */
	void (*tick)(void *loop_context, uint64_t now_ms);
};

/*
 * Loads the certificates and binds the ports. `settings` is borrowed for the life of the server,
 * `hooks` is copied. Errors: ERROR_IO a port that cannot be bound, ERROR_INVALID an address,
 * certificate or key that cannot be used; `error` says which, and why, without the listener's
 * secrets.
 */
MUST_CHECK int http_server_new(const struct http_settings *settings,
			       const struct http_server_hooks *hooks, struct http_server **server,
			       char error[512]);

/*
 * Starts the threads and accepts. SIGPIPE is ignored from here on in the whole process: a peer that
 * went is an error of a write.
 */
void http_server_start(struct http_server *server);

/*
 * Stops accepting, sends GOAWAY, closes connections that send nothing soon. Running requests are
 * answered, streams go on until their subscribers end. Returns at once. Thread: any.
 */
void http_server_drain(struct http_server *server);

/* Closes whatever is left and ends the loops: no hook is called any more. */
void http_server_stop(struct http_server *server);

/* Not started, or stopped. Joins the threads. */
void http_server_free(struct http_server *server);

/* The port of settings->listeners[listener], also where 0 was asked for. Thread: any. */
uint16_t http_server_port(const struct http_server *server, size_t listener);

/* Open TCP connections on all loops. Thread: any. */
uint32_t http_server_connections(const struct http_server *server);

size_t http_server_loop_count(const struct http_server *server);
struct http_loop *http_server_loop(const struct http_server *server, size_t number);

/*
 * Makes the loop take a turn soon; however often it is called before that, it is one wake. Before
 * the start it does nothing. Thread: any, until http_server_free().
 */
void http_loop_wake(struct http_loop *loop);

/* What loop_start returned. */
void *http_loop_context(const struct http_loop *loop);

#endif
