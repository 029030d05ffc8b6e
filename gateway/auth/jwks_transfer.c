#include "auth/jwks_transfer_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/mem.h"

#define REDIRECTS_MAX 3

struct jwks_transfer {
	CURLM *multi;
	CURL *easy;
	void *context;
	size_t body_bytes;
	struct buffer body;
	char why[CURL_ERROR_SIZE];
};

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
	struct jwks_transfer *transfer = context;
	size_t len = size * count;
	if (len > transfer->body_bytes - transfer->body.len)
		return CURL_WRITEFUNC_ERROR;
	buffer_append(&transfer->body, bytes, len);
	return len;
}

static const char *scheme_of(const char *url)
{
	return strncasecmp(url, "https:", 6) == 0 ? "https" : "http";
}

static void set_security(CURL *easy, const struct jwks_transfer_settings *settings)
{
	/* For redirects too. */
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, scheme_of(settings->url));
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (settings->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, settings->ca_file);
}

static void set_limits(CURL *easy, const struct jwks_transfer_settings *settings)
{
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)settings->connect_ms);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)settings->total_ms);
	curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)settings->body_bytes);
}

static void set_callbacks(struct jwks_transfer *transfer)
{
	curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(transfer->easy, CURLOPT_ERRORBUFFER, transfer->why);
	curl_easy_setopt(transfer->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(transfer->easy, CURLOPT_WRITEDATA, transfer);
}

struct jwks_transfer *
jwks_transfer_start(CURLM *multi, const struct jwks_transfer_settings *settings, void *context)
{
	struct jwks_transfer *transfer = MEM_NEW(struct jwks_transfer);
	transfer->multi = multi;
	transfer->context = context;
	transfer->body_bytes = settings->body_bytes;
	transfer->easy = curl_easy_init();
	assert(transfer->easy);
	set_security(transfer->easy, settings);
	set_limits(transfer->easy, settings);
	set_callbacks(transfer);
	curl_easy_setopt(transfer->easy, CURLOPT_USERAGENT, "sluice");
	curl_easy_setopt(transfer->easy, CURLOPT_URL, settings->url);
	CURLMcode code = curl_multi_add_handle(multi, transfer->easy);
	assert(code == CURLM_OK);
	return transfer;
}

void jwks_transfer_free(struct jwks_transfer *transfer)
{
	curl_multi_remove_handle(transfer->multi, transfer->easy);
	curl_easy_cleanup(transfer->easy);
	buffer_free(&transfer->body);
	free(transfer);
}

struct jwks_transfer *jwks_transfer_of(CURL *easy)
{
	char *transfer;
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
	return (struct jwks_transfer *)(void *)transfer;
}

void *jwks_transfer_context(const struct jwks_transfer *transfer)
{
	return transfer->context;
}

static const char *explain(struct jwks_transfer *transfer, CURLcode code)
{
	if (code == CURLE_WRITE_ERROR || code == CURLE_FILESIZE_EXCEEDED)
		return "the body is larger than the limit";
	return transfer->why[0] ? transfer->why : curl_easy_strerror(code);
}

int jwks_transfer_result(struct jwks_transfer *transfer, CURLcode code, struct slice *body,
			 const char **why)
{
	if (code != CURLE_OK) {
		*why = explain(transfer, code);
		return ERROR_IO;
	}
	long status = 0;
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200) {
		snprintf(transfer->why, sizeof(transfer->why), "the status is %ld", status);
		*why = transfer->why;
		return ERROR_IO;
	}
	*body = buffer_slice(&transfer->body);
	return 0;
}

static CURLU *parse_url(const char *url)
{
	CURLU *parsed = curl_url();
	assert(parsed);
	if (curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK) {
		curl_url_cleanup(parsed);
		return NULL;
	}
	return parsed;
}

bool jwks_transfer_supports(const char *url)
{
	CURLU *parsed = parse_url(url);
	if (!parsed)
		return false;
	char *scheme = NULL;
	bool supported = curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
			 (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
	curl_free(scheme);
	curl_url_cleanup(parsed);
	return supported;
}

char *jwks_transfer_printable(const char *url)
{
	static const CURLUPart secrets[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY,
					    CURLUPART_FRAGMENT};
	CURLU *parsed = parse_url(url);
	if (!parsed)
		return mem_strdup("(a malformed URL)");
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		curl_url_set(parsed, secrets[i], NULL, 0);
	char *text = NULL;
	char *printable = NULL;
	if (curl_url_get(parsed, CURLUPART_URL, &text, 0) == CURLUE_OK)
		printable = mem_strdup(text);
	curl_free(text);
	curl_url_cleanup(parsed);
	return printable ? printable : mem_strdup("(a URL)");
}
