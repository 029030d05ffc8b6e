/* Opaque tokens and revocation with everything real: tokens made and revoked by the command line,
 * two replicas, and a PostgreSQL that goes away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "lib/credentials.h"
#include "lib/gateway_process.h"
#include "lib/http_client.h"
#include "lib/kafka_broker.h"
#include "lib/kafka_producer.h"
#include "lib/loop.h"
#include "lib/postgres_server.h"
#include "lib/watch.h"

/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [{ "address": "127.0.0.1", "port": 0 }],
	"http": { "loops": 2 },
	"kafka": { "bootstrap.servers": "${OPAQUE_KAFKA}", "fetch.wait.max.ms": 10 },
	"postgres": { "url": "${OPAQUE_POSTGRES}" },
	"log": { "level": "debug" },
	"auth": {
		"issuers": [{ "algorithms": ["HS256"], "secret": "0123456789abcdef0123456789ABCDEF" }],
		"opaque": true,
		"leeway": "0s"
	},
	"streams": {
		"user": { "path": "/users/{id}", "topics": ["events"], "access": { "claims": { "sub": ["{path.id}"] } } },
		"admin": { "path": "/admin", "topics": ["events"], "access": { "claims": { "roles": ["admin"] } } },
		"public": { "path": "/public", "topics": ["events"], "access": "public" }
	}
}
);
/* clang-format on */

#define SECRET "0123456789abcdef0123456789ABCDEF"

enum { REPLICAS = 2, MAX_TOKENS = 256, TOKEN_CHARS = 47, PATIENCE_MS = 20000 };

static struct kafka_broker broker;
static struct kafka_producer *producer;
static struct postgres_server postgres;
static struct gateway_process gateways[REPLICAS];

/* All that were made, to be looked for in the logs. */
static char *tokens[MAX_TOKENS];
static size_t token_count;

static const char *keep(char *token)
{
	if (token_count == MAX_TOKENS)
		child_die("more than %d tokens", MAX_TOKENS);
	return tokens[token_count++] = token;
}

/* A `sluice` command on the first replica's configuration. */
#define RUN(code, ...)                                                                             \
	gateway_process_run(&gateways[0], (const char *const[]){__VA_ARGS__, NULL}, (code))

/* The same; it must succeed. */
#define MUST_RUN(...)                                                                              \
	do {                                                                                       \
		int run_code;                                                                      \
		char *run_said = RUN(&run_code, __VA_ARGS__);                                      \
		if (run_code)                                                                      \
			fail_msg("%d: %s", run_code, run_said);                                    \
		free(run_said);                                                                    \
	} while (0)

/* A token out of what `token create` said, kept; and its id. */
static const char *token_of(char *said, int code, char id[24])
{
	const char *token = strstr(said, "slc_"), *number = strstr(said, "token ");
	char *kept;

	if (code || !token || !number)
		fail_msg("%d: %s", code, said);
	kept = mem_strndup(token, TOKEN_CHARS);
	assert_int_equal(token[TOKEN_CHARS], '\n');
	if (id)
		snprintf(id, 24, "%lld", atoll(number + 6));
	free(said);
	return keep(kept);
}

static const char *create(const char *subject, const char *claims, const char *expires, char id[24])
{
	int code;
	char *said = expires
			 ? RUN(&code, "token", "create", "--subject", subject, "--claims", claims,
			       "--expires", expires)
			 : RUN(&code, "token", "create", "--subject", subject, "--claims", claims);

	return token_of(said, code, id);
}

static const char *issue(const char *claims)
{
	struct buffer token = {0};

	credentials_sign_hs256(SECRET, claims, &token);
	buffer_text(&token);
	return keep(token.base);
}

