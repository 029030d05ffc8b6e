#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "postgres/journal_writer.h"
#include "unit/postgres/journal_fixture.h"

enum { HOUR_MS = 3600000, MINUTE_MS = 60000 };

static const char *const topics[] = {"orders", "it's \"quoted\" \\ ü"};

static const struct journal_feed feed = {UINT64_C(0xfedcba9876543210), "orders", topics, 2};

static struct journal_writer *writer;
static struct journal_part part;

static struct journal_part new_part(int32_t feed_id, int32_t topic, int32_t partition)
{
	return (struct journal_part){
	    .feed_id = feed_id, .topic = topic, .partition = partition, .next = -1};
}

/* A feed that is retained for as long, and its partition 3 from offset 100. */
static int32_t open_feed(uint64_t retain_ms)
{
	int32_t feed_id;
	uint32_t dropped = 0;

	assert_int_equal(journal_writer_declare(writer, &feed, retain_ms, &feed_id), 0);
	assert_int_equal(journal_writer_maintain(writer, &dropped), 0);
	part = new_part(feed_id, 1, 3);
	assert_int_equal(journal_writer_begin(writer, &part, 100), 0);
	return feed_id;
}

static int set_up(void **state)
{
	fixture_reset(state);
	writer = journal_writer_new(&cluster.settings);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	journal_writer_free(writer);
	return 0;
}

static void add(struct journal_writer *to, struct journal_part *of, int64_t offset)
{
	const struct route_keys none = {0};
	const struct record record = {
	    .partition = of->partition,
	    .offset = offset,
	    .timestamp_ms = 5,
	    .has_value = true,
	    .value = SLICE_LIT("value"),
	};

	journal_writer_add(to, of, &record, &none, (struct slice){0});
}

/* The row as text, columns by spaces. */
static void assert_row(int64_t offset, const char *expected)
{
	char statement[512];
	char *row;

	snprintf(
	    statement, sizeof(statement),
	    "select concat_ws(' ', topic, partition, \"offset\", event_time,"
	    " coalesce(event_id, 'null'), coalesce(encode(key, 'hex'), 'null'),"
	    " coalesce(encode(headers, 'hex'), 'null'), coalesce(encode(value, 'hex'), 'null'))"
	    " from journal_event where \"offset\" = %lld",
	    (long long)offset);
	row = fixture_ask(fixture_sql, statement);
	assert_string_equal(row, expected);
	free(row);
}

static const struct record_header headers[] = {{{"h", 1}, {NULL, 0}}};

struct row {
	struct record record;
	struct slice event_id;
	const char *expected; /* after the offset */
};

static char too_long[JOURNAL_MAX_EVENT_ID + 1];

static const struct row rows[] = {
    {{.timestamp_ms = -1}, {NULL, 0}, "-1 null null null null"},
    {{.timestamp_ms = 7, .has_key = true, .has_value = true, .key = {"", 0}, .value = {"", 0}},
     {"", 0},
     "7 null  null "},
    {{.has_key = true, .has_value = true, .key = {"k\0\r\n\xff", 5}, .value = {"\0\\N\xc3", 4}},
     {"id-\xc3\xa4", 5},
     "0 id-\xc3\xa4 6b000d0aff null 005c4ec3"},
    {{.headers = headers, .header_count = 1}, {"a\0b", 3}, "0 null null 0000000168ffffffff null"},
    {{.timestamp_ms = INT64_MAX}, {"\xff", 1}, "9223372036854775807 null null null null"},
    {{.timestamp_ms = 1}, {"\xed\xa0\x80", 3}, "1 null null null null"},
    {{.timestamp_ms = 1}, {too_long, JOURNAL_MAX_EVENT_ID + 1}, "1 null null null null"},
};

/* Every record arrives as it is, with null told from empty; an id that PostgreSQL would not take is
 * left out and holds nothing up. */
