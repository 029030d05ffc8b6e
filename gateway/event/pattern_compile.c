#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "event/json_pointer_priv.h"
#include "event/pattern_priv.h"
#include "event/pattern_weight_priv.h"

/* What every refusal of a value ends with. */
#define VALUES_ARE                                                                                 \
	"strings, numbers, true, false, null, variables such as \"{path.name}\" and operators "    \
	"such as {\"prefix\": \"a\"}"

struct compiler {
	const struct pattern_scope *scope;
	struct pattern_error *error;
	struct buffer pointer; /* where in the source the compiler is */
	unsigned depth;
	size_t value_count;
	struct pattern *pattern;
	bool bound; /* the source comes from a binding, which may leave little of it */
};

static int compile_node(struct compiler *compiler, const json_t *source, struct pattern_node *node);

#define refuse(compiler, ...) pattern_refuse((compiler)->error, &(compiler)->pointer, __VA_ARGS__)

/* Jansson iterates without const, though it changes nothing. */
static void *first_member(const json_t *object)
{
	return json_object_iter((json_t *)(uintptr_t)object);
}

static void *next_member(const json_t *object, void *member)
{
	return json_object_iter_next((json_t *)(uintptr_t)object, member);
}

/* Enters a member; the caller sets the pointer's length back. */
static size_t enter_member(struct compiler *compiler, const char *name)
{
	size_t len = compiler->pointer.len;

	json_pointer_append(&compiler->pointer, name);
	return len;
}

static size_t enter_element(struct compiler *compiler, size_t index)
{
	size_t len = compiler->pointer.len;

	buffer_append_format(&compiler->pointer, "/%zu", index);
	return len;
}

static void add_literal(struct pattern_leaf *leaf, struct pattern_test *literal)
{
	struct pattern_value value = {.kind = PATTERN_VALUE_STRING, .text = SLICE_LIT("")};

	assert(literal->part_count <= 1);
	if (literal->part_count)
		value.text =
		    (struct slice){literal->parts[0].literal, literal->parts[0].literal_len};
	pattern_constants_add(&leaf->constants, &value);
	pattern_text_fini(literal);
}

/* Which variables a request may lack is what a binding has to know again. */
static void note_optional(struct compiler *compiler, const struct pattern_part *part)
{
	struct buffer name = {0};

	buffer_append_format(&name, "%s.%s", part->root, part->name);
	json_object_set_new(compiler->pattern->optional, buffer_text(&name), json_true());
	buffer_free(&name);
}

static bool has_variable(struct compiler *compiler, const struct pattern_test *test, bool *optional)
{
	bool found = false;

	for (size_t i = 0; i < test->part_count; i++) {
		found = found || !test->parts[i].literal;
		if (!test->parts[i].optional)
			continue;
		*optional = true;
		note_optional(compiler, &test->parts[i]);
	}
	return found;
}

static int compile_string(struct compiler *compiler, struct slice text, struct pattern_node *node)
{
	char reason[sizeof(compiler->error->reason)];
	struct pattern_leaf *leaf = &node->leaf;
	const struct pattern_value constant = {.kind = PATTERN_VALUE_STRING, .text = text};
	struct pattern_test test;
	int rc;

	if (!compiler->scope) {
		pattern_constants_add(&leaf->constants, &constant);
		return 0;
	}
	rc = pattern_text_parse(text, compiler->scope, &test, reason);
	if (rc)
		return refuse(compiler, rc, "%s", reason);
	if (!has_variable(compiler, &test, &leaf->optional)) {
		add_literal(leaf, &test);
		return 0;
	}
	leaf->tests[leaf->test_count++] = test;
	node->has_variables = true;
	return 0;
}

