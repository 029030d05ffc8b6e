#include "feed/notice_priv.h"

#include "base/clock.h"
#include "event/frame.h"

static void append_event(struct buffer *out, struct slice id, const char *event, struct slice data)
{
	const struct frame frame = {
	    .id = id,
	    .event = slice_of(event),
	    .data = data,
	    .has_data = true,
	    .retry_ms = -1,
	};

	frame_append(out, &frame);
}

static void append_id_line(struct buffer *out, struct slice id)
{
	if (!id.len)
		return;
	buffer_append_text(out, "id: ");
	buffer_append_slice(out, id);
	buffer_append_text(out, "\n");
}

void notice_append_connected(struct buffer *out, struct slice id, const char *stream,
			     const char *welcome)
{
	struct buffer data = {0};

	buffer_append_text(&data, "{\"stream\":");
	buffer_append_json_string(&data, slice_of(stream));
	buffer_append_text(&data, "}");
	append_event(out, id, "connected", buffer_slice(&data));
	buffer_free(&data);
	if (!welcome)
		return;
	append_id_line(out, id);
	buffer_append_text(out, welcome);
}

void notice_append_gap(struct buffer *out, struct slice id, const char *reason,
		       const struct notice_gap *gaps, size_t count)
{
	struct buffer data = {0};

	buffer_append_format(&data, "{\"reason\":\"%s\",\"missed\":[", reason);
	for (size_t i = 0; i < count; i++) {
		buffer_append_text(&data, i ? ",{\"topic\":" : "{\"topic\":");
		buffer_append_json_string(&data, slice_of(gaps[i].topic));
		buffer_append_format(&data, ",\"partition\":%d,\"from\":%lld,\"to\":%lld}",
				     (int)gaps[i].partition, (long long)gaps[i].from,
				     (long long)gaps[i].to);
	}
	buffer_append_text(&data, "]}");
	append_event(out, id, "gap", buffer_slice(&data));
	buffer_free(&data);
}

/* `retry_ms` < 0: none. */
static void append_reason(struct buffer *out, struct slice id, const char *event,
			  const char *reason, int64_t retry_ms)
{
	struct buffer data = {0};

	buffer_append_format(&data, "{\"reason\":\"%s\"}", reason);
	frame_append(out, &(struct frame){
			      .id = id,
			      .event = slice_of(event),
			      .data = buffer_slice(&data),
			      .has_data = true,
			      .retry_ms = retry_ms,
			  });
	buffer_free(&data);
}

void notice_append_timeout(struct buffer *out, struct slice id, const char *reason,
			   uint64_t retry_ms)
{
	append_reason(out, id, "timeout", reason, (int64_t)retry_ms);
}

void notice_append_end(struct buffer *out, struct slice id, const char *reason)
{
	append_reason(out, id, "end", reason, -1);
}

void notice_append_revoked(struct buffer *out)
{
	append_event(out, (struct slice){0}, "revoked",
		     SLICE_LIT("{\"reason\":\"token_revoked\"}"));
}

void notice_append_limit(struct buffer *out, struct slice id, const char *reason, uint64_t keys,
			 uint64_t bytes)
{
	struct buffer data = {0};

	buffer_append_format(&data, "{\"reason\":\"%s\",\"keys\":%llu,\"bytes\":%llu}", reason,
			     (unsigned long long)keys, (unsigned long long)bytes);
	append_event(out, id, "limit", buffer_slice(&data));
	buffer_free(&data);
}

void notice_append_error(struct buffer *out, struct slice id, const char *code, struct slice topic,
			 int32_t partition, int64_t offset)
{
	struct buffer data = {0};

	buffer_append_format(&data, "{\"code\":\"%s\",\"retry\":true,\"topic\":", code);
	buffer_append_json_string(&data, topic);
	buffer_append_format(&data, ",\"partition\":%d,\"offset\":%lld}", (int)partition,
			     (long long)offset);
	append_event(out, id, "error", buffer_slice(&data));
	buffer_free(&data);
}

void notice_append_retry(struct buffer *out, uint64_t retry_ms)
{
	buffer_append_text(out, "retry: ");
	buffer_append_u64(out, retry_ms);
	buffer_append_text(out, "\n\n");
}

void notice_append_id(struct buffer *out, struct slice id)
{
	append_id_line(out, id);
	/* Something goes out in any case. */
	buffer_append_text(out, id.len ? "\n" : ":\n\n");
}

void notice_append_comment(struct buffer *out, struct slice id, const struct notice_server *server)
{
	char time[25];

	clock_format_rfc3339(server->now_unix_ms, time);
	append_id_line(out, id);
	buffer_append_format(out, ": %s %s\n\n", server->id, time);
}

void notice_append_heartbeat(struct buffer *out, struct slice id, const char *event,
			     const struct notice_server *server)
{
	struct buffer data = {0};
	char time[25];

	clock_format_rfc3339(server->now_unix_ms, time);
	buffer_append_text(&data, "{\"server_id\":");
	buffer_append_json_string(&data, slice_of(server->id));
	buffer_append_format(&data, ",\"time\":\"%s\"}", time);
	append_event(out, id, event, buffer_slice(&data));
	buffer_free(&data);
}
