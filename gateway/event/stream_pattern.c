#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "event/document.h"
#include "event/json_template_priv.h"
#include "event/siphash_priv.h"
#include "event/stream_priv.h"

/* What the compile of a pattern may refer to, and what it asked for in vain. */
struct names {
	const struct stream *stream;
	char unknown[128]; /* "query.leval"; empty: all were found */
};

static const char at_least[] = "at-least.";
enum { AT_LEAST_LEN = sizeof(at_least) - 1 };

static bool is_at_least(struct slice name)
{
	return name.len > AT_LEAST_LEN && !memcmp(name.base, at_least, AT_LEAST_LEN);
}

static bool is_claim(struct slice name)
{
	return name.len > 7 && !memcmp(name.base, "claims.", 7);
}

static const struct stream_param *find_param(const struct stream *stream, struct slice name)
{
	size_t dot = slice_find(name, 0, name.len, '.');
	const struct slice place = {name.base, dot};
	const struct stream_param *param;

	if (dot == name.len)
		return NULL;
	param = stream_param_find(stream, (struct slice){name.base + dot + 1, name.len - dot - 1});
	return param && slice_equal(slice_of(stream_param_place(param)), place) ? param : NULL;
}

/* Of "at-least.query.x" the parameter, where it has an order. */
static const struct stream_param *find_ordered(const struct stream *stream, struct slice name)
{
	const struct stream_param *param =
	    find_param(stream, (struct slice){name.base + AT_LEAST_LEN, name.len - AT_LEAST_LEN});

	return param && param->ordered ? param : NULL;
}

static void note_unknown(struct names *names, struct slice name)
{
	snprintf(names->unknown, sizeof(names->unknown), "%.*s", (int)name.len, name.base);
}

static int find_name(void *context, struct slice name, enum pattern_variable_type *type,
		     bool *optional)
{
	struct names *names = context;
	bool ordered = is_at_least(name);
	const struct stream_param *param =
	    ordered ? find_ordered(names->stream, name) : find_param(names->stream, name);

	*optional = param && !param->required && !param->default_value;
	*type = param && !ordered ? param->type : PATTERN_ANY;
	/* A path that was refused has parameters that nobody knows. */
	if (param || is_claim(name) || !names->stream->path)
		return 0;
	if (ordered)
		return ERROR_NOT_FOUND;
	note_unknown(names, name);
	return ERROR_NOT_FOUND;
}

/* The parameter that was probably meant: the same name elsewhere, else a name that is near. */
static const struct stream_param *suggest(const struct stream *stream, const char *unknown)
{
	const char *dot = strchr(unknown, '.'), *near;
	const char **names = mem_alloc((stream->param_count + 1) * sizeof(*names));

	for (size_t i = 0; i < stream->param_count; i++)
		names[i] = stream->params[i].name;
	near = config_suggest(dot ? dot + 1 : unknown, names, stream->param_count);
	free(names);
	return near ? stream_param_find(stream, slice_of(near)) : NULL;
}

static void refuse_unknown(const struct config_at *at, const char *pointer,
			   const struct names *names)
{
	const struct stream_param *near = suggest(names->stream, names->unknown);

	if (near)
		config_refuse(at, pointer, "\"{%s}\" is not declared; did you mean \"{%s.%s}\"?",
			      names->unknown, stream_param_place(near), near->name);
	else
		config_refuse(at, pointer, "\"{%s}\" is not declared: add it to \"params\"",
			      names->unknown);
}

static void refuse(const struct config_at *at, const struct pattern_error *error,
		   const struct names *names)
{
	if (*names->unknown)
		refuse_unknown(at, error->pointer, names);
	else
		config_refuse(at, error->pointer, "%s", error->reason);
}

/* NULL: it was refused. */
static struct pattern *compile(const struct config_at *at, const json_t *source,
			       const struct stream *stream, const char *const *roots)
{
	struct names names = {.stream = stream};
	struct pattern_scope scope = {.find = find_name, .context = &names, .roots = roots};
	struct pattern_error error;
	struct pattern *pattern = NULL;

	if (!pattern_compile(source, &scope, &pattern, &error))
		return pattern;
	refuse(at, &error, &names);
	return NULL;
}

void stream_pattern_read_access(const struct config_at *at, const json_t *value, void *target)
{
	static const char *const roots[] = {"claims", "path", "query", "header", NULL};
	struct stream *stream = target;
	const char *name = json_string_value(value);

	stream->access = STREAM_CLOSED;
	if (!value)
		return;
	if (name && !strcmp(name, "public")) {
		stream->access = STREAM_PUBLIC;
	} else if (!json_is_object(value)) {
		config_refuse_value(at, value,
				    "\"public\" or a pattern such as {\"claims\": {\"sub\": "
				    "[\"{path.user_id}\"]}}");
	} else {
		stream->access = STREAM_PATTERN;
		stream->access_pattern = compile(at, value, stream, roots);
	}
}

