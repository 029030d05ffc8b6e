/*
 * A server on free loopback ports, clear text and TLS, with a handler of the tests' and a feed that
 * a test writes:
 *
 *     /hello     "hello\n"                    /echo      method, version, path, query, host, peer,
 * fields /big       1 MiB of text                /late      answered when fixture_answer_late()
 * says so /stream    the feed's events            /empty     204 /body      the request's body
 * anything else: 404; /late answers with the request's body, too, where it has one
 */
#ifndef SLUICE_TESTS_HTTP_FIXTURE_H
#define SLUICE_TESTS_HTTP_FIXTURE_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "event/position.h"
#include "event/stream.h"
#include "feed/fanout.h"
#include "feed/feeds.h"
#include "feed/replay.h"
#include "feed/subscriber.h"
#include "http/request_priv.h"
#include "http/server.h"

enum { FIXTURE_CLEAR, FIXTURE_TLS, FIXTURE_LISTENERS, FIXTURE_BIG_BYTES = 1 << 20 };

struct fixture {
	struct http_listener_settings listeners[FIXTURE_LISTENERS];
	struct http_settings settings;
	struct fanout_settings fanout_settings;
	struct http_server *server;
	char certificate[32], key[32];

	struct stream stream;
	struct feeds *feeds;
	struct replay *replay;
	void *token;
	int64_t produced;
	pthread_mutex_t lock; /* of the feed's writing */

	_Atomic uint32_t requests, streams, streams_lost, gone, subscribers, late_waiting;
	_Atomic bool answer_late, end_streams;
};

/* A loop's: its fanout, and a request that waits. */
struct fixture_loop {
	struct fixture *fixture;
	struct fanout *fanout;
	struct http_request *late;
	bool ended;
};

