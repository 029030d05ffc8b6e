/*
 * The happy path: libh2o reads the body and calls on_request(), the hook gets a struct
 * http_request, and answers by reply(), after which libh2o closes the connection, or by stream(),
 * after which on_taken_over() has the socket.
 *
 * A body in chunks that is too large or malformed is refused by libh2o, in our words (refuse());
 * one that does not get whole within the head's timeout ends the connection. While a handler takes
 * its time, nothing is read, so a client that goes is noticed by the answer only: on_gone is called
 * where the server stops before it. A take-over whose write fails ends with on_taken_over() without
 * a socket.
 */
#include <arpa/inet.h>
#include <h2o.h>
#include <h2o/http1.h>
#include <sys/socket.h>

#include "base/buffer.h"
#include "base/metrics.h"
#include "http/connection_priv.h"
#include "http/http1_priv.h"
#include "http/loop_priv.h"
#include "http/problem_priv.h"
#include "http/request_fields_priv.h"
#include "http/server_priv.h"

/* Lives in the pool of libh2o's request. */
struct http1_request {
	struct http_request request; /* first */
	h2o_req_t *h2o;
	struct connection *connection;
	char peer[INET6_ADDRSTRLEN];
};

/* libh2o's bytes are char *, and read only. */
static h2o_iovec_t copy(h2o_mem_pool_t *pool, struct slice text)
{
	return h2o_strdup(pool, text.base ? text.base : "", text.len);
}

static void set_response(struct http1_request *self, const struct http_response *response)
{
	h2o_req_t *h2o = self->h2o;

	h2o->http1_is_persistent = 0;
	h2o->res.status = response->status;
	h2o->res.reason = problem_title(response->status);
	for (size_t i = 0; i < response->field_count; i++) {
		h2o_iovec_t name = copy(&h2o->pool, response->fields[i].name);
		h2o_iovec_t value = copy(&h2o->pool, response->fields[i].value);

		h2o_add_header_by_str(&h2o->pool, &h2o->res.headers, name.base, name.len, 1, NULL,
				      value.base, value.len);
	}
}

/*
 * libh2o closes right after its write; what the client has sent beyond its request (a second one,
 * say) would turn that into a reset, which may take the answer away.
 */
static void discard_unread(h2o_socket_t *socket)
{
	char bytes[4096];

	for (int i = 0; i < 16; i++)
		if (recv(h2o_socket_get_fd(socket), bytes, sizeof(bytes), MSG_DONTWAIT) <= 0)
			return;
}

static void enter_answer(struct connection *connection, enum connection_state state)
{
	struct http_loop *loop = connection->loop;

	connection->state = (uint8_t)state;
	timer_list_set(&loop->slow_timers, &connection->timer, loop->now_ms);
}

static void reply(struct http_request *request, const struct http_response *response)
{
	static h2o_generator_t generator;
	struct http1_request *self = (struct http1_request *)request;
	h2o_req_t *h2o = self->h2o;
	h2o_iovec_t body = copy(&h2o->pool, response->body);
	bool has_body = response->body.len && !request_is_head(request);

	discard_unread(self->connection->socket);
	enter_answer(self->connection, CONNECTION_REPLY);
	set_response(self, response);
	if (request_status_has_no_content(response->status))
		has_body = false;
	else if (!response->has_no_length)
		h2o->res.content_length = response->body.len;
	h2o_start_response(h2o, &generator);
	h2o_send(h2o, &body, has_body, H2O_SEND_STATE_FINAL);
}

static void on_taken_over(void *data, h2o_socket_t *socket, size_t request_bytes)
{
	struct connection *connection = data;
	http_stream_started started = connection->takeover.started;
	void *context = connection->takeover.context;

	(void)request_bytes;
	if (!socket) {
		started(context, NULL);
		return;
	}
	timer_list_clear(&connection->timer);
	socket->data = connection;
	http1_stream_begin(connection);
	started(context, &connection->stream);
	connection_want_pump(connection);
}

static void stream(struct http_request *request, const struct http_response *head,
		   http_stream_started started, void *context)
{
	struct http1_request *self = (struct http1_request *)request;
	struct connection *connection = self->connection;
	h2o_req_t *h2o = self->h2o;
	h2o_iovec_t body = copy(&h2o->pool, head->body);

	set_response(self, head);
	/* libh2o says "connection: upgrade" here; the body's end is the connection's. */
	h2o_add_header(&h2o->pool, &h2o->res.headers, H2O_TOKEN_CONNECTION, NULL,
		       H2O_STRLIT("close"));
	enter_answer(connection, CONNECTION_TAKEOVER);
	connection->takeover.started = started;
	connection->takeover.context = context;
	h2o_http1_upgrade(h2o, &body, 1, on_taken_over, connection);
}

static const struct http_request_ops ops = {reply, stream};

static struct slice slice_of_iovec(h2o_iovec_t bytes)
{
	return (struct slice){bytes.base, bytes.len};
}

