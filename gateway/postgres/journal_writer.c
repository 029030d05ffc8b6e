#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "journal_writer_priv.h"
#include "postgres/database_priv.h"

enum { PUT_BYTES = 256 << 10 };

struct journal_writer *journal_writer_new(const struct postgres_settings *settings)
{
	struct journal_writer *writer = MEM_NEW(struct journal_writer);

	writer->database = database_new(settings, "sluice journal");
	return writer;
}

void journal_writer_free(struct journal_writer *writer)
{
	database_free(writer->database);
	for (size_t i = 0; i < sizeof(writer->scratch) / sizeof(writer->scratch[0]); i++)
		buffer_free(&writer->scratch[i]);
	buffer_free(&writer->copy);
	buffer_free(&writer->headers);
	buffer_free(&writer->left_out);
	free(writer->routes.items);
	free(writer->parts);
	free(writer->feeds);
	free(writer);
}

void journal_writer_interrupt(struct journal_writer *writer)
{
	database_interrupt(writer->database);
}

const char *journal_writer_error(const struct journal_writer *writer)
{
	return database_error(writer->database);
}

static void put_in_batch(struct journal_writer *writer, struct journal_part *part)
{
	if (part->batched)
		return;
	if (writer->part_count == writer->part_capacity) {
		writer->part_capacity = writer->part_capacity * 2 + 16;
		writer->parts =
		    mem_realloc(writer->parts, writer->part_capacity * sizeof(writer->parts[0]));
	}
	writer->parts[writer->part_count++] = part;
	part->batched = true;
}

void journal_writer_reach(struct journal_writer *writer, struct journal_part *part, int64_t next)
{
	if (next <= part->reached)
		return;
	put_in_batch(writer, part);
	part->reached = next;
}

void journal_writer_pass(struct journal_writer *writer, struct journal_part *part,
			 const struct record *record)
{
	journal_writer_reach(writer, part, record->offset + 1);
	part->last_offset = record->offset;
	part->last_time = record->timestamp_ms;
}

void journal_writer_add(struct journal_writer *writer, struct journal_part *part,
			const struct record *record, const struct route_keys *routes,
			struct slice event_id)
{
	assert(record->offset >= part->reached);
	journal_rows_append(writer, part, record, routes, event_id);
	journal_writer_pass(writer, part, record);
}

struct journal_batch_size journal_writer_size(const struct journal_writer *writer)
{
	return (struct journal_batch_size){writer->part_count, writer->rows, writer->copy.len};
}

/* Ends the batch: its parts stand where it brought them, or where they stood. */
static void end_batch(struct journal_writer *writer, bool written)
{
	for (size_t i = 0; i < writer->part_count; i++) {
		struct journal_part *part = writer->parts[i];

		if (written)
			part->next = part->reached;
		else
			part->reached = part->next;
		part->batched = false;
	}
	writer->part_count = 0;
	writer->rows = 0;
	buffer_clear(&writer->copy);
}

void journal_writer_drop(struct journal_writer *writer)
{
	if (writer->copying)
		database_rollback(writer->database);
	writer->copying = false;
	end_batch(writer, false);
}

/* Writers that want the same rows take them in the same order. */
static int compare_parts(const void *a, const void *b)
{
	const struct journal_part *left = *(struct journal_part *const *)a;
	const struct journal_part *right = *(struct journal_part *const *)b;

	if (left->feed_id != right->feed_id)
		return left->feed_id < right->feed_id ? -1 : 1;
	if (left->topic != right->topic)
		return left->topic < right->topic ? -1 : 1;
	return (left->partition > right->partition) - (left->partition < right->partition);
}

/* Sends the rows that were not sent yet. */
static int put_rows(struct journal_writer *writer)
{
	int rc = 0;

	while (!rc && writer->sent < writer->copy.len) {
		size_t left = writer->copy.len - writer->sent;
		size_t len = left < PUT_BYTES ? left : (size_t)PUT_BYTES;

		rc = database_copy_put(writer->database,
				       (struct slice){writer->copy.base + writer->sent, len});
		writer->sent += len;
	}
	return rc;
}

static int begin_batch(struct journal_writer *writer)
{
	int rc = journal_ranges_cover(writer);

	if (!rc)
		rc = database_begin(writer->database);
	if (rc)
		return rc;
	/* What a crash of PostgreSQL undoes, it undoes together with the offsets: it is written
	 * again. */
	rc = database_execute(writer->database, "set local synchronous_commit = off");
	if (rc)
		database_rollback(writer->database);
	return rc;
}

static int begin_copy(struct journal_writer *writer)
{
	int rc = database_copy_begin(writer->database, journal_rows_copy);

	if (rc)
		return rc;
	writer->copying = true;
	writer->sent = 0;
	return database_copy_put(writer->database, journal_rows_header);
}

/* What the server has to say comes with the end, also of what went wrong before. */
static int end_copy(struct journal_writer *writer, int rc)
{
	uint64_t taken = 0;
	int end = database_copy_end(writer->database, &taken);

	writer->copying = false;
	if (rc || end)
		return end ? end : rc;
	if (taken == writer->rows)
		return 0;
	database_set_error(writer->database, "some of the rows were not stored", "");
	return ERROR_POSTGRES;
}

static int copy_rows(struct journal_writer *writer)
{
	int rc = 0;

	if (!writer->rows)
		return 0;
	if (!writer->copying)
		rc = begin_copy(writer);
	if (rc && !writer->copying)
		return rc;
	if (!rc)
		rc = put_rows(writer);
	if (!rc)
		rc = database_copy_put(writer->database, journal_rows_trailer);
	return end_copy(writer, rc);
}