static int start(void **state)
{
	(void)state;
	kafka_broker_start(&broker);
	kafka_broker_create_topic(&broker, "events", 1);
	producer = kafka_producer_new(broker.bootstrap, NULL);
	postgres_server_start(&postgres);
	setenv("OPAQUE_KAFKA", broker.bootstrap, 1);
	setenv("OPAQUE_POSTGRES", postgres.url, 1);
	for (size_t i = 0; i < REPLICAS; i++) {
		gateway_process_init(&gateways[i]);
		gateway_process_configure(&gateways[i], config);
	}
	MUST_RUN("migrate");
	for (size_t i = 0; i < REPLICAS; i++)
		gateway_process_start_ready(&gateways[i]);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	for (size_t i = 0; i < REPLICAS; i++)
		gateway_process_fini(&gateways[i]);
	postgres_server_fini(&postgres);
	kafka_producer_free(producer);
	kafka_broker_fini(&broker);
	for (size_t i = 0; i < token_count; i++)
		free(tokens[i]);
	return 0;
}

static void produce(const char *value)
{
	kafka_producer_send_text(producer, "events", NULL, value);
	kafka_producer_flush(producer);
}

/* HEAD of the path; `retry_after` (may be NULL): whether the answer says when to come again. */
static long ask(size_t replica, const char *path, const char *token, bool *retry_after)
{
	struct buffer url = {0}, field = {0};
	struct http_client_answer answer;
	const char *fields[1];
	long status;

	buffer_append_format(&url, "%s%s", gateways[replica].url, path);
	buffer_append_format(&field, "Authorization: Bearer %s", token);
	fields[0] = buffer_text(&field);
	http_client_send(
	    &(struct http_client_request){
		.method = "HEAD", .url = buffer_text(&url), .headers = fields, .header_count = 1},
	    &answer);
	status = answer.status;
	if (retry_after)
		*retry_after = http_client_header(&answer, "retry-after").base;
	http_client_answer_fini(&answer);
	buffer_free(&url);
	buffer_free(&field);
	return status;
}

static bool open_with_token(struct watch *watch, size_t replica, const char *path,
			    const char *token, enum sse_client_http http, bool wait)
{
	struct buffer field = {0};
	bool connected = true;

	buffer_append_format(&field, "Authorization: Bearer %s", token);
	const char *const fields[] = {buffer_text(&field)};
	const struct sse_client_options options = {
	    .http = http,
	    .headers = fields,
	    .header_count = 1,
	    .own_connection = true,
	    .retry_ms = 10,
	};

	if (wait)
		connected =
		    watch_open_connected(watch, loop, gateways[replica].url, path, &options);
	else
		watch_open(watch, loop, gateways[replica].url, path, &options);
	buffer_free(&field);
	return connected;
}

static void must_open(struct watch *watch, size_t replica, const char *path, const char *token)
{
	/* One version of HTTP each. */
	assert_true(open_with_token(watch, replica, path, token,
				    replica ? SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE : SSE_CLIENT_HTTP1,
				    true));
}

/* The last of its events is `revoked`, and the browser's reconnect is answered 401. */
static void assert_revoked(struct watch *watch)
{
	struct sse_client_facts facts;

	assert_true(watch_until_closed(watch));
	assert_string_equal(watch->events[watch->count - 1].type, "revoked");
	assert_string_equal(watch->events[watch->count - 1].data, "{\"reason\":\"token_revoked\"}");
	facts = sse_client_facts(watch->client);
	assert_int_equal(facts.status, 401);
	assert_int_equal(facts.opens, 1);
	assert_non_null(memmem(facts.body.base, facts.body.len, "has been revoked", 16));
	watch_close(watch);
}

/* After `connected` it gets what was produced, on its first connection. */
static void assert_gets(struct watch *watch, const char *value)
{
	assert_true(watch_until(watch, 2));
	assert_string_equal(watch->events[1].type, "message");
	assert_string_equal(watch->events[1].data, value);
	assert_int_equal(sse_client_facts(watch->client).opens, 1);
}

