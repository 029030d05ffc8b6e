#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "unit/http/client.h"
#include "unit/http/fixture.h"

static struct fixture fixture;

static int init(void **state)
{
	(void)state;
	fixture_init(&fixture);
	return 0;
}

static int start(void **state)
{
	init(state);
	fixture_start(&fixture);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	fixture_stop(&fixture);
	return 0;
}

static int forget(void **state)
{
	(void)state;
	unlink(fixture.certificate);
	unlink(fixture.key);
	pthread_mutex_destroy(&fixture.lock);
	return 0;
}

static void ask_hello(struct client *client)
{
	client_say(client, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(client_expect(client, "hello\n"));
}

/* The server's refusal to open; asserts the code and that it says each of the parts. */
static void assert_settings_refused(const struct http_settings *settings, int code,
				    const char *part, const char *other_part)
{
	const struct http_server_hooks hooks = {.request = fixture_handle};
	struct http_server *server = NULL;
	char error[512] = "";

	assert_int_equal(http_server_new(settings, &hooks, &server, error), code);
	assert_null(server);
	if (!strstr(error, part) || !strstr(error, other_part))
		fail_msg("\"%s\" and \"%s\" are not in: %s", part, other_part, error);
}

static void assert_refused(int code, const char *part, const char *other_part)
{
	assert_settings_refused(&fixture.settings, code, part, other_part);
}

/* What is no numeric address is refused with its name. */
static void test_listener_bad_address_is_refused(void **state)
{
	static const char *const addresses[] = {"",      "localhost",    "127.0.0.1.2", "300.0.0.1",
						"[::1]", "127.0.0.1:80", "::1%lo",      "*"};

	(void)state;
	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		fixture.listeners[FIXTURE_CLEAR].address = mem_strdup(addresses[i]);
		assert_refused(ERROR_INVALID, addresses[i], "numeric");
		free(fixture.listeners[FIXTURE_CLEAR].address);
	}
}

/* A port of another socket is refused, also where that one would share it: a second gateway must
 * not take half of the connections in silence. */
static void test_listener_port_in_use_is_refused(void **state)
{
	struct http_listener_settings other = fixture.listeners[FIXTURE_CLEAR];
	struct http_settings settings = fixture.settings;
	char port[8];

	(void)state;
	other.port = fixture_port(&fixture, FIXTURE_CLEAR);
	settings.listeners = &other;
	settings.listener_count = 1;
	snprintf(port, sizeof(port), "%u", other.port);
	assert_settings_refused(&settings, ERROR_IO, port, "Address already in use");
}

/* An address of another machine. */
static void test_listener_foreign_address_is_refused(void **state)
{
	char address[] = "192.0.2.1";

	(void)state;
	fixture.listeners[FIXTURE_CLEAR].address = address;
	assert_refused(ERROR_IO, "192.0.2.1", "Cannot assign requested address");
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(name, "w");

	fputs(text, file);
	fclose(file);
}

static void encrypt_key(const char *name)
{
	FILE *file = fopen(name, "r");
	EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);

	fclose(file);
	file = fopen(name, "w");
	PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL,
			     NULL);
	fclose(file);
	EVP_PKEY_free(key);
}

/* Each thing that can be wrong with a certificate and its key says so, with the file's name;
 * nothing asks for a passphrase. */