static void test_journal_writer_rows_hold_the_records(void **state)
{
	const struct route_keys none = {0};
	const size_t count = sizeof(rows) / sizeof(rows[0]);
	char expected[256];

	(void)state;
	open_feed(HOUR_MS);
	memset(too_long, 'x', sizeof(too_long));
	for (size_t i = 0; i < count; i++) {
		struct record record = rows[i].record;

		record.offset = 100 + 2 * (int64_t)i;
		journal_writer_add(writer, &part, &record, &none, rows[i].event_id);
	}
	assert_int_equal(journal_writer_size(writer).rows, count);
	assert_int_equal(journal_writer_write(writer), 0);
	for (size_t i = 0; i < count; i++) {
		snprintf(expected, sizeof(expected), "1 3 %zu %s", 100 + 2 * i, rows[i].expected);
		assert_row(100 + 2 * (int64_t)i, expected);
	}
	assert_int_equal(fixture_count("select count(*) from journal_event where route = 0"),
			 count);
	assert_int_equal(part.next, 100 + 2 * count - 1);
}

/* The longest id that is stored can be indexed, though it cannot be compressed. */
static void test_journal_writer_longest_id_fits_the_index(void **state)
{
	const struct route_keys none = {0};
	const struct record record = {.offset = 100};
	char id[JOURNAL_MAX_EVENT_ID];
	unsigned seed = 1;

	(void)state;
	open_feed(HOUR_MS);
	for (size_t i = 0; i < sizeof(id); i++)
		id[i] = (char)(33 + rand_r(&seed) % 90);
	journal_writer_add(writer, &part, &record, &none, (struct slice){id, sizeof(id)});
	assert_int_equal(journal_writer_write(writer), 0);
	assert_int_equal(fixture_count("select length(event_id) from journal_event"),
			 JOURNAL_MAX_EVENT_ID);
}

static void append_key(struct route_keys *keys, const char *key)
{
	uint32_t length = (uint32_t)strlen(key);

	buffer_append(&keys->bytes, &length, sizeof(length));
	buffer_append(&keys->bytes, key, length);
	keys->count++;
}

/* An event has a row for each of its route keys, and one for keys that are equal. */
static void test_journal_writer_each_route_has_a_row(void **state)
{
	struct record record = {.offset = 100, .has_value = true, .value = SLICE_LIT("v")};
	struct route_keys keys = {0};
	char statement[256];

	(void)state;
	open_feed(HOUR_MS);
	append_key(&keys, "b");
	append_key(&keys, "a");
	append_key(&keys, "b");
	journal_writer_add(writer, &part, &record, &keys, SLICE_LIT("id"));
	record.offset++;
	journal_writer_add(writer, &part, &record, &keys, SLICE_LIT("id2"));
	assert_int_equal(journal_writer_size(writer).rows, 4);
	assert_int_equal(journal_writer_write(writer), 0);
	snprintf(statement, sizeof(statement),
		 "select count(distinct (route, \"offset\")) from journal_event"
		 " where route in (%lld, %lld) and value = 'v' and event_id like 'id%%'",
		 (long long)journal_route(SLICE_LIT("a")),
		 (long long)journal_route(SLICE_LIT("b")));
	assert_int_equal(fixture_count(statement), 4);
	assert_int_equal(fixture_count("select count(*) from journal_event"), 4);
	route_keys_free(&keys);
}

/* A value that is left out is null, beside the record's route keys in each of its rows; one that is
 * there has none beside it. */
static void test_journal_writer_left_out_value_leaves_its_routes(void **state)
{
	struct record record = {.offset = 100, .has_value = true, .left_out = true};
	struct route_keys keys = {0};

	(void)state;
	open_feed(HOUR_MS);
	append_key(&keys, "b");
	append_key(&keys, "a");
	journal_writer_add(writer, &part, &record, &keys, (struct slice){0});
	record.offset++;
	route_keys_clear(&keys);
	journal_writer_add(writer, &part, &record, &keys, (struct slice){0});
	record.offset++;
	record.left_out = false;
	journal_writer_add(writer, &part, &record, &keys, (struct slice){0});
	assert_int_equal(journal_writer_write(writer), 0);
	assert_int_equal(fixture_count("select count(*) from journal_event where \"offset\" = 100"
				       " and value is null"
				       " and left_out = '\\x00000001620000000161'"),
			 2);
	assert_int_equal(fixture_count("select count(*) from journal_event where \"offset\" = 101"
				       " and value is null and left_out = ''"),
			 1);
	assert_int_equal(fixture_count("select count(*) from journal_event where \"offset\" = 102"
				       " and value = '' and left_out is null"),
			 1);
	route_keys_free(&keys);
}

