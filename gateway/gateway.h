/*
 * gateway: the composition root: builds the parts bottom-up, stops them top-down.
 */
#ifndef SLUICE_GATEWAY_H
#define SLUICE_GATEWAY_H

#include "base/error.h"
#include "settings.h"

struct gateway;

/*
 * Starts everything. `settings` is borrowed for the life of the gateway. `produce_hint` (copied by
 * nobody, may be NULL) is shown on the page. Errors are logged.
 */
MUST_CHECK int gateway_start(const struct settings *settings, const char *produce_hint,
			     struct gateway **gateway);

/* Ends the streams in good order, then everything else. */
void gateway_stop(struct gateway *gateway);

/* The port of a listener. */
uint16_t gateway_port(const struct gateway *gateway, size_t listener);

#endif
