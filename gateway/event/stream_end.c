/* What ends a stream by itself. */
#include "event/stream_priv.h"

void stream_end_read_when(const struct config_at *at, const json_t *value, void *target)
{
	struct stream *stream = target;

	if (value)
		stream->end_when = stream_pattern_compile(at, value, stream);
}

void stream_end_read_follow(const struct config_at *at, const json_t *value, void *target)
{
	struct stream *stream = target;

	if (value)
		stream->follow_param = stream_pattern_read_param(at, value, stream, PATTERN_BOOLEAN,
								 "is true or false");
}
