#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "event/document.h"
#include "feed/feeds.h"

/* What the registry asked of its source. */
struct asked {
	char topics[16][32];
	void *tokens[16];
	uint32_t warm_ms[16];
	int wanted, unwanted, wakes;
};

static void on_want(void *context, const char *topic, uint32_t warm_ms, void *token)
{
	struct asked *asked = context;

	snprintf(asked->topics[asked->wanted], sizeof(asked->topics[0]), "%s", topic);
	asked->warm_ms[asked->wanted] = warm_ms;
	asked->tokens[asked->wanted++] = token;
}

static void on_unwant(void *context, const char *topic)
{
	(void)topic;
	((struct asked *)context)->unwanted++;
}

static void on_wake(void *context)
{
	((struct asked *)context)->wakes++;
}

struct fixture {
	struct asked asked;
	struct feeds *feeds;
	struct stream one, two, dynamic;
	char *topics[2];
};

static void init_stream(struct stream *stream, const char *name, char **topics, size_t count)
{
	memset(stream, 0, sizeof(*stream));
	stream->name = mem_strdup(name);
	stream->topics = topics;
	stream->topic_count = count;
	stream->window_bytes = 1 << 20;
	stream->max_event_bytes = 100;
	assert_int_equal(mapping_compile(NULL, &stream->mapping, NULL, NULL), 0);
}

static void fini_stream(struct stream *stream)
{
	free(stream->name);
	mapping_free(stream->mapping);
}

static void setup(struct fixture *f)
{
	const struct feeds_source source = {on_want, on_unwant, &f->asked};

	memset(f, 0, sizeof(*f));
	f->topics[0] = mem_strdup("a");
	f->topics[1] = mem_strdup("b");
	init_stream(&f->one, "one", f->topics, 1);
	init_stream(&f->two, "two", f->topics, 2);
	init_stream(&f->dynamic, "dynamic", NULL, 0);
	f->feeds = feeds_new(&source, 5000, on_wake, &f->asked);
}

static void teardown(struct fixture *f)
{
	feeds_free(f->feeds);
	fini_stream(&f->one);
	fini_stream(&f->two);
	fini_stream(&f->dynamic);
	free(f->topics[0]);
	free(f->topics[1]);
}

static void hand_over(struct fixture *f, void *token, const char *topic, int32_t partition,
		      int64_t offset, const char *value)
{
	const struct record record = {
	    .topic = slice_of(topic),
	    .partition = partition,
	    .offset = offset,
	    .has_value = true,
	    .value = slice_of(value),
	};

	feeds_on_record(f->feeds, token, &record);
}

static uint64_t events_of(struct feed *feed)
{
	return window_stats(feed->window).entries;
}

/* A topic that two streams name is read once, and both get its events. */
static void test_feeds_shared_topic_is_wanted_once(void **state)
{
	struct fixture f;
	struct feed *one, *two;

	(void)state;
	setup(&f);
	feeds_declare(f.feeds, &f.one);
	feeds_declare(f.feeds, &f.two);
	assert_int_equal(f.asked.wanted, 2);
	assert_int_equal(f.asked.warm_ms[0], 5000);
	assert_int_equal(feeds_open(f.feeds, &f.one, NULL, &one), 0);
	assert_int_equal(feeds_open(f.feeds, &f.two, NULL, &two), 0);
	feeds_on_partition(f.feeds, f.asked.tokens[0], 0, 7);
	hand_over(&f, f.asked.tokens[0], "a", 0, 7, "x");
	hand_over(&f, f.asked.tokens[1], "b", 0, 0, "y");
	feeds_on_flush(f.feeds);
	assert_int_equal(f.asked.wakes, 1);
	assert_int_equal(events_of(one), 1);
	assert_int_equal(events_of(two), 2);
	feeds_close(f.feeds, one);
	feeds_close(f.feeds, two);
	teardown(&f);
}

/* A feed is ready when the last of its topics is caught up with, not before. */
static void test_feeds_ready_needs_every_topic(void **state)
{
	struct fixture f;
	struct feed *two;

	(void)state;
	setup(&f);
	feeds_declare(f.feeds, &f.two);
	assert_int_equal(feeds_open(f.feeds, &f.two, NULL, &two), 0);
	feeds_on_caught_up(f.feeds, f.asked.tokens[0]);
	assert_false(two->ready);
	feeds_on_caught_up(f.feeds, f.asked.tokens[0]);
	assert_false(two->ready);
	feeds_on_caught_up(f.feeds, f.asked.tokens[1]);
	assert_true(two->ready);
	feeds_close(f.feeds, two);
	teardown(&f);
}

/* A topic that is discovered after another was read begins anywhere: the window is for nobody who
 * has less of it, and for who has all of it from where it was begun. */
