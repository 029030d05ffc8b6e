/* On a real PostgreSQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "postgres/cursors.h"
#include "unit/postgres/cluster.h"

enum { PER_SUBJECT = 3 };

static struct database *database;

static int open_cluster(void **state)
{
	if (cluster_open_migrated(state))
		return -1;
	database = database_new(&cluster.settings, "sluice test");
	return 0;
}

static int close_cluster(void **state)
{
	database_free(database);
	return cluster_close(state);
}

static int empty_table(void **state)
{
	(void)state;
	return database_execute(database, "truncate stream_cursor");
}

static struct cursors_key key_of(const char *subject, const char *stream, const char *name,
				 const char *parameters)
{
	return (struct cursors_key){slice_of(subject), slice_of(stream), slice_of(name),
				    slice_of(parameters)};
}

/* Where it stands, "" for nowhere; static until the next call. */
static const char *claim(const struct cursors_key *key, const char *event_id, int64_t *generation)
{
	static char text[256];
	struct buffer stored = {0};

	cluster_must(database,
		     cursors_claim(database, key,
				   event_id ? slice_of(event_id) : (struct slice){NULL, 0},
				   PER_SUBJECT, generation, &stored));
	strcpy(text, buffer_text(&stored));
	buffer_free(&stored);
	return text;
}

static uint64_t save(int64_t generation, const char *event_id)
{
	const struct slice id = slice_of(event_id);
	uint64_t saved = 99;

	cluster_must(database, cursors_save(database, &generation, &id, 1, &saved));
	return saved;
}

/* What was saved last is where the next claim finds it; a new one stands nowhere. */
static void test_cursors_saved_are_found_by_the_next_claim(void **state)
{
	const struct cursors_key key = key_of("ada", "orders", "page", "{}");
	int64_t first, second;

	(void)state;
	assert_string_equal(claim(&key, NULL, &first), "");
	assert_int_equal(save(first, "A"), 1);
	assert_int_equal(save(first, "B"), 1);
	assert_string_equal(claim(&key, NULL, &second), "B");
	assert_true(first > 0 && second > first);
}

/* An id that the client brought is where the cursor stands from then on. */
static void test_cursors_claimed_with_an_id_stand_there(void **state)
{
	const struct cursors_key key = key_of("ada", "orders", "page", "{}");
	int64_t generation;

	(void)state;
	assert_string_equal(claim(&key, "X", &generation), "X");
	assert_string_equal(claim(&key, NULL, &generation), "X");
	assert_string_equal(claim(&key, "Y", &generation), "Y");
	assert_string_equal(claim(&key, NULL, &generation), "Y");
}

/* Only the stream that claimed last saves; one that was deleted does not come back, not even when
 * it is claimed anew. */
static void test_cursors_of_an_older_claim_are_not_saved(void **state)
{
	const struct cursors_choice ada = {.subject = "ada"};
	const struct cursors_key key = key_of("ada", "orders", "page", "{}");
	int64_t first, second, third;
	uint64_t deleted;

	(void)state;
	claim(&key, NULL, &first);
	claim(&key, NULL, &second);
	assert_int_equal(save(second, "new"), 1);
	assert_int_equal(save(first, "old"), 0);
	cluster_must(database, cursors_delete(database, &ada, &deleted));
	assert_int_equal(deleted, 1);
	assert_int_equal(save(second, "new"), 0);
	assert_string_equal(claim(&key, NULL, &third), "");
	assert_int_equal(save(second, "new"), 0);
	assert_int_equal(save(first, "old"), 0);
}

/* Subject, stream, name and parameters each tell cursors apart; any text is a name. */
static void test_cursors_are_told_apart_by_every_part_of_the_key(void **state)
{
	const struct cursors_key keys[] = {
	    key_of("ada", "orders", "page", "{}"),
	    key_of("bob", "orders", "page", "{}"),
	    key_of("ada", "prices", "page", "{}"),
	    key_of("ada", "orders", "page'; drop table stream_cursor; --", "{}"),
	    key_of("ada", "orders", "page", "{\"path\":{\"topic\":\"a\"}}"),
	    key_of("\xf0\x9f\x90\xa6", "orders", "\xe2\x82\xac %\\\"", "{}"),
	};
	enum { COUNT = sizeof(keys) / sizeof(keys[0]) };
	int64_t generations[COUNT], again;
	char id[2] = "a";

	(void)state;
	for (size_t i = 0; i < COUNT; i++) {
		struct buffer stored = {0};

		cluster_must(database, cursors_claim(database, &keys[i], (struct slice){NULL, 0},
						     100, &generations[i], &stored));
		assert_int_equal(stored.len, 0);
		id[0] = (char)('a' + i);
		assert_int_equal(save(generations[i], id), 1);
	}
	for (size_t i = 0; i < COUNT; i++) {
		id[0] = (char)('a' + i);
		assert_string_equal(claim(&keys[i], NULL, &again), id);
	}
}

/* Many are saved by one statement; those that somebody else has claimed since are left out. */
static void test_cursors_are_saved_together(void **state)
{
	enum { COUNT = 500 };
	static int64_t generations[COUNT];
	static struct slice ids[COUNT];
	int64_t newer;
	uint64_t saved;
	char subject[32];

	(void)state;
	for (int i = 0; i < COUNT; i++) {
		snprintf(subject, sizeof(subject), "user-%d", i);
		const struct cursors_key key = key_of(subject, "orders", "page", "{}");

		claim(&key, NULL, &generations[i]);
		if (i % 5 == 0)
			claim(&key, NULL, &newer);
		ids[i] = SLICE_LIT("here");
	}
	cluster_must(database, cursors_save(database, generations, ids, COUNT, &saved));
	assert_int_equal(saved, COUNT - COUNT / 5);
	assert_int_equal(cluster_ask("select count(*) from stream_cursor where event_id = 'here'"),
			 COUNT - COUNT / 5);
}

