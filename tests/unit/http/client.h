/*
 * A client that says exactly what it is told to, over TCP or TLS. Every wait ends after
 * CLIENT_PATIENCE_MS at the latest, with a failure.
 */
#ifndef SLUICE_TESTS_HTTP_CLIENT_H
#define SLUICE_TESTS_HTTP_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"

enum { CLIENT_PATIENCE_MS = 20000 };

struct client {
	int fd;
	SSL_CTX *context;
	SSL *ssl;            /* NULL: clear text */
	struct buffer input; /* read and not yet used */
	bool ended;          /* end of file, or reset */
	bool reset;
};

static inline int client_socket(uint16_t port, int receive_buffer)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct timeval patience = {.tv_sec = CLIENT_PATIENCE_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	signal(SIGPIPE, SIG_IGN);
	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	if (receive_buffer)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline struct client client_open_small(uint16_t port, int receive_buffer)
{
	return (struct client){.fd = client_socket(port, receive_buffer)};
}

static inline struct client client_open(uint16_t port)
{
	return client_open_small(port, 0);
}

/* `alpn` as on the wire ("\x02h2"), or NULL. ssl is NULL afterwards where the handshake failed. */
static inline struct client client_open_tls(uint16_t port, const char *alpn)
{
	struct client client = client_open(port);

	client.context = SSL_CTX_new(TLS_client_method());
	client.ssl = SSL_new(client.context);
	if (alpn)
		SSL_set_alpn_protos(client.ssl, (const unsigned char *)alpn,
				    (unsigned)strlen(alpn));
	SSL_set_fd(client.ssl, client.fd);
	if (SSL_connect(client.ssl) != 1) {
		SSL_free(client.ssl);
		client.ssl = NULL;
	}
	return client;
}

static inline void client_close(struct client *client)
{
	if (client->ssl)
		SSL_free(client->ssl);
	if (client->context)
		SSL_CTX_free(client->context);
	if (client->fd != -1)
		close(client->fd);
	buffer_free(&client->input);
	*client = (struct client){.fd = -1};
}

/* What the peer throws away with a reset is no failure here. */
static inline bool client_send(struct client *client, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len) {
		ssize_t sent = client->ssl ? SSL_write(client->ssl, at, (int)len)
					   : send(client->fd, at, len, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		at += sent;
		len -= (size_t)sent;
	}
	return true;
}

static inline bool client_say(struct client *client, const char *text)
{
	return client_send(client, text, strlen(text));
}

/* Appends what comes next to input; false at the end. */
static inline bool client_read(struct client *client)
{
	char *room = buffer_reserve(&client->input, 65536);
	ssize_t got =
	    client->ssl ? SSL_read(client->ssl, room, 65536) : recv(client->fd, room, 65536, 0);

	if (got < 0 && errno == EAGAIN) {
		fprintf(stderr, "nothing has come for %d s\n", CLIENT_PATIENCE_MS / 1000);
		abort();
	}
	if (got <= 0) {
		client->ended = true;
		client->reset = got < 0;
		return false;
	}
	client->input.len += (size_t)got;
	return true;
}

/* Reads until input holds `text`; false where the end comes first. */
static inline bool client_expect(struct client *client, const char *text)
{
	size_t len = strlen(text), seen = 0;

	for (;;) {
		const struct buffer *input = &client->input;

		if (input->len && memmem(input->base + seen, input->len - seen, text, len))
			return true;
		seen = input->len > len ? input->len - len : 0;
		if (!client_read(client))
			return false;
	}
}

/* Reads to the end; the whole as a string. */
static inline const char *client_rest(struct client *client)
{
	while (client_read(client))
		;
	return buffer_text(&client->input);
}

static inline bool client_has_input_within(struct client *client, int ms)
{
	struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};

	return poll(&poll_fd, 1, ms) > 0;
}

#endif
