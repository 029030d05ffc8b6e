#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "event/document.h"
#include "feed/checks.h"
#include "feed/feed_event.h"
#include "feed/kept_record_priv.h"

/* A stream of `members` beside a path and a topic. */
#define STREAM(members)                                                                            \
	"{\"path\": \"/u/{id}\", \"topics\": [\"t\"], \"max_event\": 1024" members "}"
#define BY_USER ", \"filter\": {\"value\": {\"user\": [\"{path.id}\"]}}"
#define BY_KEY  ", \"filter\": {\"key\": [\"{path.id}\"]}"
#define ERRORS  ", \"undecodable\": \"error\""
#define NOTHING ((struct slice){0})

static struct stream stream;
static struct epoch *epoch;
static struct feed *feed;
static struct route_keys keys;

static void open_feed(const char *text)
{
	struct config_errors errors = {0};

	if (config_read(&stream_table, &stream, "f", slice_of(text), &errors)) {
		config_errors_print(&errors, "f", stderr);
		fail_msg("refused: %s", text);
	}
	stream.name = mem_strdup("s");
	epoch = epoch_new();
	feed = feed_new(&stream, stream.topics, 1, epoch);
}

static void close_feed(void)
{
	feed_free(feed);
	epoch_free(epoch);
	config_fini(&stream_table, &stream);
	route_keys_free(&keys);
}

static struct record record_of(struct slice key, struct slice value)
{
	return (struct record){
	    .topic = SLICE_LIT("t"),
	    .partition = 2,
	    .offset = 9,
	    .timestamp_ms = 5,
	    .has_key = key.base,
	    .has_value = value.base,
	    .key = key,
	    .value = value,
	};
}

static json_t *decode(const struct record *record)
{
	json_t *document = NULL;

	return !stream.parts || document_build(record, stream.parts, &document) ? NULL : document;
}

static struct feed_event event_of(const struct record *record)
{
	json_t *document = decode(record);
	struct feed_event event = feed_event_of(feed, record, document, &keys);

	json_decref(document);
	return event;
}

/* Would the subscriber with this id get it? */
static bool is_for(const char *id)
{
	struct route_keys own = {0};
	json_t *variables;
	bool is;

	if (!feed_is_filtered(feed))
		return true;
	variables = json_pack("{s:{s:s}}", "path", "id", id);
	assert_int_equal(pattern_request_keys(stream.filter, variables, &own), 0);
	is = route_keys_intersect(&own, &keys);
	route_keys_free(&own);
	json_decref(variables);
	return is;
}

struct row {
	const char *stream;
	struct slice key, value;
	enum feed_event_kind kind;
	enum feed_event_fault fault;
	bool for_u1, for_u2; /* where it is sent */
};

static void check_row(const struct row *row)
{
	struct record record;
	struct feed_event event;

	open_feed(row->stream);
	record = record_of(row->key, row->value);
	event = event_of(&record);
	if (event.kind != row->kind || event.fault != row->fault)
		fail_msg("%s: %.*s: kind %d, fault %d", row->stream, (int)row->value.len,
			 row->value.base ? row->value.base : "", (int)event.kind, (int)event.fault);
	if (feed_event_is_sent(&event) &&
	    (is_for("u1") != row->for_u1 || is_for("u2") != row->for_u2))
		fail_msg("%s: %.*s: for others", row->stream, (int)row->value.len,
			 row->value.base ? row->value.base : "");
	close_feed();
}

#define CHECK_TABLE(rows)                                                                          \
	for (size_t i = 0; i < sizeof(rows) / sizeof((rows)[0]); i++)                              \
	check_row(&(rows)[i])

