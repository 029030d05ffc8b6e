/* What narrows a subscriber: patterns on a record, live from the window's bytes and replayed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "event/document.h"
#include "event/pattern.h"
#include "feed/checks.h"
#include "feed/documents_priv.h"
#include "feed/kept_record_priv.h"

static const struct record_header headers[] = {
    {SLICE_LIT("tenant"), SLICE_LIT("blue")},
    {SLICE_LIT("empty"), SLICE_LIT("")},
    {SLICE_LIT("null"), {NULL, 0}},
    {SLICE_LIT("odd"), SLICE_LIT("a\r\nb\0c\xff")},
    {SLICE_LIT("tenant"), SLICE_LIT("green")},
};

static const struct record order = {
    .topic = SLICE_LIT("orders"),
    .partition = 3,
    .offset = 17,
    .timestamp_ms = 1767225600000,
    .has_key = true,
    .has_value = true,
    .key = SLICE_LIT("{\"id\":42}"),
    .value = SLICE_LIT("{\"total\":300,\"lines\":[{\"sku\":\"a\",\"n\":1},{\"sku\":\"b\"}]}"),
    .headers = headers,
    .header_count = 5,
};

/* Of the texts up to NULL. */
static struct checks *make_checks(const char *const *texts)
{
	struct pattern *patterns[4];
	struct pattern_error error;
	size_t count = 0;

	for (; texts[count]; count++) {
		json_t *source = json_loads(texts[count], JSON_ALLOW_NUL, NULL);

		if (pattern_compile(source, NULL, &patterns[count], &error))
			fail_msg("%s: %s", error.pointer, error.reason);
		json_decref(source);
	}
	return checks_new(patterns, count);
}

/* A window with one event, the record. */
struct kept {
	struct epoch *epoch;
	struct window *window;
	struct position position;
	const struct window_segment *segment;
	struct buffer bytes;
};

static void keep(struct kept *kept, const struct record *record)
{
	const struct window_entry entry = {
	    .partition = (uint32_t)record->partition,
	    .offset = record->offset,
	    .kind = WINDOW_EVENT,
	};
	struct route_keys keys = {0};
	uint64_t end;

	memset(kept, 0, sizeof(*kept));
	buffer_append_text(&keys.bytes, "keys");
	kept->epoch = epoch_new();
	kept->window = window_new(4 << 20, 1, true, kept->epoch);
	position_init(&kept->position, 1);
	kept_record_append(record, &kept->bytes);
	window_append(kept->window, &entry, &keys, buffer_slice(&kept->bytes), SLICE_LIT("frame"),
		      &kept->position, 0);
	window_publish(kept->window, &kept->position);
	kept->segment = window_find(kept->window, 0, &end);
	assert_non_null(kept->segment);
	route_keys_free(&keys);
}

static void let_go(struct kept *kept)
{
	buffer_free(&kept->bytes);
	position_fini(&kept->position);
	window_free(kept->window);
	epoch_free(kept->epoch);
}

static bool match_kept(struct documents *documents, const struct kept *kept,
		       const struct checks *checks, uint64_t feed)
{
	static char topic[] = "orders", *topics[] = {topic};
	const struct documents_event event = {feed, 0, topics, kept->segment,
					      window_entry_at(kept->segment, 0)};

	return documents_match(documents, &event, checks);
}

struct row {
	const char *patterns[4];
	bool matches;
};

/* All patterns have to match; key and value are text to one and JSON to another; the same holds for
 * the record and for what the window keeps of it. */
