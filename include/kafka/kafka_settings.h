/*
 * kafka_settings: the configuration's "kafka" object: librdkafka's own properties, passed through.
 */
#ifndef SLUICE_KAFKA_KAFKA_SETTINGS_H
#define SLUICE_KAFKA_KAFKA_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

#include "base/config.h"

struct kafka_property {
	char *name;
	char *value;
};

struct kafka_settings {
	struct kafka_property *properties;
	size_t property_count;
	uint32_t warm_ms;        /* how far back ingest starts */
	uint32_t replay_readers; /* consumers that replay at the same time */
};

/*
 * Asks librdkafka whether it takes the property. 0, or ERROR_INVALID with its words in `reason`.
 * Properties that Sluice owns (group.id, enable.auto.commit, isolation.level …) are refused with
 * that reason. Thread: any.
 */
int kafka_settings_check(const char *name, const char *value, char reason[256]);

/* Reads the object of properties into a zeroed `kafka`: any name and value that
 * kafka_settings_check() takes; secrets also as NAME_file. What it holds is
 * kafka_settings_fini()'s, whether something was refused or not. */
void kafka_settings_read(const struct config_at *at, const json_t *value,
			 struct kafka_settings *kafka);
void kafka_settings_fini(struct kafka_settings *kafka);
extern const char kafka_settings_schema[];

#endif
