#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <curl/curl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>

#include "auth/auth_priv.h"
#include "auth/jwks_transfer_priv.h"
#include "base/log.h"
#include "base/metrics.h"
#include "unit/auth/http_server.h"
#include "unit/auth/signer.h"

#define HOUR_MS (3600 * 1000)
#define CLAIMS  "{\"sub\":\"u\"}"

static struct signer old_key;
static struct signer new_key;
static char *old_set;  /* the old key alone, kid "old" */
static char *both_set; /* and the new one, kid "new" */
static char *old_token;
static char *new_token;

static char es256[] = "ES256";
static char *algorithms[] = {es256};

/* Tokens may ask for one reading, and for no other within the test; a failure is not tried again.
 */
static const struct jwks_fetch_limits patient = {
    .connect_ms = 10 * 1000,
    .total_ms = 30 * 1000,
    .body_bytes = 64 * 1024,
    .demand_gap_ms = HOUR_MS,
    .demand_wait_ms = 1000,
    .retry_first_ms = HOUR_MS,
    .retry_last_ms = HOUR_MS,
};

/* An auth of one issuer whose keys come from one place, and what on_change told. */
struct bench {
	struct auth_issuer issuer;
	struct auth_settings settings;
	struct auth *auth;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned changes;
	unsigned seen;
};

static void count_change(void *context)
{
	struct bench *bench = context;
	pthread_mutex_lock(&bench->lock);
	bench->changes++;
	pthread_cond_broadcast(&bench->changed);
	pthread_mutex_unlock(&bench->lock);
}

/* Until one more fetch has ended. */
static void wait_change(struct bench *bench)
{
	pthread_mutex_lock(&bench->lock);
	while (bench->changes == bench->seen)
		pthread_cond_wait(&bench->changed, &bench->lock);
	bench->seen++;
	pthread_mutex_unlock(&bench->lock);
}

static struct bench *bench_new(char *url, char *file)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	bench->issuer = (struct auth_issuer){
	    .algorithms = algorithms, .algorithm_count = 1, .jwks_url = url, .jwks_file = file};
	bench->settings = (struct auth_settings){.issuers = &bench->issuer, .issuer_count = 1};
	pthread_mutex_init(&bench->lock, NULL);
	pthread_cond_init(&bench->changed, NULL);
	return bench;
}

static void bench_open(struct bench *bench, const struct jwks_fetch_limits *limits)
{
	assert_int_equal(
	    auth_new_limited(&bench->settings, limits, count_change, bench, &bench->auth), 0);
}

static void bench_free(struct bench *bench)
{
	if (bench->auth)
		auth_free(bench->auth);
	pthread_cond_destroy(&bench->changed);
	pthread_mutex_destroy(&bench->lock);
	free(bench->issuer.jwks_url);
	free(bench->issuer.jwks_file);
	free(bench);
}

static int verify(struct bench *bench, const char *token)
{
	struct auth_identity identity;
	const char *reason;
	int result = auth_verify(bench->auth, slice_of(token), &identity, &reason);
	if (!result)
		auth_identity_fini(&identity);
	return result;
}

/* A server with the old set, and an auth that has read it. */
static struct bench *open_loaded(struct http_server *server)
{
	struct bench *bench = bench_new(http_server_url(server, "/jwks.json"), NULL);
	http_server_set_json(server, old_set);
	bench_open(bench, &patient);
	wait_change(bench);
	assert_int_equal(verify(bench, old_token), 0);
	return bench;
}

/* Tokens wait while the first fetch is under way, and /readyz says for what. */
static void test_jwks_fetch_before_the_first_answer_is_pending(void **state)
{
	struct http_server *server = http_server_start(NULL);
	struct bench *bench = bench_new(http_server_url(server, "/jwks.json?key=hidden"), NULL);
	char why[256] = "";
	(void)state;
	http_server_set_json(server, old_set);
	http_server_hold(server, true);
	bench_open(bench, &patient);
	assert_int_equal(verify(bench, old_token), ERROR_PENDING);
	assert_false(auth_ready(bench->auth, why));
	assert_non_null(strstr(why, "/jwks.json"));
	assert_null(strstr(why, "hidden"));
	http_server_hold(server, false);
	wait_change(bench);
	assert_int_equal(verify(bench, old_token), 0);
	assert_true(auth_ready(bench->auth, why));
	/* Those who waited have not used up the demand. */
	assert_int_equal(verify(bench, new_token), ERROR_PENDING);
	bench_free(bench);
	http_server_stop(server);
}

