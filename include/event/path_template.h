/*
 * path_template: `/users/{user_id}/orders`, matched segment by segment.
 *
 * A segment is literal text or one {name} that takes one non-empty segment (RFC 6570 level 1 in its
 * simplest use). Immutable. Thread: any.
 */
#ifndef SLUICE_EVENT_PATH_TEMPLATE_H
#define SLUICE_EVENT_PATH_TEMPLATE_H

#include "base/error.h"
#include "base/slice.h"

struct path_template;

enum { PATH_TEMPLATE_MAX_PARAMS = 16, PATH_TEMPLATE_MAX_SEGMENTS = 32 };

/* `reason` (256 bytes) says what is wrong. */
MUST_CHECK int path_template_compile(const char *text, struct path_template **path, char *reason);
void path_template_free(struct path_template *path);

const char *path_template_text(const struct path_template *path);
size_t path_template_param_count(const struct path_template *path);
const char *path_template_param(const struct path_template *path, size_t i);

/* `path` is raw (percent-encoded, no query); each `values[i]` is set to the raw segment, borrowed
 * from it. Literals are compared after decoding. False where it does not match. */
bool path_template_match(const struct path_template *template, struct slice path,
			 struct slice values[PATH_TEMPLATE_MAX_PARAMS]);

/* Orders templates for matching: < 0 where `a` is more specific (a literal before a parameter,
 * leftmost first); 0: they match the same paths. */
int path_template_compare(const struct path_template *a, const struct path_template *b);

#endif
