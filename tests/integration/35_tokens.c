/* Tokens: signed by each kind of key, found at each place, rotated while the gateway runs,
 * expiring, and never in the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "lib/gateway_process.h"
#include "lib/http_client.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/loop.h"
#include "lib/watch.h"
#include "unit/auth/http_server.h"
#include "unit/auth/signer.h"

/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [{ "address": "127.0.0.1", "port": 0 }],
	"http": { "loops": 2 },
	"kafka": { "bootstrap.servers": "${TOKENS_KAFKA}", "fetch.wait.max.ms": 10 },
	"log": { "level": "debug" },
	"auth": {
		"issuers": [
			{ "issuer": "secret", "audience": "sluice", "algorithms": ["HS256"], "secret_file": "${TOKENS_FOLDER}/secret" },
			{ "issuer": "file", "audience": "sluice", "algorithms": ["ES256", "RS256"], "jwks_file": "${TOKENS_FOLDER}/jwks.json" },
			{ "issuer": "url", "audience": "sluice", "algorithms": ["ES256", "RS256"], "jwks_url": "${TOKENS_URL}" }
		],
		"cookie": "session",
		"leeway": "0s"
	},
	"streams": {
		"user": { "path": "/users/{id}", "topics": ["events"], "access": { "claims": { "sub": ["{path.id}"] } } },
		"role": { "path": "/roles", "topics": ["events"], "access": { "claims": { "realm": { "roles": ["reader", "admin"] }, "mfa": [true] } } },
		"tenant": { "path": "/tenant", "topics": ["events"], "access": { "claims": { "tenants": ["red", "green", "blue"] } },
			"filter": { "value": { "tenant": ["{claims.tenants}"] } } },
		"public": { "path": "/public", "topics": ["events"], "access": "public" }
	}
}
);
/* clang-format on */

enum { MAX_TOKENS = 256 };

static struct kafka_broker broker;
static struct gateway_process gateway;
static struct kafka_producer *producer;
static struct http_server *key_server;
static struct signer secret, file_ec, file_rsa, url_ec, url_rsa;

/* All that were made, to be looked for in the log. */
static char *tokens[MAX_TOKENS];
static size_t token_count;

static const char *keep(char *token)
{
	if (token_count == MAX_TOKENS)
		child_die("more than %d tokens", MAX_TOKENS);
	return tokens[token_count++] = token;
}

/* `more`: further claims, beginning with a comma. */
static const char *issue(const struct signer *signer, const char *algorithm, const char *kid,
			 const char *issuer, const char *more)
{
	struct buffer claims = {0};
	char *token;

	buffer_append_format(&claims, "{\"iss\":\"%s\",\"aud\":[\"other\",\"sluice\"]%s}", issuer,
			     more);
	token = signer_token(signer, algorithm, kid, buffer_text(&claims));
	buffer_free(&claims);
	return keep(token);
}

static char *key_set(const struct signer *one, const char *one_kid, const struct signer *other,
		     const char *other_kid)
{
	return signer_dump(
	    json_pack("{s:[o,o]}", "keys", signer_jwk(one, one_kid), signer_jwk(other, other_kid)));
}

static void write_in_folder(const char *name, const char *text)
{
	char path[CHILD_PATH_BYTES + 32], new_path[CHILD_PATH_BYTES + 32];

	snprintf(path, sizeof(path), "%s/%s", gateway.folder, name);
	snprintf(new_path, sizeof(new_path), "%s/%s.new", gateway.folder, name);
	child_write_file(new_path, text);
	if (rename(new_path, path))
		child_die("can't rename %s", new_path);
}

static void publish_file_keys(const char *kid)
{
	char *set = key_set(&file_ec, kid, &file_rsa, "file-rsa");

	write_in_folder("jwks.json", set);
	free(set);
}

static void publish_url_keys(const char *kid)
{
	char *set = key_set(&url_ec, kid, &url_rsa, "url-rsa");

	http_server_set_json(key_server, set);
	free(set);
}

