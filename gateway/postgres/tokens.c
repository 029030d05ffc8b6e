#include "postgres/tokens.h"

#include <assert.h>

#include "postgres/pages_priv.h"

/* Rows of revocations that are in memory at once. */
enum { PAGE_ROWS = 4096 };

static const char *const kinds[] = {[TOKENS_JTI] = "jti", [TOKENS_SUBJECT] = "subject"};

/* Also of 'infinity' and '-infinity', which an operator may write. */
#define MICROSECONDS(column)                                                                       \
	"case when " column " is not null then (extract(epoch from least(greatest(" column         \
	", timestamptz 'epoch'), timestamptz '9999-12-31 00:00:00Z')) * 1000000)::bigint end"
#define TIME(param) "timestamptz 'epoch' + " param "::bigint * interval '1 microsecond'"

/* One whose claims are too long is there, so that it can be listed and revoked. */
#define TOKEN_COLUMNS                                                                              \
	"token_id, sha256, subject,"                                                               \
	" case when octet_length(claims::text) <= 8192 then claims::text end, " MICROSECONDS(      \
	    "created_at") ", " MICROSECONDS("expires_at") ", " MICROSECONDS("revoked_at")

_Static_assert(TOKENS_MAX_CLAIMS_BYTES == 8192, "as in TOKEN_COLUMNS and in migrations/");

enum {
	TOKEN_ID,
	TOKEN_SHA256,
	TOKEN_SUBJECT,
	TOKEN_CLAIMS,
	TOKEN_CREATED,
	TOKEN_EXPIRES,
	TOKEN_REVOKED
};

static const struct database_statement create = {
    "tokens_create",
    "insert into token (sha256, subject, claims, expires_at)"
    " values ($1, $2, $3, " TIME("$4") ") returning token_id",
};
static const struct database_statement list = {
    "tokens_list",
    "select " TOKEN_COLUMNS " from token"
    " where token_id > $1 and ($2::text is null or subject = $2) order by token_id limit $3",
};
static const struct database_statement find = {
    "tokens_find",
    "select " TOKEN_COLUMNS " from token"
    " where sha256 in (select decode(hex, 'hex') from unnest($1::text[]) hex)",
};
static const struct database_statement revoke = {
    "tokens_revoke",
    "update token set revoked_at = coalesce(revoked_at, now()) where token_id = $1",
};
static const struct database_statement revoke_subject = {
    "tokens_revoke_subject",
    "update token set revoked_at = now() where subject = $1 and revoked_at is null",
};
/* A revocation that is there already is not cut short. */
static const struct database_statement add = {
    "tokens_add_revocation",
    "insert into revocation (kind, value, expires_at) values ($1, $2, " TIME(
	"$3") ")"
	      " on conflict (kind, value) do update set revoked_at = excluded.revoked_at,"
	      " expires_at = case when revocation.expires_at is null or excluded.expires_at is null"
	      " then null else greatest(revocation.expires_at, excluded.expires_at) end",
};

#define REVOCATION_COLUMNS                                                                         \
	"kind, value, " MICROSECONDS("revoked_at") ", " MICROSECONDS("expires_at")

enum { REVOCATION_KIND, REVOCATION_VALUE, REVOCATION_REVOKED, REVOCATION_EXPIRES };

static const struct database_statement list_revocations = {
    "tokens_list_revocations",
    "select " REVOCATION_COLUMNS " from revocation where (kind, value) > ($1, $2)"
    " and (expires_at is null or expires_at > now()) order by kind, value limit $3",
};
static const struct database_statement find_revocation = {
    "tokens_find_revocation",
    "select " REVOCATION_COLUMNS " from revocation where kind = $1 and value = $2"
    " and (expires_at is null or expires_at > now())",
};
static const struct database_statement remove_expired = {
    "tokens_remove_expired",
    "delete from revocation where expires_at <= now()",
};

static struct database_param time_param(int64_t us)
{
	return us == TOKENS_NEVER ? database_null() : database_int8(us);
}

static int64_t time_or_never(const struct database_result *result, size_t row, size_t column)
{
	if (database_is_null(result, row, column))
		return TOKENS_NEVER;
	return database_get_int8(result, row, column);
}

int tokens_create(struct database *database, const struct tokens_new *token, int64_t *id)
{
	const struct database_param params[] = {
	    database_bytes(token->sha256),
	    database_text(token->subject),
	    database_json(token->claims),
	    time_param(token->expires_us),
	};
	struct database_result *result;
	int rc = database_run(database, &create, params, 4, &result);

	if (rc)
		return rc;
	*id = database_get_int8(result, 0, 0);
	database_result_free(result);
	return 0;
}

static struct tokens_row read_row(const struct database_result *result, size_t row)
{
	return (struct tokens_row){
	    .id = database_get_int8(result, row, TOKEN_ID),
	    .sha256 = database_get_bytes(result, row, TOKEN_SHA256),
	    .subject = database_get_bytes(result, row, TOKEN_SUBJECT),
	    .claims = database_get_bytes(result, row, TOKEN_CLAIMS),
	    .created_us = database_get_int8(result, row, TOKEN_CREATED),
	    .expires_us = time_or_never(result, row, TOKEN_EXPIRES),
	    .revoked_us = time_or_never(result, row, TOKEN_REVOKED),
	};
}

static void visit_rows(const struct database_result *result, tokens_visit visit, void *context)
{
	for (size_t i = 0; i < database_result_count(result); i++) {
		const struct tokens_row row = read_row(result, i);

		visit(context, &row);
	}
}