/* libh2o keeps recycled chunks for each thread, and has no call that frees them at its end. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libh2o-evloop\n";
}

static inline void fixture_want(void *context, const char *topic, uint32_t warm_ms, void *token)
{
	(void)topic;
	(void)warm_ms;
	((struct fixture *)context)->token = token;
}

static inline void fixture_unwant(void *context, const char *topic)
{
	(void)context;
	(void)topic;
}

static inline void fixture_wake(void *context)
{
	struct fixture *fixture = context;

	if (!fixture->server)
		return;
	for (size_t i = 0; i < http_server_loop_count(fixture->server); i++)
		http_loop_wake(http_server_loop(fixture->server, i));
}

static inline void *fixture_source_open(void *context)
{
	return context;
}

static inline void fixture_source_close(void *reader)
{
	(void)reader;
}

static inline int fixture_source_read(void *reader, const struct replay_source_range *ranges,
				      size_t count, uint64_t budget,
				      bool (*record)(void *, size_t, const struct record *),
				      void (*progress)(void *, size_t, int64_t), void *visitor)
{
	(void)reader;
	(void)budget;
	(void)record;
	for (size_t i = 0; i < count; i++)
		progress(visitor, i, ranges[i].until);
	return 0;
}

static inline int fixture_source_bounds(void *reader, const char *topic, int32_t partition,
					int64_t *low, int64_t *high)
{
	(void)reader;
	(void)topic;
	(void)partition;
	*low = 0;
	*high = 0;
	return 0;
}

static inline void fixture_wake_loop(void *loop)
{
	http_loop_wake(loop);
}

static inline void *fixture_loop_start(void *context, struct http_loop *loop)
{
	struct fixture_loop *made = MEM_NEW(struct fixture_loop);

	made->fixture = context;
	made->fanout = fanout_new(made->fixture->feeds, made->fixture->replay,
				  &made->fixture->fanout_settings, fixture_wake_loop, loop);
	return made;
}

static inline void fixture_loop_stop(void *context)
{
	struct fixture_loop *loop = context;

	fanout_free(loop->fanout);
	free(loop);
}

static inline void fixture_reply(struct http_request *request, int status, struct slice body)
{
	const struct http_field type = {SLICE_LIT("content-type"), SLICE_LIT("text/plain")};

	http_reply(request, &(struct http_response){
				.status = status, .fields = &type, .field_count = 1, .body = body});
}

static inline void fixture_turn(void *context)
{
	struct fixture_loop *loop = context;
	struct http_request *late = loop->late;

	fanout_turn(loop->fanout);
	if (late && atomic_load(&loop->fixture->answer_late)) {
		loop->late = NULL;
		atomic_fetch_sub(&loop->fixture->late_waiting, 1);
		fixture_reply(late, 200, late->body.len ? late->body : SLICE_LIT("late\n"));
	}
	if (!loop->ended && atomic_load(&loop->fixture->end_streams)) {
		loop->ended = true;
		fanout_drain(loop->fanout);
	}
}

static inline void fixture_tick(void *context, uint64_t now_ms)
{
	struct fixture_loop *loop = context;
	static _Thread_local size_t last;
	size_t now = fanout_subscriber_count(loop->fanout);

	(void)now_ms;
	fanout_tick(loop->fanout);
	atomic_fetch_add(&loop->fixture->subscribers, (uint32_t)(now - last));
	last = now;
}

static inline void fixture_started(void *context, struct http_stream *stream)
{
	struct fixture_loop *loop = context;
	struct fixture *fixture = loop->fixture;
	struct route_keys keys = {0};
	struct feed *feed = NULL;

	if (!stream) {
		atomic_fetch_add(&fixture->streams_lost, 1);
		return;
	}
	if (feeds_open(fixture->feeds, &fixture->stream, NULL, &feed))
		abort();
	stream->subscriber = subscriber_new(
	    loop->fanout, feed, &keys, &(struct subscriber_start){0}, INT64_MAX, &stream->carrier);
	atomic_fetch_add(&fixture->streams, 1);
}

static inline void fixture_on_gone(struct http_request *request)
{
	struct fixture_loop *loop = request->handler_data;

	loop->late = NULL;
	atomic_fetch_sub(&loop->fixture->late_waiting, 1);
	atomic_fetch_add(&loop->fixture->gone, 1);
}

static inline void fixture_echo(struct http_request *request)
{
	struct buffer out = {0};

	buffer_append_slice(&out, request->method);
	buffer_append_format(&out, "|%d|", request->version);
	buffer_append_slice(&out, request->path);
	buffer_append_text(&out, request->query.base ? "|" : "|-");
	buffer_append_slice(&out, request->query);
	buffer_append_text(&out, "|");
	buffer_append_slice(&out, http_request_field(request, "host"));
	buffer_append_text(&out, "|");
	buffer_append_slice(&out, http_request_field(request, "x-test"));
	buffer_append_format(&out, "|%s\n", request->peer);
	fixture_reply(request, 200, buffer_slice(&out));
	buffer_free(&out);
}

static inline void fixture_big(struct http_request *request)
{
	char *body = mem_alloc(FIXTURE_BIG_BYTES);

	memset(body, 'b', FIXTURE_BIG_BYTES);
	fixture_reply(request, 200, (struct slice){body, FIXTURE_BIG_BYTES});
	free(body);
}

static inline void fixture_handle(void *context, struct http_request *request)
{
	static const struct http_field type = {SLICE_LIT("content-type"),
					       SLICE_LIT("text/event-stream")};
	struct fixture *fixture = context;
	struct fixture_loop *loop = http_loop_context(request->loop);

	atomic_fetch_add(&fixture->requests, 1);
	if (slice_equal(request->path, SLICE_LIT("/hello"))) {
		fixture_reply(request, 200, SLICE_LIT("hello\n"));
	} else if (slice_equal(request->path, SLICE_LIT("/empty"))) {
		http_reply(request, &(struct http_response){.status = 204});
	} else if (slice_equal(request->path, SLICE_LIT("/echo"))) {
		fixture_echo(request);
	} else if (slice_equal(request->path, SLICE_LIT("/body"))) {
		fixture_reply(request, 200, request->body);
	} else if (slice_equal(request->path, SLICE_LIT("/big"))) {
		fixture_big(request);
	} else if (slice_equal(request->path, SLICE_LIT("/stream"))) {
		http_stream(request,
			    &(struct http_response){.status = 200,
						    .fields = &type,
						    .field_count = 1,
						    .body = SLICE_LIT(":\n\n")},
			    fixture_started, loop);
	} else if (slice_equal(request->path, SLICE_LIT("/late")) && !loop->late) {
		loop->late = request;
		request->on_gone = fixture_on_gone;
		request->handler_data = loop;
		atomic_fetch_add(&fixture->late_waiting, 1);
	} else {
		fixture_reply(request, 404, SLICE_LIT("nothing\n"));
	}
}

static inline void fixture_temporary(char name[32])
{
	int fd;

	snprintf(name, 32, "/tmp/sluice-test-XXXXXX");
	fd = mkstemp(name);
	if (fd == -1)
		abort();
	close(fd);
}

/* A key and its self-signed certificate for "localhost". */
static inline void fixture_make_certificate(char certificate[32], char key_file[32])
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x509 = X509_new();
	FILE *file;

	ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
	X509_gmtime_adj(X509_getm_notBefore(x509), -60);
	X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
	X509_set_pubkey(x509, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC,
				   (const unsigned char *)"localhost", -1, -1, 0);
	X509_set_issuer_name(x509, X509_get_subject_name(x509));
	X509_sign(x509, key, EVP_sha256());
	fixture_temporary(certificate);
	fixture_temporary(key_file);
	file = fopen(certificate, "w");
	PEM_write_X509(file, x509);
	fclose(file);
	file = fopen(key_file, "w");
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	fclose(file);
	X509_free(x509);
	EVP_PKEY_free(key);
}

