/*
 * Feeds, and their tables' partitions by time.
 *
 * A table is made by itself and then attached, which neither waits for readers and writers of its
 * parent nor makes them wait (PostgreSQL's documentation, "5.11.2.2 Partition Maintenance"); only
 * dropping one does, and gives up after LOCK_TIMEOUT. One gateway at a time looks after a feed.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "journal_writer_priv.h"

enum {
	RANGES_RETAINED = 6, /* what is retained is spread over as many ranges */
	RANGES_AHEAD = 2,
	RANGE_MIN_S = 10,
	RETRY_MS = 1000,
	MAINTENANCE_MAX_MS = 60000,
	STALE_PAUSE_MS = 600000,
};

/* "slui": any number that others don't take. */
#define LOCK_FEED "select pg_advisory_xact_lock(1936487785, $1)"

static uint64_t range_s(uint64_t retain_ms)
{
	uint64_t seconds = retain_ms / 1000 / RANGES_RETAINED;

	return seconds < RANGE_MIN_S ? RANGE_MIN_S : seconds;
}

static int begin_alone(struct journal_writer *writer, int32_t feed_id)
{
	static const struct database_statement lock = {"journal_lock", LOCK_FEED};
	const struct database_param params[] = {database_int4(feed_id)};
	int rc = database_begin(writer->database);

	if (rc)
		return rc;
	rc = database_execute(writer->database, "set local lock_timeout = '500ms'");
	if (!rc)
		rc = database_run(writer->database, &lock, params, 1, NULL);
	if (rc)
		database_rollback(writer->database);
	return rc;
}

/* Commits where nothing went wrong. */
static int finish(struct journal_writer *writer, int rc)
{
	if (!rc)
		return database_commit(writer->database);
	database_rollback(writer->database);
	return rc;
}

static int execute(struct journal_writer *writer, struct buffer *sql)
{
	int rc = sql->len ? database_execute(writer->database, buffer_text(sql)) : 0;

	buffer_free(sql);
	return rc;
}

static int upsert_feed(struct journal_writer *writer, const struct journal_feed *feed,
		       uint64_t retain_ms, int32_t *feed_id)
{
	static const struct database_statement upsert = {
	    "journal_upsert",
	    "insert into journal_feed (key, stream, topics, retain_ms) values ($1, $2, $3, $4)"
	    " on conflict (key) do update set retain_ms = excluded.retain_ms, declared_at = now()"
	    " returning feed_id"};
	struct slice *topics = mem_alloc(feed->topic_count * sizeof(*topics));
	struct database_result *result;
	int rc;

	for (uint32_t i = 0; i < feed->topic_count; i++)
		topics[i] = slice_of(feed->topics[i]);
	const struct database_param params[] = {
	    database_int8((int64_t)feed->key),
	    database_text(slice_of(feed->stream)),
	    database_text_array(&writer->scratch[0], topics, feed->topic_count),
	    database_int8((int64_t)retain_ms),
	};
	rc = database_run(writer->database, &upsert, params, 4, &result);
	free(topics);
	if (rc)
		return rc;
	*feed_id = database_get_int4(result, 0, 0);
	database_result_free(result);
	return 0;
}

static int has_table(struct journal_writer *writer, int32_t feed_id, bool *there)
{
	static const struct database_statement look = {
	    "journal_has_table", "select to_regclass('journal_event_' || $1::int) is not null"};
	const struct database_param params[] = {database_int4(feed_id)};
	struct database_result *result;
	int rc = database_run(writer->database, &look, params, 1, &result);

	if (rc)
		return rc;
	*there = database_get_bool(result, 0, 0);
	database_result_free(result);
	return 0;
}

