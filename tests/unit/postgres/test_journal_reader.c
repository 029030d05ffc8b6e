/* Rows are written by SQL, so that they are what the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/mem.h"
#include "postgres/journal_reader.h"
#include "postgres/journal_reader_priv.h"
#include "unit/postgres/journal_fixture.h"

#define FEED_KEY    UINT64_C(0xfedcba9876543210)
#define FEED_KEY_DB "-81985529216486896"
#define PLENTY      UINT64_MAX
/* 2026-01-01T00:00:00Z, where the partitions by time begin. */
#define DAY_MS INT64_C(1767225600000)

enum { CHUNK_BYTES = 64 * 1024, MAX_SPANS = 24, MAX_SEEN = 20000 };

static const char *const topics[] = {"orders", "payments"};
static struct journal_reader *reader;
static struct journal_selection selection;
static struct journal_span spans[MAX_SPANS];
static size_t span_count;

struct seen {
	size_t span;
	int64_t offset, event_time;
	char value[64];
};

static struct {
	struct seen seen[MAX_SEEN];
	size_t count;
	size_t stop_after; /* 0: never */
	int64_t next[MAX_SPANS];
	struct record last;   /* its slices are gone; the lengths are not */
	uint32_t route_count; /* of the last one, where its value is left out */
} visit;

static bool on_record(void *context, size_t span, const struct record *record)
{
	struct seen *seen = &visit.seen[visit.count++];

	(void)context;
	assert_true(visit.count < MAX_SEEN);
	*seen = (struct seen){span, record->offset, record->timestamp_ms, ""};
	snprintf(seen->value, sizeof(seen->value), "%.*s", (int)record->value.len,
		 record->value.len ? record->value.base : "");
	assert_true(record->offset >= visit.next[span]);
	assert_int_equal(record->partition, spans[span].partition);
	assert_true(slice_equal(record->topic, slice_of(topics[spans[span].topic])));
	visit.next[span] = record->offset + 1;
	visit.last = *record;
	visit.route_count = record->routes ? record->routes->count : UINT32_MAX;
	return visit.count != visit.stop_after;
}

static void on_progress(void *context, size_t span, int64_t next)
{
	(void)context;
	assert_true(next >= visit.next[span]);
	assert_true(next <= spans[span].until);
	visit.next[span] = next;
}

static const struct journal_visitor visitor = {on_record, on_progress, NULL};

/* A feed with tables for 24 hours of 2026-01-01, and one for what is recorded now. */
static int set_up(void **state)
{
	fixture_reset(state);
	fixture_execute(
	    "insert into journal_feed (key, stream, topics, retain_ms)"
	    "  values (" FEED_KEY_DB ", 'orders', '{orders,payments}', 86400000);"
	    "create table events partition of journal_event for values in (1)"
	    "  partition by range (recorded_at);"
	    "create table events_now partition of events"
	    "  for values from ('2026-01-02Z') to (maxvalue);"
	    "do $$ begin for h in 0..23 loop execute format("
	    "  'create table events_%s partition of events for values from (%L) to (%L)', h,"
	    "  timestamptz '2026-01-01Z' + h * interval '1 hour',"
	    "  timestamptz '2026-01-01Z' + (h + 1) * interval '1 hour'); end loop; end $$");
	reader = journal_reader_new(&cluster.settings);
	selection = (struct journal_selection){FEED_KEY, topics, NULL};
	span_count = 0;
	memset(&visit, 0, sizeof(visit));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	journal_reader_free(reader);
	return 0;
}

static void add_span(uint32_t topic, int32_t partition, int64_t from, int64_t until)
{
	visit.next[span_count] = from;
	spans[span_count++] = (struct journal_span){
	    .topic = topic, .partition = partition, .from = from, .until = until};
}

static void complete(int topic, int partition, long long first, long long next)
{
	char statement[256];

	snprintf(statement, sizeof(statement),
		 "insert into journal_offset values (1, %d, %d, %lld, %lld)", topic, partition,
		 first, next);
	fixture_execute(statement);
}

/* Rows "(route, topic, partition, offset, event_time, event_id, value), …". */
static void insert(const char *rows)
{
	char statement[4096];

	snprintf(statement, sizeof(statement),
		 "insert into journal_event (feed_id, route, topic, partition, \"offset\","
		 " event_time, event_id, value) select 1, r.* from (values %s) r",
		 rows);
	fixture_execute(statement);
}

