/* Through auth.h, on a real PostgreSQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "auth/auth.h"
#include "auth/opaque_token.h"
#include "postgres/notifications.h"
#include "postgres/tokens.h"
#include "unit/auth/signer.h"
#include "unit/postgres/journal_fixture.h"

static struct signer secret;
static char *algorithms[] = {(char[]){"HS256"}};
static struct auth_issuer issuer;
static struct auth_settings settings;
static struct auth *auth;
static struct notifications *notifications;
static struct database *database;

/* What on_change tells. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned changes;

static void on_change(void *context)
{
	(void)context;
	pthread_mutex_lock(&lock);
	changes++;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/* Waits until a condition holds, looking at it after every change and now and then. */
static bool wait_until(bool (*holds)(const void *context), const void *context)
{
	uint64_t deadline_ms = clock_monotonic_ms() + CLUSTER_PATIENCE_MS;

	while (!holds(context)) {
		struct timespec soon;

		if (clock_monotonic_ms() > deadline_ms)
			return false;
		clock_gettime(CLOCK_REALTIME, &soon);
		soon.tv_nsec += 20 * 1000 * 1000;
		if (soon.tv_nsec >= 1000 * 1000 * 1000) {
			soon.tv_sec++;
			soon.tv_nsec -= 1000 * 1000 * 1000;
		}
		pthread_mutex_lock(&lock);
		pthread_cond_timedwait(&changed, &lock, &soon);
		pthread_mutex_unlock(&lock);
	}
	return true;
}

static bool is_in_step(const void *context)
{
	char why[256];

	(void)context;
	return notifications_ready(notifications, why);
}

static int start(void **state)
{
	if (fixture_reset(state))
		return -1;
	secret = signer_new_secret();
	issuer = (struct auth_issuer){
	    .algorithms = algorithms,
	    .algorithm_count = 1,
	    .secret = secret.secret,
	    .secret_len = sizeof(secret.secret),
	};
	settings = (struct auth_settings){
	    .issuers = &issuer, .issuer_count = 1, .opaque = true, .opaque_cache = 16};
	if (auth_new(&settings, on_change, NULL, &auth))
		return -1;
	notifications = notifications_new(&cluster.settings);
	auth_use_postgres(auth, &cluster.settings, notifications);
	notifications_start(notifications);
	database = database_new(&cluster.settings, "sluice test");
	return wait_until(is_in_step, NULL) ? 0 : -1;
}

static int stop(void **state)
{
	(void)state;
	notifications_stop(notifications);
	auth_free(auth);
	notifications_free(notifications);
	database_free(database);
	return 0;
}

struct asking {
	struct slice token;
	struct auth_identity *identity;
	const char *reason;
	int rc;
};

static bool is_answered(const void *context)
{
	struct asking *asking = *(struct asking *const *)context;

	asking->rc = auth_verify(auth, asking->token, asking->identity, &asking->reason);
	return asking->rc != ERROR_PENDING;
}

/* Waits while the answer is pending. */
static int verify(const char *token, struct auth_identity *identity, const char **reason)
{
	struct asking asking = {.token = slice_of(token), .identity = identity};
	struct asking *context = &asking;

	if (!wait_until(is_answered, &context))
		fail_msg("the answer is pending for ever");
	if (reason)
		*reason = asking.reason;
	return asking.rc;
}

static void assert_verified(const char *token)
{
	struct auth_identity identity;

	assert_int_equal(verify(token, &identity, NULL), 0);
	auth_identity_fini(&identity);
}

static void assert_refused(const char *token, int code, const char *expected)
{
	struct auth_identity identity;
	const char *reason;

	assert_int_equal(verify(token, &identity, &reason), code);
	assert_string_equal(reason, expected);
}