/* Keeps every string of an operator that holds a variable. Errors: ERROR_INVALID, refused. */
static int find_operands(struct compiler *compiler, const json_t *source, struct pattern_leaf *leaf)
{
	char reason[sizeof(compiler->error->reason)];
	struct pattern_test test;
	int rc = 0;

	for (void *at = first_member(source); !rc && at; at = next_member(source, at))
		rc = find_operands(compiler, json_object_iter_value(at), leaf);
	for (size_t i = 0; !rc && i < json_array_size(source); i++)
		rc = find_operands(compiler, json_array_get(source, i), leaf);
	if (rc || !json_is_string(source))
		return rc;
	rc = pattern_text_parse(
	    (struct slice){json_string_value(source), json_string_length(source)}, compiler->scope,
	    &test, reason);
	if (rc)
		return refuse(compiler, rc, "%s", reason);
	if (!has_variable(compiler, &test, &leaf->optional)) {
		pattern_text_fini(&test);
		return 0;
	}
	leaf->operands = mem_realloc(leaf->operands, (leaf->operand_count + 1) * sizeof(test));
	leaf->operands[leaf->operand_count++] = test;
	return 0;
}

/* A text is no number for any request, so this is told at once. */
static int check_numeric_types(struct compiler *compiler, const json_t *source)
{
	const json_t *terms = json_object_get(source, "numeric");
	enum pattern_variable_type type;
	bool optional;

	for (size_t i = 1; i < json_array_size(terms); i += 2) {
		const json_t *term = json_array_get(terms, i);
		const char *text = json_string_value(term);
		size_t len = json_string_length(term);

		if (len > 2 && text[0] == '{' &&
		    !compiler->scope->find(compiler->scope->context,
					   (struct slice){text + 1, len - 2}, &type, &optional) &&
		    (type == PATTERN_STRING || type == PATTERN_BOOLEAN))
			return refuse(compiler, ERROR_INVALID,
				      "\"numeric\" compares numbers: declare %.80s with \"type\": "
				      "\"integer\" or \"number\"",
				      text);
	}
	return 0;
}

/*
 * An operator with variables is checked with samples in their place. One without may still have
 * {{ in its strings.
 */
static int compile_operator(struct compiler *compiler, const json_t *source,
			    struct pattern_node *node)
{
	char reason[PATTERN_OPERATOR_REASON_BYTES] = "it holds too many values";
	struct pattern_binding samples = {.scope = compiler->scope};
	struct pattern_leaf *leaf = &node->leaf;
	size_t operands = leaf->operand_count;
	struct pattern_operator operator;
	json_t *bound = json_array();
	int rc = compiler->scope ? find_operands(compiler, source, leaf) : 0;

	if (rc) {
		json_decref(bound);
		return rc;
	}
	if (compiler->scope)
		rc = pattern_bind_element(&samples, source, bound);
	else
		json_array_append(bound, (json_t *)(uintptr_t)source);
	if (!rc)
		rc = pattern_operator_compile(json_array_get(bound, 0), &operator, reason);
	json_decref(bound);
	if (rc)
		return refuse(compiler, rc, "%s", reason);
	rc = leaf->operand_count == operands ? 0 : check_numeric_types(compiler, source);
	if (rc) {
		pattern_operator_fini(&operator);
		return rc;
	}
	if (leaf->operand_count == operands) {
		leaf->operators[leaf->operator_count++] = operator;
		leaf->asks_for_absence =
		    leaf->asks_for_absence || pattern_operator_asks_for_absence(&operator);
		return 0;
	}
	pattern_operator_fini(&operator);
	leaf->inexact = node->has_variables = compiler->pattern->inexact = true;
	return 0;
}

static int compile_at_least(struct compiler *compiler, const json_t *source,
			    struct pattern_node *node)
{
	char reason[sizeof(compiler->error->reason)];
	struct buffer text = {0};
	int rc = pattern_text_at_least(source, compiler->scope, &text, reason);

	if (rc)
		rc = refuse(compiler, rc, "%s", reason);
	else
		rc = compile_string(compiler, buffer_slice(&text), node);
	buffer_free(&text);
	return rc;
}

static int compile_element(struct compiler *compiler, const json_t *source,
			   struct pattern_node *node)
{
	struct pattern_value value;

	if (++compiler->value_count > PATTERN_MAX_VALUES)
		return refuse(compiler, ERROR_LIMIT, "a pattern has at most %d values in all",
			      PATTERN_MAX_VALUES);
	if (pattern_text_is_at_least(source))
		return compile_at_least(compiler, source, node);
	if (json_is_object(source))
		return compile_operator(compiler, source, node);
	if (!pattern_value_read(source, &value))
		return refuse(compiler, ERROR_INVALID,
			      "a list in a list; a list holds " VALUES_ARE);
	if (value.kind == PATTERN_VALUE_STRING)
		return compile_string(compiler, value.text, node);
	pattern_constants_add(&node->leaf.constants, &value);
	return 0;
}

