#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "commands.h"

/* Answers one connection, whatever is asked. */
struct server {
	int fd;
	unsigned port;
	const char *answer;
	char asked[512];
	pthread_t thread;
};

static void *answer_one(void *argument)
{
	struct server *server = argument;
	int fd = accept(server->fd, NULL, NULL);
	ssize_t len = recv(fd, server->asked, sizeof(server->asked) - 1, 0);

	server->asked[len > 0 ? len : 0] = '\0';
	send(fd, server->answer, strlen(server->answer), MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

static void server_open(struct server *server, const char *answer)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server->answer = answer;
	server->fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &len), 0);
	server->port = ntohs(address.sin_port);
}

static void server_start(struct server *server, const char *answer)
{
	server_open(server, answer);
	assert_int_equal(listen(server->fd, 1), 0);
	assert_int_equal(pthread_create(&server->thread, NULL, answer_one, server), 0);
}

static void server_stop(struct server *server)
{
	pthread_join(server->thread, NULL);
	close(server->fd);
}

static int run_command(const char *url)
{
	char name[] = "health", *text = strdup(url);
	char *argv[] = {name, text, NULL};
	int code = health_command(2, argv);

	free(text);
	return code;
}

static int ask(unsigned port, const char *path)
{
	char url[128];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", port, path);
	return run_command(url);
}

/* Only a 200 of HTTP/1 is health. */
static void test_health_command_answer_decides_exit_code(void **state)
{
	static const struct {
		const char *answer;
		int code;
	} rows[] = {
	    {"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n", EXIT_SUCCESS},
	    {"HTTP/1.0 200 OK\r\n\r\n", EXIT_SUCCESS},
	    {"HTTP/1.1 200 \r\n\r\n", EXIT_SUCCESS},
	    {"HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready\n", EXIT_FAILURE},
	    {"HTTP/1.1 204 No Content\r\n\r\n", EXIT_FAILURE},
	    {"HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n", EXIT_FAILURE},
	    {"HTTP/1.1 200 OK\r\ncut: off\r\n", EXIT_FAILURE},
	    {"HTTP/2 200\r\n\r\n", EXIT_FAILURE},
	    {"200\r\n\r\n", EXIT_FAILURE},
	    {"SSH-2.0-OpenSSH_9.2\r\n", EXIT_FAILURE},
	    {"", EXIT_FAILURE},
	};
	struct server server;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		server_start(&server, rows[i].answer);
		assert_int_equal(ask(server.port, "/healthz"), rows[i].code);
		server_stop(&server);
	}
}

/* What the URL names is asked for, and / where it names nothing. */
static void test_health_command_asks_for_the_path(void **state)
{
	static const char *const rows[][2] = {
	    {"/readyz", "GET /readyz HTTP/1.1\r\n"},
	    {"/a/b?c=d", "GET /a/b?c=d HTTP/1.1\r\n"},
	    {"", "GET / HTTP/1.1\r\n"},
	};
	struct server server;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		server_start(&server, "HTTP/1.1 200 OK\r\n\r\n");
		assert_int_equal(ask(server.port, rows[i][0]), EXIT_SUCCESS);
		server_stop(&server);
		assert_memory_equal(server.asked, rows[i][1], strlen(rows[i][1]));
		assert_non_null(strstr(server.asked, "\r\nconnection: close\r\n"));
	}
}

/* Where nobody listens, it is not well. */
static void test_health_command_nobody_there_fails(void **state)
{
	struct server server;

	(void)state;
	server_open(&server, NULL);
	assert_int_equal(ask(server.port, "/healthz"), EXIT_FAILURE);
	close(server.fd);
}

/* An URL that it cannot ask is the caller's mistake. */
static void test_health_command_bad_url_is_misuse(void **state)
{
	static const char *const rows[] = {
	    "",
	    "http://",
	    "http:///healthz",
	    "https://127.0.0.1/healthz",
	    "127.0.0.1:9090",
	    "http://127.0.0.1:",
	    "http://127.0.0.1:/",
	    "http://127.0.0.1:port/",
	    "http://127.0.0.1:123456/",
	    "http://127.0.0.1:80healthz",
	    "http://[::1/healthz",
	    "http://[]/healthz",
	    "http://user@127.0.0.1/",
	    "http://127.0.0.1/health z",
	    "http://127.0.0.1/\r\nx: y",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(run_command(rows[i]), COMMAND_USAGE);
}

/* An IPv6 address in brackets is understood; nobody listens on its port here. */
static void test_health_command_ipv6_is_understood(void **state)
{
	(void)state;
	assert_int_equal(run_command("http://[::1]:1/healthz"), EXIT_FAILURE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_health_command_answer_decides_exit_code),
	    cmocka_unit_test(test_health_command_asks_for_the_path),
	    cmocka_unit_test(test_health_command_nobody_there_fails),
	    cmocka_unit_test(test_health_command_bad_url_is_misuse),
	    cmocka_unit_test(test_health_command_ipv6_is_understood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
