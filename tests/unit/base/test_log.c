#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/log.h"

/* Standard error during a test: a datagram is one write(2). */
struct capture {
	int saved, reader;
};

static void capture_start(struct capture *capture)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
	capture->saved = dup(STDERR_FILENO);
	capture->reader = pair[0];
	assert_int_equal(dup2(pair[1], STDERR_FILENO), STDERR_FILENO);
	close(pair[1]);
}

/* Length of the next write, -1 where there was none. `line` is terminated. */
static ssize_t capture_next(const struct capture *capture, char *line, size_t capacity)
{
	ssize_t len = recv(capture->reader, line, capacity - 1, 0);

	line[len > 0 ? len : 0] = '\0';
	return len;
}

static void capture_stop(const struct capture *capture)
{
	dup2(capture->saved, STDERR_FILENO);
	close(capture->saved);
	close(capture->reader);
}

static const char *text_at(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

/* A line is one JSON object with its fields in order, ended by LF, in one write. */
static void test_log_event_is_one_json_line_in_one_write(void **state)
{
	struct capture capture;
	char line[4096], none[16];
	ssize_t len, more;
	json_t *object;

	(void)state;
	capture_start(&capture);
	log_event(LOG_WARN, "ingest", "no \"topic\"", LOG_STR("topic", "a\nb"),
		  LOG_SLICE("raw", SLICE_LIT("\xff\0x")), LOG_INT("tries", -3));
	len = capture_next(&capture, line, sizeof(line));
	more = capture_next(&capture, none, sizeof(none));
	capture_stop(&capture);
	assert_true(len > 0 && more < 0);
	assert_ptr_equal(strchr(line, '\n'), line + len - 1);
	object = json_loads(line, JSON_ALLOW_NUL, NULL);
	assert_non_null(object);
	assert_int_equal(json_object_size(object), 7);
	assert_int_equal(strlen(text_at(object, "time")), 24);
	assert_string_equal(text_at(object, "level"), "warn");
	assert_string_equal(text_at(object, "module"), "ingest");
	assert_string_equal(text_at(object, "message"), "no \"topic\"");
	assert_string_equal(text_at(object, "topic"), "a\nb");
	assert_int_equal(json_string_length(json_object_get(object, "raw")), 5);
	assert_int_equal(json_integer_value(json_object_get(object, "tries")), -3);
	json_decref(object);
}

/* A line without fields is complete too. */
static void test_log_event_without_fields_is_complete(void **state)
{
	struct capture capture;
	char line[256];

	(void)state;
	capture_start(&capture);
	log_event(LOG_ERROR, "main", "stopped");
	capture_next(&capture, line, sizeof(line));
	capture_stop(&capture);
	assert_non_null(
	    strstr(line, "\"level\":\"error\",\"module\":\"main\",\"message\":\"stopped\"}\n"));
}

/* What a peer sends cannot make a line grow without limit. */
static void test_log_long_text_is_cut(void **state)
{
	struct capture capture;
	char line[8192];
	struct buffer text = {0};

	(void)state;
	memset(buffer_reserve(&text, 100000), 'x', 100000);
	text.len = 100000;
	capture_start(&capture);
	log_event(LOG_WARN, "http", "long", LOG_SLICE("text", buffer_slice(&text)));
	capture_next(&capture, line, sizeof(line));
	capture_stop(&capture);
	buffer_free(&text);
	assert_in_range(strlen(line), 2048, 2048 + 200);
	assert_string_equal(line + strlen(line) - 4, "x\"}\n");
}

/* Below the set level nothing is written and no argument is evaluated. */
static void test_log_below_level_writes_nothing(void **state)
{
	struct capture capture;
	char line[256];
	int evaluated = 0;
	ssize_t len;

	(void)state;
	log_set_level(LOG_ERROR);
	assert_false(log_enabled(LOG_WARN));
	assert_true(log_enabled(LOG_ERROR));
	capture_start(&capture);
	log_event(LOG_WARN, "test", "quiet", LOG_INT("n", evaluated++));
	len = capture_next(&capture, line, sizeof(line));
	capture_stop(&capture);
	log_set_level(LOG_INFO);
	assert_int_equal(len, -1);
	assert_int_equal(evaluated, 0);
}

/* A closed standard error loses the line, and errno stays the caller's. */
static void test_log_closed_stderr_is_survived(void **state)
{
	int saved = dup(STDERR_FILENO);

	(void)state;
	close(STDERR_FILENO);
	errno = ENOENT;
	log_event(LOG_WARN, "test", "nobody hears");
	assert_int_equal(errno, ENOENT);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	close(saved);
}

/* One line an interval; the next one says how many were left out. */
static void test_log_limit_passes_one_an_interval(void **state)
{
	const uint64_t century_ms = UINT64_C(3155760000000);
	struct log_limit limit = {0};
	uint64_t suppressed = 99;

	(void)state;
	assert_true(log_limit_pass(&limit, century_ms, &suppressed));
	assert_int_equal(suppressed, 0);
	for (int i = 0; i < 5; i++)
		assert_false(log_limit_pass(&limit, century_ms, &suppressed));
	assert_int_equal(suppressed, 0);
	limit.next_ms = 0; /* as if the interval had passed */
	assert_true(log_limit_pass(&limit, century_ms, &suppressed));
	assert_int_equal(suppressed, 5);
	assert_false(log_limit_pass(&limit, century_ms, &suppressed));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_log_event_is_one_json_line_in_one_write),
	    cmocka_unit_test(test_log_event_without_fields_is_complete),
	    cmocka_unit_test(test_log_long_text_is_cut),
	    cmocka_unit_test(test_log_below_level_writes_nothing),
	    cmocka_unit_test(test_log_closed_stderr_is_survived),
	    cmocka_unit_test(test_log_limit_passes_one_an_interval),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
