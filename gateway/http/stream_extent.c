#include <stdio.h>

#include "event/document.h"
#include "event/stream.h"
#include "feed/checks.h"
#include "http/stream_opening_priv.h"

static bool read_last(struct stream_opening *opening)
{
	const struct stream *stream = opening->route->stream;
	const struct stream_param *param = stream->start_last_param;
	json_int_t last, most = STREAM_START_LAST_MAX;
	char detail[256];

	if (!param)
		return true;
	if (param->has_maximum && param->maximum < (double)most)
		most = (json_int_t)param->maximum;
	last = json_integer_value(stream_param_value(param, opening->variables));
	if (last < 0 || last > most) {
		snprintf(detail, sizeof(detail),
			 "\"%.100s\" is how many of the last events come first: an integer from 0 "
			 "to %lld.",
			 param->name, (long long)most);
		return stream_opening_fail(opening, 400, detail);
	}
	opening->terms.has_last = true;
	/* The last of them may be the one that the stream ends with. */
	opening->terms.last = last || !stream->end_when ? (uint32_t)last : 1;
	return true;
}

static bool read_interval(struct stream_opening *opening)
{
	char reason[256];

	return !stream_read_interval(opening->route->stream, opening->variables,
				     &opening->terms.interval_ms, reason) ||
	       stream_opening_fail(opening, 400, reason);
}

static void read_follow(struct stream_opening *opening)
{
	const struct stream_param *param = opening->route->stream->follow_param;

	opening->terms.is_bounded =
	    param && json_is_false(stream_param_value(param, opening->variables));
}

static bool bind_end(struct stream_opening *opening)
{
	const struct pattern *end_when = opening->route->stream->end_when;
	struct pattern_error error = {"", ""};
	struct pattern *bound;
	int rc;

	if (!end_when || !pattern_has_variables(end_when))
		return true;
	rc = pattern_bind(end_when, opening->variables, &bound, &error);
	if (rc)
		return stream_filter_refuse(opening->request, opening->caller, "end_when", rc,
					    &error);
	/* All its conditions are on optional parameters that the request does not have: that every
	 * event ends it is nobody's wish. */
	if (document_parts_of(bound))
		opening->terms.end_when = checks_new(&bound, 1);
	else
		pattern_free(bound);
	return true;
}

bool stream_extent_read(struct stream_opening *opening)
{
	read_follow(opening);
	return read_last(opening) && read_interval(opening) && bind_end(opening);
}