static void test_feeds_topic_that_begins_late_is_not_in_what_was_before(void **state)
{
	struct fixture f;
	struct feed *two;
	struct position position, at_head;
	uint64_t sequence, head, version;

	(void)state;
	setup(&f);
	feeds_declare(f.feeds, &f.two);
	assert_int_equal(feeds_open(f.feeds, &f.two, NULL, &two), 0);
	feeds_on_partition(f.feeds, f.asked.tokens[0], 0, 5);
	hand_over(&f, f.asked.tokens[0], "a", 0, 5, "x");
	feeds_on_flush(f.feeds);
	feeds_on_partition(f.feeds, f.asked.tokens[1], 0, 17);
	hand_over(&f, f.asked.tokens[1], "b", 0, 17, "y");
	feeds_on_flush(f.feeds);
	feeds_on_caught_up(f.feeds, f.asked.tokens[0]);
	feeds_on_caught_up(f.feeds, f.asked.tokens[1]);
	position_init(&at_head, 2);
	head = window_head(two->window, &at_head, &version);
	position_init(&position, 2);
	position_set(&position, 0, 0, 5);
	position_set(&position, 1, 0, 16);
	assert_false(window_seek(two->window, &position, head, &at_head, &sequence));
	position_set(&position, 1, 0, 17);
	assert_true(window_seek(two->window, &position, head, &at_head, &sequence));
	assert_int_equal(sequence, 0);
	/* A partition that begins when there are readers, and not at its beginning. */
	feeds_on_partition(f.feeds, f.asked.tokens[1], 1, 3);
	feeds_on_flush(f.feeds);
	head = window_head(two->window, &at_head, &version);
	assert_false(window_seek(two->window, &position, head, &at_head, &sequence));
	position_fini(&position);
	position_fini(&at_head);
	feeds_close(f.feeds, two);
	teardown(&f);
}

/* A topic taken from the path makes one feed, wanted at its end; a second request shares it. */
static void test_feeds_topic_from_the_path_opens_on_first_use(void **state)
{
	struct fixture f;
	struct feed *first, *second, *other;

	(void)state;
	setup(&f);
	assert_int_equal(feeds_open(f.feeds, &f.dynamic, "x", &first), 0);
	assert_int_equal(feeds_open(f.feeds, &f.dynamic, "x", &second), 0);
	assert_int_equal(feeds_open(f.feeds, &f.dynamic, "y", &other), 0);
	assert_ptr_equal(first, second);
	assert_ptr_not_equal(first, other);
	assert_int_equal(f.asked.wanted, 2);
	assert_int_equal(f.asked.warm_ms[0], 0);
	assert_true(first->hash != other->hash);
	feeds_close(f.feeds, first);
	feeds_close(f.feeds, second);
	feeds_close(f.feeds, other);
	teardown(&f);
}

/* A feed that joins a topic which is read already begins where ingest is, and is ready at once. */
static void test_feeds_joining_feed_begins_where_ingest_is(void **state)
{
	struct fixture f;
	struct feed *joined;
	struct position at_head;
	uint64_t version;

	(void)state;
	setup(&f);
	feeds_declare(f.feeds, &f.one);
	feeds_on_partition(f.feeds, f.asked.tokens[0], 0, 0);
	hand_over(&f, f.asked.tokens[0], "a", 0, 41, "x");
	feeds_on_flush(f.feeds);
	feeds_on_caught_up(f.feeds, f.asked.tokens[0]);
	assert_int_equal(feeds_open(f.feeds, &f.dynamic, "a", &joined), 0);
	assert_true(joined->ready);
	position_init(&at_head, 1);
	assert_int_equal(window_head(joined->window, &at_head, &version), 0);
	assert_int_equal(position_get(&at_head, 0, 0), 42);
	position_fini(&at_head);
	assert_int_equal(f.asked.wanted, 1);
	feeds_close(f.feeds, joined);
	teardown(&f);
}

/* More topics than the limit are refused, and those that are open stay. */
static void test_feeds_too_many_topics_are_refused(void **state)
{
	static struct feed *open[FEEDS_MAX_DYNAMIC];
	struct feed *refused;
	struct fixture f;
	char topic[32];

	(void)state;
	setup(&f);
	for (int i = 0; i < FEEDS_MAX_DYNAMIC; i++) {
		f.asked.wanted = 0;
		snprintf(topic, sizeof(topic), "t%d", i);
		assert_int_equal(feeds_open(f.feeds, &f.dynamic, topic, &open[i]), 0);
	}
	assert_int_equal(feeds_open(f.feeds, &f.dynamic, "one more", &refused), ERROR_LIMIT);
	assert_int_equal(feeds_open(f.feeds, &f.dynamic, "t5", &refused), 0);
	feeds_close(f.feeds, refused);
	for (int i = 0; i < FEEDS_MAX_DYNAMIC; i++)
		feeds_close(f.feeds, open[i]);
	teardown(&f);
}

/* What a stream can't take is counted and left out; the position moves on, and other streams of the
 * topic get it. */
