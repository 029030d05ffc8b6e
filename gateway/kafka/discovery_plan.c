#include "discovery_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kafka_offsets_priv.h"

enum { OFFSETS_MS = 5000 };

static void grow_planned(struct ingest_topic *topic, uint32_t count)
{
	if (count <= topic->planned_count)
		return;
	topic->planned = mem_realloc(topic->planned, count * sizeof(*topic->planned));
	memset(topic->planned + topic->planned_count, 0,
	       (count - topic->planned_count) * sizeof(*topic->planned));
	topic->planned_count = count;
}

static bool is_late(const struct ingest_topic *topic, int32_t partition)
{
	return topic->from_start || (uint32_t)partition >= topic->first_count;
}

/* What a start is asked for: the beginning, the end, or a time. */
static int64_t start_of(const struct ingest_topic *topic, int32_t partition, bool first_look)
{
	if (is_late(topic, partition))
		return RD_KAFKA_OFFSET_BEGINNING;
	/* A partition that had no leader at the first look goes back to that moment, so that
	 * nothing falls between. */
	if (first_look && !topic->warm_ms)
		return RD_KAFKA_OFFSET_END;
	return topic->warm_ms < topic->first_look_ms ? topic->first_look_ms - topic->warm_ms : 0;
}

static const char *list_missing(const struct ingest_topic *topic,
				const struct rd_kafka_metadata_topic *found,
				rd_kafka_topic_partition_list_t *missing)
{
	const char *problem = NULL;

	for (int i = 0; i < found->partition_cnt; i++) {
		const rd_kafka_metadata_partition_t *partition = &found->partitions[i];

		if (partition->leader < 0)
			problem = kafka_conf_error_text(RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
		else if (partition->id < 0 || (uint32_t)partition->id >= topic->planned_count ||
			 topic->planned[partition->id])
			continue;
		else
			rd_kafka_topic_partition_list_add(missing, topic->name, partition->id);
	}
	return problem;
}

/* `starts` and `ends` are the answers for one partition. */
static void post_start(struct ingest *ingest, struct ingest_topic *topic,
		       const rd_kafka_topic_partition_t *start,
		       const rd_kafka_topic_partition_t *end)
{
	struct ingest_command command = {
	    .type = INGEST_START,
	    .topic = topic,
	    .partition = start->partition,
	    /* No record is as late as that time: the end, as it was before that was asked. */
	    .offset = start->offset < 0 ? end->offset : start->offset,
	    .goal = is_late(topic, start->partition) ? INGEST_NO_OFFSET : end->offset,
	};

	topic->planned[start->partition] = true;
	ingest_post(ingest, &command);
}

static void finish_discovery(struct ingest *ingest, struct ingest_topic *topic)
{
	struct ingest_command command = {.type = INGEST_DISCOVERED, .topic = topic};

	if (topic->discovered)
		return;
	for (uint32_t i = 0; i < topic->first_count; i++) {
		if (!topic->planned[i])
			return;
	}
	topic->discovered = true;
	ingest_post(ingest, &command);
}

const char *discovery_plan_missing(struct ingest *ingest, struct ingest_topic *topic,
				   const struct rd_kafka_metadata_topic *found)
{
	rd_kafka_topic_partition_list_t *starts =
	    rd_kafka_topic_partition_list_new(found->partition_cnt);
	rd_kafka_topic_partition_list_t *ends;
	bool first_look = topic->planned_count == 0;
	const char *problem;

	grow_planned(topic, (uint32_t)found->partition_cnt);
	problem = list_missing(topic, found, starts);
	ends = rd_kafka_topic_partition_list_copy(starts);
	for (int i = 0; i < starts->cnt; i++) {
		ends->elems[i].offset = RD_KAFKA_OFFSET_END;
		starts->elems[i].offset = start_of(topic, starts->elems[i].partition, first_look);
	}
	kafka_offsets_look_up(ingest->kafka, ends, OFFSETS_MS);
	kafka_offsets_look_up(ingest->kafka, starts, OFFSETS_MS);
	for (int i = 0; i < starts->cnt; i++) {
		if (starts->elems[i].err || ends->elems[i].err)
			problem = kafka_conf_error_text(starts->elems[i].err ? starts->elems[i].err
									     : ends->elems[i].err);
		else
			post_start(ingest, topic, &starts->elems[i], &ends->elems[i]);
	}
	rd_kafka_topic_partition_list_destroy(starts);
	rd_kafka_topic_partition_list_destroy(ends);
	finish_discovery(ingest, topic);
	return problem;
}

static void list_lost(struct ingest *ingest, struct ingest_topic *topic, int count, bool anew,
		      rd_kafka_topic_partition_list_t *lost)
{
	pthread_mutex_lock(&ingest->lock);
	for (uint32_t i = 0; i < topic->partition_count && i < (uint32_t)count; i++) {
		const struct ingest_partition *partition = topic->partitions[i];

		if (atomic_load(&partition->next) == INGEST_NO_OFFSET)
			continue;
		if (anew || partition->lost)
			rd_kafka_topic_partition_list_add(lost, topic->name, (int32_t)i);
	}
	pthread_mutex_unlock(&ingest->lock);
}

static void post_move(struct ingest *ingest, struct ingest_topic *topic, int32_t number,
		      int64_t low, int64_t end, bool anew)
{
	struct ingest_command command = {.type = INGEST_MOVE, .topic = topic, .partition = number};
	struct ingest_partition *partition;
	int64_t next;

	pthread_mutex_lock(&ingest->lock);
	partition = topic->partitions[number];
	partition->lost = false;
	next = atomic_load(&partition->next);
	pthread_mutex_unlock(&ingest->lock);
	command.from = anew ? INGEST_NO_OFFSET : next;
	/* Beyond the end, too, the log is another one: its beginning has not been read. */
	command.offset = anew || next < low || next > end ? low : next;
	ingest_post(ingest, &command);
}

const char *discovery_plan_lost(struct ingest *ingest, struct ingest_topic *topic,
				const struct rd_kafka_metadata_topic *found, bool anew)
{
	rd_kafka_topic_partition_list_t *lows =
	    rd_kafka_topic_partition_list_new(found->partition_cnt);
	rd_kafka_topic_partition_list_t *ends;
	const char *problem = NULL;

	list_lost(ingest, topic, found->partition_cnt, anew, lows);
	ends = rd_kafka_topic_partition_list_copy(lows);
	for (int i = 0; i < lows->cnt; i++) {
		lows->elems[i].offset = RD_KAFKA_OFFSET_BEGINNING;
		ends->elems[i].offset = RD_KAFKA_OFFSET_END;
	}
	kafka_offsets_look_up(ingest->kafka, lows, OFFSETS_MS);
	kafka_offsets_look_up(ingest->kafka, ends, OFFSETS_MS);
	for (int i = 0; i < lows->cnt; i++) {
		if (lows->elems[i].err || ends->elems[i].err)
			problem = kafka_conf_error_text(lows->elems[i].err ? lows->elems[i].err
									   : ends->elems[i].err);
		else
			post_move(ingest, topic, lows->elems[i].partition, lows->elems[i].offset,
				  ends->elems[i].offset, anew);
	}
	rd_kafka_topic_partition_list_destroy(lows);
	rd_kafka_topic_partition_list_destroy(ends);
	return problem;
}