static bool asks_only_for_absence(const struct pattern_leaf *leaf, size_t count)
{
	for (size_t i = 0; i < leaf->operator_count; i++)
		if (!pattern_operator_asks_for_absence(&leaf->operators[i]))
			return false;
	return leaf->operator_count == count;
}

static int compile_leaf(struct compiler *compiler, const json_t *source, struct pattern_node *node)
{
	size_t count = json_array_size(source);
	struct pattern_leaf *leaf = &node->leaf;

	node->kind = PATTERN_NODE_LEAF;
	if (!count)
		return refuse(compiler, ERROR_INVALID,
			      "an empty list matches nothing; list at least one value");
	leaf->operators = mem_zalloc(count * sizeof(leaf->operators[0]));
	leaf->tests = mem_zalloc(count * sizeof(leaf->tests[0]));
	for (size_t i = 0; i < count; i++) {
		size_t outside = enter_element(compiler, i);
		int rc = compile_element(compiler, json_array_get(source, i), node);

		if (rc)
			return rc;
		compiler->pointer.len = outside;
	}
	pattern_constants_sort(&leaf->constants);
	node->only_absence = asks_only_for_absence(leaf, count);
	return 0;
}

static int compare_fields(const void *a, const void *b)
{
	const struct pattern_field *x = a, *y = b;

	if (x->node.has_variables != y->node.has_variables)
		return x->node.has_variables ? 1 : -1;
	return strcmp(x->name, y->name);
}

/* The allowed top-level fields as text: "topic", "key", "value". */
static int refuse_root(struct compiler *compiler, const char *name)
{
	struct buffer known = {0};
	int rc;

	for (const char *const *root = compiler->scope->roots; *root; root++)
		buffer_append_format(&known, "%s\"%s\"", known.len ? ", " : "", *root);
	rc = refuse(compiler, ERROR_INVALID, "unknown field \"%.60s\"; known are %s", name,
		    buffer_text(&known));
	buffer_free(&known);
	return rc;
}

static bool is_root(const struct compiler *compiler, const char *name)
{
	for (const char *const *root = compiler->scope->roots; *root; root++)
		if (!strcmp(*root, name))
			return true;
	return false;
}

static int compile_object(struct compiler *compiler, const json_t *source,
			  struct pattern_node *node);

/* The alternatives stand at the same depth as the object that "$or" is in. */
static int compile_or(struct compiler *compiler, const json_t *source, struct pattern_node *node)
{
	size_t count = json_array_size(source);
	int rc = 0;

	node->kind = PATTERN_NODE_OR;
	if (count < 2 && !compiler->bound)
		return refuse(compiler, ERROR_INVALID,
			      "\"$or\" takes a list of objects, two at least");
	node->alternatives = mem_zalloc(count * sizeof(node->alternatives[0]));
	compiler->depth--;
	for (size_t i = 0; !rc && i < count; i++) {
		const json_t *alternative = json_array_get(source, i);
		size_t outside = enter_element(compiler, i);

		if (++compiler->value_count > PATTERN_MAX_VALUES || !json_is_object(alternative))
			rc = refuse(compiler, ERROR_INVALID,
				    "\"$or\" takes a list of objects, %d at most",
				    PATTERN_MAX_VALUES);
		else
			rc = compile_object(compiler, alternative,
					    &node->alternatives[node->alternative_count++]);
		if (rc)
			return rc;
		node->has_variables = node->has_variables || node->alternatives[i].has_variables;
		compiler->pointer.len = outside;
	}
	compiler->depth++;
	return 0;
}

static int compile_field(struct compiler *compiler, const char *name, const json_t *source,
			 struct pattern_field *field)
{
	field->name = mem_strdup(name);
	field->name_len = strlen(name);
	if (!strcmp(name, "$or"))
		return compile_or(compiler, source, &field->node);
	if (compiler->depth == 1 && compiler->scope && compiler->scope->roots &&
	    !is_root(compiler, name))
		return refuse_root(compiler, name);
	return compile_node(compiler, source, &field->node);
}