/* A key that is published later is found when the first token comes with it. */
static void test_jwks_fetch_key_added_later_is_picked_up(void **state)
{
	struct http_server *server = http_server_start(NULL);
	struct bench *bench = open_loaded(server);
	(void)state;
	http_server_set_json(server, both_set);
	assert_int_equal(verify(bench, new_token), ERROR_PENDING);
	wait_change(bench);
	assert_int_equal(verify(bench, new_token), 0);
	assert_int_equal(verify(bench, old_token), 0);
	assert_int_equal(atomic_load(&server->requests), 2);
	bench_free(bench);
	http_server_stop(server);
}

/* Tokens without kid find a new key too. */
static void test_jwks_fetch_new_key_of_token_without_kid_is_picked_up(void **state)
{
	struct http_server *server = http_server_start(NULL);
	struct bench *bench = open_loaded(server);
	char *token = signer_token(&new_key, "ES256", NULL, CLAIMS);
	(void)state;
	http_server_set_json(server, both_set);
	assert_int_equal(verify(bench, token), ERROR_PENDING);
	wait_change(bench);
	assert_int_equal(verify(bench, token), 0);
	free(token);
	bench_free(bench);
	http_server_stop(server);
}

/* A key that the issuer has withdrawn no longer counts after the next fetch. */
static void test_jwks_fetch_key_withdrawn_later_is_refused(void **state)
{
	struct http_server *server = http_server_start(NULL);
	struct bench *bench = bench_new(http_server_url(server, "/"), NULL);
	(void)state;
	http_server_set_json(server, both_set);
	bench->issuer.refresh_ms = 1;
	bench_open(bench, &patient);
	wait_change(bench);
	assert_int_equal(verify(bench, new_token), 0);
	http_server_set_json(server, old_set);
	while (verify(bench, new_token) == 0)
		wait_change(bench);
	assert_int_equal(verify(bench, old_token), 0);
	bench_free(bench);
	http_server_stop(server);
}

/* However many tokens name unknown keys, the issuer is asked once in the gap. */
static void test_jwks_fetch_unknown_keys_cause_one_fetch(void **state)
{
	struct http_server *server = http_server_start(NULL);
	struct bench *bench = open_loaded(server);
	(void)state;
	http_server_hold(server, true);
	assert_int_equal(verify(bench, new_token), ERROR_PENDING);
	assert_int_equal(verify(bench, new_token), ERROR_PENDING);
	http_server_hold(server, false);
	wait_change(bench);
	for (int i = 0; i < 100; i++) {
		char kid[16];
		snprintf(kid, sizeof(kid), "kid-%d", i);
		char *token = signer_token(&new_key, "ES256", kid, CLAIMS);
		assert_int_equal(verify(bench, token), ERROR_INVALID);
		free(token);
	}
	assert_int_equal(atomic_load(&server->requests), 2);
	bench_free(bench);
	http_server_stop(server);
}

/* A bad signature of a key that is known asks for nothing. */
static void test_jwks_fetch_bad_signature_causes_no_fetch(void **state)
{
	struct http_server *server = http_server_start(NULL);
	struct bench *bench = open_loaded(server);
	char *token = signer_token(&new_key, "ES256", "old", CLAIMS);
	(void)state;
	assert_int_equal(verify(bench, token), ERROR_INVALID);
	/* The demand is still there to be used. */
	assert_int_equal(verify(bench, new_token), ERROR_PENDING);
	wait_change(bench);
	assert_int_equal(atomic_load(&server->requests), 2);
	free(token);
	bench_free(bench);
	http_server_stop(server);
}

struct answer {
	const char *status;
	const char *headers;
	const char *body;
};

