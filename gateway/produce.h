/*
 * produce: `sluice produce TOPIC`: records from standard input, for those who have no Kafka tool.
 */
#ifndef SLUICE_PRODUCE_H
#define SLUICE_PRODUCE_H

#include "kafka/kafka_settings.h"

/*
 * One record a line: "key<TAB>value", or "value" alone (key null). Returns an exit code: 0 when
 * every record was acknowledged; else it has said on standard error what failed.
 */
int produce_main(const struct kafka_settings *settings, const char *topic);

#endif
