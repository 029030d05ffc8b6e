/*
 * The happy path: on_read() until head_check() has a whole head, then libh2o gets the socket with
 * the bytes still in its input buffer.
 *
 * It fails when the client goes (closed without a word), takes too long (408, or closed without a
 * word where it has sent nothing), or sends what is refused (400, 413, 431).
 */
#include "http/http1_priv.h"

#include <h2o/http1.h>
#include <sys/time.h>

#include "base/buffer.h"
#include "base/metrics.h"
#include "http/connection_priv.h"
#include "http/date_priv.h"
#include "http/head_priv.h"
#include "http/http2_priv.h"
#include "http/loop_priv.h"
#include "http/problem_priv.h"
#include "http/request_fields_priv.h"
#include "http/server_priv.h"

/* RFC 9113, 3.4. */
static const struct slice preface = {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24};

static void refuse(struct connection *connection, int status, const char *detail)
{
	struct buffer body = {0};
	struct buffer out = {0};

	request_count_response(status);
	problem_append(&body, status, detail);
	buffer_append_format(&out,
			     "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close\r\n"
			     "Content-Length: %zu\r\nServer: sluice\r\n"
			     "content-type: application/problem+json\r\n\r\n",
			     status, problem_title(status), date_text(), body.len);
	buffer_append_slice(&out, buffer_slice(&body));
	connection_finish(connection, buffer_slice(&out));
	buffer_free(&body);
	buffer_free(&out);
}

static void hand_to_libh2o(struct connection *connection)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	timer_list_clear(&connection->timer);
	connection->state = CONNECTION_REQUEST;
	connection->request = NULL;
	h2o_http1_accept(&connection->loop->accept, connection->socket, now);
}

/* True where the bytes are, as far as they go, HTTP/2's preface. */
static bool may_be_preface(struct slice bytes)
{
	size_t len = bytes.len < preface.len ? bytes.len : preface.len;

	return len > 0 && memcmp(bytes.base, preface.base, len) == 0;
}

static void read_head(struct connection *connection)
{
	h2o_socket_t *socket = connection->socket;
	struct slice bytes = {socket->input->bytes, socket->input->size};
	struct head_refusal refusal;

	if (bytes.len == 0)
		return;
	if (!socket->ssl && may_be_preface(bytes)) {
		connection->input_bytes = (uint32_t)bytes.len;
		if (bytes.len >= preface.len)
			http2_begin(connection);
		return;
	}
	switch (head_check(bytes, &connection->input_bytes,
			   connection->loop->server->settings->max_head_bytes, HTTP_MAX_BODY_BYTES,
			   &refusal)) {
	case HEAD_INCOMPLETE:
		return;
	case HEAD_COMPLETE:
		hand_to_libh2o(connection);
		return;
	case HEAD_REFUSED:
		refuse(connection, refusal.status, refusal.detail);
		return;
	}
}

static void on_read(h2o_socket_t *socket, const char *err)
{
	struct connection *connection = socket->data;

	if (err)
		connection_close(connection);
	else
		read_head(connection);
}

void http1_begin(struct connection *connection)
{
	connection->state = CONNECTION_HEAD;
	connection->input_bytes = 0;
	h2o_socket_read_start(connection->socket, on_read);
	read_head(connection);
}

void http1_head_expire(struct connection *connection)
{
	if (connection->input_bytes)
		refuse(connection, 408, "The request's head took too long.");
	else
		connection_close(connection);
}
