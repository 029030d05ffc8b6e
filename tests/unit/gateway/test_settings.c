#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "settings.h"

/* These run in the folder of the checkout. */
#define SCHEMA_FILE    "conf/sluice.schema.json"
#define REFERENCE_FILE "conf/README.md"

static char *errors_of(const char *file, const char *text)
{
	struct config_errors errors = {0};
	struct settings settings;
	char *printed;
	size_t len;
	FILE *out = open_memstream(&printed, &len);

	if (settings_read(file, slice_of(text), &settings, &errors) == 0)
		settings_free(&settings);
	config_errors_print(&errors, file, out);
	config_errors_free(&errors);
	fclose(out);
	return printed;
}

static struct settings read_settings(const char *text)
{
	struct config_errors errors = {0};
	struct settings settings;

	if (settings_read("dir/f", slice_of(text), &settings, &errors)) {
		config_errors_print(&errors, "f", stderr);
		fail_msg("refused: %s", text);
	}
	return settings;
}

static char *read_text_file(const char *path)
{
	FILE *file = fopen(path, "r");
	struct buffer text = {0};
	size_t got;

	if (!file)
		fail_msg("%s is not there", path);
	while ((got = fread(buffer_reserve(&text, 4096), 1, 4096, file)) > 0)
		text.len += got;
	fclose(file);
	buffer_text(&text);
	return text.base;
}

static char *printed(void (*print)(FILE *out))
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	print(out);
	fclose(out);
	return text;
}

/* A file that only has streams listens on 8080, reads from localhost and accepts no token. */
static void test_settings_smallest_file_has_defaults(void **state)
{
	struct settings settings = read_settings("{\"streams\": {}}");

	(void)state;
	assert_true(settings.server_id[0]);
	assert_int_equal(settings.http.listener_count, 1);
	assert_string_equal(settings.http.listeners[0].address, "0.0.0.0");
	assert_int_equal(settings.http.listeners[0].port, 8080);
	assert_null(settings.http.listeners[0].certificate_file);
	assert_true(settings.http.listeners[0].streams && settings.http.listeners[0].page &&
		    settings.http.listeners[0].admin);
	assert_int_equal(settings.http.loops, 0);
	assert_int_equal(settings.http.max_head_bytes, 64 << 10);
	assert_int_equal(settings.http.drain_ms, 10000);
	assert_int_equal(settings.http.cors_origin_count, 0);
	assert_int_equal(settings.kafka.property_count, 1);
	assert_string_equal(settings.kafka.properties[0].value, "localhost:9092");
	assert_int_equal(settings.kafka.warm_ms, 300000);
	assert_int_equal(settings.kafka.replay_readers, 4);
	assert_int_equal(settings.replay.workers, 4);
	assert_int_equal(settings.replay.chunk_bytes, 256 << 10);
	assert_int_equal(settings.replay.chunks, 64);
	assert_int_equal(settings.auth.issuer_count, 0);
	assert_true(settings.auth.query);
	assert_null(settings.auth.cookie);
	assert_int_equal(settings.auth.leeway_ms, 30000);
	assert_int_equal(settings.log_level, LOG_INFO);
	settings_free(&settings);
}