/* Batches that follow each other move the offsets, with and without rows, and say how far each
 * period goes. */
static void test_journal_writer_batches_move_the_offsets(void **state)
{
	struct journal_part other;

	(void)state;
	other = new_part(open_feed(HOUR_MS), 0, 0);
	assert_int_equal(journal_writer_begin(writer, &other, 0), 0);
	add(writer, &part, 100);
	assert_int_equal(journal_writer_write(writer), 0);
	add(writer, &part, 150);
	journal_writer_reach(writer, &part, 160);
	journal_writer_reach(writer, &other, 8);
	journal_writer_reach(writer, &other, 7);
	assert_int_equal(journal_writer_write(writer), 0);
	assert_int_equal(fixture_count("select count(*) from journal_event"), 2);
	assert_int_equal(fixture_count("select count(*) from journal_offset where"
				       " (partition, first_offset, next_offset)"
				       " in ((3, 100, 160), (0, 0, 8))"),
			 2);
	assert_int_equal(fixture_count("select count(*) from journal_period p"
				       " join journal_range r using (feed_id, starts_at)"
				       " where now() between r.starts_at and r.ends_at"
				       " and (partition, until_offset) in ((3, 160), (0, 8))"),
			 2);
	assert_int_equal(part.next, 160);
	assert_int_equal(journal_writer_size(writer).parts, 0);
}

/* Without a batch nothing is asked. A batch that is dropped leaves everything as it was. */
static void test_journal_writer_dropped_batch_is_forgotten(void **state)
{
	(void)state;
	open_feed(HOUR_MS);
	assert_int_equal(journal_writer_write(writer), 0);
	add(writer, &part, 100);
	journal_writer_drop(writer);
	assert_int_equal(part.reached, 100);
	assert_int_equal(journal_writer_size(writer).rows, 0);
	assert_int_equal(journal_writer_write(writer), 0);
	add(writer, &part, 100);
	assert_int_equal(journal_writer_write(writer), 0);
	assert_int_equal(fixture_count("select count(*) from journal_event"), 1);
}

static void add_many(struct journal_part *to, int count)
{
	static char value[1024];
	const struct route_keys none = {0};
	struct record record = {.has_value = true, .value = {value, sizeof(value)}};

	for (int i = 0; i < count; i++) {
		record.offset = to->reached;
		journal_writer_add(writer, to, &record, &none, (struct slice){0});
	}
}

/* Of a large batch much is sent while more is added; it is there all at once, or not at all. */
static void test_journal_writer_large_batch_is_sent_ahead(void **state)
{
	(void)state;
	open_feed(HOUR_MS);
	add_many(&part, 10);
	assert_int_equal(journal_writer_send(writer), 0);
	assert_false(journal_writer_is_sending(writer));
	for (int i = 0; i < 5; i++) {
		add_many(&part, 1000);
		assert_int_equal(journal_writer_send(writer), 0);
		assert_true(journal_writer_is_sending(writer));
	}
	add_many(&part, 10);
	assert_int_equal(fixture_count("select count(*) from journal_event"), 0);
	assert_int_equal(journal_writer_write(writer), 0);
	assert_false(journal_writer_is_sending(writer));
	assert_int_equal(fixture_count("select count(distinct \"offset\") from journal_event"),
			 5020);
	assert_int_equal(fixture_count("select count(*) from journal_event"), 5020);
	add_many(&part, 1000);
	assert_int_equal(journal_writer_send(writer), 0);
	journal_writer_drop(writer);
	assert_false(journal_writer_is_sending(writer));
	add_many(&part, 1000);
	assert_int_equal(journal_writer_write(writer), 0);
	assert_int_equal(fixture_count("select count(*) from journal_event"), 6020);
}

/* A batch that fails while it is sent ahead is sent anew as a whole. */
static void test_journal_writer_failed_sending_begins_anew(void **state)
{
	(void)state;
	open_feed(HOUR_MS);
	add_many(&part, 1000);
	assert_int_equal(journal_writer_send(writer), 0);
	fixture_execute("select pg_terminate_backend(pid, 60000) from pg_stat_activity"
			" where application_name = 'sluice journal'");
	add_many(&part, 1000);
	for (int i = 0; i < 600 && journal_writer_is_sending(writer); i++) {
		add_many(&part, 300);
		if (journal_writer_send(writer))
			assert_false(journal_writer_is_sending(writer));
	}
	assert_false(journal_writer_is_sending(writer));
	assert_int_equal(journal_writer_write(writer), 0);
	assert_int_equal(fixture_count("select count(*) from journal_event"), part.next - 100);
}

