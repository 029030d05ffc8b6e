#include <stdlib.h>

#include "base/mem.h"
#include "event/pattern_priv.h"

enum { REASON_BYTES = 256, SHOWN_BYTES = 80 };

/* Closed parts are in the test; `literal` is the one that still grows. */
struct reader {
	const struct pattern_scope *scope;
	struct pattern_test *test;
	struct buffer literal;
	char *reason;
};

static struct pattern_part *add_part(struct pattern_test *test)
{
	size_t bytes = (test->part_count + 1) * sizeof(test->parts[0]);

	test->parts = mem_realloc(test->parts, bytes);
	test->parts[test->part_count] = (struct pattern_part){0};
	return &test->parts[test->part_count++];
}

static void close_literal(struct reader *reader)
{
	struct pattern_part *part;

	if (!reader->literal.len)
		return;
	part = add_part(reader->test);
	part->literal = mem_strndup(reader->literal.base, reader->literal.len);
	part->literal_len = reader->literal.len;
	buffer_clear(&reader->literal);
}

static int refuse_name(struct reader *reader, struct slice name, const char *why)
{
	int shown = (int)(name.len < SHOWN_BYTES ? name.len : SHOWN_BYTES);

	snprintf(reader->reason, REASON_BYTES, "{%.*s} %s", shown, name.base, why);
	return ERROR_INVALID;
}

static int add_variable(struct reader *reader, struct slice name)
{
	const char *dot = memchr(name.base, '.', name.len);
	enum pattern_variable_type type;
	struct pattern_part *part;
	size_t root_len;
	bool optional;

	if (!reader->scope->find)
		return refuse_name(reader, name,
				   "is a variable, and none can be used here; {{ is a brace");
	if (!dot || dot == name.base || dot + 1 == name.base + name.len ||
	    memchr(name.base, '\0', name.len))
		return refuse_name(
		    reader, name,
		    "is no variable: write {path.name}, {query.name}, {header.name} or "
		    "{claims.name}, and {{ for a brace");
	if (reader->scope->find(reader->scope->context, name, &type, &optional))
		return refuse_name(reader, name,
				   "is not known here: declare the parameter under params");
	close_literal(reader);
	root_len = (size_t)(dot - name.base);
	part = add_part(reader->test);
	part->root = mem_strndup(name.base, root_len);
	part->name = mem_strndup(dot + 1, name.len - root_len - 1);
	part->optional = optional;
	return 0;
}

/* Reads what the brace at `*at` starts and moves past it. */
static int read_brace(struct reader *reader, struct slice text, size_t *at)
{
	char brace = text.base[*at];
	struct slice rest = {text.base + *at + 1, text.len - *at - 1};
	const char *end;

	if (rest.len && rest.base[0] == brace) {
		buffer_append(&reader->literal, &brace, 1);
		*at += 2;
		return 0;
	}
	if (brace == '}') {
		snprintf(reader->reason, REASON_BYTES, "a single } closes nothing; }} is a brace");
		return ERROR_INVALID;
	}
	end = rest.len ? memchr(rest.base, '}', rest.len) : NULL;
	if (!end) {
		snprintf(reader->reason, REASON_BYTES,
			 "a { without } starts no variable; {{ is a brace");
		return ERROR_INVALID;
	}
	rest.len = (size_t)(end - rest.base);
	*at += rest.len + 2;
	return add_variable(reader, rest);
}

static int read_text(struct reader *reader, struct slice text)
{
	int rc = 0;

	for (size_t at = 0; !rc && at < text.len;) {
		if (text.base[at] == '{' || text.base[at] == '}')
			rc = read_brace(reader, text, &at);
		else
			buffer_append(&reader->literal, &text.base[at++], 1);
	}
	return rc;
}

int pattern_text_parse(struct slice text, const struct pattern_scope *scope,
		       struct pattern_test *test, char *reason)
{
	struct pattern_test read = {0};
	struct reader reader = {.scope = scope, .test = &read, .reason = reason};
	int rc = read_text(&reader, text);

	if (!rc) {
		close_literal(&reader);
		read.kind = read.part_count == 1 && !read.parts[0].literal ? PATTERN_TEST_VARIABLE
									   : PATTERN_TEST_TEXT;
		*test = read;
	} else {
		pattern_text_fini(&read);
	}
	buffer_free(&reader.literal);
	return rc;
}

void pattern_text_fini(struct pattern_test *test)
{
	for (size_t i = 0; i < test->part_count; i++) {
		free(test->parts[i].literal);
		free(test->parts[i].root);
		free(test->parts[i].name);
	}
	free(test->parts);
}

bool pattern_text_is_at_least(const json_t *element)
{
	return json_object_size(element) == 1 && json_object_get(element, "at-least");
}

static bool has_order(const struct pattern_scope *scope, struct slice variable)
{
	enum pattern_variable_type type;
	bool optional;

	return !scope->find(scope->context, variable, &type, &optional);
}

int pattern_text_at_least(const json_t *element, const struct pattern_scope *scope,
			  struct buffer *text, char *reason)
{
	const json_t *operand = json_object_get(element, "at-least");
	struct slice written = {json_string_value(operand), json_string_length(operand)};
	struct pattern_test test = {0};
	size_t before = text->len;
	bool alone;
	int rc = scope && written.len ? pattern_text_parse(written, scope, &test, reason) : 0;

	if (rc)
		return rc;
	alone = test.part_count && test.kind == PATTERN_TEST_VARIABLE;
	pattern_text_fini(&test);
	if (alone) {
		buffer_append_text(text, "{at-least.");
		buffer_append(text, written.base + 1, written.len - 1);
		if (has_order(scope,
			      (struct slice){text->base + before + 1, text->len - before - 2}))
			return 0;
		text->len = before;
	}
	snprintf(
	    reason, REASON_BYTES,
	    "\"at-least\" takes one variable, such as \"{query.level}\", of a stream's parameter "
	    "that has an \"enum\" and \"ordered\": true");
	return ERROR_INVALID;
}
