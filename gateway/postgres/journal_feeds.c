/* Feeds and their tables. One gateway at a time changes what a feed has. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "journal_writer_priv.h"

/* "slui": any number that others don't take. */
#define LOCK_FEED "select pg_advisory_xact_lock(1936487785, $1)"

int journal_feeds_lock(struct journal_writer *writer, int32_t feed_id)
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
int journal_feeds_finish(struct journal_writer *writer, int rc)
{
	if (!rc)
		return database_commit(writer->database);
	database_rollback(writer->database);
	return rc;
}

int journal_feeds_execute(struct journal_writer *writer, struct buffer *sql)
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
	return journal_feeds_execute(writer, &sql);
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
		rc = journal_feeds_lock(writer, id);
	if (rc)
		return rc;
	rc = journal_feeds_finish(writer, make_table(writer, id));
	if (rc)
		return rc;
	*find_feed(writer, id) = (struct journal_writer_feed){.id = id, .retain_ms = retain_ms};
	*feed_id = id;
	return 0;
}

int journal_feeds_keep(struct journal_writer *writer, int32_t feed_id)
{
	static const struct database_statement say = {
	    "journal_wanted", "update journal_feed set declared_at = now() where feed_id = $1"
			      " and declared_at < now() - interval '1 minute'"};
	const struct database_param params[] = {database_int4(feed_id)};

	return database_run(writer->database, &say, params, 1, NULL);
}

/* A lock that could not be had is no failure: it is due again soon. */
int journal_feeds_forgive(struct journal_writer *writer, int rc)
{
	return rc == ERROR_POSTGRES && !strcmp(database_sqlstate(writer->database), "55P03") ? 0
											     : rc;
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
	int rc = journal_feeds_lock(writer, feed_id);

	if (rc)
		return rc;
	rc = database_run(writer->database, &remove, params, 1, &result);
	if (!rc) {
		removed = database_result_touched(result) == 1;
		database_result_free(result);
	}
	if (removed) {
		buffer_append_format(&sql, "drop table if exists journal_event_%d", feed_id);
		rc = journal_feeds_execute(writer, &sql);
	}
	rc = journal_feeds_finish(writer, rc);
	if (!rc && removed)
		log_event(LOG_INFO, "journal", "a feed that nobody declares is removed",
			  LOG_SLICE("stream", stream), LOG_INT("feed", feed_id));
	return rc;
}

int journal_feeds_remove_stale(struct journal_writer *writer)
{
	struct database_result *stale;
	int rc = list_stale(writer, &stale);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < database_result_count(stale); i++)
		rc = remove_feed(writer, database_get_int4(stale, i, 0),
				 database_get_bytes(stale, i, 1));
	database_result_free(stale);
	return journal_feeds_forgive(writer, rc);
}
