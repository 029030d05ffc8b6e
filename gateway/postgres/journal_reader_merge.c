/*
 * Each span has a run: rows that are fetched and not handed over yet. The next record is the least
 * of the runs' first ones; a run that is empty, and may have more, is fetched again before anything
 * else is handed over.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "journal_reader_priv.h"

/* Of one fetch, a span: the rows at the most, and at the least the bytes. */
enum { RUN_ROWS = 500, RUN_MIN_BYTES = 4096 };

/*
 * $1 feed, $2 topics, $3 partitions, $4 from, $5 until, $6 routes, $7 recorded at the earliest, $8
 * rows, $9 bytes. Each route has an index range of its own, so that the rows come in order without
 * a sort of all there are. That the journal has all of a span is seen in the same snapshot as its
 * rows: a span that it has not gives no row, one without events a row of nulls.
 */
const struct database_statement journal_reader_read_statement = {
    "journal_reader_read",
    "select r.n::integer, e.\"offset\", e.event_time, e.key, e.headers, e.value,"
    "  e.left_out, e.fetched::integer"
    " from unnest($2::integer[], $3::integer[], $4::bigint[], $5::bigint[])"
    "   with ordinality r(topic, partition, since, until, n)"
    " join journal_offset o"
    "   on o.feed_id = $1 and o.topic = r.topic and o.partition = r.partition"
    "   and o.first_offset <= r.since and o.next_offset >= r.until"
    " left join lateral ("
    "   select f.*, count(*) over () as fetched,"
    "     sum(f.bytes) over (order by f.\"offset\") - f.bytes as bytes_before"
    "   from ("
    "     select distinct on (j.\"offset\") j.*, coalesce(octet_length(j.key), 0)"
    "       + coalesce(octet_length(j.headers), 0) + coalesce(octet_length(j.value), 0)"
    "       + coalesce(octet_length(j.left_out), 0) as bytes"
    "     from unnest($6::bigint[]) k(route)"
    "     cross join lateral ("
    "       select \"offset\", event_time, key, headers, value, left_out"
    "       from journal_event"
    "       where feed_id = $1 and route = k.route and topic = r.topic"
    "         and partition = r.partition and \"offset\" >= r.since and \"offset\" < r.until"
    "         and recorded_at >= to_timestamp($7::bigint / 1000000.0)"
    "       order by \"offset\" limit $8::integer) j"
    "     order by j.\"offset\" limit $8::integer) f"
    " ) e on e.bytes_before < $9::bigint"
    " order by r.n, e.\"offset\""};

enum {
	COLUMN_SPAN,
	COLUMN_OFFSET,
	COLUMN_TIME,
	COLUMN_KEY,
	COLUMN_HEADERS,
	COLUMN_VALUE,
	COLUMN_LEFT_OUT,
	COLUMN_FETCHED
};

struct run {
	const struct database_result *rows;
	struct database_result *own; /* where the rows are this run's alone */
	size_t row, end;
	int64_t next; /* where to fetch on */
	bool more;    /* there may be */
	bool done;    /* progress was told */
};

struct merge {
	struct journal_reader *reader;
	const struct journal_selection *selection;
	const struct journal_span *spans;
	struct run *runs;
	size_t count;
	int32_t feed;
	int64_t recorded_us;
	struct database_result *first; /* of all runs */
	uint64_t budget;
	const struct journal_visitor *visitor;
	struct record_header *headers;
	struct route_keys routes;
};

static int fetch(struct merge *merge, const struct journal_span *spans, size_t count, size_t bytes,
		 struct database_result **result)
{
	struct journal_params arrays = {0};
	struct database_param params[9];
	int rc;

	params[0] = database_int4(merge->feed);
	journal_params_spans(&arrays, spans, count, params + 1);
	params[5] = journal_params_routes(&arrays, merge->selection->routes);
	params[6] = database_int8(merge->recorded_us);
	params[7] = database_int4(RUN_ROWS);
	params[8] = database_int8((int64_t)(bytes > RUN_MIN_BYTES ? bytes : RUN_MIN_BYTES));
	rc = database_run(merge->reader->database, &journal_reader_read_statement, params, 9,
			  result);
	journal_params_fini(&arrays);
	return rc;
}

/* Gives a run its rows, which begin at `*row`. ERROR_CONFLICT: it has none, not even one of nulls.
 */
static int take_run(struct run *run, const struct database_result *rows, int32_t number,
		    size_t *row)
{
	size_t count = database_result_count(rows), from = *row;
	int64_t fetched = 0;

	while (*row < count && database_get_int4(rows, *row, COLUMN_SPAN) == number)
		++*row;
	if (*row == from)
		return ERROR_CONFLICT;
	run->rows = rows;
	run->row = from;
	run->end = *row;
	if (database_is_null(rows, from, COLUMN_OFFSET))
		run->row = run->end;
	else
		fetched = database_get_int4(rows, from, COLUMN_FETCHED);
	run->more = fetched == RUN_ROWS || fetched > (int64_t)(run->end - run->row);
	if (run->row < run->end)
		run->next = database_get_int8(rows, run->end - 1, COLUMN_OFFSET) + 1;
	return 0;
}

static int fetch_all(struct merge *merge, size_t bytes)
{
	size_t row = 0;
	int rc = fetch(merge, merge->spans, merge->count, bytes / merge->count, &merge->first);

	for (size_t i = 0; i < merge->count && !rc; i++)
		rc = take_run(&merge->runs[i], merge->first, (int32_t)i + 1, &row);
	return rc;
}

