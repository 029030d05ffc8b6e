#include "event/pattern_operator_priv.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define KNOWN                                                                                      \
	"\"prefix\", \"suffix\", \"equals-ignore-case\", \"wildcard\", \"anything-but\", "         \
	"\"numeric\", \"exists\", \"cidr\" and \"at-least\""

struct compile {
	struct pattern_operator *operator;
	const char *name;
	char *reason;
};

typedef int (*compile_operand)(struct compile *compile, const json_t *operand);

__attribute__((format(printf, 2, 3))) static int refuse(const struct compile *compile,
							const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(compile->reason, PATTERN_OPERATOR_REASON_BYTES, format, arguments);
	va_end(arguments);
	return ERROR_INVALID;
}

/* The one member of an operator's object; NULL: there are more or none. */
static const char *only_member(const json_t *object, const json_t **operand)
{
	void *member = json_object_iter((json_t *)(uintptr_t)object);

	if (json_object_size(object) != 1)
		return NULL;
	*operand = json_object_iter_value(member);
	return json_object_iter_key(member);
}

static struct slice text_of(const json_t *string)
{
	return (struct slice){json_string_value(string), json_string_length(string)};
}

static void keep_text(struct pattern_operator *operator, const json_t * string)
{
	operator->text_len = json_string_length(string);
	operator->text = mem_strndup(json_string_value(string), operator->text_len);
}

static int compile_affix(struct compile *compile, const json_t *operand)
{
	const json_t *inner = NULL;
	const char *name = only_member(operand, &inner);

	if (json_is_object(operand) && name && !strcmp(name, "equals-ignore-case")) {
		compile->operator->ignores_case = true;
		operand = inner;
	}
	if (!json_is_string(operand))
		return refuse(compile,
			      "\"%s\" takes a string, or {\"equals-ignore-case\": a string}",
			      compile->name);
	keep_text(compile->operator, operand);
	return 0;
}

static int compile_equals_ignore_case(struct compile *compile, const json_t *operand)
{
	if (!json_is_string(operand))
		return refuse(compile, "\"equals-ignore-case\" takes a string");
	keep_text(compile->operator, operand);
	return 0;
}

static int compile_wildcard(struct compile *compile, const json_t *operand)
{
	if (!json_is_string(operand))
		return refuse(compile, "\"wildcard\" takes a string with * in it");
	return pattern_wildcard_compile(text_of(operand), &compile->operator->wildcard,
					compile->reason);
}

static int compile_exists(struct compile *compile, const json_t *operand)
{
	if (!json_is_boolean(operand))
		return refuse(compile, "\"exists\" takes true or false");
	compile->operator->present = json_is_true(operand);
	return 0;
}

static long double number_of(const json_t *json)
{
	return json_is_integer(json) ? (long double)json_integer_value(json)
				     : (long double)json_real_value(json);
}

static const char numeric_wanted[] =
    "\"numeric\" takes a comparison and a number, such as [\">=\", 5] or [\"=\", 3], or a range "
    "from low to high, such as [\">\", 0, \"<=\", 5]";

/* One comparison into the range; false where it is none, or bounds a side again. */
static bool bound(struct pattern_range *range, const char *comparison, long double number)
{
	bool low = comparison[0] == '>' || comparison[0] == '=';
	bool high = comparison[0] == '<' || comparison[0] == '=';
	bool included = strchr(comparison, '=');

	if (strcmp(comparison, "=") && strcmp(comparison, "<") && strcmp(comparison, "<=") &&
	    strcmp(comparison, ">") && strcmp(comparison, ">="))
		return false;
	if (range->has_high || (low && range->has_low))
		return false;
	if (low) {
		range->low = number;
		range->has_low = true;
		range->low_included = included;
	}
	if (high) {
		range->high = number;
		range->has_high = true;
		range->high_included = included;
	}
	return true;
}

static int compile_numeric(struct compile *compile, const json_t *operand)
{
	struct pattern_range *range = &compile->operator->range;
	size_t count = json_array_size(operand);

	if (count != 2 && count != 4)
		return refuse(compile, "%s", numeric_wanted);
	for (size_t i = 0; i < count; i += 2) {
		const char *comparison = json_string_value(json_array_get(operand, i));
		const json_t *number = json_array_get(operand, i + 1);

		if (!comparison || !json_is_number(number) ||
		    (count == 4 && comparison[0] == '=') ||
		    !bound(range, comparison, number_of(number)))
			return refuse(compile, "%s", numeric_wanted);
	}
	if (count == 4 && !(range->low < range->high))
		return refuse(compile, "a \"numeric\" range goes from the lower number to the "
				       "higher one");
	return 0;
}

static bool read_network(const char *text, struct pattern_network *network)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : 0;
	char *end;
	unsigned long bits;

	if (!len || len >= sizeof(address) || slash[1] < '0' || slash[1] > '9')
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	network->family = strchr(address, ':') ? AF_INET6 : AF_INET;
	bits = strtoul(slash + 1, &end, 10);
	network->bits = (unsigned)bits;
	return !*end && bits <= (network->family == AF_INET ? 32 : 128) &&
	       inet_pton(network->family, address, network->address) == 1;
}

static int compile_cidr(struct compile *compile, const json_t *operand)
{
	const char *text = json_string_value(operand);

	if (!text || strlen(text) != json_string_length(operand) ||
	    !read_network(text, &compile->operator->network))
		return refuse(compile, "\"cidr\" takes a network such as \"10.0.0.0/8\" or "
				       "\"2001:db8::/32\"");
	return 0;
}