/* A tombstone that passes the filter is what the stream says; one that does not is nothing. */
static void test_feed_event_tombstone_is_what_the_stream_says(void **state)
{
#define NAMED ", \"tombstones\": {\"event\": \"deleted\"}"
#define SKIP  ", \"tombstones\": \"skip\""
	static const struct row rows[] = {
	    {STREAM(""), SLICE_LIT("u1"), NOTHING, FEED_EVENT_RECORD, 0, true, true},
	    {STREAM(NAMED), SLICE_LIT("u1"), NOTHING, FEED_EVENT_TOMBSTONE, 0, true, true},
	    {STREAM(SKIP), SLICE_LIT("u1"), NOTHING, FEED_EVENT_REMOVAL, 0, false, false},
	    {STREAM(SKIP), SLICE_LIT("u1"), SLICE_LIT(""), FEED_EVENT_RECORD, 0, true, true},
	    {STREAM(NAMED BY_KEY), SLICE_LIT("u1"), NOTHING, FEED_EVENT_TOMBSTONE, 0, true, false},
	    {STREAM(NAMED BY_KEY), NOTHING, NOTHING, FEED_EVENT_TOMBSTONE, 0, false, false},
	    {STREAM(NAMED BY_USER), SLICE_LIT("u1"), NOTHING, FEED_EVENT_NONE, 0, false, false},
	};

	(void)state;
	CHECK_TABLE(rows);
}

static char large_u1[2000], large_text[2000];

static void make_large(void)
{
	static const char start[] = "{\"user\":\"u1\"}";

	memset(large_u1, ' ', sizeof(large_u1));
	memcpy(large_u1, start, sizeof(start) - 1);
	memset(large_text, 'x', sizeof(large_text));
}

/* Too large a record is an error to those who would have got it, and to nobody where the stream
 * says so or nobody can be told apart. */
static void test_feed_event_too_large_is_an_error_to_its_subscribers(void **state)
{
#define LARGE_U1   ((struct slice){large_u1, sizeof(large_u1)})
#define LARGE_TEXT ((struct slice){large_text, sizeof(large_text)})
#define QUIET      ", \"too_large\": \"skip\""
	const struct row rows[] = {
	    {STREAM(""), NOTHING, {large_text, 1024}, FEED_EVENT_RECORD, 0, true, true},
	    {STREAM(""),
	     NOTHING,
	     {large_text, 1025},
	     FEED_EVENT_ERROR,
	     FEED_EVENT_TOO_LARGE,
	     true,
	     true},
	    {STREAM(QUIET), NOTHING, LARGE_U1, FEED_EVENT_NONE, FEED_EVENT_TOO_LARGE, false, false},
	    {STREAM(BY_USER), NOTHING, LARGE_U1, FEED_EVENT_ERROR, FEED_EVENT_TOO_LARGE, true,
	     false},
	    {STREAM(BY_KEY), SLICE_LIT("u2"), LARGE_TEXT, FEED_EVENT_ERROR, FEED_EVENT_TOO_LARGE,
	     false, true},
	    {STREAM(BY_USER), NOTHING, LARGE_TEXT, FEED_EVENT_NONE, FEED_EVENT_TOO_LARGE, false,
	     false},
	    {STREAM(", \"filter\": {\"value\": {\"user\": [\"u3\"]}}"), NOTHING, LARGE_U1,
	     FEED_EVENT_NONE, 0, false, false},
	    {STREAM(", \"filter\": {\"value\": {\"user\": [\"u3\"]}}"), NOTHING, LARGE_TEXT,
	     FEED_EVENT_ERROR, FEED_EVENT_TOO_LARGE, true, true},
	    {STREAM(BY_KEY), NOTHING, LARGE_U1, FEED_EVENT_ERROR, FEED_EVENT_TOO_LARGE, false,
	     false},
	};

	(void)state;
	make_large();
	CHECK_TABLE(rows);
}

/* What cannot be decoded may be anything: conditions on it hold, but where it would have to say
 * whose it is. What can be decoded decides as ever. */
