#include "journal_reader_priv.h"

#include <assert.h>

#include "base/utf8.h"

/* An event whose clock was further ahead of the journal's was delivered long before its time. */
#define CLOCKS_DIFFER_MS INT64_C(3600000)
/* The year 10000: what is no time of an event's, a producer may still have said. */
#define TIMES_END_MS INT64_C(253402300800000)

/* The same parameters as in journal_reader_merge.c up to $7; a span that the journal has not all of
 * gives no row. $8, $9, $10: the place. */
static const struct database_statement seek_statement = {
    "journal_reader_seek",
    "select r.n::integer, ("
    "   select min(e.\"offset\") from unnest($6::bigint[]) k(route)"
    "   cross join lateral ("
    "     select \"offset\" from journal_event"
    "     where feed_id = $1 and route = k.route and topic = r.topic"
    "       and partition = r.partition and \"offset\" >= r.since and \"offset\" < r.until"
    "       and recorded_at >= to_timestamp($7::bigint / 1000000.0)"
    "       and (event_time, r.topic, r.partition) > ($8::bigint, $9::integer, $10::integer)"
    "     order by \"offset\" limit 1) e)"
    " from unnest($2::integer[], $3::integer[], $4::bigint[], $5::bigint[])"
    "   with ordinality r(topic, partition, since, until, n)"
    " join journal_offset o"
    "   on o.feed_id = $1 and o.topic = r.topic and o.partition = r.partition"
    "   and o.first_offset <= r.since and o.next_offset >= r.until"};

/*
 * The newest $8 of all spans: of each partition those newest ones of which no later one has a
 * lower time, so that what is read from the first of them on is exactly them.
 */
static const struct database_statement last_statement = {
    "journal_reader_last",
    "with span as materialized ("
    "   select r.* from unnest($2::integer[], $3::integer[], $4::bigint[], $5::bigint[])"
    "     with ordinality r(topic, partition, since, until, n)"
    "   join journal_offset o"
    "     on o.feed_id = $1 and o.topic = r.topic and o.partition = r.partition"
    "     and o.first_offset <= r.since and o.next_offset >= r.until"
    " ), newest as materialized ("
    "   select f.n, f.\"offset\" from ("
    "     select r.n, r.topic, r.partition, e.\"offset\","
    "       min(e.event_time) over (partition by r.n order by e.\"offset\" desc) as event_time"
    "     from span r"
    "     cross join lateral ("
    "       select distinct on (j.\"offset\") j.* from unnest($6::bigint[]) k(route)"
    "       cross join lateral ("
    "         select \"offset\", event_time from journal_event"
    "         where feed_id = $1 and route = k.route and topic = r.topic"
    "           and partition = r.partition and \"offset\" >= r.since and \"offset\" < r.until"
    "           and recorded_at >= to_timestamp($7::bigint / 1000000.0)"
    "         order by \"offset\" desc limit $8::integer) j"
    "       order by j.\"offset\" desc limit $8::integer) e) f"
    "   order by f.event_time desc, f.topic desc, f.partition desc, f.\"offset\" desc"
    "   limit $8::integer"
    " ) select s.n::integer, min(w.\"offset\"), count(w.\"offset\")"
    "   from span s left join newest w on w.n = s.n group by s.n"};

/* What comes after `event_time` was recorded at the earliest then. */
static int64_t recorded_after(int64_t event_time, int64_t recorded_us)
{
	int64_t soonest_us = 0;

	if (event_time > 0 && event_time < TIMES_END_MS)
		soonest_us = (event_time - CLOCKS_DIFFER_MS) * 1000;
	return soonest_us > recorded_us ? soonest_us : recorded_us;
}

static int64_t recorded_since(const struct journal_span *spans, size_t count)
{
	int64_t recorded_us = INT64_MAX;

	for (size_t i = 0; i < count; i++)
		if (spans[i].recorded_us < recorded_us)
			recorded_us = spans[i].recorded_us;
	return recorded_us;
}

/* Every span has its row, or nothing is changed. The third column, where there is one, counts
 * events. */