/* A part is begun once: who comes later goes on where it is. */
static void test_journal_writer_begun_part_stays_where_it_is(void **state)
{
	struct journal_part later;

	(void)state;
	later = new_part(open_feed(HOUR_MS), 1, 3);
	add(writer, &part, 100);
	assert_int_equal(journal_writer_write(writer), 0);
	assert_int_equal(journal_writer_begin(writer, &later, 5), 0);
	assert_int_equal(later.first, 100);
	assert_int_equal(later.next, 101);
}

/* The last record that was read is remembered, wanted or not, until it is skipped. */
static void test_journal_writer_last_record_is_remembered(void **state)
{
	const struct record passed = {.offset = 104, .timestamp_ms = 77};
	struct journal_part loaded, *list[] = {&loaded};

	(void)state;
	loaded = new_part(open_feed(HOUR_MS), 1, 3);
	assert_int_equal(part.last_offset, -1);
	add(writer, &part, 100);
	journal_writer_reach(writer, &part, 103);
	assert_int_equal(journal_writer_write(writer), 0);
	assert_int_equal(journal_writer_load(writer, list, 1), 0);
	assert_int_equal(loaded.last_offset, 100);
	assert_int_equal(loaded.last_time, 5);
	journal_writer_pass(writer, &part, &passed);
	assert_int_equal(journal_writer_size(writer).rows, 0);
	assert_int_equal(journal_writer_write(writer), 0);
	assert_int_equal(journal_writer_load(writer, list, 1), 0);
	assert_int_equal(loaded.next, 105);
	assert_int_equal(loaded.last_offset, 104);
	assert_int_equal(loaded.last_time, 77);
	assert_int_equal(journal_writer_skip(writer, &loaded, 200), 0);
	assert_int_equal(loaded.last_offset, -1);
	assert_int_equal(fixture_count("select last_offset from journal_offset"), -1);
}

/* Only parts that are there are loaded, each its own. */
static void test_journal_writer_loads_what_is_there(void **state)
{
	struct journal_part parts[3], *list[3];

	(void)state;
	open_feed(HOUR_MS);
	for (int i = 0; i < 3; i++) {
		parts[i] = new_part(part.feed_id, i == 2, 1 + i);
		list[i] = &parts[i];
	}
	assert_int_equal(journal_writer_begin(writer, &parts[0], 7), 0);
	parts[0].next = 99;
	assert_int_equal(journal_writer_load(writer, list, 3), 0);
	assert_int_equal(parts[0].next, 7);
	assert_int_equal(parts[0].reached, 7);
	assert_int_equal(parts[1].next, -1);
	assert_int_equal(parts[2].next, 100);
}

/* Of two writers of the same partition one gets a conflict, writes nothing, not even for other
 * partitions, and goes on from where the other one is. */
static void test_journal_writer_zombie_writes_nothing(void **state)
{
	struct journal_writer *zombie = journal_writer_new(&cluster.settings);
	struct journal_part its_part, its_other, *list[] = {&its_part};
	int32_t feed_id = open_feed(HOUR_MS);

	(void)state;
	its_part = new_part(feed_id, 1, 3);
	its_other = new_part(feed_id, 0, 0);
	assert_int_equal(journal_writer_declare(zombie, &feed, HOUR_MS, &feed_id), 0);
	assert_int_equal(journal_writer_begin(zombie, &its_part, 0), 0);
	assert_int_equal(journal_writer_begin(zombie, &its_other, 0), 0);
	for (int i = 0; i < 20; i++)
		add(zombie, &its_part, 100 + i);
	add(zombie, &its_other, 0);
	for (int i = 0; i < 10; i++)
		add(writer, &part, 100 + i);
	assert_int_equal(journal_writer_write(writer), 0);
	assert_int_equal(journal_writer_write(zombie), ERROR_CONFLICT);
	assert_int_equal(fixture_count("select count(*) from journal_event"), 10);
	assert_int_equal(fixture_count("select sum(next_offset) from journal_offset"), 110);
	assert_int_equal(journal_writer_size(zombie).parts, 0);
	assert_int_equal(journal_writer_load(zombie, list, 1), 0);
	for (int64_t offset = its_part.next; offset < 120; offset++)
		add(zombie, &its_part, offset);
	assert_int_equal(journal_writer_write(zombie), 0);
	assert_int_equal(fixture_count("select count(distinct \"offset\") from journal_event"), 20);
	assert_int_equal(fixture_count("select count(*) from journal_event"), 20);
	journal_writer_free(zombie);
}