static int read_all(void)
{
	assert_int_equal(journal_reader_cover(reader, FEED_KEY, spans, span_count), 0);
	return journal_reader_read(reader, &selection, spans, span_count, CHUNK_BYTES, PLENTY,
				   &visitor);
}

static void assert_seen(const char *expected)
{
	struct buffer text = {0};

	for (size_t i = 0; i < visit.count; i++)
		buffer_append_format(&text, "%s%zu:%lld", i ? " " : "", visit.seen[i].span,
				     (long long)visit.seen[i].offset);
	assert_string_equal(buffer_text(&text), expected);
	buffer_free(&text);
}

/* What the journal has of each partition, and nothing of what it does not know. */
static void test_journal_reader_cover_says_what_there_is(void **state)
{
	(void)state;
	complete(0, 0, 10, 20);
	complete(1, 3, 0, 7);
	fixture_execute("insert into journal_period values (1, '2026-01-01T05:00Z', 0, 0, 15),"
			" (1, '2026-01-01T06:00Z', 0, 0, 20)");
	add_span(0, 0, 12, 100);
	add_span(0, 1, 0, 100);
	add_span(1, 3, 0, 100);
	add_span(0, 0, 15, 100);
	assert_int_equal(journal_reader_cover(reader, FEED_KEY, spans, span_count), 0);
	assert_int_equal(spans[0].first, 10);
	assert_int_equal(spans[0].next, 20);
	assert_int_equal(spans[0].recorded_us, (DAY_MS + 5 * 3600000) * 1000);
	assert_int_equal(spans[1].first, 0);
	assert_int_equal(spans[1].next, 0);
	assert_int_equal(spans[2].next, 7);
	assert_int_equal(spans[2].recorded_us, 0);
	assert_int_equal(spans[3].recorded_us, (DAY_MS + 6 * 3600000) * 1000);
}

/* A feed that nobody has declared is not covered; when it is declared, and when it is declared anew
 * with another number, it is found. */
static void test_journal_reader_feed_declared_later_is_found(void **state)
{
	(void)state;
	complete(0, 0, 0, 5);
	add_span(0, 0, 0, 5);
	assert_int_equal(journal_reader_cover(reader, 42, spans, 1), 0);
	assert_int_equal(spans[0].next, 0);
	fixture_execute("update journal_feed set key = 42");
	assert_int_equal(journal_reader_cover(reader, 42, spans, 1), 0);
	assert_int_equal(spans[0].next, 5);
	fixture_execute("delete from journal_feed; insert into journal_feed"
			" (key, stream, topics, retain_ms) values (42, 's', '{t}', 1);"
			"insert into journal_offset values (2, 0, 0, 0, 6)");
	assert_int_equal(journal_reader_cover(reader, 42, spans, 1), 0);
	assert_int_equal(journal_reader_cover(reader, 42, spans, 1), 0);
	assert_int_equal(spans[0].next, 6);
}

/* Partitions are merged by time, then topic and number; within one the offsets decide. */
static void test_journal_reader_read_merges_by_event_time(void **state)
{
	(void)state;
	complete(0, 0, 0, 10);
	complete(0, 1, 0, 10);
	complete(1, 0, 0, 10);
	insert("(0, 0, 0, 1, 100, null, 'a'::bytea), (0, 0, 0, 2, 50, null, 'b'),"
	       "(0, 0, 0, 3, 300, null, 'c'), (0, 0, 1, 0, 60, null, 'd'),"
	       "(0, 0, 1, 4, 100, null, 'e'), (0, 1, 0, 7, 100, null, 'f'),"
	       "(0, 1, 0, 9, 300, null, 'g')");
	add_span(0, 0, 0, 10);
	add_span(0, 1, 0, 10);
	add_span(1, 0, 0, 9);
	assert_int_equal(read_all(), 0);
	assert_seen("1:0 0:1 0:2 1:4 2:7 0:3");
	assert_int_equal(visit.next[0], 10);
	assert_int_equal(visit.next[1], 10);
	assert_int_equal(visit.next[2], 9);
}

