#include "event/json_template_priv.h"

#include <stdlib.h>

#include "base/mem.h"
#include "event/json_pointer_priv.h"
#include "event/pattern_priv.h"

/* JSON as it is, then the value of a string with variables. */
struct piece {
	char *json;
	size_t json_len;
	struct pattern_test text;
};

struct json_template {
	struct piece *pieces;
	size_t piece_count;
	char *rest; /* after the last of them */
	size_t rest_len;
};

struct compiler {
	const struct pattern_scope *scope;
	struct pattern_error *error;
	struct json_template *template;
	struct buffer pointer; /* where in the source the compiler is */
	struct buffer json;    /* since the last piece */
	unsigned depth;
};

static void append_json(const json_t *json, struct buffer *out)
{
	struct pattern_value value;

	/* A number has the fewest digits that it takes. */
	if (json_is_number(json) && pattern_value_read(json, &value))
		pattern_value_append_text(&value, out);
	else
		buffer_append_json(out, json);
}

static void close_piece(struct compiler *compiler, const struct pattern_test *text)
{
	struct json_template *template = compiler->template;
	size_t bytes = (template->piece_count + 1) * sizeof(template->pieces[0]);

	template->pieces = mem_realloc(template->pieces, bytes);
	template->pieces[template->piece_count++] = (struct piece){
	    .json = mem_strndup(buffer_text(&compiler->json), compiler->json.len),
	    .json_len = compiler->json.len,
	    .text = *text,
	};
	buffer_clear(&compiler->json);
}

static bool is_literal(const struct pattern_test *text)
{
	return !text->part_count || (text->part_count == 1 && text->parts[0].literal);
}

static int compile_string(struct compiler *compiler, const json_t *source)
{
	struct slice text = {json_string_value(source), json_string_length(source)};
	char reason[sizeof(compiler->error->reason)];
	struct pattern_test read;
	int rc = pattern_text_parse(text, compiler->scope, &read, reason);

	if (rc)
		return pattern_refuse(compiler->error, &compiler->pointer, rc, "%s", reason);
	if (!is_literal(&read)) {
		close_piece(compiler, &read);
		return 0;
	}
	text = (struct slice){0};
	if (read.part_count)
		text = (struct slice){read.parts[0].literal, read.parts[0].literal_len};
	buffer_append_json_string(&compiler->json, text);
	pattern_text_fini(&read);
	return 0;
}

static int compile_value(struct compiler *compiler, const json_t *source);

static int compile_object(struct compiler *compiler, const json_t *source)
{
	size_t outside = compiler->pointer.len;
	const char *name, *before = "{";
	json_t *member;
	int rc = 0;

	/* Jansson iterates without const, though it changes nothing. */
	json_object_foreach((json_t *)(uintptr_t)source, name, member)
	{
		buffer_append_text(&compiler->json, before);
		buffer_append_json_string(&compiler->json, slice_of(name));
		buffer_append_text(&compiler->json, ":");
		json_pointer_append(&compiler->pointer, name);
		rc = compile_value(compiler, member);
		if (rc)
			return rc;
		compiler->pointer.len = outside;
		before = ",";
	}
	buffer_append_text(&compiler->json, json_object_size(source) ? "}" : "{}");
	return 0;
}

static int compile_array(struct compiler *compiler, const json_t *source)
{
	size_t outside = compiler->pointer.len;
	const json_t *element;
	size_t i;

	buffer_append_text(&compiler->json, "[");
	json_array_foreach(source, i, element)
	{
		int rc;

		buffer_append_text(&compiler->json, i ? "," : "");
		buffer_append_format(&compiler->pointer, "/%zu", i);
		rc = compile_value(compiler, element);
		if (rc)
			return rc;
		compiler->pointer.len = outside;
	}
	buffer_append_text(&compiler->json, "]");
	return 0;
}

static int compile_value(struct compiler *compiler, const json_t *source)
{
	int rc = 0;

	if (compiler->depth == JSON_TEMPLATE_MAX_DEPTH)
		return pattern_refuse(compiler->error, &compiler->pointer, ERROR_LIMIT,
				      "is nested deeper than %d levels", JSON_TEMPLATE_MAX_DEPTH);
	compiler->depth++;
	if (json_is_object(source))
		rc = compile_object(compiler, source);
	else if (json_is_array(source))
		rc = compile_array(compiler, source);
	else if (json_is_string(source))
		rc = compile_string(compiler, source);
	else
		append_json(source, &compiler->json);
	compiler->depth--;
	return rc;
}

int json_template_compile(const json_t *source, const struct pattern_scope *scope,
			  struct json_template **template, struct pattern_error *error)
{
	struct json_template *compiled = MEM_NEW(struct json_template);
	struct compiler compiler = {.scope = scope, .error = error, .template = compiled};
	int rc;

	if (json_dumpb(source, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) > JSON_TEMPLATE_MAX_BYTES)
		rc = pattern_refuse(compiler.error, &compiler.pointer, ERROR_LIMIT,
				    "has more than %d bytes as compact JSON",
				    JSON_TEMPLATE_MAX_BYTES);
	else
		rc = compile_value(&compiler, source);
	compiled->rest = mem_strndup(buffer_text(&compiler.json), compiler.json.len);
	compiled->rest_len = compiler.json.len;
	buffer_free(&compiler.json);
	buffer_free(&compiler.pointer);
	if (rc)
		json_template_free(compiled);
	else
		*template = compiled;
	return rc;
}

void json_template_free(struct json_template *template)
{
	if (!template)
		return;
	for (size_t i = 0; i < template->piece_count; i++) {
		free(template->pieces[i].json);
		pattern_text_fini(&template->pieces[i].text);
	}
	free(template->pieces);
	free(template->rest);
	free(template);
}

static void append_part(const struct pattern_part *part, const json_t *variables,
			struct buffer *text)
{
	const json_t *json;

	if (part->literal) {
		buffer_append(text, part->literal, part->literal_len);
		return;
	}
	json = pattern_variable_find(part, variables);
	if (json_is_string(json))
		buffer_append(text, json_string_value(json), json_string_length(json));
	else if (json && !json_is_null(json))
		append_json(json, text);
}

/* Stops where it is too large already. */
static void append_text(const struct pattern_test *test, const json_t *variables,
			struct buffer *out)
{
	struct buffer text = {0};

	for (size_t i = 0; i < test->part_count && text.len <= JSON_TEMPLATE_MAX_RENDERED_BYTES;
	     i++)
		append_part(&test->parts[i], variables, &text);
	buffer_append_json_string(out, buffer_slice(&text));
	buffer_free(&text);
}

static void append_piece(const struct piece *piece, const json_t *variables, struct buffer *out)
{
	const json_t *json;

	buffer_append(out, piece->json, piece->json_len);
	if (piece->text.kind == PATTERN_TEST_TEXT) {
		append_text(&piece->text, variables, out);
		return;
	}
	json = pattern_variable_find(&piece->text.parts[0], variables);
	if (json)
		append_json(json, out);
	else
		buffer_append_text(out, "null");
}

int json_template_render(const struct json_template *template, const json_t *variables,
			 struct buffer *out)
{
	size_t before = out->len, most = before + JSON_TEMPLATE_MAX_RENDERED_BYTES;

	for (size_t i = 0; i < template->piece_count && out->len <= most; i++)
		append_piece(&template->pieces[i], variables, out);
	buffer_append(out, template->rest, template->rest_len);
	if (out->len <= most)
		return 0;
	out->len = before;
	return ERROR_LIMIT;
}