static int make_table(struct journal_writer *writer, int32_t feed_id)
{
	struct buffer sql = {0};
	bool there = false;
	int rc = has_table(writer, feed_id, &there);

	if (rc || there)
		return rc;
	buffer_append_format(&sql,
			     "create table journal_event_%d (like journal_event including defaults)"
			     " partition by range (recorded_at);"
			     "alter table journal_event attach partition journal_event_%d"
			     " for values in (%d)",
			     feed_id, feed_id, feed_id);
	return execute(writer, &sql);
}

static struct journal_writer_feed *find_feed(struct journal_writer *writer, int32_t feed_id)
{
	for (size_t i = 0; i < writer->feed_count; i++)
		if (writer->feeds[i].id == feed_id)
			return &writer->feeds[i];
	writer->feeds =
	    mem_realloc(writer->feeds, (writer->feed_count + 1) * sizeof(writer->feeds[0]));
	writer->feeds[writer->feed_count] = (struct journal_writer_feed){.id = feed_id};
	return &writer->feeds[writer->feed_count++];
}

int journal_writer_declare(struct journal_writer *writer, const struct journal_feed *feed,
			   uint64_t retain_ms, int32_t *feed_id)
{
	int32_t id = 0;
	int rc = upsert_feed(writer, feed, retain_ms, &id);

	if (!rc)
		rc = begin_alone(writer, id);
	if (rc)
		return rc;
	rc = finish(writer, make_table(writer, id));
	if (rc)
		return rc;
	*find_feed(writer, id) = (struct journal_writer_feed){.id = id, .retain_ms = retain_ms};
	*feed_id = id;
	return 0;
}

/* PostgreSQL's time and where the ranges end, in seconds since 1970; 0: there is none. */
static int look_at_ranges(struct journal_writer *writer, int32_t feed_id, int64_t *now_s,
			  int64_t *end_s)
{
	static const struct database_statement look = {
	    "journal_ranges_end", "select floor(extract(epoch from now()))::bigint,"
				  " coalesce(extract(epoch from max(ends_at))::bigint, 0)"
				  " from journal_range where feed_id = $1"};
	const struct database_param params[] = {database_int4(feed_id)};
	struct database_result *result;
	int rc = database_run(writer->database, &look, params, 1, &result);

	if (rc)
		return rc;
	*now_s = database_get_int8(result, 0, 0);
	*end_s = database_get_int8(result, 0, 1);
	database_result_free(result);
	return 0;
}

static void append_range(struct buffer *sql, int32_t feed_id, int64_t from, int64_t to)
{
	long long start = from, end = to;

	buffer_append_format(sql,
			     "create table journal_event_%d_%lld (like journal_event_%d"
			     " including defaults);"
			     "alter table journal_event_%d attach partition journal_event_%d_%lld"
			     " for values from (to_timestamp(%lld)) to (to_timestamp(%lld));"
			     "insert into journal_range values (%d, to_timestamp(%lld),"
			     " to_timestamp(%lld));",
			     feed_id, start, feed_id, feed_id, feed_id, start, start, end, feed_id,
			     start, end);
}

/* Under the feed's lock. */
static int extend_ranges(struct journal_writer *writer, struct journal_writer_feed *feed,
			 int64_t *covered_s)
{
	int64_t range = (int64_t)range_s(feed->retain_ms), now = 0, end = 0;
	struct buffer sql = {0};
	int rc = look_at_ranges(writer, feed->id, &now, &end);

	if (rc)
		return rc;
	if (end < now - now % range)
		end = now - now % range;
	while (end < now + (1 + RANGES_AHEAD) * range) {
		append_range(&sql, feed->id, end, end + range);
		end += range;
	}
	*covered_s = end - now;
	return execute(writer, &sql);
}

static int make_ahead(struct journal_writer *writer, struct journal_writer_feed *feed)
{
	uint64_t now_ms = clock_monotonic_ms();
	int64_t covered_s = 0;
	int rc = begin_alone(writer, feed->id);

	if (rc)
		return rc;
	rc = finish(writer, extend_ranges(writer, feed, &covered_s));
	/* PostgreSQL's second was cut off. */
	if (!rc)
		feed->covered_until_ms = now_ms + (uint64_t)(covered_s - 1) * 1000;
	return rc;
}