int tokens_list(struct database *database, struct slice subject, tokens_visit visit, void *context)
{
	struct database_result *page = NULL;
	int rc;

	while (!(rc = pages_next(database, &list, subject, &page)) && page)
		visit_rows(page, visit, context);
	return rc;
}

static void append_hex(struct buffer *out, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		const char pair[] = {digits[bytes[i] >> 4], digits[bytes[i] & 15]};

		buffer_append(out, pair, sizeof(pair));
	}
}

int tokens_find(struct database *database, const uint8_t *sha256, size_t count, tokens_visit visit,
		void *context)
{
	enum { HEX_BYTES = 2 * TOKENS_SHA256_BYTES };
	struct slice digests[TOKENS_MAX_FOUND];
	struct buffer hex = {0}, scratch = {0};
	struct database_param params[1];
	struct database_result *result;
	int rc;

	assert(count <= TOKENS_MAX_FOUND);
	append_hex(&hex, sha256, count * TOKENS_SHA256_BYTES);
	for (size_t i = 0; i < count; i++)
		digests[i] = (struct slice){hex.base + i * HEX_BYTES, HEX_BYTES};
	params[0] = database_text_array(&scratch, digests, count);
	rc = database_run(database, &find, params, 1, &result);
	if (!rc) {
		visit_rows(result, visit, context);
		database_result_free(result);
	}
	buffer_free(&hex);
	buffer_free(&scratch);
	return rc;
}

static int run(struct database *database, const struct database_statement *statement,
	       const struct database_param *params, size_t count, uint64_t *touched)
{
	struct database_result *result;
	int rc = database_run(database, statement, params, count, &result);

	if (rc)
		return rc;
	*touched = database_result_touched(result);
	database_result_free(result);
	return 0;
}

int tokens_revoke(struct database *database, int64_t id)
{
	const struct database_param params[] = {database_int8(id)};
	uint64_t touched;
	int rc = run(database, &revoke, params, 1, &touched);

	return rc || touched ? rc : ERROR_NOT_FOUND;
}

int tokens_remove_expired(struct database *database, uint64_t *removed)
{
	return run(database, &remove_expired, NULL, 0, removed);
}

static int add_revocation(struct database *database, enum tokens_kind kind, struct slice value,
			  int64_t expires_us)
{
	const struct database_param params[] = {database_text(slice_of(kinds[kind])),
						database_text(value), time_param(expires_us)};
	uint64_t touched;
	int rc = tokens_remove_expired(database, &touched);

	return rc ? rc : run(database, &add, params, 3, &touched);
}

int tokens_revoke_jti(struct database *database, struct slice jti, int64_t expires_us)
{
	return add_revocation(database, TOKENS_JTI, jti, expires_us);
}

int tokens_revoke_subject(struct database *database, struct slice subject, int64_t expires_us,
			  uint64_t *tokens)
{
	const struct database_param params[] = {database_text(subject)};
	uint64_t touched;
	int rc = database_begin(database);

	if (rc)
		return rc;
	rc = add_revocation(database, TOKENS_SUBJECT, subject, expires_us);
	if (!rc)
		rc = run(database, &revoke_subject, params, 1, &touched);
	if (!rc)
		rc = database_commit(database);
	if (rc)
		database_rollback(database);
	else
		*tokens = touched;
	return rc;
}

static struct tokens_revocation read_revocation(const struct database_result *result, size_t row)
{
	struct slice kind = database_get_bytes(result, row, REVOCATION_KIND);

	return (struct tokens_revocation){
	    .kind = slice_equal(kind, slice_of(kinds[TOKENS_JTI])) ? TOKENS_JTI : TOKENS_SUBJECT,
	    .value = database_get_bytes(result, row, REVOCATION_VALUE),
	    .revoked_us = database_get_int8(result, row, REVOCATION_REVOKED),
	    .expires_us = time_or_never(result, row, REVOCATION_EXPIRES),
	};
}

/* A page; `*after` is the last result, which holds the place that the next page begins behind. */
static int list_page(struct database *database, struct database_result **after,
		     tokens_visit_revocation visit, void *context)
{
	size_t count = *after ? database_result_count(*after) : 0;
	const struct database_param params[] = {
	    database_text(count ? database_get_bytes(*after, count - 1, REVOCATION_KIND)
				: SLICE_LIT("")),
	    database_text(count ? database_get_bytes(*after, count - 1, REVOCATION_VALUE)
				: SLICE_LIT("")),
	    database_int4(PAGE_ROWS),
	};
	struct database_result *result;
	int rc = database_run(database, &list_revocations, params, 3, &result);

	if (rc)
		return rc;
	if (*after)
		database_result_free(*after);
	*after = result;
	for (size_t i = 0; i < database_result_count(result); i++) {
		const struct tokens_revocation revocation = read_revocation(result, i);

		visit(context, &revocation);
	}
	return 0;
}

int tokens_list_revocations(struct database *database, tokens_visit_revocation visit, void *context)
{
	struct database_result *after = NULL;
	int rc;

	do
		rc = list_page(database, &after, visit, context);
	while (!rc && database_result_count(after) == PAGE_ROWS);
	if (after)
		database_result_free(after);
	return rc;
}

int tokens_find_revocation(struct database *database, enum tokens_kind kind, struct slice value,
			   tokens_visit_revocation visit, void *context)
{
	const struct database_param params[] = {database_text(slice_of(kinds[kind])),
						database_text(value)};
	struct database_result *result;
	int rc = database_run(database, &find_revocation, params, 2, &result);

	if (rc)
		return rc;
	if (database_result_count(result)) {
		const struct tokens_revocation revocation = read_revocation(result, 0);

		visit(context, &revocation);
	}
	database_result_free(result);
	return 0;
}
