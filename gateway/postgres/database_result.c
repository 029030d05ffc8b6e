#include <assert.h>
#include <endian.h>
#include <stdlib.h>

#include "base/mem.h"
#include "postgres/database.h"
#include "postgres/database_result_priv.h"

struct database_result {
	PGresult *rows;
};

struct database_result *database_result_new(PGresult *rows)
{
	struct database_result *result = MEM_NEW(struct database_result);

	result->rows = rows;
	return result;
}

void database_result_free(struct database_result *result)
{
	if (!result)
		return;
	PQclear(result->rows);
	free(result);
}

size_t database_result_count(const struct database_result *result)
{
	return (size_t)PQntuples(result->rows);
}

uint64_t database_result_touched(const struct database_result *result)
{
	return strtoull(PQcmdTuples(result->rows), NULL, 10);
}

bool database_is_null(const struct database_result *result, size_t row, size_t column)
{
	return PQgetisnull(result->rows, (int)row, (int)column);
}

struct slice database_get_bytes(const struct database_result *result, size_t row, size_t column)
{
	if (database_is_null(result, row, column))
		return (struct slice){NULL, 0};
	return (struct slice){PQgetvalue(result->rows, (int)row, (int)column),
			      (size_t)PQgetlength(result->rows, (int)row, (int)column)};
}

bool database_get_bool(const struct database_result *result, size_t row, size_t column)
{
	struct slice bytes = database_get_bytes(result, row, column);

	assert(!bytes.base || bytes.len == 1);
	return bytes.base && bytes.base[0];
}

/* smallint, integer or bigint; a null is 0. */
int64_t database_get_int8(const struct database_result *result, size_t row, size_t column)
{
	struct slice bytes = database_get_bytes(result, row, column);
	uint16_t two;
	uint32_t four;
	uint64_t eight;

	switch (bytes.len) {
	case 0:
		return 0;
	case sizeof(two):
		memcpy(&two, bytes.base, sizeof(two));
		return (int16_t)be16toh(two);
	case sizeof(four):
		memcpy(&four, bytes.base, sizeof(four));
		return (int32_t)be32toh(four);
	default:
		assert(bytes.len == sizeof(eight));
		memcpy(&eight, bytes.base, sizeof(eight));
		return (int64_t)be64toh(eight);
	}
}

int32_t database_get_int4(const struct database_result *result, size_t row, size_t column)
{
	int64_t value = database_get_int8(result, row, column);

	assert(value >= INT32_MIN && value <= INT32_MAX);
	return (int32_t)value;
}
