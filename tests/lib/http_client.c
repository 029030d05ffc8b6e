#include "lib/http_client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <strings.h>

#include "lib/child.h"

enum { TIMEOUT_MS = 10000 };

static size_t take_body(char *bytes, size_t size, size_t count, void *context)
{
	struct http_client_answer *answer = context;
	buffer_append(&answer->body, bytes, size * count);
	return size * count;
}

static size_t take_head(char *bytes, size_t size, size_t count, void *context)
{
	struct http_client_answer *answer = context;
	size_t len = size * count;
	if (len > 5 && memcmp(bytes, "HTTP/", 5) == 0)
		buffer_clear(&answer->head);
	buffer_append(&answer->head, bytes, len);
	return len;
}

static void set_version(CURL *transfer, const struct http_client_request *request)
{
	bool tls = strncmp(request->url, "https:", 6) == 0;
	long version = CURL_HTTP_VERSION_1_1;
	if (request->http2)
		version = tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
	curl_easy_setopt(transfer, CURLOPT_HTTP_VERSION, version);
	if (request->ca_file)
		curl_easy_setopt(transfer, CURLOPT_CAINFO, request->ca_file);
}

static void set_request(CURL *transfer, const struct http_client_request *request,
			const struct curl_slist *fields)
{
	curl_easy_setopt(transfer, CURLOPT_URL, request->url);
	curl_easy_setopt(transfer, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(transfer, CURLOPT_HTTPHEADER, fields);
	curl_easy_setopt(transfer, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(transfer, CURLOPT_PROXY, "");
	curl_easy_setopt(transfer, CURLOPT_TIMEOUT_MS,
			 request->timeout_ms ? request->timeout_ms : TIMEOUT_MS);
	if (request->body)
		curl_easy_setopt(transfer, CURLOPT_POSTFIELDS, request->body);
	if (request->method && strcmp(request->method, "HEAD") == 0)
		curl_easy_setopt(transfer, CURLOPT_NOBODY, 1L);
	else if (request->method)
		curl_easy_setopt(transfer, CURLOPT_CUSTOMREQUEST, request->method);
}

void http_client_send(const struct http_client_request *request, struct http_client_answer *answer)
{
	struct curl_slist *fields = NULL;
	CURL *transfer = curl_easy_init();
	if (!transfer)
		child_die("curl_easy_init failed");
	memset(answer, 0, sizeof(*answer));
	for (size_t i = 0; i < request->header_count; i++)
		fields = curl_slist_append(fields, request->headers[i]);
	set_version(transfer, request);
	set_request(transfer, request, fields);
	curl_easy_setopt(transfer, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(transfer, CURLOPT_WRITEDATA, answer);
	curl_easy_setopt(transfer, CURLOPT_HEADERFUNCTION, take_head);
	curl_easy_setopt(transfer, CURLOPT_HEADERDATA, answer);
	CURLcode code = curl_easy_perform(transfer);
	if (code)
		snprintf(answer->error, sizeof(answer->error), "%s", curl_easy_strerror(code));
	curl_easy_getinfo(transfer, CURLINFO_RESPONSE_CODE, &answer->status);
	buffer_text(&answer->head);
	buffer_text(&answer->body);
	curl_slist_free_all(fields);
	curl_easy_cleanup(transfer);
}

void http_client_get(const char *url, struct http_client_answer *answer)
{
	http_client_send(&(struct http_client_request){.url = url}, answer);
}

static struct slice trim(struct slice text)
{
	while (text.len && (text.base[0] == ' ' || text.base[0] == '\t'))
		text = (struct slice){text.base + 1, text.len - 1};
	while (text.len && strchr(" \t\r\n", text.base[text.len - 1]))
		text.len--;
	return text;
}

struct slice http_client_header(const struct http_client_answer *answer, const char *name)
{
	size_t len = strlen(name);
	const char *line = answer->head.base;
	while (line && *line) {
		const char *end = strchr(line, '\n');
		if (!end)
			break;
		if (strncasecmp(line, name, len) == 0 && line[len] == ':')
			return trim((struct slice){line + len + 1, (size_t)(end - line) - len - 1});
		line = end + 1;
	}
	return (struct slice){NULL, 0};
}

void http_client_answer_fini(struct http_client_answer *answer)
{
	buffer_free(&answer->head);
	buffer_free(&answer->body);
}
