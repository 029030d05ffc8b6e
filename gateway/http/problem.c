#include "http/problem_priv.h"

#include "base/buffer.h"
#include "http/cors_priv.h"

static const struct {
	int status;
	const char *title;
} titles[] = {
    {200, "OK"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
};

const char *problem_title(int status)
{
	for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
		if (titles[i].status == status)
			return titles[i].title;
	return "";
}

void problem_append(struct buffer *out, int status, const char *detail)
{
	buffer_append_format(out,
			     "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":",
			     problem_title(status), status);
	buffer_append_json_string(out, slice_of(detail));
	buffer_append_text(out, "}\n");
}

void problem_reply(struct http_request *request, int status, const char *detail,
		   const struct http_field *extra, size_t extra_count)
{
	enum { MAX_EXTRA = 4 };
	struct http_field fields[2 + MAX_EXTRA + CORS_MAX_FIELDS] = {
	    {SLICE_LIT("content-type"), SLICE_LIT("application/problem+json")},
	    {SLICE_LIT("cache-control"), SLICE_LIT("no-store")},
	};
	size_t count = 2;
	struct buffer body = {0}, text = {0};

	for (size_t i = 0; i < extra_count && i < MAX_EXTRA; i++)
		fields[count++] = extra[i];
	count += cors_fields(request, fields + count);
	if (request->about.len) {
		buffer_append_slice(&text, request->about);
		buffer_append_format(&text, ": %s", detail);
		detail = buffer_text(&text);
	}
	problem_append(&body, status, detail);
	http_reply(request, &(struct http_response){.status = status,
						    .fields = fields,
						    .field_count = count,
						    .body = buffer_slice(&body)});
	buffer_free(&body);
	buffer_free(&text);
}
