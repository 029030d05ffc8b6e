/*
 * Binding: a pattern with its variables replaced by a request's values, for what route keys cannot
 * decide. It works on the JSON source, and the outcome is compiled like any other.
 */
#include "event/pattern_priv.h"

/* What becomes of a node: a condition, or one that is known already. */
enum outcome { CONDITION, HOLDS, NEVER };

static int bind_object(struct pattern_binding *binding, const json_t *object, enum outcome *outcome,
		       json_t **bound);

static int bind_leaf(struct pattern_binding *binding, const json_t *list, enum outcome *outcome,
		     json_t **bound)
{
	int rc = 0;

	*bound = json_array();
	binding->left_out = binding->lacking = false;
	for (size_t i = 0; !rc && i < json_array_size(list); i++)
		rc = pattern_bind_element(binding, json_array_get(list, i), *bound);
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
