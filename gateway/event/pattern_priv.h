/*
 * pattern, inside: the tree that pattern_compile() makes of a source and the two walks over it.
 *
 * A node is an object ("and" of its fields), an "$or" of objects, or a leaf ("or" of its list). A
 * leaf's list is kept as its constants, sorted for lookup, its operators, and its tests: values
 * that hold a variable.
 *
 * What holds no variable is decided on the event side, by pattern_node_holds(). Where a leaf has
 * both, the event side tells the request side which of the operators held by a mark beside the
 * values. An operator with a variable in it is *inexact*: neither side can decide it alone, so both
 * give its mark, and the pattern as a whole has to be bound (pattern_bind.c) and matched again.
 */
#ifndef SLUICE_EVENT_PATTERN_PRIV_H
#define SLUICE_EVENT_PATTERN_PRIV_H

#include "event/pattern.h"
#include "event/pattern_constants_priv.h"
#include "event/pattern_operator_priv.h"
#include "event/pattern_value_priv.h"
#include "event/route_set_priv.h"

/* A piece of a string value: literal text, or a variable. */
struct pattern_part {
	char *literal; /* owned; NULL: a variable */
	size_t literal_len;
	char *root;    /* owned: "path", "query", "header", "claims" or "at-least" */
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

struct pattern_leaf {
	struct pattern_constants constants;
	struct pattern_operator *operators;
	size_t operator_count;
	struct pattern_test *tests;
	size_t test_count;
	struct pattern_test *operands; /* strings inside inexact operators */
	size_t operand_count;
	bool inexact;          /* an operator holds a variable */
	bool optional;         /* a test or operand holds an optional variable */
	bool asks_for_absence; /* an operator is {"exists": false} */
};

struct pattern_field;

enum pattern_node_kind { PATTERN_NODE_OBJECT, PATTERN_NODE_OR, PATTERN_NODE_LEAF };

struct pattern_node {
	enum pattern_node_kind kind;
	bool has_variables; /* itself or below */
	bool only_absence;  /* asks for nothing but {"exists": false}: of an array as a whole */
	union {
		struct {
			/* Those without variables first, as they decide without making tuples; each
			 * half by name. This is also the order of a tuple's components. */
			struct pattern_field *fields;
			size_t field_count;
		};
		struct {
			struct pattern_node *alternatives; /* each an object */
			size_t alternative_count;
		};
		struct pattern_leaf leaf;
	};
};

struct pattern_field {
	char *name; /* owned */
	size_t name_len;
	struct pattern_node node;
};

struct pattern {
	struct pattern_node root;
	bool inexact;     /* an operator in it holds a variable */
	unsigned weight;  /* pattern_weight_priv.h */
	json_t *source;   /* a copy, of one with variables; else NULL */
	json_t *optional; /* {"query.x": true}: the variables that a request may lack */
};

/*
 * Reads a string value: "{root.name}" is a variable, "{{" and "}}" are braces. Neighbouring
 * literals are one part; without variables there is at most one part. Errors: ERROR_INVALID with
 * `reason` (256 bytes).
 */
MUST_CHECK int pattern_text_parse(struct slice text, const struct pattern_scope *scope,
				  struct pattern_test *test, char *reason);
void pattern_text_fini(struct pattern_test *test);

/*
 * True where an element of a list is {"at-least": …}. It stands for a variable, whose text,
 * "{at-least.query.level}", is appended to `text`. Errors: ERROR_INVALID with `reason` (256 bytes).
 */
bool pattern_text_is_at_least(const json_t *element);
MUST_CHECK int pattern_text_at_least(const json_t *element, const struct pattern_scope *scope,
				     struct buffer *text, char *reason);

/* The request's value for a variable, borrowed; NULL: it has none. */
const json_t *pattern_variable_find(const struct pattern_part *variable, const json_t *variables);

/* Does a node without variables hold for the value? NULL: the event has nothing there. */
bool pattern_node_holds(const struct pattern_node *node, const json_t *value);

/* Marks of a leaf's operators; of an inexact one -1. */
enum { PATTERN_MARK_INEXACT = -1 };

/*
 * Appends to the array `bound` what an element of a leaf, a value or an operator's object, becomes
 * with the request's values in place of its variables: one or, where a list stands for a variable,
 * several or none. `variables` NULL: samples, to check an operator with. An object that is no
 * operator stays as it is. Errors: ERROR_LIMIT: too many combinations of lists.
 */
struct pattern_binding {
	const struct pattern_scope *scope;
	const json_t *variables;
	bool left_out; /* set where the request lacks an optional variable */
	bool lacking;  /* set where it lacks another, so that nothing can match */
	size_t steps;  /* values put into texts */
};
MUST_CHECK int pattern_bind_element(struct pattern_binding *binding, const json_t *element,
				    json_t *bound);
/* Says in `error` what is wrong where in the source `pointer` points; returns `code`. */
int pattern_refuse(struct pattern_error *error, struct buffer *pointer, int code,
		   const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Compiles what a binding made: strings are literal, an object may be empty, and a field that holds
 * whatever the event has is null. */
MUST_CHECK int pattern_compile_bound(const json_t *source, struct pattern **pattern,
				     struct pattern_error *error);

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

/* Pushes the union of an "$or"'s alternatives, each with its number before its tuples. */
typedef int (*pattern_walk_object)(const struct pattern_node *object, const json_t *context,
				   struct route_keys *keys, struct route_set *set);
MUST_CHECK int pattern_add_alternatives(const struct pattern_node *node, pattern_walk_object walk,
					const json_t *context, struct route_keys *keys,
					struct route_set *set);

/* Adds the topmost set to the one under it, and tightens that where it became loose. */
MUST_CHECK int pattern_unite(struct route_keys *keys, struct route_set *set,
			     const struct route_set *more);

/* A mark; a value, or each in an array. */
MUST_CHECK int pattern_push_mark(int64_t number, struct route_keys *keys, struct route_set *set);
MUST_CHECK int pattern_push_scalars(const json_t *json, struct route_keys *keys,
				    struct route_set *set);
/* Pushes one encoded value, a tuple of one component, and tightens a set that became loose. */
MUST_CHECK int pattern_push_value(const struct pattern_value *value, struct route_keys *keys,
				  struct route_set *set);

#endif