static int take_offsets(const struct database_result *result, struct journal_span *spans,
			size_t count, uint64_t *found)
{
	uint64_t total = 0;

	if (database_result_count(result) < count)
		return ERROR_CONFLICT;
	for (size_t row = 0; row < count; row++) {
		struct journal_span *span = &spans[database_get_int4(result, row, 0) - 1];

		span->from = database_is_null(result, row, 1) ? span->until
							      : database_get_int8(result, row, 1);
		if (found)
			total += (uint64_t)database_get_int8(result, row, 2);
	}
	if (found)
		*found = total;
	return 0;
}

enum { PLACE_PARAMS = 3 };

/* `last` are the parameters from $8 on. `found` may be NULL. */
static int move_spans(struct journal_reader *reader, const struct database_statement *statement,
		      const struct journal_selection *selection, struct journal_span *spans,
		      size_t count, int64_t recorded_us, const struct database_param *last,
		      size_t last_count, uint64_t *found)
{
	struct database_param params[7 + PLACE_PARAMS];
	struct journal_params arrays = {0};
	struct database_result *result;
	int32_t feed;
	int rc = journal_reader_feed(reader, selection->feed_key, &feed);

	if (rc)
		return rc == ERROR_NOT_FOUND ? ERROR_CONFLICT : rc;
	params[0] = database_int4(feed);
	journal_params_spans(&arrays, spans, count, params + 1);
	params[5] = journal_params_routes(&arrays, selection->routes);
	params[6] = database_int8(recorded_us);
	for (size_t i = 0; i < last_count; i++)
		params[7 + i] = last[i];
	rc = database_run(reader->database, statement, params, 7 + last_count, &result);
	journal_params_fini(&arrays);
	if (rc)
		return rc;
	rc = take_offsets(result, spans, count, found);
	database_result_free(result);
	return rc;
}

int journal_reader_seek(struct journal_reader *reader, const struct journal_selection *selection,
			struct journal_span *spans, size_t count, const struct journal_place *place)
{
	const struct database_param last[PLACE_PARAMS] = {
	    database_int8(place->event_time),
	    database_int4((int32_t)place->topic),
	    database_int4(place->partition),
	};
	int64_t recorded_us = recorded_after(place->event_time, recorded_since(spans, count));
	int rc;

	rc = move_spans(reader, &seek_statement, selection, spans, count, recorded_us, last,
			PLACE_PARAMS, NULL);
	for (size_t i = 0; i < count && !rc; i++)
		if (spans[i].topic == place->topic && spans[i].partition == place->partition &&
		    place->offset >= spans[i].first && place->offset < spans[i].until)
			spans[i].from = place->offset + 1;
	return rc;
}

int journal_reader_last(struct journal_reader *reader, const struct journal_selection *selection,
			struct journal_span *spans, size_t count, uint32_t n, uint64_t *found)
{
	const struct database_param last[] = {database_int4((int32_t)n)};

	assert(n <= INT32_MAX);
	return move_spans(reader, &last_statement, selection, spans, count,
			  recorded_since(spans, count), last, 1, found);
}

/* $1 feed, $2 id. */
static const struct database_statement find_statement = {
    "journal_reader_find",
    "select event_time, topic::integer, partition, \"offset\" from journal_event"
    " where feed_id = $1 and event_id = $2"
    " order by recorded_at desc, event_time desc, \"offset\" desc limit 1"};

int journal_reader_find(struct journal_reader *reader, uint64_t feed_key, struct slice event_id,
			struct journal_place *place)
{
	struct database_param params[2];
	struct database_result *result;
	int32_t feed;
	int rc;

	if (event_id.len > JOURNAL_MAX_EVENT_ID || !utf8_is_valid(event_id))
		return ERROR_NOT_FOUND;
	rc = journal_reader_feed(reader, feed_key, &feed);
	if (rc)
		return rc;
	params[0] = database_int4(feed);
	params[1] = database_text(event_id);
	rc = database_run(reader->database, &find_statement, params, 2, &result);
	if (rc)
		return rc;
	if (database_result_count(result))
		*place = (struct journal_place){
		    .event_time = database_get_int8(result, 0, 0),
		    .topic = (uint32_t)database_get_int4(result, 0, 1),
		    .partition = database_get_int4(result, 0, 2),
		    .offset = database_get_int8(result, 0, 3),
		};
	else
		rc = ERROR_NOT_FOUND;
	database_result_free(result);
	return rc;
}
