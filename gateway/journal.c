#include "journal.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "journal_priv.h"

enum {
	IDLE_MS = 100,
	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 5000,
	STOP_PATIENCE_MS = 3000,
	LEAVE_PATIENCE_MS = 2000,
	CONFLICT_LOG_MS = 5000,
};

#define FIELD(member) CONFIG_FIELD(struct journal_settings, member)

static const struct setting rows[] = {
    {.name = "group",
     .type = SETTING_STRING,
     FIELD(group),
     .min = 1,
     .fallback = "sluice-journal",
     .doc = "The Kafka consumer group of the gateways that share the writing: the same for all "
	    "with the same database."},
    {.name = "batch",
     .type = SETTING_INTEGER,
     FIELD(batch_records),
     .min = 1,
     .max = 1000000,
     .fallback = "10000",
     .doc = "Rows that are written together at the most, but for those of one fetch."},
    {.name = "batch_bytes",
     .type = SETTING_SIZE,
     FIELD(batch_bytes),
     .min = 64 << 10,
     .max = 256 << 20,
     .fallback = "8MiB",
     .doc = "Bytes that are written together at the most, but for those of one fetch."},
    {.name = "linger",
     .type = SETTING_DURATION,
     FIELD(linger_ms),
     .max = 60000,
     .fallback = "100ms",
     .doc = "How long an event waits for others to be written with."},
};

const struct config_table journal_settings_table = {
    CONFIG_ROWS(rows),
    .bytes = sizeof(struct journal_settings),
};

static void take_feed(void *context, struct feed *feed)
{
	struct journal *journal = context;

	if (!feed->stream->journal_retain_ms)
		return;
	journal->sources = mem_realloc(journal->sources,
				       (journal->source_count + 1) * sizeof(journal->sources[0]));
	journal->sources[journal->source_count++] = (struct journal_source){.feed = feed};
}

static int open_consumer(struct journal *journal)
{
	const char **names = mem_alloc(journal->topic_count * sizeof(*names));
	struct group_consumer_sink sink = journal_topics_sink(journal);
	int rc;

	for (uint32_t i = 0; i < journal->topic_count; i++)
		names[i] = journal->topics[i].name;
	rc = group_consumer_open(journal->parts.kafka, journal->parts.settings->group, names,
				 journal->topic_count, &sink, &journal->consumer);
	free(names);
	return rc;
}

int journal_new(const struct journal_parts *parts, struct journal **made)
{
	struct journal *journal = MEM_NEW(struct journal);
	int rc;

	journal->parts = *parts;
	/* They were declared, so they stay. */
	feeds_each(parts->feeds, take_feed, journal);
	if (!journal->source_count) {
		free(journal);
		*made = NULL;
		return 0;
	}
	for (uint32_t i = 0; i < journal->source_count; i++)
		feeds_ref(parts->feeds, journal->sources[i].feed);
	pthread_mutex_init(&journal->lock, NULL);
	pthread_cond_init(&journal->ended, NULL);
	journal->writer = journal_writer_new(parts->postgres);
	journal_topics_make(journal);
	rc = open_consumer(journal);
	if (rc)
		journal_free(journal);
	else
		*made = journal;
	return rc;
}

void journal_free(struct journal *journal)
{
	assert(!journal->started);
	if (journal->consumer)
		group_consumer_close(journal->consumer, LEAVE_PATIENCE_MS);
	journal_topics_free(journal);
	journal_writer_free(journal->writer);
	for (uint32_t i = 0; i < journal->source_count; i++)
		feeds_close(journal->parts.feeds, journal->sources[i].feed);
	route_keys_free(&journal->keys);
	buffer_free(&journal->custom_id);
	pthread_cond_destroy(&journal->ended);
	pthread_mutex_destroy(&journal->lock);
	free(journal->sources);
	free(journal);
}

static void count_batch(struct journal *journal, uint64_t rows_written, uint64_t started_us)
{
	metrics_add(METRIC_JOURNAL_ROWS, rows_written);
	metrics_add(METRIC_JOURNAL_BATCHES, 1);
	pthread_mutex_lock(&journal->lock);
	journal->state.batches++;
	journal->state.batch_us += clock_monotonic_us() - started_us;
	pthread_mutex_unlock(&journal->lock);
}

static void tell_conflict(void)
{
	static struct log_limit limit;
	uint64_t suppressed;

	metrics_add(METRIC_JOURNAL_CONFLICTS, 1);
	if (log_limit_pass(&limit, CONFLICT_LOG_MS, &suppressed))
		log_event(LOG_INFO, "journal",
			  "another gateway has written what was to be written here: it is not "
			  "written again",
			  LOG_INT("suppressed", suppressed));
}

int journal_write(struct journal *journal)
{
	struct journal_batch_size size = journal_writer_size(journal->writer);
	uint64_t started_us = clock_monotonic_us();
	int rc;

	if (!size.parts)
		return 0;
	rc = journal_writer_write(journal->writer);
	if (!rc) {
		journal->batch_since_ms = 0;
		count_batch(journal, size.rows, started_us);
	} else if (rc == ERROR_CONFLICT) {
		tell_conflict();
		journal_topics_reload(journal);
	}
	return rc;
}

static int declare(struct journal *journal)
{
	int rc = 0;

	for (uint32_t i = 0; !rc && i < journal->source_count; i++) {
		struct journal_source *source = &journal->sources[i];
		const struct journal_feed feed = {
		    source->feed->journal_key,
		    source->feed->stream->name,
		    (const char *const *)source->feed->topics,
		    source->feed->topic_count,
		};

		if (!source->feed_id)
			rc = journal_writer_declare(journal->writer, &feed,
						    source->feed->stream->journal_retain_ms,
						    &source->feed_id);
	}
	return rc;
}

