/*
 * pattern: the JSON filter language, compiled; access rules and filters both.
 *
 * A pattern is an object shaped like the document that it is matched with; each leaf is a list of
 * values of which one must be equal ("or"), nested objects and several fields are "and". Where the
 * document has an array, one element must match; several fields of one array of objects must match
 * in the same element (as in Amazon EventBridge). Numbers are compared as numbers: 300, 300.0
 * and 3.0e2 are equal. null matches a JSON null.
 *
 * A list may also hold operators: prefix, suffix, equals-ignore-case, wildcard, anything-but,
 * numeric, exists, cidr (gateway/event/pattern_operator_priv.h), and an object "$or", a list of
 * objects of which one must hold.
 *
 * {"at-least": "{query.level}"} is the request's value or one that stands after it in the order of
 * the parameter's values: the variable {at-least.query.level}, which stands for the list of these.
 *
 * A string value that is one variable, "{path.user_id}", stands for the request's value with its
 * type; text with variables in it, "tenant-{claims.tenant}", for the string made of it. "{{" and
 * "}}" are braces. A claim is found by its exact name, else dot by dot:
 * "{claims.realm_access.roles}".
 *
 * Matching is split in two, so that an event finds its subscribers in a hash table. The *event
 * side* computes, in one walk, the set of route keys: each a tuple with, for every leaf that holds
 * a variable, a value that the event has there, such that all of the pattern holds. The *request
 * side* computes the set of tuples that a subscriber accepts. The subscriber gets the event if the
 * sets have a tuple in common. A pattern without variables has the one empty tuple. This is exact,
 * and nothing is left to check, unless a variable stands inside an operator: of such an *inexact*
 * pattern the route keys find the candidates, and the pattern bound to the request's values
 * decides.
 */
#ifndef SLUICE_EVENT_PATTERN_H
#define SLUICE_EVENT_PATTERN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

struct pattern;

/* Limits of a source, checked at compile. */
enum {
	PATTERN_MAX_BYTES = 64 * 1024,
	PATTERN_MAX_DEPTH = 16,
	PATTERN_MAX_VALUES = 1024,
	PATTERN_MAX_WEIGHT = 1024,                 /* pattern_weight() */
	PATTERN_MAX_ROUTE_KEYS = 1024,             /* tuples of one event, or of one request */
	PATTERN_MAX_ROUTE_KEY_BYTES = 1024 * 1024, /* all of them together, each with its length */
	/* On the way to them: tuples that products make, and each 64 bytes that are joined. */
	PATTERN_MAX_ROUTE_KEY_WORK = 256 * 1024,
};

enum pattern_variable_type {
	PATTERN_STRING,
	PATTERN_INTEGER,
	PATTERN_NUMBER,
	PATTERN_BOOLEAN,
	PATTERN_ANY, /* a claim: whatever the token has; of a list, each element is accepted */
};

/*
 * What a compile may refer to. `find` is asked for "path.x", "query.x", "header.x", "claims.x" (the
 * text between the braces) and answers 0 with the type and whether a request may lack it, or
 * ERROR_NOT_FOUND; for "at-least.query.x" too, which it knows where query.x has an order. Where a
 * request lacks an optional variable, the condition that it stands in is left out; where it lacks
 * one that is not optional (a claim), nothing matches. `find` NULL: there are no variables; a brace
 * is written twice all the same.
 */
struct pattern_scope {
	int (*find)(void *context, struct slice name, enum pattern_variable_type *type,
		    bool *optional);
	void *context;
	/* The allowed top-level fields, NULL-terminated: {"value", "key", …, NULL}. */
	const char *const *roots;
};

/* Where and why a source was refused: an RFC 6901 pointer inside it, and what would be right. */
struct pattern_error {
	char pointer[256];
	char reason[256];
};

/*
 * Compiles `source` (borrowed, not kept). `scope` NULL: any fields, and braces are literal. On
 * failure returns ERROR_INVALID or ERROR_LIMIT and fills `error`. A pattern is immutable: any
 * thread may match with it. The caller owns it.
 */
