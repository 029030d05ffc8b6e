#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/error.h"
#include "commands.h"

#define DEFAULT_URL "http://127.0.0.1:9090/healthz"

enum { TIMEOUT_S = 5, ANSWER_BYTES = 64 << 10 };

struct target {
	char host[256];
	char port[6];
	const char *path; /* borrowed from the URL */
};

/* http://HOST[:PORT][/PATH], with an IPv6 address in brackets (RFC 3986, 3.2). */
static int parse_url(const char *url, struct target *target)
{
	int host_end = 0, port_end = 0;

	if (sscanf(url, "http://[%255[0-9A-Fa-f:.]]%n", target->host, &host_end) != 1 || !host_end)
		if (sscanf(url, "http://%255[0-9A-Za-z.-]%n", target->host, &host_end) != 1)
			return ERROR_INVALID;
	strcpy(target->port, "80");
	if (url[host_end] == ':') {
		if (sscanf(url + host_end, ":%5[0-9]%n", target->port, &port_end) != 1)
			return ERROR_INVALID;
		host_end += port_end;
	}
	target->path = url[host_end] ? url + host_end : "/";
	if (*target->path != '/' || strpbrk(target->path, " \r\n"))
		return ERROR_INVALID;
	return 0;
}

static int open_socket(const struct addrinfo *address)
{
	const struct timeval timeout = {.tv_sec = TIMEOUT_S};
	int fd = socket(address->ai_family, address->ai_socktype, address->ai_protocol);

	if (fd < 0)
		return ERROR_IO;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)); /* connect(), too */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
		return fd;
	close(fd);
	return ERROR_UNAVAILABLE;
}

static int connect_target(const struct target *target)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *addresses;
	int fd = ERROR_UNAVAILABLE;

	if (getaddrinfo(target->host, target->port, &hints, &addresses))
		return ERROR_NOT_FOUND;
	for (struct addrinfo *at = addresses; at && fd < 0; at = at->ai_next)
		fd = open_socket(at);
	freeaddrinfo(addresses);
	return fd;
}

static int send_request(int fd, const struct target *target)
{
	struct buffer head = {0};
	ssize_t sent;
	size_t len;

	buffer_append_format(
	    &head, "GET %s HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", target->path);
	len = head.len;
	sent = send(fd, head.base, head.len, MSG_NOSIGNAL);
	buffer_free(&head);
	return sent == (ssize_t)len ? 0 : ERROR_IO;
}

/* All until the server closes, or as much as a health check may say. */
static int read_answer(int fd, struct buffer *answer)
{
	ssize_t len = 1;

	while (len > 0 && answer->len < ANSWER_BYTES) {
		len = recv(fd, buffer_reserve(answer, 4096), 4096, 0);
		if (len > 0)
			answer->len += (size_t)len;
	}
	return len < 0 ? ERROR_IO : 0;
}

static int ask(const struct target *target, struct buffer *answer)
{
	int fd = connect_target(target);
	int rc;

	if (fd < 0)
		return fd;
	rc = send_request(fd, target);
	if (!rc)
		rc = read_answer(fd, answer);
	close(fd);
	return rc;
}

/* Prints the body, which says why where it is not well; the exit code. */
static int judge(struct buffer *answer)
{
	const char *text = buffer_text(answer);
	const char *body = strstr(text, "\r\n\r\n");
	int status;

	if (sscanf(text, "HTTP/1.%*1[01] %3d ", &status) != 1 || !body) {
		fputs("sluice health: this is no answer of HTTP/1.1\n", stderr);
		return EXIT_FAILURE;
	}
	fputs(body + 4, stdout);
	return status == 200 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int health_command(int argc, char **argv)
{
	const char *url = argc > 1 ? argv[1] : DEFAULT_URL;
	struct buffer answer = {0};
	struct target target;
	int rc;

	if (argc > 2 || parse_url(url, &target)) {
		fputs("usage: sluice health [http://HOST[:PORT]/PATH]\n", stderr);
		return COMMAND_USAGE;
	}
	rc = ask(&target, &answer);
	if (rc)
		fprintf(stderr, "sluice health: %s: %s\n", url, error_text(rc));
	else
		rc = judge(&answer);
	buffer_free(&answer);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
