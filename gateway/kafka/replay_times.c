#include "kafka_offsets_priv.h"
#include "replay_reader_priv.h"

/* A partition that is gone has no records of any time. */
static bool is_gone(rd_kafka_resp_err_t error)
{
	return error == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
	       error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

/* Of all partitions, whatever was asked of each. */
static int look_up(rd_kafka_t *kafka, rd_kafka_topic_partition_list_t *list, int timeout_ms)
{
	kafka_offsets_look_up(kafka, list, timeout_ms);
	for (int i = 0; i < list->cnt; i++) {
		rd_kafka_topic_partition_t *element = &list->elems[i];

		if (is_gone(element->err))
			element->offset = 0;
		else if (element->err)
			return ERROR_KAFKA;
	}
	return 0;
}

/* The logs' ends, for those where nothing was found. */
static int look_up_ends(rd_kafka_t *kafka, rd_kafka_topic_partition_list_t *list, int timeout_ms)
{
	rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_new(list->cnt);
	int rc = 0;

	for (int i = 0; i < list->cnt; i++)
		if (list->elems[i].offset < 0)
			rd_kafka_topic_partition_list_add(ends, list->elems[i].topic,
							  list->elems[i].partition)
			    ->offset = RD_KAFKA_OFFSET_END;
	if (ends->cnt)
		rc = look_up(kafka, ends, timeout_ms);
	for (int i = 0, next = 0; i < list->cnt && !rc; i++)
		if (list->elems[i].offset < 0)
			list->elems[i].offset = ends->elems[next++].offset;
	rd_kafka_topic_partition_list_destroy(ends);
	return rc;
}

int replay_reader_seek_time(struct replay_reader *reader, struct replay_range *ranges, size_t count,
			    int64_t since_ms, uint32_t timeout_ms)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_t *kafka;
	int rc = replay_reader_client(reader, &kafka);

	if (rc)
		return rc;
	list = rd_kafka_topic_partition_list_new((int)count);
	for (size_t i = 0; i < count; i++)
		rd_kafka_topic_partition_list_add(list, ranges[i].topic, ranges[i].partition)
		    ->offset = since_ms;
	rc = look_up(kafka, list, (int)timeout_ms);
	if (!rc)
		rc = look_up_ends(kafka, list, (int)timeout_ms);
	for (size_t i = 0; i < count && !rc; i++)
		ranges[i].from = list->elems[i].offset;
	rd_kafka_topic_partition_list_destroy(list);
	return rc;
}