static int compile_anything_but(struct compile *compile, const json_t *operand);

static const struct {
	const char *name;
	enum pattern_operator_kind kind;
	compile_operand compile;
	bool in_anything_but;
} table[] = {
    {"prefix", PATTERN_PREFIX, compile_affix, true},
    {"suffix", PATTERN_SUFFIX, compile_affix, true},
    {"equals-ignore-case", PATTERN_EQUALS_IGNORE_CASE, compile_equals_ignore_case, true},
    {"wildcard", PATTERN_WILDCARD, compile_wildcard, true},
    {"anything-but", PATTERN_ANYTHING_BUT, compile_anything_but, false},
    {"numeric", PATTERN_NUMERIC, compile_numeric, false},
    {"exists", PATTERN_EXISTS, compile_exists, false},
    {"cidr", PATTERN_CIDR, compile_cidr, false},
};

enum { OPERATORS = sizeof(table) / sizeof(table[0]) };

static size_t find_operator(const char *name)
{
	size_t i = 0;

	while (i < OPERATORS && strcmp(table[i].name, name))
		i++;
	return i;
}

static int compile_named(struct compile *compile, size_t row, const json_t *operand)
{
	compile->operator->kind = table[row].kind;
	compile->name = table[row].name;
	return table[row].compile(compile, operand);
}

static const char anything_but_wanted[] =
    "\"anything-but\" takes a string, a number, a list of strings or a list of numbers, or "
    "{\"prefix\": …}, {\"suffix\": …}, {\"equals-ignore-case\": …} or {\"wildcard\": …} with a "
    "string that is not empty, or a list of such";

static int exclude_value(struct compile *compile, const json_t *json, json_type *type)
{
	json_type own = json_is_number(json) ? JSON_INTEGER : json_typeof(json);
	struct pattern_value value;

	if ((own != JSON_STRING && own != JSON_INTEGER) || (*type != JSON_NULL && *type != own) ||
	    !pattern_value_read(json, &value))
		return refuse(compile, "%s", anything_but_wanted);
	*type = own;
	pattern_constants_add(&compile->operator->values, &value);
	return 0;
}

static int exclude_values(struct compile *compile, const json_t *list)
{
	json_type type = JSON_NULL;
	int rc = 0;

	if (!json_is_array(list))
		return exclude_value(compile, list, &type);
	if (!json_array_size(list))
		return refuse(compile, "%s", anything_but_wanted);
	for (size_t i = 0; !rc && i < json_array_size(list); i++)
		rc = exclude_value(compile, json_array_get(list, i), &type);
	pattern_constants_sort(&compile->operator->values);
	return rc;
}

static struct pattern_operator *add_operator(struct pattern_operator *operator)
{
	size_t count = operator->operator_count;

	/* It doubles: full at 0, 1, 2, 4 … */
	if ((count & (count - 1)) == 0)
		operator->operators =
		    mem_realloc(operator->operators, (count ? 2 * count : 1) * sizeof(*operator));
	operator->operators[count] =(struct pattern_operator){0};
	return &operator->operators[operator->operator_count++];
}

static int exclude_operator(struct compile *compile, size_t row, const json_t *operand)
{
	struct compile inner = {.operator= add_operator(compile->operator),
				.reason = compile->reason};

	if (json_is_string(operand) && !json_string_length(operand))
		return refuse(compile, "%s", anything_but_wanted);
	return compile_named(&inner, row, operand);
}

static int compile_anything_but(struct compile *compile, const json_t *operand)
{
	const json_t *inner = NULL;
	const char *name = only_member(operand, &inner);
	size_t row = name ? find_operator(name) : OPERATORS;
	int rc = 0;

	if (!json_is_object(operand))
		return exclude_values(compile, operand);
	if (row == OPERATORS || !table[row].in_anything_but ||
	    (json_is_array(inner) && !json_array_size(inner)))
		return refuse(compile, "%s", anything_but_wanted);
	if (!json_is_array(inner))
		return exclude_operator(compile, row, inner);
	for (size_t i = 0; !rc && i < json_array_size(inner); i++)
		rc = exclude_operator(compile, row, json_array_get(inner, i));
	return rc;
}

int pattern_operator_compile(const json_t *source, struct pattern_operator *operator, char * reason)
{
	struct pattern_operator compiled = {0};
	struct compile compile = {.operator= & compiled, .reason = reason};
	const json_t *operand = NULL;
	const char *name = only_member(source, &operand);
	size_t row = name ? find_operator(name) : OPERATORS;
	int rc;

	if (!name)
		return refuse(&compile, "an operator is an object of one member; known are " KNOWN);
	if (row == OPERATORS)
		return refuse(&compile, "there is no operator \"%.40s\"; known are " KNOWN, name);
	rc = compile_named(&compile, row, operand);
	if (rc)
		pattern_operator_fini(&compiled);
	else
		*operator= compiled;
	return rc;
}

void pattern_operator_fini(struct pattern_operator *operator)
{
	for (size_t i = 0; i < operator->operator_count; i++)
		pattern_operator_fini(&operator->operators[i]);
	free(operator->operators);
	pattern_constants_fini(&operator->values);
	pattern_wildcard_fini(&operator->wildcard);
	free(operator->text);
}
