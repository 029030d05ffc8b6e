/*
 * The happy path: on_read() feeds libnghttp2, which calls http2_callbacks.c; whatever there is to
 * say afterwards is gathered once a turn by http2_pump() and written at once. What the socket does
 * not take waits in `unsent`, and nothing more is gathered before it is gone. When libnghttp2 wants
 * neither to read nor to write, the connection is finished.
 *
 * It fails when the client goes, breaks the protocol (libnghttp2 says GOAWAY), spends a budget
 * (GOAWAY, ENHANCE_YOUR_CALM), or has had no stream for too long (GOAWAY).
 */
#include "http/http2_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "http/connection_priv.h"
#include "http/loop_priv.h"
#include "http/server_priv.h"

enum {
	/* libnghttp2's own defaults for resets; a closed browser tab may reset all its streams at
	   once. */
	RESETS = 1000,
	RESETS_PER_SECOND = 33,
	CONTROLS = 1000,
	CONTROLS_PER_SECOND = 50,
	MAX_UNSENT_ACKS = 100,
};

void http2_shared_init(struct http2_shared *shared)
{
	int failed =
	    nghttp2_session_callbacks_new(&shared->callbacks) | nghttp2_option_new(&shared->option);

	assert(!failed);
	http2_callbacks_set(shared->callbacks);
	nghttp2_option_set_no_closed_streams(shared->option, 1);
	/* A table would cost more memory a connection than it saves bytes: a response's head is
	 * sent once. */
	nghttp2_option_set_max_deflate_dynamic_table_size(shared->option, 0);
	nghttp2_option_set_max_outbound_ack(shared->option, MAX_UNSENT_ACKS);
	/* Its own limit says INTERNAL_ERROR: the session's budget comes first. */
	nghttp2_option_set_stream_reset_rate_limit(shared->option, 2 * RESETS,
						   2 * RESETS_PER_SECOND);
	nghttp2_option_set_max_continuations(shared->option, HTTP2_MAX_CONTINUATIONS);
}

void http2_shared_fini(struct http2_shared *shared)
{
	nghttp2_session_callbacks_del(shared->callbacks);
	nghttp2_option_del(shared->option);
}

static void close_streams(struct http2_session *session, enum close_reason reason)
{
	while (!h2o_linklist_is_empty(&session->streams))
		http2_stream_close(
		    H2O_STRUCT_FROM_MEMBER(struct http2_stream, link, session->streams.next),
		    reason);
}

/* Not from inside a callback of libnghttp2. */
static void free_session(struct connection *connection, enum close_reason reason)
{
	struct http2_session *session = connection->session;

	close_streams(session, reason);
	connection->session = NULL;
	nghttp2_session_del(session->nghttp2);
	if (session->unsent)
		http_loop_bury(connection->loop, session->unsent);
	http_loop_bury(connection->loop, session);
}

void http2_end(struct connection *connection, enum close_reason reason)
{
	free_session(connection, reason);
	connection_close(connection);
}

/* All is said: GOAWAY is on its way, or the client's last stream is over after its own. */
static void finish(struct connection *connection)
{
	free_session(connection, CLOSE_CLIENT);
	connection_finish(connection, (struct slice){NULL, 0});
}

bool http2_session_spend(struct http2_session *session, struct budget *budget)
{
	if (budget_spend(budget, session->connection->loop->now_ms))
		return true;
	nghttp2_session_terminate_session(session->nghttp2, NGHTTP2_ENHANCE_YOUR_CALM);
	return false;
}

void http2_session_set_timer(struct http2_session *session)
{
	struct connection *connection = session->connection;
	struct http_loop *loop = connection->loop;

	if (session->writing)
		timer_list_set(&loop->slow_timers, &connection->timer, loop->now_ms);
	else if (!session->greeted)
		timer_list_set(&loop->head_timers, &connection->timer, loop->now_ms);
	else if (session->stream_count == 0)
		timer_list_set(&loop->idle_timers, &connection->timer, loop->now_ms);
	else
		timer_list_clear(&connection->timer);
}

static void set_writing(struct http2_session *session, bool writing)
{
	session->writing = writing;
	http2_session_set_timer(session);
}

static void on_room(h2o_socket_t *socket, const char *err)
{
	struct connection *connection = socket->data;

	set_writing(connection->session, false);
	if (err)
		http2_end(connection, CLOSE_CLIENT);
	else
		connection_want_pump(connection);
}

/* The number of bytes that the socket took, or -1. */
static ssize_t write_some(struct connection *connection, struct slice bytes)
{
	ssize_t taken;

	do
		taken = send(h2o_socket_get_fd(connection->socket), bytes.base, bytes.len,
			     MSG_NOSIGNAL);
	while (taken == -1 && errno == EINTR);
	return taken == -1 && errno == EAGAIN ? 0 : taken;
}

static void wait_for_room(struct connection *connection)
{
	set_writing(connection->session, true);
	h2o_socket_notify_write(connection->socket, on_room);
}

/* False where the session is gone. */
static bool write_clear(struct connection *connection, struct slice bytes)
{
	struct http2_session *session = connection->session;
	ssize_t taken = write_some(connection, bytes);

	if (taken < 0) {
		http2_end(connection, CLOSE_CLIENT);
		return false;
	}
	if ((size_t)taken < bytes.len) {
		session->unsent_len = bytes.len - (size_t)taken;
		session->unsent_at = 0;
		session->unsent = mem_strndup(bytes.base + taken, session->unsent_len);
		wait_for_room(connection);
	}
	return true;
}

