/*
 * group_consumer: shares the partitions of some topics with the other members of a consumer group,
 * and reads its own from offsets that its caller names.
 *
 * Two clients of librdkafka. The member joins the group and is assigned partitions, of which it
 * fetches nothing; the other one fetches, each partition started and stopped by itself. So the
 * group's committed offsets are never what is trusted (the caller commits them for tools that show
 * a lag), a partition waits as long as its caller likes without a rebalance, and while the caller
 * takes no records the fetched ones wait in a queue with a limit.
 *
 * Everything is called on one thread, the caller's, which must poll at least every
 * max.poll.interval.ms (two minutes, where the configuration says nothing); so are the sink's
 * calls, from within group_consumer_poll().
 */
#ifndef SLUICE_KAFKA_GROUP_CONSUMER_H
#define SLUICE_KAFKA_GROUP_CONSUMER_H

#include "base/error.h"
#include "event/record.h"
#include "kafka/kafka_settings.h"

/* `topic` is the number of the topic in the list given to group_consumer_open(). */
struct group_consumer_sink {
	/* The partition is this member's now. It is read once group_consumer_start() is called. */
	void (*assigned)(void *context, uint32_t topic, int32_t partition);
	/* All partitions are going to other members, or to this one again; until this returns
	 * nobody else has them. Reading has stopped. */
	void (*revoked)(void *context);
	/* The group has given them away already. Reading has stopped. */
	void (*lost)(void *context);
	/* One record; its offset is at or beyond the last `next`. */
	void (*record)(void *context, void *token, const struct record *record);
	/* The log's end: the next offset to read is `next` though no record stands before it. */
	void (*end)(void *context, void *token, int64_t next);
	/* The log is [low, high) and `next` is not in it: retention was faster (low > next), or the
	 * log is another one (high < next). Reading has stopped until it is started again. */
	void (*gap)(void *context, void *token, int64_t next, int64_t low, int64_t high);
	void *context;
};

struct group_consumer;

/*
 * Joins the group at the next polls. `topics` (borrowed for the call) may not exist yet. Errors:
 * ERROR_INVALID, ERROR_KAFKA: librdkafka refuses the settings; logged.
 */
MUST_CHECK int group_consumer_open(const struct kafka_settings *settings, const char *group,
				   const char *const *topics, uint32_t topic_count,
				   const struct group_consumer_sink *sink,
				   struct group_consumer **consumer);
/* Leaves the group, waiting up to `patience_ms` for its coordinator. The sink is not called. */
void group_consumer_close(struct group_consumer *consumer, uint32_t patience_ms);

/* Waits up to `timeout_ms` for something to happen and tells the sink. Without `take` records stay
 * where they are and only the membership is looked after. */
void group_consumer_poll(struct group_consumer *consumer, uint32_t timeout_ms, bool take);
/* Ends a poll that waits. Thread: any. */
void group_consumer_wake(struct group_consumer *consumer);

/* Starts an assigned partition, or moves one that is read. Nothing that was fetched before is
 * handed over afterwards. */
void group_consumer_start(struct group_consumer *consumer, uint32_t topic, int32_t partition,
			  int64_t offset, void *token);
/* It stays this member's and may be started again. */
void group_consumer_stop(struct group_consumer *consumer, uint32_t topic, int32_t partition);

/* What group_consumer_find_times() is asked, and its answer. */
struct group_consumer_place {
	uint32_t topic;
	int32_t partition;
	int64_t unix_ms;
	int64_t offset; /* -1: Kafka did not say */
};
/* The first offset at or after each time; the log's end where there is none. Blocks up to
 * `timeout_ms` twice. */
void group_consumer_find_times(struct group_consumer *consumer, struct group_consumer_place *places,
			       size_t count, uint32_t timeout_ms);

/* Commits `offset` for tools that show a group's lag, some time. */
void group_consumer_commit(struct group_consumer *consumer, uint32_t topic, int32_t partition,
			   int64_t offset);

/* The end of the log as far as it is known, at least `next`. */
int64_t group_consumer_end(struct group_consumer *consumer, uint32_t topic, int32_t partition,
			   int64_t next);
/* What keeps it from reading, NULL: nothing that is known. Borrowed, until the next poll. */
const char *group_consumer_problem(const struct group_consumer *consumer);

#endif