/* A new token in *text. Its id. */
static int64_t create(char text[OPAQUE_TOKEN_CHARS + 1], const char *subject, const char *claims)
{
	uint8_t digest[OPAQUE_TOKEN_DIGEST_BYTES];
	int64_t id;

	opaque_token_make(text);
	opaque_token_digest(slice_of(text), digest);
	assert_int_equal(tokens_create(database,
				       &(struct tokens_new){
					   .sha256 = {(const char *)digest, sizeof(digest)},
					   .subject = slice_of(subject),
					   .claims = slice_of(claims),
					   .expires_us = TOKENS_NEVER,
				       },
				       &id),
			 0);
	return id;
}

static bool is_revoked(const void *holder)
{
	return auth_is_revoked(auth, holder);
}

static bool is_counted(const void *count)
{
	size_t tokens, revocations;

	auth_counts(auth, &tokens, &revocations);
	return revocations == *(const size_t *)count;
}

/* An opaque token says what its row says, with its subject. */
static void test_token_registry_opaque_token_gives_its_claims(void **state)
{
	char token[OPAQUE_TOKEN_CHARS + 1];
	struct auth_identity identity;

	(void)state;
	create(token, "ada", "{\"role\":[\"a\",1]}");
	assert_int_equal(verify(token, &identity, NULL), 0);
	assert_string_equal(json_string_value(json_object_get(identity.claims, "sub")), "ada");
	assert_int_equal(json_array_size(json_object_get(identity.claims, "role")), 2);
	assert_true(identity.expires_unix_ms == INT64_MAX && identity.holder);
	assert_false(auth_is_revoked(auth, identity.holder));
	auth_identity_fini(&identity);
}

/* What is no token of ours is refused without a look-up; what could be one is not known. */
static void test_token_registry_others_are_refused(void **state)
{
	char token[OPAQUE_TOKEN_CHARS + 1];

	(void)state;
	opaque_token_make(token);
	assert_refused(token, ERROR_INVALID, "the token is not known");
	assert_refused("secret", ERROR_INVALID,
		       "the token is neither a JWT nor one of this gateway's");
	assert_refused("a.b", ERROR_INVALID,
		       "the token is neither a JWT nor one of this gateway's");
	assert_refused("a.b.c", ERROR_INVALID, "the token's header is not a JSON object");
}