/* A token that was created on the command line opens what its claims allow, on every replica. */
static void test_opaque_tokens_open_streams_by_their_claims(void **state)
{
	const char *token = create("ada", "{\"roles\": [\"admin\", \"user\"]}", NULL, NULL);
	struct watch watches[REPLICAS] = {{0}};

	(void)state;
	for (size_t i = 0; i < REPLICAS; i++) {
		assert_int_equal(ask(i, "/users/ada", token, NULL), 200);
		assert_int_equal(ask(i, "/admin", token, NULL), 200);
		assert_int_equal(ask(i, "/users/bob", token, NULL), 403);
		must_open(&watches[i], i, "/users/ada", token);
	}
	produce("{\"n\":1}");
	for (size_t i = 0; i < REPLICAS; i++) {
		assert_gets(&watches[i], "{\"n\":1}");
		watch_close(&watches[i]);
	}
}

/* What is no token, or no such token, is 401; a public stream stays open to its bearer. */
static void test_opaque_tokens_unknown_ones_are_refused(void **state)
{
	static const char *const unknown[] = {"slc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
					      "slc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
					      "slc_",
					      "secret",
					      "a.b",
					      "a.b.c.d"};

	(void)state;
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		assert_int_equal(ask(0, "/users/ada", unknown[i], NULL), 401);
		assert_int_equal(ask(0, "/public", unknown[i], NULL), 200);
	}
}

/* Revoking a token ends its holders' streams on every replica, and nobody else's. */
static void test_opaque_tokens_revoked_by_id_end_their_streams(void **state)
{
	char id[24];
	const char *token = create("ada", "{}", NULL, id), *other = create("ada", "{}", NULL, NULL);
	struct watch revoked[REPLICAS] = {{0}}, others[REPLICAS] = {{0}};
	double closed =
	    gateway_process_metric(&gateways[0], "sluice_closes_total{reason=\"revoked\"}");

	(void)state;
	for (size_t i = 0; i < REPLICAS; i++) {
		must_open(&revoked[i], i, "/users/ada", token);
		must_open(&others[i], i, "/users/ada", other);
	}
	MUST_RUN("token", "revoke", "--id", id);
	for (size_t i = 0; i < REPLICAS; i++)
		assert_revoked(&revoked[i]);
	assert_true(gateway_process_metric(
			&gateways[0], "sluice_closes_total{reason=\"revoked\"}") == closed + 1);
	produce("{\"n\":2}");
	for (size_t i = 0; i < REPLICAS; i++) {
		assert_gets(&others[i], "{\"n\":2}");
		watch_close(&others[i]);
	}
}

/* A subject's revocation ends all that it held, JWTs too; what is issued afterwards counts. */
static void test_opaque_tokens_revoked_by_subject_end_all_of_its_streams(void **state)
{
	char claims[96];
	const char *token = create("bob", "{}", NULL, NULL), *jwt, *eve;
	struct watch opaque[REPLICAS] = {{0}}, jwts[REPLICAS] = {{0}}, others[REPLICAS] = {{0}};

	(void)state;
	snprintf(claims, sizeof(claims), "{\"sub\":\"bob\",\"iat\":%lld}", (long long)time(NULL));
	jwt = issue(claims);
	eve = issue("{\"sub\":\"eve\"}");
	for (size_t i = 0; i < REPLICAS; i++) {
		must_open(&opaque[i], i, "/users/bob", token);
		must_open(&jwts[i], i, "/users/bob", jwt);
		must_open(&others[i], i, "/users/eve", eve);
	}
	MUST_RUN("token", "revoke", "--subject", "bob", "--expires", "1h");
	for (size_t i = 0; i < REPLICAS; i++) {
		assert_revoked(&opaque[i]);
		assert_revoked(&jwts[i]);
	}
	produce("{\"n\":3}");
	for (size_t i = 0; i < REPLICAS; i++) {
		assert_gets(&others[i], "{\"n\":3}");
		watch_close(&others[i]);
	}
	snprintf(claims, sizeof(claims), "{\"sub\":\"bob\",\"iat\":%lld}",
		 (long long)time(NULL) + 1);
	assert_int_equal(ask(1, "/users/bob", issue(claims), NULL), 200);
	assert_int_equal(ask(1, "/users/bob", issue("{\"sub\":\"bob\"}"), NULL), 401);
	assert_int_equal(ask(1, "/users/bob", create("bob", "{}", NULL, NULL), NULL), 200);
}

