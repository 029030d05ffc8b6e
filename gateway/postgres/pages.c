#include "postgres/pages_priv.h"

enum { PAGE_ROWS = 1000 };

int pages_next(struct database *database, const struct database_statement *statement,
	       struct slice subject, struct database_result **page)
{
	size_t count = *page ? database_result_count(*page) : 0;
	int64_t last_id = count ? database_get_int8(*page, count - 1, 0) : 0;
	bool was_last = *page && count < PAGE_ROWS;
	const struct database_param params[] = {database_int8(last_id), database_text(subject),
						database_int4(PAGE_ROWS)};

	if (*page)
		database_result_free(*page);
	*page = NULL;
	return was_last ? 0 : database_run(database, statement, params, 3, page);
}
