/*
 * request_fields: what the carriers share in making a request and counting its answer.
 */
#ifndef SLUICE_HTTP_REQUEST_FIELDS_PRIV_H
#define SLUICE_HTTP_REQUEST_FIELDS_PRIV_H

#include <stdbool.h>

#include "http/request_priv.h"

/*
 * Sets path and query from a target in origin form, "*", or absolute form (RFC 9112, 3.2). False:
 * it is neither.
 */
bool request_set_target(struct http_request *request, struct slice target);

bool request_is_head(const struct http_request *request);

/* A response of this status has neither content nor content-length (RFC 9110, 6.4.1 and 8.6). */
bool request_status_has_no_content(int status);

/* http_reply() with a problem document, for requests that never get to a handler. */
void request_refuse(struct http_request *request, int status, const char *detail);

/* Counts a response by its class. http_reply() and http_stream() do it for theirs. */
void request_count_response(int status);

#endif
