/*
 * loop_priv: a loop thread's inside.
 *
 * A turn: libh2o's callbacks (reads, writability); hooks.turn; every HTTP_TICK_MS the expiry of
 * timers and hooks.tick; the pumps: each connection that has something to write; last, what was
 * closed is freed. So nothing is freed under a callback.
 *
 * All but the freeing happens inside a callback of libh2o, and so must every write: the completion
 * of one that is begun outside waits for the next poll. That may take it for a write under way, go
 * on polling for room, and abort the process when there is some and nothing to write (2.2.5,
 * evloop.c.h, write_pending()).
 */
#ifndef SLUICE_HTTP_LOOP_PRIV_H
#define SLUICE_HTTP_LOOP_PRIV_H

#include <h2o.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "http/listener_priv.h"
#include "http/server.h"
#include "http/timer_list_priv.h"

struct http_loop {
	struct http_server *server; /* borrowed */
	pthread_t thread;
	bool started;
	sem_t may_end;
	h2o_evloop_t *evloop;
	h2o_context_t h2o;
	h2o_accept_ctx_t accept;
	h2o_multithread_receiver_t receiver;
	_Atomic bool woken; /* one wake is under way */
	void *context;      /* the hooks' */

	struct listener *listeners; /* one for each of the settings' */
	h2o_linklist_t connections; /* struct connection: every open socket */
	h2o_linklist_t pumps;       /* struct connection: something to write */
	h2o_linklist_t closed;      /* struct connection: freed at the end of the turn */
	void **dead;                /* freed at the end of the turn */
	size_t dead_count, dead_capacity;

	/* Of connections, but the last three: of an HTTP/2 stream. */
	struct timer_list head_timers;    /* settings.head_timeout_ms */
	struct timer_list idle_timers;    /* settings.idle_timeout_ms */
	struct timer_list slow_timers;    /* settings.slow_client_timeout_ms */
	struct timer_list linger_timers;  /* LINGER_MS */
	struct timer_list request_timers; /* settings.head_timeout_ms */
	struct timer_list reply_timers;   /* settings.slow_client_timeout_ms */
	struct timer_list reset_timers;   /* LINGER_MS */

	h2o_timeout_t inside; /* due at once; run by hand alone */
	h2o_timeout_entry_t inside_entry;
	void (*act)(struct http_loop *loop);

	struct buffer scratch; /* HTTP/2 gathers its frames here */
	uint64_t now_ms;       /* the monotonic clock, read once a turn */
	uint64_t next_tick_ms;
	bool draining; /* has been drained */
};

enum { LINGER_MS = 1000 };

/* Makes the loop; its thread is started by http_loop_start(), and has the number in its
 * name. */
struct http_loop *http_loop_new(struct http_server *server);
void http_loop_start(struct http_loop *loop, size_t number);
/* Never started, or it has said that it is through: ends and joins the thread. */
void http_loop_free(struct http_loop *loop);

/* free()s it at the end of the turn. */
void http_loop_bury(struct http_loop *loop, void *memory);

#endif
