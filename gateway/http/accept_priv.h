/*
 * accept: what a request's Accept field (RFC 9110, 12.5.1) allows, and what its Content-Type (8.3)
 * says.
 */
#ifndef SLUICE_HTTP_ACCEPT_PRIV_H
#define SLUICE_HTTP_ACCEPT_PRIV_H

#include "http/request_priv.h"

/* May the answer be text/event-stream? Thread: the request's loop. */
bool accept_event_stream(const struct http_request *request);
/* Is the body application/json, in UTF-8? Likewise. */
bool accept_is_json(const struct http_request *request);

#endif