/* A JWT is revoked by its id. */
static void test_opaque_tokens_jwt_is_revoked_by_jti(void **state)
{
	const char *jwt = issue("{\"sub\":\"ada\",\"jti\":\"login 7\"}");
	const char *other = issue("{\"sub\":\"ada\",\"jti\":\"login 8\"}");
	struct watch watches[REPLICAS] = {{0}}, lasting = {0};

	(void)state;
	for (size_t i = 0; i < REPLICAS; i++)
		must_open(&watches[i], i, "/users/ada", jwt);
	must_open(&lasting, 0, "/users/ada", other);
	MUST_RUN("token", "revoke", "--jti", "login 7");
	for (size_t i = 0; i < REPLICAS; i++)
		assert_revoked(&watches[i]);
	produce("{\"n\":4}");
	assert_gets(&lasting, "{\"n\":4}");
	watch_close(&lasting);
}

/* A token that expires ends its stream with `timeout`. */
static void test_opaque_tokens_expire(void **state)
{
	const char *token = create("ada", "{}", "3s", NULL);
	struct watch watch = {0};

	(void)state;
	must_open(&watch, 0, "/users/ada", token);
	assert_true(watch_until_closed(&watch));
	assert_string_equal(watch.events[watch.count - 1].type, "timeout");
	assert_int_equal(sse_client_facts(watch.client).status, 401);
	watch_close(&watch);
	assert_int_equal(ask(1, "/users/ada", token, NULL), 401);
}

/* Whenever the revocation comes, before, while or after a stream opens: none stays open. */
static void test_opaque_tokens_revoked_while_opening_leave_no_stream(void **state)
{
	enum { ROUNDS = 10, STREAMS = 12 };

	(void)state;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		struct watch watches[STREAMS] = {{0}};
		char id[24];
		const char *token = create("ada", "{}", NULL, id);
		const char *argv[] = {getenv("SLUICE_BINARY"), "token", "revoke", "--config",
				      gateways[0].config,      "--id",  id,       NULL};
		struct child child;

		child_init(&child, "revoke");
		child_start(&child, argv);
		for (size_t i = 0; i < STREAMS; i++) {
			open_with_token(&watches[i], i % REPLICAS, "/users/ada", token,
					SSE_CLIENT_HTTP1, false);
			sse_client_loop_run(loop, round / 3);
		}
		for (size_t i = 0; i < STREAMS; i++) {
			assert_true(watch_until_closed(&watches[i]));
			assert_int_equal(sse_client_facts(watches[i].client).status, 401);
			watch_close(&watches[i]);
		}
		assert_int_equal(child_wait(&child, PATIENCE_MS), 0);
	}
}

/* A request that was let in and waits for something else when its token is revoked: its stream ends
 * as soon as it begins. */
static void test_opaque_tokens_revoked_before_the_stream_begins_end_it(void **state)
{
	static const char waiting[] = "select count(*) from pg_locks where not granted";
	PGconn *lock = PQconnectdb(postgres.url);
	struct watch open = {0}, late = {0};
	char id[24];
	const char *token = create("ada", "{}", NULL, id);
	uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;

	(void)state;
	must_open(&open, 0, "/users/ada", token);
	PQclear(PQexec(lock, "begin; lock table stream_cursor"));
	open_with_token(&late, 0, "/users/ada?cursor=late", token, SSE_CLIENT_HTTP1, false);
	while (postgres_server_ask(&postgres, waiting) < 1 && clock_monotonic_ms() < deadline_ms)
		sse_client_loop_run(loop, 10);
	MUST_RUN("token", "revoke", "--id", id);
	assert_revoked(&open);
	assert_int_equal(late.count, 0);
	PQfinish(lock);
	assert_revoked(&late);
}

/* A revocation that nobody was told of, because the listening connection was cut, is found when it
 * is back. */
