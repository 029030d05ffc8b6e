#include "postgres/cursors.h"

#include "event/pattern.h"

static const struct database_statement claim = {
    "cursors_claim",
    "insert into stream_cursor as c"
    "  (subject, stream, name, parameters_hash, parameters, generation, event_id)"
    " select $1, $2, $3, $4, $5, nextval('stream_cursor_generation'), $6"
    "  where exists (select from stream_cursor"
    "    where subject = $1 and stream = $2 and name = $3 and parameters_hash = $4)"
    "  or (select count(*) from stream_cursor where subject = $1) < $7"
    " on conflict (subject, stream, name, parameters_hash) do update"
    "  set generation = excluded.generation, updated_at = now(),"
    "    event_id = coalesce(excluded.event_id, c.event_id)"
    " returning c.generation, c.event_id"};

int cursors_claim(struct database *database, const struct cursors_key *key, struct slice event_id,
		  uint32_t per_subject, int64_t *generation, struct buffer *stored)
{
	const struct database_param params[] = {
	    database_text(key->subject),
	    database_text(key->stream),
	    database_text(key->name),
	    database_int8((int64_t)route_key_stable_hash(key->parameters)),
	    database_text(key->parameters),
	    database_text(event_id),
	    database_int8(per_subject),
	};
	struct database_result *result;
	int rc =
	    database_run(database, &claim, params, sizeof(params) / sizeof(params[0]), &result);

	if (rc)
		return rc;
	if (database_result_count(result)) {
		*generation = database_get_int8(result, 0, 0);
		buffer_append_slice(stored, database_get_bytes(result, 0, 1));
	} else {
		rc = ERROR_LIMIT;
	}
	database_result_free(result);
	return rc;
}

/* Only one stream can hold a generation, so two of these never lock the same row. */
static const struct database_statement save = {
    "cursors_save", "update stream_cursor c set event_id = s.event_id, updated_at = now()"
		    " from unnest($1::bigint[], $2::text[]) s(generation, event_id)"
		    " where c.generation = s.generation"};

int cursors_save(struct database *database, const int64_t *generations,
		 const struct slice *event_ids, size_t count, uint64_t *saved)
{
	struct buffer numbers = {0}, texts = {0};
	const struct database_param params[] = {
	    database_int8_array(&numbers, generations, count),
	    database_text_array(&texts, event_ids, count),
	};
	struct database_result *result;
	int rc = database_run(database, &save, params, 2, &result);

	if (!rc) {
		*saved = database_result_touched(result);
		database_result_free(result);
	}
	buffer_free(&numbers);
	buffer_free(&texts);
	return rc;
}

/* Those that another replica deletes, or saves after all, are passed over. */
static const struct database_statement forget = {
    "cursors_forget", "delete from stream_cursor where generation in ("
		      "  select generation from stream_cursor"
		      "  where updated_at < now() - $1 * interval '1 millisecond'"
		      "  limit $2 for update skip locked)"};

int cursors_forget(struct database *database, uint64_t unused_ms, uint32_t limit,
		   uint64_t *forgotten)
{
	const struct database_param params[] = {
	    database_int8((int64_t)unused_ms),
	    database_int8(limit),
	};
	struct database_result *result;
	int rc = database_run(database, &forget, params, 2, &result);

	if (rc)
		return rc;
	*forgotten = database_result_touched(result);
	database_result_free(result);
	return 0;
}

static struct database_param chosen(const char *text)
{
	return text ? database_text(slice_of(text)) : database_text((struct slice){0});
}

#define CHOICE                                                                                     \
	" where ($1::text is null or subject = $1) and ($2::text is null or stream = $2)"          \
	" and ($3::text is null or name = $3)"
#define RFC3339 "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'"

static const struct database_statement list = {
    "cursors_list", "select subject, stream, name, parameters, coalesce(event_id, ''),"
		    " to_char(created_at at time zone 'UTC', " RFC3339 "),"
		    " to_char(updated_at at time zone 'UTC', " RFC3339 ")"
		    " from stream_cursor" CHOICE " order by subject, stream, name, parameters"};

static void append_member(struct buffer *line, const char *name, struct slice text)
{
	buffer_append_format(line, "%s\"%s\":", line->len ? "," : "{", name);
	buffer_append_json_string(line, text);
}

static void print_row(const struct database_result *result, size_t row, struct buffer *line,
		      FILE *out)
{
	static const char *const names[] = {"subject",  "stream",  "name",   "parameters",
					    "event_id", "created", "updated"};

	buffer_clear(line);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		append_member(line, names[i], database_get_bytes(result, row, i));
	fprintf(out, "%s}\n", buffer_text(line));
}

int cursors_print(struct database *database, const struct cursors_choice *choice, FILE *out)
{
	const struct database_param params[] = {chosen(choice->subject), chosen(choice->stream),
						chosen(choice->name)};
	struct buffer line = {0};
	struct database_result *result;
	int rc = database_run(database, &list, params, 3, &result);

	if (rc)
		return rc;
	for (size_t i = 0; i < database_result_count(result); i++)
		print_row(result, i, &line, out);
	buffer_free(&line);
	database_result_free(result);
	return 0;
}

static const struct database_statement delete_chosen = {"cursors_delete",
							"delete from stream_cursor" CHOICE};

int cursors_delete(struct database *database, const struct cursors_choice *choice,
		   uint64_t *deleted)
{
	const struct database_param params[] = {chosen(choice->subject), chosen(choice->stream),
						chosen(choice->name)};
	struct database_result *result;
	int rc = database_run(database, &delete_chosen, params, 3, &result);

	if (rc)
		return rc;
	*deleted = database_result_touched(result);
	database_result_free(result);
	return 0;
}