/* "path.x" of "{path.x}"; empty: it is something else. */
static struct slice variable_of(const json_t *value)
{
	struct slice text = {json_string_value(value), json_string_length(value)};

	if (text.len < 3 || text.base[0] != '{' || text.base[text.len - 1] != '}')
		return (struct slice){0};
	return (struct slice){text.base + 1, text.len - 2};
}

bool stream_pattern_is_variable(const json_t *value)
{
	return variable_of(value).len;
}

const struct stream_param *stream_pattern_read_param(const struct config_at *at,
						     const json_t *value,
						     const struct stream *stream,
						     enum pattern_variable_type type,
						     const char *what)
{
	struct names names = {.stream = stream};
	struct slice name = variable_of(value);
	const struct stream_param *param = find_param(stream, name);

	if (param && param->type == type)
		return param;
	if (param) {
		config_refuse(at, NULL, "%s: declare \"%s\" with \"type\": \"%s\"", what,
			      param->name, stream_param_type_name(type));
	} else if (!name.len) {
		config_refuse(at, NULL, "%s, as a parameter: write \"{query.NAME}\"", what);
	} else if (stream->path) { /* else its parameters are not known */
		note_unknown(&names, name);
		refuse_unknown(at, NULL, &names);
	}
	return NULL;
}

/* A value of a leaf that looks at what is always a string. */
static void check_string(const struct config_at *at, const char *what, const json_t *value,
			 const struct stream *stream)
{
	const json_t *at_least_value = json_object_get(value, "at-least");
	const struct stream_param *param =
	    find_param(stream, variable_of(at_least_value ? at_least_value : value));

	if (param && param->type != PATTERN_STRING)
		config_refuse(at, NULL,
			      "%s is a string and never equal to a number or boolean: declare "
			      "\"%s\" with \"type\": \"string\"",
			      what, param->name);
	else if (json_is_number(value) || json_is_boolean(value))
		config_refuse(at, NULL,
			      "%s is a string and never equal to a number or boolean: write the "
			      "value in quotes",
			      what);
}

static void check_strings(const struct config_at *at, const char *what, const json_t *leaf,
			  const struct stream *stream)
{
	const json_t *value;
	size_t i;

	json_array_foreach(leaf, i, value)
	{
		struct config_at place = config_element(at, i);

		check_string(&place, what, value, stream);
	}
}

static void check_filter(const struct config_at *at, const json_t *source,
			 const struct stream *stream)
{
	struct config_at key = config_member(at, "key"), topic = config_member(at, "topic");
	struct config_at headers = config_member(at, "headers");
	const char *name;
	json_t *leaf;

	check_strings(&key, "the key", json_object_get(source, "key"), stream);
	check_strings(&topic, "the topic", json_object_get(source, "topic"), stream);
	json_object_foreach(json_object_get(source, "headers"), name, leaf)
	{
		struct config_at place = config_member(&headers, name);

		check_strings(&place, "a header", leaf, stream);
	}
}

/* The order of a pattern's fields says nothing. */
static uint64_t hash_of(const json_t *source)
{
	static const uint64_t key[2] = {0, 0};
	char *text = json_dumps(source, JSON_COMPACT | JSON_SORT_KEYS);
	uint64_t hash = siphash_2_4(key, slice_of(text));

	free(text);
	return hash ? hash : 1;
}

struct pattern *stream_pattern_compile(const struct config_at *at, const json_t *value,
				       const struct stream *stream)
{
	static const char *const roots[] = {"topic", "partition", "key", "headers", "value", NULL};
	struct pattern *pattern = compile(at, value, stream, roots);

	if (pattern)
		check_filter(at, value, stream);
	return pattern;
}

void stream_pattern_read_filter(const struct config_at *at, const json_t *value, void *target)
{
	struct stream *stream = target;

	if (!value)
		return;
	stream->filter = stream_pattern_compile(at, value, stream);
	if (!stream->filter)
		return;
	stream->filter_hash = hash_of(value);
	stream->parts |= document_parts_of(stream->filter);
}

void stream_pattern_read_event(const struct config_at *at, const json_t *value, void *target)
{
	struct stream *stream = target;
	char pointer[256] = "", reason[256] = "";

	if (mapping_compile(value, &stream->mapping, pointer, reason)) {
		config_refuse(at, pointer, "%s", reason);
		return;
	}
	if ((stream->parts & DOCUMENT_KEY) && (mapping_parts(stream->mapping) & DOCUMENT_KEY_JSON))
		config_refuse(at, NULL,
			      "looks inside the key as JSON, but \"filter\" compares the key as a "
			      "string: let both look inside, or none");
	stream->parts |= mapping_parts(stream->mapping);
}

void stream_pattern_read_welcome(const struct config_at *at, const json_t *value, void *target)
{
	struct stream *stream = target;
	struct names names = {.stream = stream};
	const struct pattern_scope scope = {.find = find_name, .context = &names};
	struct pattern_error error;

	if (json_template_compile(value, &scope, &stream->welcome, &error))
		refuse(at, &error, &names);
}
