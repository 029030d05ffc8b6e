/* stream_read_params(): a request's parameters, as the stream declares them. */
#include <stdio.h>

#include "event/stream_priv.h"

static struct slice raw_value(const struct stream *stream, const struct stream_param *param,
			      const struct stream_request *request)
{
	switch (param->in) {
	case STREAM_PARAM_PATH:
		return request->path_values[stream_param_index_in_path(stream, param->name)];
	case STREAM_PARAM_QUERY:
		return request->query(request->context, param->name);
	default:
		return request->header(request->context, param->name);
	}
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* JSON's numbers, without the white space that jansson skips. */
static json_t *parse_number(struct slice text)
{
	if (!text.len || !is_digit(text.base[text.len - 1]) ||
	    (text.base[0] != '-' && !is_digit(text.base[0])))
		return NULL;
	return json_loadb(text.base, text.len, JSON_DECODE_ANY, NULL);
}

/* A new reference, of the type or not; NULL: it is no value at all. */
static json_t *parse_value(const struct stream_param *param, struct slice text)
{
	if (stream_param_is_numeric(param))
		return parse_number(text);
	if (memchr(text.base, '\0', text.len))
		return NULL;
	if (param->type == PATTERN_STRING)
		return json_stringn(text.base, text.len);
	if (slice_equal(text, SLICE_LIT("true")))
		return json_true();
	return slice_equal(text, SLICE_LIT("false")) ? json_false() : NULL;
}

static int refuse(const struct stream_param *param, struct slice text, char reason[256])
{
	enum { SHOWN_BYTES = 60 };
	struct slice shown = {text.base, text.len < SHOWN_BYTES ? text.len : SHOWN_BYTES};
	struct buffer message = {0};

	buffer_append_format(&message, "%s parameter \"%s\" is ", stream_param_place(param),
			     param->name);
	if (text.base)
		buffer_append_json_string(&message, shown);
	else
		buffer_append_text(&message, "missing");
	buffer_append_text(&message, ", but must be ");
	stream_param_append_wanted(param, &message);
	snprintf(reason, 256, "%s", buffer_text(&message));
	buffer_free(&message);
	return ERROR_INVALID;
}

/* The parameter's value and all that stand after it in the enum, for {"at-least": …}. */
static void add_at_least(const struct stream_param *param, const json_t *value, json_t *variables)
{
	json_t *at_least = json_object_get(variables, "at-least");
	json_t *accepted = json_array();
	struct buffer name = {0};
	bool reached = false;
	json_t *one;
	size_t i;

	json_array_foreach(param->enum_values, i, one)
	{
		reached = reached || stream_param_equal(one, value);
		if (reached)
			json_array_append(accepted, one);
	}
	if (!at_least) {
		at_least = json_object();
		json_object_set_new(variables, "at-least", at_least);
	}
	buffer_append_format(&name, "%s.%s", stream_param_place(param), param->name);
	json_object_set_new(at_least, buffer_text(&name), accepted);
	buffer_free(&name);
}

/* Puts one parameter into `variables`, or leaves it out. */
static int read_param(const struct stream *stream, const struct stream_param *param,
		      const struct stream_request *request, json_t *variables, char reason[256])
{
	struct slice text = raw_value(stream, param, request);
	json_t *values = json_object_get(variables, stream_param_place(param));
	json_t *value;

	if (!text.base && param->required)
		return refuse(param, text, reason);
	value = text.base ? parse_value(param, text) : json_deep_copy(param->default_value);
	if (text.base && (!value || !stream_param_accepts(param, value))) {
		json_decref(value);
		return refuse(param, text, reason);
	}
	if (value && param->ordered)
		add_at_least(param, value, variables);
	if (value)
		json_object_set_new(values, param->name, value);
	return 0;
}

int stream_read_params(const struct stream *stream, const struct stream_request *request,
		       json_t **variables, char reason[256])
{
	json_t *read = json_pack("{s:{}, s:{}, s:{}}", "path", "query", "header");

	for (size_t i = 0; i < stream->param_count; i++) {
		int rc = read_param(stream, &stream->params[i], request, read, reason);

		if (rc) {
			json_decref(read);
			return rc;
		}
	}
	*variables = read;
	return 0;
}
