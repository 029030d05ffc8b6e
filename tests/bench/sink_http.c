#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"
#include "bench/sink.h"

enum { MAX_AHEAD = 64, ANSWER_BYTES = 65536 };

struct http_sink {
	struct sink sink; /* first */
	int fd;
	uint32_t ahead; /* requests without an answer */
	char head[512];
	size_t tail_len; /* of what was read, for a word that is cut in two */
	char bytes[ANSWER_BYTES];
};

/* Counts the answers' status lines. */
static void read_answers(struct http_sink *to, int flags)
{
	static const char STATUS[] = "HTTP/1.1 20";
	size_t word = sizeof(STATUS) - 1, at = 0;
	ssize_t len = recv(to->fd, to->bytes + to->tail_len, ANSWER_BYTES - to->tail_len, flags);

	if (len < 0 && errno == EAGAIN)
		return;
	if (len <= 0)
		errx(1, "the publisher's connection is closed");
	size_t end = to->tail_len + (size_t)len;
	const char *found;

	while ((found = memmem(to->bytes + at, end - at, STATUS, word))) {
		at = (size_t)(found - to->bytes) + word;
		to->ahead--;
	}
	to->tail_len = end - at < word - 1 ? end - at : word - 1;
	memmove(to->bytes, to->bytes + end - to->tail_len, to->tail_len);
}

static void send_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t taken = send(fd, bytes, len, MSG_NOSIGNAL);

		if (taken < 0)
			err(1, "send");
		bytes += taken;
		len -= (size_t)taken;
	}
}

static void publish(struct sink *sink, const char *payload, uint32_t len)
{
	struct http_sink *to = (struct http_sink *)sink;
	char request[1024];
	int head_len =
	    snprintf(request, sizeof(request), "%sContent-Length: %u\r\n\r\n", to->head, len);
	struct iovec parts[] = {{request, (size_t)head_len}, {(void *)(uintptr_t)payload, len}};
	ssize_t taken;

	if (to->ahead)
		read_answers(to, MSG_DONTWAIT);
	while (to->ahead >= MAX_AHEAD)
		read_answers(to, 0);
	taken = writev(to->fd, parts, 2);
	if (taken < 0)
		err(1, "send");
	if ((size_t)taken < (size_t)head_len)
		send_all(to->fd, request + taken, (size_t)(head_len - taken));
	if ((size_t)taken < (size_t)head_len + len) {
		size_t at = taken > head_len ? (size_t)(taken - head_len) : 0;

		send_all(to->fd, payload + at, len - at);
	}
	to->ahead++;
}

static void close_http(struct sink *sink)
{
	struct http_sink *to = (struct http_sink *)sink;

	while (to->ahead)
		read_answers(to, 0);
	close(to->fd);
	free(to);
}

struct sink *sink_open_http(uint16_t port, const char *path)
{
	struct http_sink *to = MEM_NEW(struct http_sink);
	struct sockaddr_in server = {.sin_family = AF_INET,
				     .sin_port = htons(port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	to->sink = (struct sink){publish, close_http};
	snprintf(to->head, sizeof(to->head), "POST %s HTTP/1.1\r\nHost: localhost\r\n", path);
	to->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(to->fd, (struct sockaddr *)&server, sizeof(server)))
		err(1, "connect");
	return &to->sink;
}
