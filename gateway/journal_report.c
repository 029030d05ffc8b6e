/* What others are told of the journal. */
#include <stdio.h>

#include "base/clock.h"
#include "journal_priv.h"

enum {
	REPORT_PAUSE_MS = 250,
	COMMIT_PAUSE_MS = 5000,
	BEHIND_MS = 30000, /* a partition that long away from the log's end is behind */
};

/* What the journal has of a partition for all of its feeds. */
static int64_t written_until(const struct journal_partition *partition)
{
	int64_t next = partition->parts[0].next;

	for (uint32_t i = 1; i < partition->topic->wish_count; i++)
		if (partition->parts[i].next < next)
			next = partition->parts[i].next;
	return next;
}

void journal_commit(struct journal *journal)
{
	if (clock_monotonic_ms() < journal->commit_due_ms)
		return;
	journal->commit_due_ms = clock_monotonic_ms() + COMMIT_PAUSE_MS;
	for (struct journal_partition *at = journal->partitions; at; at = at->following) {
		int64_t next = written_until(at);

		if (at->state != JOURNAL_READING || next == at->committed)
			continue;
		at->committed = next;
		group_consumer_commit(journal->consumer, at->topic->number, at->number, next);
	}
}

/* Adds the partition to its topic's figures; true where it is behind. */
static bool report_partition(struct journal *journal, struct journal_partition *partition)
{
	uint64_t now_ms = clock_monotonic_ms();
	int64_t next = written_until(partition);
	int64_t lag = 0;

	if (partition->state == JOURNAL_READING)
		lag = group_consumer_end(journal->consumer, partition->topic->number,
					 partition->number, next) -
		      next;
	if (!lag && partition->state == JOURNAL_READING)
		partition->level_ms = now_ms;
	partition->topic->partition_count++;
	partition->topic->lag += lag;
	return lag && now_ms - partition->level_ms > BEHIND_MS;
}

static const char *find_problem(const struct journal *journal, bool behind)
{
	if (journal->failing)
		return journal_writer_error(journal->writer);
	if (group_consumer_problem(journal->consumer))
		return group_consumer_problem(journal->consumer);
	return behind ? "behind the topics' ends" : "";
}

static void set_problem(struct journal *journal, const char *problem)
{
	pthread_mutex_lock(&journal->lock);
	snprintf(journal->state.problem, sizeof(journal->state.problem), "%s", problem);
	pthread_mutex_unlock(&journal->lock);
}

void journal_report(struct journal *journal)
{
	bool behind = false;

	if (clock_monotonic_ms() < journal->report_due_ms)
		return;
	journal->report_due_ms = clock_monotonic_ms() + REPORT_PAUSE_MS;
	pthread_mutex_lock(&journal->lock);
	for (uint32_t i = 0; i < journal->topic_count; i++) {
		journal->topics[i].partition_count = 0;
		journal->topics[i].lag = 0;
	}
	for (struct journal_partition *at = journal->partitions; at; at = at->following)
		behind |= report_partition(journal, at);
	pthread_mutex_unlock(&journal->lock);
	set_problem(journal, find_problem(journal, behind));
}

void journal_look(struct journal *journal, struct journal_state *state,
		  void (*visit)(void *context, const struct journal_topic_state *topic),
		  void *context)
{
	pthread_mutex_lock(&journal->lock);
	*state = journal->state;
	for (uint32_t i = 0; visit && i < journal->topic_count; i++)
		visit(context, &(struct journal_topic_state){journal->topics[i].name,
							     journal->topics[i].partition_count,
							     journal->topics[i].lag});
	pthread_mutex_unlock(&journal->lock);
}