static void make_keys(void)
{
	char text[sizeof(secret.secret) + 1] = "", *url;

	secret = signer_new_secret();
	file_ec = signer_new_ec("P-256", 32);
	file_rsa = signer_new_rsa(2048);
	url_ec = signer_new_ec("P-256", 32);
	url_rsa = signer_new_rsa(2048);
	memcpy(text, secret.secret, sizeof(secret.secret));
	write_in_folder("secret", text);
	publish_file_keys("file-ec");
	key_server = http_server_start(NULL);
	publish_url_keys("url-ec");
	url = http_server_url(key_server, "/jwks.json");
	setenv("TOKENS_URL", url, 1);
	free(url);
}

static int start(void **state)
{
	(void)state;
	kafka_broker_start(&broker);
	kafka_broker_create_topic(&broker, "events", 1);
	producer = kafka_producer_new(broker.bootstrap, NULL);
	gateway_process_init(&gateway);
	make_keys();
	setenv("TOKENS_KAFKA", broker.bootstrap, 1);
	setenv("TOKENS_FOLDER", gateway.folder, 1);
	gateway_process_configure(&gateway, config);
	gateway_process_start_ready(&gateway);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	gateway_process_fini(&gateway);
	http_server_stop(key_server);
	kafka_producer_free(producer);
	kafka_broker_fini(&broker);
	signer_free(&file_ec);
	signer_free(&file_rsa);
	signer_free(&url_ec);
	signer_free(&url_rsa);
	for (size_t i = 0; i < token_count; i++)
		free(tokens[i]);
	return 0;
}

static void produce(const char *value)
{
	kafka_producer_send_text(producer, "events", NULL, value);
	kafka_producer_flush(producer);
}

/* Where a token can stand. */
enum place { PLACE_FIELD, PLACE_TOKEN, PLACE_ACCESS_TOKEN, PLACE_COOKIE, PLACE_COUNT };

/* What HEAD of the path is answered; the head and body of the answer where they are asked for. */
static long ask(const char *path, const char *token, enum place place, bool http2)
{
	static const char *const formats[] = {
	    [PLACE_FIELD] = "Authorization: Bearer %s",
	    [PLACE_TOKEN] = "?lang=en&token=%s",
	    [PLACE_ACCESS_TOKEN] = "?access_token=%s&lang=en",
	    [PLACE_COOKIE] = "Cookie: theme=dark; session=%s; lang=en",
	};
	bool in_query = place == PLACE_TOKEN || place == PLACE_ACCESS_TOKEN;
	struct buffer url = {0}, text = {0};
	struct http_client_answer answer;
	const char *field;
	long status;

	for (const char *at = formats[place]; *at; at++) {
		if (strncmp(at, "%s", 2) == 0)
			buffer_append_text(&text, token), at++;
		else
			buffer_append(&text, at, 1);
	}
	field = buffer_text(&text);
	buffer_append_format(&url, "%s%s%s", gateway.url, path, in_query ? field : "");
	http_client_send(&(struct http_client_request){.method = "HEAD",
						       .url = buffer_text(&url),
						       .headers = &field,
						       .header_count = !in_query,
						       .http2 = http2},
			 &answer);
	status = answer.status;
	http_client_answer_fini(&answer);
	buffer_free(&url);
	buffer_free(&text);
	return status;
}

static long ask_bearer(const char *path, const char *token)
{
	return ask(path, token, PLACE_FIELD, false);
}

static struct key {
	const char *name;
	const struct signer *signer;
	const char *algorithm, *kid, *issuer;
} keys[] = {
    {"HS256 by a secret", &secret, "HS256", NULL, "secret"},
    {"ES256 by a file", &file_ec, "ES256", "file-ec", "file"},
    {"RS256 by a file", &file_rsa, "RS256", "file-rsa", "file"},
    {"RS256 by a file, no kid", &file_rsa, "RS256", NULL, "file"},
    {"ES256 by a URL", &url_ec, "ES256", "url-ec", "url"},
    {"RS256 by a URL", &url_rsa, "RS256", "url-rsa", "url"},
};

enum { KEY_COUNT = sizeof(keys) / sizeof(keys[0]) };

static const char *issue_by(const struct key *key, const char *more)
{
	return issue(key->signer, key->algorithm, key->kid, key->issuer, more);
}

