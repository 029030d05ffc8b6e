/* What rows of user_filter come to: checks by stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/mem.h"
#include "event/user_filter.h"
#include "http/filter_set_priv.h"

static char wide_name[] = "wide", plain_name[] = "plain";
static struct stream wide = {.name = wide_name, .user_filters = true};
static struct stream plain = {.name = plain_name};
static struct stream *const streams[] = {&plain, &wide};

static const struct record record = {
    .topic = SLICE_LIT("t"),
    .partition = 3,
    .has_key = true,
    .has_value = true,
    .key = SLICE_LIT("k"),
    .value = SLICE_LIT("{\"kind\":1}"),
};

/* The patterns up to NULL, for one stream. */
static struct filter_set *make_set(const char *stream, const char *const *patterns)
{
	struct filter_set *set = filter_set_new();

	for (int i = 0; patterns[i]; i++) {
		const struct user_filters_row row = {
		    .id = i + 1,
		    .subject = SLICE_LIT("s"),
		    .stream = slice_of(stream),
		    .pattern = *patterns[i] == '-' ? (struct slice){0} : slice_of(patterns[i]),
		};

		filter_set_add(set, streams, 2, &row);
	}
	filter_set_finish(set);
	return set;
}

#define KIND_1    "{\"value\": {\"kind\": [1]}}"
#define KIND_2    "{\"value\": {\"kind\": [2]}}"
#define NOT_1     "{\"value\": {\"kind\": 1}}"
#define PARTITION "{\"partition\": [3]}"

struct row {
	const char *patterns[4];
	bool passes;
};

/* All of them have to match; one that cannot be used, "-" is one that is too long, lets nothing
 * pass. */
static void test_filter_set_rows_have_to_match_together(void **state)
{
	static const struct row rows[] = {
	    {{NULL}, true},
	    {{KIND_1, NULL}, true},
	    {{KIND_2, NULL}, false},
	    {{KIND_1, PARTITION, NULL}, true},
	    {{PARTITION, KIND_2, NULL}, false},
	    {{NOT_1, NULL}, false},
	    {{KIND_1, NOT_1, PARTITION, NULL}, false},
	    {{KIND_1, "-", NULL}, false},
	    {{KIND_1, "", NULL}, false},
	    {{KIND_1, "{\"value\": {\"kind\": [1]}", NULL}, false},
	    {{KIND_1, "{\"key\": [\"\xff\"]}", NULL}, false},
	    {{KIND_1, "{\"offset\": [1]}", NULL}, false},
	    {{KIND_1, "{\"key\": [\"{claims.sub}\"]}", NULL}, false},
	    {{"{\"$or\": [{\"key\": [\"k\"]}, {\"value\": {\"kind\": [2]}}]}", NULL}, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct filter_set *set = make_set("wide", rows[i].patterns);

		assert_int_equal(checks_match(filter_set_checks(set, &wide), &record),
				 rows[i].passes);
		filter_set_free(set);
	}
}

/* More rows than there may be let nothing pass. */
static void test_filter_set_too_many_rows_close(void **state)
{
	const char *patterns[USER_FILTER_MAX_PATTERNS + 2] = {NULL};
	struct filter_set *set;

	(void)state;
	for (int i = 0; i < USER_FILTER_MAX_PATTERNS; i++)
		patterns[i] = KIND_1;
	set = make_set("wide", patterns);
	assert_true(checks_match(filter_set_checks(set, &wide), &record));
	filter_set_free(set);
	patterns[USER_FILTER_MAX_PATTERNS] = KIND_1;
	set = make_set("wide", patterns);
	assert_false(checks_match(filter_set_checks(set, &wide), &record));
	filter_set_free(set);
}

/* Rows for a stream that there is not, or that does not ask for them, narrow nothing. */
static void test_filter_set_rows_of_other_streams_are_left_out(void **state)
{
	static const char *const names[] = {"plain", "wid", "wider", ""};
	static const char *const patterns[] = {KIND_2, NULL};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct filter_set *set = make_set(names[i], patterns);

		assert_null(filter_set_checks(set, &wide));
		assert_null(filter_set_checks(set, &plain));
		filter_set_free(set);
	}
}

/* Who has the checks of the same rows need not change. */
static void test_filter_set_same_rows_keep_their_checks(void **state)
{
	static const char *const one[] = {KIND_1, NULL}, *const other[] = {KIND_2, NULL};
	struct filter_set *older = make_set("wide", one), *same = make_set("wide", one);
	struct filter_set *changed = make_set("wide", other);

	(void)state;
	filter_set_keep_same(same, NULL);
	assert_ptr_not_equal(filter_set_checks(same, &wide), filter_set_checks(older, &wide));
	filter_set_keep_same(same, older);
	assert_ptr_equal(filter_set_checks(same, &wide), filter_set_checks(older, &wide));
	filter_set_keep_same(changed, older);
	assert_ptr_not_equal(filter_set_checks(changed, &wide), filter_set_checks(older, &wide));
	filter_set_free(older);
	assert_true(checks_match(filter_set_checks(same, &wide), &record));
	filter_set_free(same);
	filter_set_free(changed);
	filter_set_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_filter_set_rows_have_to_match_together),
	    cmocka_unit_test(test_filter_set_too_many_rows_close),
	    cmocka_unit_test(test_filter_set_rows_of_other_streams_are_left_out),
	    cmocka_unit_test(test_filter_set_same_rows_keep_their_checks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
