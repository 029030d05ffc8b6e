/*
 * pattern, inside: the tree that pattern_compile() makes of a source and the two walks over it.
 *
 * A node is an object ("and" of its fields) or a leaf ("or" of its list). A leaf's list is kept as
 * its constants, sorted for lookup, and its tests, what a constant can't say. An operator is a kind
 * of test; an "or" of objects is a kind of node.
 */
#ifndef SLUICE_EVENT_PATTERN_PRIV_H
#define SLUICE_EVENT_PATTERN_PRIV_H

#include "event/pattern.h"
#include "event/pattern_value_priv.h"
#include "event/route_set_priv.h"

/* A piece of a string value: literal text, or a variable. */
struct pattern_part {
	char *literal; /* owned; NULL: a variable */
	size_t literal_len;
	char *root;    /* owned: "path", "query", "header" or "claims" */
	char *name;    /* owned: what follows the first dot */
	bool optional; /* a request may lack it */
};

enum pattern_test_kind {
	PATTERN_TEST_VARIABLE, /* its one part is a variable: equal to the request's value, typed */
	PATTERN_TEST_TEXT,     /* equal to the string that the parts make */
};

struct pattern_test {
	enum pattern_test_kind kind;
	struct pattern_part *parts;
	size_t part_count;
};

struct pattern_constant {
	struct pattern_value value;
	char *text; /* owned: a string's bytes; else NULL */
};

struct pattern_leaf {
	struct pattern_constant *constants; /* by pattern_value_compare() */
	size_t constant_count;
	struct pattern_test *tests;
	size_t test_count;
	bool optional; /* a test holds an optional variable */
};

struct pattern_field;

enum pattern_node_kind { PATTERN_NODE_OBJECT, PATTERN_NODE_LEAF };

struct pattern_node {
	enum pattern_node_kind kind;
	bool has_variables; /* itself or below */
	union {
		struct {
			/* Those without variables first, as they decide without making tuples; each
			 * half by name. This is also the order of a tuple's components. */
			struct pattern_field *fields;
			size_t field_count;
		};
		struct pattern_leaf leaf;
	};
};

struct pattern_field {
	char *name;
	struct pattern_node node;
};

struct pattern {
	struct pattern_node root;
};

/*
 * Reads a string value: "{root.name}" is a variable, "{{" and "}}" are braces. Neighbouring
 * literals are one part; without variables there is at most one part. Errors: ERROR_INVALID with
 * `reason` (256 bytes).
 */
MUST_CHECK int pattern_text_parse(struct slice text, const struct pattern_scope *scope,
				  struct pattern_test *test, char *reason);
void pattern_text_fini(struct pattern_test *test);

/* Pushes the set of one field, for either side. */
typedef int (*pattern_walk)(const struct pattern_field *field, const json_t *context,
			    struct route_keys *keys, struct route_set *set);

/*
 * Pushes the product of an object's fields. A field without tuples makes it empty, also where
 * another has too many. Errors: ERROR_LIMIT; nothing is pushed then.
 */
MUST_CHECK int pattern_multiply_fields(const struct pattern_node *object, pattern_walk walk,
				       const json_t *context, struct route_keys *keys,
				       struct route_set *set);

/* Pushes one encoded value, a tuple of one component, and tightens a set that became loose. */
MUST_CHECK int pattern_push_value(const struct pattern_value *value, struct route_keys *keys,
				  struct route_set *set);

#endif