static void test_opaque_tokens_missed_notification_is_made_up_for(void **state)
{
	char id[24], sql[512];
	const char *token = create("ada", "{}", NULL, id),
		   *lasting = create("ada", "{}", NULL, NULL);
	const char *jwt = issue("{\"sub\":\"ada\",\"jti\":\"missed\"}");
	struct watch opaque[REPLICAS] = {{0}}, jwts[REPLICAS] = {{0}}, others[REPLICAS] = {{0}};

	(void)state;
	for (size_t i = 0; i < REPLICAS; i++) {
		must_open(&opaque[i], i, "/users/ada", token);
		must_open(&jwts[i], i, "/users/ada", jwt);
		must_open(&others[i], i, "/users/ada", lasting);
	}
	/* Without its triggers the change tells nobody, as when nobody listens. */
	snprintf(sql, sizeof(sql),
		 "set session_replication_role = replica;"
		 "update token set revoked_at = now() where token_id = %s;"
		 "insert into revocation (kind, value) values ('jti', 'missed')",
		 id);
	postgres_server_execute(&postgres, sql);
	/* Once that is committed: they read the tables as soon as they are back. */
	postgres_server_execute(&postgres, "select pg_terminate_backend(pid) from pg_stat_activity"
					   " where application_name = 'sluice notifications'");
	for (size_t i = 0; i < REPLICAS; i++) {
		assert_revoked(&opaque[i]);
		assert_revoked(&jwts[i]);
	}
	produce("{\"n\":5}");
	for (size_t i = 0; i < REPLICAS; i++) {
		assert_gets(&others[i], "{\"n\":5}");
		watch_close(&others[i]);
	}
}

/* Without PostgreSQL the streams go on and known tokens open new ones; of unknown ones nothing is
 * said but to come again. After a crash everything goes on. */
static void test_opaque_tokens_without_postgres_known_ones_go_on(void **state)
{
	char id[24];
	const char *known = create("ada", "{}", NULL, id),
		   *unknown = create("ada", "{}", NULL, NULL);
	struct watch watches[REPLICAS] = {{0}};
	bool retry_after;
	long status;

	(void)state;
	for (size_t i = 0; i < REPLICAS; i++)
		must_open(&watches[i], i, "/users/ada", known);
	private_postgres_kill(postgres.cluster);
	status = ask(0, "/users/ada", unknown, &retry_after);
	assert_int_equal(status, 503);
	assert_true(retry_after);
	assert_int_equal(ask(0, "/public", unknown, NULL), 200);
	assert_int_equal(ask(0, "/users/ada", known, NULL), 200);
	assert_int_equal(ask(0, "/users/ada", issue("{\"sub\":\"ada\"}"), NULL), 200);
	produce("{\"n\":6}");
	for (size_t i = 0; i < REPLICAS; i++)
		assert_gets(&watches[i], "{\"n\":6}");
	postgres_server_restart(&postgres);
	while ((status = ask(0, "/users/ada", unknown, NULL)) == 503)
		child_sleep_ms(50);
	assert_int_equal(status, 200);
	/* Whether the listeners are back yet or not. */
	MUST_RUN("token", "revoke", "--id", id);
	for (size_t i = 0; i < REPLICAS; i++)
		assert_revoked(&watches[i]);
}

/* A PostgreSQL that does not answer keeps a request waiting for some seconds, not for ever. */
static void test_opaque_tokens_silent_postgres_is_503(void **state)
{
	const char *unknown = create("ada", "{}", NULL, NULL);
	bool retry_after;
	long status;

	(void)state;
	private_postgres_pause(postgres.cluster);
	status = ask(0, "/users/ada", unknown, &retry_after);
	private_postgres_resume(postgres.cluster);
	assert_int_equal(status, 503);
	assert_true(retry_after);
	while ((status = ask(0, "/users/ada", unknown, NULL)) == 503)
		child_sleep_ms(50);
	assert_int_equal(status, 200);
}

