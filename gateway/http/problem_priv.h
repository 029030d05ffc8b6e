/*
 * problem: error answers as application/problem+json (RFC 9457).
 */
#ifndef SLUICE_HTTP_PROBLEM_PRIV_H
#define SLUICE_HTTP_PROBLEM_PRIV_H

#include "http/request_priv.h"

/*
 * Answers with `status`, its reason phrase as the title, and `detail`: what was wrong and what
 * would be right; what `request->about` names is put before it. `extra` (may be NULL) are further
 * header fields. The request is gone after the call.
 */
void problem_reply(struct http_request *request, int status, const char *detail,
		   const struct http_field *extra, size_t extra_count);

/* The body alone, for those who write a response themselves. */
void problem_append(struct buffer *out, int status, const char *detail);

/* The reason phrase of RFC 9110, 15; "" for a status that is not used here. */
const char *problem_title(int status);

#endif