static void test_checks_of_a_record_and_of_what_is_kept_are_the_same(void **state)
{
	static const struct row rows[] = {
	    {{NULL}, true},

	    {{"{\"value\": {\"total\": [300.0]}}", NULL}, true},
	    {{"{\"value\": {\"total\": [301]}}", NULL}, false},
	    {{"{\"value\": {\"total\": [{\"numeric\": [\">=\", 300]}]}}", NULL}, true},
	    {{"{\"value\": {\"lines\": {\"sku\": [\"b\"], \"n\": [1]}}}", NULL}, false},
	    {{"{\"key\": [\"{\\\"id\\\":42}\"]}", "{\"key\": {\"id\": [42]}}", NULL}, true},
	    {{"{\"key\": {\"id\": [42]}}", "{\"key\": {\"id\": [43]}}", NULL}, false},
	    {{"{\"partition\": [3]}", "{\"topic\": [\"orders\"]}", NULL}, true},
	    {{"{\"partition\": [3]}", "{\"topic\": [\"others\"]}", NULL}, false},
	    {{"{\"headers\": {\"tenant\": [\"green\"]}}", NULL}, true},
	    {{"{\"headers\": {\"tenant\": [\"blue\"]}}", NULL}, false},
	    {{"{\"headers\": {\"empty\": [\"\"], \"null\": [\"\"]}}", NULL}, true},
	    {{"{\"headers\": {\"odd\": [\"a\\r\\nb\\u0000c\xef\xbf\xbd\"]}}", NULL}, true},
	};
	struct documents *documents = documents_new();
	struct kept kept;

	(void)state;
	keep(&kept, &order);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct checks *checks = make_checks(rows[i].patterns);

		assert_int_equal(checks_match(checks, &order), rows[i].matches);
		assert_int_equal(match_kept(documents, &kept, checks, 1), rows[i].matches);
		assert_int_equal(match_kept(documents, &kept, checks, 1), rows[i].matches);
		checks_unref(checks);
	}
	documents_free(documents);
	let_go(&kept);
}

/* No checks let everything pass, closed ones nothing. */
static void test_checks_none_pass_all_and_closed_pass_nothing(void **state)
{
	struct checks *closed = checks_new_closed();

	(void)state;
	assert_true(checks_match(NULL, &order));
	assert_false(checks_match(closed, &order));
	assert_null(checks_ref(NULL));
	checks_unref(checks_ref(closed));
	checks_unref(closed);
	checks_unref(NULL);
}

/* What passes both is what passes each. */
static void test_checks_both_pass_what_each_passes(void **state)
{
	static const char *const value[] = {"{\"value\": {\"total\": [300]}}", NULL};
	static const char *const partition[] = {"{\"partition\": [3]}", NULL};
	static const char *const other[] = {"{\"partition\": [4]}", NULL};
	struct checks *each[] = {make_checks(value), make_checks(partition), make_checks(other),
				 checks_new_closed(), NULL};

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		for (size_t j = 0; j < 5; j++) {
			struct checks *both = checks_both(each[i], each[j]);

			assert_int_equal(checks_match(both, &order),
					 checks_match(each[i], &order) &&
					     checks_match(each[j], &order));
			checks_unref(both);
		}
	}
	for (size_t i = 0; i < 5; i++)
		checks_unref(each[i]);
}

/* What cannot be decoded as a pattern needs it does not pass; one that does not look is not
 * troubled. */
static void test_checks_of_a_hostile_record_refuse_it(void **state)
{
	static const struct slice values[] = {
	    SLICE_LIT("not JSON"),          SLICE_LIT(""),
	    SLICE_LIT("{\"total\":300}\0"), SLICE_LIT("\xff\xfe"),
	    SLICE_LIT("{\"total\":"),       SLICE_LIT("\r\n"),
	};
	static const char *const looks[] = {"{\"value\": {\"total\": [300]}}", NULL};
	static const char *const looks_not[] = {"{\"partition\": [3]}", NULL};
	struct checks *looking = make_checks(looks), *other = make_checks(looks_not);

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct documents *documents = documents_new();
		struct record record = order;
		struct kept kept;

		record.value = values[i];
		keep(&kept, &record);
		assert_false(checks_match(looking, &record));
		assert_false(match_kept(documents, &kept, looking, 1));
		assert_true(checks_match(other, &record));
		assert_true(match_kept(documents, &kept, other, 1));
		documents_free(documents);
		let_go(&kept);
	}
	checks_unref(looking);
	checks_unref(other);
}

