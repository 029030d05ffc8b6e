#include "http/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/http1_priv.h"
#include "http/loop_priv.h"
#include "http/server_priv.h"
#include "http/tls_priv.h"

static void configure_libh2o(h2o_globalconf_t *config, const struct http_settings *settings)
{
	h2o_config_init(config);
	config->server_name = h2o_iovec_init(H2O_STRLIT("sluice"));
	/* libh2o's own HTTP/2 can be aborted by a client: nothing may lead to it. */
	config->http1.upgrade_to_http2 = 0;
	config->http1.req_timeout = settings->head_timeout_ms;
	http1_register(config);
}

static int load_certificates(struct http_server *server, char error[512])
{
	for (size_t i = 0; i < server->settings->listener_count; i++) {
		const struct http_listener_settings *listener = &server->settings->listeners[i];
		int result;

		if (!listener->certificate_file)
			continue;
		result = tls_context_new(listener->certificate_file, listener->key_file,
					 &server->tls[i], error);
		if (result)
			return result;
	}
	return 0;
}

static int bind_listener(struct http_server *server, size_t at, char error[512])
{
	const struct http_listener_settings *settings = &server->settings->listeners[at];

	server->ports[at] = settings->port;
	for (size_t i = 0; i < server->loop_count; i++) {
		struct listener *listener = &server->loops[i]->listeners[at];
		int result =
		    listener_bind(settings, i == 0, &server->ports[at], &listener->fd, error);

		if (result)
			return result;
	}
	return 0;
}

static int bind_listeners(struct http_server *server, char error[512])
{
	int result = 0;

	for (size_t i = 0; i < server->settings->listener_count && !result; i++)
		result = bind_listener(server, i, error);
	return result;
}

static void make_loops(struct http_server *server)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	size_t listener_count = server->settings->listener_count;

	server->loop_count = server->settings->loops;
	if (server->loop_count == 0)
		server->loop_count = cores > 0 ? (size_t)cores : 1;
	server->loops = mem_zalloc(server->loop_count * sizeof(server->loops[0]));
	for (size_t i = 0; i < server->loop_count; i++) {
		struct http_loop *loop = http_loop_new(server);

		server->loops[i] = loop;
		for (size_t j = 0; j < listener_count; j++)
			loop->listeners[j] = (struct listener){
			    .loop = loop,
			    .settings = &server->settings->listeners[j],
			    .tls = server->tls[j],
			    .fd = -1,
			};
	}
}

int http_server_new(const struct http_settings *settings, const struct http_server_hooks *hooks,
		    struct http_server **made, char error[512])
{
	struct http_server *server = MEM_NEW(struct http_server);
	int result;

	server->settings = settings;
	server->hooks = *hooks;
	server->tls = mem_zalloc(settings->listener_count * sizeof(server->tls[0]));
	server->ports = mem_zalloc(settings->listener_count * sizeof(server->ports[0]));
	sem_init(&server->reached, 0, 0);
	configure_libh2o(&server->config, settings);
	http2_shared_init(&server->http2);
	result = load_certificates(server, error);
	make_loops(server);
	if (!result)
		result = bind_listeners(server, error);
	if (result) {
		http_server_free(server);
		return result;
	}
	*made = server;
	return 0;
}

static void wait_for_all(struct http_server *server)
{
	for (size_t i = 0; i < server->loop_count; i++)
		while (sem_wait(&server->reached) != 0)
			;
}

void http_server_start(struct http_server *server)
{
	signal(SIGPIPE, SIG_IGN);
	server->started = true;
	for (size_t i = 0; i < server->loop_count; i++)
		http_loop_start(server->loops[i], i);
	wait_for_all(server);
}

static void wake_all(struct http_server *server)
{
	for (size_t i = 0; i < server->loop_count; i++)
		http_loop_wake(server->loops[i]);
}

void http_server_drain(struct http_server *server)
{
	atomic_store(&server->draining, true);
	wake_all(server);
}

void http_server_stop(struct http_server *server)
{
	if (!server->started)
		return;
	server->started = false;
	atomic_store(&server->stopping, true);
	wake_all(server);
	wait_for_all(server);
}

static void close_bound(struct http_server *server, struct http_loop *loop)
{
	for (size_t i = 0; i < server->settings->listener_count; i++)
		if (loop->listeners[i].fd != -1)
			close(loop->listeners[i].fd);
}

void http_server_free(struct http_server *server)
{
	for (size_t i = 0; i < server->loop_count; i++) {
		close_bound(server, server->loops[i]);
		http_loop_free(server->loops[i]);
	}
	for (size_t i = 0; i < server->settings->listener_count; i++)
		if (server->tls[i])
			SSL_CTX_free(server->tls[i]);
	http2_shared_fini(&server->http2);
	h2o_config_dispose(&server->config);
	sem_destroy(&server->reached);
	free(server->loops);
	free(server->tls);
	free(server->ports);
	free(server);
}

uint16_t http_server_port(const struct http_server *server, size_t listener)
{
	return server->ports[listener];
}

uint32_t http_server_connections(const struct http_server *server)
{
	return atomic_load(&server->connections);
}

size_t http_server_loop_count(const struct http_server *server)
{
	return server->loop_count;
}

struct http_loop *http_server_loop(const struct http_server *server, size_t number)
{
	return server->loops[number];
}
