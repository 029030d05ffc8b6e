/*
 * Binding: a pattern with its variables replaced by a request's values, for what route keys cannot
 * decide. It works on the JSON source, and the outcome is compiled like any other.
 */
#include <stdlib.h>

#include "event/pattern_priv.h"

/* How the values of variables are put in. */
enum insertion {
	INSERT_VALUE,    /* with their types */
	INSERT_TEXT,     /* as text */
	INSERT_WILDCARD, /* as text in which * stands for itself */
};

/* What is known while one operand is expanded. */
struct expansion {
	struct pattern_binding *binding;
	enum insertion insertion;
	json_t *sample; /* of a variable; borrowed */
	json_t *whole;  /* of a text with variables in it, where pieces make no sense; or NULL */
	json_t *out;
};

static struct slice text_of(const json_t *string)
{
	return (struct slice){json_string_value(string), json_string_length(string)};
}

static void append_scalars(const json_t *json, json_t *out)
{
	for (size_t i = 0; i < json_array_size(json); i++)
		append_scalars(json_array_get(json, i), out);
	if (json && !json_is_array(json) && !json_is_object(json))
		json_array_append(out, (json_t *)(uintptr_t)json);
}

/* A new array: all that a variable stands for. */
static json_t *values_of(struct expansion *expansion, const struct pattern_part *variable)
{
	struct pattern_binding *binding = expansion->binding;
	json_t *values = json_array();

	if (binding->variables)
		append_scalars(pattern_variable_find(variable, binding->variables), values);
	else
		json_array_append(values, expansion->sample);
	return values;
}

/* False, and nothing, for null. */
static bool append_text(struct buffer *text, const json_t *json, enum insertion insertion)
{
	struct pattern_value value;
	size_t from = text->len;

	if (!pattern_value_read(json, &value) || !pattern_value_append_text(&value, text))
		return false;
	for (size_t i = from; insertion == INSERT_WILDCARD && i < text->len; i++) {
		if (text->base[i] != '*' && text->base[i] != '\\')
			continue;
		buffer_append(text, "", 1);
		memmove(text->base + i + 1, text->base + i, text->len - i - 1);
		text->base[i++] = '\\';
	}
	return true;
}

static int expand_parts(struct expansion *expansion, const struct pattern_test *test, size_t at,
			struct buffer *text);

static int expand_variable(struct expansion *expansion, const struct pattern_test *test, size_t at,
			   struct buffer *text)
{
	/* Lists of useless elements make no text that a limit could count. */
	enum { MAX_STEPS = 4 * PATTERN_MAX_VALUES };
	json_t *values = values_of(expansion, &test->parts[at]);
	size_t len = text->len;
	int rc = 0;

	expansion->binding->steps += json_array_size(values) + 1;
	if (expansion->binding->steps > MAX_STEPS)
		rc = ERROR_LIMIT;
	for (size_t i = 0; !rc && i < json_array_size(values); i++) {
		if (append_text(text, json_array_get(values, i), expansion->insertion))
			rc = expand_parts(expansion, test, at + 1, text);
		text->len = len;
	}
	json_decref(values);
	return rc;
}

/* Appends every text that the parts from `at` on make after what `text` holds; leaves that. */
static int expand_parts(struct expansion *expansion, const struct pattern_test *test, size_t at,
			struct buffer *text)
{
	size_t len = text->len;
	int rc;

	if (at == test->part_count) {
		if (json_array_size(expansion->out) >= PATTERN_MAX_VALUES)
			return ERROR_LIMIT;
		json_array_append_new(expansion->out, json_stringn(len ? text->base : "", len));
		return 0;
	}
	if (!test->parts[at].literal)
		return expand_variable(expansion, test, at, text);
	buffer_append(text, test->parts[at].literal, test->parts[at].literal_len);
	rc = expand_parts(expansion, test, at + 1, text);
	text->len = len;
	return rc;
}

/* Of all variables, before a missing one ends the expansion. */
static void note_absent(struct pattern_binding *binding, const struct pattern_test *test)
{
	for (size_t i = 0; binding->variables && i < test->part_count; i++) {
		const struct pattern_part *part = &test->parts[i];

		if (part->literal || pattern_variable_find(part, binding->variables))
			continue;
		if (part->optional)
			binding->left_out = true;
		else
			binding->lacking = true;
	}
}

static bool has_variable(const struct pattern_test *test)
{
	for (size_t i = 0; i < test->part_count; i++)
		if (!test->parts[i].literal)
			return true;
	return false;
}

