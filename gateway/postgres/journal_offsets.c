/* Where parts begin, and how they are moved without rows. */
#include <stdlib.h>

#include "base/mem.h"
#include "journal_writer_priv.h"
#include "postgres/database_priv.h"

static void set_part(struct journal_part *part, int64_t first, int64_t next)
{
	part->first = first;
	part->next = next;
	part->reached = next;
	part->last_offset = -1;
	part->last_time = -1;
}

int journal_writer_load(struct journal_writer *writer, struct journal_part *const *parts,
			size_t count)
{
	static const struct database_statement load = {
	    "journal_load",
	    "select b.n::int, o.first_offset, o.next_offset, o.last_offset, o.last_time"
	    " from unnest($1::int[], $2::int[], $3::int[])"
	    "  with ordinality as b (feed_id, topic, partition, n)"
	    " join journal_offset o on o.feed_id = b.feed_id and o.topic = b.topic"
	    "  and o.partition = b.partition"};
	int32_t *columns = mem_alloc(3 * count * sizeof(int32_t));
	struct database_result *result;
	int rc;

	for (size_t i = 0; i < count; i++) {
		columns[i] = parts[i]->feed_id;
		columns[count + i] = parts[i]->topic;
		columns[2 * count + i] = parts[i]->partition;
	}
	const struct database_param params[] = {
	    database_int4_array(&writer->scratch[0], columns, count),
	    database_int4_array(&writer->scratch[1], columns + count, count),
	    database_int4_array(&writer->scratch[2], columns + 2 * count, count),
	};
	rc = database_run(writer->database, &load, params, 3, &result);
	free(columns);
	if (rc)
		return rc;
	for (size_t i = 0; i < count; i++)
		set_part(parts[i], -1, -1);
	for (size_t i = 0; i < database_result_count(result); i++) {
		struct journal_part *part = parts[database_get_int4(result, i, 0) - 1];

		set_part(part, database_get_int8(result, i, 1), database_get_int8(result, i, 2));
		part->last_offset = database_get_int8(result, i, 3);
		part->last_time = database_get_int8(result, i, 4);
	}
	database_result_free(result);
	return 0;
}

int journal_writer_begin(struct journal_writer *writer, struct journal_part *part, int64_t offset)
{
	static const struct database_statement begin = {
	    "journal_begin",
	    "insert into journal_offset (feed_id, topic, partition, first_offset, next_offset)"
	    " values ($1, $2, $3, $4, $4) on conflict do nothing"};
	const struct database_param params[] = {
	    database_int4(part->feed_id),
	    database_int4(part->topic),
	    database_int4(part->partition),
	    database_int8(offset),
	};
	int rc = database_run(writer->database, &begin, params, 4, NULL);

	return rc ? rc : journal_writer_load(writer, &part, 1);
}

static int move(struct journal_writer *writer, const struct journal_part *part, int64_t offset)
{
	static const struct database_statement skip = {
	    "journal_skip",
	    "update journal_offset set first_offset = $5, next_offset = $5, last_offset = -1,"
	    "  last_time = -1, updated_at = now()"
	    " where feed_id = $1 and topic = $2 and partition = $3 and next_offset = $4"};
	const struct database_param params[] = {
	    database_int4(part->feed_id),   database_int4(part->topic),
	    database_int4(part->partition), database_int8(part->next),
	    database_int8(offset),
	};
	struct database_result *result;
	int rc = database_run(writer->database, &skip, params, 5, &result);

	if (rc)
		return rc;
	rc = database_result_touched(result) == 1 ? 0 : ERROR_CONFLICT;
	database_result_free(result);
	return rc;
}

int journal_writer_skip(struct journal_writer *writer, struct journal_part *part, int64_t offset)
{
	int rc = move(writer, part, offset);

	if (!rc)
		set_part(part, offset, offset);
	return rc;
}

/* One range of the feed's tables after the other, so that no transaction is longer than it must
 * be. */
static int delete_rows(struct journal_writer *writer, const struct journal_part *part)
{
	static const struct database_statement ranges = {
	    "journal_ranges", "select (extract(epoch from starts_at))::bigint,"
			      " (extract(epoch from ends_at))::bigint"
			      " from journal_range where feed_id = $1 order by starts_at"};
	static const struct database_statement delete_range = {
	    "journal_delete",
	    "delete from journal_event where feed_id = $1 and topic = $2 and partition = $3"
	    " and recorded_at >= to_timestamp($4::bigint) and recorded_at < "
	    "to_timestamp($5::bigint)"};
	struct database_param params[5] = {database_int4(part->feed_id)};
	struct database_result *result;
	int rc = database_run(writer->database, &ranges, params, 1, &result);

	if (rc)
		return rc;
	params[1] = database_int4(part->topic);
	params[2] = database_int4(part->partition);
	for (size_t i = 0; !rc && i < database_result_count(result); i++) {
		params[3] = database_int8(database_get_int8(result, i, 0));
		params[4] = database_int8(database_get_int8(result, i, 1));
		rc = database_run(writer->database, &delete_range, params, 5, NULL);
	}
	database_result_free(result);
	return rc;
}

static int delete_rows_patiently(struct journal_writer *writer, const struct journal_part *part)
{
	int rc = database_set_patient(writer->database, true);
	int restored;

	if (rc)
		return rc;
	rc = delete_rows(writer, part);
	restored = database_set_patient(writer->database, false);
	return rc ? rc : restored;
}

static int finish_reset(struct journal_writer *writer, struct journal_part *part, int64_t offset)
{
	static const struct database_statement periods = {
	    "journal_delete_periods",
	    "delete from journal_period where feed_id = $1 and topic = $2 and partition = $3"};
	const struct database_param params[] = {
	    database_int4(part->feed_id),
	    database_int4(part->topic),
	    database_int4(part->partition),
	};
	int rc = database_begin(writer->database);

	if (rc)
		return rc;
	rc = move(writer, part, offset);
	if (!rc)
		rc = database_run(writer->database, &periods, params, 3, NULL);
	if (!rc)
		return database_commit(writer->database);
	database_rollback(writer->database);
	return rc;
}

/* First nothing of the old log is claimed any more, then it is removed, then the new one begins:
 * whoever goes on with what another one has begun comes to the same end. */
int journal_writer_reset(struct journal_writer *writer, struct journal_part *part, int64_t offset)
{
	int rc = journal_writer_skip(writer, part, part->next);

	if (!rc)
		rc = delete_rows_patiently(writer, part);
	if (!rc)
		rc = finish_reset(writer, part, offset);
	if (!rc)
		set_part(part, offset, offset);
	return rc;
}
