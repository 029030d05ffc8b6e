#include "base/metrics.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"

/* Upper bounds in microseconds, and as Prometheus' `le` in seconds: from a warm loop's turn to a
 * client that is lost. */
#define LATENCY_BUCKETS(X)                                                                         \
	X(50, "5e-05")                                                                             \
	X(100, "0.0001")                                                                           \
	X(250, "0.00025")                                                                          \
	X(500, "0.0005")                                                                           \
	X(1000, "0.001")                                                                           \
	X(2500, "0.0025")                                                                          \
	X(5000, "0.005")                                                                           \
	X(10000, "0.01")                                                                           \
	X(25000, "0.025")                                                                          \
	X(50000, "0.05")                                                                           \
	X(100000, "0.1")                                                                           \
	X(250000, "0.25")                                                                          \
	X(500000, "0.5")                                                                           \
	X(1000000, "1")                                                                            \
	X(2500000, "2.5")                                                                          \
	X(5000000, "5")                                                                            \
	X(10000000, "10")                                                                          \
	X(UINT64_MAX, "+Inf")

static const struct {
	uint64_t microseconds;
	const char *le;
} latency_buckets[] = {
#define LATENCY_ROW(microseconds, le) {microseconds, le},
    LATENCY_BUCKETS(LATENCY_ROW)
#undef LATENCY_ROW
};

static const struct {
	const char *name, *labels, *help;
} counter_rows[] = {
#define COUNTER_ROW(symbol, name, labels, help) {name, labels, help},
    METRICS_COUNTERS(COUNTER_ROW)
#undef COUNTER_ROW
};

enum {
	BUCKET_COUNT = sizeof(latency_buckets) / sizeof(latency_buckets[0]),
	CACHE_LINE_BYTES = 64,
	MAX_COLLECTORS = 16,
};

/* Written by one thread, read by any. The margins keep other threads' writes off its cache lines.
 */
struct shard {
	char margin_before[CACHE_LINE_BYTES];
	_Atomic uint64_t counters[METRICS_COUNTER_COUNT];
	_Atomic uint64_t latencies[BUCKET_COUNT];
	_Atomic uint64_t latency_us;
	struct shard *next;
	char margin_after[CACHE_LINE_BYTES];
};

static struct {
	pthread_mutex_t lock;
	struct shard *first;
} shards = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct {
	metrics_collector collect;
	void *context;
} collectors[MAX_COLLECTORS];
static size_t collector_count;

static _Thread_local struct shard *own_shard;

static struct shard *shard_new(void)
{
	struct shard *shard = MEM_NEW(struct shard);

	pthread_mutex_lock(&shards.lock);
	shard->next = shards.first;
	shards.first = shard;
	pthread_mutex_unlock(&shards.lock);
	own_shard = shard;
	return shard;
}

static struct shard *shard_get(void)
{
	return own_shard ? own_shard : shard_new();
}

static uint64_t load(const _Atomic uint64_t *cell)
{
	return atomic_load_explicit(cell, memory_order_relaxed);
}

/* The shard's thread is the only writer, so that an addition needs no locked instruction. */
static void add(_Atomic uint64_t *cell, uint64_t n)
{
	atomic_store_explicit(cell, load(cell) + n, memory_order_relaxed);
}

void metrics_add(enum metrics_counter counter, uint64_t n)
{
	add(&shard_get()->counters[counter], n);
}

void metrics_observe_latency(uint64_t microseconds, uint64_t n)
{
	struct shard *shard = shard_get();
	size_t bucket = 0;

	while (microseconds > latency_buckets[bucket].microseconds)
		bucket++;
	add(&shard->latencies[bucket], n);
	add(&shard->latency_us, microseconds * n);
}

static void sum_shards(struct shard *sum)
{
	pthread_mutex_lock(&shards.lock);
	for (const struct shard *shard = shards.first; shard; shard = shard->next) {
		for (size_t i = 0; i < METRICS_COUNTER_COUNT; i++)
			add(&sum->counters[i], load(&shard->counters[i]));
		for (size_t i = 0; i < BUCKET_COUNT; i++)
			add(&sum->latencies[i], load(&shard->latencies[i]));
		add(&sum->latency_us, load(&shard->latency_us));
	}
	pthread_mutex_unlock(&shards.lock);
}

uint64_t metrics_sum(enum metrics_counter counter)
{
	struct shard sum = {.next = NULL};

	sum_shards(&sum);
	return load(&sum.counters[counter]);
}

void metrics_register(metrics_collector collector, void *context)
{
	assert(collector_count < MAX_COLLECTORS);
	collectors[collector_count].collect = collector;
	collectors[collector_count++].context = context;
}

void metrics_write_help(struct buffer *out, const char *name, const char *type, const char *help)
{
	buffer_append_format(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_counter(struct buffer *out, size_t i, uint64_t value)
{
	if (i == 0 || strcmp(counter_rows[i].name, counter_rows[i - 1].name) != 0)
		buffer_append_format(
		    out, "# HELP sluice_%s_total %s\n# TYPE sluice_%s_total counter\n",
		    counter_rows[i].name, counter_rows[i].help, counter_rows[i].name);
	buffer_append_format(out, "sluice_%s_total", counter_rows[i].name);
	if (counter_rows[i].labels[0])
		buffer_append_format(out, "{%s}", counter_rows[i].labels);
	buffer_append_text(out, " ");
	buffer_append_u64(out, value);
	buffer_append_text(out, "\n");
}

static void write_latency(struct buffer *out, const struct shard *sum)
{
	static const char name[] = "sluice_delivery_latency_seconds";
	uint64_t count = 0, us = load(&sum->latency_us);

	metrics_write_help(out, name, "histogram",
			   "From a record's arrival out of librdkafka to the write to a socket.");
	for (size_t i = 0; i < BUCKET_COUNT; i++) {
		count += load(&sum->latencies[i]);
		buffer_append_format(out, "%s_bucket{le=\"%s\"} %llu\n", name,
				     latency_buckets[i].le, (unsigned long long)count);
	}
	buffer_append_format(out, "%s_sum %llu.%06u\n%s_count %llu\n", name,
			     (unsigned long long)(us / 1000000), (unsigned)(us % 1000000), name,
			     (unsigned long long)count);
}

void metrics_write(struct buffer *out)
{
	struct shard sum = {.next = NULL};

	sum_shards(&sum);
	for (size_t i = 0; i < METRICS_COUNTER_COUNT; i++)
		write_counter(out, i, load(&sum.counters[i]));
	write_latency(out, &sum);
	for (size_t i = 0; i < collector_count; i++)
		collectors[i].collect(collectors[i].context, out);
}
