/*
 * http_client: one plain HTTP request and its whole answer. Blocks. Thread: any.
 */
#ifndef SLUICE_TESTS_LIB_HTTP_CLIENT_H
#define SLUICE_TESTS_LIB_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

struct http_client_request {
	const char *method; /* NULL: GET */
	const char *url;
	const char *const *headers; /* "name: value"; "name;" sends an empty one */
	size_t header_count;
	const char *body; /* NULL: none */
	const char *ca_file;
	bool http2;      /* cleartext: prior knowledge; https: ALPN. Else HTTP/1.1 */
	long timeout_ms; /* 0: 10 s */
};

struct http_client_answer {
	long status;        /* 0: no answer, and `error` says why */
	struct buffer head; /* the last response's status line and fields */
	struct buffer body; /* what came until the timeout, too */
	char error[128];
};

void http_client_send(const struct http_client_request *request, struct http_client_answer *answer);
/* GET over HTTP/1.1 without more. */
void http_client_get(const char *url, struct http_client_answer *answer);
/* The field's value, trimmed; base NULL: there is none. `name` in any case. The first of several.
 */
struct slice http_client_header(const struct http_client_answer *answer, const char *name);
void http_client_answer_fini(struct http_client_answer *answer);

#endif
