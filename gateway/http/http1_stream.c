/*
 * The happy path: ready() asks for a pump; http1_stream_pump() writes until the subscriber has
 * nothing more, the socket has no room (then on_room() goes on), or the turn's budget is used (then
 * the next turn goes on). When the subscriber has ended, so does the connection.
 *
 * It fails when the client goes, which reading notices at once, or when the subscriber aborts.
 */
#include "http/http1_priv.h"

#include <errno.h>
#include <sys/socket.h>

#include "http/connection_priv.h"
#include "http/loop_priv.h"

enum {
	/* So that one that has much to catch up with does not hold up the others. */
	BUDGET_BYTES = 64 * 1024,
	/* A turn's, for what is encrypted is held until it is written: one record's worth. */
	TLS_WRITE_BYTES = 16 * 1024,
	/* A client has nothing to say on a stream. */
	MAX_INPUT_BYTES = 64 * 1024,
};

static struct connection *connection_of(struct carrier *carrier)
{
	return H2O_STRUCT_FROM_MEMBER(struct connection, stream.carrier, carrier);
}

static void on_ready(struct carrier *carrier)
{
	struct connection *connection = connection_of(carrier);

	if (!connection->waits_for_room)
		connection_want_pump(connection);
}

static void on_abort(struct carrier *carrier)
{
	struct connection *connection = connection_of(carrier);

	connection->aborted = true;
	connection_want_pump(connection);
}

static const struct carrier_ops ops = {on_ready, on_abort};

void http1_stream_end(struct connection *connection, enum close_reason reason)
{
	http_stream_drop(&connection->stream, reason);
	connection_close(connection);
}

/* Reading goes on for the end of file alone. */
static void on_read(h2o_socket_t *socket, const char *err)
{
	struct connection *connection = socket->data;

	connection->input_bytes += (uint32_t)socket->input->size;
	connection_release_input(connection);
	if (err)
		http1_stream_end(connection, CLOSE_CLIENT);
	else if (connection->input_bytes > MAX_INPUT_BYTES)
		http1_stream_end(connection, CLOSE_LIMIT);
}

void http1_stream_begin(struct connection *connection)
{
	connection->state = CONNECTION_STREAM;
	connection->waits_for_room = false;
	connection->aborted = false;
	connection->input_bytes = 0;
	connection->stream.carrier.ops = &ops;
	connection->stream.subscriber = NULL;
	connection->stream.bundle = NULL;
	connection->stream.watchers = NULL;
	connection->stream.holder = NULL;
	connection_release_input(connection);
	h2o_socket_read_start(connection->socket, on_read);
}

static void on_room(h2o_socket_t *socket, const char *err)
{
	struct connection *connection = socket->data;

	connection->waits_for_room = false;
	if (err)
		http1_stream_end(connection, CLOSE_CLIENT);
	else if (socket->ssl)
		connection_want_pump(connection);
	else
		http1_stream_pump(connection);
}

static void wait_for_room(struct connection *connection)
{
	connection->waits_for_room = true;
	h2o_socket_notify_write(connection->socket, on_room);
}

enum written { WRITTEN_ALL, WRITTEN_FULL, WRITTEN_FAILED };

static enum written write_clear(struct connection *connection, struct slice bytes)
{
	int fd = h2o_socket_get_fd(connection->socket);
	ssize_t taken;

	do
		taken = send(fd, bytes.base, bytes.len, MSG_NOSIGNAL);
	while (taken == -1 && errno == EINTR);
	if (taken == -1)
		return errno == EAGAIN ? WRITTEN_FULL : WRITTEN_FAILED;
	http_stream_consume(&connection->stream, (size_t)taken);
	return (size_t)taken < bytes.len ? WRITTEN_FULL : WRITTEN_ALL;
}

/* Ends the pump's round: on_room() comes when libh2o has written it. */
static void write_tls(struct connection *connection, struct slice bytes)
{
	connection->waits_for_room = true;
	h2o_socket_write(connection->socket,
			 &(h2o_iovec_t){(char *)(uintptr_t)bytes.base, bytes.len}, 1, on_room);
	http_stream_consume(&connection->stream, bytes.len);
}

static void finish(struct connection *connection)
{
	http_stream_drop(&connection->stream, CLOSE_CLIENT);
	connection_finish(connection, (struct slice){NULL, 0});
}

/* Nothing to write: that may be the end. */
static void rest(struct connection *connection)
{
	if (!connection->aborted && http_stream_ended(&connection->stream))
		finish(connection);
}

static void pump_clear(struct connection *connection)
{
	size_t budget = BUDGET_BYTES;

	while (budget) {
		struct slice bytes = http_stream_peek(&connection->stream, budget);

		if (bytes.len == 0) {
			rest(connection);
			return;
		}
		switch (write_clear(connection, bytes)) {
		case WRITTEN_ALL:
			budget -= bytes.len;
			break;
		case WRITTEN_FULL:
			wait_for_room(connection);
			return;
		case WRITTEN_FAILED:
			http1_stream_end(connection, CLOSE_CLIENT);
			return;
		}
	}
	connection_want_pump(connection);
}

void http1_stream_pump(struct connection *connection)
{
	struct slice bytes;

	if (connection->aborted) {
		http_stream_drop(&connection->stream, CLOSE_SLOW);
		connection_abort(connection);
		return;
	}
	if (connection->waits_for_room)
		return;
	if (!connection->socket->ssl) {
		pump_clear(connection);
		return;
	}
	bytes = http_stream_peek(&connection->stream, TLS_WRITE_BYTES);
	if (bytes.len)
		write_tls(connection, bytes);
	else
		rest(connection);
}