/* Made-up tokens cost PostgreSQL no more than the rate, and keep no known token out. */
static void test_opaque_tokens_made_up_ones_are_limited(void **state)
{
	const char *known = create("ada", "{}", NULL, NULL);
	char made_up[] = "slc_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
	long refused = 0, limited = 0;
	char digits[16];

	(void)state;
	assert_int_equal(ask(0, "/users/ada", known, NULL), 200);
	for (int i = 0; i < 2000; i++) {
		long status;

		snprintf(digits, sizeof(digits), "%08d", i);
		memcpy(made_up + 4, digits, 8);
		status = ask(0, "/users/ada", made_up, NULL);
		refused += status == 401;
		limited += status == 503;
	}
	assert_int_equal(refused + limited, 2000);
	print_message("%ld refused, %ld not looked up\n", refused, limited);
	assert_int_equal(ask(0, "/users/ada", known, NULL), 200);
}

/* Wrong arguments are told from what went wrong, and each says what would be right. */
static void test_opaque_tokens_command_says_what_is_wrong(void **state)
{
	static const struct {
		const char *arguments[12];
		int code;
		const char *said;
	} rows[] = {
	    {{"token"}, 2, "usage: sluice token create"},
	    {{"token", "make"}, 2, "usage: "},
	    {{"token", "create"}, 2, "usage: "},
	    {{"token", "create", "--subject", "a", "--id", "1"}, 2, "usage: "},
	    {{"token", "create", "--subject", "a", "extra"}, 2, "usage: "},
	    {{"token", "list", "--claims", "{}"}, 2, "usage: "},
	    {{"token", "revoke"}, 2, "usage: "},
	    {{"token", "revoke", "--id", "1", "--jti", "a"}, 2, "usage: "},
	    {{"token", "revoke", "--id", "1", "--expires", "1h"}, 2, "usage: "},
	    {{"token", "create", "--subject", ""}, 1, "--subject must be 1 to 255 characters"},
	    {{"token", "create", "--subject", "\xc3("}, 1, "of UTF-8"},
	    {{"token", "create", "--subject", "a", "--claims", "{\"a\":\n  1,}"},
	     1,
	     "--claims, line 2, column 5: "},
	    {{"token", "create", "--subject", "a", "--claims", "[1]"}, 1, "must be a JSON object"},
	    {{"token", "create", "--subject", "a", "--claims", "{\"a\":1,\"a\":2}"},
	     1,
	     "duplicate object key"},
	    {{"token", "create", "--subject", "a", "--claims", "{\"exp\":1}"}, 1, "by --expires"},
	    {{"token", "create", "--subject", "a", "--claims", "{\"sub\":\"b\"}"},
	     1,
	     "by --subject"},
	    {{"token", "create", "--subject", "a", "--expires", "soon"}, 1, "12h, 30d"},
	    {{"token", "create", "--subject", "a", "--expires", "-1d"}, 1, "12h, 30d"},
	    {{"token", "create", "--subject", "a", "--expires", "0s"}, 1, "12h, 30d"},
	    {{"token", "create", "--subject", "a", "--expires", "99999999999999999999d"}, 1, "12h"},
	    {{"token", "create", "--subject", "a", "--expires", "1dd"}, 1, "12h, 30d"},
	    {{"token", "revoke", "--id", "one"}, 1, "must be a number"},
	    {{"token", "revoke", "--id", "99999"}, 1, "there is no token 99999: sluice token list"},
	    {{"token", "revoke", "--jti", ""}, 1, "--jti must be 1 to 255 characters"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *arguments[16];
		size_t count = 0;
		char *said;
		int code;

		while (rows[i].arguments[count]) {
			arguments[count] = rows[i].arguments[count];
			count++;
		}
		if (count > 2) {
			arguments[count++] = "--config";
			arguments[count++] = gateways[0].config;
		}
		arguments[count] = NULL;
		said = gateway_process_run(&gateways[0], arguments, &code);
		if (code != rows[i].code || !strstr(said, rows[i].said))
			fail_msg("row %zu: %d: %s", i, code, said);
		free(said);
	}
}

/* The list shows what there is, without a terminal's commands, and is JSON where that is asked
 * for. */
static void test_opaque_tokens_command_lists_them(void **state)
{
	json_t *list, *row;
	char *said;
	int code;

	(void)state;
	said = RUN(&code, "token", "create", "--subject", "l\xc3\xa9\x1b[2J", "--claims",
		   "{\"a\":[1]}", "--expires", "30d");
	token_of(said, code, NULL);
	said = RUN(&code, "token", "list", "--subject", "l\xc3\xa9\x1b[2J");
	assert_int_equal(code, 0);
	assert_non_null(strstr(said, " valid "));
	assert_null(strchr(said, '\x1b'));
	free(said);
	said = RUN(&code, "token", "list", "--json", "--subject", "l\xc3\xa9\x1b[2J");
	list = json_loads(said, 0, NULL);
	assert_int_equal(json_array_size(list), 1);
	row = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(row, "subject")), "l\xc3\xa9\x1b[2J");
	assert_true(json_is_null(json_object_get(row, "revoked")));
	assert_int_equal(json_string_length(json_object_get(row, "expires")), 24);
	assert_int_equal(json_array_size(json_object_get(json_object_get(row, "claims"), "a")), 1);
	json_decref(list);
	free(said);
	said = RUN(&code, "token", "list", "--json", "--subject", "nobody");
	list = json_loads(said, 0, NULL);
	assert_true(json_is_array(list) && json_array_size(list) == 0);
	json_decref(list);
	free(said);
}

