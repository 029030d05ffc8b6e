#include <stdio.h>

#include "base/mem.h"
#include "event/stream_priv.h"

#define FIELD(member)  CONFIG_FIELD(struct stream_param, member)
#define COUNT(member)  CONFIG_COUNT(struct stream_param, member)
#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

static const char *const places[] = {
    [STREAM_PARAM_PATH] = "path",
    [STREAM_PARAM_QUERY] = "query",
    [STREAM_PARAM_HEADER] = "header",
    NULL,
};
static const char *const types[] = {
    [PATTERN_STRING] = "string",
    [PATTERN_INTEGER] = "integer",
    [PATTERN_NUMBER] = "number",
    [PATTERN_BOOLEAN] = "boolean",
    NULL,
};

/* The gateway reads these itself; tokens are shown in no error. */
static const char *const own_query[] = {"token",  "access_token", "lastEventId", "last_event_id",
					"cursor", "since",        "filter"};
static const char *const own_headers[] = {"authorization", "cookie", "last-event-id",
					  "proxy-authorization"};

bool stream_param_is_numeric(const struct stream_param *param)
{
	return param->type == PATTERN_INTEGER || param->type == PATTERN_NUMBER;
}

static void append_range(const struct stream_param *param, struct buffer *out)
{
	if (param->has_minimum && param->has_maximum)
		buffer_append_format(out, " from %.15g to %.15g", param->minimum, param->maximum);
	else if (param->has_minimum)
		buffer_append_format(out, " of at least %.15g", param->minimum);
	else if (param->has_maximum)
		buffer_append_format(out, " of at most %.15g", param->maximum);
}

static void append_enum(const struct stream_param *param, struct buffer *out)
{
	const json_t *value;
	size_t i;

	buffer_append_text(out, "one of ");
	json_array_foreach(param->enum_values, i, value)
	{
		buffer_append_text(out, i ? ", " : "");
		buffer_append_json(out, value);
	}
}

void stream_param_append_wanted(const struct stream_param *param, struct buffer *out)
{
	static const char *const texts[] = {"a string", "an integer", "a number", "true or false"};

	if (param->enum_values) {
		append_enum(param, out);
		return;
	}
	buffer_append_text(out, texts[param->type]);
	append_range(param, out);
}

static bool has_type(const struct stream_param *param, const json_t *value)
{
	switch (param->type) {
	case PATTERN_INTEGER:
		return json_is_integer(value);
	case PATTERN_NUMBER:
		return json_is_number(value);
	case PATTERN_BOOLEAN:
		return json_is_boolean(value);
	default:
		return json_is_string(value);
	}
}

bool stream_param_equal(const json_t *a, const json_t *b)
{
	if (json_is_integer(a) && json_is_integer(b))
		return json_integer_value(a) == json_integer_value(b);
	if (json_is_number(a) && json_is_number(b))
		return json_number_value(a) >= json_number_value(b) &&
		       json_number_value(a) <= json_number_value(b);
	return json_equal(a, b);
}

static bool is_in_enum(const struct stream_param *param, const json_t *value)
{
	const json_t *allowed;
	size_t i;

	json_array_foreach(param->enum_values, i,
			   allowed) if (stream_param_equal(allowed, value)) return true;
	return !param->enum_values;
}

bool stream_param_accepts(const struct stream_param *param, const json_t *value)
{
	double number = json_number_value(value);

	return has_type(param, value) && (!param->has_minimum || number >= param->minimum) &&
	       (!param->has_maximum || number <= param->maximum) && is_in_enum(param, value);
}

