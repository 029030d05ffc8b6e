/*
 * own_server: a server of each test's own, for its setup and teardown, and clients of it.
 */
#ifndef SLUICE_TESTS_HTTP_OWN_SERVER_H
#define SLUICE_TESTS_HTTP_OWN_SERVER_H

#include "unit/http/fixture.h"
#include "unit/http/http2_client.h"

static struct fixture fixture;

static inline int own_server_start(void **state)
{
	(void)state;
	fixture_init(&fixture);
	fixture_start(&fixture);
	return 0;
}

/* One that waits for requests for a second. */
static inline int own_server_start_impatient(void **state)
{
	(void)state;
	fixture_init(&fixture);
	fixture.settings.head_timeout_ms = 1000;
	fixture_start(&fixture);
	return 0;
}

/* Nothing is left when it has stopped: subscribers are gone (fanout_free asserts it), memory (the
 * sanitizer). */
static inline int own_server_stop(void **state)
{
	(void)state;
	fixture_stop(&fixture);
	return 0;
}

static inline struct client own_server_http1(bool tls)
{
	return tls ? client_open_tls(fixture_port(&fixture, FIXTURE_TLS), "\x08http/1.1")
		   : client_open(fixture_port(&fixture, FIXTURE_CLEAR));
}

static inline struct http2_client own_server_http2(bool tls)
{
	return http2_over(tls ? client_open_tls(fixture_port(&fixture, FIXTURE_TLS), "\x02h2")
			      : client_open(fixture_port(&fixture, FIXTURE_CLEAR)));
}

#endif