MUST_CHECK int pattern_compile(const json_t *source, const struct pattern_scope *scope,
			       struct pattern **pattern, struct pattern_error *error);
void pattern_free(struct pattern *pattern);

/*
 * What matching costs: the most steps, of about 4 ns, for which one value of a document can be the
 * cause. A match takes at most half as many for each byte of the document's JSON. How they are
 * counted: gateway/event/pattern_weight_priv.h.
 */
unsigned pattern_weight(const struct pattern *pattern);
/* printf's format for a refusal: the weight, the limit. */
#define PATTERN_TOO_HEAVY                                                                          \
	"it may take %u steps for each value of an event, and %d at most: take fewer operators "   \
	"for one field, or fewer alternatives"

bool pattern_has_variables(const struct pattern *pattern);
/* True where route keys alone do not decide. */
bool pattern_is_inexact(const struct pattern *pattern);

/*
 * True where the pattern looks at `field` (top level): *below where it looks at fields under it, so
 * that "value" or "key" must be parsed as JSON. `below` may be NULL.
 */
bool pattern_looks_at(const struct pattern *pattern, const char *field, bool *below);

/* A set of tuples, each encoded canonically: equal tuples have equal bytes. Zero-initialise; reuse
 * by clear. */
struct route_keys {
	struct buffer bytes; /* count times: u32 length (host order), then the tuple's bytes */
	uint32_t count;
	uint64_t work; /* done for them, while they are computed */
};
void route_keys_clear(struct route_keys *keys);
void route_keys_free(struct route_keys *keys);
/* Iterates: `*at` starts at 0; false at the end. The key is borrowed. */
bool route_keys_next(const struct route_keys *keys, size_t *at, struct slice *key);
bool route_keys_intersect(const struct route_keys *a, const struct route_keys *b);
/* Keyed with a secret of the process (SipHash-like strength is not needed as bytes are compared
 * after it, but a peer must not be able to aim for one bucket). Thread: any. */
uint64_t route_key_hash(struct slice key);
/* One that is the same in every process and version, for what is stored. Thread: any. */
uint64_t route_key_stable_hash(struct slice key);

/*
 * Stands in a document for what cannot be known. Whatever a pattern asks of it holds, unless a
 * variable is part of that. Elsewhere it is a null. A constant: json_decref() leaves it alone.
 */
json_t *pattern_unknown(void);

/*
 * Event side: replaces *keys by the event's set, without repeats; returns 0 (keys->count 0: no
 * subscriber can match) or ERROR_LIMIT where there would be more than PATTERN_MAX_ROUTE_KEYS or
 * PATTERN_MAX_ROUTE_KEY_BYTES, or the way to them takes more than PATTERN_MAX_ROUTE_KEY_WORK, or
 * ERROR_INVALID where a variable is compared with what is unknown; *keys is empty then.
 */
MUST_CHECK int pattern_event_keys(const struct pattern *pattern, const json_t *document,
				  struct route_keys *keys);

/*
 * Request side: `variables` is {"path": {…}, "query": {…}, "header": {…}, "claims": {…}} with typed
 * JSON values, absent ones left out, and "at-least": {"query.x": [the value and those after it]}
 * for those that have an order. Replaces *keys; count 0 means that nothing ever matches.
 * ERROR_LIMIT as above.
 */
MUST_CHECK int pattern_request_keys(const struct pattern *pattern, const json_t *variables,
				    struct route_keys *keys);

/*
 * A pattern with a request's values in place of its variables, of which it has some: a pattern
 * without variables, the caller's. Errors: ERROR_NOT_FOUND: nothing ever matches; ERROR_INVALID: a
 * value that the operator cannot take, ERROR_LIMIT: too many combinations of values, both with
 * `error`.
 */
MUST_CHECK int pattern_bind(const struct pattern *pattern, const json_t *variables,
			    struct pattern **bound, struct pattern_error *error);

/* Does `document` match a pattern without variables? Thread: any. */
bool pattern_holds(const struct pattern *pattern, const json_t *document);

/* Both at once, for access rules: does `document` match with these variables? */
bool pattern_matches(const struct pattern *pattern, const json_t *document,
		     const json_t *variables);

#endif
