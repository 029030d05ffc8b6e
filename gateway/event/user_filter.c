#include "event/user_filter.h"

#include <jansson.h>
#include <stdio.h>

/* In words of ours where jansson's name its own flags. */
static const char *why_not(const json_error_t *error)
{
	return json_error_code(error) == json_error_null_character ? "\\u0000 stands in a string"
								   : error->text;
}

static json_t *parse(struct slice text, struct pattern_error *error)
{
	json_error_t why;
	json_t *source = NULL;

	error->pointer[0] = '\0';
	if (text.len > PATTERN_MAX_BYTES) {
		snprintf(error->reason, sizeof(error->reason), "it has more than %d bytes",
			 PATTERN_MAX_BYTES);
		return NULL;
	}
	if (text.len)
		source = json_loadb(text.base, text.len, JSON_REJECT_DUPLICATES, &why);
	if (!source)
		snprintf(error->reason, sizeof(error->reason), "it is not JSON: %s",
			 text.len ? why_not(&why) : "there is nothing");
	return source;
}

int user_filter_compile(struct slice text, struct pattern **pattern, struct pattern_error *error)
{
	static const char *const roots[] = {"topic", "partition", "key", "headers", "value", NULL};
	static const struct pattern_scope scope = {NULL, NULL, roots};
	json_t *source = parse(text, error);
	struct pattern *compiled = NULL;
	int rc = source ? pattern_compile(source, &scope, &compiled, error) : ERROR_INVALID;

	json_decref(source);
	if (!rc && pattern_weight(compiled) > USER_FILTER_MAX_WEIGHT) {
		error->pointer[0] = '\0';
		snprintf(error->reason, sizeof(error->reason), PATTERN_TOO_HEAVY,
			 pattern_weight(compiled), USER_FILTER_MAX_WEIGHT);
		pattern_free(compiled);
		return ERROR_LIMIT;
	}
	if (!rc)
		*pattern = compiled;
	return rc;
}
