#include "kafka_offsets_priv.h"

#include <stdbool.h>

/* The broker did not answer, so asking for less would not help. */
static bool is_silence(rd_kafka_resp_err_t error)
{
	switch (error) {
	case RD_KAFKA_RESP_ERR__TRANSPORT:
	case RD_KAFKA_RESP_ERR__TIMED_OUT:
	case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
		return true;
	default:
		return false;
	}
}

static void set_error(rd_kafka_topic_partition_t *elements, int count, rd_kafka_resp_err_t error)
{
	for (int i = 0; i < count; i++)
		elements[i].err = error;
}

static rd_kafka_resp_err_t ask(rd_kafka_t *kafka, rd_kafka_topic_partition_t *elements, int count,
			       int timeout_ms)
{
	rd_kafka_topic_partition_list_t *asked = rd_kafka_topic_partition_list_new(count);
	rd_kafka_resp_err_t error;

	for (int i = 0; i < count; i++) {
		rd_kafka_topic_partition_t *element = rd_kafka_topic_partition_list_add(
		    asked, elements[i].topic, elements[i].partition);

		element->offset = elements[i].offset;
		/* Stays where no broker answers for the partition. */
		element->err = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
	}
	/* ListOffsets takes the two logical offsets as times (KIP-79), for many partitions at once.
	 */
	error = rd_kafka_offsets_for_times(kafka, asked, timeout_ms);
	for (int i = 0; i < count && !error; i++) {
		elements[i].err = asked->elems[i].err;
		if (!elements[i].err)
			elements[i].offset = asked->elems[i].offset;
	}
	rd_kafka_topic_partition_list_destroy(asked);
	return error;
}

/* One partition's error fails a whole request, so halves are asked until it stands alone. */
static void look_up(rd_kafka_t *kafka, rd_kafka_topic_partition_t *elements, int count,
		    int timeout_ms)
{
	rd_kafka_resp_err_t error = ask(kafka, elements, count, timeout_ms);

	if (!error)
		return;
	if (count == 1 || is_silence(error)) {
		set_error(elements, count, error);
		return;
	}
	look_up(kafka, elements, count / 2, timeout_ms);
	look_up(kafka, elements + count / 2, count - count / 2, timeout_ms);
}

void kafka_offsets_look_up(rd_kafka_t *kafka, rd_kafka_topic_partition_list_t *list, int timeout_ms)
{
	if (list->cnt)
		look_up(kafka, list->elems, list->cnt, timeout_ms);
}

static rd_kafka_resp_err_t look_up_one(rd_kafka_t *kafka, const char *topic, int32_t partition,
				       int timeout_ms, int64_t *offset)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_t *element =
	    rd_kafka_topic_partition_list_add(list, topic, partition);
	rd_kafka_resp_err_t error;

	element->offset = *offset;
	kafka_offsets_look_up(kafka, list, timeout_ms);
	error = element->err;
	if (!error)
		*offset = element->offset;
	rd_kafka_topic_partition_list_destroy(list);
	return error;
}

/*
 * Where librdkafka 2.0.2 gets the answers to both its questions at once and the first is an error,
 * it forgets that, and takes the one offset that it has for both. So where they are the same, they
 * are asked for one by one.
 */
rd_kafka_resp_err_t kafka_offsets_bounds(rd_kafka_t *kafka, const char *topic, int32_t partition,
					 int timeout_ms, int64_t *low, int64_t *high)
{
	int64_t first, next;
	rd_kafka_resp_err_t error =
	    rd_kafka_query_watermark_offsets(kafka, topic, partition, &first, &next, timeout_ms);

	if (!error && first == next) {
		first = RD_KAFKA_OFFSET_BEGINNING;
		next = RD_KAFKA_OFFSET_END;
		error = look_up_one(kafka, topic, partition, timeout_ms, &first);
		if (!error)
			error = look_up_one(kafka, topic, partition, timeout_ms, &next);
	}
	if (error)
		return error;
	*low = first;
	*high = next;
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}
