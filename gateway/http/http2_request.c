/*
 * A request while it is received: add_field…, end_fields, (take_body…,) dispatch. What never gets
 * whole in time (408), is too large (413, 431) or one body too many for its connection (503) is
 * answered here, and so is a target that is no path (400).
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "http/connection_priv.h"
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

struct http2_request *http2_request_new(struct http2_stream *stream,
					const struct http_request_ops *ops)
{
	struct http2_request *request = MEM_NEW(struct http2_request);

	request->request.ops = ops;
	request->stream = stream;
	request->fields = mem_alloc(HTTP2_MAX_FIELDS * sizeof(request->fields[0]));
	return request;
}

struct http2_stream *http2_request_stream(struct http_request *request)
{
	return ((struct http2_request *)request)->stream;
}

static struct http_loop *loop_of(const struct http2_stream *stream)
{
	return stream->session->connection->loop;
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

void http2_request_add_field(struct http2_stream *stream, struct slice name, struct slice value)
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

/* To a client that may wait for it before it sends the body (RFC 9110, 10.1.1). */
static void say_continue(struct http2_stream *stream)
{
	const nghttp2_nv status = http2_pair(SLICE_LIT(":status"), SLICE_LIT("100"));
	struct slice expected = http_request_field(&stream->request->request, "expect");

	if (slice_equal_ascii_case(expected, SLICE_LIT("100-continue")))
		nghttp2_submit_headers(stream->session->nghttp2, NGHTTP2_FLAG_NONE, stream->id,
				       NULL, &status, 1, NULL);
}

void http2_request_end_fields(struct http2_stream *stream, bool has_body)
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
	request->request.fields = request->fields;
	request->request.field_count = request->field_count;
	if (request->too_large)
		refuse(stream, 431, "The request's header fields are too large.");
	else if (!request_set_target(&request->request, path))
		refuse(stream, 400, "The request's target is not a path.");
	else if (announces_too_much(&request->request))
		refuse(stream, 413, HTTP_BODY_TOO_LARGE);
	else if (has_body)
		say_continue(stream);
}

void http2_request_take_body(struct http2_stream *stream, struct slice bytes)
{
	struct http2_request *request = stream->request;
	struct http2_session *session = stream->session;

	if (!request)
		return;
	if (request->body.len + bytes.len > HTTP_MAX_BODY_BYTES) {
		refuse(stream, 413, HTTP_BODY_TOO_LARGE);
		return;
	}
	if (session->body_bytes + bytes.len > HTTP2_MAX_BODIES_BYTES) {
		refuse(stream, 503, "The connection has too many request bodies at once.");
		return;
	}
	session->body_bytes += bytes.len;
	buffer_append_slice(&request->body, bytes);
}

void http2_request_dispatch(struct http2_stream *stream)
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

void http2_request_drop(struct http2_stream *stream)
{
	struct http2_request *request = stream->request;

	stream->request = NULL;
	stream->session->body_bytes -= request->body.len;
	buffer_free(&request->body);
	buffer_free(&request->text);
	free(request->fields);
	free(request);
}

void http2_request_tell_gone(struct http2_stream *stream)
{
	struct http_request *request = &stream->request->request;

	if (request->on_gone)
		request->on_gone(request);
	http2_request_drop(stream);
}

/* With half a header block nothing else can come on the connection, not even an answer's
 * acknowledgement. */
void http2_request_expire(struct timer *timer)
{
	struct http2_stream *stream = H2O_STRUCT_FROM_MEMBER(struct http2_stream, timer, timer);
	struct http2_session *session = stream->session;

	if (!stream->request)
		return;
	if (stream->request->fields_ended)
		refuse(stream, 408, "The request took too long.");
	else
		nghttp2_session_terminate_session(session->nghttp2, NGHTTP2_PROTOCOL_ERROR);
	connection_want_pump(session->connection);
}