/* A record comes back as it was: null is not empty, and headers keep their order. */
static void test_journal_reader_read_gives_records_as_they_were(void **state)
{
	(void)state;
	complete(0, 0, 0, 10);
	add_span(0, 0, 0, 10);
	insert("(0, 0, 0, 1, -1, null, null::bytea)");
	assert_int_equal(read_all(), 0);
	assert_false(visit.last.has_value);
	assert_false(visit.last.has_key);
	assert_int_equal(visit.last.timestamp_ms, -1);
	assert_int_equal(visit.last.header_count, 0);
	fixture_execute("insert into journal_event values (1, 0, 0, 0, 2, 5, now(), 'x', '',"
			" '\\x0000000161000000010000000001"
			"62ffffffff', '\\x00ff0a')");
	spans[0].from = visit.next[0] = 2;
	assert_int_equal(read_all(), 0);
	assert_true(visit.last.has_key && visit.last.has_value);
	assert_int_equal(visit.last.key.len, 0);
	assert_int_equal(visit.last.value.len, 3);
	assert_int_equal(visit.last.header_count, 2);
}

/* Of a value that is left out the row has the route keys in its place. */
static void test_journal_reader_left_out_value_has_its_routes(void **state)
{
	(void)state;
	complete(0, 0, 0, 10);
	add_span(0, 0, 0, 10);
	fixture_execute(
	    "insert into journal_event values (1, 0, 0, 0, 1, 5, now(), null, 'k', null,"
	    " null, '\\x00000001610000000162')");
	assert_int_equal(read_all(), 0);
	assert_true(visit.last.left_out && visit.last.has_value && visit.last.has_key);
	assert_int_equal(visit.last.value.len, 0);
	assert_int_equal(visit.route_count, 2);
	fixture_execute("update journal_event set left_out = ''");
	spans[0].from = visit.next[0] = 0;
	assert_int_equal(read_all(), 0);
	assert_true(visit.last.left_out);
	assert_int_equal(visit.route_count, 0);
	fixture_execute("update journal_event set left_out = '\\x0000'");
	spans[0].from = visit.next[0] = 0;
	assert_int_equal(read_all(), ERROR_INVALID);
}

static int64_t route_of(const char *key)
{
	return journal_route(slice_of(key));
}

static void add_route(struct route_keys *keys, const char *key)
{
	uint32_t len = (uint32_t)strlen(key);

	buffer_append(&keys->bytes, &len, sizeof(len));
	buffer_append(&keys->bytes, key, len);
	keys->count++;
}

/* An event that has several of the subscriber's routes is handed over once; others' are not. */
static void test_journal_reader_read_of_several_routes_repeats_nothing(void **state)
{
	struct route_keys routes = {0};
	char rows[1024];

	(void)state;
	complete(0, 0, 0, 10);
	snprintf(rows, sizeof(rows),
		 "(%lld::bigint, 0, 0, 1, 1, null, 'a'::bytea), (%lld, 0, 0, 1, 1, null, 'a'),"
		 "(%lld, 0, 0, 2, 1, null, 'b'), (%lld, 0, 0, 3, 1, null, 'c'),"
		 "(0, 0, 0, 4, 1, null, 'd')",
		 (long long)route_of("x"), (long long)route_of("y"), (long long)route_of("y"),
		 (long long)route_of("other"));
	insert(rows);
	add_route(&routes, "x");
	add_route(&routes, "y");
	selection.routes = &routes;
	add_span(0, 0, 0, 10);
	assert_int_equal(read_all(), 0);
	assert_seen("0:1 0:2");
	route_keys_free(&routes);
}

/* What the journal has not all of is refused, and nothing of it handed over. */
static void test_journal_reader_read_outside_of_what_is_complete_is_refused(void **state)
{
	static const struct {
		int64_t from, until;
		int rc;
	} rows[] = {
	    {10, 20, 0}, {10, 21, ERROR_CONFLICT}, {9, 20, ERROR_CONFLICT}, {20, 20, 0},
	    {15, 18, 0},
	};

	(void)state;
	complete(0, 0, 10, 20);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		span_count = 0;
		add_span(0, 0, rows[i].from, rows[i].until);
		assert_int_equal(read_all(), rows[i].rc);
		assert_int_equal(visit.next[0], rows[i].rc ? rows[i].from : rows[i].until);
	}
	add_span(0, 7, 0, 1);
	assert_int_equal(read_all(), ERROR_CONFLICT);
}

enum { MANY_PARTITIONS = 5, MANY = 8000 };

/* Most of it in one partition, some values long, times out of order. */
static void insert_many(void)
{
	for (int p = 0; p < MANY_PARTITIONS; p++)
		complete(0, p, 0, MANY);
	fixture_execute(
	    "insert into journal_event (feed_id, route, topic, partition, \"offset\", event_time,"
	    " value) select 1, 0, 0, case when g % 10 < 6 then 0 else g % 5 end, g,"
	    " g + (g * 7919) % 50, convert_to(g || repeat('x', case when g % 997 = 0 then 30000"
	    " else 20 end), 'UTF8') from generate_series(0, 7999) g");
	for (int p = 0; p < MANY_PARTITIONS; p++)
		add_span(0, p, 0, MANY);
}

