#include "observe.h"

#include "auth/auth.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "feed/close_reason.h"
#include "feed/feeds.h"
#include "feed/replay.h"
#include "http/app.h"
#include "journal.h"
#include "kafka/ingest.h"
#include "postgres/migrator.h"
#include "postgres/notifications.h"

struct readiness {
	struct buffer *json;
	bool all;
	bool first;
};

static void append_topic(void *context, const struct ingest_topic_state *state)
{
	struct readiness *readiness = context;

	buffer_append_text(readiness->json, readiness->first ? "{\"topic\":" : ",{\"topic\":");
	buffer_append_json_string(readiness->json, slice_of(state->topic));
	buffer_append_format(readiness->json, ",\"caught_up\":%s,\"partitions\":%u,\"lag\":%lld",
			     state->caught_up ? "true" : "false", state->partition_count,
			     (long long)state->lag);
	if (state->problem) {
		buffer_append_text(readiness->json, ",\"problem\":");
		buffer_append_json_string(readiness->json, slice_of(state->problem));
	}
	buffer_append_text(readiness->json, "}");
	readiness->first = false;
	readiness->all = readiness->all && state->caught_up;
}

struct journal_sum {
	int64_t lag;
	uint32_t partition_count;
};

static void add_journal_topic(void *context, const struct journal_topic_state *topic)
{
	struct journal_sum *sum = context;

	sum->lag += topic->lag;
	sum->partition_count += topic->partition_count;
}

/* Whatever is the matter with it, live streams go on. */
static void append_journal(struct journal *journal, struct buffer *json)
{
	struct journal_sum sum = {0};
	struct journal_state state;

	journal_look(journal, &state, add_journal_topic, &sum);
	buffer_append_format(json, ",\"journal\":{\"ok\":%s,\"partitions\":%u,\"lag\":%lld",
			     *state.problem ? "false" : "true", sum.partition_count,
			     (long long)sum.lag);
	if (*state.problem) {
		buffer_append_text(json, ",\"problem\":");
		buffer_append_json_string(json, slice_of(state.problem));
	}
	buffer_append_text(json, "}");
}

bool observe_readiness(void *context, struct buffer *json)
{
	struct observe *observe = context;
	struct readiness readiness = {json, true, true};
	char why[256];

	buffer_append_text(json, "\"topics\":[");
	ingest_each_topic(observe->ingest, append_topic, &readiness);
	buffer_append_text(json, "]");
	if (observe->auth && !auth_ready(observe->auth, why)) {
		buffer_append_text(json, ",\"keys\":");
		buffer_append_json_string(json, slice_of(why));
		readiness.all = false;
	}
	if (observe->notifications && !notifications_ready(observe->notifications, why)) {
		buffer_append_text(json, ",\"changes\":");
		buffer_append_json_string(json, slice_of(why));
	}
	if (observe->migrator && !migrator_ready(observe->migrator, why)) {
		buffer_append_text(json, ",\"migrations\":");
		buffer_append_json_string(json, slice_of(why));
	}
	if (observe->journal)
		append_journal(observe->journal, json);
	return readiness.all;
}

/* One pass over the feeds writes one family, as the text format wants a family's samples together.
 */
struct feed_family {
	struct buffer *out;
	const char *name;
	double (*value)(struct feed *feed);
};

static double subscribers(struct feed *feed)
{
	return (double)atomic_load(&feed->subscribers);
}

static double window_bytes(struct feed *feed)
{
	return (double)window_stats(feed->window).bytes;
}

static double window_events(struct feed *feed)
{
	return (double)window_stats(feed->window).entries;
}

static double window_age_seconds(struct feed *feed)
{
	uint64_t oldest_us = window_stats(feed->window).oldest_arrived_us;

	return oldest_us ? (double)(clock_monotonic_us() - oldest_us) / 1e6 : 0;
}

static double skipped(struct feed *feed)
{
	return (double)atomic_load(&feed->skipped);
}

/* Label values escape backslash, quote and line feed, as JSON strings do. */
static void append_sample(void *context, struct feed *feed)
{
	const struct feed_family *family = context;

	buffer_append_format(family->out, "%s{stream=", family->name);
	buffer_append_json_string(family->out, slice_of(feed->stream->name));
	if (feed->stream->topic_param) {
		buffer_append_text(family->out, ",topic=");
		buffer_append_json_string(family->out, slice_of(feed->topics[0]));
	}
	buffer_append_format(family->out, "} %.17g\n", family->value(feed));
}