static int compile_member(struct compiler *compiler, const char *name, const json_t *source,
			  struct pattern_node *object)
{
	struct pattern_field *field;
	size_t outside;
	int rc;

	if (compiler->bound && json_is_null(source)) {
		object->only_absence = false;
		return 0;
	}
	outside = enter_member(compiler, name);
	field = &object->fields[object->field_count++];
	rc = compile_field(compiler, name, source, field);
	if (rc)
		return rc;
	object->has_variables = object->has_variables || field->node.has_variables;
	object->only_absence = object->only_absence && field->node.only_absence;
	compiler->pointer.len = outside;
	return 0;
}

static int compile_object(struct compiler *compiler, const json_t *source,
			  struct pattern_node *node)
{
	size_t count = json_object_size(source);

	node->kind = PATTERN_NODE_OBJECT;
	if (!count && !compiler->bound)
		return refuse(compiler, ERROR_INVALID,
			      "an empty object asks for nothing; name at least one field");
	if (++compiler->depth > PATTERN_MAX_DEPTH)
		return refuse(compiler, ERROR_LIMIT, "objects are nested more than %d deep",
			      PATTERN_MAX_DEPTH);
	node->fields = mem_zalloc((count + 1) * sizeof(node->fields[0]));
	node->only_absence = count > 0;
	for (void *at = first_member(source); at; at = next_member(source, at)) {
		int rc = compile_member(compiler, json_object_iter_key(at),
					json_object_iter_value(at), node);

		if (rc)
			return rc;
	}
	compiler->depth--;
	qsort(node->fields, node->field_count, sizeof(node->fields[0]), compare_fields);
	return 0;
}

static int compile_node(struct compiler *compiler, const json_t *source, struct pattern_node *node)
{
	if (json_is_object(source))
		return compile_object(compiler, source, node);
	if (json_is_array(source) && compiler->depth)
		return compile_leaf(compiler, source, node);
	if (!compiler->depth)
		return refuse(compiler, ERROR_INVALID, "a pattern is an object");
	return refuse(compiler, ERROR_INVALID,
		      "a condition is a list of values, such as [\"a\"] or [1, 2], or an object");
}

static int check_weight(struct compiler *compiler, struct pattern *pattern)
{
	pattern->weight = pattern_weigh(&pattern->root);
	if (pattern->weight <= PATTERN_MAX_WEIGHT)
		return 0;
	return refuse(compiler, ERROR_LIMIT, PATTERN_TOO_HEAVY, pattern->weight,
		      PATTERN_MAX_WEIGHT);
}

static int compile(struct compiler *compiler, const json_t *source, struct pattern **pattern)
{
	struct pattern *compiled = MEM_NEW(struct pattern);
	int rc;

	compiler->pattern = compiled;
	compiled->optional = json_object();
	if (json_dumpb(source, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) > PATTERN_MAX_BYTES)
		rc = refuse(compiler, ERROR_LIMIT, "a pattern has at most %d bytes",
			    PATTERN_MAX_BYTES);
	else
		rc = compile_node(compiler, source, &compiled->root);
	if (!rc)
		rc = check_weight(compiler, compiled);
	buffer_free(&compiler->pointer);
	if (rc) {
		pattern_free(compiled);
		return rc;
	}
	if (compiled->root.has_variables) {
		compiled->source = json_deep_copy(source);
	} else {
		json_decref(compiled->optional);
		compiled->optional = NULL;
	}
	*pattern = compiled;
	return 0;
}

int pattern_compile(const json_t *source, const struct pattern_scope *scope,
		    struct pattern **pattern, struct pattern_error *error)
{
	struct compiler compiler = {.scope = scope, .error = error};

	return compile(&compiler, source, pattern);
}

int pattern_compile_bound(const json_t *source, struct pattern **pattern,
			  struct pattern_error *error)
{
	struct compiler compiler = {.bound = true, .error = error};

	return compile(&compiler, source, pattern);
}