static void assert_all_many(void)
{
	bool found[MANY] = {0};

	assert_int_equal(visit.count, MANY);
	for (size_t i = 0; i < visit.count; i++) {
		int64_t number = visit.seen[i].offset;

		assert_false(found[number]);
		found[number] = true;
		assert_int_equal(atoll(visit.seen[i].value), number);
	}
}

/* More than one fetch has room for, of partitions that differ in size: everything once, in order,
 * and merged. */
static void test_journal_reader_read_goes_on_over_many_fetches(void **state)
{
	(void)state;
	insert_many();
	assert_int_equal(read_all(), 0);
	assert_all_many();
	for (size_t i = 1; i < visit.count; i++)
		assert_true(visit.seen[i].event_time > visit.seen[i - 1].event_time - 100);
}

/* Stopped anywhere, by the visitor or by the budget, it goes on exactly there. */
static void test_journal_reader_read_stopped_anywhere_goes_on(void **state)
{
	unsigned seed = 3;
	int rc = ERROR_LIMIT;

	(void)state;
	insert_many();
	assert_int_equal(journal_reader_cover(reader, FEED_KEY, spans, span_count), 0);
	while (rc) {
		uint64_t budget = (uint64_t)rand_r(&seed) % 700;

		for (size_t i = 0; i < span_count; i++)
			spans[i].from = visit.next[i];
		visit.stop_after = visit.count + 1 + (size_t)rand_r(&seed) % 700;
		rc = journal_reader_read(reader, &selection, spans, span_count, 16384, budget,
					 &visitor);
		if (rc)
			assert_int_equal(rc, visit.count == visit.stop_after ? ERROR_CANCELLED
									     : ERROR_LIMIT);
	}
	assert_all_many();
}

/* The newest of several with the same id; what cannot be an id of the journal's is not there. */
static void test_journal_reader_find_takes_the_newest(void **state)
{
	static char too_long[JOURNAL_MAX_EVENT_ID + 1];
	struct journal_place place = {0};

	(void)state;
	complete(0, 0, 0, 10);
	memset(too_long, 'x', sizeof(too_long));
	insert("(0, 0, 0, 1, 5, 'a', ''::bytea), (0, 1, 2, 4, 9, 'a', ''),"
	       "(0, 0, 0, 3, 7, 'b', '')");
	assert_int_equal(journal_reader_find(reader, FEED_KEY, SLICE_LIT("a"), &place), 0);
	assert_int_equal(place.topic, 1);
	assert_int_equal(place.partition, 2);
	assert_int_equal(place.offset, 4);
	assert_int_equal(place.event_time, 9);
	assert_int_equal(journal_reader_find(reader, FEED_KEY, SLICE_LIT("c"), &place),
			 ERROR_NOT_FOUND);
	assert_int_equal(journal_reader_find(reader, FEED_KEY, SLICE_LIT("\xff"), &place),
			 ERROR_NOT_FOUND);
	assert_int_equal(journal_reader_find(reader, FEED_KEY,
					     (struct slice){too_long, sizeof(too_long)}, &place),
			 ERROR_NOT_FOUND);
	assert_int_equal(journal_reader_find(reader, 42, SLICE_LIT("a"), &place), ERROR_NOT_FOUND);
}

/* Each partition at its first event after the place; its own right after it. */
static void test_journal_reader_seek_finds_what_comes_after(void **state)
{
	const struct journal_place place = {100, 0, 1, 4}, far = {INT64_MAX, 0, 1, 4};

	(void)state;
	for (int p = 0; p < 4; p++)
		complete(0, p, 0, 10);
	insert("(0, 0, 0, 1, 90, null, ''::bytea), (0, 0, 0, 2, 100, null, ''),"
	       "(0, 0, 0, 5, 110, null, ''), (0, 0, 1, 4, 100, null, ''),"
	       "(0, 0, 1, 5, 100, null, ''), (0, 0, 2, 3, 99, null, ''),"
	       "(0, 0, 2, 6, 100, null, ''), (0, 0, 3, 1, 40, null, '')");
	for (int p = 0; p < 4; p++)
		add_span(0, p, 0, 10);
	assert_int_equal(journal_reader_cover(reader, FEED_KEY, spans, span_count), 0);
	assert_int_equal(journal_reader_seek(reader, &selection, spans, span_count, &place), 0);
	assert_int_equal(spans[0].from, 5);
	assert_int_equal(spans[1].from, 5);
	assert_int_equal(spans[2].from, 6);
	assert_int_equal(spans[3].from, 10);
	spans[3].from = 0;
	assert_int_equal(journal_reader_seek(reader, &selection, spans, span_count, &far), 0);
	assert_int_equal(spans[3].from, 10);
	spans[3].until = 11;
	assert_int_equal(journal_reader_seek(reader, &selection, spans, span_count, &place),
			 ERROR_CONFLICT);
}

