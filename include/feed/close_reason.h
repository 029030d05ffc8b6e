/*
 * close_reason: why a stream ended. A stream ends in one place with one of these; the row is its
 * metric label, its log level and its line in the documentation.
 */
#ifndef SLUICE_FEED_CLOSE_REASON_H
#define SLUICE_FEED_CLOSE_REASON_H

#define CLOSE_REASONS(X)                                                                           \
	X(CLIENT, "client", DEBUG, "The client closed the connection or the stream.")              \
	X(SLOW, "slow", INFO,                                                                      \
	  "The client read too slowly: it made no progress, or fell out of the window.")           \
	X(EXPIRED, "expired", INFO, "The token expired.")                                          \
	X(REVOKED, "revoked", INFO, "The token was revoked, or changed.")                          \
	X(MAX_AGE, "max_age", DEBUG, "The stream was as old as its max_age lets it be.")           \
	X(IDLE, "idle", DEBUG, "No event was for it within its idle_timeout.")                     \
	X(GAP, "gap", INFO, "Missed events can't be had and the stream says on_gap: close.")       \
	X(BACKLOG, "backlog", DEBUG,                                                               \
	  "All is sent that there was when the request came, which did not want to follow.")       \
	X(END_WHEN, "end_when", DEBUG, "An event was sent that the stream's end_when matches.")    \
	X(DRAIN, "drain", INFO, "The gateway is shutting down.")                                   \
	X(LIMIT, "limit", WARN, "A limit of the gateway was reached.")                             \
	X(ERROR, "error", WARN, "The socket failed.")

enum close_reason {
#define CLOSE_SYMBOL(symbol, label, level, text) CLOSE_##symbol,
	CLOSE_REASONS(CLOSE_SYMBOL)
#undef CLOSE_SYMBOL
	    CLOSE_REASON_COUNT
};

struct buffer;

const char *close_reason_label(enum close_reason reason);

/* Counts a stream's end and logs it at the reason's level. Thread: any. */
void close_reason_count(const char *stream, enum close_reason reason);
/* The family sluice_closes_total; a metrics_collector. */
void close_reason_collect(void *context, struct buffer *out);

#endif