static void append_drop(const struct database_result *old, int32_t feed_id, struct buffer *sql)
{
	for (size_t i = 0; i < database_result_count(old); i++)
		buffer_append_format(sql, "drop table journal_event_%d_%lld;", feed_id,
				     (long long)database_get_int8(old, i, 0));
}

/* The tables first, as writers take them before the offsets. */
static int drop_ranges(struct journal_writer *writer, int32_t feed_id,
		       const struct database_result *old)
{
	static const struct database_statement raise = {
	    "journal_raise",
	    "update journal_offset o set first_offset = p.until, updated_at = now()"
	    " from (select topic, partition, max(until_offset) as until from journal_period"
	    "  where feed_id = $1 and starts_at <= to_timestamp($2::bigint)"
	    "  group by topic, partition) p"
	    " where o.feed_id = $1 and o.topic = p.topic and o.partition = p.partition"
	    "  and o.first_offset < p.until"};
	static const struct database_statement forget_periods = {
	    "journal_forget_periods", "delete from journal_period where feed_id = $1"
				      " and starts_at <= to_timestamp($2::bigint)"};
	static const struct database_statement forget_ranges = {
	    "journal_forget_ranges", "delete from journal_range where feed_id = $1"
				     " and starts_at <= to_timestamp($2::bigint)"};
	const struct database_param params[] = {
	    database_int4(feed_id),
	    database_int8(database_get_int8(old, database_result_count(old) - 1, 0)),
	};
	struct buffer sql = {0};
	int rc;

	append_drop(old, feed_id, &sql);
	rc = execute(writer, &sql);
	if (!rc)
		rc = database_run(writer->database, &raise, params, 2, NULL);
	if (!rc)
		rc = database_run(writer->database, &forget_periods, params, 2, NULL);
	return rc ? rc : database_run(writer->database, &forget_ranges, params, 2, NULL);
}

/* The starts of the ranges that hold nothing that is retained, in their order. */
static int list_old(struct journal_writer *writer, const struct journal_writer_feed *feed,
		    struct database_result **old)
{
	static const struct database_statement list = {
	    "journal_old",
	    "select extract(epoch from starts_at)::bigint from journal_range where feed_id = $1"
	    " and ends_at < now() - $2::bigint * interval '1 millisecond' order by starts_at"};
	const struct database_param params[] = {
	    database_int4(feed->id),
	    database_int8((int64_t)feed->retain_ms),
	};

	return database_run(writer->database, &list, params, 2, old);
}

static int drop_old(struct journal_writer *writer, struct journal_writer_feed *feed,
		    uint32_t *dropped)
{
	struct database_result *old = NULL;
	int rc = list_old(writer, feed, &old);
	size_t count;

	if (rc)
		return rc;
	count = database_result_count(old);
	database_result_free(old);
	if (!count)
		return 0;
	rc = begin_alone(writer, feed->id);
	if (rc)
		return rc;
	/* Again, as another gateway may have done it until now. */
	rc = list_old(writer, feed, &old);
	if (rc)
		return finish(writer, rc);
	count = database_result_count(old);
	if (count)
		rc = drop_ranges(writer, feed->id, old);
	database_result_free(old);
	rc = finish(writer, rc);
	if (!rc)
		*dropped += (uint32_t)count;
	return rc;
}

static int say_wanted(struct journal_writer *writer, int32_t feed_id)
{
	static const struct database_statement say = {
	    "journal_wanted", "update journal_feed set declared_at = now() where feed_id = $1"
			      " and declared_at < now() - interval '1 minute'"};
	const struct database_param params[] = {database_int4(feed_id)};

	return database_run(writer->database, &say, params, 1, NULL);
}

