/*
 * kafka_offsets: asks brokers which offset a time, the beginning or the end of a partition stands
 * for.
 */
#ifndef SLUICE_KAFKA_KAFKA_OFFSETS_PRIV_H
#define SLUICE_KAFKA_KAFKA_OFFSETS_PRIV_H

#include <librdkafka/rdkafka.h>

/*
 * Each element's offset says what is asked: a time (ms since 1970), RD_KAFKA_OFFSET_BEGINNING or
 * RD_KAFKA_OFFSET_END (for read_committed clients the last stable offset). It is replaced by the
 * answer where the element's err is 0 afterwards. A time later than all records, and any time that
 * librdkafka's mock cluster is asked for, is answered by RD_KAFKA_OFFSET_END. Blocks up to
 * timeout_ms, longer only where partitions fail one by one. Thread: any.
 */
void kafka_offsets_look_up(rd_kafka_t *kafka, rd_kafka_topic_partition_list_t *list,
			   int timeout_ms);

/*
 * The first and the next offset of one partition (for read_committed clients the last stable
 * offset). Blocks up to timeout_ms for each of up to three questions. On an error *low and *high
 * are as they were. Thread: any.
 */
rd_kafka_resp_err_t kafka_offsets_bounds(rd_kafka_t *kafka, const char *topic, int32_t partition,
					 int timeout_ms, int64_t *low, int64_t *high);

#endif