static int expand_string(struct expansion *expansion, struct slice string)
{
	char reason[256];
	struct pattern_test test;
	struct buffer text = {0};
	json_t *values;
	int rc = pattern_text_parse(string, expansion->binding->scope, &test, reason);

	if (rc)
		return rc;
	note_absent(expansion->binding, &test);
	if (!expansion->binding->variables && expansion->whole && has_variable(&test)) {
		json_array_append(expansion->out, expansion->whole);
	} else if (test.kind == PATTERN_TEST_VARIABLE && expansion->insertion == INSERT_VALUE) {
		values = values_of(expansion, &test.parts[0]);
		json_array_extend(expansion->out, values);
		json_decref(values);
	} else {
		rc = expand_parts(expansion, &test, 0, &text);
	}
	pattern_text_fini(&test);
	buffer_free(&text);
	return rc;
}

/* A string, a list of what can stand here, {"equals-ignore-case": …}; anything else as it is. */
static int expand_operand(struct expansion *expansion, const json_t *operand)
{
	const json_t *inner = json_object_get(operand, "equals-ignore-case");
	struct expansion inside = *expansion;
	int rc = 0;

	if (json_is_string(operand))
		return expand_string(expansion, text_of(operand));
	for (size_t i = 0; !rc && i < json_array_size(operand); i++)
		rc = expand_operand(expansion, json_array_get(operand, i));
	if (json_is_array(operand) || rc)
		return rc;
	if (!inner) {
		json_array_append(expansion->out, (json_t *)(uintptr_t)operand);
		return 0;
	}
	inside.out = json_array();
	rc = expand_operand(&inside, inner);
	for (size_t i = 0; !rc && i < json_array_size(inside.out); i++)
		json_array_append_new(expansion->out, json_pack("{sO}", "equals-ignore-case",
								json_array_get(inside.out, i)));
	json_decref(inside.out);
	return rc;
}

/* A new array of all that the operand of the operator `name` becomes. */
static int expand(struct pattern_binding *binding, const char *name, enum insertion insertion,
		  const json_t *operand, json_t **all)
{
	struct expansion expansion = {.binding = binding, .insertion = insertion};
	int rc;

	if (!strcmp(name, "wildcard"))
		expansion.insertion = INSERT_WILDCARD;
	expansion.sample = json_string("a");
	expansion.whole = strcmp(name, "cidr") ? NULL : json_string("0.0.0.0/0");
	expansion.out = json_array();
	rc = expand_operand(&expansion, operand);
	json_decref(expansion.sample);
	json_decref(expansion.whole);
	if (rc)
		json_decref(expansion.out);
	else
		*all = expansion.out;
	return rc;
}

/* One operator for each value: they stand in a list, an "or". */
static int bind_text(struct pattern_binding *binding, const char *name, const json_t *operand,
		     json_t *bound)
{
	json_t *all;
	int rc = json_is_array(operand) ? 0 : expand(binding, name, INSERT_TEXT, operand, &all);

	if (rc || json_is_array(operand))
		return rc;
	for (size_t i = 0; i < json_array_size(all); i++)
		json_array_append_new(bound, json_pack("{sO}", name, json_array_get(all, i)));
	json_decref(all);
	return 0;
}

/* Anything but nothing is anything. */
static void append_anything_but(json_t *excluded, bool none, json_t *bound)
{
	if (none) {
		json_decref(excluded);
		json_array_append_new(bound, json_pack("{sb}", "exists", 1));
	} else {
		json_array_append_new(bound, json_pack("{so}", "anything-but", excluded));
	}
}

static int bind_anything_but(struct pattern_binding *binding, const json_t *operand, json_t *bound)
{
	void *member = json_object_iter((json_t *)(uintptr_t)operand);
	const char *inner = member ? json_object_iter_key(member) : NULL;
	json_t *all;
	int rc = expand(binding, inner ? inner : "anything-but", inner ? INSERT_TEXT : INSERT_VALUE,
			inner ? json_object_iter_value(member) : operand, &all);

	if (rc)
		return rc;
	append_anything_but(inner ? json_pack("{sO}", inner, all) : json_incref(all),
			    !json_array_size(all) && !binding->lacking && !binding->left_out &&
				binding->variables,
			    bound);
	json_decref(all);
	return 0;
}

/* A comparison needs one number: a list of them, or none, can't match. */
static int bind_numeric(struct pattern_binding *binding, const json_t *operand, json_t *bound)
{
	json_t *terms = json_array();
	int rc = 0;

	for (size_t i = 0; !rc && i < json_array_size(operand); i++) {
		struct expansion expansion = {
		    .binding = binding, .sample = json_integer((json_int_t)i), .out = json_array()};

		rc = expand_operand(&expansion, json_array_get(operand, i));
		if (!rc && json_array_size(expansion.out) != 1 && !binding->left_out)
			binding->lacking = true;
		json_array_extend(terms, expansion.out);
		json_decref(expansion.sample);
		json_decref(expansion.out);
	}
	json_array_append_new(bound, json_pack("{so}", "numeric", terms));
	return rc;
}

