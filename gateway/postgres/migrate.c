#include "postgres/migrate.h"

#include <assert.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "postgres/database_priv.h"
#include "postgres/migrate_files_priv.h"

/* What stands in this program, in the database, or in both. */
struct migration {
	int32_t number;
	const char *name;
	const struct migrate_file *file; /* NULL: this program does not know it */
	unsigned char sha256[SHA256_DIGEST_LENGTH];
	bool applied, changed;
	int64_t applied_at_ms;
};

struct plan {
	struct migration *migrations; /* by number */
	size_t count;
	struct database_result *rows; /* the names are in it */
};

/* "sluice" in ASCII: the advisory lock of those who migrate. */
#define LOCK_KEY "126943837217637"

static const char create_table[] =
    "create table if not exists sluice_migration ("
    " number integer primary key, name text not null, sha256 bytea not null,"
    " applied_at timestamptz not null default now())";

static const struct database_statement has_table = {
    "migrate_has_table", "select to_regclass('sluice_migration') is not null"};
static const struct database_statement list = {
    "migrate_list", "select number, name, sha256, (extract(epoch from applied_at) * 1000)::bigint"
		    " from sluice_migration order by number"};
static const struct database_statement record = {
    "migrate_record", "insert into sluice_migration (number, name, sha256) values ($1, $2, $3)"};

static struct slice digest_of(const struct migration *migration)
{
	return (struct slice){(const char *)migration->sha256, sizeof(migration->sha256)};
}

static struct migration *add_migration(struct plan *plan, int32_t number, const char *name)
{
	struct migration *migration;

	plan->migrations =
	    mem_realloc(plan->migrations, (plan->count + 1) * sizeof(plan->migrations[0]));
	migration = &plan->migrations[plan->count++];
	*migration = (struct migration){.number = number, .name = name};
	return migration;
}

static void add_files(struct plan *plan)
{
	for (const struct migrate_file *file = migrate_files; file->name; file++) {
		struct migration *migration =
		    add_migration(plan, (int32_t)strtol(file->name, NULL, 10), file->name);

		assert(plan->count == 1 || migration[-1].number < migration->number);
		migration->file = file;
		SHA256((const unsigned char *)file->begin, (size_t)(file->end - file->begin),
		       migration->sha256);
	}
}

static struct migration *find_migration(struct plan *plan, int32_t number)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->migrations[i].number == number)
			return &plan->migrations[i];
	return NULL;
}

static void add_row(struct plan *plan, const struct database_result *rows, size_t row)
{
	int32_t number = database_get_int4(rows, row, 0);
	const char *name = database_get_bytes(rows, row, 1).base;
	struct migration *migration = find_migration(plan, number);

	if (!migration)
		migration = add_migration(plan, number, name);
	migration->applied = true;
	migration->applied_at_ms = database_get_int8(rows, row, 3);
	migration->changed = strcmp(migration->name, name) ||
			     !slice_equal(digest_of(migration), database_get_bytes(rows, row, 2));
}

static int compare(const void *a, const void *b)
{
	const struct migration *first = a, *second = b;

	return (first->number > second->number) - (first->number < second->number);
}

static int load_rows(struct database *database, struct database_result **rows)
{
	struct database_result *answer;
	int rc = database_run(database, &has_table, NULL, 0, &answer);
	bool is_there;

	if (rc)
		return rc;
	is_there = database_get_bool(answer, 0, 0);
	database_result_free(answer);
	return is_there ? database_run(database, &list, NULL, 0, rows) : 0;
}

static int load_plan(struct database *database, struct plan *plan)
{
	int rc;

	*plan = (struct plan){0};
	rc = load_rows(database, &plan->rows);
	if (rc)
		return rc;
	add_files(plan);
	for (size_t i = 0; plan->rows && i < database_result_count(plan->rows); i++)
		add_row(plan, plan->rows, i);
	qsort(plan->migrations, plan->count, sizeof(plan->migrations[0]), compare);
	return 0;
}