/* A batch that PostgreSQL could not take is there once when it is written again. */
static void test_journal_writer_failed_batch_is_written_later(void **state)
{
	int rc = 0;

	(void)state;
	open_feed(HOUR_MS);
	add(writer, &part, 100);
	assert_int_equal(journal_writer_write(writer), 0);
	add(writer, &part, 101);
	cluster_kill();
	assert_int_equal(journal_writer_write(writer), ERROR_UNAVAILABLE);
	assert_string_not_equal(journal_writer_error(writer), "");
	assert_int_equal(journal_writer_size(writer).rows, 1);
	cluster_start();
	PQreset(fixture_sql);
	for (int i = 0; i < 600; i++) {
		rc = journal_writer_write(writer);
		if (rc != ERROR_UNAVAILABLE)
			break;
		usleep(50000);
	}
	/* The first batch may not have been on the disk when the server was killed: that is told.
	 */
	if (rc == ERROR_CONFLICT)
		assert_int_equal(fixture_count("select count(*) from journal_event"), 0);
	else
		assert_int_equal(fixture_count("select count(*) from journal_event"), 2);
}

/* Tables that somebody has taken away are made again. */
static void test_journal_writer_missing_ranges_are_made_again(void **state)
{
	(void)state;
	open_feed(HOUR_MS);
	fixture_execute(
	    "do $$ declare r record; begin for r in select 'journal_event_' || feed_id"
	    " || '_' || extract(epoch from starts_at)::bigint as name from journal_range"
	    " loop execute 'drop table ' || r.name; end loop; end $$;"
	    " delete from journal_range");
	add(writer, &part, 100);
	assert_int_equal(journal_writer_write(writer), ERROR_POSTGRES);
	assert_int_equal(journal_writer_write(writer), 0);
	assert_int_equal(fixture_count("select count(*) from journal_event"), 1);
	/* The same where there is no row, only an offset to move. */
	fixture_execute("delete from journal_range");
	journal_writer_reach(writer, &part, 110);
	assert_int_equal(journal_writer_write(writer), ERROR_CONFLICT);
}

/* Makes a range that ended `age_s` ago, with one row at `offset`. */
static void make_old_range(int32_t feed_id, int64_t age_s, int64_t offset)
{
	char statement[2048];

	snprintf(
	    statement, sizeof(statement),
	    "do $$ declare starts bigint := extract(epoch from now())::bigint - %lld - 10;"
	    "begin execute format('create table journal_event_%d_%%s partition of"
	    " journal_event_%d for values from (to_timestamp(%%s)) to (to_timestamp(%%s))',"
	    " starts, starts, starts + 10);"
	    "insert into journal_range values (%d, to_timestamp(starts),"
	    " to_timestamp(starts + 10));"
	    "insert into journal_period values (%d, to_timestamp(starts), 1, 3, %lld);"
	    "insert into journal_event (feed_id, route, topic, partition, \"offset\","
	    " event_time, recorded_at) values (%d, 0, 1, 3, %lld, 0, to_timestamp(starts + 5));"
	    "end $$",
	    (long long)age_s, feed_id, feed_id, feed_id, feed_id, (long long)(offset + 1), feed_id,
	    (long long)offset);
	fixture_execute(statement);
}

/* Maintains until that many periods are dropped. */
static void maintain_until(struct journal_writer *by, uint32_t expected)
{
	uint64_t deadline_ms = clock_monotonic_ms() + CLUSTER_PATIENCE_MS;
	uint32_t dropped = 0;

	while (dropped < expected) {
		assert_int_equal(journal_writer_maintain(by, &dropped), 0);
		assert_true(clock_monotonic_ms() < deadline_ms);
		usleep(10000);
	}
	assert_int_equal(dropped, expected);
}