/* Defaults; a test changes what it is about before fixture_start(). */
static inline void fixture_init(struct fixture *fixture)
{
	static char address[] = "127.0.0.1";

	memset(fixture, 0, sizeof(*fixture));
	fixture_make_certificate(fixture->certificate, fixture->key);
	for (int i = 0; i < FIXTURE_LISTENERS; i++)
		fixture->listeners[i].address = address;
	fixture->listeners[FIXTURE_TLS].certificate_file = fixture->certificate;
	fixture->listeners[FIXTURE_TLS].key_file = fixture->key;
	fixture->settings = (struct http_settings){
	    .listeners = fixture->listeners,
	    .listener_count = FIXTURE_LISTENERS,
	    .loops = 1,
	    .max_connections = 1000,
	    .max_streams_per_connection = 100,
	    .max_head_bytes = 16 * 1024,
	    .head_timeout_ms = 60000,
	    .idle_timeout_ms = 60000,
	    .slow_client_timeout_ms = 60000,
	    .drain_ms = 1000,
	};
	fixture->fanout_settings.slow_client_timeout_ms = 60000;
	fixture->fanout_settings.look_bytes = FANOUT_LOOK_BYTES;
	pthread_mutex_init(&fixture->lock, NULL);
	log_set_level(LOG_ERROR);
}

