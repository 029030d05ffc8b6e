/* What a request for several streams names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/bundle_list_priv.h"

static struct stream orders, alerts;
static struct router *router;

static struct path_template *template_of(const char *text)
{
	struct path_template *template;
	char reason[256];

	assert_int_equal(path_template_compile(text, &template, reason), 0);
	return template;
}

static int start(void **state)
{
	static struct stream *const streams[] = {&orders, &alerts};

	(void)state;
	orders.path = template_of("/users/{id}/orders");
	alerts.path = template_of("/alerts");
	router = router_new(streams, 2);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	router_free(router);
	path_template_free(orders.path);
	path_template_free(alerts.path);
	return 0;
}

static void check_slice(struct slice is, const char *expected)
{
	assert_int_equal(is.len, strlen(expected));
	assert_memory_equal(is.base ? is.base : "", expected, is.len);
}

/* Each s is decoded once, and gives its stream, the values of its path, and a query of its own;
 * other parameters may stand between. */
static void test_bundle_list_names_streams_in_their_order(void **state)
{
	static const struct slice query =
	    SLICE_LIT("x=1&s=%2Fusers%2F4%252F2%2Forders&access_token=t&%73=/alerts?level=a%2526b"
		      "%26filter=x&s=/users/%C3%A9+x/orders?");
	struct bundle_list list = {0};
	struct bundle_list_problem problem;

	(void)state;
	assert_true(bundle_list_names_any(query));
	assert_true(bundle_list_read(router, query, &list, &problem));
	assert_int_equal(list.count, 3);
	check_slice(buffer_slice(&list.items[0].address), "/users/4%2F2/orders");
	assert_ptr_equal(list.items[0].route.stream, &orders);
	check_slice(list.items[0].route.values[0], "4%2F2");
	assert_null(list.items[0].query.base);
	check_slice(buffer_slice(&list.items[1].address), "/alerts?level=a%26b&filter=x");
	assert_ptr_equal(list.items[1].route.stream, &alerts);
	check_slice(list.items[1].query, "level=a%26b&filter=x");
	check_slice(list.items[2].route.values[0], "\xc3\xa9 x");
	check_slice(list.items[2].query, "");
	bundle_list_fini(&list);
}

/* What is wrong is refused, under the name of the stream that it is about. */
static void test_bundle_list_bad_request_is_refused(void **state)
{
	static const struct {
		const char *query;
		int status;
		const char *about;
	} rows[] = {
	    {"", 400, ""},
	    {"S=/alerts", 400, ""},
	    {"ss=/alerts&xs=/alerts", 400, ""},
	    {"s", 400, ""},
	    {"s=", 400, ""},
	    {"s=alerts", 400, "alerts"},
	    {"s=http://h/alerts", 400, "http://h/alerts"},
	    {"s=/alerts%0A", 400, "/alerts\n"},
	    {"s=/alerts%0D", 400, "/alerts\r"},
	    {"s=/alerts%7F", 400, "/alerts\x7f"},
	    {"s=/alerts%23x", 400, "/alerts#x"},
	    {"s=/alerts%00", 400, ""},
	    {"s=/alerts%", 400, ""},
	    {"s=/alerts%FF", 400, ""},
	    {"s=/alerts%C0%AF", 400, ""},
	    {"s=/alerts&s=%FF", 400, ""},
	    {"s=/nowhere", 404, "/nowhere"},
	    {"s=/alerts/", 404, "/alerts/"},
	    {"s=/streams", 404, "/streams"},
	    {"s=/users/1/orders&s=/users//orders", 404, "/users//orders"},
	    {"s=/alerts&s=/alerts", 400, "/alerts"},
	    {"s=/alerts&s=%2Falerts", 400, "/alerts"},
	    {"s=/alerts&s=/users/1/orders&s=/alerts", 400, "/alerts"},
	    {"s=/alerts%3Fcursor%3Dx", 400, "/alerts?cursor=x"},
	    {"s=/alerts%3Fcursor%3D%25", 400, "/alerts?cursor=%"},
	    {"s=/alerts%3Faccess_token%3Dx", 400, ""},
	    {"s=/alerts%3Flevel%3Dwarn%26%2574oken%3Dx", 400, ""},
	    {"s=/nowhere%3Ftoken%3D%25", 400, ""},
	    {"s=/alerts&cursor=x", 400, ""},
	    {"s=/alerts&since=5m", 400, ""},
	    {"s=/alerts&filter=%", 400, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bundle_list list = {0};
		struct bundle_list_problem problem = {0};

		assert_false(bundle_list_read(router, slice_of(rows[i].query), &list, &problem));
		assert_int_equal(problem.status, rows[i].status);
		assert_non_null(problem.detail);
		check_slice(problem.about, rows[i].about);
		bundle_list_fini(&list);
	}
}

/* There are as many streams in a connection as its id has parts; one more is refused. */
static void test_bundle_list_too_many_streams_are_refused(void **state)
{
	struct bundle_list list = {0};
	struct bundle_list_problem problem;
	struct buffer query = {0};

	(void)state;
	for (int i = 0; i < COMBINED_ID_MAX_PARTS; i++)
		buffer_append_format(&query, "&s=/users/%d/orders", i);
	assert_true(bundle_list_read(router, buffer_slice(&query), &list, &problem));
	assert_int_equal(list.count, COMBINED_ID_MAX_PARTS);
	bundle_list_fini(&list);
	buffer_append_text(&query, "&s=/alerts");
	assert_false(bundle_list_read(router, buffer_slice(&query), &list, &problem));
	assert_int_equal(problem.status, 400);
	bundle_list_fini(&list);
	buffer_free(&query);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bundle_list_names_streams_in_their_order),
	    cmocka_unit_test(test_bundle_list_bad_request_is_refused),
	    cmocka_unit_test(test_bundle_list_too_many_streams_are_refused),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
