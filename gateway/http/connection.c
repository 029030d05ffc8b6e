#include "http/connection_priv.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "http/http1_priv.h"
#include "http/http2_priv.h"
#include "http/loop_priv.h"
#include "http/server_priv.h"

/* What a client may go on sending while its connection is being closed. */
enum { LINGER_MAX_BYTES = 256 * 1024 };

/* libh2o has disposed of the socket, whoever closed it. */
static void on_close(void *data)
{
	struct connection *connection = data;
	struct http_loop *loop = connection->loop;

	connection->socket = NULL;
	timer_list_clear(&connection->timer);
	if (h2o_linklist_is_linked(&connection->pump))
		h2o_linklist_unlink(&connection->pump);
	h2o_linklist_unlink(&connection->link);
	h2o_linklist_insert(&loop->closed, &connection->link);
	atomic_fetch_sub(&loop->server->connections, 1);
}

void connection_free(struct connection *connection)
{
	if (connection->state == CONNECTION_LINGER)
		free(connection->last_words);
	free(connection);
}

static void on_handshake(h2o_socket_t *socket, const char *err)
{
	struct connection *connection = socket->data;
	h2o_iovec_t protocol;

	if (err) {
		metrics_add(METRIC_TLS_FAILURES, 1);
		log_event(LOG_DEBUG, "connection", "the TLS handshake failed",
			  LOG_STR("error", err));
		connection_close(connection);
		return;
	}
	protocol = h2o_socket_ssl_get_selected_protocol(socket);
	if (h2o_memis(protocol.base, protocol.len, H2O_STRLIT("h2")))
		http2_begin(connection);
	else
		http1_begin(connection);
}

void connection_open(struct listener *listener, int fd)
{
	struct connection *connection = MEM_NEW(struct connection);
	struct http_loop *loop = listener->loop;

	connection->loop = loop;
	connection->settings = listener->settings;
	connection->socket =
	    h2o_evloop_socket_create(loop->evloop, fd, H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION);
	connection->socket->data = connection;
	connection->socket->on_close.cb = on_close;
	connection->socket->on_close.data = connection;
	h2o_linklist_insert(&loop->connections, &connection->link);
	timer_list_set(&loop->head_timers, &connection->timer, loop->now_ms);
	if (listener->tls) {
		connection->state = CONNECTION_HANDSHAKE;
		h2o_socket_ssl_handshake(connection->socket, listener->tls, NULL, on_handshake);
	} else {
		http1_begin(connection);
	}
}

void connection_close(struct connection *connection)
{
	if (connection->state == CONNECTION_CLOSING)
		return;
	if (connection->state == CONNECTION_LINGER)
		free(connection->last_words);
	connection->state = CONNECTION_CLOSING;
	if (h2o_linklist_is_linked(&connection->pump))
		h2o_linklist_unlink(&connection->pump);
	timer_list_set(&connection->loop->linger_timers, &connection->timer,
		       connection->loop->now_ms);
	h2o_socket_close(connection->socket);
}

void connection_abort(struct connection *connection)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	setsockopt(h2o_socket_get_fd(connection->socket), SOL_SOCKET, SO_LINGER, &reset,
		   sizeof(reset));
	connection_close(connection);
}

static void on_linger_read(h2o_socket_t *socket, const char *err)
{
	struct connection *connection = socket->data;

	connection->input_bytes += (uint32_t)socket->input->size;
	connection_release_input(connection);
	if (err || connection->input_bytes > LINGER_MAX_BYTES)
		connection_close(connection);
}

/* Over TLS the sending side is ended by the close_notify, which only closing the socket sends. */
static void on_last_words_written(h2o_socket_t *socket, const char *err)
{
	struct connection *connection = socket->data;

	free(connection->last_words);
	connection->last_words = NULL;
	if (err) {
		connection_close(connection);
		return;
	}
	if (!socket->ssl)
		shutdown(h2o_socket_get_fd(socket), SHUT_WR);
}

