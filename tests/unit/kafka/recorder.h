/*
 * recorder: an ingest sink that keeps what it is told, for a test to wait for; it checks the order
 * of every partition's records itself.
 */
#ifndef SLUICE_TESTS_UNIT_KAFKA_RECORDER_H
#define SLUICE_TESTS_UNIT_KAFKA_RECORDER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kafka/ingest.h"

enum recorder_kind {
	RECORDER_PARTITION,
	RECORDER_RECORD,
	RECORDER_END,
	RECORDER_GAP,
	RECORDER_CAUGHT_UP,
	RECORDER_FORGOTTEN,
	RECORDER_KINDS
};

enum {
	RECORDER_MAX_PARTITIONS = 64,
	RECORDER_MAX_ENTRIES = 20000,
	RECORDER_PATIENCE_S = 30,
	RECORDER_MAX_TOKENS = 8,
};

struct recorder_entry {
	enum recorder_kind kind;
	void *token;
	int32_t partition;
	int64_t from, to; /* next or offset; a gap's both */
	char value[64];
};

struct recorder {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct recorder_entry entries[RECORDER_MAX_ENTRIES];
	size_t count;
	size_t counts[RECORDER_KINDS];
	uint64_t flushes;
	struct {
		void *token;
		int64_t next[RECORDER_MAX_PARTITIONS];
		bool started[RECORDER_MAX_PARTITIONS];
		bool forgotten;
	} tokens[RECORDER_MAX_TOKENS];
	char broken[128]; /* the first breach of the contract */
	void (*on_record)(void *context, const struct record *record); /* may be NULL */
	void *on_record_context;
};

static inline void recorder_breach(struct recorder *recorder, const char *what, int32_t partition,
				   int64_t a, int64_t b)
{
	if (!*recorder->broken)
		snprintf(recorder->broken, sizeof(recorder->broken), "%s: partition %d, %lld, %lld",
			 what, (int)partition, (long long)a, (long long)b);
}

static inline int recorder_token(struct recorder *recorder, void *token)
{
	for (int i = 0; i < RECORDER_MAX_TOKENS; i++) {
		if (!recorder->tokens[i].token)
			recorder->tokens[i].token = token;
		if (recorder->tokens[i].token == token)
			return i;
	}
	abort();
}

static inline struct recorder_entry *recorder_add(struct recorder *recorder,
						  enum recorder_kind kind, void *token,
						  int32_t partition, int64_t from, int64_t to)
{
	struct recorder_entry *entry = &recorder->entries[recorder->count];
	int at = recorder_token(recorder, token);

	if (recorder->count + 1 < RECORDER_MAX_ENTRIES)
		recorder->count++;
	recorder->counts[kind]++;
	*entry = (struct recorder_entry){kind, token, partition, from, to, ""};
	if (recorder->tokens[at].forgotten)
		recorder_breach(recorder, "called after forgotten", partition, from, to);
	pthread_cond_broadcast(&recorder->changed);
	return entry;
}

static inline void recorder_on_partition(void *context, void *token, int32_t partition,
					 int64_t next)
{
	struct recorder *recorder = context;
	int at;

	pthread_mutex_lock(&recorder->lock);
	at = recorder_token(recorder, token);
	if (recorder->tokens[at].started[partition])
		recorder_breach(recorder, "partition twice", partition, next, 0);
	recorder->tokens[at].started[partition] = true;
	recorder->tokens[at].next[partition] = next;
	recorder_add(recorder, RECORDER_PARTITION, token, partition, next, 0);
	pthread_mutex_unlock(&recorder->lock);
}

/* `next` moves forward only, and only in what was started. */
static inline void recorder_move(struct recorder *recorder, void *token, int32_t partition,
				 int64_t least, int64_t next)
{
	int at = recorder_token(recorder, token);

	if (!recorder->tokens[at].started[partition])
		recorder_breach(recorder, "not started", partition, least, next);
	if (least < recorder->tokens[at].next[partition])
		recorder_breach(recorder, "went back", partition,
				recorder->tokens[at].next[partition], least);
	recorder->tokens[at].next[partition] = next;
}

static inline void recorder_on_record(void *context, void *token, const struct record *record)
{
	struct recorder *recorder = context;
	struct recorder_entry *entry;

	pthread_mutex_lock(&recorder->lock);
	recorder_move(recorder, token, record->partition, record->offset, record->offset + 1);
	entry = recorder_add(recorder, RECORDER_RECORD, token, record->partition, record->offset,
			     record->timestamp_ms);
	snprintf(entry->value, sizeof(entry->value), "%.*s", (int)record->value.len,
		 record->value.len ? record->value.base : "");
	if (recorder->on_record)
		recorder->on_record(recorder->on_record_context, record);
	pthread_mutex_unlock(&recorder->lock);
}

