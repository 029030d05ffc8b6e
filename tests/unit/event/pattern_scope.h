/*
 * pattern_scope: what the patterns of these tests may refer to. Parameters whose name starts with
 * "opt" are optional, the others and all claims are not. query.level and query.optlevel have an
 * order.
 */
#ifndef SLUICE_TESTS_UNIT_EVENT_PATTERN_SCOPE_H
#define SLUICE_TESTS_UNIT_EVENT_PATTERN_SCOPE_H

#include "event/pattern.h"

static inline bool starts_with(struct slice text, const char *start)
{
	return text.len > strlen(start) && !memcmp(text.base, start, strlen(start));
}

static inline int find_test_variable(void *context, struct slice name,
				     enum pattern_variable_type *type, bool *optional)
{
	static const char *const roots[] = {"path.", "query.", "header.", "claims."};

	(void)context;
	if (starts_with(name, "at-least.")) {
		*type = PATTERN_ANY;
		*optional = slice_equal(name, SLICE_LIT("at-least.query.optlevel"));
		return *optional || slice_equal(name, SLICE_LIT("at-least.query.level"))
			   ? 0
			   : ERROR_NOT_FOUND;
	}
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		if (!starts_with(name, roots[i]))
			continue;
		name.base += strlen(roots[i]);
		name.len -= strlen(roots[i]);
		*type = PATTERN_ANY;
		*optional = starts_with(name, "opt");
		return starts_with(name, "unknown") ? ERROR_NOT_FOUND : 0;
	}
	return ERROR_NOT_FOUND;
}

static const char *const test_roots[] = {"topic",  "partition", "key",   "headers", "value",
					 "claims", "path",      "query", "header",  NULL};

static const struct pattern_scope test_scope = {.find = find_test_variable, .roots = test_roots};

#endif