/* What is read from where it points are exactly the newest N, though times go back and forth. */
static void test_journal_reader_last_leaves_exactly_the_newest(void **state)
{
	static const struct {
		uint32_t n;
		uint64_t found;
		int64_t from[3];
	} rows[] = {
	    {1, 1, {10, 6, 10}}, {2, 2, {10, 4, 10}}, {3, 3, {5, 4, 10}},
	    {4, 4, {2, 4, 10}},  {6, 6, {1, 4, 3}},   {100, 7, {1, 2, 3}},
	};

	(void)state;
	for (int p = 0; p < 3; p++)
		complete(0, p, 0, 10);
	/* Partition 0: 5 is as new as its time; 2, of a later time, counts as what comes after it.
	 */
	insert("(0, 0, 0, 1, 90, null, ''::bytea), (0, 0, 0, 2, 900, null, ''),"
	       "(0, 0, 0, 5, 110, null, ''), (0, 0, 1, 2, 50, null, ''),"
	       "(0, 0, 1, 4, 110, null, ''), (0, 0, 1, 6, 120, null, ''),"
	       "(0, 0, 2, 3, 100, null, '')");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t found = 0;

		span_count = 0;
		for (int p = 0; p < 3; p++)
			add_span(0, p, 0, 10);
		assert_int_equal(
		    journal_reader_last(reader, &selection, spans, span_count, rows[i].n, &found),
		    0);
		assert_int_equal(found, rows[i].found);
		for (int p = 0; p < 3; p++)
			assert_int_equal(spans[p].from, rows[i].from[p]);
		visit.count = 0;
		for (int p = 0; p < 3; p++)
			visit.next[p] = spans[p].from;
		assert_int_equal(journal_reader_read(reader, &selection, spans, span_count,
						     CHUNK_BYTES, PLENTY, &visitor),
				 0);
		assert_int_equal(visit.count, rows[i].found);
	}
}

static void *interrupt_later(void *context)
{
	(void)context;
	while (!fixture_count("select count(*) from pg_locks where not granted"))
		usleep(1000);
	journal_reader_interrupt(reader);
	return NULL;
}

/* A read that waits ends when it is interrupted, and so do all that come later. */
static void test_journal_reader_interrupted_ends_for_good(void **state)
{
	PGconn *locker = PQconnectdb(cluster.settings.url);
	pthread_t thread;

	(void)state;
	complete(0, 0, 0, 10);
	add_span(0, 0, 0, 10);
	assert_int_equal(journal_reader_cover(reader, FEED_KEY, spans, span_count), 0);
	free(fixture_ask(locker, "begin"));
	free(fixture_ask(locker, "lock journal_event"));
	pthread_create(&thread, NULL, interrupt_later, NULL);
	assert_int_equal(journal_reader_read(reader, &selection, spans, span_count, CHUNK_BYTES,
					     PLENTY, &visitor),
			 ERROR_CANCELLED);
	pthread_join(thread, NULL);
	PQfinish(locker);
	assert_int_equal(journal_reader_cover(reader, FEED_KEY, spans, span_count),
			 ERROR_CANCELLED);
}

enum { CROWD_PARTITIONS = 24, FEW_BUFFERS = 400 };

