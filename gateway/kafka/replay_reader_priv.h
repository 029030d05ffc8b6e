/*
 * replay_reader_priv: what the files of replay_reader share.
 */
#ifndef SLUICE_KAFKA_REPLAY_READER_PRIV_H
#define SLUICE_KAFKA_REPLAY_READER_PRIV_H

#include <librdkafka/rdkafka.h>

#include "kafka/replay_reader.h"

/* The reader's consumer, made on first use; it stays the reader's. ERROR_KAFKA. */
MUST_CHECK int replay_reader_client(struct replay_reader *reader, rd_kafka_t **kafka);

#endif
