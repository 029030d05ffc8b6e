#include "lib/sse_client.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "lib/child.h"

enum { MAX_ERROR_BODY = 64 * 1024, POLL_MS = 20, MAX_STREAMS = 100000 };

#define NEVER UINT64_MAX

struct sse_client {
	struct sse_client *next;
	struct sse_client_loop *loop;
	CURL *transfer; /* NULL: not connected */
	struct curl_slist *fields;
	struct sse_parser parser;
	struct buffer url;
	struct buffer ca_file;
	struct buffer method, request_body; /* empty: GET, none */
	struct buffer fixed_fields;         /* "name: value" NUL … */
	struct buffer head;
	struct buffer body;
	struct sse_client_facts facts;
	enum sse_client_http http;
	bool own_connection;
	bool eager;
	bool fresh; /* its last connection failed: libcurl 7.88 would offer it again and again */
	bool cut;   /* nothing more of this connection counts */
	bool cut_after_this;
	bool paused;
	uint32_t retry_limit_ms;
	uint64_t cut_left;   /* bytes of the body; NEVER: no cut is due */
	uint64_t connect_ms; /* when to connect; NEVER: connected, or closed for good */
	void (*on_event)(void *context, struct sse_client *client, const struct sse_event *event);
	void (*on_comment)(void *context, struct sse_client *client, struct slice text);
	void *context;
};

struct sse_client_loop {
	CURLM *multi;
	struct sse_client *first;
};

static void pass_event(void *context, const struct sse_event *event)
{
	struct sse_client *client = context;
	if (client->cut)
		return;
	client->facts.events++;
	if (client->on_event)
		client->on_event(client->context, client, event);
}

static void pass_comment(void *context, struct slice text)
{
	struct sse_client *client = context;
	if (client->on_comment && !client->cut)
		client->on_comment(client->context, client, text);
}

static void take_retry(void *context, uint64_t ms)
{
	struct sse_client *client = context;
	uint64_t limit = client->retry_limit_ms ? client->retry_limit_ms : UINT32_MAX;
	client->facts.retry_ms = (uint32_t)(ms < limit ? ms : limit);
}

/* How many of `len` bytes the client gets before a cut that is due. */
static size_t take_until_cut(struct sse_client *client, size_t len)
{
	if (client->cut_left == NEVER)
		return len;
	if (client->cut_left > len) {
		client->cut_left -= len;
		return len;
	}
	len = (size_t)client->cut_left;
	client->cut_left = NEVER;
	client->cut_after_this = true;
	return len;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
	struct sse_client *client = context;
	size_t len = size * count;
	if (client->facts.state != SSE_CLIENT_OPEN) {
		if (client->body.len + len <= MAX_ERROR_BODY)
			buffer_append(&client->body, bytes, len);
		return len;
	}
	if (client->paused)
		return CURL_WRITEFUNC_PAUSE;
	size_t taken = take_until_cut(client, len);
	client->facts.bytes += taken;
	sse_parser_feed(&client->parser, (struct slice){bytes, taken});
	client->cut |= client->cut_after_this;
	/* Fewer than came: libcurl closes the connection. */
	return client->cut ? 0 : len;
}

static bool is_event_stream(CURL *transfer)
{
	const char *type = NULL;
	curl_easy_getinfo(transfer, CURLINFO_CONTENT_TYPE, &type);
	static const char wanted[] = "text/event-stream";
	size_t len = sizeof(wanted) - 1;
	return type && strncasecmp(type, wanted, len) == 0 &&
	       (!type[len] || strchr("; ", type[len]));
}

static size_t take_head(char *bytes, size_t size, size_t count, void *context)
{
	struct sse_client *client = context;
	size_t len = size * count;
	if (len > 5 && memcmp(bytes, "HTTP/", 5) == 0)
		buffer_clear(&client->head);
	buffer_append(&client->head, bytes, len);
	if (len > 2 || bytes[0] != '\r')
		return len;
	curl_easy_getinfo(client->transfer, CURLINFO_RESPONSE_CODE, &client->facts.status);
	curl_easy_getinfo(client->transfer, CURLINFO_HTTP_VERSION, &client->facts.http_version);
	if (client->facts.status == 200 && is_event_stream(client->transfer)) {
		client->facts.state = SSE_CLIENT_OPEN;
		client->facts.opens++;
	}
	return len;
}