/* A tombstone, a null key and no header at all are kept as such. */
static void test_kept_record_without_anything_is_kept(void **state)
{
	static const struct record nothing = {.timestamp_ms = -1};
	struct buffer bytes = {0}, scratch = {0};
	struct record read = {.has_key = true, .has_value = true};

	(void)state;
	kept_record_append(&nothing, &bytes);
	kept_record_read(buffer_slice(&bytes), &scratch, &read);
	assert_false(read.has_key || read.has_value);
	assert_int_equal(read.header_count, 0);
	assert_int_equal(read.timestamp_ms, -1);
	buffer_free(&bytes);
	buffer_free(&scratch);
}

/* An event of one feed is not taken for that of another, nor for one before it in its place. */
static void test_documents_tell_feeds_and_events_apart(void **state)
{
	static const char *const texts[] = {"{\"value\": [1]}", NULL};
	struct checks *checks = make_checks(texts);
	struct documents *documents = documents_new();
	struct record record = order;
	struct kept one, other;

	(void)state;
	record.value = SLICE_LIT("1");
	keep(&one, &record);
	record.value = SLICE_LIT("2");
	keep(&other, &record);
	for (int i = 0; i < 3; i++) {
		assert_true(match_kept(documents, &one, checks, 1));
		/* The same place in the table. */
		assert_false(match_kept(documents, &other, checks, 1 + DOCUMENTS_SLOTS));
	}
	documents_clear(documents);
	assert_false(match_kept(documents, &other, checks, 1));
	documents_free(documents);
	checks_unref(checks);
	let_go(&one);
	let_go(&other);
}

static size_t allocations;

static void *count_allocation(size_t bytes)
{
	allocations++;
	return malloc(bytes);
}

/* However large an event is, and however checks that look at it in several ways follow upon each
 * other, it is decoded once for each way. */
static void test_documents_of_a_large_event_are_decoded_once(void **state)
{
	enum { BYTES = DOCUMENTS_MAX_BYTES * 2 / 3 };
	static const char *const texts[][2] = {
	    {"{\"value\": [{\"exists\": true}]}", NULL},
	    {"{\"value\": [{\"prefix\": \"aa\"}], \"headers\": {\"tenant\": [\"green\"]}}", NULL},
	    {"{\"value\": [{\"suffix\": \"aa\"}], \"key\": {\"id\": [42]}}", NULL},
	};
	struct documents *documents = documents_new();
	struct record record = order;
	struct checks *checks[3];
	struct kept kept, small;
	char *value = malloc(BYTES);

	(void)state;
	memset(value, 'a', BYTES);
	value[0] = value[BYTES - 1] = '"';
	for (size_t i = 0; i < 3; i++)
		checks[i] = make_checks(texts[i]);
	keep(&small, &record);
	assert_false(match_kept(documents, &small, checks[0], 2));
	record.value = (struct slice){value, BYTES};
	keep(&kept, &record);
	for (size_t i = 0; i < 3; i++)
		assert_true(match_kept(documents, &kept, checks[i], 1));
	json_set_alloc_funcs(count_allocation, free);
	for (size_t i = 0; i < 30; i++)
		assert_true(match_kept(documents, &kept, checks[i % 3], 1));
	json_set_alloc_funcs(malloc, free);
	assert_int_equal(allocations, 0);
	documents_free(documents);
	for (size_t i = 0; i < 3; i++)
		checks_unref(checks[i]);
	let_go(&kept);
	let_go(&small);
	free(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_checks_of_a_record_and_of_what_is_kept_are_the_same),
	    cmocka_unit_test(test_checks_none_pass_all_and_closed_pass_nothing),
	    cmocka_unit_test(test_checks_both_pass_what_each_passes),
	    cmocka_unit_test(test_checks_of_a_hostile_record_refuse_it),
	    cmocka_unit_test(test_kept_record_without_anything_is_kept),
	    cmocka_unit_test(test_documents_tell_feeds_and_events_apart),
	    cmocka_unit_test(test_documents_of_a_large_event_are_decoded_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