/* A token that was refused counts as soon as it is created. */
static void test_token_registry_new_token_counts_after_its_refusal(void **state)
{
	uint8_t digest[OPAQUE_TOKEN_DIGEST_BYTES];
	char token[OPAQUE_TOKEN_CHARS + 1], sql[256], hex[65];
	struct auth_identity identity;
	const char *reason;

	(void)state;
	opaque_token_make(token);
	assert_refused(token, ERROR_INVALID, "the token is not known");
	opaque_token_digest(slice_of(token), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	snprintf(sql, sizeof(sql),
		 "insert into token (sha256, subject) values (decode('%s', 'hex'), 's')", hex);
	fixture_execute(sql);
	while (verify(token, &identity, &reason) == ERROR_INVALID)
		usleep(1000);
	auth_identity_fini(&identity);
}

/* Its holder learns that it was revoked, by the token itself or by its subject, and no other one
 * does. */
static void test_token_registry_revoked_token_is_lost(void **state)
{
	char first[OPAQUE_TOKEN_CHARS + 1], second[OPAQUE_TOKEN_CHARS + 1],
	    other[OPAQUE_TOKEN_CHARS + 1];
	struct auth_identity held[3];
	uint64_t generation = auth_revocation_generation(auth), revoked;
	int64_t id = create(first, "ada", "{}");

	(void)state;
	create(second, "bob", "{}");
	create(other, "eve", "{}");
	assert_int_equal(verify(first, &held[0], NULL), 0);
	assert_int_equal(verify(second, &held[1], NULL), 0);
	assert_int_equal(verify(other, &held[2], NULL), 0);
	assert_int_equal(tokens_revoke(database, id), 0);
	assert_true(wait_until(is_revoked, held[0].holder));
	assert_int_not_equal(auth_revocation_generation(auth), generation);
	assert_false(auth_is_revoked(auth, held[1].holder));
	assert_int_equal(tokens_revoke_subject(database, SLICE_LIT("bob"), TOKENS_NEVER, &revoked),
			 0);
	assert_true(wait_until(is_revoked, held[1].holder));
	assert_false(auth_is_revoked(auth, held[2].holder));
	assert_refused(first, ERROR_INVALID, "the token has been revoked");
	assert_refused(second, ERROR_INVALID, "the token has been revoked");
	/* What is made after it counts. */
	create(second, "bob", "{}");
	assert_verified(second);
	for (size_t i = 0; i < 3; i++)
		auth_identity_fini(&held[i]);
}

/* A token that is not in the cache any more, but held by a stream, is not overlooked. */
static void test_token_registry_held_token_outlives_the_cache(void **state)
{
	char token[OPAQUE_TOKEN_CHARS + 1], more[OPAQUE_TOKEN_CHARS + 1];
	struct auth_identity held;
	int64_t id = create(token, "ada", "{}");

	(void)state;
	assert_int_equal(verify(token, &held, NULL), 0);
	for (size_t i = 0; i < 2 * (size_t)settings.opaque_cache; i++) {
		create(more, "bob", "{}");
		assert_verified(more);
	}
	assert_int_equal(tokens_revoke(database, id), 0);
	assert_true(wait_until(is_revoked, held.holder));
	auth_identity_fini(&held);
}

static char *issue(const char *claims)
{
	return signer_token(&secret, "HS256", NULL, claims);
}

/* A JWT is revoked by its jti, or by its subject where it was issued before; one that does not say
 * when it was issued is older than any revocation. */
static void test_token_registry_jwts_are_revoked(void **state)
{
	static const struct {
		const char *claims;
		bool revoked;
	} rows[] = {
	    {"{\"jti\":\"one\"}", true},
	    {"{\"jti\":\"two\"}", false},
	    {"{\"jti\":\"ada\",\"sub\":\"one\",\"iat\":1}", false},
	    {"{\"jti\":1}", false},
	    {"{\"jti\":\"one\\n\"}", false},
	    {"{\"sub\":\"ada\"}", true},
	    {"{\"sub\":\"ada\",\"iat\":1500000000}", true},
	    {"{\"sub\":\"ada\",\"iat\":1500000000.25}", true},
	    {"{\"sub\":\"ada\",\"iat\":\"4000000000\"}", true},
	    {"{\"sub\":\"ada\",\"iat\":1e300}", true},
	    {"{\"sub\":\"ada\",\"iat\":-1e300}", true},
	    {"{\"sub\":\"ada\",\"iat\":4000000000}", false},
	    {"{\"sub\":\"ada\",\"iat\":4000000000,\"jti\":\"one\"}", true},
	    {"{\"sub\":\"Ada\"}", false},
	    {"{\"sub\":[\"ada\"]}", false},
	    {"{}", false},
	};
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	struct auth_identity held[ROWS];
	uint64_t revoked;
	size_t two = 2;

	(void)state;
	for (size_t i = 0; i < ROWS; i++) {
		char *token = issue(rows[i].claims);

		assert_int_equal(verify(token, &held[i], NULL), 0);
		free(token);
	}
	assert_int_equal(tokens_revoke_jti(database, SLICE_LIT("one"), TOKENS_NEVER), 0);
	assert_int_equal(tokens_revoke_subject(database, SLICE_LIT("ada"), TOKENS_NEVER, &revoked),
			 0);
	assert_true(wait_until(is_counted, &two));
	for (size_t i = 0; i < ROWS; i++) {
		char *token = issue(rows[i].claims);

		print_message("%s\n", rows[i].claims);
		assert_int_equal(auth_is_revoked(auth, held[i].holder), rows[i].revoked);
		auth_identity_fini(&held[i]);
		if (rows[i].revoked)
			assert_refused(token, ERROR_INVALID, "the token has been revoked");
		else
			assert_verified(token);
		free(token);
	}
}

/* A revocation that is taken out of the table holds no longer. */
static void test_token_registry_removed_revocation_holds_no_more(void **state)
{
	char *token = issue("{\"jti\":\"one\"}");
	size_t one = 1, none = 0;

	(void)state;
	assert_int_equal(tokens_revoke_jti(database, SLICE_LIT("one"), TOKENS_NEVER), 0);
	assert_true(wait_until(is_counted, &one));
	assert_refused(token, ERROR_INVALID, "the token has been revoked");
	fixture_execute("delete from revocation");
	assert_true(wait_until(is_counted, &none));
	assert_verified(token);
	free(token);
}

/* What is revoked while nobody listens is made up for when the connection is back. */
static void test_token_registry_missed_notifications_are_made_up_for(void **state)
{
	char first[OPAQUE_TOKEN_CHARS + 1], second[OPAQUE_TOKEN_CHARS + 1],
	    kept[OPAQUE_TOKEN_CHARS + 1];
	char *jwt = issue("{\"jti\":\"one\",\"sub\":\"bob\"}");
	struct auth_identity held[4];
	char sql[512];
	long long id = create(first, "ada", "{}");

	(void)state;
	create(second, "eve", "{}");
	create(kept, "ada", "{}");
	assert_int_equal(verify(first, &held[0], NULL), 0);
	assert_int_equal(verify(second, &held[1], NULL), 0);
	assert_int_equal(verify(jwt, &held[2], NULL), 0);
	assert_int_equal(verify(kept, &held[3], NULL), 0);
	/* Without its triggers the table tells nobody: as though nobody had listened. */
	snprintf(sql, sizeof(sql),
		 "set session_replication_role = replica;"
		 "update token set revoked_at = now() where token_id = %lld;"
		 "delete from token where subject = 'eve';"
		 "insert into revocation (kind, value) values ('jti', 'one');"
		 "set session_replication_role = origin",
		 id);
	fixture_execute(sql);
	/* Once that is committed: it reads the tables as soon as it is back. */
	fixture_execute("select pg_terminate_backend(pid) from pg_stat_activity"
			" where application_name = 'sluice notifications'");
	assert_true(wait_until(is_revoked, held[0].holder));
	assert_true(wait_until(is_revoked, held[1].holder));
	assert_true(wait_until(is_revoked, held[2].holder));
	assert_true(wait_until(is_in_step, NULL));
	assert_false(auth_is_revoked(auth, held[3].holder));
	for (size_t i = 0; i < 4; i++)
		auth_identity_fini(&held[i]);
	free(jwt);
}

static bool is_unavailable(const void *token)
{
	struct auth_identity identity;

	return verify(token, &identity, NULL) == ERROR_UNAVAILABLE;
}

static bool is_known_again(const void *token)
{
	struct auth_identity identity;

	if (verify(token, &identity, NULL))
		return false;
	auth_identity_fini(&identity);
	return true;
}

/* While PostgreSQL is away known tokens and JWTs count; others are neither good nor bad. */
static void test_token_registry_without_postgres_known_tokens_count(void **state)
{
	char known[OPAQUE_TOKEN_CHARS + 1], unknown[OPAQUE_TOKEN_CHARS + 1];
	char *jwt = issue("{\"sub\":\"ada\"}");

	(void)state;
	create(known, "ada", "{}");
	create(unknown, "ada", "{}");
	assert_verified(known);
	cluster_stop();
	assert_true(wait_until(is_unavailable, unknown));
	assert_verified(known);
	assert_verified(jwt);
	cluster_start();
	assert_true(wait_until(is_known_again, unknown));
	free(jwt);
	PQreset(fixture_sql);
}

/* Whoever may connect may notify: what is no change of ours does no harm, and what is written into
 * the tables by hand neither. */
static void test_token_registry_hostile_rows_and_payloads_do_no_harm(void **state)
{
	static const char *const statements[] = {
	    "notify sluice_auth",
	    "notify sluice_auth, ''",
	    "notify sluice_auth, 'token:'",
	    "notify sluice_auth, 'token:zz'",
	    "notify sluice_auth, 'token:0'",
	    "select pg_notify('sluice_auth', 'token:' || repeat('F', 64))",
	    "select pg_notify('sluice_auth', 'token:' || repeat('f', 64))",
	    "select pg_notify('sluice_auth', 'token:' || repeat('f', 7000))",
	    "notify sluice_auth, 'jti:'",
	    "notify sluice_auth, 'subject:'",
	    "select pg_notify('sluice_auth', 'subject:' || repeat('x', 7000))",
	    "select pg_notify('sluice_auth', e'jti:a\\r\\nb'';--')",
	    "notify sluice_auth, 'sub'",
	    "notify sluice_auth, 'jtione'",
	    "insert into revocation (kind, value, revoked_at, expires_at)"
	    " values ('jti', 'far', 'infinity', 'infinity')",
	    "insert into revocation (kind, value, revoked_at, expires_at)"
	    " values ('subject', 'far', '-infinity', '294000-01-01')",
	    "insert into token (sha256, subject, claims, expires_at) select sha256('x'),"
	    " repeat('s', 255), jsonb_build_object('n', repeat('9', 400)::numeric), 'infinity'",
	};
	char token[OPAQUE_TOKEN_CHARS + 1];
	struct auth_identity held;
	size_t three = 3;

	(void)state;
	create(token, "ada", "{}");
	assert_int_equal(verify(token, &held, NULL), 0);
	for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++)
		fixture_execute(statements[i]);
	assert_int_equal(tokens_revoke_jti(database, SLICE_LIT("last"), TOKENS_NEVER), 0);
	assert_true(wait_until(is_counted, &three));
	assert_true(wait_until(is_in_step, NULL));
	assert_false(auth_is_revoked(auth, held.holder));
	auth_identity_fini(&held);
}