static int fetch_more(struct merge *merge, size_t i, size_t bytes)
{
	struct run *run = &merge->runs[i];
	struct journal_span rest = merge->spans[i];
	struct database_result *rows;
	size_t row = 0;
	int rc;

	rest.from = run->next;
	rc = fetch(merge, &rest, 1, bytes, &rows);
	if (rc)
		return rc;
	database_result_free(run->own);
	run->own = rows;
	return take_run(run, rows, 1, &row);
}

/* Afterwards each run has a row, or its span is done. */
static int refill(struct merge *merge, size_t i, size_t bytes)
{
	struct run *run = &merge->runs[i];
	int rc;

	if (run->row < run->end || run->done)
		return 0;
	if (run->more && run->next < merge->spans[i].until) {
		rc = fetch_more(merge, i, bytes);
		if (rc || run->row < run->end)
			return rc;
	}
	run->done = true;
	merge->visitor->progress(merge->visitor->context, i, merge->spans[i].until);
	return 0;
}

static bool comes_before(const struct merge *merge, size_t a, size_t b)
{
	const struct run *left = &merge->runs[a], *right = &merge->runs[b];
	int64_t at = database_get_int8(left->rows, left->row, COLUMN_TIME);
	int64_t other = database_get_int8(right->rows, right->row, COLUMN_TIME);

	if (at != other)
		return at < other;
	if (merge->spans[a].topic != merge->spans[b].topic)
		return merge->spans[a].topic < merge->spans[b].topic;
	return merge->spans[a].partition < merge->spans[b].partition;
}

/* False: all is done. */
static bool find_least(const struct merge *merge, size_t *least)
{
	bool found = false;

	for (size_t i = 0; i < merge->count; i++) {
		if (merge->runs[i].done || (found && !comes_before(merge, i, *least)))
			continue;
		*least = i;
		found = true;
	}
	return found;
}

static int hand_over(struct merge *merge, size_t i)
{
	struct run *run = &merge->runs[i];
	const struct journal_span *span = &merge->spans[i];
	const struct database_result *rows = run->rows;
	size_t row = run->row++;
	struct slice headers = database_get_bytes(rows, row, COLUMN_HEADERS);
	int header_count = headers.base ? journal_headers_decode(headers, merge->headers) : 0;
	bool left_out = !database_is_null(rows, row, COLUMN_LEFT_OUT);
	const struct record record = {
	    .topic = slice_of(merge->selection->topics[span->topic]),
	    .partition = span->partition,
	    .offset = database_get_int8(rows, row, COLUMN_OFFSET),
	    .timestamp_ms = database_get_int8(rows, row, COLUMN_TIME),
	    .has_key = !database_is_null(rows, row, COLUMN_KEY),
	    .has_value = left_out || !database_is_null(rows, row, COLUMN_VALUE),
	    .key = database_get_bytes(rows, row, COLUMN_KEY),
	    .value = database_get_bytes(rows, row, COLUMN_VALUE),
	    .headers = merge->headers,
	    .header_count = (size_t)(header_count > 0 ? header_count : 0),
	    .left_out = left_out,
	    .routes = left_out ? &merge->routes : NULL,
	};

	if (header_count < 0 ||
	    (left_out &&
	     journal_routes_decode(database_get_bytes(rows, row, COLUMN_LEFT_OUT), &merge->routes)))
		return ERROR_INVALID;
	return merge->visitor->record(merge->visitor->context, i, &record) ? 0 : ERROR_CANCELLED;
}

static int run_merge(struct merge *merge, size_t bytes)
{
	size_t least = 0;
	int rc = fetch_all(merge, bytes);

	for (size_t i = 0; i < merge->count && !rc; i++)
		rc = refill(merge, i, bytes);
	while (!rc && find_least(merge, &least)) {
		if (!merge->budget)
			return ERROR_LIMIT;
		merge->budget--;
		rc = hand_over(merge, least);
		if (!rc)
			rc = refill(merge, least, bytes / 4);
	}
	return rc;
}

static void merge_fini(struct merge *merge)
{
	for (size_t i = 0; i < merge->count; i++)
		database_result_free(merge->runs[i].own);
	database_result_free(merge->first);
	free(merge->runs);
	free(merge->headers);
	route_keys_free(&merge->routes);
}

int journal_reader_read(struct journal_reader *reader, const struct journal_selection *selection,
			const struct journal_span *spans, size_t count, size_t bytes,
			uint64_t budget, const struct journal_visitor *visitor)
{
	struct merge merge = {
	    .reader = reader,
	    .selection = selection,
	    .spans = spans,
	    .count = count,
	    .recorded_us = INT64_MAX,
	    .budget = budget,
	    .visitor = visitor,
	};
	int rc;

	assert(count);
	rc = journal_reader_feed(reader, selection->feed_key, &merge.feed);
	if (rc)
		return rc == ERROR_NOT_FOUND ? ERROR_CONFLICT : rc;
	for (size_t i = 0; i < count; i++)
		if (spans[i].recorded_us < merge.recorded_us)
			merge.recorded_us = spans[i].recorded_us;
	merge.runs = mem_zalloc(count * sizeof(*merge.runs));
	merge.headers = mem_alloc(JOURNAL_MAX_HEADERS * sizeof(*merge.headers));
	rc = run_merge(&merge, bytes);
	merge_fini(&merge);
	return rc;
}
