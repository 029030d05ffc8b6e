/*
 * cors: which pages of other origins may read a stream (WHATWG Fetch, 3.2).
 */
#ifndef SLUICE_HTTP_CORS_PRIV_H
#define SLUICE_HTTP_CORS_PRIV_H

#include "http/request_priv.h"

enum { CORS_MAX_FIELDS = 4 };

/* The response fields for this request's Origin; 0 where it has none or it is not allowed. Borrowed
 * from the request and the settings. */
size_t cors_fields(const struct http_request *request, struct http_field fields[CORS_MAX_FIELDS]);

/* Answers OPTIONS: a preflight or a plain question. `allow` is the Allow field's value; `extra` are
 * up to 2 fields more. */
void cors_reply_options(struct http_request *request, const char *allow,
			const struct http_field *extra, size_t extra_count);

#endif
