#include "http/cors_priv.h"

#include "http/app_priv.h"

static bool is_allowed(const struct http_settings *settings, struct slice origin)
{
	for (size_t i = 0; i < settings->cors_origin_count; i++)
		if (strcmp(settings->cors_origins[i], "*") == 0 ||
		    slice_equal(slice_of(settings->cors_origins[i]), origin))
			return true;
	return false;
}

/*
 * The origin itself is named, never "*": credentials need it, and `vary` keeps caches right. The
 * configuration refuses "*" together with credentials.
 */
size_t cors_fields(const struct http_request *request, struct http_field fields[CORS_MAX_FIELDS])
{
	const struct http_settings *settings = app_of(request)->settings;
	struct slice origin = http_request_field(request, "origin");
	size_t count = 0;

	if (!settings->cors_origin_count)
		return 0;
	fields[count++] = (struct http_field){SLICE_LIT("vary"), SLICE_LIT("origin")};
	if (!origin.base || !is_allowed(settings, origin))
		return count;
	fields[count++] = (struct http_field){SLICE_LIT("access-control-allow-origin"), origin};
	if (settings->cors_credentials)
		fields[count++] = (struct http_field){SLICE_LIT("access-control-allow-credentials"),
						      SLICE_LIT("true")};
	return count;
}

void cors_reply_options(struct http_request *request, const char *allow,
			const struct http_field *extra, size_t extra_count)
{
	enum { MAX_EXTRA = 2 };
	struct http_field fields[4 + MAX_EXTRA + CORS_MAX_FIELDS] = {
	    {SLICE_LIT("allow"), slice_of(allow)}};
	size_t count = 1 + cors_fields(request, fields + 1);

	for (size_t i = 0; i < extra_count && i < MAX_EXTRA; i++)
		fields[count++] = extra[i];
	if (http_request_field(request, "access-control-request-method").base) {
		fields[count++] =
		    (struct http_field){SLICE_LIT("access-control-allow-methods"), slice_of(allow)};
		fields[count++] = (struct http_field){
		    SLICE_LIT("access-control-allow-headers"),
		    SLICE_LIT("authorization, last-event-id, cache-control, content-type")};
		fields[count++] =
		    (struct http_field){SLICE_LIT("access-control-max-age"), SLICE_LIT("7200")};
	}
	http_reply(request,
		   &(struct http_response){.status = 204, .fields = fields, .field_count = count});
}
