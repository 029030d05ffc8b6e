/*
 * feeds: the registry: which topics are wanted by which feeds. It is what ingest talks to.
 */
#ifndef SLUICE_FEED_FEEDS_H
#define SLUICE_FEED_FEEDS_H

#include "feed/feed.h"

/* How the registry asks for topics: gateway.c ties it to kafka/ingest.h. Called with the registry's
 * lock held. */
struct feeds_source {
	void (*want)(void *context, const char *topic, uint32_t warm_ms, void *token);
	void (*unwant)(void *context, const char *topic);
	void *context;
};

struct feeds;

/* `wake` is called on the ingest thread after a flush with new events. `warm_ms` holds for topics
 * of streams that name them; feeds opened on first use begin at the end. */
struct feeds *feeds_new(const struct feeds_source *source, uint32_t warm_ms,
			void (*wake)(void *context), void *context);
/* After ingest has stopped and all fanouts are freed. */
void feeds_free(struct feeds *feeds);

struct epoch *feeds_epoch(struct feeds *feeds);

/* Opens the feeds of a stream that names its topics; they stay open. At start. */
void feeds_declare(struct feeds *feeds, const struct stream *stream);

/*
 * The feed of a stream; with `topic` (NULL where the stream names its topics) made on first use.
 * The caller owns a reference. Errors: ERROR_LIMIT: FEEDS_MAX_DYNAMIC feeds are open. Thread: any.
 */
enum { FEEDS_MAX_DYNAMIC = 1024, FEEDS_LINGER_MS = 60000 };
MUST_CHECK int feeds_open(struct feeds *feeds, const struct stream *stream, const char *topic,
			  struct feed **feed);
void feeds_close(struct feeds *feeds, struct feed *feed);
/* One more reference for a holder. Thread: any. */
void feeds_ref(struct feeds *feeds, struct feed *feed);

/* The sink's calls (see kafka/ingest.h); tokens are those given to want(). Thread: ingest's. */
void feeds_on_partition(void *feeds, void *token, int32_t partition, int64_t next);
void feeds_on_record(void *feeds, void *token, const struct record *record);
void feeds_on_end(void *feeds, void *token, int32_t partition, int64_t next);
void feeds_on_gap(void *feeds, void *token, int32_t partition, int64_t from, int64_t to);
void feeds_on_flush(void *feeds);
void feeds_on_caught_up(void *feeds, void *token);
void feeds_on_forgotten(void *feeds, void *token);

/* Under the registry's lock: be quick. Thread: any. */
void feeds_each(struct feeds *feeds, void (*visit)(void *context, struct feed *feed),
		void *context);

#endif
