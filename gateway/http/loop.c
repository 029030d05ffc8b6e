#include "http/loop_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/connection_priv.h"
#include "http/http1_priv.h"
#include "http/http2_priv.h"
#include "http/server_priv.h"

enum {
	/* A stop waits for close_notifies that are being written; then it breaks the sockets, so
	   this many turns are enough. */
	STOP_TURNS = 50,
};

/* A wake is all that is ever sent. */
static void on_message(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
	(void)receiver;
	(void)messages;
}

static void init_timers(struct http_loop *loop, const struct http_settings *settings)
{
	timer_list_init(&loop->head_timers, settings->head_timeout_ms, connection_expire);
	timer_list_init(&loop->idle_timers, settings->idle_timeout_ms, connection_expire);
	timer_list_init(&loop->slow_timers, settings->slow_client_timeout_ms, connection_expire);
	timer_list_init(&loop->linger_timers, LINGER_MS, connection_expire);
	timer_list_init(&loop->request_timers, settings->head_timeout_ms, http2_request_expire);
	timer_list_init(&loop->reply_timers, settings->slow_client_timeout_ms,
			http2_stream_expire_reply);
	timer_list_init(&loop->reset_timers, LINGER_MS, http2_stream_expire_linger);
}

static void run_timers(struct http_loop *loop)
{
	timer_list_run(&loop->head_timers, loop->now_ms);
	timer_list_run(&loop->idle_timers, loop->now_ms);
	timer_list_run(&loop->slow_timers, loop->now_ms);
	timer_list_run(&loop->linger_timers, loop->now_ms);
	timer_list_run(&loop->request_timers, loop->now_ms);
	timer_list_run(&loop->reply_timers, loop->now_ms);
	timer_list_run(&loop->reset_timers, loop->now_ms);
}

static void act_inside(h2o_timeout_entry_t *entry)
{
	struct http_loop *loop = H2O_STRUCT_FROM_MEMBER(struct http_loop, inside_entry, entry);

	loop->act(loop);
}

/* Acts as a callback of libh2o, which then runs all callbacks that this has made due. */
static void run_inside(struct http_loop *loop, void (*act)(struct http_loop *loop))
{
	loop->act = act;
	h2o_timeout_link(loop->evloop, &loop->inside, &loop->inside_entry);
	h2o_timeout_run(loop->evloop, &loop->inside, h2o_now(loop->evloop));
}

struct http_loop *http_loop_new(struct http_server *server)
{
	struct http_loop *loop = MEM_NEW(struct http_loop);

	loop->server = server;
	/* There is nobody to wake yet. */
	atomic_init(&loop->woken, true);
	sem_init(&loop->may_end, 0, 0);
	h2o_linklist_init_anchor(&loop->connections);
	h2o_linklist_init_anchor(&loop->pumps);
	h2o_linklist_init_anchor(&loop->closed);
	init_timers(loop, server->settings);
	loop->listeners = mem_zalloc(server->settings->listener_count * sizeof(loop->listeners[0]));
	return loop;
}

/*
 * libh2o 2.2.5 takes the memory of a socket's input from a list of the thread that makes the
 * socket, and gives it back to that same list from whichever thread reads it, without a lock. So
 * everything of libh2o's is made, used and freed on the loop's own thread.
 */
static void open_libh2o(struct http_loop *loop)
{
	struct http_server *server = loop->server;

	loop->evloop = h2o_evloop_create();
	h2o_context_init(&loop->h2o, loop->evloop, &server->config);
	loop->accept.ctx = &loop->h2o;
	loop->accept.hosts = server->config.hosts;
	h2o_multithread_register_receiver(loop->h2o.queue, &loop->receiver, on_message);
	h2o_timeout_init(loop->evloop, &loop->inside, 0);
	loop->inside_entry.cb = act_inside;
	loop->now_ms = clock_monotonic_ms();
	atomic_store(&loop->woken, false);
}

static void close_libh2o(struct http_loop *loop)
{
	h2o_multithread_queue_t *queue = loop->h2o.queue;

	h2o_multithread_unregister_receiver(queue, &loop->receiver);
	h2o_timeout_dispose(loop->evloop, &loop->inside);
	h2o_context_dispose(&loop->h2o);
	/* libh2o 2.2.5 closes the queue and forgets its memory. */
	free(queue);
	h2o_evloop_destroy(loop->evloop);
}

void http_loop_bury(struct http_loop *loop, void *memory)
{
	if (loop->dead_count == loop->dead_capacity) {
		loop->dead_capacity = loop->dead_capacity ? 2 * loop->dead_capacity : 64;
		loop->dead = mem_realloc(loop->dead, loop->dead_capacity * sizeof(loop->dead[0]));
	}
	loop->dead[loop->dead_count++] = memory;
}

static void free_the_dead(struct http_loop *loop)
{
	for (size_t i = 0; i < loop->dead_count; i++)
		free(loop->dead[i]);
	loop->dead_count = 0;
	while (!h2o_linklist_is_empty(&loop->closed)) {
		struct connection *connection =
		    H2O_STRUCT_FROM_MEMBER(struct connection, link, loop->closed.next);

		h2o_linklist_unlink(&connection->link);
		connection_free(connection);
	}
}

