/*
 * The happy path: new, add_field…, end_fields, (take_body…,) dispatch: the handler answers by
 * reply() or stream(). Then libnghttp2 asks http2_stream_read() for DATA: first what is in `body`,
 * then, of a stream, the subscriber's bytes; where there are none it waits until ready() resumes
 * it. END_STREAM ends it, and close() frees.
 *
 * It fails when the client resets it or goes, when the request does not get whole in time (408), is
 * too large (413, 431) or one body too many for its connection (503), when a reply makes no
 * progress, or when the subscriber aborts.
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "http/connection_priv.h"
#include "http/date_priv.h"
#include "http/http2_priv.h"
#include "http/loop_priv.h"
#include "http/request_fields_priv.h"
#include "http/server_priv.h"

/* While it is being received the names and values are offsets into `text`, for that moves. */
struct http2_request {
	struct http_request request; /* first */
	struct http2_stream *stream;
	struct buffer text;
	struct http_field *fields; /* HTTP2_MAX_FIELDS of them */
	size_t field_count;
	size_t list_bytes; /* as SETTINGS_MAX_HEADER_LIST_SIZE counts (RFC 9113, 6.5.2) */
	struct buffer body;
	bool too_large;
	bool fields_ended;
	char peer[INET6_ADDRSTRLEN];
};

static void reply(struct http_request *request, const struct http_response *response);
static void stream_out(struct http_request *request, const struct http_response *head,
		       http_stream_started started, void *context);
static const struct http_request_ops request_ops = {reply, stream_out};

static struct http_loop *loop_of(const struct http2_stream *stream)
{
	return stream->session->connection->loop;
}

static void on_ready(struct carrier *carrier)
{
	struct http2_stream *stream = (struct http2_stream *)carrier;

	if (stream->waits) {
		stream->waits = false;
		nghttp2_session_resume_data(stream->session->nghttp2, stream->id);
	}
	connection_want_pump(stream->session->connection);
}

static void on_abort(struct carrier *carrier)
{
	struct http2_stream *stream = (struct http2_stream *)carrier;

	stream->aborted = true;
	stream->session->has_aborted = true;
	nghttp2_submit_rst_stream(stream->session->nghttp2, NGHTTP2_FLAG_NONE, stream->id,
				  NGHTTP2_CANCEL);
	connection_want_pump(stream->session->connection);
}

static const struct carrier_ops carrier_ops = {on_ready, on_abort};

struct http2_stream *http2_stream_new(struct http2_session *session, int32_t id)
{
	struct http2_stream *stream = MEM_NEW(struct http2_stream);
	struct http_loop *loop = session->connection->loop;
	struct http2_request *request = MEM_NEW(struct http2_request);

	stream->session = session;
	stream->id = id;
	stream->stream.carrier.ops = &carrier_ops;
	stream->request = request;
	request->stream = stream;
	request->fields = mem_alloc(HTTP2_MAX_FIELDS * sizeof(request->fields[0]));
	h2o_linklist_insert(&session->streams, &stream->link);
	session->greeted = true;
	if (session->stream_count++ == 0 && !session->writing)
		http2_session_set_timer(session);
	timer_list_set(&loop->request_timers, &stream->timer, loop->now_ms);
	return stream;
}

static struct slice put_aside(struct http2_request *request, struct slice text)
{
	size_t at = request->text.len;

	buffer_append_slice(&request->text, text);
	return (struct slice){(const char *)(uintptr_t)at, text.len};
}

static struct slice take_back(const struct http2_request *request, struct slice aside)
{
	return (struct slice){request->text.base + (uintptr_t)aside.base, aside.len};
}

void http2_stream_add_field(struct http2_stream *stream, struct slice name, struct slice value)
{
	enum { FIELD_OVERHEAD = 32 };
	struct http2_request *request = stream->request;

	if (!request || request->too_large)
		return;
	request->list_bytes += name.len + value.len + FIELD_OVERHEAD;
	if (request->field_count == HTTP2_MAX_FIELDS ||
	    request->list_bytes > loop_of(stream)->server->settings->max_head_bytes) {
		request->too_large = true;
		return;
	}
	request->fields[request->field_count].name = put_aside(request, name);
	request->fields[request->field_count++].value = put_aside(request, value);
}

