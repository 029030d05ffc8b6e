#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/sse_client.h"

#define STREAM_HEAD "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n"

/* Answers one connection after the other with the next of `responses`, and keeps what was asked. */
struct server {
	int listener;
	char url[64];
	const char *const *responses; /* ends with NULL */
	struct buffer requests;
	pthread_t thread;
};

static void read_head(int connection, struct buffer *requests)
{
	ssize_t n;
	size_t start = requests->len;
	while ((n = read(connection, buffer_reserve(requests, 4096), 4096)) > 0) {
		requests->len += (size_t)n;
		if (strstr(buffer_text(requests) + start, "\r\n\r\n"))
			return;
	}
}

static void *serve(void *context)
{
	struct server *server = context;
	for (size_t i = 0; server->responses[i]; i++) {
		int connection = accept(server->listener, NULL, NULL);
		read_head(connection, &server->requests);
		size_t len = strlen(server->responses[i]);
		if (write(connection, server->responses[i], len) != (ssize_t)len)
			child_die("the server can't write");
		close(connection);
	}
	return NULL;
}

static void server_start(struct server *server, const char *const *responses)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	*server = (struct server){.responses = responses};
	server->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(server->listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(server->listener, 8), 0);
	getsockname(server->listener, (struct sockaddr *)&address, &len);
	snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%u/", ntohs(address.sin_port));
	pthread_create(&server->thread, NULL, serve, server);
}

static void server_stop(struct server *server)
{
	pthread_join(server->thread, NULL);
	close(server->listener);
	buffer_free(&server->requests);
}

static void keep_event(void *context, struct sse_client *client, const struct sse_event *event)
{
	struct buffer *kept = context;
	(void)client;
	buffer_append_slice(kept, event->data);
	buffer_append_text(kept, ",");
}

static bool is_closed(void *context)
{
	return sse_client_facts(context).state == SSE_CLIENT_CLOSED;
}

struct outcome {
	struct buffer events;
	struct sse_client_facts facts;
	char *requests;
};

/* Lets a client talk to the responses until it stops by itself, cut after `cut` bytes of its first
 * body where not 0. */
static void run(const char *const *responses, uint64_t cut, struct outcome *outcome)
{
	struct server server;
	struct sse_client_loop *loop = sse_client_loop_new();
	*outcome = (struct outcome){0};
	server_start(&server, responses);
	struct sse_client_options options = {
	    .url = server.url, .retry_ms = 1, .on_event = keep_event, .context = &outcome->events};
	struct sse_client *client = sse_client_open(loop, &options);
	if (cut)
		sse_client_cut_after(client, cut);
	assert_true(sse_client_loop_until(loop, is_closed, client, 10000));
	outcome->facts = sse_client_facts(client);
	outcome->requests = strdup(buffer_text(&server.requests));
	server_stop(&server);
	sse_client_loop_free(loop);
	buffer_text(&outcome->events);
}

static void outcome_fini(struct outcome *outcome)
{
	buffer_free(&outcome->events);
	free(outcome->requests);
}

/* The end of a response makes it come back with the last complete id; 204 ends it. */
static void test_sse_client_stream_ends_comes_back_with_last_id_until_204(void **state)
{
	static const char *const responses[] = {
	    STREAM_HEAD "data: a\nid: 1\n\nid: 2\n\nid: 3\ndata: half", STREAM_HEAD "data: b\n\n",
	    "HTTP/1.1 204 No Content\r\n\r\n", NULL};
	struct outcome outcome;
	(void)state;
	run(responses, 0, &outcome);
	assert_string_equal(outcome.events.base, "a,b,");
	assert_int_equal(outcome.facts.opens, 2);
	assert_int_equal(outcome.facts.status, 204);
	assert_non_null(strstr(outcome.requests, "Last-Event-ID: 2\r\n"));
	assert_null(strstr(outcome.requests, "Last-Event-ID: 3"));
	outcome_fini(&outcome);
}

/* A cut drops the bytes behind it though they had arrived, at every byte of the stream. */
static void test_sse_client_cut_at_any_byte_loses_the_rest(void **state)
{
	static const char *const responses[] = {STREAM_HEAD "id: 1\ndata: a\n\nid: 2\ndata: b\n\n",
						"HTTP/1.1 204 No Content\r\n\r\n", NULL};
	(void)state;
	for (uint64_t cut = 1; cut <= 30; cut++) {
		struct outcome outcome;
		run(responses, cut, &outcome);
		assert_string_equal(outcome.events.len ? outcome.events.base : "", cut < 15 ? ""
										   : cut < 30
										       ? "a,"
										       : "a,b,");
		assert_int_equal(outcome.facts.bytes, cut);
		outcome_fini(&outcome);
	}
}

/* Any other status, and any other type, closes it for good; the body is kept for the test. */
static void test_sse_client_response_is_no_stream_stays_closed(void **state)
{
	static const char *const rows[][2] = {
	    {"HTTP/1.1 404 Not Found\r\ncontent-type: text/event-stream\r\n\r\nno", NULL},
	    {"HTTP/1.1 503 Service Unavailable\r\n\r\nno", NULL},
	    {"HTTP/1.1 200 OK\r\ncontent-type: text/event-streams\r\n\r\nno", NULL},
	    {"HTTP/1.1 200 OK\r\n\r\nno", NULL},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct outcome outcome;
		run(rows[i], 0, &outcome);
		assert_int_equal(outcome.facts.opens, 0);
		outcome_fini(&outcome);
	}
}

/* A connection that breaks before there is a head is tried again; the retry field sets the delay.
 */
static void test_sse_client_connection_breaks_is_tried_again(void **state)
{
	static const char *const responses[] = {"", "HTTP/1.1 2", STREAM_HEAD "retry: 7\n\n",
						"HTTP/1.1 204 No Content\r\n\r\n", NULL};
	struct outcome outcome;
	(void)state;
	run(responses, 0, &outcome);
	assert_int_equal(outcome.facts.ends, 4);
	assert_int_equal(outcome.facts.opens, 1);
	assert_int_equal(outcome.facts.retry_ms, 7);
	outcome_fini(&outcome);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sse_client_stream_ends_comes_back_with_last_id_until_204),
	    cmocka_unit_test(test_sse_client_cut_at_any_byte_loses_the_rest),
	    cmocka_unit_test(test_sse_client_response_is_no_stream_stays_closed),
	    cmocka_unit_test(test_sse_client_connection_breaks_is_tried_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