static void test_feed_event_undecodable_reaches_those_who_may_want_it(void **state)
{
#define BOTH                                                                                       \
	", \"filter\": {\"key\": [\"{path.id}\"], \"value\": {\"kind\": [\"a\"]}}, "               \
	"\"undecodable\":"                                                                         \
	" \"error\""
#define EITHER                                                                                     \
	", \"filter\": {\"$or\": [{\"key\": [\"k\"]}, {\"value\": {\"a\": [1]}}]}, "               \
	"\"undecodable\":"                                                                         \
	" \"error\""
#define INSIDE_KEY                                                                                 \
	", \"filter\": {\"key\": {\"a\": [1]}, \"value\": {\"b\": [{\"exists\": false}]}},"        \
	" \"undecodable\": \"error\""
	static const struct row rows[] = {
	    {STREAM(BY_USER), NOTHING, SLICE_LIT("x"), FEED_EVENT_NONE, FEED_EVENT_UNDECODABLE,
	     false, false},
	    {STREAM(BY_USER ERRORS), NOTHING, SLICE_LIT("x"), FEED_EVENT_NONE,
	     FEED_EVENT_UNDECODABLE, false, false},
	    {STREAM(ERRORS ", \"event\": {\"event\": \"/value/a\"}"), NOTHING, SLICE_LIT("\xff"),
	     FEED_EVENT_ERROR, FEED_EVENT_UNDECODABLE, true, true},
	    {STREAM(ERRORS BY_KEY ", \"event\": {\"event\": \"/value/a\"}"), SLICE_LIT("u1"),
	     SLICE_LIT("{"), FEED_EVENT_ERROR, FEED_EVENT_UNDECODABLE, true, false},
	    {STREAM(BOTH), SLICE_LIT("u1"), SLICE_LIT("{"), FEED_EVENT_ERROR,
	     FEED_EVENT_UNDECODABLE, true, false},
	    {STREAM(BOTH), SLICE_LIT("u1"), SLICE_LIT("{\"kind\":\"b\"}"), FEED_EVENT_NONE, 0,
	     false, false},
	    {STREAM(BOTH), NOTHING, SLICE_LIT("{"), FEED_EVENT_ERROR, FEED_EVENT_UNDECODABLE, false,
	     false},
	    {STREAM(EITHER), SLICE_LIT("x"), SLICE_LIT("{"), FEED_EVENT_ERROR,
	     FEED_EVENT_UNDECODABLE, true, true},
	    {STREAM(EITHER), SLICE_LIT("x"), SLICE_LIT("{}"), FEED_EVENT_NONE, 0, false, false},
	    {STREAM(INSIDE_KEY), SLICE_LIT("x"), SLICE_LIT("{"), FEED_EVENT_ERROR,
	     FEED_EVENT_UNDECODABLE, true, true},
	    {STREAM(INSIDE_KEY), SLICE_LIT("{\"a\":2}"), SLICE_LIT("{"), FEED_EVENT_NONE, 0, false,
	     false},
	    {STREAM(INSIDE_KEY), SLICE_LIT("x"), SLICE_LIT("{\"b\":1}"), FEED_EVENT_NONE, 0, false,
	     false},
	    {STREAM(INSIDE_KEY), SLICE_LIT("{\"a\":1}"), NOTHING, FEED_EVENT_RECORD, 0, true, true},
	};

	(void)state;
	CHECK_TABLE(rows);
}

static void check_frame(const char *text, struct slice key, struct slice value,
			const char *expected)
{
	struct buffer out = {0};
	struct record record;
	struct feed_event event;
	json_t *document;

	open_feed(text);
	record = record_of(key, value);
	document = decode(&record);
	event = feed_event_of(feed, &record, document, &keys);
	feed_event_append(feed, &event, &record, document, SLICE_LIT("ID"), &out);
	assert_string_equal(buffer_text(&out), expected);
	json_decref(document);
	buffer_free(&out);
	close_feed();
}

