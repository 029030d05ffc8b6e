/*
 * kafka_conf: librdkafka's clients as this gateway wants them.
 *
 * Settings are laid in three layers: what suits the role, then the user's properties, then what the
 * gateway owns. librdkafka's log and errors go to base/log.
 */
#ifndef SLUICE_KAFKA_KAFKA_CONF_PRIV_H
#define SLUICE_KAFKA_KAFKA_CONF_PRIV_H

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

#include "base/error.h"
#include "kafka/kafka_settings.h"

enum kafka_role { KAFKA_INGEST, KAFKA_REPLAY, KAFKA_GROUP, KAFKA_MEMBER, KAFKA_PRODUCER };

/* What librdkafka last said of its connections; the client's opaque. 0 or an rd_kafka_resp_err_t.
 * Outlives the client. */
struct kafka_health {
	_Atomic int last_error;
};

/* The caller gives it to kafka_conf_open() or destroys it. Errors: ERROR_INVALID, `reason` says
 * why. Thread: any. */
MUST_CHECK int kafka_conf_new(const struct kafka_settings *settings, enum kafka_role role,
			      rd_kafka_conf_t **conf, char reason[256]);

/*
 * Makes the client; takes ownership of `conf`. `health` is borrowed until rd_kafka_destroy(), and
 * may be NULL. Errors: ERROR_KAFKA, `reason` says why. Thread: any.
 */
MUST_CHECK int kafka_conf_open(rd_kafka_conf_t *conf, enum kafka_role role,
			       struct kafka_health *health, rd_kafka_t **kafka, char reason[256]);

/* Both of them. */
MUST_CHECK int kafka_conf_open_client(const struct kafka_settings *settings, enum kafka_role role,
				      struct kafka_health *health, rd_kafka_t **kafka,
				      char reason[256]);

/* An error as an operator reads it. Returns a constant. Thread: any. */
const char *kafka_conf_error_text(rd_kafka_resp_err_t error);

#endif
