/*
 * settings_priv: the tables that the file's table is made of.
 */
#ifndef SLUICE_SETTINGS_PRIV_H
#define SLUICE_SETTINGS_PRIV_H

#include "settings.h"

/* Into a struct http_listener_settings. */
extern const struct config_table settings_http_listener_table;
/* After "listeners"; `settings` is the struct settings. */
void settings_http_check_listeners(const struct config_at *at, void *settings);
/* "http" and "cors", both into a struct http_settings. */
extern const struct config_table settings_http_table;
extern const struct config_table settings_http_cors_table;

/* Into a struct auth_settings. */
extern const struct config_table settings_auth_table;

/* "kafka", into the struct settings. */
void settings_kafka_read(const struct config_at *at, const json_t *value, void *settings);
void settings_kafka_fini(struct kafka_settings *kafka);
extern const char settings_kafka_schema[];

#endif
