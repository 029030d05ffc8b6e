#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"

enum { FIELD_MAX_BYTES = 2048 };

static _Atomic enum log_level least_level = LOG_INFO;

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&least_level, level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

static void append_member(struct buffer *line, const char *name, struct slice text)
{
	if (text.len > FIELD_MAX_BYTES)
		text.len = FIELD_MAX_BYTES;
	buffer_append_text(line, line->len ? ",\"" : "{\"");
	buffer_append_text(line, name);
	buffer_append_text(line, "\":");
	buffer_append_json_string(line, text);
}

static void append_field(struct buffer *line, const struct log_field *field)
{
	if (field->type == LOG_FIELD_STR)
		append_member(line, field->name, field->text);
	else
		buffer_append_format(line, ",\"%s\":%" PRId64, field->name, field->number);
}

/* A line that standard error does not take is lost: nothing waits for a log. */
static void write_line(const struct buffer *line)
{
	size_t at = 0;
	ssize_t written;

	while (at < line->len) {
		written = write(STDERR_FILENO, line->base + at, line->len - at);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return;
		at += (size_t)written;
	}
}

void log_write(enum log_level level, const char *module, const char *message,
	       const struct log_field *fields)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	struct buffer line = {0};
	int saved_errno = errno;
	char time[25];

	clock_format_rfc3339(clock_unix_ms(), time);
	append_member(&line, "time", slice_of(time));
	append_member(&line, "level", slice_of(names[level]));
	append_member(&line, "module", slice_of(module));
	append_member(&line, "message", slice_of(message));
	for (; fields->type != LOG_FIELD_END; fields++)
		append_field(&line, fields);
	buffer_append_text(&line, "}\n");
	write_line(&line);
	buffer_free(&line);
	errno = saved_errno;
}

bool log_limit_pass(struct log_limit *limit, uint64_t interval_ms, uint64_t *suppressed)
{
	uint64_t now = clock_monotonic_ms();
	uint64_t next = atomic_load(&limit->next_ms);

	if (now < next ||
	    !atomic_compare_exchange_strong(&limit->next_ms, &next, now + interval_ms)) {
		atomic_fetch_add(&limit->suppressed, 1);
		return false;
	}
	*suppressed = atomic_exchange(&limit->suppressed, 0);
	return true;
}
