#include "http/listener_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "http/connection_priv.h"
#include "http/loop_priv.h"
#include "http/server_priv.h"

enum {
	BACKLOG = 4096,
	ACCEPTS_A_TURN = 64,
	PAUSE_MS = 200,
	/* Requests are small; so is what a client can make the kernel hold. */
	RECEIVE_BUFFER_BYTES = 64 * 1024,
	KEEPALIVE_IDLE_S = 60,
	KEEPALIVE_INTERVAL_S = 15,
	KEEPALIVE_PROBES = 4,
	/* The kernel gives up a client that takes nothing later than the gateway, which has a
	   reason to name. */
	KERNEL_GRACE_MS = 5000,
	/* Room is announced when less than this is unsent: the rest stays in the window, not in the
	   kernel. */
	NOTSENT_LOWAT_BYTES = 16 * 1024,
};

static int fail(char error[512], const struct http_listener_settings *settings, uint16_t port,
		int code, const char *why)
{
	snprintf(error, 512, "listener %s port %u: %s", settings->address, (unsigned)port, why);
	return code;
}

static socklen_t parse_address(const struct http_listener_settings *settings, uint16_t port,
			       struct sockaddr_storage *address)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, settings->address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, settings->address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		return sizeof(*v6);
	}
	return 0;
}

static void set_option(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

/* A bound socket, or -1 with errno. */
static int bind_socket(const struct sockaddr_storage *address, socklen_t len, bool shared)
{
	int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd == -1)
		return -1;
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (shared)
		set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (address->ss_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (bind(fd, (const struct sockaddr *)address, len) != 0) {
		int failure = errno;

		close(fd);
		errno = failure;
		return -1;
	}
	return fd;
}

/* SO_REUSEADDR lets two bind; only listening finds the other. */
static int probe(const struct sockaddr_storage *address, socklen_t len)
{
	int fd = bind_socket(address, len, false);
	int result;

	if (fd == -1)
		return -1;
	result = listen(fd, 1);
	close(fd);
	return result;
}

static uint16_t bound_port(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		return 0;
	return (uint16_t)h2o_socket_getport((struct sockaddr *)&address);
}

int listener_bind(const struct http_listener_settings *settings, bool first, uint16_t *port,
		  int *fd, char error[512])
{
	struct sockaddr_storage address;
	socklen_t len = parse_address(settings, *port, &address);
	int bound;

	if (len == 0)
		return fail(error, settings, *port, ERROR_INVALID,
			    "the address must be a numeric IPv4 or IPv6 address");
	if (first && *port && probe(&address, len) != 0)
		return fail(error, settings, *port, ERROR_IO, strerror(errno));
	bound = bind_socket(&address, len, true);
	if (bound == -1)
		return fail(error, settings, *port, ERROR_IO, strerror(errno));
	set_option(bound, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
	*port = bound_port(bound);
	*fd = bound;
	return 0;
}

static void set_up_connection(int fd, const struct http_settings *settings)
{
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES);
	set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
		   (int)settings->slow_client_timeout_ms + KERNEL_GRACE_MS);
	set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

/* Out of descriptors or memory: the queue stays readable, so that going on at once would spin. */
static void pause_accepting(struct listener *listener, int failure)
{
	static struct log_limit limit;
	uint64_t suppressed;

	if (log_limit_pass(&limit, 10000, &suppressed))
		log_event(LOG_WARN, "listener", "connections cannot be accepted; waiting",
			  LOG_STR("error", strerror(failure)), LOG_INT("suppressed", suppressed));
	h2o_socket_read_stop(listener->socket);
	listener->paused_until_ms = listener->loop->now_ms + PAUSE_MS;
}

static void take(struct listener *listener, int fd)
{
	struct http_server *server = listener->loop->server;
	uint32_t limit = server->settings->max_connections;

	metrics_add(METRIC_CONNECTIONS, 1);
	if (atomic_fetch_add(&server->connections, 1) >= limit) {
		atomic_fetch_sub(&server->connections, 1);
		metrics_add(METRIC_CONNECTIONS_REFUSED, 1);
		close(fd);
		return;
	}
	set_up_connection(fd, server->settings);
	connection_open(listener, fd);
}

static bool is_exhaustion(int failure)
{
	return failure == EMFILE || failure == ENFILE || failure == ENOBUFS || failure == ENOMEM;
}

/* Takes up to `most` connections; false where it has to pause. */
static bool accept_some(struct listener *listener, int most)
{
	int fd = h2o_socket_get_fd(listener->socket);

	for (int i = 0; i < most; i++) {
		int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (accepted != -1)
			take(listener, accepted);
		else if (errno == EAGAIN)
			return true;
		else if (is_exhaustion(errno))
			return false;
		/* Anything else is the one connection's (accept(2)): it went before its turn. */
	}
	return true;
}

static void on_acceptable(h2o_socket_t *socket, const char *err)
{
	struct listener *listener = socket->data;

	if (!err && !accept_some(listener, ACCEPTS_A_TURN))
		pause_accepting(listener, errno);
}

void listener_start(struct listener *listener)
{
	if (listen(listener->fd, BACKLOG) != 0)
		log_event(LOG_ERROR, "listener", "the port cannot be listened on",
			  LOG_STR("address", listener->settings->address),
			  LOG_STR("error", strerror(errno)));
	listener->socket = h2o_evloop_socket_create(listener->loop->evloop, listener->fd,
						    H2O_SOCKET_FLAG_DONT_READ);
	listener->socket->data = listener;
	h2o_socket_read_start(listener->socket, on_acceptable);
}

void listener_tick(struct listener *listener)
{
	if (!listener->paused_until_ms || listener->loop->now_ms < listener->paused_until_ms)
		return;
	listener->paused_until_ms = 0;
	if (listener->socket)
		h2o_socket_read_start(listener->socket, on_acceptable);
}

void listener_stop(struct listener *listener)
{
	if (!listener->socket)
		return;
	accept_some(listener, BACKLOG);
	h2o_socket_close(listener->socket);
	listener->socket = NULL;
	listener->fd = -1;
}
