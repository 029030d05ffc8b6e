#include "feed/ending_priv.h"

#include "event/event_id.h"
#include "feed/feed.h"
#include "feed/notice_priv.h"

void ending_append_id_line(const struct feed *feed, const struct position *position,
			   struct buffer *out)
{
	buffer_append_text(out, "id: ");
	event_id_encode(feed->hash, EVENT_ID_FINAL, position, out);
	buffer_append_text(out, "\n");
}

void ending_append_notice(const struct feed *feed, const struct position *position,
			  enum close_reason reason, struct buffer *out)
{
	struct buffer id = {0};

	event_id_encode(feed->hash, EVENT_ID_FINAL, position, &id);
	notice_append_end(out, buffer_slice(&id), close_reason_label(reason));
	buffer_free(&id);
}