/* Each kind of key is good for a token at each place, over both versions of HTTP. */
static void test_tokens_of_each_key_at_each_place_are_accepted(void **state)
{
	(void)state;
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const char *token = issue_by(&keys[i], ",\"sub\":\"ada\"");

		print_message("%s\n", keys[i].name);
		for (enum place place = 0; place < PLACE_COUNT; place++) {
			assert_int_equal(ask("/users/ada", token, place, false), 200);
			assert_int_equal(ask("/users/ada", token, place, true), 200);
		}
		assert_int_equal(ask_bearer("/users/grace", token), 403);
	}
}

/* A key is good for its own issuer, audience and algorithm alone. */
static void test_tokens_of_the_wrong_issuer_or_audience_are_refused(void **state)
{
	static const struct {
		const char *name;
		const struct signer *signer;
		const char *algorithm, *kid, *claims;
	} rows[] = {
	    {"the URL's key for the file's issuer", &url_ec, "ES256", "url-ec-2",
	     "{\"iss\":\"file\",\"aud\":\"sluice\",\"sub\":\"ada\"}"},
	    {"the secret for the file's issuer", &secret, "HS256", NULL,
	     "{\"iss\":\"file\",\"aud\":\"sluice\",\"sub\":\"ada\"}"},
	    {"the file's key for the secret's issuer", &file_rsa, "RS256", "file-rsa",
	     "{\"iss\":\"secret\",\"aud\":\"sluice\",\"sub\":\"ada\"}"},
	    {"nobody's issuer", &file_ec, "ES256", "file-ec-2",
	     "{\"iss\":\"nobody\",\"aud\":\"sluice\",\"sub\":\"ada\"}"},
	    {"no issuer", &file_ec, "ES256", "file-ec-2", "{\"aud\":\"sluice\",\"sub\":\"ada\"}"},
	    {"another audience", &file_ec, "ES256", "file-ec-2",
	     "{\"iss\":\"file\",\"aud\":[\"sluice2\",\"other\"],\"sub\":\"ada\"}"},
	    {"no audience", &file_ec, "ES256", "file-ec-2", "{\"iss\":\"file\",\"sub\":\"ada\"}"},
	    {"an algorithm that is not listed", &file_rsa, "PS256", "file-rsa",
	     "{\"iss\":\"file\",\"aud\":\"sluice\",\"sub\":\"ada\"}"},
	    {"the other key's id", &file_ec, "ES256", "file-rsa",
	     "{\"iss\":\"file\",\"aud\":\"sluice\",\"sub\":\"ada\"}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *token = keep(
		    signer_token(rows[i].signer, rows[i].algorithm, rows[i].kid, rows[i].claims));

		print_message("%s\n", rows[i].name);
		assert_int_equal(ask_bearer("/users/ada", token), 401);
	}
}

/* Any part of a good token that is changed makes it a bad one. */
static void test_tokens_that_were_changed_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < KEY_COUNT; i++) {
		const char *good = issue_by(&keys[i], ",\"sub\":\"ada\"");
		const char *other = issue_by(&keys[i], ",\"sub\":\"eve\"");
		char *bad = mem_strdup(good);

		print_message("%s\n", keys[i].name);
		/* The claims of one with the signature of the other. */
		strcpy(strrchr(bad, '.'), strrchr(other, '.'));
		keep(bad);
		assert_int_equal(ask_bearer("/users/ada", bad), 401);
		bad = mem_strdup(good);
		strrchr(bad, '.')[1] = '\0';
		keep(bad);
		assert_int_equal(ask_bearer("/users/ada", bad), 401);
		assert_int_equal(ask_bearer("/users/ada", good), 200);
	}
}

/* Access patterns look into claims of any depth; a list of claims has what one of its elements is.
 */
static void test_tokens_claims_are_matched_with_the_access_pattern(void **state)
{
	static const struct {
		const char *claims;
		long status;
	} rows[] = {
	    {",\"realm\":{\"roles\":[\"writer\",\"reader\"]},\"mfa\":true", 200},
	    {",\"realm\":{\"roles\":\"admin\"},\"mfa\":true", 200},
	    {",\"realm\":{\"roles\":[\"writer\"]},\"mfa\":true", 403},
	    {",\"realm\":{\"roles\":[\"reader\"]},\"mfa\":false", 403},
	    {",\"realm\":{\"roles\":[\"reader\"]},\"mfa\":\"true\"", 403},
	    {",\"realm\":{\"roles\":[\"reader\"]}", 403},
	    {",\"realm\":{\"roles\":[]},\"mfa\":true", 403},
	    {",\"realm\":\"reader\",\"mfa\":true", 403},
	    {",\"roles\":[\"reader\"],\"mfa\":true", 403},
	    {"", 403},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].claims);
		assert_int_equal(ask_bearer("/roles", issue_by(&keys[0], rows[i].claims)),
				 rows[i].status);
	}
}