/* Takes the pseudo-header fields (RFC 9113, 8.3.1) out of the fields; :authority stays as the host.
 * Returns the path. */
static struct slice sort_fields(struct http2_request *request)
{
	struct slice path = {NULL, 0};
	size_t kept = 0;

	for (size_t i = 0; i < request->field_count; i++) {
		struct http_field field = {take_back(request, request->fields[i].name),
					   take_back(request, request->fields[i].value)};

		if (slice_equal(field.name, SLICE_LIT(":method")))
			request->request.method = field.value;
		else if (slice_equal(field.name, SLICE_LIT(":path")))
			path = field.value;
		else if (slice_equal(field.name, SLICE_LIT(":authority")))
			request->fields[kept++] =
			    (struct http_field){SLICE_LIT("host"), field.value};
		else if (field.name.len && field.name.base[0] != ':')
			request->fields[kept++] = field;
	}
	request->field_count = kept;
	return path;
}

/* Answers what never gets to a handler; the client may still be sending. */
static void refuse(struct http2_stream *stream, int status, const char *detail)
{
	stream->is_early = true;
	request_refuse(&stream->request->request, status, detail);
}

/* libnghttp2 has seen to it that it is a number. */
static bool announces_too_much(const struct http_request *request)
{
	struct slice length = http_request_field(request, "content-length");
	uint64_t bytes = 0;

	for (size_t i = 0; i < length.len && bytes <= HTTP_MAX_BODY_BYTES; i++)
		bytes = 10 * bytes + (uint64_t)(length.base[i] - '0');
	return bytes > HTTP_MAX_BODY_BYTES;
}

static nghttp2_nv pair(struct slice name, struct slice value)
{
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name.base, (uint8_t *)(uintptr_t)value.base,
			    name.len, value.len, NGHTTP2_NV_FLAG_NONE};
}

/* To a client that may wait for it before it sends the body (RFC 9110, 10.1.1). */
static void say_continue(struct http2_stream *stream)
{
	const nghttp2_nv status = pair(SLICE_LIT(":status"), SLICE_LIT("100"));
	struct slice expected = http_request_field(&stream->request->request, "expect");

	if (slice_equal_ascii_case(expected, SLICE_LIT("100-continue")))
		nghttp2_submit_headers(stream->session->nghttp2, NGHTTP2_FLAG_NONE, stream->id,
				       NULL, &status, 1, NULL);
}

void http2_stream_end_fields(struct http2_stream *stream, bool has_body)
{
	struct http2_request *request = stream->request;
	struct connection *connection = stream->session->connection;
	struct slice path;

	if (!request)
		return;
	request->fields_ended = true;
	path = sort_fields(request);
	connection_format_peer(connection, request->peer);
	request->request.loop = connection->loop;
	request->request.listener = connection->settings;
	request->request.peer = request->peer;
	request->request.version = 20;
	request->request.ops = &request_ops;
	request->request.fields = request->fields;
	request->request.field_count = request->field_count;
	if (request->too_large)
		refuse(stream, 431, "The request's header fields are too large.");
	else if (!request_set_target(&request->request, path))
		refuse(stream, 400, "The request's target is not a path.");
	else if (announces_too_much(&request->request))
		refuse(stream, 413, "The request's body is too large.");
	else if (has_body)
		say_continue(stream);
}

void http2_stream_take_body(struct http2_stream *stream, struct slice bytes)
{
	struct http2_request *request = stream->request;
	struct http2_session *session = stream->session;

	if (!request)
		return;
	if (request->body.len + bytes.len > HTTP_MAX_BODY_BYTES) {
		refuse(stream, 413, "The request's body is too large.");
		return;
	}
	if (session->body_bytes + bytes.len > HTTP2_MAX_BODIES_BYTES) {
		refuse(stream, 503, "The connection has too many request bodies at once.");
		return;
	}
	session->body_bytes += bytes.len;
	buffer_append_slice(&request->body, bytes);
}

