/*
 * The happy path: new, then the request (http2_request.c), which the handler answers by reply() or
 * stream_out(). Then libnghttp2 asks http2_stream_read() for DATA: first what is in `body`, then,
 * of a stream, the subscriber's bytes; where there are none it waits until ready() resumes it.
 * END_STREAM ends it, and close() frees.
 *
 * It fails when the client resets it or goes, when the request is refused, when a reply makes no
 * progress, or when the subscriber aborts.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "http/connection_priv.h"
#include "http/date_priv.h"
#include "http/http2_priv.h"
#include "http/loop_priv.h"
#include "http/request_fields_priv.h"

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

	stream->session = session;
	stream->id = id;
	stream->stream.carrier.ops = &carrier_ops;
	stream->request = http2_request_new(stream, &request_ops);
	h2o_linklist_insert(&session->streams, &stream->link);
	session->greeted = true;
	if (session->stream_count++ == 0 && !session->writing)
		http2_session_set_timer(session);
	timer_list_set(&loop->request_timers, &stream->timer, loop->now_ms);
	return stream;
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
	fields[count++] = http2_pair(SLICE_LIT(":status"), slice_of(status));
	for (size_t i = 0; i < response->field_count; i++)
		fields[count++] = http2_pair(response->fields[i].name, response->fields[i].value);
	if (length)
		fields[count++] = http2_pair(SLICE_LIT("content-length"), slice_of(length));
	fields[count++] = http2_pair(SLICE_LIT("date"), slice_of(date_text()));
	fields[count++] = http2_pair(SLICE_LIT("server"), SLICE_LIT("sluice"));
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
	struct http2_stream *stream = http2_request_stream(request);
	bool has_content = !request_status_has_no_content(response->status);
	bool has_data = has_content && response->body.len && !request_is_head(request);
	char length[24];

	snprintf(length, sizeof(length), "%zu", response->body.len);
	if (has_data)
		keep_body(stream, response->body);
	submit(stream, response, has_content && !response->has_no_length ? length : NULL, has_data);
	timer_list_set(&loop_of(stream)->reply_timers, &stream->timer, loop_of(stream)->now_ms);
	http2_request_drop(stream);
}

static void stream_out(struct http_request *request, const struct http_response *head,
		       http_stream_started started, void *context)
{
	struct http2_stream *stream = http2_request_stream(request);

	stream->is_stream = true;
	keep_body(stream, head->body);
	submit(stream, head, NULL, true);
	http2_request_drop(stream);
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
		http2_request_tell_gone(stream);
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