/* A subject has so many cursors and no more; those that it has go on. */
static void test_cursors_beyond_the_limit_of_a_subject_are_refused(void **state)
{
	char name[2] = "a";
	int64_t generation = 7;
	struct buffer stored = {0};
	struct cursors_key key;

	(void)state;
	for (int i = 0; i < PER_SUBJECT; i++, name[0]++) {
		key = key_of("ada", "orders", name, "{}");
		claim(&key, "X", &generation);
	}
	const struct cursors_key others[] = {key_of("ada", "orders", name, "{}"),
					     key_of("ada", "prices", "a", "{}"),
					     key_of("ada", "orders", "a", "{\"query\":{}}")};

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(cursors_claim(database, &others[i], (struct slice){NULL, 0},
					       PER_SUBJECT, &generation, &stored),
				 ERROR_LIMIT);
	assert_int_equal(stored.len, 0);
	key = key_of("ada", "orders", "a", "{}");
	assert_string_equal(claim(&key, NULL, &generation), "X");
	key = key_of("bob", "orders", name, "{}");
	assert_string_equal(claim(&key, NULL, &generation), "");
}

/* Those that nobody used for so long are deleted, a bounded number at a time. */
static void test_cursors_unused_are_forgotten_in_batches(void **state)
{
	uint64_t forgotten;

	(void)state;
	cluster_must(
	    database,
	    database_execute(
		database,
		"insert into stream_cursor (subject, stream, name, parameters_hash, parameters,"
		" generation, updated_at) select 's' || i, 'orders', 'page', 0, '{}', i,"
		" now() - case when i <= 25 then interval '31 days' else interval '29 days' end"
		" from generate_series(1, 30) i"));
	cluster_must(database, cursors_forget(database, UINT64_C(30) * 86400000, 20, &forgotten));
	assert_int_equal(forgotten, 20);
	cluster_must(database, cursors_forget(database, UINT64_C(30) * 86400000, 20, &forgotten));
	assert_int_equal(forgotten, 5);
	cluster_must(database, cursors_forget(database, UINT64_C(30) * 86400000, 20, &forgotten));
	assert_int_equal(forgotten, 0);
	assert_int_equal(cluster_ask("select count(*) from stream_cursor"), 5);
}

static void assert_listed(const struct cursors_choice *choice, const char *expected)
{
	char *text = NULL, *line, *rest;
	size_t len = 0;
	struct buffer names = {0};
	FILE *out = open_memstream(&text, &len);

	cluster_must(database, cursors_print(database, choice, out));
	fclose(out);
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		json_t *row = json_loads(line, 0, NULL);

		assert_non_null(row);
		assert_int_equal(json_string_length(json_object_get(row, "updated")), 24);
		buffer_append_format(&names, "%s/%s/%s=%s ",
				     json_string_value(json_object_get(row, "subject")),
				     json_string_value(json_object_get(row, "stream")),
				     json_string_value(json_object_get(row, "name")),
				     json_string_value(json_object_get(row, "event_id")));
		json_decref(row);
	}
	assert_string_equal(buffer_text(&names), expected);
	buffer_free(&names);
	free(text);
}

/* A list and a deletion are narrowed by what is said; each line of a list is JSON. */
static void test_cursors_are_listed_and_deleted_by_choice(void **state)
{
	const struct cursors_key keys[] = {
	    key_of("bob", "orders", "page", "{}"),
	    key_of("ada", "prices", "a\"b", "{}"),
	    key_of("ada", "orders", "page", "{}"),
	};
	const struct cursors_choice all = {NULL}, ada = {.subject = "ada"},
				    orders = {.stream = "orders"}, nobody = {.subject = "eve"},
				    one = {"ada", "orders", "page"};
	int64_t generation;
	uint64_t deleted;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		claim(&keys[i], i ? "X" : NULL, &generation);
	assert_listed(&all, "ada/orders/page=X ada/prices/a\"b=X bob/orders/page= ");
	assert_listed(&ada, "ada/orders/page=X ada/prices/a\"b=X ");
	assert_listed(&orders, "ada/orders/page=X bob/orders/page= ");
	assert_listed(&nobody, "");
	cluster_must(database, cursors_delete(database, &nobody, &deleted));
	assert_int_equal(deleted, 0);
	cluster_must(database, cursors_delete(database, &one, &deleted));
	assert_int_equal(deleted, 1);
	assert_listed(&all, "ada/prices/a\"b=X bob/orders/page= ");
}

#define TEST(name) cmocka_unit_test_setup(name, empty_table)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_cursors_saved_are_found_by_the_next_claim),
	    TEST(test_cursors_claimed_with_an_id_stand_there),
	    TEST(test_cursors_of_an_older_claim_are_not_saved),
	    TEST(test_cursors_are_told_apart_by_every_part_of_the_key),
	    TEST(test_cursors_are_saved_together),
	    TEST(test_cursors_beyond_the_limit_of_a_subject_are_refused),
	    TEST(test_cursors_unused_are_forgotten_in_batches),
	    TEST(test_cursors_are_listed_and_deleted_by_choice),
	};

	return cmocka_run_group_tests(tests, open_cluster, close_cluster);
}