/* Each part of a whole file arrives where the modules look for it. */
static void test_settings_whole_file_is_read(void **state)
{
	struct settings settings = read_settings(
	    "{\"server_id\": \"gw-1\", \"listeners\": [{\"address\": \"::1\", \"port\": 0, "
	    "\"serve\": [\"admin\"]},"
	    "  {\"tls\": {\"certificate_file\": \"c.pem\", \"key_file\": \"/k.pem\"}}],"
	    " \"http\": {\"loops\": 3, \"slow_client_timeout\": \"1s\"},"
	    " \"cors\": {\"origins\": [\"https://a.example:8443\"], \"credentials\": true},"
	    " \"kafka\": {\"bootstrap.servers\": \"a:1,b:2\", \"fetch.wait.max.ms\": 7,"
	    "  \"socket.keepalive.enable\": true, \"sasl.password\": \"p\"},"
	    " \"ingest\": {\"warm\": 0}, \"replay\": {\"readers\": 2, \"last_scan\": 9},"
	    " \"auth\": {\"issuers\": [{\"algorithms\": [\"HS256\"],"
	    "  \"secret\": \"0123456789abcdef0123456789abcdef\"}, {\"algorithms\": [\"ES256\"],"
	    "  \"jwks_file\": \"keys.json\", \"refresh\": \"5s\"}], \"query\": false},"
	    " \"log\": {\"level\": \"debug\"}, \"streams\": {"
	    "  \"b\": {\"path\": \"/b\", \"topics\": [\"t\"]},"
	    "  \"a\": {\"path\": \"/a\", \"topics\": [\"t\"]}}}");

	(void)state;
	assert_string_equal(settings.server_id, "gw-1");
	assert_false(settings.http.listeners[0].streams);
	assert_true(settings.http.listeners[0].admin);
	assert_string_equal(settings.http.listeners[1].certificate_file, "dir/c.pem");
	assert_string_equal(settings.http.listeners[1].key_file, "/k.pem");
	assert_int_equal(settings.http.loops, 3);
	assert_int_equal(settings.http.slow_client_timeout_ms, 1000);
	assert_string_equal(settings.http.cors_origins[0], "https://a.example:8443");
	assert_int_equal(settings.kafka.property_count, 4);
	assert_string_equal(settings.kafka.properties[1].value, "7");
	assert_string_equal(settings.kafka.properties[2].value, "true");
	assert_int_equal(settings.kafka.warm_ms, 0);
	assert_int_equal(settings.kafka.replay_readers, 2);
	assert_int_equal(settings.replay.last_scan, 9);
	assert_int_equal(settings.auth.issuers[0].secret_len, 32);
	assert_string_equal(settings.auth.issuers[1].jwks_file, "dir/keys.json");
	assert_int_equal(settings.auth.issuers[1].refresh_ms, 5000);
	assert_false(settings.auth.query);
	assert_int_equal(settings.log_level, LOG_DEBUG);
	assert_string_equal(settings.streams[0]->name, "b");
	assert_string_equal(path_template_text(settings.streams[1]->path), "/a");
	settings_free(&settings);
}

/* Any free port is another one each time. */
static void test_settings_listeners_on_any_port_are_no_repeat(void **state)
{
	struct settings settings =
	    read_settings("{\"listeners\": [{\"port\": 0}, {\"port\": 0}], \"streams\": {}}");

	(void)state;
	assert_int_equal(settings.http.listener_count, 2);
	settings_free(&settings);
}

struct row {
	const char *members, *errors;
};

/* Each row's members stand on line 2, beside streams on line 1. */
static void check_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct buffer text = {0};
		char *errors;

		buffer_append_format(&text, "{\"streams\": {},\n%s}", rows[i].members);
		errors = errors_of("f", buffer_text(&text));
		if (strcmp(errors, rows[i].errors))
			fail_msg("%s\n  gives: %s\n  not: %s", rows[i].members, errors,
				 rows[i].errors);
		free(errors);
		buffer_free(&text);
	}
}

#define CHECK_ROWS(rows) check_rows((rows), sizeof(rows) / sizeof((rows)[0]))

/* The server's name stands in comments, between spaces. */
static void test_settings_wrong_server_id_is_refused(void **state)
{
#define REFUSED "f:2: /server_id: must be 1 to 128 letters, digits, \".\", \"_\", \":\" and \"-\"\n"
	static const struct row rows[] = {
	    {"\"server_id\": \"a b\"", REFUSED},
	    {"\"server_id\": \"a\\n\"", REFUSED},
	    {"\"server_id\": \"\xc3\xa9\"", REFUSED},
	    {"\"server_id\": 1", "f:2: /server_id: is 1, but must be a string that is not empty\n"},
	};
#undef REFUSED

	(void)state;
	CHECK_ROWS(rows);
}

/* Listeners: numeric addresses, ports, whole TLS pairs, and nothing twice. */
static void test_settings_wrong_listeners_are_refused(void **state)
{
	static const struct row rows[] = {
	    {"\"listeners\": []",
	     "f:2: /listeners: is an array, but must be an array of at least one object\n"},
	    {"\"listeners\": [{\"address\": \"localhost\"}]",
	     "f:2: /listeners/0/address: must be a numeric address: \"0.0.0.0\", \"127.0.0.1\", "
	     "\"::\"\n"},
	    {"\"listeners\": [{\"port\": 70000}]",
	     "f:2: /listeners/0/port: is 70000, but must be an integer from 0 to 65535\n"},
	    {"\"listeners\": [{},\n{\"serve\": [\"admin\"]}]",
	     "f:3: /listeners/1: has the address and port of a listener before it\n"},
	    {"\"listeners\": [{\"tls\": {\"certificate_file\": \"c\"}}]",
	     "f:2: /listeners/0/tls: lacks \"key_file\": The certificate's private key, PEM.\n"},
	    {"\"listeners\": [{\"serve\": []}]",
	     "f:2: /listeners/0/serve: is an array, but must be an array of \"streams\", \"page\", "
	     "\"admin\", each once\n"},
	    {"\"listeners\": [{\"serve\": [\"page\",\n\"page\"]}]",
	     "f:3: /listeners/0/serve/1: is \"page\", but must be one of \"streams\", \"page\", "
	     "\"admin\", each once\n"},
	    {"\"listeners\": [{\"serve\": \"page\"}]",
	     "f:2: /listeners/0/serve: is \"page\", but must be an array of \"streams\", \"page\", "
	     "\"admin\", each once\n"},
	    {"\"listeners\": [{\"adress\": \"::\"}]",
	     "f:2: /listeners/0/adress: unknown setting; did you mean \"address\"?\n"},
	};

	(void)state;
	CHECK_ROWS(rows);
}