/* Each kind has its frame; errors have Sluice's id though the stream takes it from the record. */
static void test_feed_event_frames_are_of_their_kind(void **state)
{
	(void)state;
	make_large();
	check_frame(STREAM(""), SLICE_LIT("k"), SLICE_LIT("v"), "id: ID\ndata: v\n\n");
	check_frame(STREAM(""), SLICE_LIT("k"), NOTHING, "id: ID\ndata: \n\n");
	check_frame(STREAM(NAMED), SLICE_LIT("k"), NOTHING,
		    "id: ID\nevent: deleted\ndata: {\"key\":\"k\"}\n\n");
	check_frame(
	    STREAM(NAMED ", \"event\": {\"envelope\": \"record\", \"data\": \"/key\","
			 " \"event\": \"e\", \"retry\": 5}"),
	    SLICE_LIT("k"), NOTHING,
	    "id: ID\nevent: deleted\nretry: 5\ndata: {\"topic\":\"t\",\"partition\":2,"
	    "\"offset\":9,\"timestamp\":5,\"key\":\"k\",\"headers\":{},\"value\":null}\n\n");
	check_frame(STREAM(NAMED ", \"event\": {\"envelope\": \"cloudevents\"}"), NOTHING, NOTHING,
		    "id: ID\nevent: deleted\ndata: {\"specversion\":\"1.0\",\"id\":\"t/2/9\","
		    "\"source\":\"/topics/t\",\"type\":\"deleted\",\"time\":"
		    "\"1970-01-01T00:00:00.005Z\",\"data\":null}\n\n");
	check_frame(STREAM(NAMED ", \"event\": {\"id\": \"/key\"}"), SLICE_LIT("k"), NOTHING,
		    "id: k\nevent: deleted\ndata: {\"key\":\"k\"}\n\n");
	check_frame(STREAM(", \"event\": {\"id\": \"/key\", \"retry\": 5}"), SLICE_LIT("k"),
		    (struct slice){large_text, sizeof(large_text)},
		    "id: ID\nevent: error\ndata: {\"code\":\"too_large\",\"retry\":true,"
		    "\"topic\":\"t\",\"partition\":2,\"offset\":9}\n\n");
	check_frame(STREAM(ERRORS ", \"event\": {\"event\": \"/value/a\"}"), NOTHING,
		    SLICE_LIT("x"),
		    "id: ID\nevent: error\ndata: {\"code\":\"undecodable\",\"retry\":true,"
		    "\"topic\":\"t\",\"partition\":2,\"offset\":9}\n\n");
}

static struct pattern *compile(const char *text)
{
	json_t *source = json_loads(text, 0, NULL);
	struct pattern *pattern;
	struct pattern_error error;

	assert_int_equal(pattern_compile(source, NULL, &pattern, &error), 0);
	json_decref(source);
	return pattern;
}

static bool passes(const char *pattern, const struct record *record)
{
	struct pattern *patterns[] = {compile(pattern)};
	struct checks *checks = checks_new(patterns, 1);
	bool match = checks_match(checks, record);

	checks_unref(checks);
	return match;
}

/* Too large a value is no part of what is kept, and checks that look into it do not pass: the same
 * from a window, where it was never, as from Kafka, where it is. */
static void test_feed_event_too_large_is_kept_without_its_value(void **state)
{
	struct buffer bytes = {0}, headers = {0};
	struct record record, read = {.topic = SLICE_LIT("t"), .partition = 2, .offset = 9};
	struct feed_event event;

	(void)state;
	make_large();
	open_feed(STREAM(BY_USER));
	record = record_of(SLICE_LIT("k"), LARGE_U1);
	event = event_of(&record);
	kept_record_append(&event.kept, &bytes);
	assert_true(bytes.len < 100);
	kept_record_read(buffer_slice(&bytes), &headers, &read);
	assert_true(read.left_out && read.has_value && !read.value.len);
	assert_true(slice_equal(read.key, SLICE_LIT("k")));
	for (int i = 0; i < 2; i++) {
		const struct record *kept = i ? &read : &event.kept;

		assert_true(passes("{\"key\": [\"k\"]}", kept));
		assert_false(passes("{\"key\": [\"x\"]}", kept));
		assert_false(passes("{\"value\": {\"user\": [\"u1\"]}}", kept));
		assert_false(passes("{\"value\": {\"user\": [{\"exists\": false}]}}", kept));
	}
	buffer_free(&bytes);
	buffer_free(&headers);
	close_feed();
}

/* From the journal a record that is left out comes with the route keys that it had: it is the same
 * event, for the same subscribers. */
