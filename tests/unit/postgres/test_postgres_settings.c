#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/config.h"
#include "postgres/postgres_settings.h"

static int read_settings(const char *text, struct postgres_settings *settings, char **errors)
{
	struct config_errors found = {0};
	size_t len;
	FILE *out = open_memstream(errors, &len);
	int rc = config_read(&postgres_settings_table, settings, "dir/f", slice_of(text), &found);

	config_errors_print(&found, "f", out);
	config_errors_free(&found);
	fclose(out);
	return rc;
}

/* Without a url there is no PostgreSQL, and an empty one counts as none. */
static void test_postgres_settings_no_url_is_no_postgres(void **state)
{
	static const char *const texts[] = {
	    "{}", "{\"url\": \"\"}", "{\"url\": \"${NO_SUCH_VARIABLE:-}\", \"password\": \"\"}"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct postgres_settings settings;
		char *errors;

		assert_int_equal(read_settings(texts[i], &settings, &errors), 0);
		assert_null(settings.url);
		assert_null(settings.password);
		assert_int_equal(settings.connect_timeout_ms, 5000);
		assert_int_equal(settings.statement_timeout_ms, 10000);
		assert_false(settings.migrate);
		config_fini(&postgres_settings_table, &settings);
		free(errors);
	}
}

/* All that libpq reads is a url. */
static void test_postgres_settings_connection_strings_are_taken(void **state)
{
	static const char *const urls[] = {
	    "postgresql://",
	    "postgres://user:p%40ss%2Fword@db.example.com:5433/sluice?sslmode=verify-full",
	    "postgresql://user@[::1]:5432/db",
	    "postgresql://a,b:5433/db?target_session_attrs=read-write",
	    "postgresql:///db?host=%2Frun%2Fpostgresql",
	    "host=db user=sluice password='p@ss/word' dbname=sluice connect_timeout=3",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct postgres_settings settings;
		struct buffer text = {0};
		char *errors;

		buffer_append_text(&text, "{\"migrate\": true, \"url\": ");
		buffer_append_json_string(&text, slice_of(urls[i]));
		buffer_append_text(&text, "}");
		if (read_settings(buffer_text(&text), &settings, &errors))
			fail_msg("%s", errors);
		assert_string_equal(settings.url, urls[i]);
		assert_true(settings.migrate);
		config_fini(&postgres_settings_table, &settings);
		buffer_free(&text);
		free(errors);
	}
}

/* What libpq does not read, or not as it is meant, is refused without a word of what it says. */
static void test_postgres_settings_wrong_urls_are_refused_unseen(void **state)
{
	static const char *const urls[] = {
	    "geheim",
	    "mysql://user:geheim@host/db",
	    "host=db geheim",
	    "password='geheim",
	    "geheim=geheim",
	    "postgresql://user:geh/eim@host/db",
	    "postgresql://user:geh@geheim@host/db",
	    "postgresql://user:p@host:geheim/db",
	    "postgresql://user:p%geheim@host/db",
	    "postgresql://user:p%00geheim@host/db",
	    "postgresql://host/db?geheim=1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		struct postgres_settings settings;
		struct buffer text = {0};
		char *errors;

		buffer_append_text(&text, "{\"url\": ");
		buffer_append_json_string(&text, slice_of(urls[i]));
		buffer_append_text(&text, "}");
		if (read_settings(buffer_text(&text), &settings, &errors) != ERROR_INVALID)
			fail_msg("taken: %s", urls[i]);
		assert_non_null(strstr(errors, "f:1: /url: is no"));
		assert_null(strstr(errors, "geh"));
		buffer_free(&text);
		free(errors);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_postgres_settings_no_url_is_no_postgres),
	    cmocka_unit_test(test_postgres_settings_connection_strings_are_taken),
	    cmocka_unit_test(test_postgres_settings_wrong_urls_are_refused_unseen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