/* Limits and CORS: ranges, and origins as a browser sends them. */
static void test_settings_wrong_http_is_refused(void **state)
{
	static const struct row rows[] = {
	    {"\"http\": {\"max_head\": \"1MiB\"}",
	     "f:2: /http/max_head: is \"1MiB\", but must be a size from 1KiB to 256KiB, such as "
	     "\"64KiB\"\n"},
	    {"\"http\": {\"max_connections\": 0}",
	     "f:2: /http/max_connections: is 0, but must be an integer from 1 to 10000000\n"},
	    {"\"http\": {\"cors\": {}}",
	     "f:2: /http/cors: unknown setting; conf/README.md lists those there are\n"},
	    {"\"cors\": {\"origins\": [\"https://a.example/\"]}",
	     "f:2: /cors/origins/0: is no origin as browsers send it: write "
	     "\"https://example.org\", in lower case and without a path\n"},
	    {"\"cors\": {\"origins\": [\"a.example\"]}",
	     "f:2: /cors/origins/0: is no origin as browsers send it: write "
	     "\"https://example.org\", in lower case and without a path\n"},
	    {"\"cors\": {\"origins\": [\"https://*.example\"]}",
	     "f:2: /cors/origins/0: is no origin as browsers send it: write "
	     "\"https://example.org\", in lower case and without a path\n"},
	    {"\"cors\": {\"origins\": [\"https://A.example\"]}",
	     "f:2: /cors/origins/0: is no origin as browsers send it: write "
	     "\"https://example.org\", in lower case and without a path\n"},
	    {"\"cors\": {\"origins\": [\"https://a.example\", \"*\"]}",
	     "f:2: /cors/origins/1: \"*\" stands alone, for all origins\n"},
	    {"\"cors\": {\"origins\": [\"*\"],\n\"credentials\": true}",
	     "f:3: /cors/credentials: must not be true for the origin \"*\": name the origins that "
	     "may send cookies\n"},
	    {"\"log\": {\"level\": \"trace\"}",
	     "f:2: /log/level: is \"trace\", but must be one of \"debug\", \"info\", \"warn\", "
	     "\"error\"\n"},
	    {"\"replay\": {\"readers\": 0}",
	     "f:2: /replay/readers: is 0, but must be an integer from 1 to 64\n"},
	    {"\"ingest\": {\"warm\": \"8d\"}",
	     "f:2: /ingest/warm: is \"8d\", but must be a duration from 0 to 7d, such as \"5m\"\n"},
	    {"\"stream\": {}", "f:2: /stream: unknown setting; did you mean \"streams\"?\n"},
	};

	(void)state;
	CHECK_ROWS(rows);
}

