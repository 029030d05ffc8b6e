#include "auth/jwks_fetch_priv.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/jwks_transfer_priv.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

#define NEVER UINT64_MAX

/* A waiting token gives up after 5 s (auth.h): what begins within demand_wait_ms has ended by then,
 * or nearly. */
const struct jwks_fetch_limits jwks_fetch_limits_default = {
    .connect_ms = 3000,
    .total_ms = 4000,
    .body_bytes = 1024 * 1024,
    .demand_gap_ms = 10 * 1000,
    .demand_wait_ms = 1000,
    .retry_first_ms = 1000,
    .retry_last_ms = 60 * 1000,
};

struct jwks_source {
	const struct auth_issuer *issuer;
	char *name; /* fit for a log; NULL: the issuer has neither file nor URL */
	struct jwks_transfer *transfer; /* the thread's */
	uint32_t failures;              /* the thread's: in a row */

	/* Under the lock: */
	struct jwks *keys;
	bool reading;
	uint64_t due_ms;
	uint64_t demand_from_ms; /* no token may ask for a reading before */
};

struct jwks_fetch {
	const struct jwks_fetch_limits *limits;
	void (*on_change)(void *context);
	void *context;
	CURLM *multi;
	pthread_t thread;
	bool running;
	atomic_bool stopping;
	pthread_mutex_t lock;
	size_t source_count;
	struct jwks_source sources[];
};

static uint64_t refresh_due_ms(const struct jwks_source *source, uint64_t now_ms)
{
	return source->issuer->refresh_ms ? now_ms + source->issuer->refresh_ms : NEVER;
}

static uint64_t retry_due_ms(const struct jwks_fetch *fetch, const struct jwks_source *source,
			     uint64_t now_ms)
{
	uint64_t pause = fetch->limits->retry_first_ms;
	for (uint32_t i = 1; i < source->failures && pause < fetch->limits->retry_last_ms; i++)
		pause *= 2;
	if (pause > fetch->limits->retry_last_ms)
		pause = fetch->limits->retry_last_ms;
	return now_ms + pause;
}

/* Takes ownership of the reference; NULL: the reading failed. */
static void store_keys(struct jwks_fetch *fetch, struct jwks_source *source, struct jwks *keys)
{
	uint64_t now_ms = clock_monotonic_ms();
	struct jwks *old = NULL;
	source->failures = keys ? 0 : source->failures + 1;
	pthread_mutex_lock(&fetch->lock);
	if (keys) {
		old = source->keys;
		source->keys = keys;
	}
	source->reading = false;
	source->due_ms =
	    keys ? refresh_due_ms(source, now_ms) : retry_due_ms(fetch, source, now_ms);
	pthread_mutex_unlock(&fetch->lock);
	jwks_unref(old);
}

/* `result`, `text` and `why` are what the reading gave. */
static int finish_reading(struct jwks_fetch *fetch, struct jwks_source *source, int result,
			  struct slice text, const char *why)
{
	struct jwks *keys = NULL;
	if (!result)
		result = jwks_parse(text, &keys, &why);
	if (result) {
		metrics_add(METRIC_JWKS_FAILURES, 1);
		log_event(source->keys ? LOG_WARN : LOG_ERROR, "jwks_fetch",
			  "the keys cannot be read", LOG_STR("source", source->name),
			  LOG_STR("reason", why));
	} else {
		metrics_add(METRIC_JWKS_REFRESHES, 1);
		log_event(source->keys && !source->failures ? LOG_DEBUG : LOG_INFO, "jwks_fetch",
			  "the keys are read", LOG_STR("source", source->name),
			  LOG_INT("keys", keys->count));
	}
	store_keys(fetch, source, keys);
	return result;
}

static int read_stream(FILE *stream, size_t bytes_max, struct buffer *text, const char **why)
{
	/* One byte more than allowed tells a file that is too large. */
	char *room = buffer_reserve(text, bytes_max + 1);
	text->len = fread(room, 1, bytes_max + 1, stream);
	if (ferror(stream)) {
		*why = strerrordesc_np(errno);
		return ERROR_IO;
	}
	if (text->len > bytes_max) {
		*why = "the file is larger than the limit";
		return ERROR_LIMIT;
	}
	return 0;
}