void connection_finish(struct connection *connection, struct slice bytes)
{
	h2o_socket_t *socket = connection->socket;

	connection->state = CONNECTION_LINGER;
	connection->last_words = NULL;
	connection->input_bytes = 0;
	connection_release_input(connection);
	timer_list_set(&connection->loop->linger_timers, &connection->timer,
		       connection->loop->now_ms);
	h2o_socket_read_start(socket, on_linger_read);
	if (bytes.len == 0) {
		/* A stream's end: its client sends nothing. */
		if (socket->ssl)
			connection_close(connection);
		else
			shutdown(h2o_socket_get_fd(socket), SHUT_WR);
		return;
	}
	connection->last_words = mem_strndup(bytes.base, bytes.len);
	h2o_socket_write(socket, &(h2o_iovec_t){connection->last_words, bytes.len}, 1,
			 on_last_words_written);
}

/* Where libh2o has the socket there is no call that closes: the socket's failure makes it do so. */
static void break_socket(struct connection *connection)
{
	shutdown(h2o_socket_get_fd(connection->socket), SHUT_RDWR);
}

void connection_stop(struct connection *connection)
{
	switch ((enum connection_state)connection->state) {
	case CONNECTION_STREAM:
		http1_stream_end(connection, CLOSE_DRAIN);
		break;
	case CONNECTION_HTTP2:
		http2_end(connection, CLOSE_DRAIN);
		break;
	case CONNECTION_REQUEST:
		http1_give_up(connection);
		break;
	case CONNECTION_HANDSHAKE:
	case CONNECTION_HEAD:
	case CONNECTION_LINGER:
		connection_close(connection);
		break;
	case CONNECTION_REPLY:
	case CONNECTION_TAKEOVER:
	case CONNECTION_CLOSING:
		break;
	}
	if (connection->socket)
		break_socket(connection);
}

void connection_drain(struct connection *connection)
{
	if (connection->state == CONNECTION_HTTP2)
		http2_drain(connection);
	else if (connection->state == CONNECTION_HEAD && connection->input_bytes == 0)
		timer_list_set(&connection->loop->linger_timers, &connection->timer,
			       connection->loop->now_ms);
}

void connection_want_pump(struct connection *connection)
{
	if (!h2o_linklist_is_linked(&connection->pump))
		h2o_linklist_insert(&connection->loop->pumps, &connection->pump);
}

void connection_pump(struct connection *connection)
{
	if (connection->state == CONNECTION_STREAM)
		http1_stream_pump(connection);
	else if (connection->state == CONNECTION_HTTP2)
		http2_pump(connection);
}

void connection_release_input(struct connection *connection)
{
	h2o_buffer_dispose(&connection->socket->input);
	h2o_buffer_init(&connection->socket->input, &h2o_socket_buffer_prototype);
}

void connection_format_peer(const struct connection *connection, char *text)
{
	struct sockaddr_storage address = {0};
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
	socklen_t len = sizeof(address);

	text[0] = 0;
	if (getpeername(h2o_socket_get_fd(connection->socket), (struct sockaddr *)&address, &len))
		return;
	if (address.ss_family == AF_INET)
		inet_ntop(AF_INET, &v4->sin_addr, text, INET6_ADDRSTRLEN);
	else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, &v6->sin6_addr, text, INET6_ADDRSTRLEN);
}

void connection_expire(struct timer *timer)
{
	struct connection *connection = H2O_STRUCT_FROM_MEMBER(struct connection, timer, timer);

	switch ((enum connection_state)connection->state) {
	case CONNECTION_HANDSHAKE:
		metrics_add(METRIC_TLS_FAILURES, 1);
		connection_close(connection);
		break;
	case CONNECTION_HEAD:
		http1_head_expire(connection);
		break;
	case CONNECTION_HTTP2:
		http2_expire(connection);
		break;
	case CONNECTION_LINGER:
		connection_close(connection);
		break;
	case CONNECTION_REPLY:
	case CONNECTION_TAKEOVER:
	case CONNECTION_CLOSING:
		break_socket(connection);
		break;
	case CONNECTION_REQUEST:
	case CONNECTION_STREAM:
		break;
	}
}
