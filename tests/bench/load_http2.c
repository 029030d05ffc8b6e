#include <err.h>
#include <string.h>

#include "bench/load_client.h"

/* Nobody shall wait for a window: the client takes all that comes. */
enum { WINDOW = 0x7fffffff };

static struct event_counter *counter_of(nghttp2_session *session, int32_t id)
{
	return nghttp2_session_get_stream_user_data(session, id);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *user_data)
{
	struct link *link = user_data;

	(void)session;
	(void)frame;
	(void)flags;
	if (name_len != 7 || memcmp(name, ":status", 7) != 0)
		return 0;
	if (value_len != 3 || memcmp(value, "200", 3) != 0)
		errx(1, "the answer is %.*s", (int)value_len, (const char *)value);
	link->ready++;
	link->load->ready++;
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
		   size_t len, void *user_data)
{
	struct link *link = user_data;

	(void)flags;
	event_counter_feed(counter_of(session, id), &link->load->totals, (const char *)bytes, len);
	return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error, void *user_data)
{
	struct link *link = user_data;

	(void)session;
	(void)id;
	(void)error;
	link->load->ended++;
	return 0;
}

static void send_pending(struct link *link)
{
	const uint8_t *bytes;
	ssize_t len;

	while ((len = nghttp2_session_mem_send(link->session, &bytes)) > 0)
		load_send(link, bytes, (size_t)len);
}

static nghttp2_session *make_session(struct link *link)
{
	static nghttp2_session_callbacks *callbacks;
	nghttp2_session *session;

	if (!callbacks) {
		nghttp2_session_callbacks_new(&callbacks);
		nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
		nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	}
	nghttp2_session_client_new(&session, callbacks, link);
	return session;
}

#define FIELD(name, value, len)                                                                    \
	{                                                                                          \
		(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1,     \
		    len, NGHTTP2_NV_FLAG_NONE                                                      \
	}

static void submit_request(struct link *link, uint32_t number)
{
	char path[LOAD_PATH_BYTES];

	load_write_path(link->load, number, path);
	const nghttp2_nv fields[] = {FIELD(":method", "GET", 3), FIELD(":scheme", "http", 4),
				     FIELD(":authority", "localhost", 9),
				     FIELD(":path", path, strlen(path)),
				     FIELD("accept", "text/event-stream", 17)};
	nghttp2_submit_request(link->session, NULL, fields, sizeof(fields) / sizeof(fields[0]),
			       NULL, &link->load->counters[number]);
}

void load_http2_open(struct link *link)
{
	const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW},
						   {NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};

	link->session = make_session(link);
	nghttp2_submit_settings(link->session, NGHTTP2_FLAG_NONE, settings, 2);
	nghttp2_session_set_local_window_size(link->session, NGHTTP2_FLAG_NONE, 0, WINDOW);
	for (uint32_t i = 0; i < link->load->streams; i++)
		submit_request(link, link->first + i);
	send_pending(link);
}

void load_http2_feed(struct link *link, const char *bytes, size_t len)
{
	if (nghttp2_session_mem_recv(link->session, (const uint8_t *)bytes, len) < 0)
		errx(1, "the server breaks HTTP/2");
	if (nghttp2_session_want_write(link->session))
		send_pending(link);
}
