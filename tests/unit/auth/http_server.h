/*
 * http_server: a small HTTP(S) server in a thread of the test: one connection at a time, one
 * response a connection, and that one as bad as the test wants it.
 */
#ifndef SLUICE_TESTS_UNIT_AUTH_HTTP_SERVER_H
#define SLUICE_TESTS_UNIT_AUTH_HTTP_SERVER_H

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct http_server {
	int listener;
	int port;
	SSL_CTX *tls; /* NULL: cleartext */
	pthread_t thread;
	atomic_uint requests; /* that came in whole */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool held; /* requests wait for their response */
	bool ended;
	char *response; /* head and body */
	size_t response_len;
};

/* Sets the bytes of all further responses. */
static inline void http_server_set_raw(struct http_server *server, const char *bytes, size_t len)
{
	char *copy = malloc(len + 1);
	memcpy(copy, bytes, len);
	pthread_mutex_lock(&server->lock);
	free(server->response);
	server->response = copy;
	server->response_len = len;
	pthread_mutex_unlock(&server->lock);
}

/* A response with this status line's end ("200 OK"), further header lines (each ending in CRLF) and
 * body. */
static inline void http_server_set(struct http_server *server, const char *status,
				   const char *headers, const char *body)
{
	char *text;
	int len =
	    asprintf(&text, "HTTP/1.1 %s\r\nConnection: close\r\n%s\r\n%s", status, headers, body);
	assert(len > 0);
	http_server_set_raw(server, text, (size_t)len);
	free(text);
}

static inline void http_server_set_json(struct http_server *server, const char *body)
{
	char headers[128];
	snprintf(headers, sizeof(headers),
		 "Content-Type: application/jwk-set+json\r\nContent-Length: %zu\r\n", strlen(body));
	http_server_set(server, "200 OK", headers, body);
}

/* While held, the server reads requests and answers none. */
static inline void http_server_hold(struct http_server *server, bool held)
{
	pthread_mutex_lock(&server->lock);
	server->held = held;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
}

static inline char *http_server_url(const struct http_server *server, const char *rest)
{
	char *url;
	if (asprintf(&url, "%s://127.0.0.1:%d%s", server->tls ? "https" : "http", server->port,
		     rest) < 0)
		abort();
	return url;
}

static inline ssize_t http_server_read(SSL *tls, int socket, char *bytes, size_t room)
{
	return tls ? SSL_read(tls, bytes, (int)room) : read(socket, bytes, room);
}

static inline bool http_server_read_request(SSL *tls, int socket)
{
	char request[4096];
	size_t len = 0;
	while (len < sizeof(request) - 1) {
		ssize_t got =
		    http_server_read(tls, socket, request + len, sizeof(request) - 1 - len);
		if (got <= 0)
			return false;
		len += (size_t)got;
		request[len] = '\0';
		if (strstr(request, "\r\n\r\n"))
			return true;
	}
	return false;
}

static inline void http_server_respond(struct http_server *server, SSL *tls, int socket)
{
	pthread_mutex_lock(&server->lock);
	while (server->held && !server->ended)
		pthread_cond_wait(&server->changed, &server->lock);
	size_t len = server->response_len;
	char *bytes = malloc(len + 1);
	if (len > 0)
		memcpy(bytes, server->response, len);
	pthread_mutex_unlock(&server->lock);
	ssize_t written = 0;
	for (size_t at = 0; at < len && written >= 0; at += (size_t)written)
		written = tls ? SSL_write(tls, bytes + at, (int)(len - at))
			      : send(socket, bytes + at, len - at, MSG_NOSIGNAL);
	free(bytes);
}

static inline void http_server_serve(struct http_server *server, int socket)
{
	SSL *tls = NULL;
	if (server->tls) {
		tls = SSL_new(server->tls);
		SSL_set_fd(tls, socket);
		SSL_accept(tls);
	}
	if ((!tls || SSL_is_init_finished(tls)) && http_server_read_request(tls, socket)) {
		atomic_fetch_add(&server->requests, 1);
		http_server_respond(server, tls, socket);
		if (tls)
			SSL_shutdown(tls);
	}
	SSL_free(tls);
	close(socket);
}

static inline void *http_server_run(void *context)
{
	struct http_server *server = context;
	for (;;) {
		int socket = accept(server->listener, NULL, NULL);
		if (socket < 0)
			return NULL;
		http_server_serve(server, socket);
	}
}

/* Listens on a free port of 127.0.0.1. `tls` is borrowed; NULL: cleartext. */
static inline struct http_server *http_server_start(SSL_CTX *tls)
{
	struct http_server *server = calloc(1, sizeof(*server));
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->changed, NULL);
	server->tls = tls;
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int result = bind(server->listener, (struct sockaddr *)&address, sizeof(address));
	assert(result == 0);
	result = listen(server->listener, 16);
	assert(result == 0);
	getsockname(server->listener, (struct sockaddr *)&address, &len);
	server->port = ntohs(address.sin_port);
	result = pthread_create(&server->thread, NULL, http_server_run, server);
	assert(result == 0);
	return server;
}

/* Stop the client first: a connection that is being served ends with the client. */
static inline void http_server_stop(struct http_server *server)
{
	pthread_mutex_lock(&server->lock);
	server->ended = true;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listener);
	pthread_cond_destroy(&server->changed);
	pthread_mutex_destroy(&server->lock);
	free(server->response);
	free(server);
}

#endif