static bool is_among(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

static void check_name(const struct config_at *at, const struct stream_param *param)
{
	static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	if ((param->in == STREAM_PARAM_QUERY &&
	     is_among(param->name, own_query, COUNT_OF(own_query))) ||
	    (param->in == STREAM_PARAM_HEADER &&
	     is_among(param->name, own_headers, COUNT_OF(own_headers))))
		config_refuse(at, NULL, "the gateway itself reads this %s: take another name",
			      stream_param_place(param));
	if (param->in == STREAM_PARAM_HEADER && strpbrk(param->name, upper))
		config_refuse(at, NULL, "a header's name is written in lower case here");
}

static void check_range(const struct config_at *at, const struct stream_param *param)
{
	const char *bound = param->has_minimum ? "/minimum" : "/maximum";

	if ((param->has_minimum || param->has_maximum) && !stream_param_is_numeric(param))
		config_refuse(at, bound, "is for \"type\": \"integer\" and \"number\" only");
	else if (param->has_minimum && param->has_maximum && param->minimum > param->maximum)
		config_refuse(at, "/minimum", "is more than \"maximum\", %.15g", param->maximum);
}

/* Also takes a wrong enum out of the way, so that the default is measured by the rest. */
static void check_enum(const struct config_at *at, struct stream_param *param)
{
	const json_t *value;
	bool good;
	size_t i;

	if (!param->enum_values)
		return;
	good = json_array_size(param->enum_values);
	json_array_foreach(param->enum_values, i, value) good = good && has_type(param, value);
	if (good)
		return;
	config_refuse(at, "/enum", "must be an array of at least one %s, as \"type\" says",
		      types[param->type]);
	json_decref(param->enum_values);
	param->enum_values = NULL;
}

static bool has_repeats(const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		for (size_t k = 0; k < i; k++)
			if (stream_param_equal(json_array_get(list, i), json_array_get(list, k)))
				return true;
	return false;
}

/* A request's route keys hold every value from its own on. */
static void check_order(const struct config_at *at, const struct stream_param *param)
{
	if (!param->ordered)
		return;
	if (!param->enum_values)
		config_refuse(at, "/ordered",
			      "needs \"enum\", a list of the values from the least to the most");
	else if (param->type == PATTERN_BOOLEAN)
		config_refuse(at, "/ordered", "is not for \"type\": \"boolean\"");
	else if (json_array_size(param->enum_values) > PATTERN_MAX_ROUTE_KEYS)
		config_refuse(at, "/enum", "has more than %d values, too many to be \"ordered\"",
			      PATTERN_MAX_ROUTE_KEYS);
	else if (has_repeats(param->enum_values))
		config_refuse(
		    at, "/enum",
		    "has a value twice, so that \"ordered\" does not say where it stands");
}

static void check_default(const struct config_at *at, const struct stream_param *param)
{
	struct config_at place = config_member(at, "default");
	struct buffer wanted = {0};

	if (!param->default_value)
		return;
	stream_param_append_wanted(param, &wanted);
	if (param->in == STREAM_PARAM_PATH)
		config_refuse(&place, NULL,
			      "is never used: a request always has the path's parameters");
	else if (param->required)
		config_refuse(&place, NULL, "is never used with \"required\": true: take one out");
	else if (!stream_param_accepts(param, param->default_value))
		config_refuse_value(&place, param->default_value, buffer_text(&wanted));
	buffer_free(&wanted);
}

static void check(const struct config_at *at, void *target)
{
	check_name(at, target);
	check_range(at, target);
	check_order(at, target);
	check_enum(at, target);
	check_default(at, target);
}

static const struct setting settings[] = {
    {.name = "in",
     .type = SETTING_ENUM,
     FIELD(in),
     .fallback = "query",
     .values = places,
     .doc = "Where the request has it."},
    {.name = "type",
     .type = SETTING_ENUM,
     FIELD(type),
     .fallback = "string",
     .values = types,
     .doc = "What it is; anything else is answered 400."},
    {.name = "required",
     .type = SETTING_BOOL,
     FIELD(required),
     .fallback = "false",
     .doc = "Whether a request without it is answered 400; those of the path always are there."},
    {.name = "default",
     .type = SETTING_JSON,
     FIELD(default_value),
     .wanted = "a value of the type",
     .schema = "{\"type\": [\"string\", \"number\", \"boolean\"]}",
     .doc = "What holds for a request without it."},
    {.name = "enum",
     .type = SETTING_JSON,
     FIELD(enum_values),
     .wanted = "an array of values of the type",
     .schema = "{\"type\": \"array\", \"minItems\": 1, \"items\":"
	       " {\"type\": [\"string\", \"number\", \"boolean\"]}}",
     .doc = "The values that it may have."},
    {.name = "ordered",
     .type = SETTING_BOOL,
     FIELD(ordered),
     .fallback = "false",
     .doc = "Whether the values of enum go from the least to the most, for at-least in filters."},
    {.name = "minimum",
     .type = SETTING_NUMBER,
     FIELD(minimum),
     COUNT(has_minimum),
     .doc = "The least that an integer or number may be."},
    {.name = "maximum",
     .type = SETTING_NUMBER,
     FIELD(maximum),
     COUNT(has_maximum),
     .doc = "The most that an integer or number may be."},
    {.name = "description",
     .type = SETTING_STRING,
     FIELD(description),
     .doc = "What it is, for the page."},
};

const struct config_table stream_param_table = {
    CONFIG_ROWS(settings),
    .bytes = sizeof(struct stream_param),
    .named = true,
    .check = check,
};

const char *stream_param_type_name(enum pattern_variable_type type)
{
	return types[type];
}

const char *stream_param_place(const struct stream_param *param)
{
	return places[param->in];
}

const struct stream_param *stream_param_find(const struct stream *stream, struct slice name)
{
	for (size_t i = 0; i < stream->param_count; i++)
		if (slice_equal(slice_of(stream->params[i].name), name))
			return &stream->params[i];
	return NULL;
}

const json_t *stream_param_value(const struct stream_param *param, const json_t *variables)
{
	return json_object_get(json_object_get(variables, stream_param_place(param)), param->name);
}

static void add_string(struct stream *stream, const char *name)
{
	stream->params =
	    mem_realloc(stream->params, (stream->param_count + 1) * sizeof(stream->params[0]));
	stream->params[stream->param_count++] = (struct stream_param){
	    .name = mem_strdup(name),
	    .in = STREAM_PARAM_PATH,
	    .type = PATTERN_STRING,
	    .required = true,
	};
}

size_t stream_param_index_in_path(const struct stream *stream, const char *name)
{
	size_t count = path_template_param_count(stream->path);

	for (size_t i = 0; i < count; i++)
		if (!strcmp(path_template_param(stream->path, i), name))
			return i;
	return count;
}

static void complete_declared(const struct config_at *at, struct stream *stream,
			      struct stream_param *param)
{
	bool in_path = stream_param_index_in_path(stream, param->name) <
		       path_template_param_count(stream->path);

	if (in_path && param->in != STREAM_PARAM_PATH)
		config_refuse(at, NULL,
			      "stands in the path as {%s}: declare it with \"in\": \"path\"",
			      param->name);
	else if (!in_path && param->in == STREAM_PARAM_PATH)
		config_refuse(at, NULL,
			      "is no parameter of the path: write {%s} in it, or another \"in\"",
			      param->name);
	param->required = param->required || param->in == STREAM_PARAM_PATH;
}

void stream_param_complete(const struct config_at *at, void *target)
{
	struct stream *stream = target;
	size_t declared = stream->param_count;

	if (!stream->path)
		return;
	for (size_t i = 0; i < declared; i++) {
		struct config_at place = config_member(at, stream->params[i].name);

		complete_declared(&place, stream, &stream->params[i]);
	}
	for (size_t i = 0; i < path_template_param_count(stream->path); i++) {
		const char *name = path_template_param(stream->path, i);

		if (!stream_param_find(stream, slice_of(name)))
			add_string(stream, name);
	}
}