static int read_file(struct jwks_fetch *fetch, struct jwks_source *source)
{
	struct buffer text = {0};
	const char *why = NULL;
	int result = ERROR_IO;
	FILE *stream = fopen(source->issuer->jwks_file, "re");
	if (stream) {
		result = read_stream(stream, fetch->limits->body_bytes, &text, &why);
		fclose(stream);
	} else {
		why = strerrordesc_np(errno);
	}
	result = finish_reading(fetch, source, result, buffer_slice(&text), why);
	/* The file may hold secrets. */
	if (text.base)
		OPENSSL_cleanse(text.base, text.capacity);
	buffer_free(&text);
	return result;
}

static void start_reading(struct jwks_fetch *fetch, struct jwks_source *source)
{
	if (source->issuer->jwks_file) {
		(void)read_file(fetch, source);
		fetch->on_change(fetch->context);
		return;
	}
	struct jwks_transfer_settings settings = {
	    .url = source->issuer->jwks_url,
	    .ca_file = source->issuer->jwks_ca_file,
	    .connect_ms = fetch->limits->connect_ms,
	    .total_ms = fetch->limits->total_ms,
	    .body_bytes = fetch->limits->body_bytes,
	};
	source->transfer = jwks_transfer_start(fetch->multi, &settings, source);
}

static bool take_due(struct jwks_fetch *fetch, struct jwks_source *source, uint64_t now_ms)
{
	pthread_mutex_lock(&fetch->lock);
	bool due = !source->reading && source->due_ms <= now_ms;
	source->reading = source->reading || due;
	pthread_mutex_unlock(&fetch->lock);
	return due;
}

static void start_due(struct jwks_fetch *fetch)
{
	for (size_t i = 0; i < fetch->source_count; i++) {
		if (take_due(fetch, &fetch->sources[i], clock_monotonic_ms()))
			start_reading(fetch, &fetch->sources[i]);
	}
}

static void end_transfer(struct jwks_fetch *fetch, struct jwks_transfer *transfer, CURLcode code)
{
	struct jwks_source *source = jwks_transfer_context(transfer);
	struct slice body = {NULL, 0};
	const char *why = NULL;
	int result = jwks_transfer_result(transfer, code, &body, &why);
	source->transfer = NULL;
	(void)finish_reading(fetch, source, result, body, why);
	jwks_transfer_free(transfer);
	fetch->on_change(fetch->context);
}

static void end_transfers(struct jwks_fetch *fetch)
{
	int left;
	for (CURLMsg *message; (message = curl_multi_info_read(fetch->multi, &left)) != NULL;) {
		if (message->msg == CURLMSG_DONE)
			end_transfer(fetch, jwks_transfer_of(message->easy_handle),
				     message->data.result);
	}
}

/* How long the thread may sleep; a wake-up is never missed, so the end of it is arbitrary. */
static int pause_ms(struct jwks_fetch *fetch)
{
	uint64_t now_ms = clock_monotonic_ms();
	uint64_t pause = 60 * 1000;
	pthread_mutex_lock(&fetch->lock);
	for (size_t i = 0; i < fetch->source_count; i++) {
		const struct jwks_source *source = &fetch->sources[i];
		uint64_t left = source->due_ms > now_ms ? source->due_ms - now_ms : 0;
		if (!source->reading && left < pause)
			pause = left;
	}
	pthread_mutex_unlock(&fetch->lock);
	return (int)pause;
}

static void *run(void *context)
{
	struct jwks_fetch *fetch = context;
	while (!atomic_load(&fetch->stopping)) {
		int transfers;
		start_due(fetch);
		curl_multi_perform(fetch->multi, &transfers);
		end_transfers(fetch);
		curl_multi_poll(fetch->multi, NULL, 0, pause_ms(fetch), NULL);
	}
	return NULL;
}

static int open_source(struct jwks_fetch *fetch, struct jwks_source *source)
{
	const struct auth_issuer *issuer = source->issuer;
	source->due_ms = NEVER;
	if (issuer->jwks_file) {
		source->name = mem_strdup(issuer->jwks_file);
		return read_file(fetch, source) ? ERROR_INVALID : 0;
	}
	if (!issuer->jwks_url)
		return 0;
	source->name = jwks_transfer_printable(issuer->jwks_url);
	source->due_ms = 0;
	if (jwks_transfer_supports(issuer->jwks_url))
		return 0;
	log_event(LOG_ERROR, "jwks_fetch", "a JWKS URL is not http or https",
		  LOG_STR("source", source->name));
	return ERROR_INVALID;
}

static int open_sources(struct jwks_fetch *fetch, const struct auth_settings *settings)
{
	for (size_t i = 0; i < fetch->source_count; i++) {
		fetch->sources[i].issuer = &settings->issuers[i];
		int result = open_source(fetch, &fetch->sources[i]);
		if (result)
			return result;
	}
	return 0;
}