static inline void fixture_open_feed(struct fixture *fixture)
{
	static char topic[] = "t", *topics[] = {topic};
	const struct feeds_source source = {fixture_want, fixture_unwant, fixture};
	const struct replay_settings replay_settings = {.workers = 1,
							.chunk_bytes = 4096,
							.chunks = 2,
							.last_scan = 100,
							.last_bytes = 1 << 20};
	const struct replay_source replay_source = {
	    .open = fixture_source_open,
	    .close = fixture_source_close,
	    .read = fixture_source_read,
	    .bounds = fixture_source_bounds,
	    .context = fixture,
	};

	fixture->stream.name = mem_strdup("test");
	fixture->stream.topics = topics;
	fixture->stream.topic_count = 1;
	fixture->stream.window_bytes = 64 << 20;
	fixture->stream.max_event_bytes = 1 << 20;
	fixture->stream.heartbeat_ms = 1000000;
	if (mapping_compile(NULL, &fixture->stream.mapping, NULL, NULL))
		abort();
	fixture->feeds = feeds_new(&source, 0, fixture_wake, fixture);
	feeds_declare(fixture->feeds, &fixture->stream);
	fixture->replay = replay_new(&replay_settings, &replay_source, NULL, fixture->feeds);
	replay_start(fixture->replay);
	feeds_on_partition(fixture->feeds, fixture->token, 0, 0);
	feeds_on_flush(fixture->feeds);
	feeds_on_caught_up(fixture->feeds, fixture->token);
}

static inline void fixture_start(struct fixture *fixture)
{
	const struct http_server_hooks hooks = {
	    .context = fixture,
	    .loop_start = fixture_loop_start,
	    .loop_stop = fixture_loop_stop,
	    .request = fixture_handle,
	    .turn = fixture_turn,
	    .tick = fixture_tick,
	};
	char error[512] = "";

	fixture_open_feed(fixture);
	if (http_server_new(&fixture->settings, &hooks, &fixture->server, error)) {
		fprintf(stderr, "%s\n", error);
		abort();
	}
	http_server_start(fixture->server);
}

static inline void fixture_stop(struct fixture *fixture)
{
	http_server_stop(fixture->server);
	http_server_free(fixture->server);
	replay_stop(fixture->replay);
	feeds_free(fixture->feeds);
	replay_free(fixture->replay);
	mapping_free(fixture->stream.mapping);
	free(fixture->stream.name);
	unlink(fixture->certificate);
	unlink(fixture->key);
	pthread_mutex_destroy(&fixture->lock);
}

static inline uint16_t fixture_port(const struct fixture *fixture, int listener)
{
	return http_server_port(fixture->server, (size_t)listener);
}

/* `count` events whose data is `len` bytes that begin with their number. */
static inline void fixture_produce(struct fixture *fixture, int count, size_t len)
{
	char *value = mem_alloc(len + 24);

	pthread_mutex_lock(&fixture->lock);
	memset(value, 'x', len + 24);
	for (int i = 0; i < count; i++) {
		int digits = snprintf(value, 24, "%lld", (long long)fixture->produced);
		struct record record = {
		    .topic = SLICE_LIT("t"),
		    .offset = fixture->produced++,
		    .timestamp_ms = 1,
		    .has_value = true,
		};

		value[digits] = 'x';
		record.value = (struct slice){value, len > (size_t)digits ? len : (size_t)digits};
		feeds_on_record(fixture->feeds, fixture->token, &record);
	}
	feeds_on_flush(fixture->feeds);
	pthread_mutex_unlock(&fixture->lock);
	free(value);
}

/* Waits, for 20 s at most, until it has the value; false where it never does. */
static inline bool fixture_wait(const _Atomic uint32_t *number, uint32_t value)
{
	for (int i = 0; i < 20000; i++) {
		if (atomic_load(number) == value)
			return true;
		usleep(1000);
	}
	return false;
}

static inline bool fixture_wait_connections(struct fixture *fixture, uint32_t count)
{
	for (int i = 0; i < 20000; i++) {
		if (http_server_connections(fixture->server) == count)
			return true;
		usleep(1000);
	}
	return false;
}

static inline void fixture_answer_late(struct fixture *fixture)
{
	atomic_store(&fixture->answer_late, true);
	fixture_wake(fixture);
}

static inline void fixture_end_streams(struct fixture *fixture)
{
	atomic_store(&fixture->end_streams, true);
	fixture_wake(fixture);
}

#endif