static void test_feeds_undecodable_record_is_counted_and_skipped(void **state)
{
	struct fixture f;
	struct feed *one, *two;
	uint64_t undecodable = metrics_sum(METRIC_EVENTS_UNDECODABLE);
	uint64_t too_large = metrics_sum(METRIC_EVENTS_TOO_LARGE);
	char large[200];

	(void)state;
	setup(&f);
	f.one.parts = DOCUMENT_VALUE;
	feeds_declare(f.feeds, &f.one);
	feeds_declare(f.feeds, &f.two);
	assert_int_equal(feeds_open(f.feeds, &f.one, NULL, &one), 0);
	assert_int_equal(feeds_open(f.feeds, &f.two, NULL, &two), 0);
	hand_over(&f, f.asked.tokens[0], "a", 0, 0, "not JSON");
	hand_over(&f, f.asked.tokens[0], "a", 0, 1, "{}");
	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	hand_over(&f, f.asked.tokens[0], "a", 0, 2, large);
	feeds_on_flush(f.feeds);
	assert_int_equal(events_of(one), 1);
	assert_int_equal(events_of(two), 2);
	assert_int_equal(one->skipped, 2);
	assert_int_equal(metrics_sum(METRIC_EVENTS_UNDECODABLE) - undecodable, 1);
	assert_int_equal(metrics_sum(METRIC_EVENTS_TOO_LARGE) - too_large, 2);
	assert_int_equal(position_get(&one->position, 0, 0), 3);
	feeds_close(f.feeds, one);
	feeds_close(f.feeds, two);
	teardown(&f);
}

/* One stream takes the key as text and another as JSON: each reads it in its own way. */
static void test_feeds_key_is_text_to_one_and_json_to_another(void **state)
{
	static const char *const roots[] = {"key", NULL};
	const struct pattern_scope scope = {NULL, NULL, roots};
	const struct record record = {
	    .topic = SLICE_LIT("a"), .has_key = true, .key = SLICE_LIT("5"), .has_value = true};
	json_t *filter = json_loads("{\"key\": [\"5\"]}", 0, NULL);
	struct pattern_error error;
	struct fixture f;
	struct feed *one, *two;

	(void)state;
	setup(&f);
	assert_int_equal(pattern_compile(filter, &scope, &f.one.filter, &error), 0);
	f.one.parts = DOCUMENT_KEY;
	f.two.parts = DOCUMENT_KEY_JSON;
	feeds_declare(f.feeds, &f.one);
	feeds_declare(f.feeds, &f.two);
	assert_int_equal(feeds_open(f.feeds, &f.one, NULL, &one), 0);
	assert_int_equal(feeds_open(f.feeds, &f.two, NULL, &two), 0);
	feeds_on_record(f.feeds, f.asked.tokens[0], &record);
	feeds_on_flush(f.feeds);
	assert_int_equal(events_of(one), 1);
	assert_int_equal(events_of(two), 1);
	feeds_close(f.feeds, one);
	feeds_close(f.feeds, two);
	pattern_free(f.one.filter);
	json_decref(filter);
	teardown(&f);
}

/* A gap in the log reaches everybody as an event of the window, with an id behind it. */
static void test_feeds_gap_in_the_log_is_an_event(void **state)
{
	struct fixture f;
	struct feed *one;
	uint64_t end;

	(void)state;
	setup(&f);
	feeds_declare(f.feeds, &f.one);
	assert_int_equal(feeds_open(f.feeds, &f.one, NULL, &one), 0);
	feeds_on_partition(f.feeds, f.asked.tokens[0], 0, 10);
	feeds_on_gap(f.feeds, f.asked.tokens[0], 0, 10, 25);
	feeds_on_flush(f.feeds);
	int reader = epoch_join(feeds_epoch(f.feeds));
	const struct window_segment *segment = window_find(one->window, 0, &end);
	struct slice frame = window_frame(segment, window_entry_at(segment, 0));

	assert_int_equal(window_entry_at(segment, 0)->kind, WINDOW_NOTICE);
	assert_non_null(memmem(frame.base, frame.len, "\"from\":10,\"to\":25", 16));
	assert_non_null(memmem(frame.base, frame.len, "event: gap\n", 11));
	assert_int_equal(position_get(&one->position, 0, 0), 25);
	epoch_leave(feeds_epoch(f.feeds), reader);
	feeds_close(f.feeds, one);
	teardown(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_feeds_shared_topic_is_wanted_once),
	    cmocka_unit_test(test_feeds_ready_needs_every_topic),
	    cmocka_unit_test(test_feeds_topic_that_begins_late_is_not_in_what_was_before),
	    cmocka_unit_test(test_feeds_topic_from_the_path_opens_on_first_use),
	    cmocka_unit_test(test_feeds_joining_feed_begins_where_ingest_is),
	    cmocka_unit_test(test_feeds_too_many_topics_are_refused),
	    cmocka_unit_test(test_feeds_undecodable_record_is_counted_and_skipped),
	    cmocka_unit_test(test_feeds_key_is_text_to_one_and_json_to_another),
	    cmocka_unit_test(test_feeds_gap_in_the_log_is_an_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