/* Whatever a refresh brings that is no key set, the keys stay as they are. */
static void test_jwks_fetch_bad_answer_leaves_the_keys(void **state)
{
	static char large[80 * 1024];
	const struct answer rows[] = {
	    {"200 OK", "", "<html>maintenance</html>"},
	    {"200 OK", "", ""},
	    {"200 OK", "", "{\"keys\":[]}"},
	    {"200 OK", "Content-Length: 1000\r\n", both_set},
	    {"200 OK", "Content-Length: 81919\r\n", large},
	    {"200 OK", "", large},
	    {"200 OK", "Transfer-Encoding: chunked\r\n", "zz\r\n"},
	    {"203 Non-Authoritative Information", "", both_set},
	    {"404 Not Found", "", both_set},
	    {"500 Internal Server Error", "", both_set},
	    {"302 Found", "Location: /again\r\n", both_set},
	    {"302 Found", "", both_set},
	};
	(void)state;
	/* A set that would do, were it not so large. */
	memset(large, ' ', sizeof(large) - 1);
	memcpy(large, both_set, strlen(both_set));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_server *server = http_server_start(NULL);
		struct bench *bench = open_loaded(server);
		char why[256];
		http_server_set(server, rows[i].status, rows[i].headers, rows[i].body);
		assert_int_equal(verify(bench, new_token), ERROR_PENDING);
		wait_change(bench);
		assert_int_equal(verify(bench, new_token), ERROR_INVALID);
		assert_int_equal(verify(bench, old_token), 0);
		assert_true(auth_ready(bench->auth, why));
		bench_free(bench);
		http_server_stop(server);
	}
}

/* What is not HTTP at all, or ends in the middle, is a failure too. */
static void test_jwks_fetch_garbage_leaves_the_keys(void **state)
{
	static const struct slice rows[] = {
	    SLICE_LIT(""),
	    SLICE_LIT("\0\0\0\0"),
	    SLICE_LIT("HTTP/1.1 200 OK\r\nConte"),
	    SLICE_LIT("\x16\x03\x01\x02\x00"),
	    SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}"),
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct http_server *server = http_server_start(NULL);
		struct bench *bench = open_loaded(server);
		http_server_set_raw(server, rows[i].base, rows[i].len);
		assert_int_equal(verify(bench, new_token), ERROR_PENDING);
		wait_change(bench);
		assert_int_equal(verify(bench, new_token), ERROR_INVALID);
		assert_int_equal(verify(bench, old_token), 0);
		bench_free(bench);
		http_server_stop(server);
	}
}

/* A redirect within the scheme is followed. */
static void test_jwks_fetch_redirect_to_same_scheme_is_followed(void **state)
{
	struct http_server *target = http_server_start(NULL);
	struct http_server *server = http_server_start(NULL);
	struct bench *bench = bench_new(http_server_url(server, "/"), NULL);
	char *location = http_server_url(target, "/keys");
	char header[128];
	(void)state;
	snprintf(header, sizeof(header), "Location: %s\r\n", location);
	http_server_set(server, "302 Found", header, "");
	http_server_set_json(target, old_set);
	bench_open(bench, &patient);
	wait_change(bench);
	assert_int_equal(verify(bench, old_token), 0);
	free(location);
	bench_free(bench);
	http_server_stop(server);
	http_server_stop(target);
}

/* A server that is down leaves the auth without keys: tokens are refused, once asking has failed.
 */
static void test_jwks_fetch_server_down_refuses_tokens(void **state)
{
	struct http_server *server = http_server_start(NULL);
	struct bench *bench = bench_new(http_server_url(server, "/"), NULL);
	char why[256];
	(void)state;
	http_server_stop(server);
	bench_open(bench, &patient);
	wait_change(bench);
	assert_int_equal(verify(bench, old_token), ERROR_PENDING);
	wait_change(bench);
	assert_int_equal(verify(bench, old_token), ERROR_INVALID);
	assert_false(auth_ready(bench->auth, why));
	bench_free(bench);
}

/* A server that takes the request and says nothing is given up. */
static void test_jwks_fetch_slow_server_is_given_up(void **state)
{
	struct jwks_fetch_limits hasty = patient;
	struct http_server *server = http_server_start(NULL);
	struct bench *bench = bench_new(http_server_url(server, "/"), NULL);
	char why[256];
	(void)state;
	hasty.total_ms = 50;
	http_server_set_json(server, old_set);
	http_server_hold(server, true);
	bench_open(bench, &hasty);
	wait_change(bench);
	assert_false(auth_ready(bench->auth, why));
	bench_free(bench);
	http_server_stop(server);
}

/* After a failure the thread tries again by itself. */
static void test_jwks_fetch_failure_is_tried_again(void **state)
{
	struct jwks_fetch_limits eager = patient;
	struct http_server *server = http_server_start(NULL);
	struct bench *bench = bench_new(http_server_url(server, "/"), NULL);
	char why[256];
	(void)state;
	eager.retry_first_ms = 1;
	eager.retry_last_ms = 4;
	http_server_set(server, "503 Service Unavailable", "", "");
	bench_open(bench, &eager);
	for (int i = 0; i < 5; i++)
		wait_change(bench);
	assert_false(auth_ready(bench->auth, why));
	http_server_set_json(server, old_set);
	while (!auth_ready(bench->auth, why))
		wait_change(bench);
	assert_int_equal(verify(bench, old_token), 0);
	bench_free(bench);
	http_server_stop(server);
}