/* A row that fits no table, or a range that is not there, is found out with the batch. */
static int give_up(struct journal_writer *writer, int rc)
{
	database_rollback(writer->database);
	writer->copying = false;
	if (rc == ERROR_CONFLICT || rc == ERROR_POSTGRES)
		journal_ranges_forget(writer);
	return rc;
}

int journal_writer_send(struct journal_writer *writer)
{
	int rc = 0;

	if (writer->copy.len - (writer->copying ? writer->sent : 0) < PUT_BYTES)
		return 0;
	if (!writer->copying) {
		rc = begin_batch(writer);
		if (rc)
			return rc;
		rc = begin_copy(writer);
		if (rc && !writer->copying)
			return give_up(writer, rc);
	}
	if (!rc)
		rc = put_rows(writer);
	return rc ? give_up(writer, end_copy(writer, rc)) : 0;
}

bool journal_writer_is_sending(const struct journal_writer *writer)
{
	return writer->copying;
}

/* The parts as parallel arrays. */
struct part_arrays {
	int32_t *feeds, *topics, *partitions;
	int64_t *from, *to, *last_offsets, *last_times;
};

static struct part_arrays list_parts(const struct journal_writer *writer)
{
	size_t count = writer->part_count;
	struct part_arrays arrays = {
	    mem_alloc(count * sizeof(int32_t)), mem_alloc(count * sizeof(int32_t)),
	    mem_alloc(count * sizeof(int32_t)), mem_alloc(count * sizeof(int64_t)),
	    mem_alloc(count * sizeof(int64_t)), mem_alloc(count * sizeof(int64_t)),
	    mem_alloc(count * sizeof(int64_t)),
	};

	for (size_t i = 0; i < count; i++) {
		const struct journal_part *part = writer->parts[i];

		arrays.feeds[i] = part->feed_id;
		arrays.topics[i] = part->topic;
		arrays.partitions[i] = part->partition;
		arrays.from[i] = part->next;
		arrays.to[i] = part->reached;
		arrays.last_offsets[i] = part->last_offset;
		arrays.last_times[i] = part->last_time;
	}
	return arrays;
}

static void free_arrays(struct part_arrays *arrays)
{
	free(arrays->feeds);
	free(arrays->topics);
	free(arrays->partitions);
	free(arrays->from);
	free(arrays->to);
	free(arrays->last_offsets);
	free(arrays->last_times);
}

static int run_for_all(struct journal_writer *writer, const struct database_statement *statement,
		       const struct database_param *params, size_t count)
{
	struct database_result *result;
	int rc = database_run(writer->database, statement, params, count, &result);

	if (rc)
		return rc;
	if (database_result_touched(result) != writer->part_count)
		rc = ERROR_CONFLICT;
	database_result_free(result);
	return rc;
}

/* The offsets, and how far this time's range of each feed's table goes. */
static int move_offsets(struct journal_writer *writer)
{
	static const struct database_statement move = {
	    "journal_move",
	    "update journal_offset o set next_offset = b.new, last_offset = b.last_offset,"
	    "  last_time = b.last_time, updated_at = now()"
	    " from unnest($1::int[], $2::int[], $3::int[], $4::bigint[], $5::bigint[],"
	    "  $6::bigint[], $7::bigint[])"
	    "  as b (feed_id, topic, partition, old, new, last_offset, last_time)"
	    " where o.feed_id = b.feed_id and o.topic = b.topic and o.partition = b.partition"
	    "  and o.next_offset = b.old"};
	static const struct database_statement period = {
	    "journal_period",
	    "insert into journal_period (feed_id, starts_at, topic, partition, until_offset)"
	    " select b.feed_id, r.starts_at, b.topic, b.partition, b.until"
	    " from unnest($1::int[], $2::int[], $3::int[], $4::bigint[])"
	    "  as b (feed_id, topic, partition, until)"
	    " join journal_range r on r.feed_id = b.feed_id"
	    "  and r.starts_at <= now() and r.ends_at > now()"
	    " on conflict (feed_id, starts_at, topic, partition)"
	    " do update set until_offset = excluded.until_offset"};
	struct part_arrays arrays = list_parts(writer);
	size_t count = writer->part_count;
	struct database_param params[] = {
	    database_int4_array(&writer->scratch[0], arrays.feeds, count),
	    database_int4_array(&writer->scratch[1], arrays.topics, count),
	    database_int4_array(&writer->scratch[2], arrays.partitions, count),
	    database_int8_array(&writer->scratch[3], arrays.from, count),
	    database_int8_array(&writer->scratch[4], arrays.to, count),
	    database_int8_array(&writer->scratch[5], arrays.last_offsets, count),
	    database_int8_array(&writer->scratch[6], arrays.last_times, count),
	};
	int rc = run_for_all(writer, &move, params, 7);

	free_arrays(&arrays);
	if (rc)
		return rc;
	params[3] = params[4];
	return run_for_all(writer, &period, params, 4);
}

static int write_batch(struct journal_writer *writer)
{
	int rc = writer->copying ? 0 : begin_batch(writer);

	if (rc)
		return rc;
	/* The rows first: the offsets' locks are held for two statements then, not for as long as a
	 * writer takes that stops in the middle. */
	rc = copy_rows(writer);
	if (!rc)
		rc = move_offsets(writer);
	return rc ? give_up(writer, rc) : database_commit(writer->database);
}

int journal_writer_write(struct journal_writer *writer)
{
	int rc;

	if (!writer->part_count)
		return 0;
	qsort(writer->parts, writer->part_count, sizeof(writer->parts[0]), compare_parts);
	rc = write_batch(writer);
	if (!rc || rc == ERROR_CONFLICT)
		end_batch(writer, !rc);
	return rc;
}
