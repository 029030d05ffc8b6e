/*
 * metrics: counters and histograms, one table.
 *
 * Each thread adds to its own shard without locks or shared cache lines; a scrape sums the shards.
 * Gauges that are read off living objects (subscribers, window bytes, lag) are written at the
 * scrape by collectors.
 */
#ifndef SLUICE_BASE_METRICS_H
#define SLUICE_BASE_METRICS_H

#include <stdint.h>

#include "base/buffer.h"

/*
 * One row a counter: symbol, name without the `sluice_` prefix and `_total`, labels of this row
 * (Prometheus text inside the braces, or ""), help. Rows that share a name stand together.
 */
#define METRICS_COUNTERS(X)                                                                        \
	X(EVENTS_IN, "records", "", "Records read from Kafka.")                                    \
	X(EVENTS_ACCEPTED, "events", "", "Events appended to a feed's window.")                    \
	X(EVENTS_UNDECODABLE, "events_skipped", "reason=\"undecodable\"",                          \
	  "Records that a feed wanted and could not send as they are.")                            \
	X(EVENTS_TOO_MANY_KEYS, "events_skipped", "reason=\"too_many_route_keys\"", "")            \
	X(EVENTS_TOO_LARGE, "events_skipped", "reason=\"too_large\"", "")                          \
	X(EVENTS_CONFLATED, "conflated_events", "",                                                \
	  "Events that newer ones superseded before a stream's interval was over.")                \
	X(DELIVERIES, "deliveries", "", "Events handed to subscribers' sockets.")                  \
	X(DELIVERED_BYTES, "delivered_bytes", "", "Bytes of streams handed to sockets.")           \
	X(SUBSCRIPTIONS, "subscriptions", "", "Streams opened.")                                   \
	X(REPLAYS_WINDOW, "replays", "source=\"window\"",                                          \
	  "Resumed streams by the source that served them.")                                       \
	X(REPLAYS_JOURNAL, "replays", "source=\"journal\"", "")                                    \
	X(REPLAYS_KAFKA, "replays", "source=\"kafka\"", "")                                        \
	X(JOURNAL_FALLBACKS, "journal_fallbacks", "",                                              \
	  "Times that a replay went to Kafka because the journal could not be read.")              \
	X(REPLAYED_EVENTS, "replayed_events", "", "Events that replays delivered.")                \
	X(REPLAY_RECORDS, "replay_records", "source=\"kafka\"", "Records that replays read.")      \
	X(REPLAY_RECORDS_JOURNAL, "replay_records", "source=\"journal\"", "")                      \
	X(GAPS, "gaps", "", "Gap events sent, one for each subscriber that is told.")              \
	X(HEARTBEATS, "heartbeats", "", "Heartbeats sent.")                                        \
	X(CURSOR_SAVES, "cursor_saves", "result=\"ok\"", "Positions of cursors that were saved.")  \
	X(CURSOR_SAVES_SUPERSEDED, "cursor_saves", "result=\"superseded\"", "")                    \
	X(CURSOR_SAVE_FAILURES, "cursor_saves", "result=\"error\"", "")                            \
	X(CURSORS_FORGOTTEN, "cursors_forgotten", "", "Cursors deleted because nobody used them.") \
	X(CONNECTIONS, "connections", "", "TCP connections accepted.")                             \
	X(CONNECTIONS_REFUSED, "connections_refused", "", "TCP connections closed at a limit.")    \
	X(TLS_FAILURES, "tls_handshake_failures", "", "TLS handshakes that failed.")               \
	X(REQUESTS, "http_requests", "", "HTTP requests parsed.")                                  \
	X(RESPONSES_2XX, "http_responses", "class=\"2xx\"", "HTTP responses by class of status.")  \
	X(RESPONSES_3XX, "http_responses", "class=\"3xx\"", "")                                    \
	X(RESPONSES_4XX, "http_responses", "class=\"4xx\"", "")                                    \
	X(RESPONSES_5XX, "http_responses", "class=\"5xx\"", "")                                    \
	X(KAFKA_ERRORS, "kafka_errors", "", "Errors that librdkafka reported.")                    \
	X(JOURNAL_ROWS, "journal_rows", "", "Rows written to the journal.")                        \
	X(JOURNAL_BATCHES, "journal_batches", "result=\"written\"",                                \
	  "Batches of the journal by what became of them.")                                        \
	X(JOURNAL_CONFLICTS, "journal_batches", "result=\"conflict\"", "")                         \
	X(JOURNAL_FAILURES, "journal_failures", "", "Times that PostgreSQL failed the journal.")   \
	X(JOURNAL_DROPPED_PERIODS, "journal_dropped_periods", "",                                  \
	  "Periods of the journal that were dropped after their retention.")                       \
	X(JWKS_REFRESHES, "jwks_refreshes", "result=\"ok\"", "Fetches of a JWKS URL.")             \
	X(JWKS_FAILURES, "jwks_refreshes", "result=\"error\"", "")                                 \
	X(TOKENS_FOUND, "token_lookups", "result=\"found\"",                                       \
	  "Opaque tokens that PostgreSQL was asked about; limited: it was not, to spare it.")      \
	X(TOKENS_REFUSED, "token_lookups", "result=\"refused\"", "")                               \
	X(TOKENS_FAILED, "token_lookups", "result=\"error\"", "")                                  \
	X(TOKENS_LIMITED, "token_lookups", "result=\"limited\"", "")

enum metrics_counter {
#define METRICS_SYMBOL(symbol, name, labels, help) METRIC_##symbol,
	METRICS_COUNTERS(METRICS_SYMBOL)
#undef METRICS_SYMBOL
	    METRICS_COUNTER_COUNT
};

/* Adds to the calling thread's shard (made on its first use, kept after the thread's end). Thread:
 * any. */
void metrics_add(enum metrics_counter counter, uint64_t n);
uint64_t metrics_sum(enum metrics_counter counter);

/* `sluice_delivery_latency_seconds`: from a record's arrival out of librdkafka to the write that
 * hands it to a subscriber's socket; `n` deliveries at once. Thread: any. */
void metrics_observe_latency(uint64_t microseconds, uint64_t n);

/*
 * A collector appends whole metric families in Prometheus text format 0.0.4 (HELP, TYPE, samples).
 * Registered at start, before threads run. Called by metrics_write() on its thread.
 */
typedef void (*metrics_collector)(void *context, struct buffer *out);
void metrics_register(metrics_collector collector, void *context);
void metrics_write_help(struct buffer *out, const char *name, const char *type, const char *help);

/* Appends everything in text format 0.0.4. Thread: any. */
void metrics_write(struct buffer *out);

#endif
