#include "journal_reader_priv.h"

#include <stdlib.h>

#include "base/mem.h"

struct journal_reader *journal_reader_new(const struct postgres_settings *settings)
{
	struct journal_reader *reader = MEM_NEW(struct journal_reader);

	reader->database = database_new(settings, "sluice replay");
	return reader;
}

void journal_reader_free(struct journal_reader *reader)
{
	database_free(reader->database);
	free(reader);
}

void journal_reader_interrupt(struct journal_reader *reader)
{
	database_interrupt(reader->database);
}

const char *journal_reader_error(const struct journal_reader *reader)
{
	return database_error(reader->database);
}

int journal_reader_feed(struct journal_reader *reader, uint64_t key, int32_t *id)
{
	static const struct database_statement statement = {
	    "journal_reader_feed", "select feed_id from journal_feed where key = $1"};
	const struct database_param params[] = {database_int8((int64_t)key)};
	size_t slot = key % JOURNAL_READER_FEEDS;
	struct database_result *result;
	int rc;

	if (reader->feeds[slot].id && reader->feeds[slot].key == key) {
		*id = reader->feeds[slot].id;
		return 0;
	}
	rc = database_run(reader->database, &statement, params, 1, &result);
	if (rc)
		return rc;
	if (database_result_count(result)) {
		reader->feeds[slot].key = key;
		reader->feeds[slot].id = *id = database_get_int4(result, 0, 0);
	} else {
		rc = ERROR_NOT_FOUND;
	}
	database_result_free(result);
	return rc;
}

void journal_reader_forget_feed(struct journal_reader *reader, uint64_t key)
{
	reader->feeds[key % JOURNAL_READER_FEEDS].id = 0;
}

void journal_params_fini(struct journal_params *params)
{
	buffer_free(&params->topics);
	buffer_free(&params->partitions);
	buffer_free(&params->from);
	buffer_free(&params->until);
	buffer_free(&params->routes);
}

void journal_params_spans(struct journal_params *params, const struct journal_span *spans,
			  size_t count, struct database_param to[JOURNAL_SPAN_PARAMS])
{
	int32_t *topics = mem_alloc((count + 1) * sizeof(*topics));
	int32_t *partitions = mem_alloc((count + 1) * sizeof(*partitions));
	int64_t *from = mem_alloc((count + 1) * sizeof(*from));
	int64_t *until = mem_alloc((count + 1) * sizeof(*until));

	for (size_t i = 0; i < count; i++) {
		topics[i] = (int32_t)spans[i].topic;
		partitions[i] = spans[i].partition;
		from[i] = spans[i].from;
		until[i] = spans[i].until;
	}
	to[0] = database_int4_array(&params->topics, topics, count);
	to[1] = database_int4_array(&params->partitions, partitions, count);
	to[2] = database_int8_array(&params->from, from, count);
	to[3] = database_int8_array(&params->until, until, count);
	free(topics);
	free(partitions);
	free(from);
	free(until);
}

struct database_param journal_params_routes(struct journal_params *params,
					    const struct route_keys *routes)
{
	size_t count = routes ? routes->count : 1, at = 0, i = 0;
	int64_t *hashes = mem_alloc((count + 1) * sizeof(*hashes));
	struct database_param param;
	struct slice key;

	hashes[0] = JOURNAL_NO_ROUTE;
	while (routes && route_keys_next(routes, &at, &key))
		hashes[i++] = journal_route(key);
	param = database_int8_array(&params->routes, hashes, count);
	free(hashes);
	return param;
}

/* $1 feed, $2 topics, $3 partitions, $4 from. */
static const struct database_statement cover_statement = {
    "journal_reader_cover",
    "select r.n::integer, o.first_offset, o.next_offset,"
    "  (select (extract(epoch from min(p.starts_at)) * 1000000)::bigint"
    "   from journal_period p"
    "   where p.feed_id = o.feed_id and p.topic = o.topic and p.partition = o.partition"
    "     and p.until_offset > r.since)"
    " from unnest($2::integer[], $3::integer[], $4::bigint[])"
    "   with ordinality r(topic, partition, since, n)"
    " join journal_offset o"
    "   on o.feed_id = $1 and o.topic = r.topic and o.partition = r.partition"};

static void take_cover(const struct database_result *result, struct journal_span *spans)
{
	for (size_t row = 0; row < database_result_count(result); row++) {
		struct journal_span *span = &spans[database_get_int4(result, row, 0) - 1];

		span->first = database_get_int8(result, row, 1);
		span->next = database_get_int8(result, row, 2);
		/* Without a period: whenever it was. */
		if (!database_is_null(result, row, 3))
			span->recorded_us = database_get_int8(result, row, 3);
	}
}

int journal_reader_cover(struct journal_reader *reader, uint64_t feed_key,
			 struct journal_span *spans, size_t count)
{
	struct database_param params[1 + JOURNAL_SPAN_PARAMS];
	struct journal_params arrays = {0};
	struct database_result *result = NULL;
	int32_t feed;
	int rc = journal_reader_feed(reader, feed_key, &feed);

	if (!rc) {
		params[0] = database_int4(feed);
		journal_params_spans(&arrays, spans, count, params + 1);
		rc = database_run(reader->database, &cover_statement, params, 4, &result);
		journal_params_fini(&arrays);
	}
	if (rc && rc != ERROR_NOT_FOUND)
		return rc;
	if (result && !database_result_count(result))
		journal_reader_forget_feed(reader, feed_key);
	for (size_t i = 0; i < count; i++)
		spans[i].first = spans[i].next = spans[i].recorded_us = 0;
	if (result)
		take_cover(result, spans);
	database_result_free(result);
	return 0;
}
