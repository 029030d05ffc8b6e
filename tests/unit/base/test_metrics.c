#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/metrics.h"

enum { THREADS = 4, ADDITIONS = 20000 };

static size_t count_text(const char *text, const char *part)
{
	size_t count = 0;

	for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
		count++;
	return count;
}

/* The number after a sample's name and labels. */
static uint64_t sample(const char *text, const char *series)
{
	char line[128];
	const char *at;

	snprintf(line, sizeof(line), "\n%s ", series);
	at = strstr(text, line);
	assert_non_null(at);
	return strtoull(at + strlen(line), NULL, 10);
}

static void *add_many(void *unused)
{
	(void)unused;
	for (int i = 0; i < ADDITIONS; i++) {
		metrics_add(METRIC_DELIVERIES, 2);
		metrics_observe_latency((uint64_t)i, 1);
	}
	return NULL;
}

/* Every thread's additions are in the sum, also after the threads' end, and scrapes may run beside
 * them. */
static void test_metrics_threads_add_up(void **state)
{
	uint64_t before = metrics_sum(METRIC_DELIVERIES);
	pthread_t threads[THREADS];
	struct buffer out = {0};

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
	for (int i = 0; i < 20; i++) {
		buffer_clear(&out);
		metrics_write(&out);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(metrics_sum(METRIC_DELIVERIES) - before, 2 * THREADS * ADDITIONS);
	buffer_free(&out);
}

/* Rows that share a name are one family: HELP and TYPE once, a sample for each label. */
static void test_metrics_family_is_described_once(void **state)
{
	struct buffer out = {0};
	uint64_t before = metrics_sum(METRIC_RESPONSES_4XX);
	const char *text;

	(void)state;
	metrics_add(METRIC_RESPONSES_4XX, 7);
	metrics_write(&out);
	text = buffer_text(&out);
	assert_int_equal(count_text(text, "# HELP sluice_http_responses_total "), 1);
	assert_int_equal(count_text(text, "# TYPE sluice_http_responses_total counter\n"), 1);
	assert_int_equal(count_text(text, "\nsluice_http_responses_total{"), 4);
	assert_int_equal(sample(text, "sluice_http_responses_total{class=\"4xx\"}"), before + 7);
	assert_int_equal(sample(text, "sluice_http_responses_total{class=\"5xx\"}"),
			 metrics_sum(METRIC_RESPONSES_5XX));
	buffer_free(&out);
}

/* Every family has one HELP that says something, and the text ends with a line's end. */
static void test_metrics_text_is_well_formed(void **state)
{
	struct buffer out = {0};
	const char *text;

	(void)state;
	metrics_write(&out);
	text = buffer_text(&out);
	assert_int_equal(count_text(text, "# HELP "), count_text(text, "# TYPE "));
	assert_int_equal(count_text(text, "_total \n"), 0);
	assert_int_equal(count_text(text, "{}"), 0);
	assert_int_equal(count_text(text, " counter\n") + 1, count_text(text, "# TYPE "));
	assert_int_equal(text[out.len - 1], '\n');
	buffer_free(&out);
}

/* A latency counts in its bucket and all above; a bound belongs to its bucket; the sum is in
 * seconds. */
static void test_metrics_latency_fills_cumulative_buckets(void **state)
{
	static const char *const series[] = {
	    "sluice_delivery_latency_seconds_bucket{le=\"5e-05\"}",
	    "sluice_delivery_latency_seconds_bucket{le=\"0.0001\"}",
	    "sluice_delivery_latency_seconds_bucket{le=\"10\"}",
	    "sluice_delivery_latency_seconds_bucket{le=\"+Inf\"}",
	    "sluice_delivery_latency_seconds_count",
	    "sluice_delivery_latency_seconds_sum",
	};
	static const uint64_t added[] = {3, 5, 6, 8, 8, 50};
	struct buffer before = {0}, after = {0};

	(void)state;
	metrics_write(&before);
	metrics_observe_latency(50, 3);
	metrics_observe_latency(51, 2);
	metrics_observe_latency(10000000, 1);
	metrics_observe_latency(20000000, 2);
	metrics_write(&after);
	for (size_t i = 0; i < sizeof(series) / sizeof(series[0]); i++)
		assert_int_equal(sample(buffer_text(&after), series[i]) -
				     sample(buffer_text(&before), series[i]),
				 added[i]);
	buffer_free(&before);
	buffer_free(&after);
}

static void collect(void *context, struct buffer *out)
{
	metrics_write_help(out, "sluice_test_gauge", "gauge", "A gauge of the test.");
	buffer_append_format(out, "sluice_test_gauge %d\n", *(const int *)context);
}

/* Collectors append their families after the table's. */
static void test_metrics_collector_appends_its_family(void **state)
{
	static int value = 42;
	struct buffer out = {0};

	(void)state;
	metrics_register(collect, &value);
	metrics_write(&out);
	assert_non_null(strstr(buffer_text(&out),
			       "\n# HELP sluice_test_gauge A gauge of the test.\n"
			       "# TYPE sluice_test_gauge gauge\nsluice_test_gauge 42\n"));
	buffer_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_metrics_latency_fills_cumulative_buckets),
	    cmocka_unit_test(test_metrics_threads_add_up),
	    cmocka_unit_test(test_metrics_family_is_described_once),
	    cmocka_unit_test(test_metrics_text_is_well_formed),
	    cmocka_unit_test(test_metrics_collector_appends_its_family),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