/* Signals are the main thread's: this one, and those that libcurl starts for names, inherit a full
 * mask. */
static void start_thread(struct jwks_fetch *fetch)
{
	sigset_t all;
	sigset_t before;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	int result = pthread_create(&fetch->thread, NULL, run, fetch);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	assert(result == 0);
	pthread_setname_np(fetch->thread, "sluice-jwks");
	fetch->running = true;
}

static bool needs_thread(const struct jwks_fetch *fetch)
{
	for (size_t i = 0; i < fetch->source_count; i++) {
		if (fetch->sources[i].name)
			return true;
	}
	return false;
}

int jwks_fetch_new(const struct auth_settings *settings, const struct jwks_fetch_limits *limits,
		   void (*on_change)(void *context), void *context, struct jwks_fetch **fetch)
{
	size_t count = settings->issuer_count;
	struct jwks_fetch *made = mem_zalloc(sizeof(*made) + count * sizeof(made->sources[0]));
	made->limits = limits;
	made->on_change = on_change;
	made->context = context;
	made->source_count = count;
	pthread_mutex_init(&made->lock, NULL);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	made->multi = curl_multi_init();
	assert(made->multi);
	int result = open_sources(made, settings);
	if (result) {
		jwks_fetch_free(made);
		return result;
	}
	if (needs_thread(made))
		start_thread(made);
	*fetch = made;
	return 0;
}

void jwks_fetch_free(struct jwks_fetch *fetch)
{
	if (fetch->running) {
		atomic_store(&fetch->stopping, true);
		curl_multi_wakeup(fetch->multi);
		pthread_join(fetch->thread, NULL);
	}
	for (size_t i = 0; i < fetch->source_count; i++) {
		struct jwks_source *source = &fetch->sources[i];
		if (source->transfer)
			jwks_transfer_free(source->transfer);
		jwks_unref(source->keys);
		free(source->name);
	}
	curl_multi_cleanup(fetch->multi);
	curl_global_cleanup();
	pthread_mutex_destroy(&fetch->lock);
	free(fetch);
}

struct jwks *jwks_fetch_keys(struct jwks_fetch *fetch, size_t issuer)
{
	struct jwks_source *source = &fetch->sources[issuer];
	pthread_mutex_lock(&fetch->lock);
	struct jwks *keys = source->keys ? jwks_ref(source->keys) : NULL;
	pthread_mutex_unlock(&fetch->lock);
	return keys;
}

/* Under the lock. Sets `wake` where the thread has to look again. */
static enum jwks_demand demand(const struct jwks_fetch_limits *limits, struct jwks_source *source,
			       const struct jwks *tried, bool *wake)
{
	uint64_t now_ms = clock_monotonic_ms();
	if (source->keys != tried)
		return JWKS_DEMAND_NEWER;
	/* While the source is being read, due_ms is the moment at which that began. */
	uint64_t asked_ms = source->demand_from_ms > now_ms ? source->demand_from_ms : now_ms;
	uint64_t due_ms = asked_ms < source->due_ms ? asked_ms : source->due_ms;
	if (due_ms > now_ms + limits->demand_wait_ms)
		return JWKS_DEMAND_REFUSED;
	if (asked_ms < source->due_ms) {
		source->due_ms = asked_ms;
		source->demand_from_ms = asked_ms + limits->demand_gap_ms;
		*wake = true;
	}
	return JWKS_DEMAND_PENDING;
}

enum jwks_demand jwks_fetch_demand(struct jwks_fetch *fetch, size_t issuer,
				   const struct jwks *tried)
{
	struct jwks_source *source = &fetch->sources[issuer];
	bool wake = false;
	if (!source->name)
		return JWKS_DEMAND_REFUSED;
	pthread_mutex_lock(&fetch->lock);
	enum jwks_demand answer = demand(fetch->limits, source, tried, &wake);
	pthread_mutex_unlock(&fetch->lock);
	if (wake)
		curl_multi_wakeup(fetch->multi);
	return answer;
}

bool jwks_fetch_ready(struct jwks_fetch *fetch, char why[256])
{
	const char *missing = NULL;
	pthread_mutex_lock(&fetch->lock);
	for (size_t i = 0; i < fetch->source_count && !missing; i++) {
		if (fetch->sources[i].name && !fetch->sources[i].keys)
			missing = fetch->sources[i].name;
	}
	pthread_mutex_unlock(&fetch->lock);
	if (missing)
		snprintf(why, 256, "the keys of %s are not loaded", missing);
	return !missing;
}
