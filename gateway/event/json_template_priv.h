/*
 * json_template: JSON whose strings may hold a request's variables, made into text for each
 * request.
 *
 * A string that is one variable, "{claims.sub}", stands for the request's value with its type; text
 * with variables in it, "user {path.id}", for the string made of it: of an array or an object, its
 * compact JSON. What the request lacks is null, or no text. "{{" and "}}" are braces; names of
 * members are taken as they are. Immutable once compiled. Thread: any.
 */
#ifndef SLUICE_EVENT_JSON_TEMPLATE_PRIV_H
#define SLUICE_EVENT_JSON_TEMPLATE_PRIV_H

#include "event/stream.h"

enum {
	JSON_TEMPLATE_MAX_BYTES = 16 * 1024, /* of the source */
	JSON_TEMPLATE_MAX_DEPTH = 16,
	JSON_TEMPLATE_MAX_RENDERED_BYTES = STREAM_WELCOME_MAX_BYTES,
};

struct json_template;

/* `source` is borrowed and not kept; of `scope` the roots are not looked at. Errors: as
 * pattern_compile(). */
MUST_CHECK int json_template_compile(const json_t *source, const struct pattern_scope *scope,
				     struct json_template **template, struct pattern_error *error);
void json_template_free(struct json_template *template);

/* Appends compact JSON, one line of UTF-8. `variables` are as for pattern_request_keys(). Errors:
 * ERROR_LIMIT: it would be too large; nothing is appended. */
MUST_CHECK int json_template_render(const struct json_template *template, const json_t *variables,
				    struct buffer *out);

#endif
