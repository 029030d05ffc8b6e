#include <stdlib.h>

#include "http/app_priv.h"

/* page.html, linked in as it is (see the Makefile). */
extern const char _binary_gateway_http_page_html_start[], _binary_gateway_http_page_html_end[];

/* Only its own script and style, and streams of this origin: what a stream says is shown as text.
 */
#define POLICY                                                                                     \
	"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src "  \
	"'self'; img-src data:"

void page_handle(struct http_request *request)
{
	const struct http_field fields[] = {
	    {SLICE_LIT("content-type"), SLICE_LIT("text/html; charset=utf-8")},
	    {SLICE_LIT("cache-control"), SLICE_LIT("no-cache")},
	    {SLICE_LIT("content-security-policy"), SLICE_LIT(POLICY)},
	    {SLICE_LIT("x-content-type-options"), SLICE_LIT("nosniff")},
	    {SLICE_LIT("referrer-policy"), SLICE_LIT("no-referrer")},
	};
	const struct slice body = {
	    _binary_gateway_http_page_html_start,
	    (size_t)(_binary_gateway_http_page_html_end - _binary_gateway_http_page_html_start)};

	http_reply(request, &(struct http_response){
				.status = 200, .fields = fields, .field_count = 5, .body = body});
}

static json_t *describe_param(const struct stream_param *param)
{
	static const char *const places[] = {"path", "query", "header"};
	static const char *const types[] = {"string", "integer", "number", "boolean", "any"};
	json_t *json =
	    json_pack("{s:s, s:s, s:s, s:b}", "name", param->name, "in", places[param->in], "type",
		      types[param->type], "required", (int)param->required);

	if (param->description)
		json_object_set_new(json, "description", json_string(param->description));
	if (param->default_value)
		json_object_set(json, "default", param->default_value);
	if (param->enum_values)
		json_object_set(json, "enum", param->enum_values);
	if (param->ordered)
		json_object_set_new(json, "ordered", json_true());
	if (param->has_minimum)
		json_object_set_new(json, "minimum", json_real(param->minimum));
	if (param->has_maximum)
		json_object_set_new(json, "maximum", json_real(param->maximum));
	return json;
}

static json_t *describe(const struct stream *stream)
{
	static const char *const access[] = {"closed", "public", "token"};
	json_t *json = json_pack("{s:s, s:s, s:s, s:b}", "name", stream->name, "path",
				 path_template_text(stream->path), "access", access[stream->access],
				 "client_filters", (int)stream->client_filters);
	json_t *params = json_array(), *topics = json_array();

	if (stream->description)
		json_object_set_new(json, "description", json_string(stream->description));
	for (size_t i = 0; i < stream->param_count; i++)
		json_array_append_new(params, describe_param(&stream->params[i]));
	for (size_t i = 0; i < stream->topic_count; i++)
		json_array_append_new(topics, json_string(stream->topics[i]));
	for (size_t i = 0; i < stream->allow_topic_count; i++)
		json_array_append_new(topics, json_string(stream->allow_topics[i]));
	json_object_set_new(json, "params", params);
	json_object_set_new(json, "topics", topics);
	return json;
}

/* What the page lists: the streams as a client may see them, without filters and access rules. */
void page_streams(struct http_request *request)
{
	const struct app *app = app_of(request);
	const struct http_field fields[] = {
	    {SLICE_LIT("content-type"), SLICE_LIT("application/json")},
	    {SLICE_LIT("cache-control"), SLICE_LIT("no-cache")},
	};
	json_t *streams = json_array();
	json_t *json = json_object();
	char *text;

	for (size_t i = 0; i < app->parts.stream_count; i++)
		json_array_append_new(streams, describe(app->parts.streams[i]));
	json_object_set_new(json, "streams", streams);
	if (app->parts.produce_hint)
		json_object_set_new(json, "produce", json_string(app->parts.produce_hint));
	text = json_dumps(json, JSON_COMPACT);
	http_reply(request,
		   &(struct http_response){
		       .status = 200, .fields = fields, .field_count = 2, .body = slice_of(text)});
	json_decref(json);
	free(text);
}
