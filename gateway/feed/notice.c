#include "feed/notice_priv.h"

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

void notice_append_connected(struct buffer *out, struct slice id, const char *stream)
{
	struct buffer data = {0};

	buffer_append_text(&data, "{\"stream\":");
	buffer_append_json_string(&data, slice_of(stream));
	buffer_append_text(&data, "}");
	append_event(out, id, "connected", buffer_slice(&data));
	buffer_free(&data);
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

static void append_reason(struct buffer *out, struct slice id, const char *event,
			  const char *reason)
{
	struct buffer data = {0};

	buffer_append_format(&data, "{\"reason\":\"%s\"}", reason);
	append_event(out, id, event, buffer_slice(&data));
	buffer_free(&data);
}

void notice_append_timeout(struct buffer *out, const char *reason)
{
	append_reason(out, (struct slice){0}, "timeout", reason);
}

void notice_append_end(struct buffer *out, struct slice id, const char *reason)
{
	append_reason(out, id, "end", reason);
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

void notice_append_retry(struct buffer *out, uint64_t retry_ms)
{
	buffer_append_text(out, "retry: ");
	buffer_append_u64(out, retry_ms);
	buffer_append_text(out, "\n\n");
}

void notice_append_id(struct buffer *out, struct slice id)
{
	buffer_append_text(out, "id: ");
	buffer_append_slice(out, id);
	buffer_append_text(out, "\n\n");
}

void notice_append_comment(struct buffer *out)
{
	buffer_append_text(out, ":\n\n");
}