int pattern_bind_operator(struct pattern_binding *binding, const json_t *element, json_t *bound)
{
	void *member = json_object_iter((json_t *)(uintptr_t)element);
	const char *name = member ? json_object_iter_key(member) : "";
	const json_t *operand = member ? json_object_iter_value(member) : NULL;

	if (json_object_size(element) == 1 && !strcmp(name, "anything-but"))
		return bind_anything_but(binding, operand, bound);
	if (json_object_size(element) == 1 && !strcmp(name, "numeric") && json_is_array(operand))
		return bind_numeric(binding, operand, bound);
	if (json_object_size(element) == 1 && (json_is_string(operand) || json_is_object(operand)))
		return bind_text(binding, name, operand, bound);
	json_array_append(bound, (json_t *)(uintptr_t)element);
	return 0;
}

/* What becomes of a node: a condition, or one that is known already. */
enum outcome { CONDITION, HOLDS, NEVER };

static int bind_object(struct pattern_binding *binding, const json_t *object, enum outcome *outcome,
		       json_t **bound);

static int bind_at_least(struct expansion *expansion, const json_t *element)
{
	char reason[256];
	struct buffer text = {0};
	int rc = pattern_text_at_least(element, expansion->binding->scope, &text, reason);

	if (!rc)
		rc = expand_string(expansion, buffer_slice(&text));
	buffer_free(&text);
	return rc;
}

static int bind_element(struct pattern_binding *binding, const json_t *element, json_t *bound)
{
	struct expansion expansion = {.binding = binding, .out = bound};

	if (pattern_text_is_at_least(element))
		return bind_at_least(&expansion, element);
	if (json_is_object(element))
		return pattern_bind_operator(binding, element, bound);
	return expand_operand(&expansion, element);
}

static int bind_leaf(struct pattern_binding *binding, const json_t *list, enum outcome *outcome,
		     json_t **bound)
{
	int rc = 0;

	*bound = json_array();
	binding->left_out = binding->lacking = false;
	for (size_t i = 0; !rc && i < json_array_size(list); i++)
		rc = bind_element(binding, json_array_get(list, i), *bound);
	if (binding->lacking || (!binding->left_out && !json_array_size(*bound)))
		*outcome = NEVER;
	else
		*outcome = binding->left_out ? HOLDS : CONDITION;
	return rc;
}

static int bind_or(struct pattern_binding *binding, const json_t *list, enum outcome *outcome,
		   json_t **bound)
{
	int rc = 0;

	*outcome = NEVER;
	*bound = json_array();
	for (size_t i = 0; !rc && i < json_array_size(list) && *outcome != HOLDS; i++) {
		enum outcome one;
		json_t *alternative;

		rc = bind_object(binding, json_array_get(list, i), &one, &alternative);
		if (one != NEVER)
			*outcome = one;
		if (one == CONDITION)
			json_array_append(*bound, alternative);
		json_decref(alternative);
	}
	return rc;
}

static int bind_member(struct pattern_binding *binding, const char *name, const json_t *source,
		       enum outcome *outcome, json_t **bound)
{
	if (!strcmp(name, "$or"))
		return bind_or(binding, source, outcome, bound);
	if (json_is_object(source))
		return bind_object(binding, source, outcome, bound);
	return bind_leaf(binding, source, outcome, bound);
}

static int bind_object(struct pattern_binding *binding, const json_t *object, enum outcome *outcome,
		       json_t **bound)
{
	json_t *source = (json_t *)(uintptr_t)object;
	int rc = 0;

	*bound = json_object();
	*outcome = HOLDS;
	for (void *at = json_object_iter(source); at && !rc && *outcome != NEVER;
	     at = json_object_iter_next(source, at)) {
		enum outcome one;
		json_t *member;

		rc = bind_member(binding, json_object_iter_key(at), json_object_iter_value(at),
				 &one, &member);
		if (one != HOLDS)
			*outcome = one;
		if (one != NEVER)
			json_object_set(*bound, json_object_iter_key(at),
					one == HOLDS ? json_null() : member);
		json_decref(member);
	}
	return rc;
}

static int find_variable(void *context, struct slice name, enum pattern_variable_type *type,
			 bool *optional)
{
	const struct pattern *pattern = context;

	*type = PATTERN_ANY;
	*optional = json_is_true(json_object_getn(pattern->optional, name.base, name.len));
	return 0;
}

int pattern_bind(const struct pattern *pattern, const json_t *variables, struct pattern **bound,
		 struct pattern_error *error)
{
	const struct pattern_scope scope = {.find = find_variable,
					    .context = (void *)(uintptr_t)pattern};
	struct pattern_binding binding = {.scope = &scope, .variables = variables};
	enum outcome outcome;
	json_t *source;
	int rc = bind_object(&binding, pattern->source, &outcome, &source);

	if (!rc && outcome == NEVER)
		rc = ERROR_NOT_FOUND;
	else if (rc)
		*error = (struct pattern_error){.reason = "too many combinations of values"};
	else
		rc = pattern_compile_bound(source, bound, error);
	json_decref(source);
	return rc;
}