static void test_listener_bad_certificate_is_refused(void **state)
{
	struct http_listener_settings *listener = &fixture.listeners[FIXTURE_TLS];
	char other_certificate[32], other_key[32];

	(void)state;
	fixture_make_certificate(other_certificate, other_key);
	listener->certificate_file = strcpy((char[40]){0}, "/nonexistent/certificate");
	assert_refused(ERROR_INVALID, "certificate_file /nonexistent/certificate", "No such file");
	listener->certificate_file = other_certificate;
	listener->key_file = strcpy((char[40]){0}, "/nonexistent/key");
	assert_refused(ERROR_INVALID, "key_file /nonexistent/key", "No such file");
	listener->key_file = NULL;
	assert_refused(ERROR_INVALID, other_certificate, "key_file");
	listener->key_file = fixture.key;
	assert_refused(ERROR_INVALID, fixture.key, "mismatch");
	listener->key_file = other_key;
	encrypt_key(other_key);
	assert_refused(ERROR_INVALID, other_key, "");
	write_file(other_key, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
	assert_refused(ERROR_INVALID, other_key, "");
	write_file(other_certificate, "no PEM at all");
	assert_refused(ERROR_INVALID, other_certificate, "no start line");
	write_file(other_certificate, "");
	assert_refused(ERROR_INVALID, other_certificate, "no start line");
	unlink(other_certificate);
	unlink(other_key);
}

/* Every loop has its own sockets on every port, and answers. */
static void test_listener_loops_share_the_ports(void **state)
{
	enum { CLIENTS = 64 };
	struct client clients[CLIENTS];

	(void)state;
	fixture.settings.loops = 4;
	fixture_start(&fixture);
	assert_int_equal(http_server_loop_count(fixture.server), 4);
	assert_int_not_equal(fixture_port(&fixture, FIXTURE_CLEAR),
			     fixture_port(&fixture, FIXTURE_TLS));
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = i & 1 ? client_open_tls(fixture_port(&fixture, FIXTURE_TLS), NULL)
				   : client_open(fixture_port(&fixture, FIXTURE_CLEAR));
		client_say(&clients[i], "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n");
	}
	for (int i = 0; i < CLIENTS; i++)
		assert_true(client_expect(&clients[i], "event: connected\n"));
	fixture_produce(&fixture, 10, 100);
	for (int i = 0; i < CLIENTS; i++)
		assert_true(client_expect(&clients[i], "\ndata: 9x"));
	for (int i = 0; i < CLIENTS; i++)
		client_close(&clients[i]);
	assert_true(fixture_wait_connections(&fixture, 0));
}

/* Connections beyond the limit are closed and counted; when one goes there is room again. */
static void test_listener_limit_is_kept(void **state)
{
	uint64_t refused = metrics_sum(METRIC_CONNECTIONS_REFUSED);
	struct client first, second, third;

	(void)state;
	fixture.settings.max_connections = 2;
	fixture_start(&fixture);
	first = client_open(fixture_port(&fixture, FIXTURE_CLEAR));
	second = client_open(fixture_port(&fixture, FIXTURE_CLEAR));
	assert_true(fixture_wait_connections(&fixture, 2));
	third = client_open(fixture_port(&fixture, FIXTURE_CLEAR));
	client_rest(&third);
	assert_true(third.ended);
	client_close(&third);
	assert_int_equal(metrics_sum(METRIC_CONNECTIONS_REFUSED) - refused, 1);
	client_close(&first);
	assert_true(fixture_wait_connections(&fixture, 1));
	ask_hello(&second);
	client_close(&second);
}