/* What is older than the retention is dropped as whole tables, and the journal says that it begins
 * later; what is younger stays. */
static void test_journal_writer_old_ranges_are_dropped(void **state)
{
	int32_t feed_id, again;

	(void)state;
	feed_id = open_feed(MINUTE_MS);
	make_old_range(feed_id, 300, 100);
	make_old_range(feed_id, 200, 101);
	make_old_range(feed_id, 30, 102);
	fixture_execute("update journal_offset set next_offset = 103");
	assert_int_equal(journal_writer_declare(writer, &feed, MINUTE_MS, &again), 0);
	maintain_until(writer, 2);
	assert_int_equal(fixture_count("select count(*) from journal_event"), 1);
	assert_int_equal(fixture_count("select first_offset from journal_offset"), 102);
	assert_int_equal(fixture_count("select next_offset from journal_offset"), 103);
	assert_int_equal(fixture_count("select count(*) from journal_period"), 1);
	assert_int_equal(fixture_count("select count(*) from journal_range r where to_regclass("
				       "'journal_event_' || feed_id || '_' ||"
				       " extract(epoch from starts_at)::bigint) is null"),
			 0);
}

/* A reader in the middle of an old table is not waited for: the table goes when the reader has. */
static void test_journal_writer_drop_gives_way_to_a_reader(void **state)
{
	PGconn *reader = PQconnectdb(cluster.settings.url);
	uint32_t dropped = 0;
	int32_t feed_id, again;

	(void)state;
	feed_id = open_feed(MINUTE_MS);
	make_old_range(feed_id, 300, 100);
	assert_int_equal(journal_writer_declare(writer, &feed, MINUTE_MS, &again), 0);
	free(fixture_ask(reader, "begin"));
	free(fixture_ask(reader, "select count(*) from journal_event"));
	assert_int_equal(journal_writer_maintain(writer, &dropped), 0);
	assert_int_equal(dropped, 0);
	add(writer, &part, 100);
	assert_int_equal(journal_writer_write(writer), 0);
	free(fixture_ask(reader, "commit"));
	maintain_until(writer, 1);
	PQfinish(reader);
}

/* Feeds that nobody has declared for as long as they retain are removed with all that they have. */
static void test_journal_writer_forgotten_feed_is_removed(void **state)
{
	const struct journal_feed old = {7, "old", topics, 1};
	struct journal_writer *later = journal_writer_new(&cluster.settings);
	uint32_t dropped = 0;
	int32_t old_id, kept_id;

	(void)state;
	kept_id = open_feed(HOUR_MS);
	add(writer, &part, 100);
	assert_int_equal(journal_writer_write(writer), 0);
	assert_int_equal(journal_writer_declare(writer, &old, HOUR_MS, &old_id), 0);
	assert_int_equal(journal_writer_maintain(writer, &dropped), 0);
	fixture_execute("update journal_feed set declared_at = now() - interval '3 hours'");
	assert_int_equal(journal_writer_declare(later, &feed, HOUR_MS, &kept_id), 0);
	assert_int_equal(journal_writer_maintain(later, &dropped), 0);
	assert_int_equal(fixture_count("select count(*) from journal_feed"), 1);
	assert_int_equal(fixture_count("select count(*) from pg_class where relname like"
				       " 'journal_event\\_2%' and relkind in ('r', 'p')"),
			 0);
	assert_int_equal(fixture_count("select count(*) from journal_event"), 1);
	journal_writer_free(later);
}

/* What Kafka has deleted before it was written is no longer claimed, what is before stays. */
static void test_journal_writer_skip_leaves_a_hole(void **state)
{
	struct journal_part stale;

	(void)state;
	open_feed(HOUR_MS);
	add(writer, &part, 100);
	assert_int_equal(journal_writer_write(writer), 0);
	stale = part;
	assert_int_equal(journal_writer_skip(writer, &part, 500), 0);
	assert_int_equal(part.reached, 500);
	assert_int_equal(fixture_count("select first_offset from journal_offset"), 500);
	assert_int_equal(journal_writer_skip(writer, &stale, 600), ERROR_CONFLICT);
	assert_int_equal(fixture_count("select next_offset from journal_offset"), 500);
}