static int maintain(struct journal *journal)
{
	uint32_t dropped = 0;
	int rc = journal_writer_maintain(journal->writer, &dropped);

	metrics_add(METRIC_JOURNAL_DROPPED_PERIODS, dropped);
	return rc;
}

static bool is_full(const struct journal *journal)
{
	const struct journal_settings *settings = journal->parts.settings;
	struct journal_batch_size size = journal_writer_size(journal->writer);

	return size.rows >= settings->batch_records || size.bytes >= settings->batch_bytes;
}

static bool is_due(const struct journal *journal)
{
	return journal->batch_since_ms && (is_full(journal) || journal_has_gaps(journal) ||
					   clock_monotonic_ms() - journal->batch_since_ms >=
					       journal->parts.settings->linger_ms);
}

/* Everything that PostgreSQL is asked for, in the order in which one thing needs the other. */
static int work(struct journal *journal)
{
	int rc;

	if (journal_writer_is_sending(journal->writer))
		return is_due(journal) ? journal_write(journal)
				       : journal_writer_send(journal->writer);
	rc = declare(journal);
	if (!rc)
		rc = maintain(journal);
	if (!rc && is_due(journal))
		rc = journal_write(journal);
	if (!rc)
		rc = journal_start_waiting(journal);
	/* What is before a gap is written before it is told. */
	if (!rc && !journal->batch_since_ms)
		rc = journal_settle_gaps(journal);
	return rc ? rc : journal_writer_send(journal->writer);
}

static void fail(struct journal *journal)
{
	const char *why = journal_writer_error(journal->writer);

	metrics_add(METRIC_JOURNAL_FAILURES, 1);
	if (!journal->failing)
		log_event(LOG_WARN, "journal", "the journal is not written", LOG_STR("reason", why),
			  LOG_INT("rows_waiting", journal_writer_size(journal->writer).rows));
	journal->failing = true;
	journal->backoff_ms = journal->backoff_ms ? journal->backoff_ms * 2 : BACKOFF_MIN_MS;
	if (journal->backoff_ms > BACKOFF_MAX_MS)
		journal->backoff_ms = BACKOFF_MAX_MS;
	journal->retry_ms = clock_monotonic_ms() + journal->backoff_ms;
}

static void succeed(struct journal *journal)
{
	if (journal->failing)
		log_event(LOG_INFO, "journal", "the journal is written again");
	journal->failing = false;
	journal->backoff_ms = 0;
}

/* A conflict may mean that somebody has removed the feed. */
static void begin_anew(struct journal *journal)
{
	for (uint32_t i = 0; i < journal->source_count; i++)
		journal->sources[i].feed_id = 0;
	journal->retry_ms = clock_monotonic_ms() + BACKOFF_MIN_MS;
}

static void turn_to_postgres(struct journal *journal)
{
	int rc;

	if (clock_monotonic_ms() < journal->retry_ms)
		return;
	rc = work(journal);
	if (rc == ERROR_CONFLICT)
		begin_anew(journal);
	else if (rc)
		fail(journal);
	else
		succeed(journal);
}

static uint32_t time_until(uint64_t due_ms)
{
	uint64_t now_ms = clock_monotonic_ms();
	uint64_t left_ms = due_ms > now_ms ? due_ms - now_ms : 0;

	return left_ms < IDLE_MS ? (uint32_t)left_ms : IDLE_MS;
}

static void turn_to_kafka(struct journal *journal)
{
	bool take = !journal->failing && !is_full(journal);
	uint32_t timeout_ms = IDLE_MS;

	if (!take)
		timeout_ms = time_until(journal->retry_ms);
	else if (journal->batch_since_ms)
		timeout_ms =
		    time_until(journal->batch_since_ms + journal->parts.settings->linger_ms);
	group_consumer_poll(journal->consumer, timeout_ms, take);
	if (!journal->batch_since_ms && journal_writer_size(journal->writer).parts)
		journal->batch_since_ms = clock_monotonic_ms();
}

static void *run(void *context)
{
	struct journal *journal = context;

	pthread_setname_np(pthread_self(), "sluice-journal");
	while (!atomic_load(&journal->stopping)) {
		turn_to_postgres(journal);
		turn_to_kafka(journal);
		journal_commit(journal);
		journal_report(journal);
	}
	if (journal_write(journal))
		log_event(LOG_INFO, "journal",
			  "stopped with a batch that is not written: it is read again",
			  LOG_INT("rows", journal_writer_size(journal->writer).rows));
	pthread_mutex_lock(&journal->lock);
	journal->done = true;
	pthread_cond_signal(&journal->ended);
	pthread_mutex_unlock(&journal->lock);
	return NULL;
}

void journal_start(struct journal *journal)
{
	int error = pthread_create(&journal->thread, NULL, run, journal);

	assert(!error);
	journal->started = true;
}

static bool ends_in_time(struct journal *journal)
{
	struct timespec deadline;
	bool done;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += STOP_PATIENCE_MS / 1000;
	pthread_mutex_lock(&journal->lock);
	while (!journal->done &&
	       !pthread_cond_timedwait(&journal->ended, &journal->lock, &deadline))
		;
	done = journal->done;
	pthread_mutex_unlock(&journal->lock);
	return done;
}

void journal_stop(struct journal *journal)
{
	if (!journal->started)
		return;
	atomic_store(&journal->stopping, true);
	group_consumer_wake(journal->consumer);
	if (!ends_in_time(journal))
		journal_writer_interrupt(journal->writer);
	pthread_join(journal->thread, NULL);
	journal->started = false;
}