static long curl_http(enum sse_client_http http)
{
	switch (http) {
	case SSE_CLIENT_HTTP1:
		return CURL_HTTP_VERSION_1_1;
	case SSE_CLIENT_HTTP2_PRIOR_KNOWLEDGE:
		return CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
	case SSE_CLIENT_HTTP2_TLS:
		return CURL_HTTP_VERSION_2TLS;
	}
	abort();
}

static void add_field(struct sse_client *client, const char *line)
{
	client->fields = curl_slist_append(client->fields, line);
	if (!client->fields)
		child_die("curl_slist_append failed");
}

static void make_fields(struct sse_client *client)
{
	struct buffer line = {0};
	add_field(client, "Accept: text/event-stream");
	add_field(client, "Cache-Control: no-store");
	for (size_t at = 0; at < client->fixed_fields.len;) {
		const char *text = client->fixed_fields.base + at;
		add_field(client, text);
		at += strlen(text) + 1;
	}
	if (client->parser.last_event_id.len) {
		buffer_append_text(&line, "Last-Event-ID: ");
		buffer_append_slice(&line, buffer_slice(&client->parser.last_event_id));
		add_field(client, buffer_text(&line));
	}
	buffer_free(&line);
}

static void set_options(struct sse_client *client)
{
	CURL *transfer = client->transfer;
	curl_easy_setopt(transfer, CURLOPT_URL, buffer_text(&client->url));
	curl_easy_setopt(transfer, CURLOPT_HTTP_VERSION, curl_http(client->http));
	curl_easy_setopt(transfer, CURLOPT_HTTPHEADER, client->fields);
	curl_easy_setopt(transfer, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(transfer, CURLOPT_WRITEDATA, client);
	curl_easy_setopt(transfer, CURLOPT_HEADERFUNCTION, take_head);
	curl_easy_setopt(transfer, CURLOPT_HEADERDATA, client);
	curl_easy_setopt(transfer, CURLOPT_PRIVATE, client);
	curl_easy_setopt(transfer, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(transfer, CURLOPT_PROXY, "");
	if (client->request_body.len)
		curl_easy_setopt(transfer, CURLOPT_POSTFIELDS, buffer_text(&client->request_body));
	if (client->method.len)
		curl_easy_setopt(transfer, CURLOPT_CUSTOMREQUEST, buffer_text(&client->method));
	if (client->ca_file.len)
		curl_easy_setopt(transfer, CURLOPT_CAINFO, buffer_text(&client->ca_file));
	curl_easy_setopt(transfer, CURLOPT_FRESH_CONNECT, (long)client->fresh);
	if (client->own_connection || client->http == SSE_CLIENT_HTTP1) {
		curl_easy_setopt(transfer, CURLOPT_FRESH_CONNECT, 1L);
		curl_easy_setopt(transfer, CURLOPT_FORBID_REUSE, 1L);
	} else {
		curl_easy_setopt(transfer, CURLOPT_PIPEWAIT, client->eager ? 0L : 1L);
	}
}

static void connect_now(struct sse_client *client)
{
	client->transfer = curl_easy_init();
	if (!client->transfer)
		child_die("curl_easy_init failed");
	client->connect_ms = NEVER;
	client->cut = false;
	client->cut_after_this = false;
	client->facts.state = SSE_CLIENT_CONNECTING;
	client->facts.status = 0;
	buffer_clear(&client->body);
	sse_parser_restart(&client->parser);
	make_fields(client);
	set_options(client);
	CURLMcode code = curl_multi_add_handle(client->loop->multi, client->transfer);
	if (code)
		child_die("curl_multi_add_handle: %s", curl_multi_strerror(code));
}

static void disconnect(struct sse_client *client)
{
	if (!client->transfer)
		return;
	curl_multi_remove_handle(client->loop->multi, client->transfer);
	curl_easy_cleanup(client->transfer);
	curl_slist_free_all(client->fields);
	client->transfer = NULL;
	client->fields = NULL;
	client->facts.ends++;
}

/* A response that was complete and no event stream ends the client; everything else is a network
 * that failed. */
static void connection_ended(struct sse_client *client)
{
	bool stays_closed = client->facts.status && client->facts.state != SSE_CLIENT_OPEN;
	disconnect(client);
	client->facts.state = stays_closed ? SSE_CLIENT_CLOSED : SSE_CLIENT_CONNECTING;
	client->fresh = !client->facts.status;
	if (!stays_closed)
		client->connect_ms = clock_monotonic_ms() + client->facts.retry_ms;
}

static void assign(struct buffer *buffer, const char *text)
{
	buffer_clear(buffer);
	if (text)
		buffer_append_text(buffer, text);
}

struct sse_client *sse_client_open(struct sse_client_loop *loop,
				   const struct sse_client_options *options)
{
	struct sse_client *client = MEM_NEW(struct sse_client);
	assign(&client->url, options->url);
	assign(&client->ca_file, options->ca_file);
	assign(&client->method, options->method);
	assign(&client->request_body, options->body);
	for (size_t i = 0; i < options->header_count; i++)
		buffer_append(&client->fixed_fields, options->headers[i],
			      strlen(options->headers[i]) + 1);
	client->parser = (struct sse_parser){.on_event = pass_event,
					     .on_comment = pass_comment,
					     .on_retry = take_retry,
					     .context = client};
	if (options->last_event_id)
		sse_parser_set_last_event_id(&client->parser, slice_of(options->last_event_id));
	client->http = options->http;
	client->own_connection = options->own_connection;
	client->eager = options->eager;
	client->facts.retry_ms = options->retry_ms;
	client->retry_limit_ms = options->retry_limit_ms;
	client->cut_left = NEVER;
	client->on_event = options->on_event;
	client->on_comment = options->on_comment;
	client->context = options->context;
	client->loop = loop;
	client->next = loop->first;
	loop->first = client;
	return client;
}

void sse_client_close(struct sse_client *client)
{
	struct sse_client **link = &client->loop->first;
	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	disconnect(client);
	sse_parser_fini(&client->parser);
	buffer_free(&client->url);
	buffer_free(&client->ca_file);
	buffer_free(&client->method);
	buffer_free(&client->request_body);
	buffer_free(&client->fixed_fields);
	buffer_free(&client->head);
	buffer_free(&client->body);
	free(client);
}

void sse_client_cut(struct sse_client *client)
{
	client->cut = client->transfer != NULL;
}

void sse_client_cut_after(struct sse_client *client, uint64_t bytes)
{
	client->cut_left = bytes;
}

void sse_client_pause(struct sse_client *client, bool paused)
{
	client->paused = paused;
	if (!paused && client->transfer)
		curl_easy_pause(client->transfer, CURLPAUSE_CONT);
}

void sse_client_set_url(struct sse_client *client, const char *url)
{
	assign(&client->url, url);
}

struct sse_client_facts sse_client_facts(const struct sse_client *client)
{
	struct sse_client_facts facts = client->facts;
	facts.last_event_id = buffer_slice(&client->parser.last_event_id);
	facts.head = buffer_slice(&client->head);
	facts.body = buffer_slice(&client->body);
	return facts;
}

struct sse_client_loop *sse_client_loop_new(void)
{
	struct sse_client_loop *loop = MEM_NEW(struct sse_client_loop);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	loop->multi = curl_multi_init();
	if (!loop->multi)
		child_die("curl_multi_init failed");
	curl_multi_setopt(loop->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	curl_multi_setopt(loop->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)MAX_STREAMS);
	return loop;
}

void sse_client_loop_free(struct sse_client_loop *loop)
{
	while (loop->first)
		sse_client_close(loop->first);
	curl_multi_cleanup(loop->multi);
	free(loop);
}

static void connect_and_cut(struct sse_client_loop *loop)
{
	uint64_t now = clock_monotonic_ms();
	for (struct sse_client *client = loop->first; client; client = client->next) {
		if (client->cut && client->transfer)
			connection_ended(client);
		if (client->connect_ms <= now)
			connect_now(client);
	}
}

static void take_ends(struct sse_client_loop *loop)
{
	CURLMsg *message;
	int left;
	while ((message = curl_multi_info_read(loop->multi, &left))) {
		char *context = NULL;
		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &context);
		connection_ended((struct sse_client *)(void *)context);
	}
}

void sse_client_loop_run(struct sse_client_loop *loop, uint32_t timeout_ms)
{
	int running;
	connect_and_cut(loop);
	curl_multi_perform(loop->multi, &running);
	take_ends(loop);
	curl_multi_poll(loop->multi, NULL, 0, (int)timeout_ms, NULL);
	curl_multi_perform(loop->multi, &running);
	take_ends(loop);
}

bool sse_client_loop_until(struct sse_client_loop *loop, bool (*done)(void *context), void *context,
			   uint32_t patience_ms)
{
	uint64_t deadline = clock_monotonic_ms() + patience_ms;
	while (!done(context)) {
		if (clock_monotonic_ms() > deadline)
			return false;
		sse_client_loop_run(loop, POLL_MS);
	}
	return true;
}