/* Issuers: known algorithms, secrets that are long enough, one source of keys. */
static void test_settings_wrong_issuers_are_refused(void **state)
{
#define ISSUER(members) "\"auth\": {\"issuers\": [{" members "}]}"
	static const struct row rows[] = {
	    {ISSUER("\"jwks_file\": \"f\""),
	     "f:2: /auth/issuers/0: lacks \"algorithms\": The algorithms that its tokens may be "
	     "signed with.\n"},
	    {ISSUER("\"algorithms\": [\"ES256\"]"),
	     "f:2: /auth/issuers/0: lacks keys: give it \"secret\", \"secret_file\", "
	     "\"jwks_file\" or \"jwks_url\"\n"},
	    {ISSUER("\"algorithms\": [\"none\"], \"jwks_file\": \"f\""),
	     "f:2: /auth/issuers/0/algorithms/0: is \"none\", but must be one of \"HS256\", "
	     "\"HS384\", \"HS512\", \"RS256\", \"RS384\", \"RS512\", \"PS256\", \"PS384\", "
	     "\"PS512\", \"ES256\", \"ES384\", \"ES512\"\n"},
	    {ISSUER("\"algorithms\": [\"HS512\"],\n\"secret\": "
		    "\"0123456789abcdef0123456789abcdef\""),
	     "f:2: /auth/issuers/0: its secret must have at least 64 bytes for HS512 (RFC 7518, "
	     "3.2)\n"},
	    {ISSUER("\"algorithms\": [\"HS256\"], \"secret\": 12345"),
	     "f:2: /auth/issuers/0/secret: must be a string that is not empty\n"},
	    {ISSUER("\"algorithms\": [\"ES256\"], \"secret\": "
		    "\"0123456789abcdef0123456789abcdef\""),
	     "f:2: /auth/issuers/0: its secret is of no use to ES256: add HS256, HS384 or HS512 to "
	     "\"algorithms\"\n"},
	    {ISSUER("\"algorithms\": [\"ES256\"], \"jwks_file\": \"f\", \"jwks_url\": "
		    "\"https://a\""),
	     "f:2: /auth/issuers/0/jwks_file: stands beside \"jwks_url\": give one of them\n"},
	    {ISSUER("\"algorithms\": [\"ES256\"], \"jwks_url\": \"ftp://a\""),
	     "f:2: /auth/issuers/0/jwks_url: must begin with https:// (or http://)\n"},
	    {ISSUER("\"algorithms\": [\"ES256\"], \"jwks_file\": \"f\", \"jwks_ca_file\": \"g\""),
	     "f:2: /auth/issuers/0/jwks_ca_file: is for \"jwks_url\" only: take it out\n"},
	    {"\"auth\": {\"cookie\": \"a;b\"}",
	     "f:2: /auth/cookie: is no cookie's name: write letters, digits, _ and -\n"},
	};

	(void)state;
	CHECK_ROWS(rows);
#undef ISSUER
}

/* Properties: what librdkafka refuses, what Sluice owns, and values of a wrong type; no secrets. */
static void test_settings_wrong_kafka_is_refused(void **state)
{
#define KAFKA(members) "\"kafka\": {\"bootstrap.servers\": \"a:1\",\n" members "}"
	static const struct row rows[] = {
	    {"\"kafka\": {}",
	     "f:2: /kafka: lacks \"bootstrap.servers\": the brokers, as host:port,host:port\n"},
	    {"\"kafka\": \"a:1\"",
	     "f:2: /kafka: is \"a:1\", but must be an object of librdkafka's properties\n"},
	    {KAFKA("\"client.id\": {}"),
	     "f:3: /kafka/client.id: is an object, but must be a string, a number, true or "
	     "false\n"},
	    {KAFKA("\"client.id\": null"),
	     "f:3: /kafka/client.id: is null, but must be a string, a number, true or false\n"},
	    {KAFKA("\"sasl.password_file\": \"none\""),
	     "f:3: /kafka/sasl.password_file: none can't be read: No such file or directory\n"},
	    {KAFKA("\"sasl.password\": \"p\",\n\"sasl.password_file\": \"/proc/version\""),
	     "f:4: /kafka/sasl.password_file: \"sasl.password\" is given both itself and as a "
	     "file: "
	     "take one out\n"},
	};
	char *errors = errors_of("f", "{\"streams\": {}, " KAFKA("\"group.id\": \"g\"") "}");

	(void)state;
	CHECK_ROWS(rows);
	assert_non_null(strstr(errors, "f:2: /kafka/group.id: \"group.id\" can't be set: "));
	free(errors);
	errors = errors_of("f", "{\"streams\": {}, " KAFKA("\"fetch.wait.max.mz\": 5") "}");
	assert_non_null(strstr(errors, "f:2: /kafka/fetch.wait.max.mz: "));
	free(errors);
#undef KAFKA
}