/* libh2o takes the host out of the fields. */
static void set_fields(struct http1_request *self)
{
	h2o_req_t *h2o = self->h2o;
	struct http_field *fields =
	    h2o_mem_alloc_pool(&h2o->pool, (h2o->headers.size + 1) * sizeof(*fields));

	for (size_t i = 0; i < h2o->headers.size; i++) {
		const h2o_header_t *header = &h2o->headers.entries[i];

		fields[i].name = slice_of_iovec(*header->name);
		fields[i].value = slice_of_iovec(header->value);
	}
	fields[h2o->headers.size].name = SLICE_LIT("host");
	fields[h2o->headers.size].value = slice_of_iovec(h2o->input.authority);
	self->request.fields = fields;
	self->request.field_count = h2o->headers.size + 1;
}

static struct http1_request *make_request(h2o_req_t *h2o, struct connection *connection)
{
	struct http1_request *self = h2o_mem_alloc_pool(&h2o->pool, sizeof(*self));

	memset(self, 0, sizeof(*self));
	self->h2o = h2o;
	self->connection = connection;
	connection_format_peer(connection, self->peer);
	self->request.loop = connection->loop;
	self->request.listener = connection->settings;
	self->request.method = slice_of_iovec(h2o->input.method);
	self->request.body = slice_of_iovec(h2o->entity);
	self->request.peer = self->peer;
	self->request.version = h2o->version == 0x100 ? 10 : 11;
	self->request.ops = &ops;
	set_fields(self);
	return self;
}

static struct connection *connection_of(h2o_req_t *h2o)
{
	return h2o->conn->callbacks->get_socket(h2o->conn)->on_close.data;
}

/* In place of what libh2o says. */
struct refusal {
	h2o_ostream_t super; /* first */
	h2o_iovec_t body;
};

static void send_refusal(h2o_ostream_t *stream, h2o_req_t *h2o, h2o_iovec_t *said, size_t count,
			 h2o_send_state_t state)
{
	(void)said;
	h2o_ostream_send_next(stream, h2o, &((struct refusal *)stream)->body, count > 0, state);
}

static void refuse(struct connection *connection, h2o_req_t *h2o, h2o_ostream_t **slot)
{
	struct refusal *refusal = (struct refusal *)h2o_add_ostream(h2o, sizeof(*refusal), slot);
	struct buffer body = {0};

	problem_append(&body, h2o->res.status,
		       h2o->res.status == 413 ? HTTP_BODY_TOO_LARGE
					      : "The request's body is malformed.");
	refusal->super.do_send = send_refusal;
	refusal->body = copy(&h2o->pool, buffer_slice(&body));
	buffer_free(&body);
	h2o->res.reason = problem_title(h2o->res.status);
	h2o->res.content_length = refusal->body.len;
	h2o_set_header(&h2o->pool, &h2o->res.headers, H2O_TOKEN_CONTENT_TYPE,
		       H2O_STRLIT("application/problem+json"), 1);
	request_count_response(h2o->res.status);
	discard_unread(connection->socket);
	enter_answer(connection, CONNECTION_REPLY);
}

/* An answer that was not asked for is libh2o's own. */
static void on_setup_ostream(h2o_filter_t *filter, h2o_req_t *h2o, h2o_ostream_t **slot)
{
	struct connection *connection = connection_of(h2o);

	(void)filter;
	if (connection->state == CONNECTION_REQUEST) {
		refuse(connection, h2o, slot);
		slot = &(*slot)->next;
	}
	h2o_setup_next_ostream(h2o, slot);
}

static int on_request(h2o_handler_t *handler, h2o_req_t *h2o)
{
	struct connection *connection = connection_of(h2o);
	struct http1_request *self = make_request(h2o, connection);
	const struct http_server_hooks *hooks = &connection->loop->server->hooks;

	(void)handler;
	metrics_add(METRIC_REQUESTS, 1);
	connection->request = self;
	if (request_set_target(&self->request, slice_of_iovec(h2o->input.path)))
		hooks->request(hooks->context, &self->request);
	else
		request_refuse(&self->request, 400, "The request's target is not a path.");
	return 0;
}

void http1_register(h2o_globalconf_t *config)
{
	h2o_hostconf_t *host =
	    h2o_config_register_host(config, h2o_iovec_init(H2O_STRLIT("sluice")), 65535);
	h2o_handler_t *handler = h2o_create_handler(&host->fallback_path, sizeof(*handler));
	h2o_filter_t *filter = h2o_create_filter(&host->fallback_path, sizeof(*filter));

	handler->on_req = on_request;
	filter->on_setup_ostream = on_setup_ostream;
	/* libh2o takes less than this of a body in chunks, and no more than this of another, whose
	 * length head_check() has seen. */
	config->max_request_entity_size = HTTP_MAX_BODY_BYTES + 1;
}

void http1_give_up(struct connection *connection)
{
	struct http1_request *self = connection->request;

	if (!self)
		return;
	if (self->request.on_gone)
		self->request.on_gone(&self->request);
	reply(&self->request, &(struct http_response){.status = 503});
}