void http2_stream_dispatch(struct http2_stream *stream)
{
	const struct http_server_hooks *hooks = &loop_of(stream)->server->hooks;

	stream->is_early = false;
	if (!stream->request)
		return;
	timer_list_clear(&stream->timer);
	stream->request->request.body = buffer_slice(&stream->request->body);
	metrics_add(METRIC_REQUESTS, 1);
	hooks->request(hooks->context, &stream->request->request);
}

static void drop_request(struct http2_stream *stream)
{
	struct http2_request *request = stream->request;

	stream->request = NULL;
	stream->session->body_bytes -= request->body.len;
	buffer_free(&request->body);
	buffer_free(&request->text);
	free(request->fields);
	free(request);
}

/* `length` may be NULL. */
static void submit(struct http2_stream *stream, const struct http_response *response,
		   const char *length, bool has_data)
{
	enum { OWN_FIELDS = 4 };
	nghttp2_nv *fields = mem_alloc((response->field_count + OWN_FIELDS) * sizeof(*fields));
	nghttp2_data_provider provider = {.read_callback = http2_stream_read};
	char status[12];
	size_t count = 0;

	snprintf(status, sizeof(status), "%d", response->status);
	fields[count++] = pair(SLICE_LIT(":status"), slice_of(status));
	for (size_t i = 0; i < response->field_count; i++)
		fields[count++] = pair(response->fields[i].name, response->fields[i].value);
	if (length)
		fields[count++] = pair(SLICE_LIT("content-length"), slice_of(length));
	fields[count++] = pair(SLICE_LIT("date"), slice_of(date_text()));
	fields[count++] = pair(SLICE_LIT("server"), SLICE_LIT("sluice"));
	nghttp2_submit_response(stream->session->nghttp2, stream->id, fields, count,
				has_data ? &provider : NULL);
	free(fields);
	connection_want_pump(stream->session->connection);
}

static void keep_body(struct http2_stream *stream, struct slice body)
{
	stream->body_len = (uint32_t)body.len;
	if (body.len)
		stream->body = mem_strndup(body.base, body.len);
}

static void reply(struct http_request *request, const struct http_response *response)
{
	struct http2_stream *stream = ((struct http2_request *)request)->stream;
	bool has_content = !request_status_has_no_content(response->status);
	bool has_data = has_content && response->body.len && !request_is_head(request);
	char length[24];

	snprintf(length, sizeof(length), "%zu", response->body.len);
	if (has_data)
		keep_body(stream, response->body);
	submit(stream, response, has_content && !response->has_no_length ? length : NULL, has_data);
	timer_list_set(&loop_of(stream)->reply_timers, &stream->timer, loop_of(stream)->now_ms);
	drop_request(stream);
}

static void stream_out(struct http_request *request, const struct http_response *head,
		       http_stream_started started, void *context)
{
	struct http2_stream *stream = ((struct http2_request *)request)->stream;

	stream->is_stream = true;
	keep_body(stream, head->body);
	submit(stream, head, NULL, true);
	drop_request(stream);
	started(context, &stream->stream);
}

static void drop_body(struct http2_stream *stream)
{
	free(stream->body);
	stream->body = NULL;
}

static struct slice peek(struct http2_stream *stream, size_t max)
{
	size_t left = stream->body_len - stream->body_at;

	if (stream->body)
		return (struct slice){stream->body + stream->body_at, left < max ? left : max};
	return stream->aborted ? (struct slice){NULL, 0} : http_stream_peek(&stream->stream, max);
}

