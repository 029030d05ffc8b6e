/*
 * http_settings: the configuration's "listeners", "http" and "cors".
 */
#ifndef SLUICE_HTTP_HTTP_SETTINGS_H
#define SLUICE_HTTP_HTTP_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/config.h"

struct http_listener_settings {
	char *address;          /* numeric IPv4 or IPv6; "::" is both */
	uint16_t port;          /* 0: any free one, printed in the log */
	char *certificate_file; /* PEM chain; NULL: clear text */
	char *key_file;
	bool streams; /* serves the streams */
	bool page;    /* serves the page at / */
	bool admin;   /* serves /healthz, /readyz, /metrics */
};

struct http_settings {
	struct http_listener_settings *listeners;
	size_t listener_count;
	uint32_t loops;                      /* threads; 0: one a core */
	uint32_t max_connections;            /* over all loops; more are closed at accept */
	uint32_t max_streams_per_connection; /* HTTP/2's SETTINGS_MAX_CONCURRENT_STREAMS */
	uint32_t max_head_bytes;             /* of a request; 431 beyond */
	uint32_t head_timeout_ms;            /* TLS handshake and request head together */
	uint32_t idle_timeout_ms;            /* an HTTP/2 connection without streams */
	uint32_t slow_client_timeout_ms;     /* no progress while there is something to write */
	uint32_t drain_ms;   /* how long a stop may take; reconnects are spread over it */
	char **cors_origins; /* exact origins, or the one entry "*" */
	size_t cors_origin_count;
	bool cors_credentials;
};

/* "listeners": each into a struct http_listener_settings; the check is for all of them together. */
extern const struct config_table http_settings_listener_table;
void http_settings_check_listeners(const struct config_at *at, const struct http_settings *http);

/* "http" and "cors", both into a struct http_settings. */
extern const struct config_table http_settings_table;
extern const struct config_table http_settings_cors_table;

#endif
