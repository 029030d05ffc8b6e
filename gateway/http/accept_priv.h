/*
 * accept: what the Accept field (RFC 9110, 12.5.1) of a request allows.
 */
#ifndef SLUICE_HTTP_ACCEPT_PRIV_H
#define SLUICE_HTTP_ACCEPT_PRIV_H

#include "http/request_priv.h"

/* May the answer be text/event-stream? Thread: the request's loop. */
bool accept_event_stream(const struct http_request *request);

#endif