static void open_with_token(struct watch *watch, const char *path, const char *token,
			    enum sse_client_http http)
{
	struct buffer field = {0};

	buffer_append_format(&field, "Authorization: Bearer %s", token);
	const char *const fields[] = {buffer_text(&field)};
	/* libcurl 7.88.1 fails where it reuses a connection of prior knowledge (curl/curl#10634).
	 */
	const struct sse_client_options options = {
	    .http = http,
	    .headers = fields,
	    .header_count = 1,
	    .own_connection = true,
	    .retry_ms = 10,
	    .retry_limit_ms = 10,
	};

	assert_true(watch_open_connected(watch, loop, gateway.url, path, &options));
	buffer_free(&field);
}

/* A filter over a claim gives each token's bearer its own events alone. */
static void test_tokens_claims_select_events(void **state)
{
	struct watch red = {0}, both = {0};

	(void)state;
	open_with_token(&red, "/tenant", issue_by(&keys[1], ",\"tenants\":\"red\""),
			SSE_CLIENT_HTTP1);
	open_with_token(&both, "/tenant", issue_by(&keys[1], ",\"tenants\":[\"blue\",\"green\"]"),
			SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE);
	produce("{\"tenant\":\"blue\"}");
	produce("{\"tenant\":\"violet\"}");
	produce("{\"tenant\":\"red\"}");
	produce("{\"tenant\":\"green\"}");
	assert_true(watch_until(&both, 3) && watch_until(&red, 2));
	assert_string_equal(red.events[1].data, "{\"tenant\":\"red\"}");
	assert_string_equal(both.events[1].data, "{\"tenant\":\"blue\"}");
	assert_string_equal(both.events[2].data, "{\"tenant\":\"green\"}");
	assert_int_equal(red.count, 2);
	watch_close(&red);
	watch_close(&both);
}

/* A public stream is open to those whose token does not count, as to anybody. */
static void test_tokens_that_do_not_count_leave_public_streams_open(void **state)
{
	(void)state;
	assert_int_equal(ask_bearer("/public", "a.b.c"), 200);
	assert_int_equal(ask_bearer("/public", issue_by(&keys[0], ",\"exp\":1")), 200);
}

/* A token with a key that is new at the URL has it fetched; the tokens of the key that is gone
 * count no more. */
static void test_tokens_keys_of_a_url_are_rotated(void **state)
{
	const char *before = issue_by(&keys[4], ",\"sub\":\"ada\""), *after, *unknown;
	struct signer stranger = signer_new_ec("P-256", 32);
	unsigned fetches;

	(void)state;
	assert_int_equal(ask_bearer("/users/ada", before), 200);
	signer_free(&url_ec);
	url_ec = signer_new_ec("P-256", 32);
	keys[4].kid = "url-ec-2";
	publish_url_keys(keys[4].kid);
	after = issue_by(&keys[4], ",\"sub\":\"ada\"");
	assert_int_equal(ask_bearer("/users/ada", after), 200);
	assert_int_equal(ask_bearer("/users/ada", before), 401);

	/* Tokens of keys that nobody has do not make the gateway fetch again and again. */
	fetches = atomic_load(&key_server->requests);
	for (int i = 0; i < 20; i++) {
		char kid[32];

		snprintf(kid, sizeof(kid), "stranger-%d", i);
		unknown = issue(&stranger, "ES256", kid, "url", ",\"sub\":\"ada\"");
		assert_int_equal(ask_bearer("/users/ada", unknown), 401);
	}
	assert_in_range(atomic_load(&key_server->requests), fetches, fetches + 1);
	signer_free(&stranger);
}