static void insert_crowd(int64_t route)
{
	char statement[512];

	fixture_execute(
	    "insert into journal_event (feed_id, route, topic, partition, \"offset\", event_time,"
	    " recorded_at, value) select 1, 1000 + (g::bigint * 7919) % 50000, 0, g % 24, g / 24,"
	    " 1767225600000 + g * 86, timestamptz '2026-01-01Z' + g * interval '86 ms',"
	    " '{\"a\":\"01234567890123456789\"}' from generate_series(0, 999999) g");
	snprintf(
	    statement, sizeof(statement),
	    "insert into journal_event (feed_id, route, topic, partition, \"offset\","
	    " event_time, recorded_at, value) select 1, %lld, 0, g %% 24, g / 24,"
	    " 1767225600000 + g * 86::bigint, timestamptz '2026-01-01Z' + g * interval '86 ms',"
	    " '{}' from generate_series(900005, 999999, 10000) g",
	    (long long)route);
	fixture_execute(statement);
	fixture_execute("insert into journal_offset select 1, 0, p, 0, 50000"
			" from generate_series(0, 23) p;"
			"insert into journal_period select 1,"
			" timestamptz '2026-01-01Z' + h * interval '1 hour', 0, p, (h + 1) * 1744"
			" from generate_series(0, 23) h, generate_series(0, 23) p; analyze");
}

/* The statement with these parameters, explained; its shared buffers. */
static long buffers_of_read(int64_t route)
{
	struct buffer statement = {0}, partitions = {0};
	PGresult *plan;
	long buffers = -1;

	for (int p = 0; p < CROWD_PARTITIONS; p++)
		buffer_append_format(&partitions, "%s%d", p ? "," : "", p);
	buffer_append_format(&statement,
			     "prepare few(integer, integer[], integer[], bigint[], bigint[],"
			     " bigint[], bigint, integer, bigint) as %s",
			     journal_reader_read_statement.sql);
	fixture_execute("set plan_cache_mode = force_custom_plan");
	fixture_execute(buffer_text(&statement));
	buffer_clear(&statement);
	buffer_append_format(&statement,
			     "explain (analyze, buffers) execute few(1, array_fill(0, '{24}'),"
			     " '{%s}', array_fill(37500::bigint, '{24}'),"
			     " array_fill(50000::bigint, '{24}'), '{%lld}', %lld, 500, 16384)",
			     buffer_text(&partitions), (long long)route,
			     (long long)spans[0].recorded_us);
	plan = PQexec(fixture_sql, buffer_text(&statement));
	for (int row = 0; row < PQntuples(plan) && buffers < 0; row++) {
		const char *hit = strstr(PQgetvalue(plan, row, 0), "Buffers: shared hit=");
		const char *read = hit ? strstr(hit, " read=") : NULL;

		if (hit)
			buffers = atol(hit + strlen("Buffers: shared hit=")) +
				  (read ? atol(read + strlen(" read=")) : 0);
	}
	print_message("%s\n", PQgetvalue(plan, 0, 0));
	print_message("%ld buffers\n", buffers);
	PQclear(plan);
	buffer_free(&statement);
	buffer_free(&partitions);
	return buffers;
}

/* Ten events of one user among a million of others', over 24 partitions and 24 tables: a few index
 * reads. */
static void test_journal_reader_read_of_few_among_many_reads_few_buffers(void **state)
{
	struct route_keys routes = {0};
	long buffers;

	(void)state;
	insert_crowd(route_of("me"));
	add_route(&routes, "me");
	selection.routes = &routes;
	for (int p = 0; p < CROWD_PARTITIONS; p++)
		add_span(0, p, 37500, 50000);
	assert_int_equal(read_all(), 0);
	assert_int_equal(visit.count, 10);
	buffers = buffers_of_read(route_of("me"));
	assert_true(buffers > 0 && buffers < FEW_BUFFERS);
	route_keys_free(&routes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_journal_reader_cover_says_what_there_is),
	    TEST(test_journal_reader_feed_declared_later_is_found),
	    TEST(test_journal_reader_read_merges_by_event_time),
	    TEST(test_journal_reader_read_gives_records_as_they_were),
	    TEST(test_journal_reader_left_out_value_has_its_routes),
	    TEST(test_journal_reader_read_of_several_routes_repeats_nothing),
	    TEST(test_journal_reader_read_outside_of_what_is_complete_is_refused),
	    TEST(test_journal_reader_read_goes_on_over_many_fetches),
	    TEST(test_journal_reader_read_stopped_anywhere_goes_on),
	    TEST(test_journal_reader_find_takes_the_newest),
	    TEST(test_journal_reader_seek_finds_what_comes_after),
	    TEST(test_journal_reader_last_leaves_exactly_the_newest),
	    TEST(test_journal_reader_interrupted_ends_for_good),
	    TEST(test_journal_reader_read_of_few_among_many_reads_few_buffers),
	};

	return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
