#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/config.h"
#include "event/stream.h"

#define PARAMS(rest)                                                                               \
	"\"params\": {\"ms\": {\"type\": \"integer\"" rest "}, \"text\": {},"                      \
	" \"least\": {\"in\": \"path\", \"type\": \"integer\"}}"
#define STREAM(rest, interval)                                                                     \
	"{\"path\": \"/u/{least}\", \"topics\": [\"t\"], " PARAMS(                                 \
	    rest) ",\n\"interval\": " interval "}"

static int read_stream(const char *text, struct stream *stream, char **printed)
{
	struct config_errors errors = {0};
	size_t len;
	FILE *out = open_memstream(printed, &len);
	int rc = config_read(&stream_table, stream, "f", slice_of(text), &errors);

	config_errors_print(&errors, "f", out);
	config_errors_free(&errors);
	fclose(out);
	return rc;
}

/* "every" is a duration within the bounds, or an integer parameter. */
static void test_stream_interval_wrong_settings_are_refused(void **state)
{
	static const struct {
		const char *text, *errors;
	} rows[] = {
	    {STREAM("", "{}"), "f:2: /interval: lacks \"every\": How long; or the integer "
			       "parameter that says it, in milliseconds.\n"},
	    {STREAM("", "\"1s\""), "f:2: /interval: is \"1s\", but must be an object\n"},
	    {STREAM("", "{\"every\": \"50ms\"}"),
	     "f:2: /interval/every: is \"50ms\", but must be a duration from 100ms to 1d\n"},
	    {STREAM("", "{\"every\": true}"),
	     "f:2: /interval/every: is true, but must be a duration from 100ms to 1d\n"},
	    {STREAM("", "{\"every\": \"5m\"}"),
	     "f:2: /interval/every: must be from \"min\", 100 ms, to \"max\", 60000 ms\n"},
	    {STREAM("", "{\"every\": \"1s\", \"min\": \"2s\"}"),
	     "f:2: /interval/every: must be from \"min\", 2000 ms, to \"max\", 60000 ms\n"},
	    {STREAM("", "{\"every\": \"1s\", \"min\": \"2s\", \"max\": \"1s\"}"),
	     "f:2: /interval/min: is more than \"max\", 1000 ms\n"},
	    {STREAM("", "{\"every\": \"1s\", \"min\": \"99ms\"}"),
	     "f:2: /interval/min: is \"99ms\", but must be a duration from 100ms to 1d, such as "
	     "\"100ms\"\n"},
	    {STREAM("", "{\"every\": \"{query.msec}\"}"),
	     "f:2: /interval/every: \"{query.msec}\" is not declared: add it to \"params\"\n"},
	    {STREAM("", "{\"every\": \"{path.ms}\"}"),
	     "f:2: /interval/every: \"{path.ms}\" is not declared; did you mean \"{query.ms}\"?\n"},
	    {STREAM("", "{\"every\": \"{ms}\"}"),
	     "f:2: /interval/every: \"{ms}\" is not declared; did you mean \"{query.ms}\"?\n"},
	    {STREAM("", "{\"every\": \"{query.text}\"}"),
	     "f:2: /interval/every: is a number of milliseconds: declare \"text\" with \"type\": "
	     "\"integer\"\n"},
	    {STREAM(", \"default\": 50", "{\"every\": \"{query.ms}\"}"),
	     "f:2: /interval/every: names a parameter whose default, 50, is not from \"min\", 100 "
	     "ms, to \"max\", 60000 ms\n"},
	    {STREAM("", "{\"every\": \"1s\", \"per_keys\": true}"),
	     "f:2: /interval/per_keys: unknown setting; did you mean \"per_key\"?\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct stream stream;
		char *errors;

		if (!read_stream(rows[i].text, &stream, &errors))
			fail_msg("taken: %s", rows[i].text);
		if (strcmp(errors, rows[i].errors))
			fail_msg("%s\n  gives: %s\n  not: %s", rows[i].text, errors,
				 rows[i].errors);
		free(errors);
	}
}

/* What holds for a request is the constant, or its parameter where that is within the bounds. */
static void test_stream_interval_of_a_request_is_within_bounds(void **state)
{
	static const struct {
		const char *text, *variables;
		int rc;
		uint32_t interval_ms;
		const char *reason;
	} rows[] = {
	    {STREAM("", "{\"every\": \"1s\"}"), "{}", 0, 1000, ""},
	    {STREAM("", "{\"every\": 250}"), "{}", 0, 250, ""},
	    {STREAM("", "{\"every\": \"{query.ms}\"}"), "{\"query\":{}}", 0, 0, ""},
	    {STREAM("", "{\"every\": \"{query.ms}\"}"), "{\"query\":{\"ms\":100}}", 0, 100, ""},
	    {STREAM("", "{\"every\": \"{query.ms}\"}"), "{\"query\":{\"ms\":60000}}", 0, 60000, ""},
	    {STREAM("", "{\"every\": \"{path.least}\"}"), "{\"path\":{\"least\":100}}", 0, 100, ""},
	    {STREAM("", "{\"every\": \"{query.ms}\"}"), "{\"query\":{\"ms\":99}}", ERROR_INVALID, 0,
	     "query parameter \"ms\" is 99, but must be from 100 to 60000 milliseconds"},
	    {STREAM("", "{\"every\": \"{query.ms}\"}"), "{\"query\":{\"ms\":0}}", ERROR_INVALID, 0,
	     "query parameter \"ms\" is 0, but must be from 100 to 60000 milliseconds"},
	    {STREAM("", "{\"every\": \"{query.ms}\", \"max\": \"2s\"}"),
	     "{\"query\":{\"ms\":4294969296}}", ERROR_INVALID, 0,
	     "query parameter \"ms\" is 4294969296, but must be from 100 to 2000 milliseconds"},
	    {STREAM("", "{\"every\": \"{query.ms}\"}"), "{\"query\":{\"ms\":-9223372036854775808}}",
	     ERROR_INVALID, 0,
	     "query parameter \"ms\" is -9223372036854775808, but must be from 100 to 60000 "
	     "milliseconds"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *variables = json_loads(rows[i].variables, 0, NULL);
		struct stream stream;
		uint32_t interval_ms = 0;
		char *errors, reason[256] = "";

		if (read_stream(rows[i].text, &stream, &errors))
			fail_msg("%s", errors);
		assert_int_equal(stream_read_interval(&stream, variables, &interval_ms, reason),
				 rows[i].rc);
		assert_int_equal(interval_ms, rows[i].interval_ms);
		assert_string_equal(reason, rows[i].reason);
		config_fini(&stream_table, &stream);
		json_decref(variables);
		free(errors);
	}
}

/* A stream that says nothing of it has none. */
static void test_stream_interval_absent_is_none(void **state)
{
	json_t *variables = json_object();
	uint32_t interval_ms = 1;
	struct stream stream;
	char *errors, reason[256];

	(void)state;
	assert_int_equal(read_stream("{\"path\": \"/o\", \"topics\": [\"t\"]}", &stream, &errors),
			 0);
	assert_int_equal(stream_read_interval(&stream, variables, &interval_ms, reason), 0);
	assert_int_equal(interval_ms, 0);
	assert_false(stream.interval.per_key);
	config_fini(&stream_table, &stream);
	json_decref(variables);
	free(errors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_stream_interval_wrong_settings_are_refused),
	    cmocka_unit_test(test_stream_interval_of_a_request_is_within_bounds),
	    cmocka_unit_test(test_stream_interval_absent_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