static void free_plan(struct plan *plan)
{
	free(plan->migrations);
	database_result_free(plan->rows);
}

/* NULL: it is as it should be, or missing. */
static const char *conflict_of(const struct migration *migration)
{
	if (!migration->file)
		return "is in the database, but this program does not know it: run a newer one";
	if (migration->changed)
		return "was changed after it was applied: put it back and add a new one";
	return NULL;
}

static int check_plan(const struct plan *plan, char why[512])
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct migration *migration = &plan->migrations[i];

		if (!conflict_of(migration))
			continue;
		snprintf(why, 512, "migration %.64s %s", migration->name, conflict_of(migration));
		return ERROR_CONFLICT;
	}
	return 0;
}

static int run_file(struct database *database, const struct migration *migration)
{
	const struct database_param params[] = {database_int4(migration->number),
						database_text(slice_of(migration->name)),
						database_bytes(digest_of(migration))};
	const struct migrate_file *file = migration->file;
	char *sql = mem_strndup(file->begin, (size_t)(file->end - file->begin));
	int rc = database_execute(database, sql);

	free(sql);
	return rc ? rc : database_run(database, &record, params, 3, NULL);
}

static int apply(struct database *database, const struct migration *migration, char why[512])
{
	int rc = database_begin(database);

	if (!rc)
		rc = run_file(database, migration);
	if (!rc)
		rc = database_commit(database);
	if (rc) {
		snprintf(why, 512, "migration %.64s: %.400s", migration->name,
			 database_error(database));
		database_rollback(database);
		return rc;
	}
	log_event(LOG_INFO, "migrate", "applied", LOG_STR("migration", migration->name));
	return 0;
}

static int apply_missing(struct database *database, unsigned *applied, char why[512])
{
	struct plan plan;
	unsigned done = 0;
	int rc = load_plan(database, &plan);

	if (rc)
		return rc;
	rc = check_plan(&plan, why);
	for (size_t i = 0; !rc && i < plan.count; i++) {
		if (plan.migrations[i].applied)
			continue;
		rc = apply(database, &plan.migrations[i], why);
		done++;
	}
	free_plan(&plan);
	if (!rc)
		*applied = done;
	return rc;
}

static int apply_locked(struct database *database, unsigned *applied, char why[512])
{
	int rc = database_execute(database, "select pg_advisory_lock(" LOCK_KEY ")");

	if (!rc)
		rc = database_execute(database, create_table);
	if (!rc)
		rc = apply_missing(database, applied, why);
	return rc;
}

int migrate_apply(struct database *database, unsigned *applied, char why[512])
{
	int rc;

	why[0] = '\0';
	rc = database_set_patient(database, true);
	if (!rc)
		rc = apply_locked(database, applied, why);
	if (rc && !why[0])
		snprintf(why, 512, "%s", database_error(database));
	/* With the session go its lock and its patience. */
	database_drop(database);
	return rc;
}

static const char *state_of(const struct migration *migration, char when[25])
{
	if (!migration->file)
		return "unknown";
	if (migration->changed)
		return "changed";
	if (!migration->applied)
		return "missing";
	clock_format_rfc3339(migration->applied_at_ms, when);
	return when;
}

int migrate_print_status(struct database *database, FILE *out, char why[512])
{
	struct plan plan;
	unsigned missing = 0;
	int rc = load_plan(database, &plan);

	if (rc) {
		snprintf(why, 512, "%s", database_error(database));
		return rc;
	}
	for (size_t i = 0; i < plan.count; i++) {
		const struct migration *migration = &plan.migrations[i];
		char when[25];

		fprintf(out, "%04d %s %s\n", migration->number, migration->name,
			state_of(migration, when));
		missing += !migration->applied;
	}
	rc = check_plan(&plan, why);
	if (!rc && missing) {
		snprintf(why, 512, "%u migrations are missing: run sluice migrate", missing);
		rc = ERROR_CONFLICT;
	}
	free_plan(&plan);
	return rc;
}