static void collect_feeds(void *context, struct buffer *out)
{
	static const struct {
		const char *name, *type, *help;
		double (*value)(struct feed *feed);
	} families[] = {
	    {"sluice_subscribers", "gauge", "Open streams.", subscribers},
	    {"sluice_window_bytes", "gauge", "Memory of the feed's window.", window_bytes},
	    {"sluice_window_events", "gauge", "Events in the feed's window.", window_events},
	    {"sluice_window_age_seconds", "gauge", "Age of the oldest event in the window.",
	     window_age_seconds},
	    {"sluice_feed_skipped_total", "counter",
	     "Records that the feed wanted and could not take.", skipped},
	};
	struct observe *observe = context;

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		struct feed_family family = {out, families[i].name, families[i].value};

		metrics_write_help(out, families[i].name, families[i].type, families[i].help);
		feeds_each(observe->feeds, append_sample, &family);
	}
}

static void append_lag(void *context, const struct ingest_topic_state *state)
{
	struct buffer *out = context;

	buffer_append_text(out, "sluice_kafka_lag_records{topic=");
	buffer_append_json_string(out, slice_of(state->topic));
	buffer_append_format(out, "} %lld\n", (long long)state->lag);
}

static void append_caught_up(void *context, const struct ingest_topic_state *state)
{
	struct buffer *out = context;

	buffer_append_text(out, "sluice_kafka_caught_up{topic=");
	buffer_append_json_string(out, slice_of(state->topic));
	buffer_append_format(out, "} %d\n", state->caught_up);
}

static void collect_kafka(void *context, struct buffer *out)
{
	struct observe *observe = context;

	metrics_write_help(out, "sluice_kafka_lag_records", "gauge",
			   "Records between what was read and the known end of the topic.");
	ingest_each_topic(observe->ingest, append_lag, out);
	metrics_write_help(out, "sluice_kafka_caught_up", "gauge",
			   "1 where the topic was caught up with once.");
	ingest_each_topic(observe->ingest, append_caught_up, out);
}

static void append_journal_lag(void *context, const struct journal_topic_state *topic)
{
	struct buffer *out = context;

	buffer_append_text(out, "sluice_journal_lag_records{topic=");
	buffer_append_json_string(out, slice_of(topic->topic));
	buffer_append_format(out, "} %lld\n", (long long)topic->lag);
}

static void collect_journal(void *context, struct buffer *out)
{
	struct observe *observe = context;
	struct journal_state state;

	if (!observe->journal)
		return;
	metrics_write_help(out, "sluice_journal_lag_records", "gauge",
			   "Records between what is journaled and the known end of the topic, of "
			   "the partitions that this gateway writes.");
	journal_look(observe->journal, &state, append_journal_lag, out);
	metrics_write_help(out, "sluice_journal_ok", "gauge",
			   "1 where the journal is written and not behind.");
	buffer_append_format(out, "sluice_journal_ok %d\n", !*state.problem);
	metrics_write_help(out, "sluice_journal_batch_seconds", "summary",
			   "Time that writing a batch takes.");
	buffer_append_format(out,
			     "sluice_journal_batch_seconds_sum %.6f\n"
			     "sluice_journal_batch_seconds_count %llu\n",
			     (double)state.batch_us / 1e6, (unsigned long long)state.batches);
}

static void collect_auth(void *context, struct buffer *out)
{
	struct observe *observe = context;
	size_t tokens, revocations;

	if (!observe->auth)
		return;
	auth_counts(observe->auth, &tokens, &revocations);
	metrics_write_help(out, "sluice_tokens_cached", "gauge", "Opaque tokens in memory.");
	buffer_append_format(out, "sluice_tokens_cached %zu\n", tokens);
	metrics_write_help(out, "sluice_revocations", "gauge",
			   "Ids of JWTs and subjects that are revoked.");
	buffer_append_format(out, "sluice_revocations %zu\n", revocations);
}

static void collect_rest(void *context, struct buffer *out)
{
	struct observe *observe = context;
	uint32_t waiting, running;

	replay_counts(observe->replay, &waiting, &running);
	metrics_write_help(out, "sluice_replays_waiting", "gauge",
			   "Replays that wait for a reader.");
	buffer_append_format(out, "sluice_replays_waiting %u\n", waiting);
	metrics_write_help(out, "sluice_replays_running", "gauge", "Replays that are being read.");
	buffer_append_format(out, "sluice_replays_running %u\n", running);
	metrics_write_help(out, "sluice_open_connections", "gauge", "Open TCP connections.");
	buffer_append_format(out, "sluice_open_connections %u\n", app_connections(observe->app));
}

void observe_register(struct observe *observe)
{
	metrics_register(collect_feeds, observe);
	metrics_register(collect_kafka, observe);
	metrics_register(collect_journal, observe);
	metrics_register(collect_auth, observe);
	metrics_register(collect_rest, observe);
	metrics_register(close_reason_collect, NULL);
}
