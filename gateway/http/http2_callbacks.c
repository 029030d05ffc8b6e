/* What libnghttp2 calls. Each returns 0, or what makes it reset the stream or give the session up.
 */
#include "http/connection_priv.h"
#include "http/http2_priv.h"
#include "http/loop_priv.h"

static struct http2_stream *find(nghttp2_session *nghttp2, int32_t id)
{
	return nghttp2_session_get_stream_user_data(nghttp2, id);
}

/* CONTINUATION never gets here: libnghttp2 limits it. WINDOW_UPDATE is what a reader of our data
 * has to send. */
static bool is_control(const nghttp2_frame_hd *frame)
{
	switch (frame->type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_WINDOW_UPDATE:
	case NGHTTP2_RST_STREAM:
		return false;
	case NGHTTP2_DATA:
		return frame->length == 0;
	default:
		return true;
	}
}

static int on_begin_frame(nghttp2_session *nghttp2, const nghttp2_frame_hd *frame, void *user_data)
{
	struct http2_session *session = user_data;

	(void)nghttp2;
	if (is_control(frame))
		http2_session_spend(session, &session->controls);
	return 0;
}

static int on_begin_headers(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *user_data)
{
	struct http2_session *session = user_data;
	struct http2_stream *stream;

	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	stream = http2_stream_new(session, frame->hd.stream_id);
	nghttp2_session_set_stream_user_data(nghttp2, frame->hd.stream_id, stream);
	return 0;
}

static int on_header(nghttp2_session *nghttp2, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *user_data)
{
	struct http2_stream *stream = find(nghttp2, frame->hd.stream_id);

	(void)flags;
	(void)user_data;
	if (stream && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		http2_request_add_field(stream, (struct slice){(const char *)name, name_len},
					(struct slice){(const char *)value, value_len});
	return 0;
}

static int on_data_chunk(nghttp2_session *nghttp2, uint8_t flags, int32_t id, const uint8_t *bytes,
			 size_t len, void *user_data)
{
	struct http2_stream *stream = find(nghttp2, id);

	(void)flags;
	(void)user_data;
	if (stream)
		http2_request_take_body(stream, (struct slice){(const char *)bytes, len});
	return 0;
}

static int on_frame_recv(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *user_data)
{
	struct http2_session *session = user_data;
	struct http2_stream *stream;

	if (frame->hd.type == NGHTTP2_RST_STREAM)
		http2_session_spend(session, &session->resets);
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	stream = find(nghttp2, frame->hd.stream_id);
	if (!stream)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		http2_request_end_fields(stream, !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM));
	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
		http2_request_dispatch(stream);
	return 0;
}

/* Resets that the client provokes cost as much as those that it sends. */
static int on_frame_send(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *user_data)
{
	struct http2_session *session = user_data;
	struct http2_stream *stream;

	if (frame->hd.type == NGHTTP2_RST_STREAM)
		http2_session_spend(session, &session->resets);
	if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
	    (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA))
		return 0;
	stream = find(nghttp2, frame->hd.stream_id);
	if (stream && stream->is_early)
		http2_stream_linger(stream);
	return 0;
}

static int on_stream_close(nghttp2_session *nghttp2, int32_t id, uint32_t error_code,
			   void *user_data)
{
	struct http2_stream *stream = find(nghttp2, id);

	(void)error_code;
	(void)user_data;
	if (stream)
		http2_stream_close(stream, CLOSE_CLIENT);
	return 0;
}

/* http2_stream_read() has put the payload behind the place for the frame's head. */
static int on_send_data(nghttp2_session *nghttp2, nghttp2_frame *frame, const uint8_t *head,
			size_t len, nghttp2_data_source *source, void *user_data)
{
	enum { FRAME_HEAD_BYTES = 9 };
	struct http2_session *session = user_data;

	(void)nghttp2;
	(void)frame;
	(void)len;
	(void)source;
	memcpy(session->connection->loop->scratch.base + session->data_at, head, FRAME_HEAD_BYTES);
	return 0;
}

void http2_callbacks_set(nghttp2_session_callbacks *callbacks)
{
	nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
}