/* A lock that could not be had is no failure: it is due again soon. */
static int forgive(struct journal_writer *writer, int rc)
{
	return rc == ERROR_POSTGRES && !strcmp(database_sqlstate(writer->database), "55P03") ? 0
											     : rc;
}

static int maintain_feed(struct journal_writer *writer, struct journal_writer_feed *feed,
			 uint32_t *dropped)
{
	uint64_t pause_ms = range_s(feed->retain_ms) * 1000 / 2;
	int rc;

	feed->due_ms = clock_monotonic_ms() + RETRY_MS;
	rc = say_wanted(writer, feed->id);
	if (!rc)
		rc = make_ahead(writer, feed);
	if (!rc)
		rc = drop_old(writer, feed, dropped);
	if (!rc)
		feed->due_ms = clock_monotonic_ms() +
			       (pause_ms < MAINTENANCE_MAX_MS ? pause_ms : MAINTENANCE_MAX_MS);
	return forgive(writer, rc);
}

static int list_stale(struct journal_writer *writer, struct database_result **stale)
{
	static const struct database_statement list = {
	    "journal_stale", "select feed_id, stream from journal_feed where declared_at <"
			     " now() - retain_ms * interval '1 millisecond' - interval '1 hour'"};

	return database_run(writer->database, &list, NULL, 0, stale);
}

/* One that was declared meanwhile stays. */
static int remove_feed(struct journal_writer *writer, int32_t feed_id, struct slice stream)
{
	static const struct database_statement remove = {
	    "journal_remove", "delete from journal_feed where feed_id = $1 and declared_at <"
			      " now() - retain_ms * interval '1 millisecond' - interval '1 hour'"};
	const struct database_param params[] = {database_int4(feed_id)};
	struct database_result *result = NULL;
	struct buffer sql = {0};
	bool removed = false;
	int rc = begin_alone(writer, feed_id);

	if (rc)
		return rc;
	rc = database_run(writer->database, &remove, params, 1, &result);
	if (!rc) {
		removed = database_result_touched(result) == 1;
		database_result_free(result);
	}
	if (removed) {
		buffer_append_format(&sql, "drop table if exists journal_event_%d", feed_id);
		rc = execute(writer, &sql);
	}
	rc = finish(writer, rc);
	if (!rc && removed)
		log_event(LOG_INFO, "journal", "a feed that nobody declares is removed",
			  LOG_SLICE("stream", stream), LOG_INT("feed", feed_id));
	return rc;
}

static int remove_stale(struct journal_writer *writer)
{
	struct database_result *stale;
	int rc = list_stale(writer, &stale);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < database_result_count(stale); i++)
		rc = remove_feed(writer, database_get_int4(stale, i, 0),
				 database_get_bytes(stale, i, 1));
	database_result_free(stale);
	return forgive(writer, rc);
}

int journal_writer_maintain(struct journal_writer *writer, uint32_t *dropped)
{
	uint64_t now_ms = clock_monotonic_ms();
	int rc = 0;

	for (size_t i = 0; !rc && i < writer->feed_count; i++)
		if (now_ms >= writer->feeds[i].due_ms)
			rc = maintain_feed(writer, &writer->feeds[i], dropped);
	if (rc || now_ms < writer->stale_due_ms)
		return rc;
	writer->stale_due_ms = now_ms + STALE_PAUSE_MS;
	return remove_stale(writer);
}

int journal_ranges_cover(struct journal_writer *writer)
{
	uint64_t now_ms = clock_monotonic_ms();
	int rc = 0;

	for (size_t i = 0; !rc && i < writer->feed_count; i++)
		if (now_ms >= writer->feeds[i].covered_until_ms)
			rc = make_ahead(writer, &writer->feeds[i]);
	return rc;
}

void journal_ranges_forget(struct journal_writer *writer)
{
	for (size_t i = 0; i < writer->feed_count; i++)
		writer->feeds[i].covered_until_ms = 0;
}