static bool write_gathered(struct connection *connection)
{
	struct buffer *scratch = &connection->loop->scratch;

	if (!connection->socket->ssl)
		return write_clear(connection, buffer_slice(scratch));
	set_writing(connection->session, true);
	h2o_socket_write(connection->socket, &(h2o_iovec_t){scratch->base, scratch->len}, 1,
			 on_room);
	return true;
}

/* False where some is left, or the session is gone. */
static bool write_unsent(struct connection *connection)
{
	struct http2_session *session = connection->session;
	struct slice bytes = {session->unsent + session->unsent_at,
			      session->unsent_len - session->unsent_at};
	ssize_t taken = write_some(connection, bytes);

	if (taken < 0) {
		http2_end(connection, CLOSE_CLIENT);
		return false;
	}
	session->unsent_at += (size_t)taken;
	if ((size_t)taken < bytes.len) {
		wait_for_room(connection);
		return false;
	}
	free(session->unsent);
	session->unsent = NULL;
	return true;
}

/* Asks libnghttp2 for what there is, up to the output limit. False: it has failed. */
static bool gather(struct http2_session *session)
{
	struct buffer *scratch = &session->connection->loop->scratch;

	buffer_clear(scratch);
	while (scratch->len < HTTP2_OUTPUT_BYTES) {
		const uint8_t *bytes;
		ssize_t len = nghttp2_session_mem_send(session->nghttp2, &bytes);

		if (len < 0)
			return false;
		if (len == 0)
			return true;
		buffer_append(scratch, bytes, (size_t)len);
	}
	return true;
}

static bool has_more(struct http2_session *session)
{
	return session->connection->loop->scratch.len >= HTTP2_OUTPUT_BYTES;
}

static void drop_aborted(struct http2_session *session)
{
	h2o_linklist_t *link;

	if (!session->has_aborted)
		return;
	session->has_aborted = false;
	for (link = session->streams.next; link != &session->streams; link = link->next)
		http2_stream_drop_aborted(H2O_STRUCT_FROM_MEMBER(struct http2_stream, link, link));
}

void http2_pump(struct connection *connection)
{
	struct http2_session *session = connection->session;

	drop_aborted(session);
	if (session->writing || (session->unsent && !write_unsent(connection)))
		return;
	if (!gather(session)) {
		http2_end(connection, CLOSE_ERROR);
		return;
	}
	if (connection->loop->scratch.len && !write_gathered(connection))
		return;
	if (session->writing)
		return;
	if (has_more(session))
		connection_want_pump(connection);
	else if (!nghttp2_session_want_read(session->nghttp2) &&
		 !nghttp2_session_want_write(session->nghttp2))
		finish(connection);
}

static void on_read(h2o_socket_t *socket, const char *err)
{
	struct connection *connection = socket->data;
	struct http2_session *session = connection->session;
	ssize_t taken;

	if (err) {
		http2_end(connection, CLOSE_CLIENT);
		return;
	}
	taken = nghttp2_session_mem_recv(session->nghttp2, (const uint8_t *)socket->input->bytes,
					 socket->input->size);
	connection_release_input(connection);
	if (taken < 0)
		http2_end(connection, CLOSE_ERROR);
	else
		connection_want_pump(connection);
}

static void submit_settings(struct http2_session *session, const struct http_settings *settings)
{
	const nghttp2_settings_entry entries[] = {
	    {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings->max_streams_per_connection},
	    {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0},
	    {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings->max_head_bytes},
	    {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
	};
	int failed = nghttp2_submit_settings(session->nghttp2, NGHTTP2_FLAG_NONE, entries,
					     sizeof(entries) / sizeof(entries[0]));

	assert(!failed);
}

void http2_begin(struct connection *connection)
{
	struct http_loop *loop = connection->loop;
	struct http2_session *session = MEM_NEW(struct http2_session);
	int failed = nghttp2_session_server_new2(&session->nghttp2, loop->server->http2.callbacks,
						 session, loop->server->http2.option);

	assert(!failed);
	session->connection = connection;
	h2o_linklist_init_anchor(&session->streams);
	budget_init(&session->resets, RESETS, RESETS_PER_SECOND, loop->now_ms);
	budget_init(&session->controls, CONTROLS, CONTROLS_PER_SECOND, loop->now_ms);
	connection->state = CONNECTION_HTTP2;
	connection->session = session;
	submit_settings(session, loop->server->settings);
	if (loop->draining)
		http2_drain(connection);
	h2o_socket_read_start(connection->socket, on_read);
	on_read(connection->socket, NULL);
}

void http2_drain(struct connection *connection)
{
	nghttp2_session *nghttp2 = connection->session->nghttp2;

	nghttp2_submit_goaway(nghttp2, NGHTTP2_FLAG_NONE,
			      nghttp2_session_get_last_proc_stream_id(nghttp2), NGHTTP2_NO_ERROR,
			      NULL, 0);
	connection_want_pump(connection);
}

/* Where GOAWAY has no room either, or the client holds the connection open after it, the next one
 * ends it. */
void http2_expire(struct connection *connection)
{
	struct http2_session *session = connection->session;

	if (session->writing || session->unsent) {
		http2_end(connection, CLOSE_SLOW);
		return;
	}
	timer_list_set(&connection->loop->linger_timers, &connection->timer,
		       connection->loop->now_ms);
	nghttp2_session_terminate_session(session->nghttp2, NGHTTP2_NO_ERROR);
	connection_want_pump(connection);
}