/* "::" takes IPv4 as well, and shows it as what it is. */
static void test_listener_any_address_is_both(void **state)
{
	char any[] = "::";
	struct client client;

	(void)state;
	fixture.listeners[FIXTURE_CLEAR].address = any;
	fixture_start(&fixture);
	client = client_open(fixture_port(&fixture, FIXTURE_CLEAR));
	client_say(&client, "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(client_expect(&client, "|127.0.0.1\n"));
	client_close(&client);
}

/* Handshakes that fail are counted and leave nothing: clear text on a TLS port, no protocol in
 * common, a client that goes. */
static void test_listener_failed_handshakes_are_counted(void **state)
{
	uint64_t failures = metrics_sum(METRIC_TLS_FAILURES);
	struct client client = client_open(fixture_port(&fixture, FIXTURE_TLS));

	(void)state;
	client_say(&client, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	client_rest(&client);
	client_close(&client);
	client = client_open_tls(fixture_port(&fixture, FIXTURE_TLS), "\x03"
								      "foo");
	assert_null(client.ssl);
	client_close(&client);
	assert_true(fixture_wait_connections(&fixture, 0));
	client = client_open(fixture_port(&fixture, FIXTURE_TLS));
	client_say(&client, "\x16\x03\x01");
	assert_true(fixture_wait_connections(&fixture, 1));
	client_close(&client);
	assert_true(fixture_wait_connections(&fixture, 0));
	assert_int_equal(metrics_sum(METRIC_TLS_FAILURES) - failures, 3);
	client = client_open_tls(fixture_port(&fixture, FIXTURE_TLS), NULL);
	ask_hello(&client);
	client_close(&client);
}

/* So is one that takes too long. */
static void test_listener_slow_handshake_times_out(void **state)
{
	uint64_t failures = metrics_sum(METRIC_TLS_FAILURES);
	struct client client;

	(void)state;
	fixture.settings.head_timeout_ms = 1000;
	fixture_start(&fixture);
	client = client_open(fixture_port(&fixture, FIXTURE_TLS));
	client_say(&client, "\x16\x03\x01");
	client_rest(&client);
	client_close(&client);
	assert_true(fixture_wait_connections(&fixture, 0));
	assert_int_equal(metrics_sum(METRIC_TLS_FAILURES) - failures, 1);
}

/* With no descriptor left, accepting pauses; when there is one, the connection that waited is
 * served. */
static void test_listener_without_descriptors_waits(void **state)
{
	struct client client = {.fd = -1};
	struct rlimit limit, none;
	struct sockaddr_in address = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)state;
	getrlimit(RLIMIT_NOFILE, &limit);
	none = (struct rlimit){(rlim_t)fcntl(fd, F_DUPFD, 0), limit.rlim_max};
	close((int)none.rlim_cur);
	address.sin_port = htons(fixture_port(&fixture, FIXTURE_CLEAR));
	inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
	setrlimit(RLIMIT_NOFILE, &none);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	client.fd = fd;
	client_say(&client, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_false(client_has_input_within(&client, 100));
	assert_int_equal(http_server_connections(fixture.server), 0);
	setrlimit(RLIMIT_NOFILE, &limit);
	assert_true(client_expect(&client, "hello\n"));
	client_close(&client);
}

static void *wake_often(void *argument)
{
	(void)argument;
	for (int i = 0; i < 20000; i++)
		fixture_wake(&fixture);
	return NULL;
}

/* Wakes from several threads at once lose nothing and block nobody. */
static void test_loop_wakes_from_many_threads_are_one(void **state)
{
	struct client client = client_open(fixture_port(&fixture, FIXTURE_CLEAR));
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, wake_often, NULL);
	client_say(&client, "GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_true(fixture_wait(&fixture.late_waiting, 1));
	fixture_answer_late(&fixture);
	assert_true(client_expect(&client, "late\n"));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	client_close(&client);
}

/* A server that is never started is freed. */
static void test_server_unstarted_is_freed(void **state)
{
	const struct http_server_hooks hooks = {.request = fixture_handle};
	struct http_server *server;
	char error[512];

	(void)state;
	assert_int_equal(http_server_new(&fixture.settings, &hooks, &server, error), 0);
	http_server_stop(server);
	http_server_free(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_listener_bad_address_is_refused, init, forget),
	    cmocka_unit_test_setup_teardown(test_listener_port_in_use_is_refused, start, stop),
	    cmocka_unit_test_setup_teardown(test_listener_foreign_address_is_refused, init, forget),
	    cmocka_unit_test_setup_teardown(test_listener_bad_certificate_is_refused, init, forget),
	    cmocka_unit_test_setup_teardown(test_listener_loops_share_the_ports, init, stop),
	    cmocka_unit_test_setup_teardown(test_listener_limit_is_kept, init, stop),
	    cmocka_unit_test_setup_teardown(test_listener_any_address_is_both, init, stop),
	    cmocka_unit_test_setup_teardown(test_listener_failed_handshakes_are_counted, start,
					    stop),
	    cmocka_unit_test_setup_teardown(test_listener_slow_handshake_times_out, init, stop),
	    cmocka_unit_test_setup_teardown(test_listener_without_descriptors_waits, start, stop),
	    cmocka_unit_test_setup_teardown(test_loop_wakes_from_many_threads_are_one, start, stop),
	    cmocka_unit_test_setup_teardown(test_server_unstarted_is_freed, init, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