/* The end does not wait for a fetch that is under way. */
static void test_jwks_fetch_freed_while_fetching_ends(void **state)
{
	struct http_server *server = http_server_start(NULL);
	struct bench *bench = bench_new(http_server_url(server, "/"), NULL);
	(void)state;
	http_server_hold(server, true);
	bench_open(bench, &patient);
	while (atomic_load(&server->requests) == 0)
		usleep(100);
	bench_free(bench);
	http_server_stop(server);
}

/* One issuer's silent server holds up nobody else's keys. */
static void test_jwks_fetch_silent_issuer_does_not_hold_up_others(void **state)
{
	struct http_server *silent = http_server_start(NULL);
	struct http_server *server = http_server_start(NULL);
	struct bench *bench = bench_new(http_server_url(server, "/"), NULL);
	struct auth_issuer issuers[] = {bench->issuer, bench->issuer};
	(void)state;
	issuers[0].jwks_url = http_server_url(silent, "/");
	bench->settings.issuers = issuers;
	bench->settings.issuer_count = 2;
	http_server_hold(silent, true);
	http_server_set_json(server, old_set);
	bench_open(bench, &patient);
	wait_change(bench);
	assert_int_equal(verify(bench, old_token), 0);
	bench_free(bench);
	http_server_stop(silent);
	http_server_stop(server);
	free(issuers[0].jwks_url);
}

static void *verify_often(void *context)
{
	struct bench *bench = context;
	for (int i = 0; i < 200; i++)
		assert_int_equal(verify(bench, old_token), 0);
	return NULL;
}

/* Sets are swapped under verifications that go on. */
static void test_jwks_fetch_swaps_while_threads_verify(void **state)
{
	struct http_server *server = http_server_start(NULL);
	struct bench *bench = bench_new(http_server_url(server, "/"), NULL);
	pthread_t threads[3];
	(void)state;
	bench->issuer.refresh_ms = 1;
	http_server_set_json(server, old_set);
	bench_open(bench, &patient);
	wait_change(bench);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, verify_often, bench), 0);
	for (int i = 0; i < 10; i++) {
		http_server_set_json(server, i % 2 ? old_set : both_set);
		wait_change(bench);
	}
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	bench_free(bench);
	http_server_stop(server);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* A file is read again as a URL is, and a bad one leaves the keys. */
static void test_jwks_fetch_file_is_read_again(void **state)
{
	char path[] = "/tmp/sluice-test-jwks-XXXXXX";
	(void)state;
	close(mkstemp(path));
	write_file(path, old_set);
	struct bench *bench = bench_new(NULL, strdup(path));
	bench->issuer.refresh_ms = 1;
	bench_open(bench, &patient);
	assert_int_equal(verify(bench, old_token), 0);
	write_file(path, both_set);
	while (verify(bench, new_token) != 0)
		usleep(100);
	uint64_t failures = metrics_sum(METRIC_JWKS_FAILURES);
	write_file(path, "{");
	while (metrics_sum(METRIC_JWKS_FAILURES) == failures)
		usleep(100);
	assert_int_equal(verify(bench, new_token), 0);
	bench_free(bench);
	unlink(path);
}

/* Who asks with a set that is no longer the newest is sent to the newest, and nothing is read. */
static void test_jwks_fetch_demand_with_stale_set_is_told_of_newer(void **state)
{
	struct http_server *server = http_server_start(NULL);
	struct bench *bench = bench_new(http_server_url(server, "/"), NULL);
	struct jwks_fetch *fetch;
	(void)state;
	http_server_set_json(server, old_set);
	assert_int_equal(jwks_fetch_new(&bench->settings, &patient, count_change, bench, &fetch),
			 0);
	wait_change(bench);
	struct jwks *keys = jwks_fetch_keys(fetch, 0);
	assert_int_equal(jwks_fetch_demand(fetch, 0, NULL), JWKS_DEMAND_NEWER);
	assert_int_equal(jwks_fetch_demand(fetch, 0, keys), JWKS_DEMAND_PENDING);
	wait_change(bench);
	assert_int_equal(jwks_fetch_demand(fetch, 0, keys), JWKS_DEMAND_NEWER);
	jwks_unref(keys);
	keys = jwks_fetch_keys(fetch, 0);
	assert_int_equal(jwks_fetch_demand(fetch, 0, keys), JWKS_DEMAND_REFUSED);
	jwks_unref(keys);
	jwks_fetch_free(fetch);
	assert_int_equal(atomic_load(&server->requests), 2);
	bench_free(bench);
	http_server_stop(server);
}

