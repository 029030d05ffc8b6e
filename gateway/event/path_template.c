#include "event/path_template.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "event/percent.h"

enum { REASON_BYTES = 256, NAME_MAX_BYTES = 64 };

struct segment {
	struct slice literal; /* base NULL: a parameter; points into the text */
};

struct path_template {
	char *text;
	size_t segment_count, param_count;
	struct segment segments[PATH_TEMPLATE_MAX_SEGMENTS];
	char *params[PATH_TEMPLATE_MAX_PARAMS];
};

/* The next segment of a path from `*at`, which stands on its "/"; false at the end. "/" alone has
 * none. */
static bool next_segment(struct slice path, size_t *at, struct slice *segment)
{
	const char *start, *slash;

	if (*at >= path.len || path.len == 1)
		return false;
	start = path.base + *at + 1;
	slash = memchr(start, '/', path.len - *at - 1);
	*segment = (struct slice){start, slash ? (size_t)(slash - start) : path.len - *at - 1};
	*at += 1 + segment->len;
	return true;
}

static bool is_name(struct slice text)
{
	if (!text.len || text.len > NAME_MAX_BYTES || (text.base[0] >= '0' && text.base[0] <= '9'))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.base[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_'))
			return false;
	}
	return true;
}

static bool has_param(const struct path_template *path, struct slice name)
{
	for (size_t i = 0; i < path->param_count; i++)
		if (slice_equal(slice_of(path->params[i]), name))
			return true;
	return false;
}

static const char *add_param(struct path_template *path, struct slice segment)
{
	struct slice name = {segment.base + 1, segment.len - 2};

	if (segment.base[segment.len - 1] != '}' || !is_name(name))
		return "a parameter is a whole segment, {name} of letters, digits and _";
	if (has_param(path, name))
		return "a parameter's name is used twice";
	if (path->param_count == PATH_TEMPLATE_MAX_PARAMS)
		return "there are more than 16 parameters";
	path->params[path->param_count++] = mem_strndup(name.base, name.len);
	path->segments[path->segment_count++].literal = (struct slice){NULL, 0};
	return NULL;
}

static bool is_literal(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.base[i] <= ' ' || strchr("{}%?#\x7f", text.base[i]))
			return false;
	return true;
}

static const char *add_literal(struct path_template *path, struct slice segment)
{
	if (slice_equal(segment, SLICE_LIT(".")) || slice_equal(segment, SLICE_LIT("..")))
		return "a segment is \".\" or \"..\", which clients take out of a path";
	if (!is_literal(segment))
		return "a literal is written unencoded, without spaces, { } % ? #; "
		       "a parameter is a whole segment, {name}";
	path->segments[path->segment_count++].literal = segment;
	return NULL;
}

static const char *add_segment(struct path_template *path, struct slice segment)
{
	if (!segment.len)
		return "a segment is empty";
	if (path->segment_count == PATH_TEMPLATE_MAX_SEGMENTS)
		return "there are more than 32 segments";
	return segment.base[0] == '{' ? add_param(path, segment) : add_literal(path, segment);
}

static const char *add_segments(struct path_template *path)
{
	const char *reason = NULL;
	struct slice segment;
	size_t at = 0;

	if (path->text[0] != '/')
		return "it does not start with \"/\"";
	while (!reason && next_segment(slice_of(path->text), &at, &segment))
		reason = add_segment(path, segment);
	return reason;
}

int path_template_compile(const char *text, struct path_template **path, char *reason)
{
	struct path_template *compiled = MEM_NEW(struct path_template);
	const char *wrong;

	compiled->text = mem_strdup(text);
	wrong = add_segments(compiled);
	if (wrong) {
		snprintf(reason, REASON_BYTES, "%s", wrong);
		path_template_free(compiled);
		return ERROR_INVALID;
	}
	*path = compiled;
	return 0;
}

void path_template_free(struct path_template *path)
{
	if (!path)
		return;
	for (size_t i = 0; i < path->param_count; i++)
		free(path->params[i]);
	free(path->text);
	free(path);
}

const char *path_template_text(const struct path_template *path)
{
	return path->text;
}

size_t path_template_param_count(const struct path_template *path)
{
	return path->param_count;
}

const char *path_template_param(const struct path_template *path, size_t i)
{
	return path->params[i];
}

static bool literal_matches(struct slice literal, struct slice raw)
{
	struct buffer decoded = {0};
	bool equal;

	if (!memchr(raw.base, '%', raw.len))
		return slice_equal(literal, raw);
	equal =
	    !percent_decode(raw, false, &decoded) && slice_equal(buffer_slice(&decoded), literal);
	buffer_free(&decoded);
	return equal;
}

bool path_template_match(const struct path_template *template, struct slice path,
			 struct slice values[PATH_TEMPLATE_MAX_PARAMS])
{
	size_t at = 0, count = 0, params = 0;
	struct slice raw;

	if (!path.len || path.base[0] != '/')
		return false;
	while (next_segment(path, &at, &raw)) {
		if (count == template->segment_count || !raw.len)
			return false;
		if (!template->segments[count].literal.base)
			values[params++] = raw;
		else if (!literal_matches(template->segments[count].literal, raw))
			return false;
		count++;
	}
	return count == template->segment_count;
}

static int compare_segments(struct slice a, struct slice b)
{
	size_t common = a.len < b.len ? a.len : b.len;
	int order;

	if (!a.base || !b.base)
		return (b.base != NULL) - (a.base != NULL);
	order = memcmp(a.base, b.base, common);
	if (order)
		return order;
	return (a.len > b.len) - (a.len < b.len);
}

int path_template_compare(const struct path_template *a, const struct path_template *b)
{
	for (size_t i = 0; i < a->segment_count && i < b->segment_count; i++) {
		int order = compare_segments(a->segments[i].literal, b->segments[i].literal);

		if (order)
			return order;
	}
	return (a->segment_count > b->segment_count) - (a->segment_count < b->segment_count);
}