/* A file that was changed is read again when a token asks for a key that it lacked. */
static void test_tokens_keys_of_a_file_are_rotated(void **state)
{
	const char *before = issue_by(&keys[1], ",\"sub\":\"ada\""), *after;

	(void)state;
	assert_int_equal(ask_bearer("/users/ada", before), 200);
	signer_free(&file_ec);
	file_ec = signer_new_ec("P-256", 32);
	keys[1].kid = "file-ec-2";
	publish_file_keys(keys[1].kid);
	after = issue_by(&keys[1], ",\"sub\":\"ada\"");
	assert_int_equal(ask_bearer("/users/ada", after), 200);
	assert_int_equal(ask_bearer("/users/ada", before), 401);
}

/* An open stream ends with `timeout` when its token expires, over both versions of HTTP; the
 * browser's reconnect is answered 401. */
static void test_tokens_expiry_ends_open_streams(void **state)
{
	static const enum sse_client_http https[] = {SSE_CLIENT_HTTP1,
						     SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE};
	double closed = gateway_process_metric(&gateway, "sluice_closes_total{reason=\"expired\"}");
	struct watch watches[2] = {{0}}, lasting = {0};
	char more[64];

	(void)state;
	open_with_token(&lasting, "/users/ada", issue_by(&keys[0], ",\"sub\":\"ada\""),
			SSE_CLIENT_HTTP1);
	snprintf(more, sizeof(more), ",\"sub\":\"ada\",\"exp\":%lld", (long long)time(NULL) + 4);
	for (size_t i = 0; i < 2; i++)
		open_with_token(&watches[i], "/users/ada", issue_by(&keys[i], more), https[i]);
	produce("{\"last\":true}");
	for (size_t i = 0; i < 2; i++) {
		struct sse_client_facts facts;

		assert_true(watch_until(&watches[i], 3));
		assert_string_equal(watches[i].events[1].data, "{\"last\":true}");
		assert_string_equal(watches[i].events[2].type, "timeout");
		assert_string_equal(watches[i].events[2].data, "{\"reason\":\"token_expired\"}");
		/* It is no event of the topic: the client resumes after the last one that was. */
		assert_string_equal(watches[i].events[2].id, watches[i].events[1].id);
		assert_true(watch_until_closed(&watches[i]));
		facts = sse_client_facts(watches[i].client);
		assert_int_equal(facts.status, 401);
		assert_int_equal(facts.opens, 1);
		assert_non_null(memmem(facts.body.base, facts.body.len, "has expired", 11));
		watch_close(&watches[i]);
	}
	assert_true(gateway_process_metric(&gateway, "sluice_closes_total{reason=\"expired\"}") ==
		    closed + 2);
	produce("{\"after\":true}");
	assert_true(watch_until(&lasting, 3));
	watch_close(&lasting);
}

/* Nothing of a token, and no secret, is in the log, though it is written at its most detailed.
 * Last: every other test's log is looked at. */
static void test_tokens_are_never_logged(void **state)
{
	char *log = child_read_file(gateway.child.log);

	(void)state;
	assert_non_null(strstr(log, "\"level\":\"debug\""));
	assert_true(token_count > KEY_COUNT);
	for (size_t i = 0; i < token_count; i++) {
		const char *signature = strrchr(tokens[i], '.');
		const char *claims = strchr(tokens[i], '.');

		assert_null(strstr(log, tokens[i]));
		if (signature[1])
			assert_null(strstr(log, signature + 1));
		assert_null(strstr(log, claims));
	}
	assert_null(strstr(log, "Bearer "));
	assert_null(strstr(log, "0123456789abcdef"));
	free(log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOOP_TEST(test_tokens_of_each_key_at_each_place_are_accepted),
	    /* Before any token asks for keys in vain: the next may ask 10 s later. */
	    LOOP_TEST(test_tokens_keys_of_a_url_are_rotated),
	    LOOP_TEST(test_tokens_keys_of_a_file_are_rotated),
	    LOOP_TEST(test_tokens_of_the_wrong_issuer_or_audience_are_refused),
	    LOOP_TEST(test_tokens_that_were_changed_are_refused),
	    LOOP_TEST(test_tokens_claims_are_matched_with_the_access_pattern),
	    LOOP_TEST(test_tokens_claims_select_events),
	    LOOP_TEST(test_tokens_that_do_not_count_leave_public_streams_open),
	    LOOP_TEST(test_tokens_expiry_ends_open_streams),
	    LOOP_TEST(test_tokens_are_never_logged),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