/* Two streams can't have the same paths, and claims need somebody who makes tokens. */
static void test_settings_streams_that_contradict_are_refused(void **state)
{
	static const struct {
		const char *text, *errors;
	} rows[] = {
	    {"{\"streams\": {\n\"a\": {\"path\": \"/u/{x}\", \"topics\": [\"t\"]},\n"
	     "\"b\": {\"path\": \"/u/me\", \"topics\": [\"t\"]},\n"
	     "\"c\": {\"topics\": [\"t\"], \"path\": \"/u/{y}\"}}}",
	     "f:4: /streams/c/path: matches the same paths as stream \"a\": change one of them\n"},
	    {"{\"streams\": {\n\"a\": {\"path\": \"/u\", \"topics\": [\"t\"],\n"
	     "\"access\": {\"claims\": {\"sub\": [\"x\"]}}}}}",
	     "f:3: /streams/a/access: asks for claims, but no token can be valid: add \"auth\": "
	     "{\"issuers\": …} or {\"opaque\": true}\n"},
	    {"{\"auth\": {\n\"opaque\": true},\n\"streams\": {}}",
	     "f:2: /auth/opaque: needs PostgreSQL, where these tokens are: add \"postgres\": "
	     "{\"url\": …}\n"},
	    {"{\"streams\": {\n\"a\": {\"path\": \"/u\", \"topics\": [\"t\"],\n"
	     "\"access\": \"public\", \"user_filters\": true}}}",
	     "f:3: /streams/a/user_filters: needs PostgreSQL, where these filters are: add "
	     "\"postgres\": {\"url\": …}\n"
	     "f:3: /streams/a/user_filters: is about the subject of a token: ask for one in "
	     "\"access\", such as {\"claims\": {…}}\n"},
	    {"{\"streams\": {\n\"a\": {\"path\": \"/u\", \"topics\": [\"t\"],\n"
	     "\"journal\": {\"retain\": \"1h\"}}}}",
	     "f:3: /streams/a/journal: is kept in PostgreSQL, but none is named: add "
	     "\"postgres\": {\"url\": …}\n"},
	    {"{\"postgres\": {\"url\": \"postgresql:///x\"}, \"streams\": {\n"
	     "\"a\": {\"path\": \"/{t}\", \"topics\": [\"{path.t}\"], \"allow_topics\": "
	     "[\"*\"],\n\"journal\": {\"retain\": \"1h\"}}}}",
	     "f:3: /streams/a/journal: is for streams that name their topics: this one takes "
	     "them from the path, so take \"journal\" out\n"},
	    {"{}", "f:1: lacks \"streams\": The streams by name.\n"},
	    {"{\"streams\": []}",
	     "f:1: /streams: is an array, but must be an object of names, each "
	     "with an object\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *errors = errors_of("f", rows[i].text);

		assert_string_equal(errors, rows[i].errors);
		free(errors);
	}
}

/* The samples are right, on a machine whose environment says nothing else. */
static void test_settings_samples_are_right(void **state)
{
	static const char *const samples[] = {"conf/sluice.json", "conf/dev.json"};

	(void)state;
	setenv("SLUICE_KAFKA", "localhost:9092", 1);
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		struct settings settings;

		assert_int_equal(settings_load_or_print(samples[i], &settings), 0);
		assert_true(settings.stream_count >= 4);
		settings_free(&settings);
	}
}

/* The committed schema is the one that the tables give: sluice --print-schema >conf/… makes it
 * anew. */
static void test_settings_committed_schema_is_the_tables(void **state)
{
	char *committed = read_text_file(SCHEMA_FILE), *made = printed(settings_print_schema);

	(void)state;
	if (strcmp(committed, made))
		fail_msg(SCHEMA_FILE " is old: sluice --print-schema >" SCHEMA_FILE);
	free(committed);
	free(made);
}

/* So is the reference between its markers. */
static void test_settings_committed_reference_is_the_tables(void **state)
{
	static const char begin[] = "<!-- reference: sluice --print-reference -->\n";
	static const char end[] = "<!-- end of reference -->";
	char *committed = read_text_file(REFERENCE_FILE), *made = printed(settings_print_reference);
	char *from = strstr(committed, begin), *to = strstr(committed, end);

	(void)state;
	assert_non_null(from);
	assert_non_null(to);
	*to = '\0';
	if (strcmp(from + sizeof(begin) - 1, made))
		fail_msg(REFERENCE_FILE
			 " is old: put sluice --print-reference between the markers");
	free(committed);
	free(made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_settings_smallest_file_has_defaults),
	    cmocka_unit_test(test_settings_whole_file_is_read),
	    cmocka_unit_test(test_settings_listeners_on_any_port_are_no_repeat),
	    cmocka_unit_test(test_settings_wrong_server_id_is_refused),
	    cmocka_unit_test(test_settings_wrong_listeners_are_refused),
	    cmocka_unit_test(test_settings_wrong_http_is_refused),
	    cmocka_unit_test(test_settings_wrong_issuers_are_refused),
	    cmocka_unit_test(test_settings_wrong_kafka_is_refused),
	    cmocka_unit_test(test_settings_streams_that_contradict_are_refused),
	    cmocka_unit_test(test_settings_samples_are_right),
	    cmocka_unit_test(test_settings_committed_schema_is_the_tables),
	    cmocka_unit_test(test_settings_committed_reference_is_the_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