/* Those that are not through when their budget is used are in the list again, for the next turn. */
static void run_pumps(struct http_loop *loop)
{
	h2o_linklist_t now;

	h2o_linklist_init_anchor(&now);
	h2o_linklist_insert_list(&now, &loop->pumps);
	while (!h2o_linklist_is_empty(&now)) {
		struct connection *connection =
		    H2O_STRUCT_FROM_MEMBER(struct connection, pump, now.next);

		h2o_linklist_unlink(&connection->pump);
		connection_pump(connection);
	}
}

/* `act` may close the connection. */
static void for_each_connection(struct http_loop *loop, void (*act)(struct connection *connection))
{
	h2o_linklist_t *link = loop->connections.next;

	while (link != &loop->connections) {
		struct connection *connection =
		    H2O_STRUCT_FROM_MEMBER(struct connection, link, link);

		link = link->next;
		act(connection);
	}
}

static void stop_listeners(struct http_loop *loop)
{
	for (size_t i = 0; i < loop->server->settings->listener_count; i++)
		listener_stop(&loop->listeners[i]);
}

static void drain(struct http_loop *loop)
{
	loop->draining = true;
	stop_listeners(loop);
	for_each_connection(loop, connection_drain);
}

static void tick(struct http_loop *loop)
{
	const struct http_server_hooks *hooks = &loop->server->hooks;

	loop->next_tick_ms = loop->now_ms + HTTP_TICK_MS;
	run_timers(loop);
	for (size_t i = 0; i < loop->server->settings->listener_count; i++)
		listener_tick(&loop->listeners[i]);
	if (hooks->tick)
		hooks->tick(loop->context, loop->now_ms);
}

static int32_t wait_ms(struct http_loop *loop)
{
	uint64_t now_ms = clock_monotonic_ms();

	if (!h2o_linklist_is_empty(&loop->pumps) || now_ms >= loop->next_tick_ms)
		return 0;
	return (int32_t)(loop->next_tick_ms - now_ms);
}

static void act(struct http_loop *loop)
{
	const struct http_server_hooks *hooks = &loop->server->hooks;

	if (atomic_load(&loop->server->draining) && !loop->draining)
		drain(loop);
	if (hooks->turn)
		hooks->turn(loop->context);
	if (loop->now_ms >= loop->next_tick_ms)
		tick(loop);
	run_pumps(loop);
}

static void take_turn(struct http_loop *loop)
{
	/* -1 is EINTR: a turn without events. */
	(void)!h2o_evloop_run(loop->evloop, wait_ms(loop));
	loop->now_ms = clock_monotonic_ms();
	/* Before the hook looks at what the wake was for. */
	atomic_exchange(&loop->woken, false);
	run_inside(loop, act);
	free_the_dead(loop);
}

static void stop_all(struct http_loop *loop)
{
	for_each_connection(loop, connection_stop);
}

/* Without the hooks' turns and ticks: whatever is left ends. */
static void wind_up(struct http_loop *loop)
{
	stop_listeners(loop);
	run_inside(loop, stop_all);
	for (int i = 0; i < STOP_TURNS && !h2o_linklist_is_empty(&loop->connections); i++) {
		(void)!h2o_evloop_run(loop->evloop, 10);
		run_inside(loop, stop_all);
		free_the_dead(loop);
	}
	free_the_dead(loop);
	if (!h2o_linklist_is_empty(&loop->connections))
		log_event(LOG_ERROR, "loop", "connections are left open at the end");
}

static void *run(void *argument)
{
	struct http_loop *loop = argument;
	const struct http_server_hooks *hooks = &loop->server->hooks;

	open_libh2o(loop);
	if (hooks->loop_start)
		loop->context = hooks->loop_start(hooks->context, loop);
	for (size_t i = 0; i < loop->server->settings->listener_count; i++)
		listener_start(&loop->listeners[i]);
	sem_post(&loop->server->reached);
	while (!atomic_load(&loop->server->stopping))
		take_turn(loop);
	wind_up(loop);
	if (hooks->loop_stop)
		hooks->loop_stop(loop->context);
	sem_post(&loop->server->reached);
	/* Until then others may go on waking it. */
	while (sem_wait(&loop->may_end) != 0)
		;
	close_libh2o(loop);
	return NULL;
}

void http_loop_start(struct http_loop *loop, size_t number)
{
	char name[40];

	loop->started = true;
	h2o_multithread_create_thread(&loop->thread, NULL, run, loop);
	snprintf(name, sizeof(name), "sluice-loop-%zu", number);
	pthread_setname_np(loop->thread, name);
}

void http_loop_free(struct http_loop *loop)
{
	if (loop->started) {
		sem_post(&loop->may_end);
		pthread_join(loop->thread, NULL);
	}
	sem_destroy(&loop->may_end);
	free(loop->listeners);
	free(loop->dead);
	buffer_free(&loop->scratch);
	free(loop);
}

void http_loop_wake(struct http_loop *loop)
{
	if (!atomic_exchange(&loop->woken, true))
		h2o_multithread_send_message(&loop->receiver, NULL);
}

void *http_loop_context(const struct http_loop *loop)
{
	return loop->context;
}