static inline void recorder_on_end(void *context, void *token, int32_t partition, int64_t next)
{
	struct recorder *recorder = context;

	pthread_mutex_lock(&recorder->lock);
	recorder_move(recorder, token, partition, next, next);
	recorder_add(recorder, RECORDER_END, token, partition, next, 0);
	pthread_mutex_unlock(&recorder->lock);
}

static inline void recorder_on_gap(void *context, void *token, int32_t partition, int64_t from,
				   int64_t to)
{
	struct recorder *recorder = context;
	int at;

	pthread_mutex_lock(&recorder->lock);
	at = recorder_token(recorder, token);
	if (from != recorder->tokens[at].next[partition])
		recorder_breach(recorder, "gap from elsewhere", partition, from, to);
	recorder->tokens[at].next[partition] = to;
	recorder_add(recorder, RECORDER_GAP, token, partition, from, to);
	pthread_mutex_unlock(&recorder->lock);
}

static inline void recorder_on_flush(void *context)
{
	struct recorder *recorder = context;

	pthread_mutex_lock(&recorder->lock);
	recorder->flushes++;
	pthread_cond_broadcast(&recorder->changed);
	pthread_mutex_unlock(&recorder->lock);
}

static inline void recorder_on_caught_up(void *context, void *token)
{
	struct recorder *recorder = context;

	pthread_mutex_lock(&recorder->lock);
	recorder_add(recorder, RECORDER_CAUGHT_UP, token, -1, 0, 0);
	pthread_mutex_unlock(&recorder->lock);
}

static inline void recorder_on_forgotten(void *context, void *token)
{
	struct recorder *recorder = context;

	pthread_mutex_lock(&recorder->lock);
	recorder_add(recorder, RECORDER_FORGOTTEN, token, -1, 0, 0);
	recorder->tokens[recorder_token(recorder, token)].forgotten = true;
	pthread_mutex_unlock(&recorder->lock);
}

static inline struct recorder *recorder_new(void)
{
	struct recorder *recorder = calloc(1, sizeof(*recorder));

	pthread_mutex_init(&recorder->lock, NULL);
	pthread_cond_init(&recorder->changed, NULL);
	return recorder;
}

static inline void recorder_free(struct recorder *recorder)
{
	pthread_mutex_destroy(&recorder->lock);
	pthread_cond_destroy(&recorder->changed);
	free(recorder);
}

static inline struct ingest_sink recorder_sink(struct recorder *recorder)
{
	return (struct ingest_sink){
	    .partition = recorder_on_partition,
	    .record = recorder_on_record,
	    .end = recorder_on_end,
	    .gap = recorder_on_gap,
	    .flush = recorder_on_flush,
	    .caught_up = recorder_on_caught_up,
	    .forgotten = recorder_on_forgotten,
	    .context = recorder,
	};
}

/* Waits until `count` calls of the kind have come; false after RECORDER_PATIENCE_S. */
static inline bool recorder_wait(struct recorder *recorder, enum recorder_kind kind, size_t count)
{
	struct timespec end;
	bool there;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += RECORDER_PATIENCE_S;
	pthread_mutex_lock(&recorder->lock);
	while (recorder->counts[kind] < count &&
	       !pthread_cond_timedwait(&recorder->changed, &recorder->lock, &end))
		;
	there = recorder->counts[kind] >= count;
	pthread_mutex_unlock(&recorder->lock);
	return there;
}

/* How many calls of the kind there were. */
static inline size_t recorder_count(struct recorder *recorder, enum recorder_kind kind)
{
	size_t count;

	pthread_mutex_lock(&recorder->lock);
	count = recorder->counts[kind];
	pthread_mutex_unlock(&recorder->lock);
	return count;
}

/* The n-th call of a kind, from 0; valid after ingest has stopped, or once it has been waited for.
 */
static inline struct recorder_entry recorder_get(struct recorder *recorder, enum recorder_kind kind,
						 size_t n)
{
	struct recorder_entry found = {.kind = RECORDER_KINDS};

	pthread_mutex_lock(&recorder->lock);
	for (size_t i = 0; i < recorder->count; i++) {
		if (recorder->entries[i].kind == kind && n-- == 0) {
			found = recorder->entries[i];
			break;
		}
	}
	pthread_mutex_unlock(&recorder->lock);
	return found;
}

#endif