/* It stops while somebody waits for an answer. */
static void test_token_registry_stop_while_busy_is_clean(void **state)
{
	struct auth_identity identity;
	const char *reason;

	(void)state;
	private_postgres_pause(cluster.postgres);
	for (int i = 0; i < 600; i++) {
		char token[OPAQUE_TOKEN_CHARS + 1];

		opaque_token_make(token);
		assert_int_equal(auth_verify(auth, slice_of(token), &identity, &reason),
				 ERROR_PENDING);
	}
	notifications_stop(notifications);
	auth_free(auth);
	notifications_free(notifications);
	private_postgres_resume(cluster.postgres);
	database_free(database);
}

int main(void)
{
#define STARTED(test) cmocka_unit_test_setup_teardown(test, start, stop)
	const struct CMUnitTest tests[] = {
	    STARTED(test_token_registry_opaque_token_gives_its_claims),
	    STARTED(test_token_registry_others_are_refused),
	    STARTED(test_token_registry_new_token_counts_after_its_refusal),
	    STARTED(test_token_registry_revoked_token_is_lost),
	    STARTED(test_token_registry_held_token_outlives_the_cache),
	    STARTED(test_token_registry_jwts_are_revoked),
	    STARTED(test_token_registry_removed_revocation_holds_no_more),
	    STARTED(test_token_registry_missed_notifications_are_made_up_for),
	    STARTED(test_token_registry_without_postgres_known_tokens_count),
	    STARTED(test_token_registry_hostile_rows_and_payloads_do_no_harm),
	    cmocka_unit_test_setup(test_token_registry_stop_while_busy_is_clean, start),
	};

	return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
