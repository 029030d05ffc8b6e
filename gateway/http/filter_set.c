#include "http/filter_set_priv.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "event/user_filter.h"

enum { LOG_INTERVAL_MS = 1000 };

/* One stream's. */
struct narrowed {
	const struct stream *stream;
	struct buffer rows; /* ids and patterns: the same rows have the same bytes */
	struct pattern *patterns[USER_FILTER_MAX_PATTERNS]; /* until it is finished */
	size_t pattern_count;
	bool closed;
	struct checks *checks; /* once it is finished */
	struct narrowed *next;
};

struct filter_set {
	struct narrowed *first; /* the newest */
};

static struct log_limit unusable_log;

struct filter_set *filter_set_new(void)
{
	return MEM_NEW(struct filter_set);
}

static void drop_patterns(struct narrowed *narrowed)
{
	while (narrowed->pattern_count)
		pattern_free(narrowed->patterns[--narrowed->pattern_count]);
}

void filter_set_free(struct filter_set *set)
{
	if (!set)
		return;
	while (set->first) {
		struct narrowed *narrowed = set->first;

		set->first = narrowed->next;
		drop_patterns(narrowed);
		buffer_free(&narrowed->rows);
		checks_unref(narrowed->checks);
		free(narrowed);
	}
	free(set);
}

static const struct stream *find_stream(struct stream *const *streams, size_t stream_count,
					struct slice name)
{
	for (size_t i = 0; i < stream_count; i++)
		if (streams[i]->user_filters && slice_equal(slice_of(streams[i]->name), name))
			return streams[i];
	return NULL;
}

static struct narrowed *narrowed_of(struct filter_set *set, const struct stream *stream)
{
	struct narrowed *narrowed;

	if (set->first && set->first->stream == stream)
		return set->first;
	narrowed = MEM_NEW(struct narrowed);
	narrowed->stream = stream;
	narrowed->next = set->first;
	set->first = narrowed;
	return narrowed;
}

static void close_stream(struct narrowed *narrowed, const struct user_filters_row *row,
			 const struct pattern_error *error)
{
	uint64_t suppressed;

	narrowed->closed = true;
	if (!log_limit_pass(&unusable_log, LOG_INTERVAL_MS, &suppressed))
		return;
	log_event(LOG_ERROR, "filters", "a filter cannot be used: nothing passes for its subject",
		  LOG_INT("filter", row->id), LOG_SLICE("subject", row->subject),
		  LOG_SLICE("stream", row->stream), LOG_STR("pointer", error->pointer),
		  LOG_STR("reason", error->reason), LOG_INT("suppressed", suppressed));
}

static int compile(struct narrowed *narrowed, const struct user_filters_row *row,
		   struct pattern_error *error)
{
	if (!row->pattern.base) {
		*error = (struct pattern_error){"", "it is too long"};
		return ERROR_LIMIT;
	}
	if (narrowed->pattern_count == USER_FILTER_MAX_PATTERNS) {
		*error = (struct pattern_error){"", "there are too many for this stream"};
		return ERROR_LIMIT;
	}
	return user_filter_compile(row->pattern, &narrowed->patterns[narrowed->pattern_count],
				   error);
}

void filter_set_add(struct filter_set *set, struct stream *const *streams, size_t stream_count,
		    const struct user_filters_row *row)
{
	const struct stream *stream = find_stream(streams, stream_count, row->stream);
	struct narrowed *narrowed;
	struct pattern_error error;

	if (!stream)
		return;
	narrowed = narrowed_of(set, stream);
	buffer_append_format(&narrowed->rows, "%lld:", (long long)row->id);
	if (row->pattern.base)
		buffer_append_slice(&narrowed->rows, row->pattern);
	if (compile(narrowed, row, &error))
		close_stream(narrowed, row, &error);
	else
		narrowed->pattern_count++;
}

void filter_set_finish(struct filter_set *set)
{
	for (struct narrowed *narrowed = set->first; narrowed; narrowed = narrowed->next) {
		if (narrowed->closed) {
			drop_patterns(narrowed);
			narrowed->checks = checks_new_closed();
			continue;
		}
		narrowed->checks = checks_new(narrowed->patterns, narrowed->pattern_count);
		narrowed->pattern_count = 0;
	}
}

static struct narrowed *find(const struct filter_set *set, const struct stream *stream)
{
	struct narrowed *narrowed = set ? set->first : NULL;

	while (narrowed && narrowed->stream != stream)
		narrowed = narrowed->next;
	return narrowed;
}

struct checks *filter_set_checks(const struct filter_set *set, const struct stream *stream)
{
	const struct narrowed *narrowed = find(set, stream);

	return narrowed ? narrowed->checks : NULL;
}

void filter_set_keep_same(struct filter_set *set, const struct filter_set *older)
{
	for (struct narrowed *narrowed = set->first; narrowed; narrowed = narrowed->next) {
		const struct narrowed *same = find(older, narrowed->stream);

		if (!same || !slice_equal(buffer_slice(&same->rows), buffer_slice(&narrowed->rows)))
			continue;
		checks_unref(narrowed->checks);
		narrowed->checks = checks_ref(same->checks);
	}
}
