/*
 * The partitions by time of the feeds' tables.
 *
 * A table is made by itself and then attached, which neither waits for readers and writers of its
 * parent nor makes them wait (PostgreSQL's documentation, "5.11.2.2 Partition Maintenance"); only
 * dropping one does, and gives up after a moment. One gateway at a time looks after a feed.
 */

#include "base/clock.h"
#include "journal_writer_priv.h"

enum {
	RANGES_RETAINED = 6, /* what is retained is spread over as many ranges */
	RANGES_AHEAD = 2,
	RANGE_MIN_S = 10,
	RETRY_MS = 1000,
	MAINTENANCE_MAX_MS = 60000,
	STALE_PAUSE_MS = 600000,
};

static uint64_t range_s(uint64_t retain_ms)
{
	uint64_t seconds = retain_ms / 1000 / RANGES_RETAINED;

	return seconds < RANGE_MIN_S ? RANGE_MIN_S : seconds;
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
	return journal_feeds_execute(writer, &sql);
}

static int make_ahead(struct journal_writer *writer, struct journal_writer_feed *feed)
{
	uint64_t now_ms = clock_monotonic_ms();
	int64_t covered_s = 0;
	int rc = journal_feeds_lock(writer, feed->id);

	if (rc)
		return rc;
	rc = journal_feeds_finish(writer, extend_ranges(writer, feed, &covered_s));
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
	rc = journal_feeds_execute(writer, &sql);
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
	rc = journal_feeds_lock(writer, feed->id);
	if (rc)
		return rc;
	/* Again, as another gateway may have done it until now. */
	rc = list_old(writer, feed, &old);
	if (rc)
		return journal_feeds_finish(writer, rc);
	count = database_result_count(old);
	if (count)
		rc = drop_ranges(writer, feed->id, old);
	database_result_free(old);
	rc = journal_feeds_finish(writer, rc);
	if (!rc)
		*dropped += (uint32_t)count;
	return rc;
}

static int maintain_feed(struct journal_writer *writer, struct journal_writer_feed *feed,
			 uint32_t *dropped)
{
	uint64_t pause_ms = range_s(feed->retain_ms) * 1000 / 2;
	int rc;

	feed->due_ms = clock_monotonic_ms() + RETRY_MS;
	rc = journal_feeds_keep(writer, feed->id);
	if (!rc)
		rc = make_ahead(writer, feed);
	if (!rc)
		rc = drop_old(writer, feed, dropped);
	if (!rc)
		feed->due_ms = clock_monotonic_ms() +
			       (pause_ms < MAINTENANCE_MAX_MS ? pause_ms : MAINTENANCE_MAX_MS);
	return journal_feeds_forgive(writer, rc);
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
	return journal_feeds_remove_stale(writer);
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