static void test_feed_event_left_out_by_the_journal_is_the_same_event(void **state)
{
	struct route_keys journaled = {0};
	struct feed_event live, replayed;
	struct record record;

	(void)state;
	make_large();
	open_feed(STREAM(BY_USER));
	record = record_of(SLICE_LIT("k"), LARGE_U1);
	live = event_of(&record);
	assert_true(feed_event_is_journaled(feed, &live));
	journaled = keys;
	memset(&keys, 0, sizeof(keys));
	record = live.kept;
	record.routes = &journaled;
	replayed = event_of(&record);
	assert_int_equal(replayed.kind, FEED_EVENT_ERROR);
	assert_int_equal(replayed.fault, FEED_EVENT_TOO_LARGE);
	assert_true(is_for("u1"));
	assert_false(is_for("u2"));
	route_keys_free(&journaled);
	close_feed();
}

/* The journal has what is sent, and where a state is asked for all that takes keys out of it; other
 * choices are another journal. */
static void test_feed_event_journal_has_what_a_replay_needs(void **state)
{
	static const struct {
		const char *stream;
		bool journaled; /* a tombstone */
		bool other;     /* than the first row's journal */
	} rows[] = {
	    {STREAM(""), true, false},
	    {STREAM(NAMED), true, false},
	    {STREAM(SKIP), false, true},
	    {STREAM(SKIP ", \"start\": \"current\""), true, false},
	    {STREAM(QUIET), true, true},
	    {STREAM(ERRORS), true, true},
	    {STREAM(", \"too_large\": \"error\", \"undecodable\": \"skip\""), true, false},
	};
	const struct record tombstone = record_of(SLICE_LIT("k"), NOTHING);
	uint64_t first = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct feed_event event;

		open_feed(rows[i].stream);
		event = event_of(&tombstone);
		assert_int_equal(feed_event_is_journaled(feed, &event), rows[i].journaled);
		first = first ? first : feed->journal_key;
		assert_int_equal(feed->journal_key != first, rows[i].other);
		close_feed();
	}
}

/* Live: an error is an event of the window and counted; what is skipped moves the position alone.
 */
static void test_feed_event_live_errors_are_counted(void **state)
{
	uint64_t too_large = metrics_sum(METRIC_EVENTS_TOO_LARGE);
	uint64_t undecodable = metrics_sum(METRIC_EVENTS_UNDECODABLE);
	struct record record;
	json_t *document;

	(void)state;
	make_large();
	open_feed(STREAM(SKIP BY_KEY ", \"event\": {\"event\": \"/value/a\"}"));
	record = record_of(SLICE_LIT("u1"), (struct slice){large_text, sizeof(large_text)});
	feed_append(feed, 0, &record, NULL);
	record = record_of(SLICE_LIT("u1"), SLICE_LIT("x"));
	feed_append(feed, 0, &record, NULL);
	record = record_of(SLICE_LIT("u1"), NOTHING);
	record.offset = 30;
	document = decode(&record);
	feed_append(feed, 0, &record, document);
	json_decref(document);
	feed_publish(feed);
	assert_int_equal(window_stats(feed->window).entries, 1);
	assert_int_equal(metrics_sum(METRIC_EVENTS_TOO_LARGE) - too_large, 1);
	assert_int_equal(metrics_sum(METRIC_EVENTS_UNDECODABLE) - undecodable, 1);
	assert_int_equal(position_get(&feed->position, 0, 2), 31);
	close_feed();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_feed_event_tombstone_is_what_the_stream_says),
	    cmocka_unit_test(test_feed_event_too_large_is_an_error_to_its_subscribers),
	    cmocka_unit_test(test_feed_event_undecodable_reaches_those_who_may_want_it),
	    cmocka_unit_test(test_feed_event_frames_are_of_their_kind),
	    cmocka_unit_test(test_feed_event_too_large_is_kept_without_its_value),
	    cmocka_unit_test(test_feed_event_left_out_by_the_journal_is_the_same_event),
	    cmocka_unit_test(test_feed_event_journal_has_what_a_replay_needs),
	    cmocka_unit_test(test_feed_event_live_errors_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
