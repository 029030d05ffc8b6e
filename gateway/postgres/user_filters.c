#include "postgres/user_filters.h"

#include "postgres/pages_priv.h"

#define COLUMNS                                                                                    \
	"filter_id, subject, stream,"                                                              \
	" case when octet_length(pattern::text) <= 65536 then pattern::text end,"                  \
	" to_char(created_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"

_Static_assert(USER_FILTERS_MAX_PATTERN_BYTES == 65536, "as in COLUMNS");

enum { ID, SUBJECT, STREAM, PATTERN, CREATED };

static const struct database_statement load = {
    "user_filters_load",
    "select " COLUMNS " from (select *, row_number() over"
    " (partition by subject, stream order by filter_id) as place"
    " from user_filter where subject = any($1)) as numbered"
    " where place <= $2 order by subject, stream, filter_id",
};
static const struct database_statement list = {
    "user_filters_list",
    "select " COLUMNS " from user_filter where filter_id > $1"
    " and ($2::text is null or subject = $2) order by filter_id limit $3",
};
/* The lock makes those who add for one subject and stream wait for each other: the count holds. */
static const struct database_statement lock = {
    "user_filters_lock",
    "select pg_advisory_xact_lock(hashtext('user_filter'), hashtext($1 || ' ' || $2)) is null",
};
static const struct database_statement add = {
    "user_filters_add",
    "insert into user_filter (subject, stream, pattern) select $1, $2, $3 where"
    " (select count(*) from user_filter where subject = $1 and stream = $2) < $4"
    " returning filter_id, pattern::text",
};
static const struct database_statement remove_row = {
    "user_filters_remove",
    "delete from user_filter where filter_id = $1",
};

static struct user_filters_row read_row(const struct database_result *result, size_t row)
{
	return (struct user_filters_row){
	    .id = database_get_int8(result, row, ID),
	    .subject = database_get_bytes(result, row, SUBJECT),
	    .stream = database_get_bytes(result, row, STREAM),
	    .pattern = database_get_bytes(result, row, PATTERN),
	    .created = database_get_bytes(result, row, CREATED),
	};
}

static void visit_rows(const struct database_result *result, user_filters_visit visit,
		       void *context)
{
	for (size_t i = 0; i < database_result_count(result); i++) {
		const struct user_filters_row row = read_row(result, i);

		visit(context, &row);
	}
}

int user_filters_load(struct database *database, const struct slice *subjects, size_t count,
		      uint32_t most, user_filters_visit visit, void *context)
{
	struct buffer scratch = {0};
	const struct database_param params[] = {database_text_array(&scratch, subjects, count),
						database_int8(most)};
	struct database_result *result;
	int rc = database_run(database, &load, params, 2, &result);

	if (!rc) {
		visit_rows(result, visit, context);
		database_result_free(result);
	}
	buffer_free(&scratch);
	return rc;
}

int user_filters_list(struct database *database, struct slice subject, user_filters_visit visit,
		      void *context)
{
	struct database_result *page = NULL;
	int rc;

	while (!(rc = pages_next(database, &list, subject, &page)) && page)
		visit_rows(page, visit, context);
	return rc;
}

int user_filters_add(struct database *database, const struct user_filters_row *row, uint32_t most,
		     int64_t *id, struct buffer *stored)
{
	const struct database_param params[] = {database_text(row->subject),
						database_text(row->stream),
						database_json(row->pattern), database_int8(most)};
	struct database_result *result;
	int rc = database_run(database, &lock, params, 2, NULL);

	if (!rc)
		rc = database_run(database, &add, params, 4, &result);
	if (rc)
		return rc;
	if (database_result_count(result)) {
		*id = database_get_int8(result, 0, 0);
		buffer_clear(stored);
		buffer_append_slice(stored, database_get_bytes(result, 0, 1));
	} else {
		rc = ERROR_LIMIT;
	}
	database_result_free(result);
	return rc;
}

int user_filters_remove(struct database *database, int64_t id)
{
	const struct database_param params[] = {database_int8(id)};
	struct database_result *result;
	uint64_t touched;
	int rc = database_run(database, &remove_row, params, 1, &result);

	if (rc)
		return rc;
	touched = database_result_touched(result);
	database_result_free(result);
	return touched ? 0 : ERROR_NOT_FOUND;
}