/* A file beyond the limit is refused. */
static void test_jwks_fetch_large_file_is_an_error(void **state)
{
	char path[] = "/tmp/sluice-test-jwks-XXXXXX";
	struct jwks_fetch_limits small = patient;
	struct bench *bench = bench_new(NULL, path);
	(void)state;
	close(mkstemp(path));
	write_file(path, old_set);
	small.body_bytes = strlen(old_set) - 1;
	assert_int_equal(
	    auth_new_limited(&bench->settings, &small, count_change, bench, &bench->auth),
	    ERROR_INVALID);
	small.body_bytes++;
	bench_open(bench, &small);
	bench->issuer.jwks_file = NULL;
	bench_free(bench);
	unlink(path);
}

/* A certificate for 127.0.0.1, signed by its own key; and written to `path` for clients that trust
 * it. */
static SSL_CTX *make_tls(const char *path)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	X509_set_version(certificate, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
				   (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	X509_EXTENSION *name =
	    X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
	X509_add_ext(certificate, name, -1);
	X509_EXTENSION_free(name);
	X509_sign(certificate, key, EVP_sha256());
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	SSL_CTX_use_certificate(tls, certificate);
	SSL_CTX_use_PrivateKey(tls, key);
	FILE *file = fopen(path, "we");
	PEM_write_X509(file, certificate);
	fclose(file);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return tls;
}

/* https is verified: against the configured CA it passes, against the system's it does not. */
static void test_jwks_fetch_tls_needs_a_trusted_certificate(void **state)
{
	char path[] = "/tmp/sluice-test-ca-XXXXXX";
	char missing[] = "/nonexistent/ca.pem";
	char *const ca_files[] = {path, NULL, missing};
	(void)state;
	close(mkstemp(path));
	SSL_CTX *tls = make_tls(path);
	for (size_t i = 0; i < 3; i++) {
		struct http_server *server = http_server_start(tls);
		struct bench *bench = bench_new(http_server_url(server, "/"), NULL);
		char why[256];
		http_server_set_json(server, old_set);
		bench->issuer.jwks_ca_file = ca_files[i];
		bench_open(bench, &patient);
		wait_change(bench);
		assert_int_equal(auth_ready(bench->auth, why), i == 0);
		assert_int_equal(atomic_load(&server->requests), i == 0);
		bench_free(bench);
		http_server_stop(server);
	}
	SSL_CTX_free(tls);
	unlink(path);
}

/* A redirect to another scheme is not followed, though there is a good set at its end. */
static void test_jwks_fetch_redirect_to_other_scheme_is_refused(void **state)
{
	char ca_path[] = "/tmp/sluice-test-ca-XXXXXX";
	char set_path[] = "/tmp/sluice-test-jwks-XXXXXX";
	char headers[2][128];
	(void)state;
	close(mkstemp(ca_path));
	close(mkstemp(set_path));
	write_file(set_path, both_set);
	SSL_CTX *tls = make_tls(ca_path);
	struct http_server *target = http_server_start(tls);
	char *location = http_server_url(target, "/");
	http_server_set_json(target, both_set);
	snprintf(headers[0], sizeof(headers[0]), "Location: %s\r\n", location);
	snprintf(headers[1], sizeof(headers[1]), "Location: file://%s\r\n", set_path);
	for (size_t i = 0; i < 2; i++) {
		struct http_server *server = http_server_start(NULL);
		struct bench *bench = bench_new(http_server_url(server, "/"), NULL);
		char why[256];
		http_server_set(server, "302 Found", headers[i], "");
		bench->issuer.jwks_ca_file = ca_path;
		bench_open(bench, &patient);
		wait_change(bench);
		assert_false(auth_ready(bench->auth, why));
		bench_free(bench);
		http_server_stop(server);
	}
	assert_int_equal(atomic_load(&target->requests), 0);
	http_server_stop(target);
	free(location);
	SSL_CTX_free(tls);
	unlink(ca_path);
	unlink(set_path);
}

/* What may carry a secret is not in the name that logs and /readyz show. */
static void test_jwks_fetch_printable_url_hides_secrets(void **state)
{
	static const char *const rows[][2] = {
	    {"https://a.example/jwks.json", "https://a.example/jwks.json"},
	    {"https://user:pass@a.example:8443/k?token=x#y", "https://a.example:8443/k"},
	    {"https://user@a.example", "https://a.example/"},
	    {"no url with:pass@x", "(a malformed URL)"},
	    {"", "(a malformed URL)"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *printable = jwks_transfer_printable(rows[i][0]);
		assert_string_equal(printable, rows[i][1]);
		free(printable);
	}
}

/* http and https alone are fetched. */
static void test_jwks_fetch_supported_urls_are_http(void **state)
{
	static const struct {
		const char *url;
		bool supported;
	} rows[] = {
	    {"http://a.example/", true},
	    {"HTTPS://a.example/", true},
	    {"file:///etc/passwd", false},
	    {"ftp://a.example/", false},
	    {"gopher://a.example/", false},
	    {"a.example/jwks.json", false},
	    {"http://", false},
	    {"http://a b/", false},
	    {"", false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(jwks_transfer_supports(rows[i].url), rows[i].supported);
}

static int make_keys(void **state)
{
	(void)state;
	/* Every server is 127.0.0.1: whatever proxy the environment names is not for it. */
	setenv("no_proxy", "*", 1);
	/* A client that refuses a certificate closes while the server writes. */
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_ERROR);
	old_key = signer_new_ec("P-256", 32);
	new_key = signer_new_ec("P-256", 32);
	old_set = signer_jwks(&old_key, "old");
	both_set = signer_dump(json_pack("{s:[o,o]}", "keys", signer_jwk(&old_key, "old"),
					 signer_jwk(&new_key, "new")));
	old_token = signer_token(&old_key, "ES256", "old", CLAIMS);
	new_token = signer_token(&new_key, "ES256", "new", CLAIMS);
	return 0;
}

static int free_keys(void **state)
{
	char *texts[] = {old_set, both_set, old_token, new_token};
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(texts[i]);
	signer_free(&old_key);
	signer_free(&new_key);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_jwks_fetch_before_the_first_answer_is_pending),
	    cmocka_unit_test(test_jwks_fetch_key_added_later_is_picked_up),
	    cmocka_unit_test(test_jwks_fetch_new_key_of_token_without_kid_is_picked_up),
	    cmocka_unit_test(test_jwks_fetch_key_withdrawn_later_is_refused),
	    cmocka_unit_test(test_jwks_fetch_unknown_keys_cause_one_fetch),
	    cmocka_unit_test(test_jwks_fetch_bad_signature_causes_no_fetch),
	    cmocka_unit_test(test_jwks_fetch_bad_answer_leaves_the_keys),
	    cmocka_unit_test(test_jwks_fetch_garbage_leaves_the_keys),
	    cmocka_unit_test(test_jwks_fetch_redirect_to_same_scheme_is_followed),
	    cmocka_unit_test(test_jwks_fetch_server_down_refuses_tokens),
	    cmocka_unit_test(test_jwks_fetch_slow_server_is_given_up),
	    cmocka_unit_test(test_jwks_fetch_failure_is_tried_again),
	    cmocka_unit_test(test_jwks_fetch_freed_while_fetching_ends),
	    cmocka_unit_test(test_jwks_fetch_silent_issuer_does_not_hold_up_others),
	    cmocka_unit_test(test_jwks_fetch_swaps_while_threads_verify),
	    cmocka_unit_test(test_jwks_fetch_file_is_read_again),
	    cmocka_unit_test(test_jwks_fetch_demand_with_stale_set_is_told_of_newer),
	    cmocka_unit_test(test_jwks_fetch_large_file_is_an_error),
	    cmocka_unit_test(test_jwks_fetch_tls_needs_a_trusted_certificate),
	    cmocka_unit_test(test_jwks_fetch_redirect_to_other_scheme_is_refused),
	    cmocka_unit_test(test_jwks_fetch_printable_url_hides_secrets),
	    cmocka_unit_test(test_jwks_fetch_supported_urls_are_http),
	};
	return cmocka_run_group_tests_name("jwks_fetch", tests, make_keys, free_keys);
}