/* A replica that stops lets go of the tokens that its streams hold, and starts again. */
static void test_opaque_tokens_held_at_the_stop_are_let_go(void **state)
{
	const char *token = create("ada", "{}", NULL, NULL);
	struct watch watches[4] = {{0}};

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_true(open_with_token(
		    &watches[i], 1, "/users/ada", token,
		    i % 2 ? SSE_CLIENT_HTTP1 : SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE, true));
	assert_int_equal(gateway_process_stop(&gateways[1]), 0);
	for (size_t i = 0; i < 4; i++)
		watch_close(&watches[i]);
	gateway_process_start_ready(&gateways[1]);
	assert_int_equal(ask(1, "/users/ada", token, NULL), 200);
}

/* No token is in a log, though they are written at their most detailed, nor in the database. Last:
 * every other test's log is looked at. */
static void test_opaque_tokens_are_never_logged_or_stored(void **state)
{
	(void)state;
	postgres_server_execute(
	    &postgres,
	    "do $$ begin"
	    " assert not exists (select from token t where t::text like '%slc_%'); end $$");
	for (size_t replica = 0; replica < REPLICAS; replica++) {
		char *log = child_read_file(gateways[replica].child.log);

		assert_non_null(strstr(log, "\"level\":\"debug\""));
		assert_true(token_count > 10);
		for (size_t i = 0; i < token_count; i++)
			assert_null(strstr(log, tokens[i] + 4));
		assert_null(strstr(log, "slc_"));
		assert_null(strstr(log, "Bearer "));
		assert_null(strstr(log, SECRET));
		free(log);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    LOOP_TEST(test_opaque_tokens_open_streams_by_their_claims),
	    LOOP_TEST(test_opaque_tokens_unknown_ones_are_refused),
	    LOOP_TEST(test_opaque_tokens_revoked_by_id_end_their_streams),
	    LOOP_TEST(test_opaque_tokens_revoked_by_subject_end_all_of_its_streams),
	    LOOP_TEST(test_opaque_tokens_jwt_is_revoked_by_jti),
	    LOOP_TEST(test_opaque_tokens_expire),
	    LOOP_TEST(test_opaque_tokens_revoked_while_opening_leave_no_stream),
	    LOOP_TEST(test_opaque_tokens_revoked_before_the_stream_begins_end_it),
	    LOOP_TEST(test_opaque_tokens_missed_notification_is_made_up_for),
	    LOOP_TEST(test_opaque_tokens_command_says_what_is_wrong),
	    LOOP_TEST(test_opaque_tokens_command_lists_them),
	    LOOP_TEST(test_opaque_tokens_without_postgres_known_ones_go_on),
	    LOOP_TEST(test_opaque_tokens_silent_postgres_is_503),
	    LOOP_TEST(test_opaque_tokens_made_up_ones_are_limited),
	    LOOP_TEST(test_opaque_tokens_held_at_the_stop_are_let_go),
	    LOOP_TEST(test_opaque_tokens_are_never_logged_or_stored),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