static void consume(struct http2_stream *stream, size_t len)
{
	struct http_loop *loop = loop_of(stream);

	if (!stream->body) {
		http_stream_consume(&stream->stream, len);
		return;
	}
	stream->body_at += (uint32_t)len;
	if (stream->body_at == stream->body_len)
		drop_body(stream);
	if (!stream->is_stream)
		timer_list_set(&loop->reply_timers, &stream->timer, loop->now_ms);
}

static bool has_ended(const struct http2_stream *stream)
{
	return !stream->body && !stream->aborted && http_stream_ended(&stream->stream);
}

ssize_t http2_stream_read(nghttp2_session *nghttp2, int32_t id, uint8_t *buffer, size_t len,
			  uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
	static const char place_for_head[9];
	struct http2_session *session = user_data;
	struct http2_stream *stream = nghttp2_session_get_stream_user_data(nghttp2, id);
	struct buffer *scratch = &session->connection->loop->scratch;
	struct slice bytes;

	(void)buffer;
	(void)source;
	if (scratch->len >= HTTP2_OUTPUT_BYTES)
		return NGHTTP2_ERR_PAUSE;
	bytes = peek(stream, len);
	if (bytes.len == 0 && has_ended(stream)) {
		*flags |= NGHTTP2_DATA_FLAG_EOF;
		return 0;
	}
	if (bytes.len == 0) {
		stream->waits = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	session->data_at = scratch->len;
	buffer_append(scratch, place_for_head, sizeof(place_for_head));
	buffer_append_slice(scratch, bytes);
	consume(stream, bytes.len);
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (!stream->is_stream && !stream->body)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)bytes.len;
}

static void tell_gone(struct http2_stream *stream)
{
	struct http_request *request = &stream->request->request;

	if (request->on_gone)
		request->on_gone(request);
	drop_request(stream);
}

void http2_stream_drop_aborted(struct http2_stream *stream)
{
	if (stream->aborted)
		http_stream_drop(&stream->stream, CLOSE_SLOW);
}

void http2_stream_close(struct http2_stream *stream, enum close_reason reason)
{
	struct http2_session *session = stream->session;

	nghttp2_session_set_stream_user_data(session->nghttp2, stream->id, NULL);
	http_stream_drop(&stream->stream, stream->aborted ? CLOSE_SLOW : reason);
	if (stream->request)
		tell_gone(stream);
	drop_body(stream);
	timer_list_clear(&stream->timer);
	h2o_linklist_unlink(&stream->link);
	if (--session->stream_count == 0 && !session->writing)
		http2_session_set_timer(session);
	http_loop_bury(session->connection->loop, stream);
}

static struct http2_stream *stream_of(struct timer *timer)
{
	return H2O_STRUCT_FROM_MEMBER(struct http2_stream, timer, timer);
}

/* With half a header block nothing else can come on the connection, not even an answer's
 * acknowledgement. */
void http2_stream_expire_request(struct timer *timer)
{
	struct http2_stream *stream = stream_of(timer);
	struct http2_session *session = stream->session;

	if (!stream->request)
		return;
	if (stream->request->fields_ended)
		refuse(stream, 408, "The request took too long.");
	else
		nghttp2_session_terminate_session(session->nghttp2, NGHTTP2_PROTOCOL_ERROR);
	connection_want_pump(session->connection);
}

static void reset(struct http2_stream *stream, uint32_t error_code)
{
	nghttp2_submit_rst_stream(stream->session->nghttp2, NGHTTP2_FLAG_NONE, stream->id,
				  error_code);
	connection_want_pump(stream->session->connection);
}

void http2_stream_expire_reply(struct timer *timer)
{
	reset(stream_of(timer), NGHTTP2_CANCEL);
}

void http2_stream_linger(struct http2_stream *stream)
{
	struct http_loop *loop = loop_of(stream);

	timer_list_set(&loop->reset_timers, &stream->timer, loop->now_ms);
}

void http2_stream_expire_linger(struct timer *timer)
{
	reset(stream_of(timer), NGHTTP2_NO_ERROR);
}
