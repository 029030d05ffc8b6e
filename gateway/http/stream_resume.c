#include <stdio.h>

#include "base/clock.h"
#include "event/combined_id.h"
#include "event/event_id.h"
#include "event/percent.h"
#include "http/cors_priv.h"
#include "http/stream_opening_priv.h"
#include "http/stream_since_priv.h"

enum { CUSTOM_ID_MAX_BYTES = 1024 };

int stream_resume_find_id(struct slice query, struct buffer *id)
{
	static const char *const names[] = {"lastEventId", "last_event_id"};
	int rc = ERROR_NOT_FOUND;

	for (size_t i = 0; rc == ERROR_NOT_FOUND && i < sizeof(names) / sizeof(names[0]); i++)
		rc = query.base ? percent_find(query, names[i], id) : ERROR_NOT_FOUND;
	return rc == ERROR_INVALID ? rc : 0;
}

static bool find_last_event_id(struct stream_opening *opening)
{
	if (opening->given_id.base)
		buffer_append_slice(&opening->last_event_id, opening->given_id);
	else if (stream_resume_find_id(opening->query, &opening->last_event_id))
		return stream_opening_fail(opening, 400, STREAM_RESUME_ID_WANTED);
	return true;
}

static bool fits_custom_id(const struct stream_opening *opening)
{
	return mapping_has_custom_id(opening->route->stream->mapping) &&
	       opening->last_event_id.len <= CUSTOM_ID_MAX_BYTES;
}

void stream_resume_reply_final(struct http_request *request)
{
	struct http_field fields[CORS_MAX_FIELDS];
	size_t count = cors_fields(request, fields);

	http_reply(request,
		   &(struct http_response){.status = 204, .fields = fields, .field_count = count});
}

static bool reply_final(struct stream_opening *opening)
{
	if (opening->is_member)
		return opening->is_final = true;
	stream_resume_reply_final(opening->request);
	return false;
}

/* NULL, or why the id is not a position in this feed. */
static const char *decode_position(struct stream_opening *opening, struct slice id, unsigned *flags)
{
	const char *reason = NULL;

	if (event_id_decode(id, opening->terms.feed->hash, flags, &opening->terms.position,
			    &reason))
		return combined_id_is_meant(id) ? "it is of several streams in one connection"
						: reason;
	if (opening->terms.position.topic_count != opening->terms.feed->topic_count) {
		position_fini(&opening->terms.position);
		return "it names other topics";
	}
	opening->terms.has_position = true;
	return NULL;
}

static bool read_last_event_id(struct stream_opening *opening)
{
	const char *reason;
	unsigned flags = 0;
	char detail[256];

	if (!find_last_event_id(opening))
		return false;
	if (!opening->last_event_id.len)
		return true;
	reason = decode_position(opening, buffer_slice(&opening->last_event_id), &flags);
	if (reason && fits_custom_id(opening)) {
		buffer_append_slice(&opening->terms.custom_id,
				    buffer_slice(&opening->last_event_id));
		return true;
	}
	if (reason) {
		snprintf(detail, sizeof(detail), "Last-Event-ID is not one of this stream's: %s.",
			 reason);
		return stream_opening_fail(opening, 400, detail);
	}
	return flags & EVENT_ID_FINAL ? reply_final(opening) : true;
}

static bool read_since(struct stream_opening *opening)
{
	struct slice query = opening->query;
	struct buffer since = {0};
	int rc = query.base ? percent_find(query, "since", &since) : ERROR_NOT_FOUND;

	opening->terms.since_ms = -1;
	if (!rc)
		rc = stream_since_read(buffer_slice(&since), clock_unix_ms(),
				       &opening->terms.since_ms);
	buffer_free(&since);
	return !rc || rc == ERROR_NOT_FOUND ||
	       stream_opening_fail(opening, 400, STREAM_SINCE_WANTED);
}

bool stream_resume_read(struct stream_opening *opening)
{
	return read_last_event_id(opening) && read_since(opening);
}

bool stream_resume_from_cursor(struct stream_opening *opening, struct slice event_id)
{
	unsigned flags = 0;

	if (event_id.len)
		opening->terms.has_stale_cursor =
		    decode_position(opening, event_id, &flags) != NULL;
	return flags & EVENT_ID_FINAL ? reply_final(opening) : true;
}