/* Of a topic that was made anew nothing old is left, and nothing of other partitions is lost. */
static void test_journal_writer_reset_removes_the_old_log(void **state)
{
	struct journal_part other, stale;

	(void)state;
	other = new_part(open_feed(HOUR_MS), 1, 4);
	assert_int_equal(journal_writer_begin(writer, &other, 0), 0);
	add(writer, &other, 0);
	for (int i = 0; i < 10; i++)
		add(writer, &part, 100 + i);
	assert_int_equal(journal_writer_write(writer), 0);
	stale = part;
	assert_int_equal(journal_writer_reset(writer, &part, 0), 0);
	assert_int_equal(part.next, 0);
	assert_int_equal(fixture_count("select count(*) from journal_event"), 1);
	assert_int_equal(fixture_count("select count(*) from journal_period"), 1);
	assert_int_equal(journal_writer_reset(writer, &stale, 0), ERROR_CONFLICT);
	add(writer, &part, 0);
	assert_int_equal(journal_writer_write(writer), 0);
	assert_int_equal(fixture_count("select count(*) from journal_event"), 2);
}

static void *declare_many(void *context)
{
	struct journal_writer *own = journal_writer_new(&cluster.settings);
	uint32_t dropped = 0;
	int32_t feed_id = 0;

	for (uint64_t key = 1; key <= 5; key++) {
		const struct journal_feed one = {key, "many", topics, 2};
		int rc;

		/* Others are waited for a moment only. */
		while ((rc = journal_writer_declare(own, &one, HOUR_MS, &feed_id)) ==
		       ERROR_POSTGRES)
			usleep(1000);
		*(int *)context |= rc;
	}
	*(int *)context |= journal_writer_maintain(own, &dropped);
	journal_writer_free(own);
	return NULL;
}

/* Gateways that start together make everything once. */
static void test_journal_writer_several_declare_at_once(void **state)
{
	enum { THREADS = 4 };
	pthread_t threads[THREADS];
	int failures[THREADS] = {0};

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, declare_many, &failures[i]), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(failures[i], 0);
	}
	assert_int_equal(fixture_count("select count(*) from journal_feed"), 5);
	assert_int_equal(fixture_count("select count(*) from journal_range a join journal_range b"
				       " on a.feed_id = b.feed_id and a.starts_at < b.starts_at"
				       " and b.starts_at < a.ends_at"),
			 0);
	assert_true(fixture_count("select min(n) from (select count(*) as n from journal_range"
				  " group by feed_id) s") >= 3);
}

/* An interrupt ends what waits for PostgreSQL. */
static void test_journal_writer_interrupt_ends_it(void **state)
{
	(void)state;
	open_feed(HOUR_MS);
	add(writer, &part, 100);
	journal_writer_interrupt(writer);
	assert_int_equal(journal_writer_write(writer), ERROR_CANCELLED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_journal_writer_rows_hold_the_records),
	    TEST(test_journal_writer_longest_id_fits_the_index),
	    TEST(test_journal_writer_each_route_has_a_row),
	    TEST(test_journal_writer_left_out_value_leaves_its_routes),
	    TEST(test_journal_writer_batches_move_the_offsets),
	    TEST(test_journal_writer_dropped_batch_is_forgotten),
	    TEST(test_journal_writer_large_batch_is_sent_ahead),
	    TEST(test_journal_writer_failed_sending_begins_anew),
	    TEST(test_journal_writer_begun_part_stays_where_it_is),
	    TEST(test_journal_writer_last_record_is_remembered),
	    TEST(test_journal_writer_loads_what_is_there),
	    TEST(test_journal_writer_zombie_writes_nothing),
	    TEST(test_journal_writer_failed_batch_is_written_later),
	    TEST(test_journal_writer_missing_ranges_are_made_again),
	    TEST(test_journal_writer_old_ranges_are_dropped),
	    TEST(test_journal_writer_drop_gives_way_to_a_reader),
	    TEST(test_journal_writer_forgotten_feed_is_removed),
	    TEST(test_journal_writer_skip_leaves_a_hole),
	    TEST(test_journal_writer_reset_removes_the_old_log),
	    TEST(test_journal_writer_several_declare_at_once),
	    TEST(test_journal_writer_interrupt_ends_it),
	};

	return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
